"""The search: actors up, blocks there, Ray Tune over the space, the best scored on the test split."""

from __future__ import annotations

import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.exceptions import RayActorError, RayTaskError
from ray.tune.error import TuneError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from sweeper import plugins
from sweeper.data.splits import Fold
from sweeper.engine.closing import closing_share, keep_models, run_again, score_test
from sweeper.engine.cluster import trial_resources
from sweeper.engine.evaluator import Context, cause_of
from sweeper.engine.ledger import LedgerActor
from sweeper.engine.limits import Limits
from sweeper.engine.metrics import log_callbacks
from sweeper.engine.network_blocks import NetworkSettings
from sweeper.engine.scan import frame_refs
from sweeper.engine.store import FeatureStoreActor, StoreSettings
from sweeper.engine.sweep import Cluster, Inputs, wanted_blocks
from sweeper.engine.tasks.evaluation import SweepData
from sweeper.engine.tasks.frames import NO_ROOM, NO_ROOM_SAID
from sweeper.engine.tune.callback import Actors, StopAll, Watch
from sweeper.engine.tune.schedulers import make_scheduler
from sweeper.engine.tune.searcher import SweepSearcher
from sweeper.engine.tune.trial import FAULT, SweepTrial
from sweeper.errors import StoppedError, UnequalNodeError
from sweeper.features.keys import shard_digests, shards_of
from sweeper.pipeline import Pipeline
from sweeper.runs.folder import RunFolder
from sweeper.runs.progress import Progress
from sweeper.runs.spec import SweepSpec
from sweeper.space.space import Space

_SEARCH_ATTEMPTS = 10
_OF_SCHEDULER = "ray/tune/schedulers/"
_LEDGER_LOST = "the process that writes the journal died; nothing recorded is lost"


def run_search(
    spec: SweepSpec,
    space: Space,
    inputs: Inputs,
    dataset_digest: str,
    weights: dict[str, tuple[str, str]],
    cluster: Cluster,
    folder: RunFolder,
    progress: Progress,
    deadline: float,
) -> None:
    """Search until the trials, the space or the time run out; everything found is in the journal.

    `weights` has the file of pretrained weights and its digest for each network that needs one.
    """
    folds = inputs.folds(spec.seed, spec.reruns)
    actors = _start_actors(spec, space, inputs, folds, weights, cluster, folder)
    unreadable = ray.get(actors.ledger.ready.remote())
    if unreadable:
        progress.note(f"{folder.journal}: {unreadable} unreadable lines left out; computed again")
    data = ray.put(SweepData(inputs.dataset.labels, inputs.dataset.classes, folds, _limits(spec)))
    context = Context(
        actors.store,
        actors.ledger,
        [data],
        dataset_digest,
        inputs.fold_digests(folds),
        {name: file_digest for name, (_, file_digest) in weights.items()},
        cluster.resources.numerics,
    )
    ray.get(actors.ledger.set_context.remote(context))
    search_deadline = deadline
    if spec.time_budget_s is not None:
        search_deadline -= closing_share(spec, inputs) * spec.time_budget_s
    ray.get(actors.ledger.end_in.remote(search_deadline - time.monotonic()))
    watch = Watch(spec, folder, progress, actors, search_deadline, len(inputs.splits))
    try:
        if _prefetch(space, watch):
            _tune(spec, space, len(inputs.splits), actors, watch)
            ray.get(actors.ledger.end_in.remote(deadline - time.monotonic()))
            if not watch.fatal:
                _close(spec, folds, folder, watch)
    except RayActorError:
        if _closed(actors.ledger):
            raise
        raise StoppedError(_LEDGER_LOST) from None
    except BaseException:
        _closed(actors.ledger)
        raise
    if not _closed(actors.ledger):
        raise StoppedError(_LEDGER_LOST)
    if watch.fatal.startswith(FAULT):
        raise RuntimeError(watch.fatal)
    if watch.fatal:
        raise StoppedError(watch.fatal)


def _closed(ledger: Any) -> bool:
    """Close the journal; False when its writer has died, the one actor that is never started again."""
    try:
        ray.get(ledger.close.remote())
    except RayActorError:
        return False
    return True


def _close(spec: SweepSpec, folds: dict[int | str, Fold], folder: RunFolder, watch: Watch) -> None:
    """What follows the search."""
    if "test" in folds and spec.test_top:
        score_test(spec, watch)
    if spec.reruns and not watch.fatal:
        run_again(spec, folds, watch)
    if folder.networks.exists():
        keep_models(watch)
    watch.refresh()


def _start_actors(
    spec: SweepSpec,
    space: Space,
    inputs: Inputs,
    folds: dict[int | str, Fold],
    weights: dict[str, tuple[str, str]],
    cluster: Cluster,
    folder: RunFolder,
) -> Actors:
    name = f"ledger-{uuid.uuid4().hex[:8]}"
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    ledger = LedgerActor.options(name=name, scheduling_strategy=here).remote(
        folder.journal.resolve(), folder.predictions.resolve(), spec.metric, len(inputs.splits)
    )
    frames = frame_refs(inputs.dataset)
    shards = shards_of(len(frames))
    features = Path(spec.features).resolve() if spec.features else folder.features.resolve()
    heads = [part.head for part in space.parts["classifier"]]
    networks = NetworkSettings(
        features,
        folder.networks.resolve(),
        inputs.dataset.labels,
        inputs.dataset.groups,
        inputs.dataset.classes,
        spec.seed,
        weights,
        cluster.resources,
        # Heads may ask for a rung of a fit that another classifier had trained to its end.
        spec.ladder.fractions if any(heads) and not all(heads) else (),
        ledger,
    )
    settings = StoreSettings(
        features,
        tuple(tuple(frames[i] for i in rows) for rows in shards),
        shard_digests(inputs.frame_digests),
        wanted_blocks(space),
        inputs.fold_rows(folds),
        _limits(spec),
        networks,
        cluster.files,
    )
    ray.get(ledger.set_store_settings.remote(settings))
    store = FeatureStoreActor.options(scheduling_strategy=here).remote(name)
    return Actors(store, ledger, name)


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
        if isinstance(cause_of(error), OSError | UnequalNodeError):
            raise StoppedError(f"{cause_of(error)}; nothing recorded is lost") from None
        if isinstance(cause_of(error), NO_ROOM):
            raise StoppedError(NO_ROOM_SAID) from None
        watch.progress.note(
            f"note: {' '.join(str(cause_of(error)).split())}; pipelines that need it will fail"
        )
    watch.refresh()
    return True


def _tune(spec: SweepSpec, space: Space, folds: int, actors: Actors, watch: Watch) -> None:
    """Run the search on Ray Tune; again from the journal when a trial's process died beyond repair.

    Tune's scheduler can lose count of trials when machines come and go: its assertions end the attempt.
    """
    for _ in range(_SEARCH_ATTEMPTS):
        watch.start_over()
        why = "the process of a trial died"
        try:
            _tune_once(spec, space, folds, actors, watch)
        except TuneError as error:
            if _OF_SCHEDULER not in str(error):
                raise
            watch.crashed = True
            why = f"Ray Tune lost count of trials ({str(error).strip().splitlines()[-1]})"
        watch.refresh()
        if not watch.crashed:
            return
        watch.progress.note(f"{why}; the search goes on from the journal")
    raise RuntimeError(f"{why} in the last of {_SEARCH_ATTEMPTS} attempts at the search")


def _tune_once(spec: SweepSpec, space: Space, folds: int, actors: Actors, watch: Watch) -> None:
    search, ladder = plugins.search(spec.search), spec.ladder
    limit = spec.trial_limit(space)
    watch.progress.state.trials_total = limit
    sweep = {
        "ledger": actors.ledger_name,
        "max_steps": ladder.max_steps,
        "folds": folds,
        "metric": spec.metric,
    }
    searcher = SweepSearcher(
        search.proposer(space, spec.seed),
        ladder,
        limit,
        learns=search.learns,
        sweep=sweep,
        on_trial=lambda number, pipeline: _record_trial(actors, watch, number, pipeline),
    )
    watch.progress.stage(f"search {spec.search} over {space.name}")
    resources, slots = trial_resources()
    with tempfile.TemporaryDirectory(prefix="sweeper-tune-") as scratch:
        tuner = tune.Tuner(
            tune.with_resources(SweepTrial, tune.PlacementGroupFactory([resources])),
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                scheduler=make_scheduler(search, ladder, searcher, slots),
                num_samples=-1 if limit is None else limit,
                reuse_actors=True,
                trial_dirname_creator=lambda trial: trial.trial_id,
            ),
            run_config=tune.RunConfig(
                name="search",
                storage_path=scratch,
                stop=StopAll(watch),
                verbose=0,
                callbacks=[watch, *log_callbacks(spec.log, watch.folder.logs, watch.folder.name)],
                failure_config=tune.FailureConfig(max_failures=3),
                # A number to keep makes Tune write a snapshot of all trials after each checkpoint of one.
                checkpoint_config=tune.CheckpointConfig(num_to_keep=None),
            ),
        )
        tuner.fit()


def _record_trial(actors: Actors, watch: Watch, number: int, pipeline: Pipeline) -> None:
    from sweeper.errors import JournalError

    record = {"kind": "trial", "trial": number, "pipeline": pipeline.to_dict()}
    try:
        same = ray.get(actors.ledger.append_trial.remote(record))
    except JournalError as error:
        watch.fatal = str(cause_of(error))
        return
    if not same and not watch.warned:
        watch.warned = True
        watch.progress.note(
            f"note: trial {number} was another pipeline when this sweep began; the code has changed since"
        )
