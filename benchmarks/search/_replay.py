"""Searches replayed on a table: what they find, and the seconds that it would have taken."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from _table import BUDGETS, REDUCTION_FACTOR, RUNGS, Table
from numpy.typing import NDArray

from sweeper.api import Observation, Pipeline, Proposer
from sweeper.search.brackets import Ladder

LADDER = Ladder(REDUCTION_FACTOR, RUNGS)
FULL = len(BUDGETS) - 1
CORES = 2
OVERHEAD_S = 0.05
"""CPU seconds of the engine for each evaluation: above the 0.032 that benchmarks/overhead.py measured."""


@dataclass
class Account:
    """Evaluations done, and the seconds that they took.

    All cores are always busy: seconds are those of one core over their number.

    Attributes
    ----------
    table : Table
    cached : bool
        Whether blocks, codebooks and evaluations are kept; otherwise each evaluation computes its features.
    propose_s : float
        CPU seconds of a proposal.
    seconds : float
    course : list of (float, float)
        Seconds and the best full-budget score so far, each time that it rises.
    """

    table: Table
    cached: bool
    propose_s: float = 0.0
    seconds: float = 0.0
    course: list[tuple[float, float]] = field(default_factory=list)
    _there: set[str] = field(default_factory=set)
    _done: set[tuple[int, int]] = field(default_factory=set)

    def proposed(self, pipeline: Pipeline) -> int:
        """Take note of a proposal; returns the pipeline's number in the table."""
        self.seconds += self.propose_s / CORES
        return self.table.number[pipeline.id]

    def score(self, number: int, budget: int, *, again: bool = False) -> float:
        """Evaluate a pipeline on all folds and return its mean score; `again`, also where that was done."""
        if again or not self.cached or (number, budget) not in self._done:
            self._done.add((number, budget))
            cost = self.features_s(number) + self.fit_s(number, budget)
            self.seconds += (cost + OVERHEAD_S * self.table.folds) / CORES
            self._there.update(self._wanted(number))
        score = float(self.table.means[number, budget])
        if budget == FULL and (not self.course or score > self.course[-1][1]):
            self.course.append((self.seconds, score))
        return score

    def fit_s(self, number: int, budget: int) -> float:
        """Return the seconds of one core that the fits of all folds take."""
        return float(self.table.fit_s[number, budget].sum())

    def _wanted(self, number: int) -> Iterator[str]:
        _, blocks, codebooks = self.table.needs[number]
        yield from blocks
        yield from codebooks

    def features_s(self, number: int) -> float:
        """Return the seconds of one core that the features of a pipeline would take now."""
        costs = self.table.features
        at, blocks, codebooks = self.table.needs[number]
        there = self._there if self.cached else ()
        missing = [block for block in blocks if block not in there]
        words = [name for name in codebooks if name not in there]
        fits = (costs.codebooks[f"{name} {fold}"] for name in words for fold in range(self.table.folds))
        return (costs.reading[at] if missing else 0.0) + sum(costs.blocks[b] for b in missing) + sum(fits)


@dataclass(frozen=True)
class Contender:
    """A search as it is compared.

    Attributes
    ----------
    name : str
    play : callable
        ``play(account, seed)``: an iterator that goes on with the search each time it is asked.
    cached : bool
    propose_s : float
        CPU seconds of a proposal, as measured.
    slower : float
        Seconds count that many times: less than 1 gives it more of them.
    """

    name: str
    play: Callable[[Account, int], Iterator[None]]
    cached: bool
    propose_s: float = 0.0
    slower: float = 1.0


def course_of(contender: Contender, table: Table, seed: int, seconds: float) -> list[tuple[float, float]]:
    """Replay one search for so many seconds; returns when its best score rose, and to what."""
    account = Account(table, contender.cached, contender.propose_s)
    for _ in contender.play(account, seed):
        if account.seconds * contender.slower >= seconds:
            break
    return [(at * contender.slower, score) for at, score in account.course]


def regret_at(
    course: list[tuple[float, float]], best: float, times: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the regret at each time, (n,): of a search that has found nothing yet, that of a score of 0."""
    at = np.array([0.0, *(t for t, _ in course)])
    regret = best - np.array([0.0, *(score for _, score in course)])
    return np.asarray(regret[np.searchsorted(at, times, side="right") - 1])


# --------------------------------------------------------------------------- drivers


def flat(proposer: Proposer, account: Account) -> Iterator[None]:
    """Evaluate every proposal of a search that does not learn, at the full budget."""
    taken = set[str]()
    while (pipeline := proposer.propose(len(taken), taken, [])) is not None:
        account.score(account.proposed(pipeline), FULL)
        taken.add(pipeline.id)
        yield


def brackets(
    proposer: Proposer,
    account: Account,
    *,
    learns: bool,
    ladder: Ladder = LADDER,
    counts_seconds: bool = False,
) -> Iterator[None]:
    """Halve brackets, each once all of its trials are there, as the engine does.

    Parameters
    ----------
    proposer : Proposer
    account : Account
    learns : bool
        Whether the proposer sees the brackets before the previous one.
    ladder : Ladder
    counts_seconds : bool
        Whether it sees what fits took.
    """
    taken = set[str]()
    seen: list[list[Observation]] = []
    first = 0
    while True:
        bracket = ladder.bracket_of(first)
        complete = [o for of in seen[:-1] for o in of] if learns else []
        trials: list[tuple[int, int, Pipeline]] = []
        for trial in range(bracket.first, bracket.first + bracket.size):
            pipeline = proposer.propose(trial, taken, complete)
            if pipeline is None:
                break
            taken.add(pipeline.id)
            trials.append((trial, account.proposed(pipeline), pipeline))
        if not trials:
            return
        first = bracket.first + bracket.size
        seen.append([])
        for rung, steps in enumerate(bracket.steps):
            scored = []
            budget = FULL - len(bracket.steps) + 1 + rung
            for trial, number, pipeline in trials:
                score = account.score(number, budget)
                scored.append((score, (trial, number, pipeline)))
                seconds = account.fit_s(number, budget) if counts_seconds else None
                seen[-1].append(Observation(trial, pipeline, ladder.fraction(steps), score, seconds))
                yield
            scored.sort(key=lambda s: -s[0])
            trials = [trial for _, trial in scored[: max(1, len(scored) // REDUCTION_FACTOR)]]


def asha(proposer: Proposer, account: Account) -> Iterator[None]:
    """Promote whatever is in the best third of its rung, else start another (Li et al., Algorithm 2)."""
    taken = set[str]()
    rungs: list[dict[int, float]] = [{} for _ in BUDGETS]
    promoted: list[set[int]] = [set() for _ in BUDGETS]
    while True:
        for budget in reversed(range(FULL)):
            order = sorted(rungs[budget], key=lambda i: -rungs[budget][i])
            best = [i for i in order[: len(order) // REDUCTION_FACTOR] if i not in promoted[budget]]
            if best:
                promoted[budget].add(best[0])
                rungs[budget + 1][best[0]] = account.score(best[0], budget + 1)
                break
        else:
            pipeline = proposer.propose(len(taken), taken, [])
            if pipeline is None:
                return
            taken.add(pipeline.id)
            i = account.proposed(pipeline)
            rungs[0][i] = account.score(i, 0)
        yield
