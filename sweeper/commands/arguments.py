"""Arguments of the command line: how commands are declared, and what is said of wrong ones."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from sweeper.errors import InputError


class Parser(argparse.ArgumentParser):
    """Errors in one line, like every other error of the input."""

    def error(self, message: str) -> NoReturn:
        """Raise ValueError with the message and where to look."""
        raise InputError(f"{message} (see {self.prog} --help)")


def command(
    commands: Any, name: str, run: Callable[[argparse.Namespace], int], help_: str, example: str
) -> argparse.ArgumentParser:
    """Add a command: `run` gets its arguments and returns the exit status."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name, help=help_, description=help_[0].upper() + help_[1:] + ".", epilog=f"Example: {example}"
    )
    parser.set_defaults(run=run, parser=parser)
    return parser


def path(text: str) -> Path:
    """A path; an empty one, from a variable that is not set, is not the current folder."""
    if not text.strip():
        raise argparse.ArgumentTypeError(f"must be a path, got {text!r}")
    return Path(text)


def place(text: str) -> Path | str:
    """A run folder: a path, or a URL."""
    from sweeper.runs.mirror import is_url

    return text if is_url(text) else path(text)


def count(text: str) -> int:
    """A whole number of at least 1."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got {text!r}")
    return number


def unknown_argument(argument: str, parser: argparse.ArgumentParser) -> str:
    """What to say of an argument that a command does not know."""
    from sweeper.plugins import nearest

    if not argument.startswith("-"):
        return f"unexpected argument {argument!r} (see {parser.prog} --help)"
    options = re.findall(r"--[a-z-]+", parser.format_usage())
    return f"unknown option {argument!r}; {nearest(argument.partition('=')[0], options)}"


def counter(what: str = "frames") -> Callable[[int, int], None] | None:
    """Return what shows how many are done; None where standard error is no terminal."""
    if not sys.stderr.isatty():
        return None

    def show(done: int, total: int) -> None:
        print(f"\r{done} of {total} {what}", end="\n" if done == total else "", file=sys.stderr, flush=True)

    return show
