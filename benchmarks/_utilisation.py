"""How busy a BOHB sweep keeps the cores of this machine, once its blocks are there.

Sixty trials of ``diffranet`` with five folds on simulated frames. Printed are CPU seconds of the sweep's own
processes over cores × wall time, from the begin of the search, and from its first evaluation, to its last.
It says something only on a machine that does nothing else: the load of others is printed beside it.

    python benchmarks/_utilisation.py [--per-class N] [--size PX] [--trials N]
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from _meter import Usage
from _ours import Growth, stages, sweep

from sweeper.simulate.diffraction import write_diffraction

TIMEOUT_S = 590.0


class _Machine:
    """CPU seconds of everything on the machine, from /proc/stat."""

    def __init__(self) -> None:
        self.seen: list[tuple[float, float]] = []

    def __call__(self, now_s: float) -> None:
        values = [int(v) for v in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
        busy = sum(values) - values[3] - values[4]  # without idle and waiting for disks
        self.seen.append((now_s, busy / os.sysconf("SC_CLK_TCK")))

    def between(self, start_s: float, end_s: float) -> float:
        """CPU seconds between two times."""
        inside = [cpu_s for at_s, cpu_s in self.seen if start_s <= at_s <= end_s]
        return inside[-1] - inside[0]


def report(usage: Usage, machine: _Machine, growth: Growth) -> None:
    """Print both utilisations."""
    cores = len(os.sched_getaffinity(0))
    search_s = next(stage.start_s for stage in stages(usage) if stage.name == "search")
    first_s, last_s = next(t for t, n in growth.seen if n > 0), growth.seen[-1][0]
    print(f"{growth.seen[-1][1]} evaluations, {cores} cores")
    for name, start_s in (("begin of the search", search_s), ("first evaluation", first_s)):
        wall_s = last_s - start_s
        own_s = usage.cpu_until(last_s) - usage.cpu_until(start_s)
        others_s = machine.between(start_s, last_s) - own_s
        print(
            f"from the {name} to the last evaluation: {wall_s:.1f} s, {own_s:.1f} CPU s, "
            f"utilisation {own_s / (cores * wall_s):.3f}; other programs {others_s / (cores * wall_s):.3f}"
        )
    print("by process: " + ", ".join(f"{name} {s:.1f}" for name, s in list(usage.by_name.items())[:8]))


def main(arguments: Sequence[str] | None = None) -> None:
    """Simulate, sweep, print."""
    parser = argparse.ArgumentParser(description="How busy a BOHB sweep keeps the cores.")
    parser.add_argument("--per-class", type=int, default=60, metavar="N", help="frames a class (60)")
    parser.add_argument("--size", type=int, default=256, metavar="PX", help="of a frame (256)")
    parser.add_argument("--trials", type=int, default=60, metavar="N", help="(60)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="sweeper-benchmark-") as name:
        frames, out = Path(name, "frames"), Path(name, "run")
        write_diffraction(frames, options.per_class, options.size, 1)
        machine, growth = _Machine(), Growth(out / "journal.jsonl")

        def follow(now_s: float) -> None:
            machine(now_s)
            growth(now_s)

        search = ("--space", "diffranet", "--search", "bohb", "--trials", options.trials, "--seed", 1)
        usage = sweep(frames / "manifest.csv", out, search, timeout_s=TIMEOUT_S, on_sample=follow)
    report(usage, machine, growth)


if __name__ == "__main__":
    main()
