"""The frames of a sweep: read in full once, bad ones refused or left out, the rest split."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sweeper.data.dataset import Dataset
from sweeper.data.frames import invalid_pixels
from sweeper.data.splits import Fold, Rows, Split, rows_of_test, split_warnings
from sweeper.engine import nodes
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
    """

    dataset: Dataset
    frame_digests: tuple[str, ...]
    splits: list[Split]
    representation: Rows | None
    test: Split | None

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
        """Digest of each fold's rows."""
        apart = [] if self.representation is None else [self.representation.tolist()]
        digests = {
            fold.number: digest([fold.split.train.tolist(), fold.split.validation.tolist(), *apart])
            for fold in folds.values()
            if not fold.rerun
        }
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
    for note in [*dataset.notes, *invalid_pixels(reports)]:
        progress.note(f"note: {note}")
    good = np.array([report.error is None for report in reports])
    bad = [(dataset.names[i], str(reports[i].error)) for i in np.flatnonzero(~good)]
    quarantined = [*dataset.quarantined, *bad]
    if quarantined and not spec.skip_bad:
        raise BadFramesError(spec.data, sorted(quarantined))
    if quarantined:
        write_frame_list(folder.quarantine, quarantined)
        progress.note(f"{len(quarantined)} bad frames left out, listed in {folder.quarantine}")
    if bad:
        dataset = dataset.subset(good, bad)
    splits, apart = sweep_splits(spec, dataset)
    for warning in split_warnings(splits, dataset.labels, dataset.classes):
        progress.note(f"note: {warning}")
    test = rows_of_test(dataset.split)
    rest = np.setdiff1d(np.arange(len(dataset)), test if apart is None else np.concatenate([test, apart]))
    return SweepInputs(
        dataset,
        tuple(report.digest for report in reports if report.error is None),
        splits,
        apart,
        Split(rest, test) if len(test) else None,
    )


def environment(inputs: SweepInputs, data_digest: str, cpus: int) -> dict[str, Any]:
    """Versions, hardware, and what the data set was."""
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
        "folds": len(inputs.splits),
        "packages": nodes.package_versions(),
    }
