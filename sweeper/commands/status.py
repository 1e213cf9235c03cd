"""``sweeper status``: how far a sweep is."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from typing import Any

from sweeper.commands.arguments import DASHBOARD, add_json, add_run_folder, command, print_json
from sweeper.errors import EXIT_DONE, InputError

_JOB = "raysubmit_"
"""How Ray's ids of jobs begin."""


def add(commands: Any) -> None:
    """Add the verb."""
    parser = command(
        commands,
        "status",
        _status,
        "show how far a sweep is, and whether it is running",
        "sweeper status first-run",
    )
    add_run_folder(parser, or_else=", or the id of a job")
    parser.add_argument(
        "--address",
        metavar="URL",
        help=f"dashboard of the cluster that the job was sent to (default: {DASHBOARD})",
    )
    add_json(parser)


def _status(args: argparse.Namespace) -> int:
    is_job = str(args.run_folder).startswith(_JOB) and not Path(args.run_folder).exists()
    if is_job or args.address is not None:
        from sweeper.engine.jobs import job_status

        if args.json:
            raise InputError(f"--json is for run folders: {args.run_folder} is the id of a job")
        print(job_status(str(args.run_folder), args.address or DASHBOARD))
        return EXIT_DONE
    from sweeper.runs.status import status_of

    found = status_of(args.run_folder)
    if args.json:
        print_json(dataclasses.asdict(found))
    else:
        print(found)
    return EXIT_DONE
