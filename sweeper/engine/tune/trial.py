"""The Trainable: one trial climbs its bracket's rungs, one rung a step."""

from __future__ import annotations

import json
import traceback
from pathlib import Path
from typing import Any

from ray import tune

from sweeper.api import FAILED_SCORE as FAILED_SCORE
from sweeper.engine.causes import cause_of
from sweeper.engine.cluster import quieten
from sweeper.engine.evaluator import Evaluator
from sweeper.errors import DeadlineError, FaultError, StoppedError
from sweeper.evaluate.metrics import over_folds
from sweeper.pipeline import Pipeline
from sweeper.runs.records import Evaluation, Failed, Scored


def mean_score(evaluations: list[Evaluation], metric: str) -> float:
    """Return a metric over folds; :data:`FAILED_SCORE` when a fold failed or left it undefined."""
    outcomes = [evaluation.outcome for evaluation in evaluations]
    known = [o.metrics[metric] for o in outcomes if isinstance(o, Scored) and o.metrics[metric] is not None]
    if any(isinstance(o, Failed) for o in outcomes) or not known:
        return FAILED_SCORE
    return over_folds(metric, [value for value in known if value is not None])


def seconds_of(evaluations: list[Evaluation]) -> float:
    """Return the seconds that fitting and scoring took, those of failed folds left out."""
    outcomes = [e.outcome for e in evaluations if isinstance(e.outcome, Scored)]
    return sum(o.fit_s + 1e-3 * o.predict_ms_per_frame * o.n_validation for o in outcomes)


class SweepTrial(tune.Trainable):  # type: ignore[misc]
    """Evaluates the next rung in each step.

    The configuration has ``trial`` (number), ``pipeline`` (JSON), ``steps`` (budget of each rung, in
    steps) and ``sweep`` (JSON with ``max_steps``, ``folds``, ``metric`` and ``ledger``, the name of the actor
    that knows the sweep). A result has ``ended``: the error that ended the sweep before the rung was
    evaluated, or None. The state is the number of rungs done.
    """

    def setup(self, config: dict[str, Any]) -> None:
        """Start the first trial of this process."""
        quieten()
        self._evaluator: Evaluator | None = None
        self._start(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Start another trial in the same process."""
        self._start(new_config)
        return True

    def _start(self, config: dict[str, Any]) -> None:
        self._number: int = config["trial"]
        self._pipeline = Pipeline.from_dict(json.loads(config["pipeline"]))
        self._steps: list[int] = list(config["steps"])
        self._sweep: dict[str, Any] = json.loads(config["sweep"])
        self._done = 0

    def _get_evaluator(self) -> Evaluator:
        if self._evaluator is None:
            self._evaluator = Evaluator.of(self._sweep["ledger"])
        return self._evaluator

    def step(self) -> dict[str, Any]:
        """Evaluate all folds at the next rung's budget."""
        steps = self._steps[min(self._done, len(self._steps) - 1)]
        budget = steps / self._sweep["max_steps"]
        label = f"trial {self._pipeline.name} #{self._number} rung {self._done}"
        self._done += 1
        result: dict[str, Any] = {
            "trial": self._number,
            "name": self._pipeline.name,
            "steps": steps,
            "budget": budget,
            "ended": None,
        }
        try:
            folds: list[int | str] = list(range(self._sweep["folds"]))
            records = self._get_evaluator().evaluate(self._pipeline, budget, folds, label)
        except Exception as error:
            ended = cause_of(error)  # of the ledger's, when the disk is full, Ray's traceback is left out
            if not isinstance(ended, DeadlineError | StoppedError):
                ended = FaultError(traceback.format_exc())
            return {**result, "score": FAILED_SCORE, "seconds": 0.0, "ended": ended}
        # With several rungs the scheduler says when a trial ends; a single one is all there is.
        return {
            **result,
            "score": mean_score(records, self._sweep["metric"]),
            "seconds": seconds_of(records),
            "done": self._sweep["max_steps"] == 1,
        }

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Keep the number of rungs done."""
        Path(checkpoint_dir, "rungs.json").write_text(json.dumps({"done": self._done}))

    def load_checkpoint(self, checkpoint_dir: Any) -> None:
        """Go on after the rungs that were done."""
        self._done = json.loads(Path(checkpoint_dir, "rungs.json").read_text())["done"]
