"""Random search: independent draws without repetition."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sweeper.api import Observation, Pipeline, Search, SearchSpace, draw_new


class RandomProposer:
    """Draws each trial from a generator of its own."""

    def __init__(self, space: SearchSpace, seed: int) -> None:
        self._space = space
        self._seed = seed

    def propose(self, trial: int, taken: set[str], observations: Sequence[Observation]) -> Pipeline | None:
        """Return a new draw, whatever was observed."""
        return draw_new(self._space, np.random.default_rng((self._seed, trial)), taken)


SEARCH = Search(
    name="random",
    version=1,
    source="Bergstra and Bengio, JMLR 13 (2012) 281",
    proposer=RandomProposer,
    doc="tries pipelines at random, each with the full budget",
)
"""Evaluates every draw at the full budget."""
