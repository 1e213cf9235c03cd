"""The frames of a run, in the order by which predictions and features count them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

from sweeper.errors import InputError
from sweeper.runs.data import run_data
from sweeper.runs.folder import RunFolder


@dataclass(frozen=True)
class FrameList:
    """Files of the frames of a data set, in its order.

    Attributes
    ----------
    path : list of str
        Absolute.
    index : list of int
        Position in the file.
    """

    path: list[str]
    index: list[int]

    @cached_property
    def _short(self) -> dict[str, str]:
        """Path of each file from the folder that holds all of them."""
        paths = dict.fromkeys(self.path)
        folders = {os.path.dirname(path) for path in paths}  # noqa: PTH120  many paths
        root = os.path.commonpath(folders) if folders else ""
        return {path: os.path.relpath(path, root) for path in paths}

    def name(self, row: int) -> str:
        """Path from the folder that holds all of them, with ``#index`` in a file of several frames."""
        short = self._short[self.path[row]]
        several = self.path[max(0, row - 1) : row + 2].count(self.path[row]) > 1
        return f"{short}#{self.index[row]}" if several else short

    def names(self, rows: Iterable[int]) -> list[str]:
        """Return the names of some rows."""
        return [self.name(row) for row in rows]


def read_frame_list(folder: RunFolder, n_frames: int | None) -> FrameList | None:
    """Return the frames of a run, those left out as bad aside; None where the list is not at hand.

    Parameters
    ----------
    folder : RunFolder
    n_frames : int or None
        Frames that took part, by which a list is told that is not the sweep's; None: not known.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    if folder.load_spec().drop_duplicates:  # which of equal frames took part depends on labels and splits
        try:
            data = run_data(folder).dataset
        except InputError:
            return None
        return FrameList(data.paths.tolist(), data.index.tolist())
    try:
        table = pq.read_table(folder.frames, columns=["path", "index", "error"])
    except (OSError, pa.ArrowException):
        return None
    good = [error is None for error in table.column("error").to_pylist()]
    path, index = table.column("path").to_pylist(), table.column("index").to_pylist()
    listed = [(p, i) for p, i, kept in zip(path, index, good, strict=True) if kept]
    if n_frames is not None and len(listed) != n_frames:
        return None
    return FrameList([p for p, _ in listed], [i for _, i in listed])
