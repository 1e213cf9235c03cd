"""A search that begins with pipelines that are known to be good, and goes on as it would without them."""

from __future__ import annotations

from collections.abc import Sequence

from sweeper.api import Observation, Pipeline, Proposer


class Beginning:
    """Proposes some pipelines first, in their order, and then what another proposer says.

    The other proposer sees them as trials like any others: they are taken, and a model learns from what they
    scored here.
    """

    def __init__(self, first: Sequence[Pipeline], proposer: Proposer) -> None:
        self._first = tuple(first)
        self._proposer = proposer

    def propose(self, trial: int, taken: set[str], observations: Sequence[Observation]) -> Pipeline | None:
        """Return the next of the first pipelines, or else what the other proposer says."""
        left = (pipeline for pipeline in self._first if pipeline.id not in taken)
        return next(left, None) or self._proposer.propose(trial, taken, observations)
