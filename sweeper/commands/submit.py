"""``sweeper submit``: a sweep on a cluster, from a machine that is not part of it."""

from __future__ import annotations

import argparse
from typing import Any

from sweeper.commands.arguments import add_dashboard, add_plugins, command
from sweeper.commands.spec_options import OF_RAY_HERE, add_spec_options, spec_of
from sweeper.errors import EXIT_DONE


def add(commands: Any) -> None:
    """Add the verb."""
    parser = command(
        commands,
        "submit",
        _submit,
        "send a sweep to a Ray cluster as a job, and follow it",
        "sweeper submit sweep.yaml --address http://head:8265 --out /shared/runs/first",
    )
    groups = add_spec_options(parser, without=OF_RAY_HERE)
    add_plugins(groups["search"])
    add_dashboard(groups["resources"])
    output = groups["output"]
    output.add_argument(
        "--out", required=True, metavar="RUN", help="run folder as the cluster's head sees it, or a URL"
    )
    output.add_argument(
        "--no-wait",
        action="store_true",
        help="print the job's id and return (default: follow the job)",
    )


def _submit(args: argparse.Namespace) -> int:
    from sweeper.engine.jobs import follow, submit

    address, args.address = args.address, None
    job = submit(spec_of(args, elsewhere=True), args.out, address)
    print(f"job {job} at {address}, run folder {args.out}", flush=True)
    if args.no_wait:
        print(f"next: sweeper status {job} --address {address}")
        return EXIT_DONE
    return follow(job, address)
