"""Bayesian optimisation by a Gaussian process over pipelines.

Source: Snoek, Larochelle and Adams, "Practical Bayesian Optimization of Machine Learning Algorithms", NeurIPS
2012, sections 2 and 3.2. The kernel falls exponentially with the sum of the differences of all variables, so
that pipelines which share a featurizer, or a classifier, tell of each other.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sweeper.api import (
    FAILED_SCORE,
    Encoding,
    Observation,
    Pipeline,
    Search,
    SearchSpace,
    Variable,
    draw_new,
)

_LEAST = 6
"""Pipelines seen before the model is asked."""
_MOST, _JUDGED = 400, 120
"""Observations that the model keeps, and of these how many judge its hyperparameters: a fit takes time with
their cube."""
_DRAWN, _CHANGED = 100, 100
"""Candidates: new draws, and pipelines next to the best ones."""
_BEST, _CHANGES = 10, 3
"""How many of the best are changed, and in how many variables at most."""
_LENGTHS, _NOISES = (1.0, 2.0, 4.0, 8.0), (0.01, 0.1, 0.3)
"""Lengths of the kernel and variances of the noise that are tried: the likeliest are taken."""
_ERROR_FLOOR = 0.01
_OVERHEAD_S = 0.2
"""What the folds of a pipeline take beside their fits."""
_THRIFT = 0.5
"""Power of the seconds that the expected improvement is divided by: 1 prefers cheap pipelines for too long
(docs/search.md)."""

Matrix = NDArray[np.float64]


class _Points:
    """Pipelines as points whose L1 distance counts in how much two of them differ.

    A category adds 1 where it differs, an ordered variable its difference, in [0, 1]. A variable that does
    not exist for a pipeline stands in the middle of its values.
    """

    def __init__(self, encoding: Encoding) -> None:
        self._encoding = encoding
        self._known: dict[str, NDArray[np.float64]] = {}

    def of(self, pipelines: Sequence[Pipeline]) -> Matrix:
        """Return the points of pipelines, (n, d)."""
        return np.array([self._of(pipeline) for pipeline in pipelines])

    def _of(self, pipeline: Pipeline) -> NDArray[np.float64]:
        key = pipeline.id  # a digest, which takes as long as the rest
        if key not in self._known:
            values = zip(self._encoding.variables, self._encoding.encode(pipeline).tolist(), strict=True)
            self._known[key] = np.array([x for v, value in values for x in _spread(v, value)])
        return self._known[key]

    def changed(self, pipeline: Pipeline, rng: np.random.Generator) -> Pipeline | None:
        """Return a pipeline that differs in a few variables; None where that is none."""
        variables = self._encoding.variables
        point = np.nan_to_num(self._encoding.encode(pipeline), nan=0.0)
        for _ in range(int(rng.integers(1, _CHANGES + 1))):
            at = int(rng.integers(len(variables)))
            levels = variables[at].levels
            point[at] = rng.integers(levels) if levels else rng.random()
        return self._encoding.decode(point)


def _spread(variable: Variable, value: float) -> list[float]:
    """Return the coordinates of one variable, NaN where it does not exist."""
    absent = math.isnan(value)
    if variable.levels <= 2:
        return [0.5 if absent else value]
    if absent:
        return [0.5 / variable.levels] * variable.levels
    return [0.5 * (value == level) for level in range(variable.levels)]


class _Process:
    """A Gaussian process fitted to values at points.

    Attributes
    ----------
    best : float
        The highest mean at a point that was seen.
    """

    def __init__(self, points: Matrix, values: NDArray[np.float64]) -> None:
        from scipy.linalg import cho_factor, cho_solve

        self._points = points
        self._mean, self._deviation = float(values.mean()), float(values.std()) or 1.0
        scaled = (values - self._mean) / self._deviation
        self._length, noise = _likeliest(points, scaled)
        covariance = _covariance(points, points, self._length)
        self._factor = cho_factor(covariance + noise * np.eye(len(values)), lower=True)
        self._weights = cho_solve(self._factor, scaled)
        self.best = float(self.mean(points).max())

    def mean(self, points: Matrix) -> NDArray[np.float64]:
        """Return the values that are expected at points (n, d), (n,)."""
        covariance = _covariance(points, self._points, self._length)
        return np.asarray(self._mean + self._deviation * (covariance @ self._weights))

    def deviation(self, points: Matrix) -> NDArray[np.float64]:
        """Return how far expected values may be off, their standard deviation, (n,)."""
        from scipy.linalg import cho_solve

        covariance = _covariance(points, self._points, self._length)
        explained = np.einsum("ij,ji->i", covariance, cho_solve(self._factor, covariance.T))
        return np.asarray(self._deviation * np.sqrt(np.maximum(1.0 - explained, 1e-9)))


def _covariance(a: Matrix, b: Matrix, length: float) -> Matrix:
    """Return the covariance of values at points (n, d) and (m, d), (n, m)."""
    from scipy.spatial.distance import cdist

    return np.asarray(np.exp(-cdist(a, b, "cityblock") / length))


def _likeliest(points: Matrix, values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the length of the kernel, and the variance of the noise, with which the values are likeliest."""
    from scipy.linalg import cho_factor, cho_solve

    judged = np.linspace(0, len(values) - 1, min(len(values), _JUDGED)).astype(np.int64)
    x, y = points[judged], values[judged]

    def likelihood(length: float, noise: float) -> float:
        factor = cho_factor(_covariance(x, x, length) + noise * np.eye(len(y)), lower=True)
        return -0.5 * float(y @ cho_solve(factor, y)) - float(np.log(np.diag(factor[0])).sum())

    return max(itertools.product(_LENGTHS, _NOISES), key=lambda pair: likelihood(*pair))


def expected_improvement(
    mean: NDArray[np.float64], deviation: NDArray[np.float64], best: float
) -> NDArray[np.float64]:
    """Return by how much normal variables are expected to exceed `best`, (n,) (Snoek et al., equation 2)."""
    from scipy.special import ndtr

    z = (mean - best) / deviation
    return np.asarray(deviation * (z * ndtr(z) + np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)))


class GaussianProcessProposer:
    """Proposes the candidate that promises most, for the seconds that it takes where these count.

    It begins with pipelines that do well on most data sets.
    """

    def __init__(self, space: SearchSpace, seed: int) -> None:
        self._space = space
        self._seed = seed
        self._known = tuple(space.known())
        self._points = _Points(space.encoding())
        self._fitted_on = -1

    def propose(self, trial: int, taken: set[str], observations: Sequence[Observation]) -> Pipeline | None:
        """Return a pipeline that is known or expected to be good; a random one while too little is known."""
        rng = np.random.default_rng((self._seed, trial))
        if (known := next((p for p in self._known if p.id not in taken), None)) is not None:
            return known
        if sum(o.score > FAILED_SCORE for o in observations) < _LEAST:
            return draw_new(self._space, rng, taken)
        if self._fitted_on != len(observations):
            self._fit(observations)
            self._fitted_on = len(observations)
        candidates = self._candidates(rng, taken)
        if not candidates:
            return draw_new(self._space, rng, taken)
        points = self._points.of(candidates)
        worth = expected_improvement(
            self._scores.mean(points), self._scores.deviation(points), self._scores.best
        )
        if self._seconds is not None:
            worth /= np.exp(_THRIFT * self._seconds.mean(points))
        return candidates[int(np.argmax(worth))]

    def _candidates(self, rng: np.random.Generator, taken: set[str]) -> list[Pipeline]:
        drawn = [self._space.sample(rng) for _ in range(_DRAWN)]
        for _ in range(_CHANGED):
            changed = self._points.changed(self._best[int(rng.integers(len(self._best)))], rng)
            if changed is not None:
                drawn.append(changed)
        return list({p.id: p for p in drawn if p.id not in taken}.values())

    def _fit(self, observations: Sequence[Observation]) -> None:
        """Fit the models; a failure counts as much as the worst score there is, and takes no known time."""
        ranked = sorted(observations, key=lambda o: -o.score)
        self._best = [o.pipeline for o in ranked[:_BEST]]
        half = _MOST // 2
        good = {o.trial for o in ranked[:half]}
        kept = [*ranked[:half], *[o for o in observations if o.trial not in good][-half:]]
        worst = min(o.score for o in observations if o.score > FAILED_SCORE)
        scores = np.array([max(o.score, worst) for o in kept])
        # In the logarithm of the error, from 0.98 to 0.99 is as far as from 0.8 to 0.9.
        errors = max(1.0, float(scores.max())) - scores
        self._scores = _Process(self._points.of([o.pipeline for o in kept]), -np.log(errors + _ERROR_FLOOR))
        timed = [o for o in kept if o.seconds is not None and o.score > FAILED_SCORE]
        self._seconds = None
        if len(timed) >= _LEAST:
            seconds = np.array([o.seconds for o in timed], dtype=np.float64)
            points = self._points.of([o.pipeline for o in timed])
            self._seconds = _Process(points, np.log(seconds + _OVERHEAD_S))


SEARCH = Search(
    name="gp",
    version=1,
    source="Snoek, Larochelle and Adams, NeurIPS 2012",
    doc="learns from the scores so far what each choice is worth, each pipeline with the full budget",
    proposer=GaussianProcessProposer,
    learns=True,
)
"""Evaluates every proposal at the full budget, in groups of eight."""
