"""Similarity search: the nearest frames of a run in the features of one of its representations."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sweeper.data.prepared import raw_frame
from sweeper.data.splits import Rows
from sweeper.pipeline import digest
from sweeper.runs.data import run_data
from sweeper.runs.folder import RunFolder
from sweeper.similar import drawing
from sweeper.similar.choice import choose
from sweeper.similar.features import features_of
from sweeper.similar.frames import Frame, find_frame, frame_at, thumbnail
from sweeper.similar.index import INDEX_VERSION, open_index
from sweeper.similar.precision import ClassPrecision, Precision, precision_at

__all__ = [
    "ClassPrecision",
    "Found",
    "Precision",
    "Search",
    "Similar",
    "draw_retrieval",
    "similarity_precision",
]


@dataclass(frozen=True)
class Similar:
    """A frame that was found.

    Attributes
    ----------
    rank : int
        From 1.
    frame : str
        Name in the data set.
    label : str
    distance : float
        Euclidean, of the reduced features.
    path : str
        Absolute.
    index : int
        Position in the file.
    row : int
        Of the data set.
    """

    rank: int
    frame: str
    label: str
    distance: float
    path: str
    index: int
    row: int


@dataclass(frozen=True)
class Found:
    """The answer of a search.

    Attributes
    ----------
    query : Frame
    label : str or None
        Class of the query, where the run knows it.
    frames : tuple of Similar
        Nearest first.
    """

    query: Frame
    label: str | None
    frames: tuple[Similar, ...]


class Search:
    """Nearest frames in one representation of a run.

    Features are reduced before distances are taken: by the pipeline's own reducer, by standardising them
    where it has none, fitted on all frames of the run. The index is built the first time and kept in
    ``RUN/similar``.

    Parameters
    ----------
    run : Path
        Run folder.
    rank, representation
        See :func:`sweeper.similar.choice.choose`.
    keep : bool
        Whether to keep the index in the run folder.

    Attributes
    ----------
    representation : str
        As the leaderboard writes it.

    Raises
    ------
    ValueError
        No sweep, no such row, a data set that is not there or changed, blocks that are missing.
    """

    def __init__(
        self, run: Path, *, rank: int | None = None, representation: str | None = None, keep: bool = True
    ) -> None:
        folder = RunFolder(run)
        self._choice = choose(folder, rank, representation)
        self.representation = self._choice.name
        self._spec = folder.load_spec()
        self._data = run_data(folder)
        pipeline = self._choice.pipeline
        self._features = features_of(folder, self._data, pipeline)
        reducer = "standard" if pipeline.reducer == "none" else pipeline.reducer
        params, seed = pipeline.reducer_params, self._spec.seed
        key = digest([INDEX_VERSION, self._features.key, reducer, dict(sorted(params.items())), seed])
        kept = folder.similar if keep else None
        features = self._features
        self._index = open_index(
            kept, key, features.chunks, features.rows, reducer, params, seed, features.widths
        )
        self._labels: Rows = self._data.dataset.labels[self._index.rows]

    @property
    def frames_folder(self) -> Path:
        """Folder of the data set, where pictures would be taken for frames."""
        return self._data.dataset.root.resolve()

    @property
    def about(self) -> str:
        """Return a line that says what is searched."""
        how = "every distance computed" if self._index.exact else "approximate"
        fold = self._features.fold
        fitted = "" if fold is None else f"; fitted on fold {fold}"
        return f"{self.representation} ({len(self._index)} frames, {how}{fitted})"

    def find(
        self, frame: str, top: int = 10, *, other_groups: bool = False, mask: Path | None = None
    ) -> Found:
        """The nearest frames of one.

        Parameters
        ----------
        frame : str
            A frame of the run, whose features the run has and which does not find itself, or any other,
            whose features are computed. See :func:`sweeper.similar.frames.find_frame`.
        top : int
        other_groups : bool
            Leave frames of the frame's own group out.
        mask : Path, optional
            Mask file of another frame; by default the run's.
        """
        given = self._spec.mask if mask is None else os.path.abspath(mask)  # noqa: PTH100
        return self._find(find_frame(self._data.dataset, frame, given), top, other_groups)

    def _find(self, query: Frame, top: int, other_groups: bool) -> Found:
        data, index = self._data.dataset, self._index
        position = None if query.row is None else int(np.searchsorted(index.rows, query.row))
        known = position is not None and position < len(index) and index.rows[position] == query.row
        if known:
            vector = index.vectors(np.array([position]))
        else:
            features = self._features.compute(raw_frame(query).prepared(self._choice.pipeline.intensity))
            vector = index.reduced(features[None])
        owner = self._owner() if other_groups else index.rows
        own = -1 if query.row is None else query.row
        if other_groups and query.row is not None and data.groups is not None:
            own = int(data.groups[query.row])
        near, far = index.nearest(vector, top, owner, np.array([own]))
        frames = tuple(
            self._similar(rank, int(index.rows[at]), float(distance))
            for rank, (at, distance) in enumerate(zip(near[0], far[0], strict=True), start=1)
            if at >= 0
        )
        label = None if query.row is None else data.classes[data.labels[query.row]]
        return Found(query, label, frames)

    def _owner(self) -> Rows:
        """Group of each position of the index; each its own where the data set has no groups."""
        groups = self._data.dataset.groups
        return self._index.rows if groups is None else groups[self._index.rows]

    def _similar(self, rank: int, row: int, distance: float) -> Similar:
        data = self._data.dataset
        found = frame_at(data, row)
        label = data.classes[data.labels[row]]
        return Similar(rank, found.name, label, round(distance, 6), found.path, found.index, row)

    # ------------------------------------------------------------------ how good it is

    def precision(self, k: int = 10) -> Precision:
        """Precision at k by class, each frame searched with in turn and left out.

        Frames of the query's own group are left out too, where the data set has groups: a series of
        exposures would find itself. Of a network that was trained here the queries are the frames that it
        was not fitted on, as in a fold's score; the frames to be found are all.
        """
        data, index = self._data.dataset, self._index
        queries = np.searchsorted(index.rows, self._features.unseen)
        n_classes = len(data.classes)
        values, counts = precision_at(index, self._labels, queries, k, self._owner(), n_classes)
        share = np.bincount(self._labels, minlength=n_classes) / len(index)
        classes = tuple(
            ClassPrecision(name, float(values[c]), int(counts[c]), float(share[c]))
            for c, name in enumerate(data.classes)
        )
        fold = self._features.fold if len(self._features.unseen) < len(index) else None
        return Precision(k, classes, self.representation, data.groups is not None, fold)

    # ------------------------------------------------------------------ pictures

    def examples(self, top: int = 10, per_class: int = 2, seed: int = 0) -> list[Found]:
        """Searches with frames drawn from each class, as precision does them."""
        data = self._data.dataset
        rng = np.random.default_rng(seed)
        unseen = self._features.unseen
        rows = [
            row
            for c in range(len(data.classes))
            for row in rng.permutation(unseen[data.labels[unseen] == c])[:per_class].tolist()
        ]
        return [self._find(frame_at(data, row), top, other_groups=True) for row in rows]

    def draw(self, path: Path, found: Sequence[Found]) -> None:
        """Draw searches one under the other; OSError when the file cannot be written."""
        intensity = self._choice.pipeline.intensity
        rows = []
        for one in found:
            shown = [
                thumbnail(frame_at(self._data.dataset, s.row), intensity, s.label, s.distance)
                for s in one.frames
            ]
            rows.append((thumbnail(one.query, intensity, one.label), shown))
        drawing.draw_found(path, rows, f"Nearest frames in {self.about}")


def similarity_precision(run: Path, representation: str | None = None, k: int = 10) -> Precision:
    """Precision at k by class in a representation of a run, by default the best; see :class:`Search`."""
    return Search(run, representation=representation).precision(k)


def draw_retrieval(
    run: Path, path: Path, representation: str | None = None, *, per_class: int = 2, seed: int = 0
) -> None:
    """Draw what is found for frames drawn from each class, as camSortXS Figure 2; PNG or PDF by suffix."""
    search = Search(run, representation=representation)
    search.draw(path, search.examples(per_class=per_class, seed=seed))
