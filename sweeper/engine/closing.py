"""The end of a search: the best are scored on the test split, run again with other seeds, and kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import ray
from ray.exceptions import NodeDiedError, RayTaskError, WorkerCrashedError

from sweeper import plugins
from sweeper.data.splits import Fold
from sweeper.engine.causes import cause_of
from sweeper.engine.cluster import TRIAL_SLOT, trial_resources
from sweeper.engine.evaluator import Evaluator
from sweeper.engine.private.tune import trial_environment
from sweeper.engine.tune.callback import Watch
from sweeper.errors import DeadlineError, StoppedError
from sweeper.pipeline import Pipeline
from sweeper.runs.ensemble import ensemble_members
from sweeper.runs.leaderboard import build_leaderboard
from sweeper.runs.records import TEST
from sweeper.runs.spec import RERUN_TOP, SweepSpec

_TEST_SHARE, _RERUN_SHARE = 0.1, 0.2


def closing_share(spec: SweepSpec, *, has_test: bool) -> float:
    """Return the part of the time budget that is kept for what follows the search."""
    test = _TEST_SHARE if has_test and spec.test_top else 0.0
    return test + (_RERUN_SHARE if spec.reruns else 0.0)


def score_test(spec: SweepSpec, watch: Watch) -> None:
    """Refit the best pipelines on everything but the test rows, and score them on those, once.

    So are the members of the ensemble, which was selected before: an ensemble has a test score if they do.
    """
    watch.progress.stage("scoring the best on the test split")
    scored = dict(_best(watch, spec.test_top)) | dict(_members(watch))
    climbs = [(trial, pipeline, (1.0,)) for trial, pipeline in scored.items()]
    if not _climb(watch, climbs, [TEST], "test"):
        watch.progress.note("the time budget ended before every test score was there")


def run_again(spec: SweepSpec, folds: Mapping[int | str, Fold], watch: Watch) -> None:
    """Run the best pipelines with other seeds: the seeds of the search's own runs were chosen with them.

    A network's own head is scored on each rung on its way.
    """
    watch.progress.stage(f"running the best {RERUN_TOP} again with {spec.reruns} other seeds")
    best = []
    for trial, pipeline in _best(watch, RERUN_TOP):
        head = plugins.classifier(pipeline.classifier).is_head
        best.append((trial, pipeline, spec.ladder.fractions if head else (1.0,)))
    if not _climb(watch, best, [name for name, fold in folds.items() if fold.rerun], "again"):
        watch.progress.note("the time budget ended before the best were run again with every seed")


def _climb(
    watch: Watch,
    climbs: Sequence[tuple[int, Pipeline, tuple[float, ...]]],
    folds: list[int | str],
    what: str,
) -> bool:
    """Have trials evaluated on some folds at rising budgets, side by side; False where time ran out."""
    resources, _ = trial_resources()
    slot = {name: count for name, count in resources.items() if name == TRIAL_SLOT}
    running = {}
    for trial, pipeline, budgets in climbs:
        label = f"{what} {pipeline.name} #{trial}"
        task = climb_task.options(
            name=label, memory=resources.get("memory"), resources=slot, runtime_env=trial_environment()
        )
        running[task.remote(watch.actors.ledger_name, pipeline, budgets, folds, label)] = label
    in_time = True
    try:
        while running and watch.fatal is None:
            ready, _ = ray.wait(list(running), timeout=1.0)
            watch.poll()
            for ref in ready:
                in_time &= _has_climbed(watch, ref, running.pop(ref))
    finally:
        for ref in running:
            ray.cancel(ref, force=True)
    return in_time


def _has_climbed(watch: Watch, ref: Any, label: str) -> bool:
    """Take note of how a task of :func:`climb` ended; False where time ran out."""
    try:
        ray.get(ref)
    except (RayTaskError, WorkerCrashedError, NodeDiedError) as error:
        cause = cause_of(error)
        if isinstance(cause, DeadlineError):
            return False
        if isinstance(cause, StoppedError):
            watch.fatal = cause
        else:
            watch.progress.note(f"note: {label}: {' '.join(str(cause).split())[:500]}")
    return True


def climb(
    ledger: str, pipeline: Pipeline, budgets: Sequence[float], folds: list[int | str], label: str
) -> None:
    """Have a pipeline evaluated at rising budgets; every evaluation is in the journal when it returns."""
    evaluator = Evaluator.of(ledger)
    for budget in budgets:
        evaluator.evaluate(pipeline, budget, folds, label)


climb_task = ray.remote(num_cpus=0, max_retries=3)(climb)


def keep_models(watch: Watch) -> None:
    """Keep the models of the best trial of each network; other models can be made again.

    A trial that was stopped counts, but for a network's own head: that was not trained to its end. A trial
    that has the network beside other featurizers counts as well.
    """
    results = watch.folder.results()
    board = build_leaderboard(results, metric=watch.spec.metric, folds=watch.folds)
    heads = board.classifier.map(lambda name: plugins.classifier(name).is_head)
    whole = (board.status == "done") | ((board.status == "stopped") & ~heads)
    best: dict[str, dict[str, Any]] = {}
    for row in board[whole & (board.training_set != "")].to_dict("records"):
        for single in results.pipeline(row["trial"]).singles:
            if "training_set" in single.featurizer_params:
                entry = {
                    "trial": row["trial"],
                    "featurizer": single.featurizer,
                    "score": row[watch.spec.metric],
                }
                best.setdefault(single.featurizer, {**entry, "pipeline": single.to_dict()})
    ray.get(watch.actors.store.keep.remote(list(best.values())))


def _members(watch: Watch) -> list[tuple[int, Pipeline]]:
    """Trial numbers and pipelines of the ensemble's members, the heaviest first; none without an ensemble."""
    results = watch.folder.results()
    members = ensemble_members(watch.folder, results, watch.spec.metric, watch.folds)
    return [(trial, results.pipeline(trial)) for trial in members]


def _best(watch: Watch, n: int) -> list[tuple[int, Pipeline]]:
    """Trial numbers and pipelines of the leaderboard's best, best first."""
    results = watch.folder.results()
    board = build_leaderboard(results, metric=watch.spec.metric, folds=watch.folds)
    trials = board[board.status == "done"].head(n).trial.tolist()
    return [(trial, results.pipeline(trial)) for trial in trials]
