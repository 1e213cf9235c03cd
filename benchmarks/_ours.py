"""Runs `sweeper run` under the meter and tells its stages apart."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from _meter import Usage, measure

STAGES = {
    "starting Ray": "start Ray",
    "checking": "check frames",
    "featurizing": "featurize",
    "search": "search",
}
"""How a line of progress begins, and what the stage is called here."""


@dataclass(frozen=True)
class Stage:
    """One stage of a sweep: seconds since the command started, CPU seconds of all processes."""

    name: str
    start_s: float
    end_s: float
    cpu_s: float

    @property
    def wall_s(self) -> float:
        return self.end_s - self.start_s


class Growth:
    """Evaluations in a journal, seen from outside while it grows."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self._read = 0
        self._evaluations = 0
        self.seen: list[tuple[float, int]] = []

    def __call__(self, now_s: float) -> None:
        if not self._journal.exists():
            return
        with self._journal.open("rb") as file:
            file.seek(self._read)
            new = file.read()
        whole = new[: new.rfind(b"\n") + 1]
        self._read += len(whole)
        self._evaluations += whole.count(b'"kind":"evaluation"')
        if not self.seen or self.seen[-1][1] < self._evaluations:
            self.seen.append((now_s, self._evaluations))


def stages(usage: Usage) -> list[Stage]:
    """Stages of a sweep from the times of its progress lines.

    The first is Python's start; the last ends with the last process, so the CPU seconds add up.

    Raises
    ------
    RuntimeError
        A stage never began.
    """
    begins = {"start Python": 0.0}
    for at_s, line in usage.lines:
        for beginning, name in STAGES.items():
            if line.startswith(beginning):
                begins.setdefault(name, at_s)
    absent = set(STAGES.values()) - set(begins)
    if absent:
        raise RuntimeError(f"no line of progress tells of {', '.join(sorted(absent))}")
    names, starts = list(begins), list(begins.values())
    ends = [*starts[1:], usage.samples[-1][0]]
    return [
        Stage(name, start, end, usage.cpu_until(end) - usage.cpu_until(start))
        for name, start, end in zip(names, starts, ends, strict=True)
    ]


def sweep(
    data: Path,
    out: Path,
    options: Sequence[object],
    *,
    timeout_s: float = float("inf"),
    on_sample: Callable[[float], None] | None = None,
) -> Usage:
    """Run `sweeper run DATA --out OUT` with further options, as a person would."""
    command = [sys.executable, "-m", "sweeper", "run", str(data), "--out", str(out), *map(str, options)]
    return measure(command, timeout_s=timeout_s, on_sample=on_sample)
