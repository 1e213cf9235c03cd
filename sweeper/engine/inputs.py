"""The frames of a sweep: read in full once, bad ones refused or left out, the rest split."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any

import numpy as np

from sweeper.data.dataset import Dataset
from sweeper.data.duplicates import duplicates_note, without_duplicates
from sweeper.data.frames import invalid_pixels
from sweeper.data.splits import Fold, Rows, Split, rows_of_test, split_warnings
from sweeper.engine.files import FileActors
from sweeper.engine.scan import scan
from sweeper.errors import BadFramesError
from sweeper.features import keys
from sweeper.features.keys import FoldRows
from sweeper.pipeline import digest
from sweeper.runs.data import sweep_splits
from sweeper.runs.folder import RunFolder, write_frame_list
from sweeper.runs.progress import Progress
from sweeper.runs.spec import SweepSpec
from sweeper.runs.versions import package_versions
from sweeper.space.domains import Options
from sweeper.space.space import Space


@dataclass(frozen=True)
class SweepInputs:
    """Frames that take part, and how they are split.

    Attributes
    ----------
    dataset : Dataset
    frame_digests : tuple of str
    splits : list of Split
    representation : int64, (n,), or None
        Rows that representations are fitted on, in no split; None: the training rows of each.
    test : Split or None
    notes : tuple of str
        What a reader of the scores should know about the frames, a line each.
    """

    dataset: Dataset
    frame_digests: tuple[str, ...]
    splits: list[Split]
    representation: Rows | None
    test: Split | None
    notes: tuple[str, ...] = ()

    def folds(self, seed: int, reruns: int) -> dict[int | str, Fold]:
        """Folds by name: of the cross-validation, of the test split where there is one, and of the reruns."""
        folds = [Fold(number, split, seed) for number, split in enumerate(self.splits)]
        again = [Fold(f.number, f.split, seed + r, rerun=True) for r in range(1, reruns + 1) for f in folds]
        test = [] if self.test is None else [Fold("test", self.test, seed)]
        return {fold.name: fold for fold in [*folds, *test, *again]}

    def fold_rows(self, folds: Mapping[int | str, Fold]) -> dict[int | str, FoldRows]:
        """Rows of each fold with digests of what stands in them: what fits inside it depend on."""
        data = self.dataset
        return keys.fold_rows(folds, self.frame_digests, data.labels, data.groups, self.representation)

    def fold_digests(self, folds: Mapping[int | str, Fold]) -> dict[int | str, str]:
        """Digest of each fold's rows; folds of equal rows, in repeats of few frames, have different ones."""
        apart = [] if self.representation is None else [self.representation.tolist()]
        digests: dict[int | str, str] = {}
        for fold in folds.values():
            if not fold.rerun:
                rows = digest([fold.split.train.tolist(), fold.split.validation.tolist(), *apart])
                known = rows in digests.values()
                digests[fold.number] = digest([rows, fold.number]) if known else rows
        return {name: digests[fold.number] for name, fold in folds.items()}


def examine(
    spec: SweepSpec,
    dataset: Dataset,
    folder: RunFolder,
    space: Space,
    progress: Progress,
    files: FileActors,
) -> SweepInputs:
    """Read every frame once: refuse bad ones, or leave them out with ``skip_bad``; split the rest."""
    progress.stage(f"checking {len(dataset)} frames")
    negative = space.parts["intensity"][0].domains["negative"]
    masked = not isinstance(negative, Options) or "masked" in negative.values
    reports = scan(
        dataset,
        folder.frames,
        "masked" if masked else "valid",
        lambda done, n: progress.restage(f"checking frames, {done} of {n}"),
        files.reader,
    )
    good = np.array([report.error is None for report in reports])
    bad = [(dataset.names[i], str(reports[i].error)) for i in np.flatnonzero(~good)]
    left_out = [*dataset.quarantined, *bad]
    if left_out and not spec.skip_bad:
        raise BadFramesError(spec.data, sorted(left_out))
    if left_out:
        progress.note(f"{len(left_out)} bad frames left out, listed in {folder.quarantine}")
    if bad:
        dataset = dataset.subset(good, bad)
    digests = [report.digest for report in reports if report.error is None]
    notes = invalid_pixels(reports)
    if spec.drop_duplicates:
        dataset, digests, equal, dropped = _distinct(dataset, digests)
        notes += dropped
        left_out += equal
    if left_out:
        write_frame_list(folder.quarantine, left_out)
    splits, apart = sweep_splits(spec, dataset)
    scored = np.unique(dataset.labels[dataset.own])
    notes += split_warnings(splits, dataset.labels, dataset.classes, scored)
    if equal_note := duplicates_note(dataset, digests, splits, apart):
        notes.append(equal_note)
    for note in notes:
        progress.note(f"note: {note}")
    test = rows_of_test(dataset.split)
    rest = np.setdiff1d(np.arange(len(dataset)), test if apart is None else np.concatenate([test, apart]))
    return SweepInputs(
        dataset,
        tuple(digests),
        splits,
        apart,
        Split(rest, test) if len(test) else None,
        tuple(notes),
    )


def _distinct(
    dataset: Dataset, digests: list[str]
) -> tuple[Dataset, list[str], list[tuple[str, str]], list[str]]:
    """Return a data set without frames that are equal to others, its digests, who went and why, and notes."""
    keep, equal = without_duplicates(dataset, digests)
    if not equal:
        return dataset, digests, [], []
    smaller = dataset.subset(keep)
    notes = [f"{len(equal)} frames that are equal to others left out, listed in quarantine.csv"]
    gone = sorted(set(np.unique(dataset.split).tolist()) - set(np.unique(smaller.split).tolist()))
    notes += [f"no frame of the split {name} is left: each is equal to another one" for name in gone]
    return smaller, list(compress(digests, keep)), equal, notes


def environment(inputs: SweepInputs, notes: Sequence[str], data_digest: str, cpus: int) -> dict[str, Any]:
    """Return versions, hardware, and what the data set was, with notes about it."""
    helping = inputs.dataset.helping
    return {
        "sweeper": importlib.metadata.version("sweeper"),
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "cpus": cpus,
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "dataset_digest": data_digest,
        "frames": len(inputs.dataset),
        "classes": list(inputs.dataset.classes),
        "class_counts": inputs.dataset.class_counts(),
        **({} if helping is None else {"helping": int(helping.sum())}),
        "folds": len(inputs.splits),
        "notes": [*notes, *inputs.notes],
        "packages": package_versions(),
    }
