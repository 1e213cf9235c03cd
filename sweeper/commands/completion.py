"""``sweeper completion``: a script that has the shell complete commands, options and names."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from sweeper import plugins
from sweeper.commands.arguments import command
from sweeper.errors import EXIT_DONE
from sweeper.runs.presets import PRESET, PRESETS
from sweeper.runs.spec import SETTINGS

SHELLS = ("bash", "zsh", "fish")
_FILES = ("DATA", "FILE", "FRAME", "FRAMES", "MODEL")
_FOLDERS = ("DIR", "RUN")


def add(commands: Any) -> None:
    """Add the verb."""
    parser = command(
        commands,
        "completion",
        _completion,
        "print a script that has a shell complete commands, options and names",
        "sweeper completion bash",
    )
    parser.add_argument("shell", choices=SHELLS, help="bash, zsh or fish")


def _completion(args: argparse.Namespace) -> int:
    import shtab

    for action in _actions(args.root):  # nothing is parsed any more: the parser may say more than it checks
        if names := _names(action):
            action.choices = names
        elif action.metavar in _FILES:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
        elif action.metavar in _FOLDERS:
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
    print(shtab.complete(args.root, args.shell))
    return EXIT_DONE


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Yield the arguments of a parser and of all its commands."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from _actions(inner)


def _names(action: argparse.Action) -> tuple[str, ...]:
    """Return the names that a value of an argument is one of; none where it is free."""
    if action.dest == "space":
        return plugins.space_names()
    if action.dest == PRESET:
        return tuple(PRESETS)
    declared = SETTINGS.get(action.dest)
    if declared is None or declared.option not in action.option_strings:
        return ()
    return declared.choices
