"""Searches replayed on tables: what is spent, what is found, and the statistics of both."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

SEARCH = Path(__file__).resolve().parents[2] / "benchmarks" / "search"


@pytest.fixture(scope="module")
def bench() -> Any:
    """The benchmark's modules, which import each other by name."""
    sys.path.insert(0, str(SEARCH))
    try:
        import _contenders
        import _replay
        import _table
        import compare

        yield type("Bench", (), {"c": _contenders, "r": _replay, "t": _table, "compare": compare})
    finally:
        sys.path.remove(str(SEARCH))


@pytest.fixture(scope="module")
def table(bench: Any) -> Any:
    return bench.t.read_table(SEARCH / "scattering.parquet")


def test_tables_are_those_of_their_checksums_and_hold_the_spaces_of_today(bench: Any) -> None:
    import hashlib

    lines = (SEARCH / "tables.sha256").read_text().splitlines()
    known = dict(reversed(line.split("  ")) for line in lines)  # type: ignore[misc]
    assert set(known) == {f"{task}.parquet" for task in bench.t.TASKS}
    for name, digest in known.items():
        assert hashlib.sha256((SEARCH / name).read_bytes()).hexdigest() == digest
        read = bench.t.read_table(SEARCH / name)
        assert len(read.pipelines) == read.scores.shape[0] > 1000
        assert (read.scores >= 0).all()
        assert (read.scores <= 1).all()
        assert (read.fit_s >= 0).all()
        assert read.best == read.scores.mean(axis=2)[:, -1].max()


def test_features_are_paid_once_with_the_cache_and_each_time_without(bench: Any, table: Any) -> None:
    number = next(i for i, p in enumerate(table.pipelines) if p.featurizer == "glcm")
    at, blocks, codebooks = table.needs[number]
    assert not codebooks
    features = table.features.reading[at] + sum(table.features.blocks[block] for block in blocks)
    fits = float(table.fit_s[number, -1].sum()) + bench.r.OVERHEAD_S * table.folds
    cached, plain = (bench.r.Account(table, cached) for cached in (True, False))
    for account in (cached, plain):
        assert account.score(number, bench.r.FULL) == table.means[number, -1]
        assert account.seconds == pytest.approx((features + fits) / bench.r.CORES)
        account.score(number, bench.r.FULL)
    assert cached.seconds == pytest.approx((features + fits) / bench.r.CORES)
    assert plain.seconds == pytest.approx(2 * (features + fits) / bench.r.CORES)


@pytest.mark.parametrize("name", ["random", "hyperband", "asha", "gp"])
def test_what_a_search_finds_is_in_the_table(bench: Any, table: Any, name: str) -> None:
    [contender] = [c for c in bench.c.contenders() if c.name == name]
    course = bench.r.course_of(contender, table, 0, 6.0)
    assert course
    assert {score for _, score in course} <= set(table.means[:, -1].tolist())
    assert [score for _, score in course] == sorted(score for _, score in course)
    regret = bench.r.regret_at(course, table.best, np.array([0.0, course[0][0], 1e9]))
    assert regret.tolist() == [table.best, table.best - course[0][1], table.best - course[-1][1]]


def test_a_search_twice_as_fast_is_twice_as_soon(bench: Any) -> None:
    compare, rng = bench.compare, np.random.default_rng(0)
    times = compare.times()

    def played(name: str, scale: float) -> Any:
        # Regret falls as 1 / time, the same for each seed but for noise that the halves share.
        noise = 1 + 0.01 * rng.random((20, 1))
        return compare.Played("made up", name, noise / (scale * times[None]), compare.HORIZON_S)

    slow = played("slow", 1.0)
    slow.regret[:, times > compare.HORIZON_S] = slow.regret[:, [compare._at(compare.HORIZON_S)]]
    ratio, low, high = compare.speed(played("fast", 2.0), slow)
    assert low <= ratio <= high
    assert ratio == pytest.approx(2.0, rel=0.05)
    assert compare.speed(played("poor", 1e-3), slow)[0] == 0.0
