"""Stratified draws: a few sessions already cover what instruments and samples can be.

Of sixteen consecutive sessions of a class one falls into each sixteenth of every quantity that is drawn here,
in an order of its own for each quantity, as in a Latin hypercube.
"""

from __future__ import annotations

import numpy as np

NAMES = ("detector", "part", "turn", "place", "stop", "background", "exposure", "material", "depth")
"""Quantities that are stratified."""

BLOCK = 16
"""Sessions that cover every quantity once."""


class Strata:
    """What is stratified of one session.

    Parameters
    ----------
    key : tuple of int
        Names the seed and the class.
    session : int
        Number of the session, from 0.
    """

    def __init__(self, key: tuple[int, ...], session: int) -> None:
        block, place = divmod(session, BLOCK)
        rng = np.random.default_rng((*key, block))
        cells = np.array([rng.permutation(BLOCK)[place] for _ in NAMES])
        within = np.random.default_rng((*key, block, place)).random(len(NAMES))
        self._shares = dict(zip(NAMES, ((cells + within) / BLOCK).tolist(), strict=True))

    def share(self, name: str) -> float:
        """Return a number in [0, 1)."""
        return float(self._shares[name])

    def choose(self, name: str, shares: dict[str, int] | dict[str, float]) -> str:
        """Choose one of some names, as often as its share says."""
        ends = np.cumsum(list(shares.values()))
        return list(shares)[int(np.searchsorted(ends, self.share(name) * ends[-1], side="right"))]
