"""Bytes that evaluations pull from node to node: Ray's own placement, and tasks spread evenly.

Two raylets on this machine, each with one core and an object store of its own, compute the blocks between
them. The same evaluations then run twice, three trials at a time as on two cores: as the engine submits
them, block files being arguments of the task so that Ray prefers the node that holds more of them, and with
Ray's strategy SPREAD. What a node's object store took in meanwhile was pulled from the other: the results of
evaluations are small and travel in messages.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from _scale_engine import Engine, engine
from _scale_sweeps import write_noise

from sweeper.engine import evaluator as evaluators
from sweeper.pipeline import Pipeline
from sweeper.runs.records import Scored
from sweeper.runs.spec import SweepSpec

NODES, SIZE_PX, CLASSIFIERS = 2, 64, 6
SPACES: dict[str, dict[str, Any]] = {
    "texture blocks": {
        "glcm": {"distance": [[1], [2], [4], [1, 2, 4, 5, 8]], "angle_deg": [[0, 45, 90, 135]]},
        "lbp": {"points": [8, 16], "radius": [1, 2, 3]},
    },
    "codebooks": {"sift": {"clusters": [40, 60, 80]}},
}
"""Shards of blocks lie on both nodes, and every representation needs all shards; a codebook is one file."""
FRAMES = {"texture blocks": 16_384, "codebooks": 2_048}
"""Enough that no file is below 100 KB: such files travel in messages, which nobody counts."""


@dataclass(frozen=True)
class Moved:
    """Bytes pulled between nodes by evaluations.

    Attributes
    ----------
    evaluations : int
    held : int
        Bytes of the blocks in the object stores before.
    ours, spread : int
        Bytes pulled with Ray's own placement and with SPREAD.
    """

    evaluations: int
    held: int
    ours: int
    spread: int


@contextmanager
def two_nodes() -> Iterator[str]:
    """A cluster of two raylets here; gives its address."""
    from ray.cluster_utils import Cluster

    options: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 512 * 2**20}
    cluster = Cluster(initialize_head=True, head_node_args={**options, "include_dashboard": False})
    try:
        for _ in range(NODES - 1):
            cluster.add_node(**options)
        cluster.wait_for_nodes()
        yield cluster.address
    finally:
        cluster.shutdown()


def bytes_created() -> int:
    """Bytes that all object stores have taken in so far: what was made there, and what was pulled."""
    import ray
    from ray._private.internal_api import node_stats

    found = [
        node_stats(node["NodeManagerAddress"], node["NodeManagerPort"], include_memory_info=False)
        for node in ray.nodes()
        if node["Alive"]
    ]
    return sum(stats.store_stats.cumulative_created_bytes for stats in found)


def measure_bytes(scratch: Path, names: Sequence[str] = tuple(SPACES)) -> dict[str, Moved]:
    """Both placements for some of :data:`SPACES`, in an empty folder."""
    found = {}
    for name in names:
        featurizers, runs = SPACES[name], {}
        data = write_noise(scratch / f"{name}-frames", 2, FRAMES[name] // 2, SIZE_PX, 1)
        for strategy in ("DEFAULT", "SPREAD"):
            with two_nodes() as address, _placed(strategy):
                spec = _spec(data, featurizers, address)
                with engine(spec, scratch / f"{name}-{strategy}".replace(" ", "-")) as sweep:
                    runs[strategy] = _pulled(sweep)
        ours, spread = runs["DEFAULT"], runs["SPREAD"]
        found[name] = Moved(ours[0], ours[1], ours[2], spread[2])
    return found


def _spec(data: Path, featurizers: dict[str, Any], address: str) -> SweepSpec:
    space = {
        "name": "moved",
        "source": "features that weigh, classifiers that do not",
        "intensity": {"levels": [16]},  # quick to featurize
        "featurizers": featurizers,
        "reducers": ["standard"],
        "classifiers": {"rf": {"n_trees": [1], "max_depth": list(range(1, CLASSIFIERS + 1))}},
    }
    return SweepSpec(data=str(data), space=space, search="grid", seed=1, address=address)


@contextmanager
def _placed(strategy: str) -> Iterator[None]:
    """Evaluations of this process are placed by `strategy`."""
    import ray

    from sweeper.engine.tasks.evaluation import evaluate, evaluate_task

    evaluators.evaluate_task = ray.remote(max_retries=0, num_cpus=1, scheduling_strategy=strategy)(evaluate)
    try:
        yield
    finally:
        evaluators.evaluate_task = evaluate_task


def _pulled(sweep: Engine) -> tuple[int, int, int]:
    """Evaluations done, bytes held before, bytes pulled by them."""
    sweep.featurize()
    pipelines = list(sweep.sweep.space.grid())
    random.Random(1).shuffle(pipelines)  # as a search asks for them
    _ready(sweep, pipelines)
    before = bytes_created()
    turns: Sequence[Iterator[Pipeline]] = [
        itertools.islice(pipelines, i, None, NODES + 1) for i in range(NODES + 1)
    ]

    def climb(mine: Iterator[Pipeline]) -> int:
        evaluator, done = sweep.evaluator(), 0
        for pipeline in mine:
            records = evaluator.evaluate(pipeline, 1.0, [0], f"trial {pipeline.name}")
            done += sum(isinstance(record.outcome, Scored) for record in records)
        return done

    with ThreadPoolExecutor(NODES + 1) as trials:
        done = sum(trials.map(climb, turns))
    if done != len(pipelines):
        raise RuntimeError(f"{done} evaluations, {len(pipelines)} expected")
    return done, before, bytes_created() - before


def _ready(sweep: Engine, pipelines: Sequence[Pipeline]) -> None:
    """Have the representations of all pipelines, codebooks too."""
    import ray

    ray.get([sweep.actors.store.features.remote(pipeline, 0, 1.0) for pipeline in pipelines])
