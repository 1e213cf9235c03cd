"""A journal of many trials, and how long it takes to open it and to rank what is in it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sweeper.engine.tasks.evaluation import scored
from sweeper.evaluate.folds import fit_and_score
from sweeper.pipeline import FeaturizerChoice, Pipeline
from sweeper.plugins import classifier
from sweeper.runs.journal import Journal
from sweeper.runs.leaderboard import build_leaderboard
from sweeper.runs.records import Evaluation, Scored, Trial
from sweeper.runs.results import Results
from sweeper.search.random import RandomProposer
from sweeper.space.file import load_space

CLASSES, FRAMES = 5, 500


def _outcome(seed: int) -> Scored:
    """Return what a real evaluation gives: a small forest on noise."""
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(FRAMES, 4)), rng.integers(0, CLASSES, FRAMES)
    rows = rng.permutation(FRAMES)
    params = {axis.name: axis.default for axis in classifier("rf").axes} | {"n_trees": 3}
    pipeline = Pipeline({}, (FeaturizerChoice("histogram", {}),), "standard", {}, "rf", params)
    result = fit_and_score(
        pipeline, x, y, rows[:400], rows[400:], n_classes=CLASSES, budget=1.0, seed=0, threads=1,
        classifier=classifier("rf"),
    )  # fmt: skip
    return scored(result)


def write_journal(path: Path, trials: int, folds: int) -> int:
    """Journal of trials of ``diffranet`` with real outcomes, which repeat; gives its bytes."""
    space = load_space("diffranet").for_classes(tuple("abcde"))
    proposer, outcomes = RandomProposer(space, 1), [_outcome(seed) for seed in range(64)]
    journal, taken = Journal(path), set[str]()
    for number in range(trials):
        pipeline = proposer.propose(number, taken, ())
        assert pipeline is not None
        taken.add(pipeline.id)
        journal.append(Trial.of(number, pipeline))
        for fold in range(folds):
            journal.append(
                Evaluation(
                    key=f"{pipeline.id[:16]}{fold:04x}",
                    pipeline=pipeline.id,
                    budget=1.0,
                    fold=fold,
                    seed=1,
                    outcome=outcomes[(number * folds + fold) * 7919 % len(outcomes)],
                    featurize_ms_per_frame=2.4375,
                )
            )
    journal.close()
    return path.stat().st_size


@dataclass(frozen=True)
class Times:
    """Seconds to open a journal for writing, and to read and rank it.

    Each is wall time and CPU time, which tells more on a busy machine.
    """

    open_s: tuple[float, float]
    leaderboard_s: tuple[float, float]


def _timed(work: Callable[[], Any]) -> tuple[tuple[float, float], Any]:
    wall, cpu = time.perf_counter(), time.process_time()
    answer = work()
    return (time.perf_counter() - wall, time.process_time() - cpu), answer


def time_journal(path: Path, folds: int, repeats: int) -> Times:
    """Best of several repeats."""
    build_leaderboard(Results())  # loads pandas
    found = []
    for _ in range(repeats):
        opened, journal = _timed(lambda: Journal(path))
        journal.close()
        del journal
        ranked, _ = _timed(lambda: build_leaderboard(Results.read(path), folds=folds))
        found.append((opened, ranked))
    return Times(*(tuple(map(min, zip(*times, strict=True))) for times in zip(*found, strict=True)))
