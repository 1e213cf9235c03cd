"""The engine up to the search, in this process: Ray, the frames checked, a sweep's actors and evaluator."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweeper.engine.cluster import connected
from sweeper.engine.evaluator import Context
from sweeper.engine.files import start_file_actors
from sweeper.engine.sweep import Cluster, Inputs, check, examine, wanted_blocks
from sweeper.engine.training import training_resources
from sweeper.runs.folder import RunFolder
from sweeper.runs.progress import Progress
from sweeper.runs.spec import SweepSpec
from sweeper.space.space import Space


@dataclass(frozen=True)
class Engine:
    """A sweep that is ready to search.

    Attributes
    ----------
    spec : SweepSpec
    space : Space
    inputs : Inputs
    folder : RunFolder
    store, ledger : actor handles
    context : Context
        For evaluators.
    scan_s : float
        Wall time of checking every frame.
    """

    spec: SweepSpec
    space: Space
    inputs: Inputs
    folder: RunFolder
    store: Any
    ledger: Any
    context: Context
    scan_s: float

    def featurize(self) -> float:
        """Have all blocks; gives the wall time."""
        import ray

        intensity = next(self.space.parts["intensity"][0].grid())
        started = time.perf_counter()
        ray.get(self.store.ensure.remote(intensity, list(wanted_blocks(self.space))))
        return time.perf_counter() - started


@contextmanager
def engine(spec: SweepSpec, out: Path) -> Iterator[Engine]:
    """Start, or join, what a sweep of `spec` runs on."""
    progress, folder = Progress(stream=io.StringIO()), RunFolder(out)
    space, dataset = check(spec)
    folder.claim(spec)
    with connected(spec.address, spec.cpus):
        import ray

        from sweeper.engine.search import _start_actors, _sweep_data

        resources, files = training_resources(spec, space), start_file_actors(None)
        started = time.perf_counter()
        inputs = examine(spec, dataset, folder, space, progress, files)
        scan_s = time.perf_counter() - started
        cluster = Cluster(resources, files)
        actors = _start_actors(spec, space, inputs, {}, cluster, folder)
        ray.get(actors.ledger.ready.remote())
        data = ray.put(_sweep_data(spec, inputs))
        digest = inputs.dataset.digest(inputs.frame_digests)
        context = Context(
            actors.store, actors.ledger, [data], digest, inputs.fold_digests(), {}, resources.numerics
        )
        ray.get(actors.ledger.end_in.remote(float("inf")))
        yield Engine(spec, space, inputs, folder, actors.store, actors.ledger, context, scan_s)
        ray.get(actors.ledger.close.remote())
