"""What a person sees while a sweep runs: a live table in a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from typing import Any, TextIO

_PLAIN_INTERVAL_S = 5.0
_LIVE_HZ = 4.0


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
        self.state = State()
        self._stream = stream or sys.stderr
        self._started = time.monotonic()
        self._began = time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime())
        self._search_started: float | None = None
        self._shown = 0.0
        self._live: Any = None
        if self._stream.isatty():
            from rich.console import Console
            from rich.live import Live

            self._live = Live(
                console=Console(file=self._stream),
                get_renderable=self._table,  # by a thread: the clock goes on while Ray starts
                refresh_per_second=_LIVE_HZ,
                transient=True,
            )
            self._live.start()

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
        if self._live is not None:
            self._live.console.print(text, markup=False, highlight=False)
        else:
            print(text, file=self._stream, flush=True)

    def show(self, *, force: bool = False) -> None:
        """Show the state, unless it was shown a moment ago."""
        if self._live is not None:
            if force:
                self._live.refresh()
            return
        now = time.monotonic()
        if force or now - self._shown >= _PLAIN_INTERVAL_S:
            self._shown = now
            print(self._line(), file=self._stream, flush=True)

    def close(self) -> None:
        """End the display; the terminal is as it was."""
        if self._live is not None:
            self._live.stop()

    def summary(self) -> str:
        """One line on what was done and what was reused."""
        s = self.state
        return (
            f"{s.trials_ended} trials in {clock(self.elapsed_s)}; {s.evaluations} evaluations computed, "
            f"{s.evaluations_known} from the journal; {s.blocks_computed} blocks computed, "
            f"{s.blocks_reused} reused" + (f"; networks trained for {s.epochs} epochs" if s.epochs else "")
        )

    def session(self) -> dict[str, Any]:
        """What was done and what was reused, for the run folder."""
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
        left = []
        if s.time_budget_s:
            left.append(max(0.0, s.time_budget_s - self.elapsed_s))
        if self._search_started is not None and s.trials_total and s.trials_ended:
            left_of_done = s.trials_total / s.trials_ended - 1
            left.append((time.monotonic() - self._search_started) * left_of_done)
        return clock(min(left)) if left else ""

    def _phrases(self) -> list[str]:
        """What there is to say, most important first."""
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

    def _line(self) -> str:
        return f"{self.state.stage}: " + ", ".join(self._phrases())

    def _table(self) -> Any:
        from rich.table import Table

        table = Table(title=self.state.stage, title_justify="left", show_header=False, min_width=60)
        for phrase in self._phrases():
            table.add_row(phrase)
        return table
