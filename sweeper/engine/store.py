"""The feature store: every block computed once for the sweep, however many trials ask at once.

One actor knows which files of blocks there are, on disk and in Ray's object store, and submits the
tasks that compute what is missing. Files on disk are the truth; object references are a cache that a
restarted actor builds again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayTaskError, WorkerCrashedError

from sweeper import plugins
from sweeper.api import Params
from sweeper.data.prepared import FrameRef
from sweeper.engine.causes import cause_of
from sweeper.engine.cluster import quieten
from sweeper.engine.files import FileActors
from sweeper.engine.limits import Limits
from sweeper.engine.network_blocks import NetworkBlocks, NetworkSettings
from sweeper.engine.private.core import bytes_held
from sweeper.engine.tasks.blocks import codebook_task, featurize_task
from sweeper.errors import StoppedError
from sweeper.features import keys
from sweeper.features.blocks import BlockInfo, read_info
from sweeper.features.keys import Contents, FoldRows
from sweeper.features.names import block_name
from sweeper.features.representation import NetworkFeatures, Words, representation
from sweeper.pipeline import Pipeline, digest


@dataclass(frozen=True)
class StoredFeatures:
    """Features of all frames that a single featurizer gives, by reference.

    Attributes
    ----------
    layout : tuple of int
        Number of files in each shard.
    files : tuple of ObjectRef
        Parquet bytes, shard after shard.
    key : str
        Names the content: equal keys, equal features.
    prepare_ms, compute_ms : float
        Time a frame takes: reading and intensities; its features.
    fit_s : float
        Time it took to train the network that they come from.
    """

    layout: tuple[int, ...]
    files: tuple[Any, ...]
    key: str
    prepare_ms: float
    compute_ms: float
    fit_s: float = 0.0


def ms_per_frame(features: Sequence[StoredFeatures]) -> float:
    """Return the time to featurize one frame, which is read once for all featurizers."""
    return max(part.prepare_ms for part in features) + sum(part.compute_ms for part in features)


@dataclass(frozen=True)
class StoreSettings:
    """The settings of a store.

    Attributes
    ----------
    folder : Path
        Where block files are kept.
    shards : tuple of tuple of FrameRef
        Frames of the data set, in its order.
    shard_digests : tuple of str
        Digest of the frames of each shard, masks included.
    wanted : dict
        Featurizer to the blocks that the space can ask for; a pass over the frames computes all
        that are missing, because reading costs as much as computing.
    folds : dict
        Rows of each fold, and of ``"test"`` where there is a test split.
    limits : Limits
        Of a featurizer on one frame, and of a codebook.
    networks : NetworkSettings
    files : FileActors
        On the driver's machine.
    """

    folder: Path
    shards: tuple[tuple[FrameRef, ...], ...]
    shard_digests: tuple[str, ...]
    wanted: dict[str, list[dict[str, Any]]]
    folds: dict[int | str, FoldRows]
    limits: Limits
    networks: NetworkSettings
    files: FileActors


@dataclass
class _File:
    """A block file in the object store."""

    data: Any
    info: BlockInfo


@dataclass
class _Family:
    """Blocks of one featurizer at one setting of intensities: files of each content, see `Contents`."""

    contents: list[list[_File]]
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    failure: Exception | None = None
    """Why its blocks cannot be computed: a featurizer that ran into its limit is not asked again."""

    def blocks(self, content: int) -> set[str]:
        return {block for file in self.contents[content] for block in file.info.blocks}


class FeatureStore:
    """Actor; see the module. All methods may be called again after a restart."""

    def __init__(self, ledger: str) -> None:
        """Ask the actor named `ledger` for :class:`StoreSettings`; a restarted store asks again."""
        quieten()
        settings: StoreSettings = ray.get(ray.get_actor(ledger).store_settings.remote())
        self._settings = settings
        self._files = settings.files
        self._contents = Contents.by(settings.shard_digests)
        # A worker of a Ray that runs already keeps matrices of the sweeps before this one.
        self._frames_key = digest(settings.shard_digests)
        self._families: dict[str, _Family] = {}
        self._codebooks: dict[str, _File] = {}
        self._codebook_locks: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._stats = dict.fromkeys(
            (
                "blocks_computed",
                "blocks_reused",
                "shards_done",
                "shards_total",
                "frames_featurized",
                "fits_running",
                "fits_done",
            ),
            0,
        )
        self._networks = NetworkBlocks(
            settings.networks,
            settings.shards,
            settings.shard_digests,
            settings.folds,
            settings.files,
            self._stats,
        )

    async def stats(self) -> dict[str, int]:
        """Blocks computed and reused so far (a block counts once all its shards are there), bytes held."""
        return {**self._stats, "bytes_held": self._bytes_held()}

    def _bytes_held(self) -> int:
        """Size of all block files in the object store; asks no other process."""
        files = [f for family in self._families.values() for content in family.contents for f in content]
        refs = [f.data for f in [*files, *self._codebooks.values()]] + self._networks.references()
        return bytes_held(refs)

    async def forget(self) -> None:
        """Drop all references: what they pointed to was lost with its node; disk has it."""
        self._families.clear()
        self._codebooks.clear()
        self._networks.forget()

    async def features(
        self, pipeline: Pipeline, fold: int | str, budget: float
    ) -> tuple[StoredFeatures, ...]:
        """Features of each featurizer that a pipeline asks for on a fold; computed when not there yet.

        The budget matters to a network's own head alone: every other classifier gets features of a
        network that was trained fully.
        """
        textures = [choice.name for choice in pipeline.features if choice.name in self._settings.wanted]
        if len(textures) > 1:
            await self._try_together(pipeline.intensity, textures)
        asked = (self._single(single, fold, budget) for single in pipeline.singles)
        found = []
        for outcome in await asyncio.gather(*asked, return_exceptions=True):
            if isinstance(outcome, BaseException):  # that of the first featurizer, whichever came first
                raise outcome
            found.append(outcome)
        return tuple(found)

    async def _single(self, pipeline: Pipeline, fold: int | str, budget: float) -> StoredFeatures:
        """Features of a single featurizer."""
        kind = representation(pipeline, len(self._settings.networks.classes))
        if isinstance(kind, NetworkFeatures):
            block = await self._networks.block(pipeline, fold, budget)
            info = block.info
            return StoredFeatures(
                (len(block.files),), block.files, block.key, info.prepare_ms, info.compute_ms, info.fit_s
            )
        families = await self._ensure(pipeline.intensity, [pipeline.featurizer])
        family = families[pipeline.featurizer]
        if isinstance(kind, Words):
            return await self._codebook(kind, family, pipeline, self._settings.folds[fold])
        shards = [
            [f for f in files if kind.block_names & set(f.info.blocks)] for files in self._by_shard(family)
        ]
        return StoredFeatures(
            tuple(len(files) for files in shards),
            tuple(f.data for files in shards for f in files),
            digest([keys.family_key(pipeline.featurizer, pipeline.intensity), self._frames_key]),
            *_ms_per_frame(shards, kind.block_names),
        )

    async def release(self, pipeline: Pipeline) -> None:
        """A trial ended: what only its promotion would have needed is removed."""
        if plugins.classifier(pipeline.classifier).is_head:
            await self._networks.release(pipeline)

    async def keep(self, best: list[dict[str, Any]]) -> None:
        """The search ended: models of the best trial of each network stay, see :class:`NetworkBlocks`."""
        self._networks.keep(best)

    # ----------------------------------------------------------------- blocks that need no fit

    async def ensure(self, intensity: Params, featurizers: list[str]) -> None:
        """Have all wanted blocks of some featurizers at one setting of intensities.

        Missing blocks of all of them are computed in one pass over the frames.
        """
        await self._ensure(intensity, featurizers)

    async def _try_together(self, intensity: Params, featurizers: list[str]) -> None:
        """Have the blocks of several featurizers in one pass over the frames.

        Where one of them fails it is not told which: each is then asked for alone, and fails for itself.
        """
        with contextlib.suppress(RayTaskError, WorkerCrashedError):
            await self._ensure(intensity, featurizers)

    async def _ensure(self, intensity: Params, featurizers: list[str]) -> dict[str, _Family]:
        """The families, complete; whoever forgets them meanwhile does not change what is returned."""
        families = {name: self._family(intensity, name) for name in sorted(featurizers)}
        async with _all(family.lock for family in families.values()):
            if failure := next((f.failure for f in families.values() if f.failure is not None), None):
                raise failure
            missing = await self._missing(intensity, families)
            self._stats["shards_total"] += len(missing)
            try:
                await asyncio.gather(
                    *(
                        self._featurize(intensity, families, content, jobs)
                        for content, jobs in missing.items()
                    )
                )
            except (RayTaskError, WorkerCrashedError) as error:
                passing = isinstance(cause_of(error), OSError | StoppedError)  # there may be room again
                if len(families) == 1 and not passing:
                    next(iter(families.values())).failure = error
                raise
        return families

    def _family(self, intensity: Params, featurizer: str) -> _Family:
        key = keys.family_key(featurizer, intensity)
        if key not in self._families:
            self._families[key] = _Family([[] for _ in self._contents.digests])
        return self._families[key]

    def _by_shard(self, family: _Family) -> list[list[_File]]:
        """Return the files of each shard; shards of equal content share them."""
        return [family.contents[content] for content in self._contents.of]

    def _prefix(self, intensity: Params, featurizer: str, content: int) -> str:
        return keys.shard_prefix(featurizer, intensity, self._contents.digests[content])

    async def _missing(
        self, intensity: Params, families: dict[str, _Family]
    ) -> dict[int, dict[str, list[dict[str, Any]]]]:
        """Return what has to be computed, by content, after loading what is on disk."""
        missing: dict[int, dict[str, list[dict[str, Any]]]] = defaultdict(dict)
        for name, family in families.items():
            wanted = {block_name(name, block): block for block in self._settings.wanted[name]}
            if all(wanted.keys() <= family.blocks(content) for content in range(len(family.contents))):
                continue
            await asyncio.gather(
                *(self._load(family, content, self._prefix(intensity, name, content), set(wanted))
                  for content in range(len(family.contents)))
            )  # fmt: skip
            absent: set[str] = set()
            for content in range(len(family.contents)):
                lacking = sorted(wanted.keys() - family.blocks(content))
                absent |= set(lacking)
                if lacking:
                    missing[content][name] = [wanted[b] for b in lacking]
            self._stats["blocks_reused"] += len(wanted.keys() - absent)
            self._stats["blocks_computed"] += len(absent)
        return missing

    async def _load(self, family: _Family, content: int, prefix: str, wanted: set[str]) -> None:
        """Take files of this content from disk until all is there; damaged ones are removed."""
        for path in sorted(self._settings.folder.glob(f"{prefix}-*.parquet")):
            info = read_info(path)
            if info is not None and not (set(info.blocks) & wanted) - family.blocks(content):
                continue
            info, data = await self._load_file(path)
            if info is None:
                path.unlink(missing_ok=True)
            else:
                family.contents[content].append(_File(data, info))

    async def _featurize(
        self,
        intensity: Params,
        families: dict[str, _Family],
        content: int,
        jobs: dict[str, list[dict[str, Any]]],
    ) -> None:
        shard = self._contents.shards[content]
        task = featurize_task.options(name=f"block {'+'.join(jobs)} shard {shard}", num_returns=1 + len(jobs))
        infos_ref, *files = task.remote(
            self._settings.shards[shard], intensity, jobs, self._settings.limits, self._files.reader()
        )
        infos = await infos_ref
        for name, info, data in zip(jobs, infos, files, strict=True):
            file = f"{self._prefix(intensity, name, content)}-{digest(sorted(info.blocks))}.parquet"
            await self._files.any().write.remote(self._settings.folder / file, data)
            families[name].contents[content].append(_File(data, info))
        self._stats["shards_done"] += 1
        self._stats["frames_featurized"] += len(self._settings.shards[shard])

    async def _load_file(self, path: Path) -> tuple[BlockInfo | None, Any]:
        """Return a file's own description and its bytes by reference; None when it is damaged."""
        info, data = self._files.any().load.options(num_returns=2).remote(path)
        return await info, data

    # ----------------------------------------------------------------- blocks fitted on a fold

    async def _codebook(
        self, kind: Words, family: _Family, pipeline: Pipeline, rows: FoldRows
    ) -> StoredFeatures:
        """A bag of visual words: one block fitted on the training rows of a fold."""
        name, params = pipeline.featurizer, pipeline.featurizer_params
        shards = self._settings.shard_digests
        key = keys.codebook_key(name, params, pipeline.intensity, shards, rows.fit_key)
        async with self._codebook_locks[key]:
            if key not in self._codebooks:
                self._codebooks[key] = await self._fit_codebook(key, family, name, params, rows)
        file = self._codebooks[key]
        prepare_ms, compute_ms = _ms_per_frame(self._by_shard(family), kind.block_names)
        return StoredFeatures((1,), (file.data,), key, prepare_ms, compute_ms + file.info.compute_ms)

    async def _fit_codebook(
        self, key: str, family: _Family, name: str, params: Params, rows: FoldRows
    ) -> _File:
        path = self._settings.folder / keys.codebook_file(name, key)
        if path.exists():
            found, data = await self._load_file(path)
            if found is not None:
                self._stats["blocks_reused"] += 1
                return _File(data, found)
        shards = self._by_shard(family)
        layout = [len(files) for files in shards]
        files = [f.data for shard in shards for f in shard]
        task = codebook_task.options(name=f"block {block_name(name, params)}")
        seed = keys.codebook_seed(rows.fit_key)
        info_ref, data = task.remote(name, params, rows.fit, seed, self._settings.limits, layout, *files)
        info = await info_ref
        await self._files.any().write.remote(path, data)
        self._stats["blocks_computed"] += 1
        return _File(data, info)


class _all:  # noqa: N801 - reads as a statement: async with _all(locks)
    """Hold several locks; always taken in the same order, so that no two holders wait for each other."""

    def __init__(self, locks: Any) -> None:
        self._locks = list(locks)

    async def __aenter__(self) -> None:
        for lock in self._locks:
            await lock.acquire()

    async def __aexit__(self, *exception: object) -> None:
        for lock in reversed(self._locks):
            lock.release()


def _ms_per_frame(shards: list[list[_File]], names: set[str]) -> tuple[float, float]:
    """Time one frame takes: reading it once, and the share of each file's blocks that is used."""
    rows = max(1, sum(max((f.info.rows for f in files), default=0) for files in shards))
    prepare_ms = compute_ms = 0.0
    for files in shards:
        used = [(f.info, len(names & set(f.info.blocks)) / len(f.info.blocks)) for f in files]
        prepare_ms += max((i.prepare_ms * i.rows for i, share in used if share), default=0.0)
        compute_ms += sum(share * i.compute_ms * i.rows for i, share in used)
    return prepare_ms / rows, compute_ms / rows


FeatureStoreActor = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1, max_concurrency=1000)(
    FeatureStore
)
