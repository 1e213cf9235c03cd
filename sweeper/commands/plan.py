"""``sweeper plan``: what a sweep would cost."""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any

from sweeper.commands.arguments import add_json, add_plugins, command, print_json
from sweeper.commands.spec_options import add_spec_options, spec_of
from sweeper.errors import EXIT_DONE


def add(commands: Any) -> None:
    """Add the verb."""
    parser = command(
        commands,
        "plan",
        _plan,
        "count the pipelines of a sweep and estimate what it costs, without running it",
        "sweeper plan frames --space diffranet",
    )
    groups = add_spec_options(parser)
    add_plugins(groups["search"])
    add_json(groups["output"])


def _plan(args: argparse.Namespace) -> int:
    from sweeper.planning.plan import plan

    found = plan(spec_of(args))
    if args.json:
        print_json(dataclasses.asdict(found))
    else:
        print(found)
    return EXIT_DONE
