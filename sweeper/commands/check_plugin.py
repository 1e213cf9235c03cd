"""``sweeper check-plugin``: the conformance checks, on a plugin of one's own."""

from __future__ import annotations

import argparse
from typing import Any

from sweeper.commands.arguments import command, path
from sweeper.errors import EXIT_DONE, InputError


def add(commands: Any) -> None:
    """Add the verb."""
    parser = command(
        commands,
        "check-plugin",
        _check,
        "run the checks that every featurizer, classifier, search or search space must pass",
        "sweeper check-plugin my_plugins/radial_profile.py",
    )
    parser.add_argument("file", type=path, metavar="FILE", help="a plugin: a Python file, or a space's YAML")


def _check(args: argparse.Namespace) -> int:
    from sweeper.testing.plugin import outcomes

    passed, failed, shown = 0, 0, ""
    for label, outcome in outcomes(args.file):
        if label != shown:
            print(label)
            shown = label
        mark = "failed" if outcome.reason else "ok"
        print(f"  {mark:6}  {outcome.name}" + (f": {outcome.reason}" if outcome.reason else ""), flush=True)
        passed, failed = passed + (not outcome.reason), failed + bool(outcome.reason)
    if failed:
        raise InputError(f"{args.file}: {failed} of {passed + failed} checks failed")
    print(f"all {passed} checks passed")
    return EXIT_DONE
