"""The progress that a person sees while a sweep runs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TextIO

from sweeper.runs.displays import Display, Nowhere, View, display_for


@dataclass
class State:
    """Everything that is shown."""

    stage: str = "starting"
    trials: int = 0
    trials_ended: int = 0
    trials_total: int | None = None
    trials_failed: int = 0
    best: float | None = None
    best_name: str = ""
    metric: str = "accuracy"
    evaluations: int = 0
    evaluations_known: int = 0
    blocks_computed: int = 0
    blocks_reused: int = 0
    shards_done: int = 0
    shards_total: int = 0
    frames_featurized: int = 0
    bytes_held: int = 0
    fits_running: int = 0
    fits_done: int = 0
    epochs: int = 0
    budget_spent: float = 0.0
    time_budget_s: float | None = None


def clock(seconds: float) -> str:
    """Seconds as ``1:05`` or ``2:03:00``."""
    minutes, s = divmod(int(seconds), 60)
    hours, m = divmod(minutes, 60)
    return f"{hours}:{m:02}:{s:02}" if hours else f"{m}:{s:02}"


class Progress:
    """Shows a :class:`State` as it changes."""

    def __init__(self, stream: TextIO | None = None) -> None:
        """Show it on a stream; by default in the notebook, or else on standard error."""
        self.state = State()
        self._started = time.monotonic()
        self._began = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
        self._search_started: float | None = None
        self._display: Display = display_for(stream, self._view)

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles its callbacks on the way and never reads them back; a terminal cannot be pickled."""
        return {}

    @property
    def elapsed_s(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self._started

    def stage(self, text: str) -> None:
        """Enter a stage and show it at once."""
        self.state.stage = text
        self._search_started = time.monotonic() if text.startswith("search") else None
        self.show(force=True)

    def restage(self, text: str) -> None:
        """Say how far the stage is; shown when it is time."""
        self.state.stage = text
        self.show()

    def note(self, text: str) -> None:
        """A line that stays on the screen."""
        with self._as_long_as_it_can_be_seen():
            self._display.note(text)

    def show(self, *, force: bool = False) -> None:
        """Show the state, unless it was shown a moment ago."""
        with self._as_long_as_it_can_be_seen():
            self._display.show(force=force)

    def close(self) -> None:
        """End the display."""
        with self._as_long_as_it_can_be_seen():
            self._display.close()

    @contextmanager
    def _as_long_as_it_can_be_seen(self) -> Iterator[None]:
        """Show nothing from now on if that fails: a terminal that is gone ends no sweep."""
        try:
            yield
        except (OSError, ValueError):  # a file that is closed is a ValueError
            self._display = Nowhere()

    def summary(self) -> str:
        """One line on what was done and what was reused."""
        s = self.state
        return (
            f"{s.trials_ended} trials in {clock(self.elapsed_s)}; {s.evaluations} evaluations computed, "
            f"{s.evaluations_known} from the journal; {s.blocks_computed} blocks computed, "
            f"{s.blocks_reused} reused" + (f"; networks trained for {s.epochs} epochs" if s.epochs else "")
        )

    def session(self) -> dict[str, Any]:
        """Return what was done and what was reused, for the run folder."""
        s = self.state
        return {
            "started": self._began,
            "seconds": round(self.elapsed_s, 1),
            "evaluations": s.evaluations,
            "evaluations_known": s.evaluations_known,
            "blocks_computed": s.blocks_computed,
            "blocks_reused": s.blocks_reused,
            "epochs": s.epochs,
        }

    def _left(self) -> str:
        """Time until the trials or the time budget end, whichever is sooner; empty while nobody can say."""
        s = self.state
        if s.trials_total and s.trials_ended == s.trials_total:
            return ""
        left = []
        if s.time_budget_s:
            left.append(max(0.0, s.time_budget_s - self.elapsed_s))
        if self._search_started is not None and s.trials_total and s.trials_ended:
            left_of_done = s.trials_total / s.trials_ended - 1
            left.append((time.monotonic() - self._search_started) * left_of_done)
        return clock(min(left)) if left else ""

    def _phrases(self) -> list[str]:
        """Return what there is to say, most important first."""
        s = self.state
        phrases = []
        if s.shards_done < s.shards_total:
            phrases.append(f"features of {s.shards_done / s.shards_total:.0%} of the frames")
        if s.trials:
            of = f" of {s.trials_total}" if s.trials_total else ""
            failed = f" ({s.trials_failed} failed)" if s.trials_failed else ""
            phrases.append(f"{s.trials_ended}{of} trials finished{failed}")
        if s.fits_running or s.fits_done:
            running = f"{s.fits_running} network{'' if s.fits_running == 1 else 's'} training"
            phrases.append(f"{running}, {s.epochs} epochs done")
        if s.best is not None:
            phrases.append(f"best {s.metric} {s.best:.4f} by {s.best_name}")
        phrases.append(f"{clock(self.elapsed_s)} elapsed")
        if left := self._left():
            phrases.append(f"about {left} left")
        return phrases

    def _view(self) -> View:
        return View(self.state.stage, tuple(self._phrases()), self._share())

    def _share(self) -> float | None:
        """Part of the stage that is done, where it can be counted."""
        s = self.state
        if s.shards_done < s.shards_total:
            return s.shards_done / s.shards_total
        if self._search_started is None:
            return None
        shares = []
        if s.trials_total:
            shares.append(s.trials_ended / s.trials_total)
        if s.time_budget_s:
            shares.append(self.elapsed_s / s.time_budget_s)
        return min(1.0, max(shares)) if shares else None
