"""The command line."""

from __future__ import annotations

import argparse
import io
import os
import sys
import traceback
from collections.abc import Sequence

from sweeper.commands import explain, jobs, listing, report, results, similar, simulate, sweep
from sweeper.commands.arguments import (
    EXIT_DONE,
    EXIT_FAULT,
    EXIT_INPUT,
    EXIT_INTERRUPTED,
    Parser,
    unknown_argument,
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal without our table's lines still gets the rest
            stream.reconfigure(errors="backslashreplace")
    try:
        args, unknown = build_parser().parse_known_args(argv)
        if unknown:
            raise ValueError(unknown_argument(unknown[0], args.parser))
        status: int = args.run(args)
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        print("sweeper: interrupted; the same command goes on", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # `sweeper leaderboard RUN | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_DONE
    except ValueError as error:
        if _from_ray(error):
            return _fault(error)
        print(f"sweeper: {' '.join(str(error).split())}", file=sys.stderr)
        return EXIT_INPUT
    except Exception as error:
        return _fault(error)


def _from_ray(error: Exception) -> bool:
    """Whether an error came out of a task: Ray makes it look like the class it wraps."""
    return type(error).__module__.startswith("ray.")


def _fault(error: Exception) -> int:
    from sweeper.runs.journal import JournalError

    if isinstance(error, JournalError | OSError) or type(error).__name__ in ("SweepStopped", "MirrorError"):
        print(f"sweeper: {error}; mend that and run the same command again", file=sys.stderr)
    else:
        traceback.print_exception(error)
        print("sweeper: this is a fault in Sweeper; the same command goes on", file=sys.stderr)
    return EXIT_FAULT


def build_parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    parser = Parser(
        prog="sweeper",
        description="Finds the best way to classify X-ray detector frames.",
        epilog="Start with: sweeper simulate diffraction frames --per-class 40 && "
        "sweeper run frames --space quick --out first-run",
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for group in (simulate, sweep, jobs, results, report, explain, similar, listing):
        group.add(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
