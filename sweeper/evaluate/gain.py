"""How much better the best of a search would become with more of the same search.

The search is taken to go on as it did lately: pipelines that it proposes next score like those that it
proposed last, in an order that means nothing. And the errors of the best, 1 - score, are taken to thin out
towards zero no slower than by a power: to halve the error, it always takes the same number of times as many
pipelines, or more.

So minus the logarithm of the error has an exponential tail. Let u be the (k+1)-th largest of n such values.
The number of further ones above u has a beta-binomial distribution, whatever the scores look like: their
ranks alone decide. What those above u exceed it by is exponential, so that the sum of the k excesses seen,
over the scale of the tail, has a gamma distribution of shape k, independent of those to come (Rényi, Acta
Math. Hung. 4 (1953) 191). So the upper bound holds as often as it says; where errors thin out faster, as
above a share that nothing can classify, it holds more often.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEAST_SCORES = 8
"""With fewer scores nothing is said."""
CONFIDENCE = 0.8
"""Probability that the gain lies in its interval."""

_TAIL = 5
_DRAWS = 10_000


@dataclass(frozen=True)
class Gain:
    """The gain that more of the same search would bring to the best score.

    Attributes
    ----------
    expected, low, high : float
        Mean, and interval of probability :data:`CONFIDENCE`.
    more : int
        Further scores that these are for.
    seen : int
        Scores that they are judged by.
    """

    expected: float
    low: float
    high: float
    more: int
    seen: int


def gain_of_more(scores: NDArray[np.float64], best: float, more: int) -> Gain | None:
    """Return what further scores would add to the best one; None where there are too few to tell.

    Parameters
    ----------
    scores : float64, (n,)
        What the search found lately, in any order; at most 1.
    best : float
        The best score so far, whenever it was found.
    more : int
        Number of further scores.
    """
    n = len(scores)
    if n < LEAST_SCORES:
        return None
    if more < 1 or best >= 1:
        return Gain(0.0, 0.0, 0.0, more, n)
    top = -np.log1p(-np.sort(scores)[: -_TAIL - 2 : -1])
    threshold = float(top[-1])
    excess = float((top[:-1] - threshold).sum())
    rng = np.random.default_rng(0)
    above = rng.binomial(more, rng.beta(_TAIL + 1, n - _TAIL, _DRAWS))
    with np.errstate(divide="ignore"):
        largest = -np.log1p(-(rng.random(_DRAWS) ** (1 / np.maximum(above, 1))))  # of so many exponentials
    unit = np.where(above > 0, largest, 0.0)  # none above: the largest is at most the threshold

    def gained(scale: NDArray[np.float64] | float) -> NDArray[np.float64]:
        return np.maximum(1 - best - np.exp(-threshold - scale * unit), 0.0)

    expected = float(gained(excess / _TAIL).mean())
    tails = [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2]
    low, high = np.quantile(gained(excess / rng.gamma(_TAIL, 1.0, _DRAWS)), tails)
    return Gain(expected, float(low), float(high), more, n)
