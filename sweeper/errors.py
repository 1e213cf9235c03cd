"""Every error that a user can meet, with the exit status that it ends a command with.

Light: modules that only pass an error on import nothing else for it. Errors that carry several values keep
all of them in ``args``, so that they survive pickling on their way from a worker.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

EXIT_DONE, EXIT_FAULT, EXIT_INPUT, EXIT_UNREADABLE, EXIT_INTERRUPTED = 0, 1, 2, 3, 130


class SweeperError(Exception):
    """An error that is told in one line, without a traceback."""

    exit_status = EXIT_FAULT


# --------------------------------------------------------------------------- wrong input


class InputError(SweeperError, ValueError):
    """The input or an argument is wrong; the message names file or parameter, rule and value."""

    exit_status = EXIT_INPUT


class FrameError(InputError):
    """A file or frame that cannot be used.

    Attributes
    ----------
    path : str
    problem : str
        What is wrong, in one line without the path.
    """

    def __init__(self, path: str | Path, problem: str) -> None:
        super().__init__(str(path), problem)
        self.path = str(path)
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}"


class BadFramesError(InputError):
    """Files or frames of a data set that cannot be used.

    Attributes
    ----------
    source : str
        The data set.
    problems : list of (str, str)
        Name and reason of every one of them.
    """

    def __init__(self, source: str, problems: Sequence[tuple[str, str]]) -> None:
        super().__init__(source, list(problems))
        self.source = source
        self.problems = list(problems)

    def __str__(self) -> str:
        bad = "; ".join(f"{name} ({reason})" for name, reason in self.problems)
        return (
            f"{self.source}: every frame must be readable, {len(self.problems)} are not (--skip-bad leaves "
            f"them out): {bad}"
        )


class CheckFailedError(InputError):
    """A plugin breaks a rule that every plugin of its kind keeps; the message names both."""


# --------------------------------------------------------------------------- a sweep that cannot go on


class StoppedError(SweeperError):
    """The sweep cannot go on for a reason outside it; what was recorded is kept."""


class JournalError(StoppedError):
    """The journal, or what belongs to it, cannot be written: the disk is full, or the folder is gone."""


class MirrorError(StoppedError):
    """Something of a sweep is not at its URL; the local folder holds everything."""


class UnequalNodeError(StoppedError):
    """A machine runs other versions or other code than the driver, or does not see its run folder."""


class NoRoomError(StoppedError):
    """A machine's object store is full, and so is the disk that it spills to."""

    def __init__(self) -> None:
        super().__init__()

    def __str__(self) -> str:
        return "a machine's object store and the disk that it spills to are full; nothing recorded is lost"


class FaultError(SweeperError):
    """A mistake of ours in another process; the message holds its traceback."""


# --------------------------------------------------------------------------- what becomes an outcome


class FitError(RuntimeError):
    """A network cannot be trained as asked: the same would happen again."""


class DivergedError(FitError):
    """The loss is no longer a finite number."""


class OutOfMemoryError(FitError):
    """The device has too little memory for the batch size and the input size."""


class TimeLimitError(Exception):
    """The time limit of a fit was reached."""


class DeadlineError(Exception):
    """The time budget of the sweep was reached."""


def described(error: BaseException) -> str:
    """Return an error as one line: our own as it reads, any other with the name of its class."""
    text = " ".join(str(error).split())
    if isinstance(error, SweeperError | FitError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
