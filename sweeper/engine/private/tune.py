"""Private parts of Ray Tune: what it keeps of trials, its actors, the inside of its HyperBand."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from ray.air._internal import usage
from ray.tune.execution import class_cache
from ray.tune.experiment import Trial
from ray.tune.schedulers import HyperBandForBOHB

from sweeper.engine.tune.searcher import SweepSearcher
from sweeper.search.brackets import Ladder


def trial_environment() -> dict[str, Any]:
    """Return the runtime environment that Tune gives the actors of trials, and they their tasks.

    Ray keeps workers apart by it: tasks of ours without it would have processes of their own, which load the
    same libraries once more.
    """
    variables = dict(class_cache.DEFAULT_ENV_VARS)
    known = class_cache.ENV_VARS_TO_PROPAGATE & os.environ.keys()
    return {"env_vars": variables | {name: os.environ[name] for name in known}}


@contextmanager
def nothing_sent_to_trials() -> Iterator[None]:
    """Have the actors of trials, and :func:`trial_environment`, live in the environment of Ray itself.

    That of a Ray started by this process is this process's own. Workers without an environment of theirs
    start faster, and can be those that Ray starts ahead.
    """
    defaults, propagated = dict(class_cache.DEFAULT_ENV_VARS), set(class_cache.ENV_VARS_TO_PROPAGATE)
    class_cache.DEFAULT_ENV_VARS.clear()
    class_cache.ENV_VARS_TO_PROPAGATE.clear()
    try:
        yield
    finally:
        class_cache.DEFAULT_ENV_VARS.update(defaults)
        class_cache.ENV_VARS_TO_PROPAGATE.update(propagated)


@contextmanager
def without_usage() -> Iterator[None]:
    """Have Tune in this block take no note of who logs to what: it imports every logger that there is."""
    before = usage.tag_callbacks
    usage.tag_callbacks = lambda callbacks: None
    try:
        yield
    finally:
        usage.tag_callbacks = before


@contextmanager
def sent_to_trials(names: Iterable[str]) -> Iterator[None]:
    """Have the actors of trials, and :func:`trial_environment`, take over some variables of this process."""
    added = set(names) - class_cache.ENV_VARS_TO_PROPAGATE
    class_cache.ENV_VARS_TO_PROPAGATE.update(added)
    try:
        yield
    finally:
        class_cache.ENV_VARS_TO_PROPAGATE.difference_update(added)


# --------------------------------------------------------------------------- Tune's trials

_KEPT_RESULT = ("trial_id", "training_iteration", "done")


def forget(trial: Trial, resources: Any) -> None:
    """Let go of most of what Tune keeps of a trial that has ended: 45 KB of 55.

    Statistics of each number that was ever reported, the last result, checkpoints with theirs, and the
    trial's state as JSON are for users of Tune's own results and snapshots; here the journal is the truth,
    and nothing reads them. `resources` are equal to the trial's own and shared by all.
    """
    kept = trial.run_metadata
    kept.last_result = {key: kept.last_result[key] for key in _KEPT_RESULT if key in kept.last_result}
    kept.metric_analysis, kept.metric_n_steps = {}, {}
    kept.checkpoint_manager = type(kept.checkpoint_manager)(kept.checkpoint_manager.checkpoint_config)
    trial._default_result_or_future = None
    trial.placement_group_factory = resources
    # What Tune would write into a snapshot, had it not been made already.
    kept._cached_json = trial._state_json = "{}"


def keep_actors(tune_controller: Any, trial: Trial, slots: int) -> None:
    """Let Tune keep an actor for each slot while trials pause.

    It keeps no more than there are pending trials, so that synchronous halving ends almost all
    actors at each rung, and 60 trials start 28 instead of 3. It has no public setting for that.
    """
    controller = tune_controller.stop_trial.__self__
    controller._actor_cache.increase_max(trial.placement_group_factory, slots)


# --------------------------------------------------------------------------- Tune's schedulers


class SynchronousHyperBand(HyperBandForBOHB):  # type: ignore[misc]
    """HyperBandForBOHB whose brackets do not depend on timing.

    Tune's own counts the trials that are alive: it halves an unfilled bracket as soon as nothing
    runs, and puts a new trial into an old bracket whose trials have ended. Here a trial's number
    says which bracket it belongs to, and a bracket is halved once all its trials were proposed; only
    the last one of a search may have fewer than its places.

    Attributes
    ----------
    lost_count : str
        What Tune's own part stumbled over, as it does at times when machines come and go: its assertions
        fail then, and Tune hands on their traceback as text. Empty while all is well.
    """

    def __init__(self, searcher: SweepSearcher, ladder: Ladder, slots: int, **options: Any) -> None:
        super().__init__(max_t=ladder.max_steps, reduction_factor=ladder.reduction_factor, **options)
        # Tune's own cuts max_t * η**-s down to a whole number, and loses a step to rounding for some η.
        self._get_r0 = lambda s: ladder.max_steps // ladder.reduction_factor**s
        self._searcher = searcher
        self._ladder = ladder
        self._slots = slots
        self.lost_count = ""

    @contextmanager
    def _noticing(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self.lost_count = self.lost_count or " ".join(f"{type(error).__name__} {error}".split())
            raise

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

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        """Decide what a trial does after a rung."""
        with self._noticing():
            return str(super().on_trial_result(tune_controller, trial, result))

    def on_trial_complete(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> None:
        """Take a trial that has ended out of its bracket."""
        with self._noticing():
            super().on_trial_complete(tune_controller, trial, result)

    def on_trial_remove(self, tune_controller: Any, trial: Trial) -> None:
        """Take a trial that Tune gave up out of its bracket."""
        with self._noticing():
            super().on_trial_remove(tune_controller, trial)

    def choose_trial_to_run(self, tune_controller: Any, **options: Any) -> Any:
        """Choose the trial that goes on next."""
        with self._noticing():
            return super().choose_trial_to_run(tune_controller, **options)

    def on_trial_error(self, tune_controller: Any, trial: Trial) -> None:
        """Keep the place of a trial whose process died: it starts again, or the search does."""

    def _process_bracket(self, tune_controller: Any, bracket: Any) -> str:
        proposed = len(bracket._all_trials) == bracket._n0 or self._searcher.finished
        if not proposed:
            action: str = self.PAUSE
            return action
        return str(super()._process_bracket(tune_controller, bracket))
