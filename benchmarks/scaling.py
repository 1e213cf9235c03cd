"""How far it scales: slots kept busy, memory a trial, large journals, cores, frames, bytes between nodes.

Each part is measured alone when it is named, else all are, one after the other:

- ``slots``: a sweep of trials that sleep for five seconds with 64 declared cores. ``slot_utilisation`` is the
  share of the 64 that sleep, from when each has had its first evaluation to when the last one begins.
- ``memory``: a sweep of 10,000 trials that do nothing. ``driver_bytes_per_trial`` and
  ``ledger_bytes_per_trial`` are slopes of private memory over trials.
- ``journal``: 100,000 trials of ``diffranet``, one fold and five. ``journal_open_s`` opens the journal for
  writing, ``leaderboard_s`` reads and ranks it.
- ``cores``: ``featurize_efficiency``, one declared core against two, beside that of plain processes.
- ``cost``: a sweep's parts for 1,000 and 10,000 frames of noise, and calculated for 10,000,000.
- ``bytes``: ``bytes_moved_ratio``, what evaluations pull between two nodes over what they pull when Ray
  spreads them.

Sleeping trials, memory and bytes can be measured beside other programs; for the others the machine has to be
quiet. ``slots`` needs some 20 GB of memory.

    python benchmarks/scaling.py [PART ...] [--quick] [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

TIMEOUT_S = 3600.0
Figures = dict[str, float]


def slots(scratch: Path, quick: bool) -> Figures:
    """Sleeping trials on declared cores."""
    from _scale_sweeps import run_sleepers, utilisation

    declared, seconds = (8, 5.0) if quick else (64, 5.0)
    sweep = run_sleepers(
        scratch, trials=declared * (4 if quick else 10), seconds=seconds, cpus=declared, timeout_s=TIMEOUT_S
    )
    steady, whole, steady_s = utilisation(sweep.sleeps, declared)
    print(f"{declared} declared cores, {len(sweep.sleeps)} trials that sleep {seconds:g} s each")
    print(f"  steady state {steady_s:.1f} s; the command took {sweep.usage.wall_s:.1f} s")
    print(f"  from the first begin to the last end, starts and end included: {whole:.3f}")
    print(f"  private memory of all processes at most {sweep.most_bytes / 1e9:.1f} GB")
    return {"slot_utilisation": steady, "slot_utilisation_whole": whole}


def memory(scratch: Path, quick: bool) -> Figures:
    """Trials without end."""
    from _scale_sweeps import bytes_a_trial, run_sleepers

    trials = 500 if quick else 10_000
    sweep = run_sleepers(scratch, trials=trials, seconds=0.0, cpus=2, timeout_s=TIMEOUT_S)
    driver, ledger = bytes_a_trial(sweep.memory)
    print(f"{trials} trials in {sweep.usage.wall_s:.0f} s")
    print(f"  {'evaluations':>12}{'driver, MB':>12}{'ledger, MB':>12}")
    for row in sweep.memory[:: max(1, len(sweep.memory) // 10)]:
        print(f"  {row[0]:12}{row[1] / 1e6:12.1f}{row[2] / 1e6:12.1f}")
    return {"driver_bytes_per_trial": driver, "ledger_bytes_per_trial": ledger}


def journal(scratch: Path, quick: bool) -> Figures:
    """A large run folder."""
    from _scale_journal import time_journal, write_journal

    trials, figures = 5_000 if quick else 100_000, {}
    for folds, suffix in ((1, ""), (5, "_5_folds")):
        path = scratch / f"journal-{folds}.jsonl"
        size = write_journal(path, trials, folds)
        times = time_journal(path, folds, 3)
        print(f"{trials} trials, {folds} folds, {size / 1e6:.0f} MB; seconds of wall and of CPU:")
        for name, (wall_s, cpu_s) in vars(times).items():
            print(f"  {name:16}{wall_s:8.2f}{cpu_s:8.2f}")
        figures |= {f"journal_open_s{suffix}": times.open_s[0]}
        figures |= {f"leaderboard_s{suffix}": times.leaderboard_s[0]}
    return figures


def cores(scratch: Path, quick: bool) -> Figures:
    """One core and two."""
    from _scale_frames import efficiency, measure_cores

    frames, size_px, repeats = (256, 128, 1) if quick else (1024, 256, 5)
    found = measure_cores(scratch, frames, size_px, repeats)
    print(f"{frames} frames of {size_px} x {size_px}, GLCM and LBP; seconds on one core and on two")
    for name, pairs in (("ours", found.ours), ("plain processes", found.plain)):
        print(f"  {name:16}" + ", ".join(f"{one:.2f} and {two:.2f}" for one, two in pairs))
    return {
        "featurize_efficiency": efficiency(found.ours),
        "plain_featurize_efficiency": efficiency(found.plain),
    }


def cost(scratch: Path, quick: bool) -> Figures:
    """Frames times ten, and times ten thousand."""
    from _scale_frames import calculated, measure_cost

    size_px, sizes = 64, (200, 1_000) if quick else (1_000, 10_000)
    found = [measure_cost(_empty(scratch / str(n)), n, size_px, 10, TIMEOUT_S) for n in sizes]
    small, large = found
    print(
        f"{size_px} x {size_px} at 16 grey levels; "
        f"sweeps of 10 trials took {small.wall_s:.1f} s and {large.wall_s:.1f} s"
    )
    print(f"  {'frames':34}{sizes[0]:>12,}{sizes[1]:>12,}{'power':>8}{'10,000,000':>14}")
    for term in calculated(small, large, 1e7):
        print(
            f"  {term.name:34}{term.small:12.3f}{term.large:12.3f}{term.power:8.2f}{term.calculated:14,.0f}"
        )
    print("  search, CPU s of all processes    " + "".join(f"{c.stages['search']:12.1f}" for c in found))
    per_frame = {"check": "check frames", "featurize": "featurize"}
    return {
        f"sweep_cost_{name}_ms_per_frame": 1e3
        * (large.stages[stage] - small.stages[stage])
        / (large.frames - small.frames)
        for name, stage in per_frame.items()
    } | {"sweep_cost_bytes_per_frame": large.block_bytes / large.frames}


def moved(scratch: Path, quick: bool) -> Figures:
    """Bytes between nodes."""
    from _scale_bytes import measure_bytes

    figures = {}
    for name, found in measure_bytes(
        scratch, ("codebooks",) if quick else ("codebooks", "texture blocks")
    ).items():
        print(f"{name}: {found.held / 1e6:.1f} MB in two object stores, {found.evaluations} evaluations")
        print(
            f"  pulled: {found.ours / 1e6:.1f} MB as the engine submits, {found.spread / 1e6:.1f} MB SPREAD"
        )
        figures[f"bytes_moved_ratio_{name.replace(' ', '_')}"] = found.ours / found.spread
    return figures


PARTS: dict[str, Callable[[Path, bool], Figures]] = {
    "slots": slots,
    "memory": memory,
    "journal": journal,
    "cores": cores,
    "cost": cost,
    "bytes": moved,
}


def _empty(folder: Path) -> Path:
    folder.mkdir()
    return folder


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, write the figures."""
    parser = argparse.ArgumentParser(description="How far it scales.")
    parser.add_argument(
        "part", nargs="*", choices=[*PARTS, []], metavar="PART", help=f"{', '.join(PARTS)}; all of them"
    )
    parser.add_argument("--quick", action="store_true", help="small sizes; says that it runs, not how well")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    options = parser.parse_args(arguments)
    figures: Figures = {}
    for name in options.part or PARTS:
        print(f"{name} (load of the machine before: {os.getloadavg()[0]:.1f})", flush=True)
        with tempfile.TemporaryDirectory(prefix="sweeper-benchmark-") as scratch:
            found = PARTS[name](Path(scratch), options.quick)
        for key, value in found.items():
            print(f"{key:34}{value:12.4g}", flush=True)
        print()
        figures |= found
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
