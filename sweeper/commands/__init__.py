"""The verbs of the command line, one module each: its `add` declares the verb and says what runs it."""
