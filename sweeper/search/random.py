"""Random search: uniform draws without repetition."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sweeper.pipeline import Pipeline
from sweeper.search import Observation
from sweeper.space.space import Space

_ATTEMPTS = 200
"""Draws before a small space is walked for what is left."""
_WALK_LIMIT = 100_000
"""Spaces larger than this are never exhausted by draws, so they are not walked."""


def draw_new(space: Space, rng: np.random.Generator, taken: set[str]) -> Pipeline | None:
    """A pipeline that is not in `taken`, uniform over those left; None when none is left."""
    for _ in range(_ATTEMPTS):
        pipeline = space.sample(rng)
        if pipeline.id not in taken:
            return pipeline
    if space.size > _WALK_LIMIT:
        return None
    left = [pipeline for pipeline in space.grid() if pipeline.id not in taken]
    return left[int(rng.integers(len(left)))] if left else None


class RandomProposer:
    """Draws each trial from a generator of its own."""

    def __init__(self, space: Space, seed: int) -> None:
        self._space = space
        self._seed = seed

    def propose(self, trial: int, taken: set[str], observations: Sequence[Observation]) -> Pipeline | None:
        """See :class:`sweeper.search.Proposer`; observations do not matter."""
        return draw_new(self._space, np.random.default_rng((self._seed, trial)), taken)
