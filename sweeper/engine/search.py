"""The search: actors up, blocks there, Ray Tune over the space, the best scored on the test split."""

from __future__ import annotations

import tempfile
import time
import uuid
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.exceptions import RayActorError, RayTaskError
from ray.tune.error import TuneError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from sweeper import plugins
from sweeper.data.splits import Fold
from sweeper.engine.causes import cause_of
from sweeper.engine.closing import closing_share, keep_models, run_again, score_test
from sweeper.engine.cluster import owned, remove_groups, trial_resources
from sweeper.engine.evaluator import Context
from sweeper.engine.files import FileActors
from sweeper.engine.inputs import SweepInputs
from sweeper.engine.ledger import LedgerActor
from sweeper.engine.limits import Limits
from sweeper.engine.network_blocks import NetworkSettings
from sweeper.engine.private.tune import trial_environment, without_usage
from sweeper.engine.resources import Resources
from sweeper.engine.scan import frame_refs
from sweeper.engine.store import FeatureStoreActor, StoreSettings
from sweeper.engine.tasks.evaluation import SweepData
from sweeper.engine.tune.callback import Actors, NoReporter, StopAll, Watch
from sweeper.engine.tune.schedulers import make_scheduler
from sweeper.engine.tune.searcher import SweepSearcher
from sweeper.engine.tune.trial import SweepTrial
from sweeper.errors import FaultError, JournalError, StoppedError, SweeperError
from sweeper.features.keys import shard_digests, shards_of
from sweeper.pipeline import Pipeline
from sweeper.runs.exports.sending import Exports
from sweeper.runs.folder import RunFolder
from sweeper.runs.progress import Progress
from sweeper.runs.records import Trial
from sweeper.runs.spec import SweepSpec
from sweeper.search.beginning import Beginning
from sweeper.space.needs import wanted_blocks
from sweeper.space.space import Space

_SEARCH_ATTEMPTS = 10
_LEDGER_LOST = "the process that writes the journal died; nothing recorded is lost"


@dataclass(frozen=True, eq=False)
class Sweep:
    """A sweep whose input is checked, and what it runs on.

    Attributes
    ----------
    spec : SweepSpec
    space : Space
    first : tuple of Pipeline
        The search begins with these.
    inputs : SweepInputs
    dataset_digest : str
    weights : dict
        File of pretrained weights and its digest for each network that needs one.
    resources : Resources
        What training one network takes.
    files : FileActors
        On the driver's machine.
    folder : RunFolder
    progress : Progress
    exports : Exports
        To the tools that the spec names.
    deadline : float
        By :func:`time.monotonic`; infinity without a time budget.
    """

    spec: SweepSpec
    space: Space
    first: tuple[Pipeline, ...]
    inputs: SweepInputs
    dataset_digest: str
    weights: dict[str, tuple[str, str]]
    resources: Resources
    files: FileActors
    folder: RunFolder
    progress: Progress
    exports: Exports
    deadline: float

    @cached_property
    def folds(self) -> dict[int | str, Fold]:
        """Folds by name, the test split's and those of the reruns among them."""
        return self.inputs.folds(self.spec.seed, self.spec.reruns)


def run_search(sweep: Sweep) -> None:
    """Search until the trials, the space or the time run out; everything found is in the journal.

    Raises
    ------
    StoppedError
        The sweep cannot go on, for a reason outside it.
    FaultError
        A mistake of ours in a trial.
    """
    spec, actors = sweep.spec, start_actors(sweep)
    search_deadline = sweep.deadline
    if spec.time_budget_s is not None:
        has_test = sweep.inputs.test is not None
        search_deadline -= closing_share(spec, has_test=has_test) * spec.time_budget_s
    ray.get(actors.ledger.end_in.remote(search_deadline - time.monotonic()))
    watch = Watch(
        spec, sweep.folder, sweep.progress, actors, search_deadline, len(sweep.inputs.splits), sweep.exports
    )
    try:
        if _prefetch(sweep.space, watch):
            _tune(sweep, actors, watch)
            ray.get(actors.ledger.end_in.remote(sweep.deadline - time.monotonic()))
            if watch.fatal is None:
                _close(sweep, watch)
    except RayActorError:
        if _closed(actors.ledger):
            raise
        raise StoppedError(_LEDGER_LOST) from None
    except BaseException:
        _closed(actors.ledger)
        raise
    if not _closed(actors.ledger):
        raise StoppedError(_LEDGER_LOST)
    if watch.fatal is not None:
        raise watch.fatal


def _closed(ledger: Any) -> bool:
    """Close the journal; False when its writer has died, the one actor that is never started again."""
    try:
        ray.get(ledger.close.remote())
    except RayActorError:
        return False
    return True


def _close(sweep: Sweep, watch: Watch) -> None:
    """Do what follows the search."""
    if "test" in sweep.folds and sweep.spec.test_top:
        score_test(sweep.spec, watch)
    if sweep.spec.reruns and watch.fatal is None:
        run_again(sweep.spec, sweep.folds, watch)
    if sweep.folder.networks.exists():
        keep_models(watch)
    watch.refresh()


def start_actors(sweep: Sweep) -> Actors:
    """Start the actors of a sweep, which know all that evaluators ask for, and open its journal.

    Raises
    ------
    SweeperError
        As :func:`open_journal`.
    """
    actors = _make_actors(sweep)
    if unreadable := open_journal(actors.ledger):
        sweep.progress.note(f"{sweep.folder.journal}: {unreadable} unreadable lines left out; computed again")
    dataset, bounds = sweep.inputs.dataset, _limits(sweep.spec)
    shared = SweepData(dataset.labels, dataset.classes, sweep.folds, bounds, dataset.domains, dataset.helping)
    data = ray.put(shared)
    context = Context(
        actors.store,
        actors.ledger,
        [data],
        sweep.dataset_digest,
        sweep.inputs.fold_digests(sweep.folds),
        {name: file_digest for name, (_, file_digest) in sweep.weights.items()},
        sweep.resources.numerics,
    )
    ray.get(actors.ledger.set_context.remote(context))
    return actors


def open_journal(ledger: Any) -> int:
    """Have the ledger open its journal; returns how many lines of it are unreadable.

    Raises
    ------
    InputError
        Another sweep has the journal open, or it is of another format.
    JournalError
        It cannot be written.
    """
    try:
        unreadable: int = ray.get(ledger.open.remote())
    except SweeperError as error:
        raise cause_of(error) from None
    return unreadable


def _make_actors(sweep: Sweep) -> Actors:
    spec, folder, inputs = sweep.spec, sweep.folder, sweep.inputs
    name = f"ledger-{uuid.uuid4().hex[:8]}"
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    ledger = owned(
        LedgerActor.options(name=name, scheduling_strategy=here).remote(
            folder.journal.resolve(), folder.predictions.resolve(), spec.metric, len(inputs.splits)
        )
    )
    frames = frame_refs(inputs.dataset)
    shards = shards_of(len(frames))
    features = Path(spec.features).resolve() if spec.features else folder.features.resolve()
    heads = [part.head for part in sweep.space.parts["classifier"]]
    networks = NetworkSettings(
        features,
        folder.networks.resolve(),
        inputs.dataset.labels,
        inputs.dataset.groups,
        inputs.dataset.classes,
        spec.seed,
        sweep.weights,
        sweep.resources,
        # Heads may ask for a rung of a fit that another classifier had trained to its end.
        spec.ladder.fractions if any(heads) and not all(heads) else (),
        ledger,
    )
    settings = StoreSettings(
        features,
        tuple(tuple(frames[i] for i in rows) for rows in shards),
        shard_digests(inputs.frame_digests),
        wanted_blocks(sweep.space),
        inputs.fold_rows(sweep.folds),
        _limits(spec),
        networks,
        sweep.files,
    )
    ray.get(ledger.set_store_settings.remote(settings))
    store = FeatureStoreActor.options(scheduling_strategy=here, runtime_env=trial_environment()).remote(name)
    return Actors(owned(store), ledger, name)


def _limits(spec: SweepSpec) -> Limits:
    """The spec's limits; by default a core's share of the memory."""
    memory = ray.cluster_resources().get("memory", 4 * 2**30)
    cpus = max(1.0, ray.cluster_resources().get("CPU", 1.0))
    limit = spec.trial_memory_limit_gb * 2**30 if spec.trial_memory_limit_gb else memory / cpus
    return Limits(spec.trial_time_limit_s, int(limit))


def _prefetch(space: Space, watch: Watch) -> bool:
    """Featurize before the search when every representation shares one setting of intensities.

    One pass over the frames then computes every block; spaces that search intensities compute
    blocks when a trial asks. False when the time budget ended first.
    """
    intensity = space.parts["intensity"][0]
    if intensity.size != 1 or not wanted_blocks(space):
        return True
    watch.progress.stage("featurizing")
    ref = watch.actors.store.ensure.remote(next(intensity.grid()), list(wanted_blocks(space)))
    while not ray.wait([ref], timeout=0.2)[0]:
        if time.monotonic() >= watch.deadline:
            watch.progress.note("the time budget ended before the features were there")
            return False
        watch.poll()
    try:
        ray.get(ref)
    except RayTaskError as error:
        cause = cause_of(error)
        if isinstance(cause, StoppedError):
            raise cause from None
        if isinstance(cause, OSError):
            raise StoppedError(f"{cause}; nothing recorded is lost") from None
        watch.progress.note(f"note: {' '.join(str(cause).split())}; pipelines that need it will fail")
    watch.refresh()
    return True


def _tune(sweep: Sweep, actors: Actors, watch: Watch) -> None:
    """Run the search on Ray Tune; again from the journal when a trial's process died beyond repair.

    Tune's scheduler can lose count of trials when machines come and go: its assertions end the attempt.
    """
    for _ in range(_SEARCH_ATTEMPTS):
        watch.start_over()
        why = "the process of a trial died"
        if lost_count := _tune_once(sweep, actors, watch):
            watch.crashed = True
            why = f"Ray Tune lost count of trials ({lost_count})"
        watch.refresh()
        if not watch.crashed:
            return
        watch.progress.note(f"{why}; the search goes on from the journal")
    raise FaultError(f"{why} in the last of {_SEARCH_ATTEMPTS} attempts at the search")


def _tune_once(sweep: Sweep, actors: Actors, watch: Watch) -> str:
    """Run Ray Tune to its end; return what its scheduler stumbled over, empty when all went well."""
    spec, space, ladder = sweep.spec, sweep.space, sweep.spec.ladder
    search = plugins.search(spec.search)
    limit = spec.trial_limit(space)
    watch.progress.state.trials_total = limit
    shared = {
        "ledger": actors.ledger_name,
        "max_steps": ladder.max_steps,
        "folds": len(sweep.inputs.splits),
        "metric": spec.metric,
    }
    searcher = SweepSearcher(
        Beginning(sweep.first, search.proposer(space, spec.seed)),
        ladder,
        limit,
        learns=search.learns,
        counts_seconds=search.counts_seconds,
        sweep=shared,
        on_trial=lambda number, pipeline: _record_trial(actors, watch, number, pipeline),
    )
    watch.progress.stage(f"search {spec.search} over {space.name}")
    resources, slots = trial_resources()
    scheduler = make_scheduler(search, ladder, searcher, slots)
    with tempfile.TemporaryDirectory(prefix="sweeper-tune-") as scratch:
        tuner = tune.Tuner(
            tune.with_resources(SweepTrial, tune.PlacementGroupFactory([resources])),
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                scheduler=scheduler,
                num_samples=-1 if limit is None else limit,
                reuse_actors=True,
                trial_dirname_creator=lambda trial: trial.trial_id,
            ),
            run_config=tune.RunConfig(
                name="search",
                storage_path=scratch,
                stop=StopAll(watch),
                verbose=0,
                progress_reporter=NoReporter(),
                callbacks=[watch],
                failure_config=tune.FailureConfig(max_failures=3),
                # A number to keep makes Tune write a snapshot of all trials after each checkpoint of one.
                checkpoint_config=tune.CheckpointConfig(num_to_keep=None),
            ),
        )
        try:
            with without_usage():
                tuner.fit()
        except TuneError:
            if lost_count := getattr(scheduler, "lost_count", ""):
                return str(lost_count)
            raise
        except KeyboardInterrupt:
            remove_groups(resources)
            raise
    return ""


def _record_trial(actors: Actors, watch: Watch, number: int, pipeline: Pipeline) -> None:
    try:
        same = ray.get(actors.ledger.append_trial.remote(Trial.of(number, pipeline)))
    except JournalError as error:
        watch.fatal = JournalError(str(cause_of(error)))
        return
    if not same and not watch.warned:
        watch.warned = True
        watch.progress.note(
            f"note: trial {number} was another pipeline when this sweep began; the code has changed since"
        )
