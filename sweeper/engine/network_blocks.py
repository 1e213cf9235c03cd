"""Networks in the feature store: each fit done once, going on from its checkpoint, and read into blocks.

A fit is a function of the network, its parameters, the training rows and the seed. Trials that ask for
the same one wait for each other; a trial that is promoted asks for more epochs of the fit it began.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ray.exceptions import LocalRayletDiedError, NodeDiedError, RayTaskError, WorkerCrashedError

from sweeper import plugins
from sweeper.api import PRETRAINED, scaled_count
from sweeper.atomic import write_text
from sweeper.data.intensity import INTENSITY_VERSION
from sweeper.data.prepared import FrameRef
from sweeper.engine.files import FileActors
from sweeper.engine.resources import Resources
from sweeper.engine.tasks.networks import (
    announce,
    extract_task,
    inputs_task,
    ray_train_task,
    train_task,
)
from sweeper.errors import FitError
from sweeper.features import keys
from sweeper.features.blocks import BlockInfo
from sweeper.features.keys import Contents, FoldRows
from sweeper.networks.fit import Fit, TrainingData
from sweeper.networks.inputs import INPUT_VERSION, Inputs
from sweeper.networks.model import model_path
from sweeper.pipeline import Pipeline, digest
from sweeper.runs.contents import BEST_NETWORKS

_PART = 4096
"""Rows of one block file."""
_ATTEMPTS = 3
"""A process that dies is tried again, from the checkpoint: its machine may have failed."""
_DIED = (WorkerCrashedError, NodeDiedError, LocalRayletDiedError)


@dataclass(frozen=True)
class NetworkSettings:
    """The settings by which networks are fitted.

    Attributes
    ----------
    features, networks : Path
        Where blocks and inputs, and where checkpoints and models are kept.
    labels : int64, (n_frames,)
    groups : int64, (n_frames,), or None
    classes : tuple of str
    seed : int
        Of the sweep: a pretrained network is the same in its reruns.
    weights : dict
        Network to the file of its pretrained weights and the file's digest.
    resources : Resources
    fractions : tuple of float
        Budgets of the rungs, when heads are searched beside other classifiers; else empty.
    ledger : actor handle
    """

    features: Path
    networks: Path
    labels: NDArray[np.int64]
    groups: NDArray[np.int64] | None
    classes: tuple[str, ...]
    seed: int
    weights: dict[str, tuple[str, str]]
    resources: Resources
    fractions: tuple[float, ...]
    ledger: Any


@dataclass(frozen=True)
class NetworkBlock:
    """Files of a network's block, by reference, and what it took to make them."""

    key: str
    files: tuple[Any, ...]
    info: BlockInfo


class NetworkBlocks:
    """Blocks of networks; used by the feature store, which is an actor."""

    def __init__(
        self,
        settings: NetworkSettings,
        shards: Sequence[tuple[FrameRef, ...]],
        shard_digests: Sequence[str],
        folds: dict[int | str, FoldRows],
        files: FileActors,
        stats: dict[str, int],
    ) -> None:
        self._settings = settings
        self._shards = shards
        self._contents = Contents.by(shard_digests)
        self._folds = folds
        self._files = files
        self._stats = stats
        self._blocks: dict[str, NetworkBlock] = {}
        self._failures: dict[str, FitError] = {}
        self._inputs: dict[str, tuple[Inputs, float]] = {}
        self._locks: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._devices = asyncio.Semaphore(settings.resources.slots)

    def forget(self) -> None:
        """Drop references: what they pointed to was lost with its node; disk has it."""
        self._blocks.clear()

    def references(self) -> list[Any]:
        """All block files that are held in the object store."""
        return [file for block in self._blocks.values() for file in block.files]

    # ----------------------------------------------------------------- what a pipeline asks for

    def fit(self, pipeline: Pipeline, fold: int | str) -> Fit:
        """The fit that a pipeline needs on a fold."""
        settings, network, params = (
            self._settings,
            plugins.network(pipeline.featurizer),
            pipeline.featurizer_params,
        )
        trained = params["training_set"] != PRETRAINED
        weights, weights_digest = None, None
        if params.get("weights") == "imagenet":
            weights, weights_digest = settings.weights[network.name]
        snapshots = (
            settings.fractions if trained and not plugins.classifier(pipeline.classifier).is_head else ()
        )
        rows = self._folds[fold]
        fitted_on = [rows.fit_key, *settings.resources.numerics] if trained else []
        seed = rows.seed if trained else settings.seed
        key = keys.network_key(
            network.name,
            params,
            pipeline.intensity,
            weights_digest=weights_digest,
            seed=seed,
            n_classes=len(settings.classes),
            fitted_on=fitted_on,
        )
        return Fit(
            key=key,
            network=network.name,
            params=params,
            intensity=pipeline.intensity,
            classes=settings.classes,
            seed=seed,
            weights=weights,
            folder=settings.networks / key,
            fold=fold,
            snapshots=tuple(scaled_count(params["epochs"], f) for f in snapshots),
        )

    async def block(self, pipeline: Pipeline, fold: int | str, budget: float) -> NetworkBlock:
        """Features and logits of the rows that an evaluation reads; made when they are not there yet."""
        fit, rows, head = (
            self.fit(pipeline, fold),
            self._folds[fold],
            plugins.classifier(pipeline.classifier).is_head,
        )
        epochs = 0
        if fit.params["training_set"] != PRETRAINED:
            epochs = scaled_count(fit.params["epochs"], budget if head else 1.0)
        read, read_key = (rows.scored, rows.scored_key) if head else (rows.read, rows.read_key)
        key = keys.network_block_key(fit.key, epochs, read_key)
        async with self._locks[fit.key]:
            if fit.key in self._failures:  # other classifiers of the same network fail without training it
                raise self._failures[fit.key]
            if key not in self._blocks:
                parts = [
                    (
                        self._settings.features / keys.network_file(fit.network, key, i),
                        read[start : start + _PART],
                    )
                    for i, start in enumerate(range(0, len(read), _PART))
                ]
                found = await self._load([path for path, _ in parts])
                count = "blocks_reused" if found is not None else "blocks_computed"
                if found is None:
                    found = await self._make(fit, epochs, rows.fit, parts, rung=head)
                self._stats[count] += 1
                self._blocks[key] = _joined(key, found)
        return self._blocks[key]

    async def _load(self, paths: list[Path]) -> list[list[Any]] | None:
        """Parts of a block from disk; None when one is missing or damaged."""
        if not all(path.exists() for path in paths):
            return None
        pairs = [self._files.any().load.options(num_returns=2).remote(path) for path in paths]
        infos = [await info for info, _ in pairs]
        if any(info is None for info in infos):
            return None
        return [[info, data] for info, (_, data) in zip(infos, pairs, strict=True)]

    async def _make(
        self,
        fit: Fit,
        epochs: int,
        train: NDArray[np.int64],
        parts: list[tuple[Path, NDArray[np.int64]]],
        *,
        rung: bool,
    ) -> list[list[Any]]:
        inputs, prepare_ms = await self._ready_inputs(fit)
        if epochs:
            await self._train(fit, epochs, train, inputs, rung=rung)
        resources = self._settings.resources

        async def extracted(path: Path, rows: NDArray[np.int64]) -> list[Any]:
            def submit() -> Any:
                task = extract_task.options(name=f"features {fit.network}", **_devices(resources))
                info, data = task.remote(fit, epochs, inputs, rows, prepare_ms, resources)
                return [info, data]

            info, data = await self._on_device(submit, trains=False)
            await self._files.any().write.remote(path, data)
            return [info, data]

        made = await asyncio.gather(*(extracted(path, rows) for path, rows in parts))
        if epochs == fit.params.get("epochs"):
            (fit.folder / "checkpoint.pt").unlink(missing_ok=True)  # there is nothing to go on to
        elif epochs and epochs not in fit.snapshots:
            model_path(fit.folder, epochs).unlink(missing_ok=True)  # its block is there
        return list(made)

    # ----------------------------------------------------------------- inputs and training

    async def _ready_inputs(self, fit: Fit) -> tuple[Inputs, float]:
        """Inputs of all frames at the fit's size, prepared once for all networks that take that size."""
        size = int(fit.params["size"])
        key = digest([INPUT_VERSION, INTENSITY_VERSION, dict(sorted(fit.intensity.items())), size])
        async with self._locks[key]:
            if key not in self._inputs:
                self._settings.features.mkdir(parents=True, exist_ok=True)
                contents = self._contents
                paths = [self._settings.features / f"inputs-{digest([key, d])}.npy" for d in contents.digests]
                times = await asyncio.gather(
                    *(
                        inputs_task.options(name=f"inputs {size} px").remote(
                            self._shards[shard], fit.intensity, size, path, self._files.reader()
                        )
                        for shard, path in zip(contents.shards, paths, strict=True)
                    )
                )
                inputs = Inputs(
                    tuple(str(paths[content]) for content in contents.of),
                    tuple(len(frames) for frames in self._shards),
                )
                self._inputs[key] = (inputs, float(np.median(times)))
        return self._inputs[key]

    async def _train(
        self, fit: Fit, epochs: int, train: NDArray[np.int64], inputs: Inputs, *, rung: bool
    ) -> None:
        """Train to a number of epochs: a whole fit by Ray Train, a rung on one device in one process.

        Ray Train's workers take seconds to start and to report: little for a representation that many
        classifiers use, more than a rung of few epochs takes.
        """
        resources, ledger = self._settings.resources, self._settings.ledger
        data = TrainingData(inputs, self._settings.labels, train, self._settings.groups)
        in_process = rung and resources.workers == 1
        name = f"train {fit.network} fold {fit.fold} to epoch {epochs}"
        await ledger.append_training.remote(announce(fit, len(train), resources))

        def submit() -> Any:
            if in_process:
                task = train_task.options(name=name, **_devices(resources))
            else:
                task = ray_train_task.options(name=name)
            return [task.remote(fit, data, epochs, resources, ledger)]

        try:
            await self._on_device(submit, trains=True)
        except FitError as error:
            self._failures[fit.key] = error
            (fit.folder / "checkpoint.pt").unlink(missing_ok=True)  # it would fail again
            raise
        self._stats["fits_done"] += 1

    async def _on_device(self, submit: Callable[[], list[Awaitable[Any]]], *, trains: bool) -> list[Any]:
        """Run a task once a device is free, again when its process dies; the first return is waited for."""
        async with self._devices:
            self._stats["fits_running"] += trains
            try:
                return await self._attempts(submit)
            finally:
                self._stats["fits_running"] -= trains

    async def _attempts(self, submit: Callable[[], list[Awaitable[Any]]]) -> list[Any]:
        for attempt in range(_ATTEMPTS):
            first, *others = submit()
            try:
                return [await first, *others]
            except _DIED:
                if attempt + 1 == _ATTEMPTS:
                    raise
            except RayTaskError as error:
                raise (error.cause if isinstance(error.cause, Exception) else error) from None
        raise AssertionError

    # ----------------------------------------------------------------- disk

    async def release(self, pipeline: Pipeline) -> None:
        """Remove checkpoints of a trial with a head that goes no further; a finished model stays."""
        for fold in self._folds:
            fit = self.fit(pipeline, fold)
            async with self._locks[fit.key]:
                (fit.folder / "checkpoint.pt").unlink(missing_ok=True)
                if not model_path(fit.folder, fit.params["epochs"]).exists():
                    shutil.rmtree(fit.folder, ignore_errors=True)

    def keep(self, best: list[dict[str, Any]]) -> None:
        """Keep the models of the best trial of each network, list them, and remove all others.

        `best` has ``trial``, ``featurizer``, ``score`` and ``pipeline``, best first. What is removed can be
        made again; what a sweep that goes on needs are blocks, which stay, and checkpoints of fits that its
        time budget ended, which stay too.
        """
        kept, trials = set(), []
        for entry in best:
            pipeline = Pipeline.from_dict(entry["pipeline"])
            fits = [self.fit(pipeline, fold) for fold, rows in self._folds.items() if not rows.rerun]
            paths = dict.fromkeys(model_path(fit.folder, fit.params.get("epochs", 0)) for fit in fits)
            models = [path for path in paths if path.exists()]
            kept |= {path.parent for path in models}
            listed = [str(path.relative_to(self._settings.networks)) for path in models]
            trials.append({k: entry[k] for k in ("trial", "featurizer", "score")} | {"models": listed})
        for folder in self._settings.networks.iterdir() if self._settings.networks.exists() else ():
            if folder.is_dir() and folder not in kept and not (folder / "checkpoint.pt").exists():
                shutil.rmtree(folder, ignore_errors=True)
        if trials:
            text = json.dumps({"trials": trials}, indent=1)
            write_text(self._settings.networks.parent / BEST_NETWORKS, text)


def _devices(resources: Resources) -> dict[str, float]:
    return {"num_cpus": resources.cpus, "num_gpus": resources.gpus}


def _joined(key: str, parts: list[list[Any]]) -> NetworkBlock:
    """One block of several files."""
    infos = [info for info, _ in parts]
    rows = sum(info.rows for info in infos)
    compute_ms = sum(info.compute_ms * info.rows for info in infos) / max(1, rows)
    info = BlockInfo(infos[0].blocks, rows, infos[0].prepare_ms, compute_ms, infos[0].fit_s)
    return NetworkBlock(key, tuple(data for _, data in parts), info)
