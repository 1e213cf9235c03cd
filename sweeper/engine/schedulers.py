"""Ray Tune's schedulers for each search."""

from __future__ import annotations

from typing import Any

from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, HyperBandForBOHB

from sweeper.engine.searcher import SweepSearcher
from sweeper.search.brackets import Ladder


class SynchronousHyperBand(HyperBandForBOHB):  # type: ignore[misc]
    """HyperBandForBOHB that halves a bracket only when all its trials are there.

    Tune's own halves whatever is there as soon as nothing runs, which depends on timing: a bracket
    whose trials are still being proposed would lose some of them. Here that is left to the last
    bracket of a search, which may have fewer trials than places.
    """

    def __init__(self, searcher: SweepSearcher, **options: Any) -> None:
        super().__init__(**options)
        self._searcher = searcher

    def _process_bracket(self, tune_controller: Any, bracket: Any) -> str:
        waiting = not bracket.filled() and not self._searcher.finished
        if waiting and bracket is self._state["bracket"]:
            action: str = self.PAUSE
            return action
        return str(super()._process_bracket(tune_controller, bracket))


def make_scheduler(search: str, ladder: Ladder, searcher: SweepSearcher) -> Any:
    """Scheduler of a search; budgets are counted in steps."""
    common = {"time_attr": "steps", "metric": "score", "mode": "max"}
    if search in ("bohb", "hyperband") and ladder.rungs > 1:
        return SynchronousHyperBand(
            searcher, max_t=ladder.max_steps, reduction_factor=ladder.reduction_factor, **common
        )
    if search == "asha" and ladder.rungs > 1:
        return AsyncHyperBandScheduler(
            max_t=ladder.max_steps,
            grace_period=1,
            reduction_factor=ladder.reduction_factor,
            **common,
        )
    return FIFOScheduler()
