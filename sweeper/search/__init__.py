"""What to try next: pure functions of the seed, the trial's number and the results so far.

Nothing here knows Ray. A proposal for trial *i* is drawn from a generator seeded by (seed, i) and may
look at the pipelines proposed before it and at the observations it is handed, so that the same seed
gives the same sweep whatever the number of workers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from sweeper.errors import InputError
from sweeper.pipeline import Pipeline
from sweeper.plugins import nearest
from sweeper.space.space import Space

SEARCHES: Mapping[str, str] = {
    "bohb": "learns from the scores so far which pipelines to try, and stops poor ones early (BOHB)",
    "hyperband": "tries pipelines at random, and stops poor ones early (HyperBand)",
    "asha": "tries pipelines at random, and stops poor ones early without waiting for others (ASHA); the "
    "leaderboard depends on timing",
    "random": "tries pipelines at random, each with the full budget",
    "grid": "tries every pipeline, each with the full budget",
}
"""The searches, and what each of them does."""


@dataclass(frozen=True)
class Observation:
    """Score of a trial at one budget; higher is better, −2 for a failed evaluation."""

    trial: int
    pipeline: Pipeline
    budget: float
    score: float


class Proposer(Protocol):
    """Says which pipeline a trial evaluates."""

    def propose(self, trial: int, taken: set[str], observations: Sequence[Observation]) -> Pipeline | None:
        """Pipeline of trial `trial`, or None when the space is exhausted.

        Parameters
        ----------
        trial : int
            Trials are asked for in order, from 0.
        taken : set of str
            Ids of the pipelines of trials before this one.
        observations : sequence of Observation
            Complete results of earlier brackets, in the order of trials, then budgets.
        """
        ...


def make_proposer(search: str, space: Space, seed: int) -> Proposer:
    """The proposer of a search; hyperband and asha propose at random and stop early."""
    if search == "grid":
        from sweeper.search.grid import GridProposer

        return GridProposer(space)
    if search == "bohb":
        from sweeper.search.bohb import BohbProposer

        return BohbProposer(space, seed)
    if search in SEARCHES:
        from sweeper.search.random import RandomProposer

        return RandomProposer(space, seed)
    raise InputError(f"unknown search {search!r}; {nearest(search, SEARCHES)}")
