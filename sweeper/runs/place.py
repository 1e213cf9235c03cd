"""Where a run is: a folder, or a URL that is worked on through a local folder."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sweeper.errors import InputError

Place = Path | str
"""A path, or a URL as text: a Path would lose one of its slashes."""


def place_of(run: str | Path, name: str) -> Place:
    """Return the place of a run that somebody names; InputError, naming the parameter, for an empty one."""
    if isinstance(run, str):
        from sweeper.runs.mirror import is_url

        if is_url(run):
            return run
    if not str(run).strip():
        raise InputError(f"{name} must be a folder or a URL, got {str(run)!r}")
    return Path(run)


def shown(place: Place) -> str:
    """The place for messages, without credentials."""
    if isinstance(place, Path):
        return str(place)
    from sweeper.runs import mirror

    return mirror.shown(place)


def typed(place: Place) -> str:
    """Return the place as it is typed in a shell, where it is no option either."""
    text = shown(place)
    return shlex.quote(f"./{text}" if text.startswith("-") else text)


@contextmanager
def working(place: Place, note: Callable[[str], None]) -> Iterator[Path]:
    """The folder to run a sweep in; that of a URL is kept the same as the URL."""
    if isinstance(place, Path):
        yield place
        return
    from sweeper.runs.mirror import mirrored

    with mirrored(place, note) as folder:
        yield folder


@contextmanager
def reading(place: Place, names: Sequence[str] = ()) -> Iterator[Path]:
    """The folder to read a run from; of a URL a copy of its spec, its journal and what is named beside."""
    if isinstance(place, Path):
        yield place
        return
    from sweeper.runs.mirror import pulled

    with pulled(place, names) as folder:
        yield folder
