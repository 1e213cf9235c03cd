"""The verbs of the command line: one module a group, each with `add` for its parsers."""
