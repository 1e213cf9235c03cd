"""Ray Tune's Searcher around a proposer: hands out trials in order, hands back complete brackets."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ray.tune.search import Searcher

from sweeper.api import Observation, Proposer
from sweeper.pipeline import Pipeline
from sweeper.search.brackets import Ladder


class SweepSearcher(Searcher):  # type: ignore[misc]
    """Proposes trial after trial; the same trials for the same seed, whatever runs at once.

    A model may look at the brackets before the previous one, all of whose trials have ended by then:
    :meth:`suggest` waits for them. Two brackets are in flight at any time.
    """

    def __init__(
        self,
        proposer: Proposer,
        ladder: Ladder,
        limit: int | None,
        *,
        learns: bool,
        counts_seconds: bool = False,
        sweep: dict[str, Any],
        on_trial: Callable[[int, Pipeline], None],
    ) -> None:
        super().__init__(metric="score", mode="max")
        self._proposer = proposer
        self._ladder = ladder
        self._limit = limit
        self._learns = learns
        self._counts_seconds = counts_seconds
        self._sweep = json.dumps(sweep)
        self._on_trial = on_trial
        self._pipelines: list[Pipeline] = []
        self._numbers: dict[str, int] = {}
        self._taken: set[str] = set()
        self._scores: dict[tuple[int, int], tuple[float, float]] = {}  # with the seconds that they took
        self._ended: set[int] = set()
        self._exhausted = False

    def suggest(self, trial_id: str) -> Any:
        """Next trial; None while a bracket that the model needs is not complete."""
        number = len(self._pipelines)
        if self._limit is not None and number >= self._limit:
            return self._finish()
        bracket = self._ladder.bracket_of(number)
        observations: list[Observation] = []
        if self._learns and bracket.number >= 2:
            seen = self._ladder.bracket_of(bracket.first - 1).first  # trials of brackets before the previous
            if not self._ended.issuperset(range(seen)):
                return None
            observations = self._observations(seen)
        pipeline = self._proposer.propose(number, self._taken, observations)
        if pipeline is None:
            return self._finish()
        self._on_trial(number, pipeline)
        self._pipelines.append(pipeline)
        self._taken.add(pipeline.id)
        self._numbers[trial_id] = number
        return {
            "trial": number,
            "pipeline": json.dumps(pipeline.to_dict()),
            "steps": list(bracket.steps),
            "sweep": self._sweep,
        }

    @property
    def finished(self) -> bool:
        """Whether no further trial will be proposed."""
        return self._exhausted or (self._limit is not None and len(self._pipelines) >= self._limit)

    def _finish(self) -> Any:
        self._exhausted = True
        return Searcher.FINISHED

    def _observations(self, trials: int) -> list[Observation]:
        return [
            Observation(
                number,
                self._pipelines[number],
                self._ladder.fraction(steps),
                score,
                seconds if self._counts_seconds else None,
            )
            for (number, steps), (score, seconds) in sorted(self._scores.items())
            if number < trials
        ]

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Remember the score of a rung. Tune skips this call for the rung a trial is stopped at."""
        self._observe(trial_id, result)

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Remember the score of the last rung, and that the trial has ended."""
        self._observe(trial_id, result)
        self._ended.add(self._numbers[trial_id])

    def _observe(self, trial_id: str, result: dict[str, Any] | None) -> None:
        if result is not None and "steps" in result and result["ended"] is None:
            self._scores[self._numbers[trial_id], result["steps"]] = result["score"], result["seconds"]

    def on_pause(self, trial_id: str) -> None:
        """HyperBandForBOHB tells; nothing depends on it here."""

    def on_unpause(self, trial_id: str) -> None:
        """HyperBandForBOHB tells; nothing depends on it here."""

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles its searcher on the way; it never reads it back here."""
        return {}

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save: the search is replayed from the journal."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore: the search is replayed from the journal."""
