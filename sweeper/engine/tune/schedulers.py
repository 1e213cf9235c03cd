"""Ray Tune's schedulers for each search."""

from __future__ import annotations

from typing import Any

from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler

from sweeper.api import Search
from sweeper.engine.private.tune import SynchronousHyperBand
from sweeper.engine.tune.searcher import SweepSearcher
from sweeper.search.brackets import Ladder


def make_scheduler(search: Search, ladder: Ladder, searcher: SweepSearcher, slots: int) -> Any:
    """Return the scheduler of a search.

    Budgets are counted in steps; `slots` is how many trials run at once.
    """
    common = {"time_attr": "steps", "metric": "score", "mode": "max"}
    if search.early_stopping == "synchronous" and ladder.rungs > 1:
        return SynchronousHyperBand(searcher, ladder, slots, **common)
    if search.early_stopping == "asynchronous" and ladder.rungs > 1:
        return AsyncHyperBandScheduler(
            max_t=ladder.max_steps,
            grace_period=1,
            reduction_factor=ladder.reduction_factor,
            **common,
        )
    return FIFOScheduler()
