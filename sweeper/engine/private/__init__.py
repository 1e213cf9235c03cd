"""Whatever the engine uses of Ray that is not its public API, each with the reason why.

Checked on the version below; ``tests/engine/test_private.py`` has a test for each thing, to be run before
another version is allowed in.
"""

CHECKED_ON = "2.60.0"
