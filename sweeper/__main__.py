"""``python -m sweeper``."""

import sys

if not sys.flags.safe_path:
    # Python puts the current folder in front of the import path; what a user keeps there is not for import.
    del sys.path[0]

from sweeper.cli import script

sys.exit(script())
