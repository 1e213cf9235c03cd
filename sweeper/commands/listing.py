"""``sweeper list``: what can be searched."""

from __future__ import annotations

import argparse
from typing import Any

from sweeper.commands.arguments import command
from sweeper.errors import EXIT_DONE


def add(commands: Any) -> None:
    """Add the verb."""
    parser = command(
        commands,
        "list",
        _list,
        "what can be searched: names, parameters and legal values",
        "sweeper list featurizers",
    )
    parser.add_argument(
        "what", choices=("featurizers", "reducers", "classifiers", "searches", "intensity", "spaces")
    )


def _list(args: argparse.Namespace) -> int:
    from sweeper.runs.tables import listing

    print(listing(args.what))
    return EXIT_DONE
