"""The command line."""

from __future__ import annotations

import argparse
import io
import os
import sys
import traceback
from collections.abc import Sequence

from sweeper.commands import check_plugin, explain, jobs, listing, report, results, similar, simulate, sweep
from sweeper.commands.arguments import Parser, unknown_argument
from sweeper.errors import (
    EXIT_DONE,
    EXIT_FAULT,
    EXIT_INPUT,
    EXIT_INTERRUPTED,
    FaultError,
    InputError,
    StoppedError,
    SweeperError,
)
from sweeper.extras import EXTRA_OF, missing_library, remedy


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal without our table's lines still gets the rest
            stream.reconfigure(errors="backslashreplace")
    try:
        args, unknown = build_parser().parse_known_args(argv)
        if unknown:
            raise InputError(unknown_argument(unknown[0], args.parser))
        status: int = args.run(args)
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        print("sweeper: interrupted; run the same command again to resume", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # `sweeper leaderboard RUN | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_DONE
    except Exception as error:
        return _tell(error)


def _tell(error: Exception) -> int:
    """Say what went wrong; returns the exit status."""
    if isinstance(error, SweeperError) and not isinstance(error, FaultError):
        print(f"sweeper: {' '.join(str(error).split())}{_remedy(error)}", file=sys.stderr)
        return error.exit_status
    if (library := missing_library(error)) in EXTRA_OF:
        print(f"sweeper: this command {remedy(library)}", file=sys.stderr)
        return EXIT_INPUT
    if isinstance(error, OSError):
        print(f"sweeper: {error}; fix that and run the same command again", file=sys.stderr)
        return EXIT_FAULT
    if isinstance(error, FaultError):
        print(str(error).rstrip(), file=sys.stderr)
    else:
        traceback.print_exception(error)
    print("sweeper: this is a fault in Sweeper; run the same command again to resume", file=sys.stderr)
    return EXIT_FAULT


def _remedy(error: SweeperError) -> str:
    return "; fix that and run the same command again" if isinstance(error, StoppedError) else ""


def build_parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    parser = Parser(
        prog="sweeper",
        description="Finds the best way to classify X-ray detector frames.",
        epilog="Start with: sweeper simulate diffraction frames --per-class 40 && "
        "sweeper run frames --space quick --out first-run",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for group in (simulate, sweep, jobs, results, report, explain, similar, listing, check_plugin):
        group.add(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
