"""The data set of a run, as the sweep saw it, and its folds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress

import numpy as np

from sweeper.data.dataset import CountFrames, Dataset, load_dataset
from sweeper.data.duplicates import without_duplicates
from sweeper.data.format import Reading
from sweeper.data.frames import Counted, frame_counts
from sweeper.data.splits import Rows, Split, make_splits
from sweeper.errors import InputError
from sweeper.networks.training_sets import split_share
from sweeper.runs.folder import RunFolder
from sweeper.runs.spec import SweepSpec


@dataclass(frozen=True, eq=False)
class RunData:
    """Frames that took part in a sweep, and how they were split.

    Attributes
    ----------
    dataset : Dataset
    digests : tuple of str
        Digest of each frame.
    splits : list of Split
        Folds, in order.
    apart : int64, (n,), or None
        Rows set apart for representations, in no fold.
    """

    dataset: Dataset
    digests: tuple[str, ...]
    splits: list[Split]
    apart: Rows | None

    def fitted(self, fold: int) -> Rows:
        """Rows that representations are fitted on in a fold."""
        return self.splits[fold].train if self.apart is None else self.apart


def sweep_splits(spec: SweepSpec, dataset: Dataset) -> tuple[list[Split], Rows | None]:
    """Cross-validation folds of a data set, and the rows set apart for representations or None.

    Of a handful of frames beside others that help there are as many folds as the frames allow.
    """
    rows, apart = np.arange(len(dataset)), None
    if spec.representation_share is not None:
        if dataset.helping is not None:
            raise InputError(
                "--representation-share must be left out where frames help: they fit representations in "
                "every fold"
            )
        marks = np.full(len(dataset), "train") if dataset.split is None else np.asarray(dataset.split)
        apart, _ = split_share(
            dataset.labels,
            np.flatnonzero((marks == "train") | (marks == "")),
            spec.representation_share,
            groups=dataset.groups,
            seed=spec.seed,
        )
        rows = np.setdiff1d(rows, apart)
    folds = spec.folds
    if dataset.helping is not None:
        own = np.flatnonzero(dataset.own & np.isin(dataset.split, ("train", "")))
        folds = max(2, min(folds, len(own if dataset.groups is None else np.unique(dataset.groups[own]))))
    elif dataset.domains is not None:
        folds = max(2, min(folds, len(np.unique(dataset.domains[rows]))))
    splits = make_splits(
        dataset.labels[rows],
        dataset.classes,
        groups=None if dataset.groups is None else dataset.groups[rows],
        split=None if dataset.split is None else np.asarray(dataset.split)[rows],
        folds=folds,
        repeats=spec.repeats,
        seed=spec.seed,
        noun="domain" if dataset.hold_out else "group",
        helping=dataset.helping,
    )
    return [Split(rows[s.train], rows[s.validation], s.warnings) for s in splits], apart


def run_data(folder: RunFolder) -> RunData:
    """Read the data set of a sweep again: files are listed, those that the sweep read are not opened.

    Raises
    ------
    ValueError
        The data set is not there or is another by now: frames, labels, groups or splits changed. Also
        before the sweep has read the frames.
    """
    spec = folder.load_spec()
    digests, counter = _known_frames(folder)
    try:
        data = load_dataset(
            spec.data,
            mask=spec.mask,
            allow_outside=spec.allow_outside,
            skip_bad=True,
            group_by=spec.group_by,
            hold_out=spec.hold_out,
            helping=spec.helping,
            counter=counter,
            reading=spec.reading,
        )
    except OSError as error:
        raise InputError(f"{spec.data}: {error.strerror or error}") from None
    frames = zip(data.paths, data.index.tolist(), strict=True)
    found = [digests.get(frame, "") for frame in frames]  # an empty digest: a frame left out
    keep = np.array([digest != "" for digest in found])
    if not keep.all():
        data = data.subset(keep)
    kept = tuple(digest for digest in found if digest)
    if spec.drop_duplicates:
        stays, _ = without_duplicates(data, kept)
        data, kept = data.subset(stays), tuple(compress(kept, stays))
    if data.digest(kept) != folder.read_environment().get("dataset_digest"):
        raise InputError(
            f"{spec.data}: the data set must be as the sweep saw it, its frames, labels, groups or splits "
            "changed since"
        )
    return RunData(data, kept, *sweep_splits(spec, data))


def _known_frames(
    folder: RunFolder,
) -> tuple[dict[tuple[str, int], str], CountFrames]:
    """Digest of each frame that the sweep read, and what counts the frames of files by them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        columns = pq.read_table(folder.frames, columns=["path", "index", "digest"]).to_pydict()
    except (OSError, pa.ArrowException):
        raise InputError(f"{folder.path}: no frames here: the sweep has not read them yet") from None
    frames = list(zip(columns["path"], columns["index"], strict=True))
    counts: dict[str, int] = {}
    for path, index in frames:
        counts[path] = max(counts.get(path, 0), index + 1)

    def count(paths: Sequence[str], reading: Reading) -> list[Counted | str]:
        unknown = [path for path in paths if path not in counts]
        opened = dict(zip(unknown, frame_counts(unknown, reading), strict=True))
        return [Counted(counts[path]) if path in counts else opened[path] for path in paths]

    return dict(zip(frames, columns["digest"], strict=True)), count
