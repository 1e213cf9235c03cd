"""``sweeper submit`` and ``stop``: sweeps on a cluster, from a machine that is not part of it."""

from __future__ import annotations

import argparse
from typing import Any

from sweeper.commands.arguments import command
from sweeper.commands.sweep import add_sweep_options, spec_of
from sweeper.errors import EXIT_DONE

DEFAULT_ADDRESS = "http://127.0.0.1:8265"


def add(commands: Any) -> None:
    """Add both verbs."""
    _add_submit(commands)
    _add_stop(commands)


def add_address(parser: argparse.ArgumentParser) -> None:
    """The option that names a cluster's dashboard."""
    parser.add_argument(
        "--address",
        default=DEFAULT_ADDRESS,
        metavar="URL",
        help=f"the cluster's dashboard ({DEFAULT_ADDRESS})",
    )


def _add_submit(commands: Any) -> None:
    parser = command(
        commands,
        "submit",
        _submit,
        "send a sweep to a Ray cluster as a job, and follow it",
        "sweeper submit sweep.yaml --address http://head:8265 --out /shared/runs/first",
    )
    add_sweep_options(parser, joins=False)
    add_address(parser)
    parser.add_argument(
        "--out", required=True, metavar="RUN", help="run folder, as the cluster's head sees it"
    )
    parser.add_argument("--no-wait", action="store_true", help="print the job's id and return")


def _submit(args: argparse.Namespace) -> int:
    from sweeper.engine.jobs import follow, submit

    address, args.address = args.address, None
    job = submit(spec_of(args), args.out, address)
    print(f"job {job} at {address}, run folder {args.out}", flush=True)
    if args.no_wait:
        print(f"next: sweeper status {job} --address {address}")
        return EXIT_DONE
    return follow(job, address)


def _add_stop(commands: Any) -> None:
    parser = command(
        commands,
        "stop",
        _stop,
        "stop a sweep that was submitted; submitting it again goes on",
        "sweeper stop raysubmit_abc123 --address http://head:8265",
    )
    parser.add_argument("job", metavar="JOB", help="its id, as submit printed it")
    add_address(parser)


def _stop(args: argparse.Namespace) -> int:
    from sweeper.engine.jobs import stop

    print(stop(args.job, args.address))
    return EXIT_DONE
