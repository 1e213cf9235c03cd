"""Searches compared on tables of complete grids: regret over the seconds that they would have taken.

Each search is replayed with several seeds on each table (``make_tables.py``), with and without the block
cache. Seconds are what the table measured for what the search asked for, on two cores that are always busy,
also for a search that hands out one trial at a time and so sees every result before its next proposal. What
proposals take is added, as it was measured once. Regret is against the best score in the table.

    python benchmarks/search/compare.py [--tasks T ...] [--only NAME ...] [--seeds N] [--tables FOLDER]
        [--processes N] [--json FILE] [--record PAGE]

``--record docs/search.md`` puts the tables into the page.
"""

# ruff: noqa: E402

from __future__ import annotations

import os

for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_variable] = "1"  # before numpy is imported

import argparse
import json
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
from _contenders import contenders
from _replay import Contender, course_of, regret_at
from _table import FOLDER, TASKS, Table, read_table
from numpy.typing import NDArray

Floats = NDArray[np.float64]
HORIZON_S = 60.0
SHOWN_S = (2.0, 5.0, 10.0, 20.0, 60.0)
DRAWS = 2000
OURS, CACHED, UNCACHED = "gp_per_second", "bohb", "bohb, no cache"
"""The search that is to be judged, and those that it is measured by."""


@dataclass(frozen=True, eq=False)
class Played:
    """The regret of one search on one task.

    Attributes
    ----------
    regret : float64, (seeds, times)
        At the times of :func:`times`.
    """

    task: str
    name: str
    regret: Floats


def times() -> Floats:
    """Return the times at which regret is noted, in seconds, (n,)."""
    return np.geomspace(0.5, HORIZON_S, 200)


def _course(table_file: Path, name: str, seed: int) -> Floats:
    """Replay one search with one seed; in a process of its own."""
    table = _table(table_file)
    [contender] = [c for c in contenders() if c.name == name]
    return regret_at(course_of(contender, table, seed, HORIZON_S), table.best, times())


_tables: dict[Path, Table] = {}


def _table(path: Path) -> Table:
    if path not in _tables:
        _tables[path] = read_table(path)
    return _tables[path]


def play(
    tables: Path, tasks: Sequence[str], found: Sequence[Contender], seeds: int, processes: int, keep: Path
) -> list[Played]:
    """Replay every search on every task with every seed; what `keep` has of an earlier call is taken from there."""
    keep.mkdir(parents=True, exist_ok=True)
    played = []
    with ProcessPoolExecutor(processes) as pool:
        for task in tasks:
            for contender in found:
                one = partial(_course, tables / f"{task}.parquet", contender.name)
                file = keep / f"{task} {contender.name} {seeds}.npy"
                if not file.exists():
                    np.save(file, np.array(list(pool.map(one, range(seeds)))))
                regret = np.load(file)
                played.append(Played(task, contender.name, regret))
                print(
                    f"{task:12} {contender.name:24} {_percents(middle(regret))}", file=sys.stderr, flush=True
                )
    return played


# --------------------------------------------------------------------------- statistics


def middle(regret: Floats) -> Floats:
    """Return the interquartile mean over seeds, (times,)."""
    ranked = np.sort(regret, axis=0)
    quarter = len(ranked) // 4
    return np.asarray(ranked[quarter : len(ranked) - quarter].mean(axis=0))


def interval(regret: Floats) -> tuple[Floats, Floats]:
    """Return the 95 % interval of the interquartile mean, by bootstrap over seeds, each (times,)."""
    rng = np.random.default_rng(0)
    draws = np.array([middle(regret[rng.integers(len(regret), size=len(regret))]) for _ in range(DRAWS)])
    low, high = np.quantile(draws, [0.025, 0.975], axis=0)
    return low, high


def speed(ours: Floats, other: Floats) -> tuple[float, float, float]:
    """Return how many times sooner we have the other's final regret, with the 95 % interval.

    By bootstrap over the seeds of both. Where we never have it, 0; where we have it at the first time noted,
    so many times sooner at least.
    """
    rng = np.random.default_rng(0)

    def ratio(a: Floats, b: Floats) -> float:
        # To a thousandth: an interquartile mean of equal regrets is not always equal in its last bit.
        there = np.flatnonzero(middle(a) <= middle(b)[-1] + 1e-9)
        return float(HORIZON_S / times()[there[0]]) if len(there) else 0.0

    draws = [
        ratio(ours[rng.integers(len(ours), size=len(ours))], other[rng.integers(len(other), size=len(other))])
        for _ in range(DRAWS)
    ]
    low, high = np.quantile(draws, [0.025, 0.975])
    return ratio(ours, other), float(low), float(high)


def ranks(played: Sequence[Played]) -> dict[str, Floats]:
    """Return the mean rank of each search over tasks and seeds, 1 being the best, (times,); ties share it."""
    names = list(dict.fromkeys(p.name for p in played))
    totals = {name: np.zeros(len(times())) for name in names}
    tasks = list(dict.fromkeys(p.task for p in played))
    for task in tasks:
        regret = np.array([p.regret for p in played if p.task == task])  # (searches, seeds, times)
        worse = (regret[:, None] > regret[None]).sum(axis=1)
        equal = (regret[:, None] == regret[None]).sum(axis=1)
        for name, rank in zip(names, (worse + (equal + 1) / 2).mean(axis=1), strict=True):
            totals[name] += rank / len(tasks)
    return totals


# --------------------------------------------------------------------------- what is printed


def _at(second: float) -> int:
    return int(np.searchsorted(times(), second * (1 - 1e-9)))


def _percents(values: Floats) -> str:
    return " ".join(f"{100 * values[_at(s)]:6.2f}" for s in SHOWN_S)


def pages(played: Sequence[Played]) -> str:
    """Return every table as Markdown."""
    shown = " | ".join(f"{s:g} s" for s in SHOWN_S)
    lines = []
    for task in dict.fromkeys(p.task for p in played):
        lines += [
            f"Regret in percentage points, {task}:",
            "",
            f"| search | {shown} |",
            "| --- |" + " ---: |" * len(SHOWN_S),
        ]
        for p in (p for p in played if p.task == task):
            mid, (low, high) = middle(p.regret), interval(p.regret)
            cells = [
                f"{100 * mid[_at(s)]:.2f} ({100 * low[_at(s)]:.2f} to {100 * high[_at(s)]:.2f})"
                for s in SHOWN_S
            ]
            lines.append(f"| {p.name} | {' | '.join(cells)} |")
        lines.append("")
    lines += [
        "Mean rank over tasks and seeds:",
        "",
        f"| search | {shown} |",
        "| --- |" + " ---: |" * len(SHOWN_S),
    ]
    for name, rank in sorted(ranks(played).items(), key=lambda r: r[1][_at(SHOWN_S[1])]):
        lines.append(f"| {name} | {' | '.join(f'{rank[_at(s)]:.1f}' for s in SHOWN_S)} |")
    lines += [
        "",
        f"How many times sooner `{OURS}` has what another search has after {HORIZON_S:g} s:",
        "",
        "| task | of | times | 95 % interval |",
        "| --- | --- | ---: | ---: |",
    ]
    for task, other, (ratio, low, high) in speeds(played):
        lines.append(f"| {task} | {other} | {ratio:.1f} | {low:.1f} to {high:.1f} |")
    return "\n".join(lines) + "\n"


def speeds(played: Sequence[Played]) -> list[tuple[str, str, tuple[float, float, float]]]:
    """Return task, search, and how many times sooner ours has its final regret."""
    regret = {(p.task, p.name): p.regret for p in played}
    return [
        (p.task, p.name, speed(regret[p.task, OURS], p.regret))
        for p in played
        if p.name in (CACHED, UNCACHED) and (p.task, OURS) in regret
    ]


def figures(played: Sequence[Played]) -> dict[str, float]:
    """Return the figures that are followed over time: the lowest over the tasks."""
    found: dict[str, list[float]] = {}
    for _, other, (ratio, _, _) in speeds(played):
        found.setdefault("sooner_than_" + other.replace(", ", "_").replace(" ", "_"), []).append(ratio)
    return {name: min(ratios) for name, ratios in found.items()}


_BEGIN, _END = "<!-- replayed: begin -->", "<!-- replayed: end -->"


def record(page: Path, text: str) -> None:
    """Put the tables between the marks of a page."""
    before, _, rest = page.read_text().partition(_BEGIN)
    _, _, after = rest.partition(_END)
    page.write_text(f"{before}{_BEGIN}\n\n{text}\n{_END}{after}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Replay, print the tables, write the figures."""
    names = [contender.name for contender in contenders()]
    parser = argparse.ArgumentParser(description="Compare searches on tables of complete grids.")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS)
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME", help=f"of {names}")
    parser.add_argument("--seeds", type=int, default=20, metavar="N")
    parser.add_argument("--tables", type=Path, default=FOLDER, metavar="FOLDER")
    parser.add_argument("--processes", type=int, default=2, metavar="N")
    parser.add_argument(
        "--keep", type=Path, default=Path(".bench/search"), metavar="FOLDER", help="of replays"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    parser.add_argument("--record", type=Path, metavar="PAGE", help="put the tables into PAGE")
    options = parser.parse_args(arguments)
    found = [contender for contender in contenders() if contender.name in options.only]
    played = play(options.tables, options.tasks, found, options.seeds, options.processes, options.keep)
    text = pages(played)
    print(text)
    if options.json is not None:
        options.json.write_text(json.dumps(figures(played), indent=2) + "\n")
    if options.record is not None:
        record(options.record, text)


if __name__ == "__main__":
    main()
