"""A copy of what is at a URL, for those who only read."""

from __future__ import annotations

import fnmatch
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from sweeper.errors import InputError
from sweeper.runs.contents import ENVIRONMENT, JOURNAL, SPEC
from sweeper.runs.mirror.parts import JournalParts
from sweeper.runs.mirror.remote import Entry, NotThereError, Remote, StoreError

_ALWAYS = (SPEC, ENVIRONMENT)


@contextmanager
def pulled(url: str, names: Sequence[str] = ()) -> Iterator[Path]:
    """Yield a temporary folder with the spec, the environment and the journal of the run at a URL.

    Parameters
    ----------
    url : str
    names : sequence of str
        Files and folders of the run to bring as well, or patterns of files in a folder
        (``features/glcm-*.parquet``); what is not there is left out.

    Raises
    ------
    InputError
        Nobody answers, no permission, no sweep is there.
    """
    remote = Remote(url)
    top = remote.top()
    if SPEC not in top:
        raise InputError(f"{remote.shown}: no sweep here ({SPEC} is missing)")
    with tempfile.TemporaryDirectory(prefix="sweeper-run-") as temporary:
        folder = Path(temporary)
        try:
            wanted = {name: top[name] for name in (*_ALWAYS, *names) if name in top}
            for name in names:
                if name not in top:
                    wanted |= _listed(remote, name)
            for name, entry in wanted.items():
                with suppress(NotThereError):  # removed since it was listed
                    remote.fetch(name, entry, folder / name)
            JournalParts(remote).fetch(folder / JOURNAL)
        except StoreError as error:
            raise remote.error(error) from None
        yield folder


def _listed(remote: Remote, name: str) -> dict[str, Entry]:
    """Return the files in a folder that a name or pattern matches; else those of the folder of this name."""
    parent, slash, _ = name.rpartition("/")
    files = remote.list(parent) if slash else {}
    found = {file: entry for file, entry in files.items() if fnmatch.fnmatchcase(file, name)}
    return found or remote.list(name, recursive=True)
