"""Looks at unlabelled frames of a sweep's target: how far they are from the frames that it was trained on.

Distances are those by which a sorter tells strangers, in the features of the best pipeline that need no fit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sweeper.api import Params, PreparedFrame
from sweeper.data.prepared import FrameRef, raw_frame
from sweeper.errors import InputError
from sweeper.labels.curve import chosen_pipeline, feature_matrix
from sweeper.runs.data import run_data
from sweeper.runs.folder import RunFolder
from sweeper.runs.target import Target
from sweeper.similar.features import features_of
from sweeper.sorter.files import check_paths, find_units
from sweeper.sorter.refit import training_rows
from sweeper.sorter.strangers import far_from

MOST = 200
"""Frames that are looked at, evenly spread."""
UNLIKE = 0.05
"""Share of frames like the training frames that are as far from these as a frame that is unlike them."""
_FARTHEST = 10


def check_target(path: str) -> None:
    """Raise InputError where there is nothing at the path of a target."""
    try:
        check_paths([path])
    except InputError as error:
        raise InputError(f"--target {error}") from None


@dataclass(frozen=True, eq=False)
class _Seen:
    """The frames that could be read: their names, sizes, (n, 2), and features, (n, d)."""

    names: list[str]
    sizes: NDArray[np.int64]
    features: NDArray[np.float64]


def look_at_target(folder: RunFolder) -> Target:
    """Return how far the frames are that the spec of a run names as its target.

    Of a file that is no HDF5 file the first frame is looked at.

    Raises
    ------
    InputError
        There are none, there is no pipeline to compare by, or the run's data set is not there or changed.
    """
    spec = folder.load_spec()
    assert spec.target is not None, "a run without a target has nothing to look at"
    check_target(spec.target)
    refs = [
        FrameRef(unit.path, index, unit.mask, "", spec.reading)
        for unit in find_units([spec.target], spec.mask, spec.reading)
        for index in unit.frames or (0,)
    ]
    if not refs:
        raise InputError(f"--target {spec.target}: must hold frames, there are none")
    some = np.unique(np.linspace(0, len(refs) - 1, min(MOST, len(refs))).round().astype(int)).tolist()
    chosen = chosen_pipeline(folder)
    data = run_data(folder)
    features = features_of(folder, data, chosen.pipeline)
    rows = training_rows(data)
    groups = rows if data.dataset.groups is None else data.dataset.groups[rows]
    seen = _look([refs[i] for i in some], chosen.pipeline.intensity, features.compute, len(features.columns))
    trained = feature_matrix(features, len(data.dataset))[rows]
    rank, distance = far_from(trained, groups, seen.features, UNLIKE, spec.seed)
    known = _sizes(folder)
    order = np.argsort(-distance, kind="stable")[:_FARTHEST].tolist()
    return Target(
        path=spec.target,
        trial=chosen.trial,
        pipeline=chosen.pipeline.name,
        found=len(refs),
        looked_at=len(seen.names),
        unreadable=len(some) - len(seen.names),
        unlike=int(np.count_nonzero(distance > 1)),
        expected=UNLIKE,
        typical=round(float(np.median(rank)), 4) if len(rank) else 0.0,
        other_sizes=sum((h, w) not in known for h, w in seen.sizes.tolist()),
        farthest=tuple((seen.names[i], round(float(distance[i]), 3)) for i in order),
    )


def _sizes(folder: RunFolder) -> set[tuple[int, int]]:
    """Return the heights and widths of the frames of a run."""
    import pyarrow.parquet as pq

    table = pq.read_table(folder.frames, columns=["height", "width"]).to_pydict()
    return set(zip(table["height"], table["width"], strict=True))


def _look(
    refs: Sequence[FrameRef],
    intensity: Params,
    compute: Callable[[PreparedFrame], NDArray[np.float64]],
    width: int,
) -> _Seen:
    """Read frames and compute their features; frames of which that fails are left out."""
    names: list[str] = []
    sizes: list[tuple[int, ...]] = []
    found: list[NDArray[np.float64]] = []
    for ref in refs:
        try:
            raw = raw_frame(ref)
            found.append(compute(raw.prepared(intensity)))
        except ValueError:
            continue
        names.append(f"{ref.path}#{ref.index}" if ref.index else ref.path)
        sizes.append(raw.counts.shape)
    shape = np.array(sizes, dtype=np.int64).reshape(len(sizes), 2)
    return _Seen(names, shape, np.array(found, dtype=np.float64).reshape(len(found), width))
