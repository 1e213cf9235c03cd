"""CPU seconds of a command and of every process that comes out of it, daemons included.

A process that outlives its parent is handed to the meter (Linux: child subreaper), so that all processes
of a Ray session stay below it. Their CPU times are read from /proc many times a second; a process that
ended is read once more before it is reaped. What can be missed is what a process whose own parent reaps
it did after its last reading: `interval_s` at most, each.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_PR_SET_CHILD_SUBREAPER = 36
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_GRACE_S = 30.0
"""Daemons may go on for this long after the command; what is left then is ended."""


@dataclass
class Usage:
    """The resources that a command took.

    Attributes
    ----------
    status : int
        Exit status.
    wall_s : float
        Until the command itself ended.
    cpu_s : float
        User and system time of all processes.
    by_name : dict
        CPU seconds by name of process; Ray renames its workers by what they run.
    samples : list of (float, float)
        Seconds since the start, CPU seconds until then.
    lines : list of (float, str)
        What it wrote to standard error, and when.
    """

    status: int = 0
    wall_s: float = 0.0
    cpu_s: float = 0.0
    by_name: dict[str, float] = field(default_factory=dict)
    samples: list[tuple[float, float]] = field(default_factory=list)
    lines: list[tuple[float, str]] = field(default_factory=list)

    def cpu_until(self, at_s: float) -> float:
        """CPU seconds of all processes from the start to `at_s`, interpolated."""
        before = (0.0, 0.0)
        for sample in self.samples:
            if sample[0] >= at_s:
                share = (at_s - before[0]) / max(sample[0] - before[0], 1e-9)
                return before[1] + share * (sample[1] - before[1])
            before = sample
        return before[1]


@dataclass
class _Process:
    parent: int
    name: str
    cpu_s: float


Identity = tuple[int, int]
"""Number of a process and when it started: numbers are used again."""


def _processes() -> dict[Identity, _Process]:
    """Every process of the machine."""
    found = {}
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        try:
            text = Path(entry.path, "stat").read_text()
        except OSError:  # it ended meanwhile
            continue
        name, _, rest = text.partition("(")[2].rpartition(")")
        values = rest.split()
        cpu_s = (int(values[11]) + int(values[12])) / _TICKS_PER_S
        found[int(entry.name), int(values[19])] = _Process(int(values[1]), name, cpu_s)
    return found


def _below(processes: Mapping[Identity, _Process], root: int) -> dict[Identity, _Process]:
    """Descendants of process `root`, itself left out."""
    children: dict[int, list[Identity]] = {}
    for identity, process in processes.items():
        children.setdefault(process.parent, []).append(identity)
    found, waiting = {}, [root]
    while waiting:
        for identity in children.get(waiting.pop(), []):
            found[identity] = processes[identity]
            waiting.append(identity[0])
    return found


class _Sampler:
    """CPU seconds of everything below this process since the sampler was made."""

    def __init__(self) -> None:
        self._seen: dict[Identity, _Process] = {}

    def sample(self) -> tuple[float, list[Identity]]:
        """CPU seconds so far, and the processes that there are."""
        alive = _below(_processes(), os.getpid())
        self._seen.update(alive)
        return sum(p.cpu_s for p in self._seen.values()), list(alive)

    def by_name(self) -> dict[str, float]:
        """CPU seconds by name, largest first."""
        totals: dict[str, float] = {}
        for process in self._seen.values():
            totals[process.name] = totals.get(process.name, 0.0) + process.cpu_s
        return dict(sorted(totals.items(), key=lambda item: -item[1]))


def measure(
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    interval_s: float = 0.05,
    timeout_s: float = float("inf"),
    on_sample: Callable[[float], None] | None = None,
    on_line: Callable[[str], None] | None = None,
) -> Usage:
    """Run a command to its end and to that of all its processes.

    Parameters
    ----------
    command : sequence of str
    environment : mapping, optional
        Variables to add.
    interval_s : float
        Between two readings.
    timeout_s : float
        All processes are ended after this long.
    on_sample : callable, optional
        Called with the seconds since the start at each reading.
    on_line : callable, optional
        Called with each line of standard error.

    Raises
    ------
    RuntimeError
        The command failed; the message ends with its last lines.
    """
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "processes that outlive their parent cannot be followed")
    sampler, usage, started = _Sampler(), Usage(), time.monotonic()
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(environment or {})},
    )
    reader = threading.Thread(target=_read, args=(process, usage, started, on_line), daemon=True)
    reader.start()
    try:
        _follow(process, sampler, usage, started, interval_s, timeout_s, on_sample)
    except BaseException:
        _end(sampler.sample()[1])
        raise
    reader.join(timeout=10)
    usage.by_name = sampler.by_name()
    if usage.status != 0:
        last = "\n".join(line for _, line in usage.lines[-20:])
        raise RuntimeError(f"{' '.join(command)} ended with status {usage.status}:\n{last}")
    return usage


def _follow(
    process: subprocess.Popen[str],
    sampler: _Sampler,
    usage: Usage,
    started: float,
    interval_s: float,
    timeout_s: float,
    on_sample: Callable[[float], None] | None,
) -> None:
    """Read CPU times until the command and all that it left behind have ended."""
    ended: float | None = None
    while True:
        now = time.monotonic()
        usage.cpu_s, alive = sampler.sample()
        usage.samples.append((now - started, usage.cpu_s))
        if on_sample is not None:
            on_sample(now - started)
        _reap(process)  # only now: what has ended can be read until it is reaped
        if process.returncode is not None and ended is None:
            ended = now
            usage.status, usage.wall_s = process.returncode, now - started
        if ended is not None and not alive:
            return
        if now - started > timeout_s or (ended is not None and now - ended > _GRACE_S):
            _end(alive)
        time.sleep(interval_s)


def _read(
    process: subprocess.Popen[str], usage: Usage, started: float, on_line: Callable[[str], None] | None
) -> None:
    assert process.stderr is not None
    for line in process.stderr:
        usage.lines.append((time.monotonic() - started, line.rstrip()))
        if on_line is not None:
            on_line(line.rstrip())


def _reap(process: subprocess.Popen[str]) -> None:
    """Let go of children that have ended, adopted ones too."""
    while True:
        try:
            number, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if number == 0:
            return
        if number == process.pid:
            process.returncode = os.waitstatus_to_exitcode(status)


def _end(processes: Sequence[Identity]) -> None:
    for number, _ in processes:
        try:
            os.kill(number, signal.SIGKILL)
        except ProcessLookupError:
            continue
