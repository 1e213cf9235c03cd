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
HORIZON_S, UNCACHED_HORIZON_S = 60.0, 240.0
"""How long searches go on; without the cache a search needs longer for the same."""
SHOWN_S = (2.0, 5.0, 10.0, 20.0, 60.0, 240.0)
DRAWS = 2000
OURS, CACHED, UNCACHED = "gp_per_second", "bohb", "bohb, no cache"
"""The search that is to be judged, and those that it is measured by."""


@dataclass(frozen=True, eq=False)
class Played:
    """The regret of one search on one task.

    Attributes
    ----------
    regret : float64, (seeds, times)
        At the times of :func:`times`; after the horizon, what it was there.
    horizon_s : float
    """

    task: str
    name: str
    regret: Floats
    horizon_s: float


def times() -> Floats:
    """Return the times at which regret is noted, in seconds, (n,)."""
    return np.geomspace(0.5, UNCACHED_HORIZON_S, 300)


def _course(table_file: Path, name: str, seed: int) -> Floats:
    """Replay one search with one seed; in a process of its own."""
    table = _table(table_file)
    [contender] = [c for c in contenders() if c.name == name]
    return regret_at(course_of(contender, table, seed, horizon_of(contender)), table.best, times())


def horizon_of(contender: Contender) -> float:
    """Return how long a search goes on, in seconds."""
    return HORIZON_S if contender.cached else UNCACHED_HORIZON_S


_tables: dict[Path, Table] = {}


def _table(path: Path) -> Table:
    if path not in _tables:
        _tables[path] = read_table(path)
    return _tables[path]


def play(
    tables: Path, tasks: Sequence[str], found: Sequence[Contender], seeds: int, processes: int, keep: Path
) -> list[Played]:
    """Replay every search on every task with every seed, but for what `keep` has of an earlier call."""
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
                played.append(Played(task, contender.name, regret, horizon_of(contender)))
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


def speed(ours: Played, other: Played) -> tuple[float, float, float]:
    """Return how many times sooner we have the other's final regret, with the 95 % interval.

    By bootstrap over the seeds of both. Where we never have it, 0.
    """
    rng = np.random.default_rng(0)

    def ratio(a: Floats, b: Floats) -> float:
        # An interquartile mean of equal regrets is not always equal in its last bit.
        there = np.flatnonzero(middle(a) <= middle(b)[-1] + 1e-9)
        return float(other.horizon_s / times()[there[0]]) if len(there) else 0.0

    def drawn(regret: Floats) -> Floats:
        return np.asarray(regret[rng.integers(len(regret), size=len(regret))])

    draws = [ratio(drawn(ours.regret), drawn(other.regret)) for _ in range(DRAWS)]
    low, high = np.quantile(draws, [0.025, 0.975])
    return ratio(ours.regret, other.regret), float(low), float(high)


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
    lines = []
    for task in dict.fromkeys(p.task for p in played):
        rows = [[p.name, *_regrets(p)] for p in played if p.task == task]
        lines += [f"Regret in percentage points, {task}:", "", *_table_of("search", SHOWN_S, rows), ""]
    within = [second for second in SHOWN_S if second <= HORIZON_S]
    order = sorted(ranks(played).items(), key=lambda named: named[1][_at(HORIZON_S)])
    rows = [[name, *(f"{rank[_at(s)]:.1f}" for s in within)] for name, rank in order]
    lines += ["Mean rank over tasks and seeds:", "", *_table_of("search", within, rows), ""]
    lines += [f"How many times sooner `{OURS}` has what another search has in the end:", ""]
    lines += ["| task | than | in the end | times | 95 % interval |", "| --- | --- | ---: | ---: | ---: |"]
    lines += [
        f"| {p.task} | {p.name} | {p.horizon_s:g} s | {ratio:.1f} | {low:.1f} to {high:.1f} |"
        for p, (ratio, low, high) in speeds(played)
    ]
    return "\n".join(lines) + "\n"


def _table_of(first: str, seconds: Sequence[float], rows: Sequence[Sequence[str]]) -> list[str]:
    head = [first, *(f"{s:g} s" for s in seconds)]
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---", *["---:"] * len(seconds)], *rows)]


def _regrets(p: Played) -> list[str]:
    """Return the cells of a search: nothing after its horizon."""
    mid, (low, high) = middle(p.regret), interval(p.regret)
    return [
        f"{100 * mid[i]:.2f} ({100 * low[i]:.2f} to {100 * high[i]:.2f})" if second <= p.horizon_s else ""
        for second, i in ((second, _at(second)) for second in SHOWN_S)
    ]


def speeds(played: Sequence[Played]) -> list[tuple[Played, tuple[float, float, float]]]:
    """Return the searches that ours is measured by, and how many times sooner it has their final regret."""
    ours = {p.task: p for p in played if p.name == OURS}
    return [(p, speed(ours[p.task], p)) for p in played if p.name in (CACHED, UNCACHED) and p.task in ours]


def figures(played: Sequence[Played]) -> dict[str, float]:
    """Return the figures that are followed over time: the lowest over the tasks."""
    found: dict[str, list[float]] = {}
    for p, (ratio, _, _) in speeds(played):
        found.setdefault("sooner_than_" + p.name.replace(", ", "_").replace(" ", "_"), []).append(ratio)
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
