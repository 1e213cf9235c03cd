"""The first wait of a new user: a small sweep from a cold start to its leaderboard.

- ``first_result_s``: `sweeper run` with 60 trials of ``quick`` over 300 simulated frames of 256 × 256, from
  the command to its exit, in seconds; kernels were compiled before, nothing else is warm.
- ``cpu_seconds_ratio_small`` and ``wall_ratio_small``: 20 pipelines of ``diffranet`` on 50 frames, where
  starting costs more than working: the paper's way in one process (``_plain.py``) over ours, in CPU seconds
  of all processes and in wall time.

    python benchmarks/start.py [--quick] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from _meter import Usage
from _ours import stages
from _ours import sweep as run_sweep
from sweep import QUICK, Result, benchmark

from sweeper.simulate.diffraction import write_diffraction

FRAMES_PER_CLASS, SIZE_PX, TRIALS = 60, 256, 60


def first_result(*, quick: bool) -> Usage:
    """A sweep like that of `make demo`; with `quick` a fifth of it."""
    frames, trials = (12, 12) if quick else (FRAMES_PER_CLASS, TRIALS)
    with tempfile.TemporaryDirectory(prefix="sweeper-benchmark-") as name:
        folder = Path(name)
        write_diffraction(folder / "frames", frames, SIZE_PX, 1)
        options = ("--space", "quick", "--search", "bohb", "--trials", trials, "--seed", 1)
        usage = run_sweep(folder / "frames", folder / "run", options)
    if usage.status != 0:
        raise RuntimeError(f"the sweep ended with status {usage.status}")
    return usage


def show(first: Usage, small: Result) -> None:
    """Print where the time went."""
    for title, usage in (("60 trials, 300 frames", first), ("20 pipelines, 50 frames", small.ours)):
        print(f"\n{title:30}{'CPU s':>8}{'wall s':>8}")
        for stage in stages(usage):
            print(f"  {stage.name:28}{stage.cpu_s:8.1f}{stage.wall_s:8.1f}")
        print(f"  {'all':28}{usage.cpu_s:8.1f}{usage.wall_s:8.1f}")
        print("  by process: " + ", ".join(f"{n} {s:.1f}" for n, s in list(usage.by_name.items())[:10]))
    print(f"\n{'the paper’s way, 20 and 50':30}{small.plain.cpu_s:8.1f}{small.plain.wall_s:8.1f}\n")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the tables, write the figures."""
    parser = argparse.ArgumentParser(description="A small sweep from a cold start to its leaderboard.")
    parser.add_argument("--quick", action="store_true", help="12 trials over 60 frames for the first figure")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    options = parser.parse_args(arguments)
    small = benchmark(QUICK)
    first = first_result(quick=options.quick)
    show(first, small)
    figures = {
        "first_result_s": first.wall_s,
        "cpu_seconds_ratio_small": small.plain.cpu_s / small.ours.cpu_s,
        "wall_ratio_small": small.plain.wall_s / small.ours.wall_s,
    }
    for name, value in figures.items():
        print(f"{name:30}{value:8.3g}")
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
