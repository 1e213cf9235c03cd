"""Grid search: every pipeline of a finite space, in the order the space is written."""

from __future__ import annotations

from collections.abc import Sequence

from sweeper.api import Observation, Pipeline, Search, SearchSpace


class GridProposer:
    """Walks the grid; trials are asked for in order."""

    def __init__(self, space: SearchSpace, seed: int) -> None:
        self._grid = space.grid()

    def propose(self, trial: int, taken: set[str], observations: Sequence[Observation]) -> Pipeline | None:
        """Return the next pipeline of the grid."""
        return next((pipeline for pipeline in self._grid if pipeline.id not in taken), None)


SEARCH = Search(
    name="grid",
    version=1,
    source="exhaustive search",
    proposer=GridProposer,
    doc="tries every pipeline, each with the full budget",
    exhaustive=True,
)
"""Evaluates every pipeline at the full budget; refuses a space with a continuous parameter."""
