"""The engine up to the search, in this process: Ray, the frames checked, a sweep's actors and evaluator."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sweeper.engine.cluster import connected
from sweeper.engine.evaluator import Evaluator
from sweeper.engine.files import start_file_actors
from sweeper.engine.inputs import examine
from sweeper.engine.resources import training_resources
from sweeper.engine.search import Sweep, start_actors
from sweeper.engine.tune.callback import Actors
from sweeper.runs.checks import check_sweep
from sweeper.runs.exports.sending import Exports
from sweeper.runs.folder import RunFolder
from sweeper.runs.progress import Progress
from sweeper.runs.spec import SweepSpec
from sweeper.space.needs import wanted_blocks


@dataclass(frozen=True)
class Engine:
    """A sweep that is ready to search, and the actors that it started."""

    sweep: Sweep
    actors: Actors

    def featurize(self) -> float:
        """Have all blocks; gives the wall time."""
        import ray

        space = self.sweep.space
        intensity = next(space.parts["intensity"][0].grid())
        started = time.perf_counter()
        ray.get(self.actors.store.ensure.remote(intensity, list(wanted_blocks(space))))
        return time.perf_counter() - started

    def evaluator(self) -> Evaluator:
        """Return an evaluator, as each process of a trial has one."""
        return Evaluator.of(self.actors.ledger_name)


@contextmanager
def engine(spec: SweepSpec, out: Path) -> Iterator[Engine]:
    """Start, or join, what a sweep of `spec` runs on."""
    progress, folder = Progress(stream=io.StringIO()), RunFolder(out)
    checked = check_sweep(spec)
    folder.claim(spec)
    with connected(spec.address, spec.cpus, folds=len(checked.splits)):
        import ray

        resources, files = training_resources(spec, trains=False), start_file_actors(None)
        inputs = examine(spec, checked.dataset, folder, checked.space, progress, files)
        digest = inputs.dataset.digest(inputs.frame_digests)
        exports = Exports((), folder, spec.ladder, progress.note)
        sweep = Sweep(
            spec, checked.space, inputs, digest, {}, resources, files, folder, progress, exports, float("inf")
        )
        actors = start_actors(sweep)
        ray.get(actors.ledger.end_in.remote(sweep.deadline))
        yield Engine(sweep, actors)
        ray.get(actors.ledger.close.remote())
