"""Following a search from the driver: progress, the leaderboard on disk, reasons to stop."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

import ray
from ray import tune
from ray.tune.stopper import Stopper

from sweeper.engine.metrics import SweepMetrics, announce_dashboard
from sweeper.engine.private.tune import forget
from sweeper.engine.tune.trial import FAILED_SCORE
from sweeper.errors import DeadlineError, SweeperError
from sweeper.interrupts import check_interrupted
from sweeper.pipeline import Pipeline
from sweeper.runs.exports.sending import Exports
from sweeper.runs.folder import RunFolder
from sweeper.runs.leaderboard import write_leaderboard
from sweeper.runs.progress import Progress
from sweeper.runs.spec import SweepSpec

_POLL_S = 1.0
_LEADERBOARD_S = 3.0


@dataclass(frozen=True)
class Actors:
    """The two actors of a sweep."""

    store: Any
    ledger: Any
    ledger_name: str


class NoReporter(tune.ProgressReporter):  # type: ignore[misc]
    """Shows nothing: Tune's own reporter clears the cell of a notebook, and with it what we show."""

    def should_report(self, trials: list[Any], done: bool = False) -> bool:
        """Return that there is nothing to report."""
        return False

    def report(self, trials: list[Any], done: bool, *sys_info: str) -> None:
        """Report nothing."""


class Watch(tune.Callback):  # type: ignore[misc]
    """Follows a search from the driver: progress, the leaderboard on disk, reasons to stop."""

    def __init__(
        self,
        spec: SweepSpec,
        folder: RunFolder,
        progress: Progress,
        actors: Actors,
        deadline: float,
        folds: int,
        exports: Exports,
    ) -> None:
        self.folds = folds
        self._exports = exports
        self.spec, self.folder, self.progress, self.actors = spec, folder, progress, actors
        self.deadline = deadline
        self.fatal: SweeperError | None = None
        self.crashed = False
        self.warned = False
        self._failed: set[int] = set()
        self._ended: list[Any] = []
        self._resources: Any = None
        self._polled = 0.0
        self._pending: list[Any] = []
        self._dirty = False
        self._next_write = time.monotonic() + _LEADERBOARD_S
        self._metrics = SweepMetrics(folder.name)
        announce_dashboard(progress)

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: Any, **info: Any
    ) -> None:
        """A rung ended."""
        state = self.progress.state
        if (ended := result["ended"]) is not None:
            if self.fatal is None and not isinstance(ended, DeadlineError):
                self.fatal = ended
            return
        self._dirty = True
        state.budget_spent += result["budget"]
        if result["score"] == FAILED_SCORE:
            self._failed.add(result["trial"])
            state.trials_failed = len(self._failed)
        elif result["budget"] == 1.0 and (state.best is None or result["score"] > state.best):
            state.best = result["score"]
            state.best_name = f"{result['name']} #{result['trial']}"

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial started, or went on."""
        self.progress.state.trials = len(trials)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial ended, at the full budget or at a lower rung."""
        self.progress.state.trials_ended += 1
        self._ended.append(trial)
        if (trial.last_result or {}).get("ended") is None:  # else it ended with the sweep, to go on later
            self.actors.store.release.remote(Pipeline.from_dict(json.loads(trial.config["pipeline"])))

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A trial's process died, and Tune gave it up."""
        self.crashed = True

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """After every event of Tune's loop."""
        while self._ended:
            trial = self._ended.pop()
            self._resources = self._resources or trial.placement_group_factory
            forget(trial, self._resources)
        self.poll()

    def start_over(self) -> None:
        """Count from zero: a search is about to be replayed."""
        self.crashed = False
        self.warned = False
        self._failed.clear()
        self._ended.clear()
        state = self.progress.state
        state.trials = state.trials_ended = state.trials_failed = 0
        state.budget_spent = 0.0

    def poll(self) -> None:
        """Take counts from the actors without waiting for them; show; keep the leaderboard current.

        Raises
        ------
        KeyboardInterrupt
            The sweep was interrupted, and that got lost.
        """
        check_interrupted()
        now = time.monotonic()
        if now - self._polled > _POLL_S and not self._pending:
            self._polled = now
            self._pending = [self.actors.store.stats.remote(), self.actors.ledger.counts.remote()]
        if self._pending and len(ray.wait(self._pending, num_returns=2, timeout=0)[0]) == 2:
            stats, counts = ray.get(self._pending)
            self._pending = []
            for name, value in stats.items():
                setattr(self.progress.state, name, value)
            state = self.progress.state
            state.evaluations, state.evaluations_known, state.epochs = counts
            self._metrics.update(state)
        if self._dirty and now > self._next_write:
            results, metric = self.folder.results(), self.spec.metric
            write_leaderboard(results, self.folder.leaderboard, metric=metric, folds=self.folds)
            self._exports.feed(results, self.folds)
            self._dirty = False
            spent = time.monotonic() - now
            self._next_write = time.monotonic() + max(_LEADERBOARD_S, 20 * spent)
        self.progress.show()

    def refresh(self) -> None:
        """Take the latest counts, waiting for them."""
        self._polled, self._pending = 0.0, []
        self.poll()
        ray.wait(self._pending, num_returns=len(self._pending), timeout=10) if self._pending else None
        self.poll()


class StopAll(Stopper):  # type: ignore[misc]
    """Ends Tune's loop when the watch has a reason."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Trials end by their scheduler."""
        return False

    def stop_all(self) -> bool:
        """True once the time is up or the journal cannot be written."""
        watch = self._watch
        return watch.fatal is not None or watch.crashed or time.monotonic() >= watch.deadline
