"""A sweep from frames to leaderboard, stage after stage."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from sweeper import plugins
from sweeper.api import Network
from sweeper.data.dataset import Dataset, load_dataset
from sweeper.data.splits import Fold, Rows, Split, split_warnings, test_rows
from sweeper.engine import nodes
from sweeper.engine.cluster import connected
from sweeper.engine.files import FileActors, start_file_actors
from sweeper.engine.metrics import check_logger
from sweeper.engine.network_blocks import FoldRows
from sweeper.engine.tasks.networks import Resources
from sweeper.engine.training import check_sizes, find_all_weights, networks, training_resources
from sweeper.errors import BadFramesError, InputError, StoppedError
from sweeper.features import keys
from sweeper.features.blocks import block_grid
from sweeper.pipeline import digest
from sweeper.runs.data import sweep_splits
from sweeper.runs.ensemble import run_leaderboard
from sweeper.runs.folder import RunFolder, write_frame_list
from sweeper.runs.journal import read_journal
from sweeper.runs.leaderboard import build_leaderboard, write_csv
from sweeper.runs.progress import Progress
from sweeper.runs.spec import SweepSpec
from sweeper.space.domains import Options
from sweeper.space.space import Space

_MISSING = "no such file"
_CLOSING_S = 3.0
"""Time that ending takes: trials wound up, the leaderboard written, Ray shut down."""


@dataclass(frozen=True)
class Inputs:
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
        labels, groups = self.dataset.labels, self.dataset.groups
        rows: dict[int | str, FoldRows] = {}
        for name, fold in folds.items():
            train, validation = fold.split.train, fold.split.validation
            fit = train if self.representation is None else self.representation
            fit_key = keys.fit_key(self.frame_digests, labels, groups, fit, fold.seed)
            if fold.rerun:  # the rows of a fold that is there already
                rows[name] = replace(rows[fold.number], fit_key=fit_key, seed=fold.seed, rerun=True)
                continue
            read = np.sort(np.concatenate([train, validation]))
            read_keys = [keys.read_key(self.frame_digests, r) for r in (read, validation)]
            rows[name] = FoldRows(fit, fit_key, read, read_keys[0], validation, read_keys[1], fold.seed)
        return rows

    def fold_digests(self, folds: Mapping[int | str, Fold]) -> dict[int | str, str]:
        """Digest of each fold's rows."""
        apart = [] if self.representation is None else [self.representation.tolist()]
        digests = {
            fold.number: digest([fold.split.train.tolist(), fold.split.validation.tolist(), *apart])
            for fold in folds.values()
            if not fold.rerun
        }
        return {name: digests[fold.number] for name, fold in folds.items()}


def run_sweep(spec: SweepSpec, out: Path, progress: Progress, *, dashboard: bool = False) -> Any:
    """Run or resume the sweep of `spec` in the folder `out`.

    Returns
    -------
    pandas.DataFrame
        The leaderboard, also written to ``leaderboard.csv``.

    Raises
    ------
    ValueError
        Bad input, before compute is spent.
    StoppedError
        The disk is full or the folder is gone; running the same command again goes on.
    """
    started = time.monotonic()
    deadline = float("inf")
    if spec.time_budget_s:
        deadline = started + spec.time_budget_s - min(_CLOSING_S, 0.05 * spec.time_budget_s)
    space, dataset = check(spec)
    weights = find_all_weights(space, spec)
    folder = RunFolder(out)
    folder.claim(spec)
    progress.state.metric, progress.state.time_budget_s = spec.metric, spec.time_budget_s
    progress.stage("starting Ray")
    with connected(
        spec.address, spec.cpus, object_store_gb=spec.object_store_gb, dashboard=dashboard
    ) as cpus:
        from sweeper.engine.search import run_search

        resources = training_resources(spec, space)
        files = start_file_actors(None if spec.address is None else samples_of(dataset))
        if spec.address is not None:
            check_nodes(spec, space, folder)
        inputs = examine(spec, dataset, folder, space, progress, files)
        data_digest = inputs.dataset.digest(inputs.frame_digests)
        folder.check_dataset(data_digest)
        folder.write_environment(environment(inputs, data_digest, cpus))
        cluster = Cluster(resources, files)
        try:
            run_search(spec, space, inputs, data_digest, weights, cluster, folder, progress, deadline)
        finally:
            folder.add_session(progress.session())
    return write_leaderboard(spec, folder, len(inputs.splits), ensemble=True)


def check(spec: SweepSpec) -> tuple[Space, Dataset]:
    """Everything that can be checked without reading pixels.

    Files that cannot be opened are in the data set's `quarantined`: :func:`examine` reports them
    together with frames whose pixels are bad.
    """
    space = spec.load_space()
    _check_plugins(spec, space)
    for name in spec.log:
        check_logger(name)
    check_sizes(space)
    dataset = _load(spec)
    sweep_splits(spec, dataset)
    return space.for_classes(dataset.classes), dataset


def _check_plugins(spec: SweepSpec, space: Space) -> None:
    """Raise InputError unless the search fits the space, and all that the plugins need is installed."""
    if plugins.search(spec.search).exhaustive and space.size == float("inf"):
        raise InputError(
            f"search {spec.search}: space {space.name} has a range (low, high); a grid needs lists"
        )
    plugins.check_installed("search", [spec.search])
    plugins.check_installed("featurizer", [part.name for part in space.parts["featurizer"]])
    plugins.check_installed("classifier", [part.name for part in space.parts["classifier"]])


def _load(spec: SweepSpec) -> Dataset:
    options: dict[str, Any] = {"mask": spec.mask, "allow_outside": spec.allow_outside}
    try:
        return load_dataset(spec.data, **options)
    except BadFramesError as bad:
        if not spec.skip_bad and any(reason == _MISSING for _, reason in bad.problems):
            raise  # a wrong manifest, not bad frames: no need to read what is there
        try:
            return load_dataset(spec.data, skip_bad=True, **options)
        except ValueError:
            raise bad from None


@dataclass(frozen=True)
class Cluster:
    """What the cluster has for a sweep.

    Attributes
    ----------
    resources : Resources
        What training one network takes.
    files : FileActors
        On the driver's machine.
    """

    resources: Resources
    files: FileActors


def samples_of(dataset: Dataset) -> tuple[tuple[str, str], ...]:
    """Files by which a node can tell whether it sees the data set, with their stamps here."""
    paths = [str(Path(dataset.paths[row]).resolve()) for row in (0, len(dataset) - 1)]
    return tuple((path, nodes.stamp(path)) for path in paths)


def check_nodes(spec: SweepSpec, space: Space, folder: RunFolder) -> None:
    """Ask the nodes of a cluster, before anything is spent.

    Raises
    ------
    ValueError
        A node runs other code or versions; networks are searched and a node does not see the run folder,
        where they keep their inputs and checkpoints.
    """
    folders = [folder.path, *([Path(spec.features)] if spec.features else [])]
    markers = [nodes.marker(path.resolve()) for path in folders]
    try:
        found = nodes.probe([str(path) for path in markers])
    finally:
        for path in markers:
            path.unlink(missing_ok=True)
    for path in markers if networks(space) else ():
        if unseeing := nodes.unseeing(found, str(path)):
            raise InputError(
                f"{path.parent}: networks need a folder that every node sees, {', '.join(unseeing)} does not"
            )


def examine(
    spec: SweepSpec,
    dataset: Dataset,
    folder: RunFolder,
    space: Space,
    progress: Progress,
    files: FileActors,
) -> Inputs:
    """Read every frame once: refuse bad ones, or leave them out with ``skip_bad``; split the rest."""
    from sweeper.engine.scan import scan

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
    test = test_rows(dataset.split)
    rest = np.setdiff1d(np.arange(len(dataset)), test if apart is None else np.concatenate([test, apart]))
    return Inputs(
        dataset,
        tuple(report.digest for report in reports if report.error is None),
        splits,
        apart,
        Split(rest, test) if len(test) else None,
    )


def environment(inputs: Inputs, data_digest: str, cpus: int) -> dict[str, Any]:
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


def wanted_blocks(space: Space) -> dict[str, list[dict[str, Any]]]:
    """Blocks that a space can ask for, by featurizer; networks have none before they are fitted."""
    wanted = {}
    for part in space.parts["featurizer"]:
        values: dict[str, list[Any]] = {}
        featurizer = plugins.featurizer(part.name)
        if isinstance(featurizer, Network):
            continue
        for axis in featurizer.axes:
            domain = part.domains[axis.name]
            chosen = domain.values if hasattr(domain, "values") else list(domain.grid())
            flat = [v for c in chosen for v in (c if axis.many and isinstance(c, tuple) else (c,))]
            values[axis.name] = list(dict.fromkeys(flat))
        wanted[part.name] = block_grid(values)
    return wanted


def write_leaderboard(spec: SweepSpec, folder: RunFolder, folds: int, *, ensemble: bool = False) -> Any:
    """Build the leaderboard from the journal and write it; returns it. With the ensemble once, at the end.

    Raises
    ------
    StoppedError
        It cannot be written.
    """
    if ensemble:
        board = run_leaderboard(folder, metric=spec.metric, folds=folds)
    else:
        board = build_leaderboard(read_journal(folder.journal), metric=spec.metric, folds=folds)
    try:
        write_csv(board, folder.leaderboard)
    except OSError as error:
        raise StoppedError(f"{folder.leaderboard}: {error.strerror}; nothing recorded is lost") from None
    return board
