"""A sorter at work: frames in, rows out, as they are sorted."""

from __future__ import annotations

import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from sweeper.sorter.files import Unit
from sweeper.sorter.outline import STRANGER, UNREADABLE, UNSURE, Outline
from sweeper.sorter.places import Places
from sweeper.sorter.strangers import FALSE_ALARMS
from sweeper.sorter.table import Sorted, Table, json_line, read_rows
from sweeper.sorter.watch import Watch
from sweeper.sorter.work import Done, Workers

_TOGETHER, _TOGETHER_IN_TIME = 16, 4  # units that are handed to a worker at once; while watching
_WAIT_S = 1.0
_WINDOW = 200  # frames by which drift is told
_DRIFT_P = 1e-6
_SCREEN_S = (0.5, 10.0)  # between two lines on a terminal, and elsewhere


@dataclass
class Report:
    """The counts of a finished sort.

    Attributes
    ----------
    frames, known : int
        Frames sorted now; frames that were in the table before.
    unreadable : int
    """

    frames: int = 0
    known: int = 0
    unreadable: int = 0


class Sorter:
    """Takes units to workers and what they say to the table, the folders, other programs and the screen.

    Parameters
    ----------
    model : Outline
    table : Table
    workers : Workers
    places : Places, optional
    json : bool
        Print each row as a line of JSON.
    """

    def __init__(
        self,
        model: Outline,
        table: Table,
        workers: Workers,
        places: Places | None = None,
        *,
        json: bool = False,
    ) -> None:
        self._model, self._table, self._workers = model, table, workers
        self._places, self._json = places, json
        self._screen = Screen(model)
        self.report = Report(known=len(table))
        self._may_retry: Callable[[str], bool] = lambda path: False
        if places is not None:  # what a process that was killed had no time for
            places.put((row["path"], row) for row in read_rows(table.path))

    def sort(self, units: Iterator[Unit]) -> Report:
        """Sort units until there are no more."""
        wanted = self._not_done(units)
        while True:
            while self._workers.room > 0 and (some := list(islice(wanted, _TOGETHER))):
                self._workers.submit(some)
            done = self._workers.collect(_WAIT_S)
            self._take(done)
            if not done and not self._workers.running:
                self._screen.end(self.report)
                return self.report

    def watch(self, watch: Watch) -> None:
        """Sort what arrives, until the process is interrupted."""
        self._may_retry = watch.retry
        waiting: deque[Unit] = deque()
        try:
            while True:
                running = self._workers.running
                waiting += watch.wait(0.0 if waiting else 0.02 if running else _WAIT_S)
                while waiting and self._workers.room > 0:
                    self._workers.submit(
                        [waiting.popleft() for _ in range(min(_TOGETHER_IN_TIME, len(waiting)))]
                    )
                self._take(self._workers.collect(0.0 if waiting and self._workers.room > 0 else 0.005))
                self._screen.show()
        finally:
            self._screen.end(self.report)
            for path in watch.waiting:
                print(f"not whole, not sorted: {path}", file=sys.stderr)

    def _not_done(self, units: Iterator[Unit]) -> Iterator[Unit]:
        """Yield units without the frames that are in the table."""
        for unit in units:
            done = self._table.done(unit.path)
            if unit.frames is None and not done:
                yield unit
            elif unit.frames is not None and (left := tuple(f for f in unit.frames if f not in done)):
                yield replace(unit, frames=left)

    def _take(self, done: Done) -> None:
        found: list[Sorted] = []
        for _, each in done:
            bad = [one for one in each if one.verdict.reason.startswith(UNREADABLE)]
            if not (bad and self._may_retry(bad[0].verdict.path)):
                found += each
        new = self._table.add(found)
        if self._places is not None:  # by the paths themselves: in the table, odd names are escaped
            self._places.put((one.verdict.path, row) for one, row in new)
        if self._json:
            for _, row in new:
                print(json_line(row), flush=True)
        self.report.frames += len(new)
        self.report.unreadable += sum(one.verdict.reason.startswith(UNREADABLE) for one, _ in new)
        self._screen.add([one for one, _ in new])
        self._screen.show()


class Screen:
    """The progress that a person sees on standard error."""

    def __init__(self, model: Outline) -> None:
        self._model = model
        self._terminal = sys.stderr.isatty()
        self._begin = self._shown = time.monotonic()
        self._frames, self._frames_shown = 0, 0
        self._latencies: deque[float] = deque(maxlen=1000)
        self._classes: Counter[str] = Counter()
        self._reasons: Counter[str] = Counter()
        self._recent: deque[bool] = deque(maxlen=_WINDOW)
        self._warned = False
        accepted = model.thresholds.accepts(model.calibration.probabilities)
        self._refused = 1.0 - float(np.mean(accepted)) * (1 - 3 * FALSE_ALARMS)
        self._refused = min(1.0, self._refused + 2 / np.sqrt(len(accepted)))

    def add(self, found: Sequence[Sorted]) -> None:
        """Count frames."""
        for one in found:
            self._latencies.append(one.latency_ms)
            self._recent.append(one.verdict.accepted)
            if one.verdict.accepted:
                self._classes[one.verdict.label] += 1
            else:
                self._reasons[one.verdict.reason.partition(":")[0]] += 1
        self._frames += len(found)

    def show(self) -> None:
        """Print a line, if it is time for one and there is something new."""
        now = time.monotonic()
        pause = _SCREEN_S[0] if self._terminal else _SCREEN_S[1]
        if now - self._shown < pause or self._frames == self._frames_shown:
            return
        rate = (self._frames - self._frames_shown) / (now - self._shown)
        self._shown, self._frames_shown = now, self._frames
        end = "" if self._terminal else "\n"
        begin = "\r\x1b[K" if self._terminal else ""
        print(f"{begin}{self._line(rate)}", end=end, file=sys.stderr, flush=True)
        self._warn()

    def end(self, report: Report) -> None:
        """Print the last line."""
        rate = self._frames / max(1e-9, time.monotonic() - self._begin)
        begin = "\r\x1b[K" if self._terminal else ""
        known = f"; {report.known} were in the table before" if report.known else ""
        print(f"{begin}{self._line(rate)}{known}", file=sys.stderr, flush=True)
        self._warn()

    def _line(self, rate: float) -> str:
        text = f"{self._frames:,} frames, {rate:.3g}/s"
        if self._latencies:
            p50, p99 = np.quantile(self._latencies, (0.5, 0.99))
            text += f", p50 {p50:.3g} ms, p99 {p99:.3g} ms"
        counts = [f"{name} {self._classes[name]}" for name in self._model.classes if self._classes[name]]
        if counts:
            text += "; " + ", ".join(counts)
        why = [
            f"{name} {self._reasons[name]}" for name in (UNSURE, STRANGER, UNREADABLE) if self._reasons[name]
        ]
        return text + (f"; not accepted {sum(self._reasons.values())} ({', '.join(why)})" if why else "")

    def _warn(self) -> None:
        """Say once that the stream has drifted: far fewer frames are accepted than of the training frames."""
        if len(self._recent) < _WINDOW or self._warned:
            return
        from scipy.stats import binom

        refused = len(self._recent) - sum(self._recent)
        if float(binom.sf(refused - 1, len(self._recent), self._refused)) < _DRIFT_P:
            self._warned = True
            print(
                f"\nwarning: {refused} of the last {len(self._recent)} frames were not accepted, of frames "
                f"like the training frames at most {100 * self._refused:.2g} % are not: the stream has "
                "drifted from what this model was trained on",
                file=sys.stderr,
            )
