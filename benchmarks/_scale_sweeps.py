"""Sweeps whose evaluations sleep: the engine's own code path with declared cores, watched from outside.

A classifier that sleeps, and notes when, stands in for real fits: everything else (searcher, scheduler,
trial actors, tasks, ledger, leaderboard) is what ``sweeper run`` does.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from _meter import Usage, measure
from _ours import Growth

REPOSITORY = Path(__file__).resolve().parents[1]
LOG = "SWEEPER_SLEEP_LOG"
"""Environment variable: folder where each process that sleeps notes begin and end, in monotonic seconds."""

_SLEEPER = '''
"""Sleeps, and gives the frequencies of the classes."""

import os
import time

import numpy as np

from sweeper.api import Axis, Classifier, Interval


class Sleeper:
    def __init__(self, build):
        self.build = build

    def fit(self, x, y, sample_weight):
        begin = time.monotonic()
        time.sleep(self.build.params["seconds"])
        with open(os.path.join(os.environ["SWEEPER_SLEEP_LOG"], str(os.getpid())), "a") as log:
            log.write(f"{begin} {time.monotonic()}\\n")
        self.shares = np.bincount(y, minlength=self.build.n_classes) / len(y)

    def scores(self, x):
        return np.tile(self.shares, (len(x), 1))


CLASSIFIER = Classifier(
    name="sleeper",
    version=1,
    source="stands in for a fit of known length",
    axes=(
        Axis("seconds", Interval(0, 3600), default=0, doc="how long a fit takes"),
        Axis("key", Interval(0, 1), default=0.5, doc="tells trials apart"),
    ),
    budget="rows",
    build=Sleeper,
)
'''

_SPACE = """
name: sleepers
source: pipelines that differ in a number without effect
featurizers: {{histogram: }}
reducers: [none]
classifiers:
  sleeper: {{seconds: {seconds}, key: {{low: 0, high: 1}}}}
"""

CLASSES, FRAMES_A_CLASS, SIZE_PX = 3, 16, 32


def write_noise(root: Path, classes: int, frames_a_class: int, size_px: int, seed: int) -> Path:
    """Poisson noise, a strength for each class, half of it for training: ``{train,val}/<class>/*.npy``."""
    rng = np.random.default_rng(seed)
    for c in range(classes):
        for part in ("train", "val"):
            (root / part / f"class{c}").mkdir(parents=True)
        for i in range(frames_a_class):
            counts = rng.poisson(20 + 10 * c, (size_px, size_px)).astype(np.uint16)
            np.save(root / ("train" if i % 2 else "val") / f"class{c}" / f"{i:07}.npy", counts)
    return root


def write_plugin(folder: Path) -> Path:
    """Write the sleeping classifier into a folder of plugins."""
    folder.mkdir()
    (folder / "sleeper.py").write_text(_SLEEPER)
    return folder


@dataclass
class Sweep:
    """A sweep of sleepers, after it ended.

    Attributes
    ----------
    usage : Usage
    growth : Growth
        Evaluations in the journal, and when.
    sleeps : float64, (evaluations, 2)
        Begin and end of each, seconds of the monotonic clock.
    memory : list of (int, int, int)
        Evaluations so far, private bytes of the driver and of the ledger.
    most_bytes : int
        Private bytes of all processes together, at their highest.
    """

    usage: Usage
    growth: Growth
    sleeps: np.ndarray
    memory: list[tuple[int, int, int]] = field(default_factory=list)
    most_bytes: int = 0


def run_sleepers(
    scratch: Path,
    *,
    trials: int,
    seconds: float,
    cpus: int,
    options: Sequence[object] = (),
    timeout_s: float,
    memory_interval_s: float = 1.0,
) -> Sweep:
    """Run a sweep of `trials` sleepers with `cpus` declared cores, in an empty folder `scratch`."""
    plugin, log, out = write_plugin(scratch / "plugins"), scratch / "log", scratch / "run"
    log.mkdir()
    space = scratch / "space.yaml"
    space.write_text(_SPACE.format(seconds=seconds))
    frames = write_noise(scratch / "frames", CLASSES, FRAMES_A_CLASS, SIZE_PX, 1)
    found = Sweep(Usage(), Growth(out / "journal.jsonl"), np.empty((0, 2)))
    arguments = ("--space", space, "--search", "random", "--trials", trials, "--seed", 1, "--cpus", cpus)
    found.usage = measure(
        [
            sys.executable,
            "-m",
            "sweeper",
            "run",
            *map(str, (frames, "--out", out, "--plugins", plugin, *arguments, *options)),
        ],
        environment={LOG: str(log)},
        interval_s=0.25,
        timeout_s=timeout_s,
        on_sample=_watcher(found, memory_interval_s),
    )
    lines = [line for file in log.iterdir() for line in file.read_text().splitlines()]
    found.sleeps = np.array([line.split() for line in lines], dtype=np.float64).reshape(-1, 2)
    if len(found.sleeps) != trials or found.growth.seen[-1][1] != trials:
        raise RuntimeError(f"{len(found.sleeps)} evaluations, {trials} expected")
    return found


def _watcher(found: Sweep, interval_s: float) -> Callable[[float], None]:
    """Notes evaluations and memory."""
    last = [-interval_s]

    def watch(now_s: float) -> None:
        found.growth(now_s)
        if now_s - last[0] < interval_s:
            return
        last[0] = now_s
        sizes = private_bytes()
        found.most_bytes = max(found.most_bytes, sum(size for _, size in sizes))
        driver = sum(size for name, size in sizes if name == "driver")
        ledger = sum(size for name, size in sizes if name.startswith("ray::Ledger"))
        if found.growth.seen and driver and ledger:
            found.memory.append((found.growth.seen[-1][1], driver, ledger))

    return watch


def private_bytes() -> list[tuple[str, int]]:
    """Name and private bytes of each process below this one; ``driver`` is its own child that runs Python."""
    parents, names, sizes = {}, {}, {}
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        try:
            lines = Path(entry.path, "status").read_text().splitlines()
        except OSError:  # it ended meanwhile
            continue
        values = dict(line.split(":", 1) for line in lines)
        pid = int(entry.name)
        parents[pid], names[pid] = int(values["PPid"]), values["Name"].strip()
        sizes[pid] = 1024 * int(values.get("RssAnon", "0 kB").split()[0])
    below, waiting = [], [os.getpid()]
    while waiting:
        parent = waiting.pop()
        children = [pid for pid, its in parents.items() if its == parent]
        waiting += children
        for pid in children:
            is_driver = parent == os.getpid() and names[pid].startswith("python")
            below.append(("driver" if is_driver else names[pid], sizes[pid]))
    return below


def driver_bytes() -> int:
    """Private bytes of the child that runs Python; 0 when there is none."""
    return sum(size for name, size in private_bytes() if name == "driver")


def utilisation(sleeps: np.ndarray, slots: int) -> tuple[float, float, float]:
    """Share of slots that sleep: while there is work for all, and from the first begin to the last end.

    The steady state begins when as many evaluations have begun as there are slots, and ends when the last
    evaluation begins: from then on there is not enough for all. Its length in seconds is the third value.
    """
    begins = np.sort(sleeps[:, 0])
    start, end = begins[slots - 1], begins[-1]
    inside = np.clip(sleeps[:, 1], start, end) - np.clip(sleeps[:, 0], start, end)
    steady = inside.sum() / (slots * (end - start))
    whole = (sleeps[:, 1] - sleeps[:, 0]).sum() / (slots * (sleeps[:, 1].max() - begins[0]))
    return float(steady), float(whole), float(end - start)


def bytes_a_trial(memory: list[tuple[int, int, int]]) -> tuple[float, float]:
    """Slope of the driver's and of the ledger's private bytes over trials, the first fifth left out."""
    seen = np.array(memory, dtype=np.float64)
    seen = seen[seen[:, 0] >= 0.2 * seen[-1, 0]]
    driver, ledger = (np.polyfit(seen[:, 0], seen[:, column], 1)[0] for column in (1, 2))
    return float(driver), float(ledger)
