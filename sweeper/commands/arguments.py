"""Parts that commands share: their declaration, kinds of arguments, messages about wrong ones."""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from sweeper.errors import InputError

DASHBOARD = "http://127.0.0.1:8265"
"""Where a cluster's dashboard answers by default."""


class Parser(argparse.ArgumentParser):
    """A parser whose errors are told in one line, like every other error of the input."""

    def error(self, message: str) -> NoReturn:
        """Raise InputError with the message and where to look."""
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


# --------------------------------------------------------------------------- arguments of several commands


def add_run_folder(parser: argparse._ActionsContainer, or_else: str = "") -> None:
    """Add the run folder that a command reads."""
    parser.add_argument("run_folder", type=place, metavar="RUN", help=f"run folder or URL{or_else}")


def add_json(parser: argparse._ActionsContainer) -> None:
    """Add the option that prints JSON, see :func:`print_json`."""
    parser.add_argument("--json", action="store_true", help="print JSON for other programs instead of text")


def add_plugins(parser: argparse._ActionsContainer) -> None:
    """Add the option that names folders of plugins; `sweeper.cli` adds them before the command runs."""
    parser.add_argument(
        "--plugins",
        action="append",
        type=path,
        default=[],
        metavar="DIR",
        help="folder of your own featurizers, classifiers, searches and search spaces; may be given "
        "more than once",
    )


def add_dashboard(parser: argparse._ActionsContainer) -> None:
    """Add the option that names a cluster's dashboard."""
    parser.add_argument(
        "--address",
        default=DASHBOARD,
        metavar="URL",
        help="the cluster's dashboard (default: %(default)s)",
    )


# --------------------------------------------------------------------------- kinds of arguments


def path(text: str) -> Path:
    """Return a path; an empty one, from a variable that is not set, is not the current folder."""
    if not text.strip():
        raise argparse.ArgumentTypeError(f"must be a path, got {text!r}")
    return Path(text)


def place(text: str) -> Path | str:
    """Return a run folder: a path, or a URL."""
    from sweeper.runs.mirror import is_url

    return text if is_url(text) else path(text)


def count(text: str) -> int:
    """Return a whole number of at least 1."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1, got {text!r}")
    return number


def unknown_argument(argument: str, parser: argparse.ArgumentParser) -> str:
    """Return what to say about an argument that a command does not know."""
    from sweeper.plugins import nearest

    if not argument.startswith("-"):
        return f"unexpected argument {argument!r} (see {parser.prog} --help)"
    options = re.findall(r"--[a-z-]+", parser.format_usage())
    return f"unknown option {argument!r}; {nearest(argument.partition('=')[0], options)}"


def check_folder_of(option: str, file: Path | None) -> None:
    """Raise InputError where a file that an option names cannot be written for want of its folder."""
    if file is not None and not file.parent.is_dir():
        raise InputError(f"{option} {file}: its folder must exist")


# --------------------------------------------------------------------------- output


def print_json(value: Any) -> None:
    """Print a value as JSON; numbers that are infinite or undefined are null."""
    print(json.dumps(_finite(value), indent=2, allow_nan=False))


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def counter(what: str = "frames") -> Callable[[int, int], None] | None:
    """Return what shows how many are done; None where standard error is no terminal."""
    if not sys.stderr.isatty():
        return None

    def show(done: int, total: int) -> None:
        print(f"\r{done} of {total} {what}", end="\n" if done == total else "", file=sys.stderr, flush=True)

    return show
