"""Grid search: every pipeline of a finite space, in the order it is written."""

from __future__ import annotations

from collections.abc import Sequence

from sweeper.pipeline import Pipeline
from sweeper.search import Observation
from sweeper.space.space import Space


class GridProposer:
    """Walks the grid; trials are asked for in order."""

    def __init__(self, space: Space) -> None:
        self._grid = space.grid()

    def propose(self, trial: int, taken: set[str], observations: Sequence[Observation]) -> Pipeline | None:
        """See :class:`sweeper.search.Proposer`."""
        return next((pipeline for pipeline in self._grid if pipeline.id not in taken), None)
