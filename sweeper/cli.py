"""The command line.

Light until a signal can be taken: the commands are imported after that.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any

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
from sweeper.interrupts import (
    MESSAGE,
    ignore_signals,
    interruptible,
    take_signals,
    undisturbed,
    was_interrupted,
)
from sweeper.process import say, settle


def script() -> int:
    """Run the command that this process was started for and return the exit status."""
    try:
        take_signals()
        settle()
        exit_status = main()
        ignore_signals()
    except KeyboardInterrupt:  # between one step and the next
        ignore_signals()
        say(MESSAGE)
        return EXIT_INTERRUPTED
    return exit_status


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status."""
    with interruptible():
        return _main(argv)


def _main(argv: Sequence[str] | None) -> int:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal without our table's lines still gets the rest
            stream.reconfigure(errors="backslashreplace")
    try:
        from sweeper import plugins
        from sweeper.commands.arguments import unknown_argument

        args, unknown = build_parser().parse_known_args(argv)
        if unknown:
            raise InputError(unknown_argument(unknown[0], args.parser))
        for folder in getattr(args, "plugins", ()):
            plugins.add_folder(folder)
        exit_status: int = args.run(args)
        sys.stdout.flush()
        return exit_status
    except KeyboardInterrupt:
        return _tell_interrupted()
    except Exception as error:
        if was_interrupted():
            return _tell_interrupted()
        if isinstance(error, BrokenPipeError):  # `sweeper leaderboard RUN | head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return EXIT_DONE
        return _tell(error)


def _tell_interrupted() -> int:
    """Say that the command was interrupted and return the exit status."""
    with undisturbed():
        say(MESSAGE)
    return EXIT_INTERRUPTED


def _tell(error: Exception) -> int:
    """Say what went wrong and return the exit status."""
    from sweeper.extras import EXTRA_OF, missing_library, remedy

    if isinstance(error, SweeperError) and not isinstance(error, FaultError):
        say(f"sweeper: {' '.join(str(error).split())}{_remedy(error)}")
        return error.exit_status
    if (library := missing_library(error)) in EXTRA_OF:
        say(f"sweeper: this command {remedy(library)}")
        return EXIT_INPUT
    if isinstance(error, OSError):
        say(f"sweeper: {error}; fix that and run the same command again")
        return EXIT_FAULT
    if isinstance(error, FaultError):
        say(str(error).rstrip())
    else:
        say("".join(traceback.format_exception(error)).rstrip())
    say("sweeper: this is a fault in Sweeper; run the same command again to resume")
    return EXIT_FAULT


def _remedy(error: SweeperError) -> str:
    return "; fix that and run the same command again" if isinstance(error, StoppedError) else ""


class _Version(argparse.Action):
    """Print the version of the installed package; it is looked up only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from importlib.metadata import version

        print(f"sweeper {version('sweeper')}")
        parser.exit()


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands and their options."""
    from sweeper.commands import (
        card,
        check_plugin,
        completion,
        curves,
        explain,
        export,
        labels,
        leaderboard,
        listing,
        log,
        plan,
        report,
        run,
        similar,
        simulate,
        sort,
        status,
        stop,
        submit,
    )
    from sweeper.commands.arguments import Parser

    parser = Parser(
        prog="sweeper",
        description="Finds the best way to classify X-ray detector frames.",
        epilog="Start with: sweeper simulate diffraction frames --per-class 40 && "
        "sweeper run frames --space quick --out first-run",
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    parser.set_defaults(root=parser)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    verbs = (
        simulate, plan, run, submit, stop, status, leaderboard, curves, labels, report, log, export, card,
        sort, explain, similar, listing, check_plugin, completion,
    )  # fmt: skip
    for verb in verbs:
        verb.add(commands)
    return parser


if __name__ == "__main__":
    sys.exit(script())
