"""Files of several frames, which are usually series: what to say when folds tear them apart."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sweeper.data.dataset import Dataset
from sweeper.data.splits import Rows, Split, sides


def series_note(dataset: Dataset, splits: Sequence[Split], apart: Rows | None = None) -> str | None:
    """Return a line on files whose frames stand on both sides of a split; None where there are groups.

    Parameters
    ----------
    dataset : Dataset
    splits : sequence of Split
    apart : int64, (n,), optional
        Rows that representations are fitted on, in no split.
    """
    if dataset.groups is not None:
        return None
    torn = sides(dataset.file, len(dataset.files), splits, dataset.split, apart)
    if not torn.any():
        return None
    frames = int(np.bincount(dataset.file, minlength=len(torn))[torn].sum())
    files = int(torn.sum())
    hold = f"{files} files hold" if files > 1 else "1 file holds"
    said = (
        f"{hold} {frames} frames, and there are no groups: frames of one file stand on both sides of a "
        "split. If a file is one series (a scan, a sample, a shot), that flatters every score; --group-by "
        "file keeps its frames together, --group-by folder those of a folder"
    )
    lone = [
        name
        for position, name in enumerate(dataset.classes)
        if len(np.unique(dataset.file[dataset.labels == position])) < 2
    ]
    if lone:
        said += f" (that needs two files of each class or more, class {lone[0]} has one)"
    return said
