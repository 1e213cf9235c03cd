"""Ray Tune's schedulers, by how a search stops trials early."""

from __future__ import annotations

from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import AsyncHyperBandScheduler, FIFOScheduler, HyperBandForBOHB

from sweeper.api import Search
from sweeper.engine.tune.searcher import SweepSearcher
from sweeper.search.brackets import Ladder


class SynchronousHyperBand(HyperBandForBOHB):  # type: ignore[misc]
    """HyperBandForBOHB whose brackets do not depend on timing.

    Tune's own counts the trials that are alive: it halves an unfilled bracket as soon as nothing
    runs, and puts a new trial into an old bracket whose trials have ended. Here a trial's number
    says which bracket it belongs to, and a bracket is halved once all its trials were proposed; only
    the last one of a search may have fewer than its places.
    """

    def __init__(self, searcher: SweepSearcher, ladder: Ladder, slots: int, **options: Any) -> None:
        super().__init__(max_t=ladder.max_steps, reduction_factor=ladder.reduction_factor, **options)
        # Tune's own cuts max_t * η**-s down to a whole number, and loses a step to rounding for some η.
        self._get_r0 = lambda s: ladder.max_steps // ladder.reduction_factor**s
        self._searcher = searcher
        self._ladder = ladder
        self._slots = slots

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        """Start a new bracket with its first trial, and only then; a trial put back keeps its place."""
        if trial in self._trial_info:
            return
        if not self._trial_info:
            keep_actors(tune_controller, trial, self._slots)
        number = trial.config["trial"]
        if number == self._ladder.bracket_of(number).first:
            self._state["bracket"] = None
        super().on_trial_add(tune_controller, trial)

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        """Keep the place of a trial whose process died: it starts again, or the search does."""

    def _process_bracket(self, tune_controller: Any, bracket: Any) -> str:
        proposed = len(bracket._all_trials) == bracket._n0 or self._searcher.finished
        if not proposed:
            action: str = self.PAUSE
            return action
        return str(super()._process_bracket(tune_controller, bracket))


def keep_actors(tune_controller: Any, trial: Trial, slots: int) -> None:
    """Let Tune keep an actor for each slot while trials pause.

    It keeps no more than there are pending trials, so that synchronous halving ends almost all
    actors at each rung, and 60 trials start 28 instead of 3. It has no public setting for that.
    """
    controller = tune_controller.stop_trial.__self__
    controller._actor_cache.increase_max(trial.placement_group_factory, slots)


def make_scheduler(search: Search, ladder: Ladder, searcher: SweepSearcher, slots: int) -> Any:
    """Return the scheduler of a search; budgets are counted in steps, `slots` trials run at once."""
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
