"""``sweeper stop``: the end of a job that was submitted."""

from __future__ import annotations

import argparse
from typing import Any

from sweeper.commands.arguments import add_dashboard, command
from sweeper.errors import EXIT_DONE


def add(commands: Any) -> None:
    """Add the verb."""
    parser = command(
        commands,
        "stop",
        _stop,
        "stop a sweep that was submitted; submit it again to resume",
        "sweeper stop raysubmit_abc123 --address http://head:8265",
    )
    parser.add_argument("job", metavar="JOB", help="id of the job, as submit printed it")
    add_dashboard(parser)


def _stop(args: argparse.Namespace) -> int:
    from sweeper.engine.jobs import stop

    print(stop(args.job, args.address))
    return EXIT_DONE
