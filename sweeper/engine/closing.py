"""What follows a search: the best scored on the test split, run again with other seeds, their models kept."""

from __future__ import annotations

import ray

from sweeper import plugins
from sweeper.engine.evaluator import Context, DeadlineError, Evaluator
from sweeper.engine.sweep import Inputs
from sweeper.engine.watch import Watch
from sweeper.journal import read_journal
from sweeper.leaderboard import build_leaderboard
from sweeper.pipeline import Pipeline
from sweeper.spec import SweepSpec
from sweeper.splits import Fold

_TEST_SHARE, _RERUN_SHARE = 0.1, 0.2
RERUN_TOP = 3
"""Pipelines that are run again, as many as in DiffraNet's Figure 3."""


def closing_share(spec: SweepSpec, inputs: Inputs) -> float:
    """Part of the time budget that is kept for what follows the search."""
    test = _TEST_SHARE if inputs.test is not None and spec.test_top else 0.0
    return test + (_RERUN_SHARE if spec.reruns else 0.0)


def score_test(spec: SweepSpec, context: Context, watch: Watch) -> None:
    """Refit the best pipelines on everything but the test rows, and score them on those, once."""
    watch.progress.stage("scoring the best on the test split")
    evaluator = Evaluator(context, watch.poll)
    for trial, pipeline in _best(watch, spec.test_top):
        try:
            evaluator.evaluate(pipeline, 1.0, ["test"], f"test {pipeline.name} #{trial}")
        except DeadlineError:
            watch.progress.note("the time budget ended before every test score was there")
            return


def run_again(spec: SweepSpec, folds: dict[int | str, Fold], context: Context, watch: Watch) -> None:
    """Run the best pipelines with other seeds: the seeds of the search's own runs were chosen with them.

    A network's own head is scored on each rung on its way.
    """
    watch.progress.stage("running the best again with other seeds")
    evaluator = Evaluator(context, watch.poll)
    names = [name for name, fold in folds.items() if fold.rerun]
    for place, (trial, pipeline) in enumerate(_best(watch, RERUN_TOP), start=1):
        by_epochs = plugins.classifier(pipeline.classifier).budget == "epochs"
        for budget in spec.ladder.fractions if by_epochs else (1.0,):
            watch.progress.restage(f"running number {place} again with {spec.reruns} other seeds")
            try:
                evaluator.evaluate(pipeline, budget, names, f"again {pipeline.name} #{trial}")
            except DeadlineError:
                watch.progress.note("the time budget ended before the best were run again with every seed")
                return


def keep_models(watch: Watch) -> None:
    """Keep the models of the best trial of each network; other models can be made again.

    A trial that was stopped counts, but for a network's own head: that was not trained to its end.
    """
    records = list(read_journal(watch.folder.journal))
    board = build_leaderboard(records, metric=watch.spec.metric, folds=watch.folds)
    pipelines = {r["trial"]: r["pipeline"] for r in reversed(records) if r["kind"] == "trial"}
    heads = board.classifier.map(lambda name: plugins.classifier(name).is_head)
    whole = (board.status == "done") | ((board.status == "stopped") & ~heads)
    best = [
        {**row, "pipeline": pipelines[row["trial"]]}
        for row in board[whole & (board.training_set != "")]
        .drop_duplicates("featurizer")
        .rename(columns={watch.spec.metric: "score"})[["trial", "featurizer", "score"]]
        .to_dict("records")
    ]
    ray.get(watch.actors.store.keep.remote(best))


def _best(watch: Watch, n: int) -> list[tuple[int, Pipeline]]:
    """Trial numbers and pipelines of the leaderboard's best, best first."""
    journal = watch.folder.journal
    board = build_leaderboard(read_journal(journal), metric=watch.spec.metric, folds=watch.folds)
    trials = board[board.status == "done"].head(n).trial.tolist()
    pipelines = {r["trial"]: r["pipeline"] for r in read_journal(journal) if r["kind"] == "trial"}
    return [(trial, Pipeline.from_dict(pipelines[trial])) for trial in trials]
