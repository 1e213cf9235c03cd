"""The files of a run folder on this machine that belong at its URL."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from sweeper.runs.contents import FEATURES, FILES, NETWORKS, PREDICTIONS

CHANGING = (NETWORKS, PREDICTIONS)
"""Folders whose files are also removed while a sweep runs."""


def run_files(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield the regular files of a run folder with their names in it, without the journal and hidden ones."""
    yield from ((name, folder / name) for name in FILES if (folder / name).is_file())
    for part, recursive in ((FEATURES, False), (NETWORKS, True), (PREDICTIONS, False)):
        for parent, folders, files in os.walk(folder / part):
            folders[:] = sorted(f for f in folders if recursive and not f.startswith("."))
            for file in sorted(files):
                path = Path(parent, file)
                if file.startswith(".") or (not recursive and path.suffix != ".parquet"):
                    continue
                try:
                    regular = stat.S_ISREG(path.lstat().st_mode)
                except FileNotFoundError:
                    continue
                if regular:
                    yield path.relative_to(folder).as_posix(), path
