"""BOHB's model: hpbandster's two kernel densities, made deterministic and right for conditional spaces.

Source: Falkner, Klein and Hutter, "BOHB: Robust and Efficient Hyperparameter Optimization at Scale",
ICML 2018, section 4. The optimiser of expected improvement is hpbandster's own (``get_config``). The
densities are ours, because hpbandster's break on spaces like these: its categorical kernel divides
by zero where the data show one level only, its rule of thumb gives categorical bandwidths above 1,
and inactive parameters are copied from other rows, which turns noise into preference.
"""

from __future__ import annotations

import contextlib
import logging
import math
import warnings
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.pipeline import Pipeline
from sweeper.search import Observation
from sweeper.search.encoding import Encoding
from sweeper.search.random import draw_new
from sweeper.space.space import Space

_ATTEMPTS = 20
"""Suggestions that may repeat an earlier trial before a random one is taken."""


class Density:
    """Product-kernel density over encoded pipelines; what is inactive takes the prior.

    Attributes
    ----------
    data : float64, (n, d)
        Encoded pipelines, inactive entries filled from the prior: hpbandster samples around them.
    bw : float64, (d,)
        Bandwidths: for ordered variables Silverman's rule as hpbandster has it; for a categorical
        one with L levels the kernel that amounts to Laplace's rule of succession, (L−1)/(n+L).
    """

    def __init__(
        self, encoded: NDArray[np.float64], encoding: Encoding, rng: np.random.Generator, min_bandwidth: float
    ) -> None:
        self._encoding = encoding
        self._encoded = encoded
        self._levels = encoding.levels
        n, d = encoded.shape
        active = ~np.isnan(encoded)
        uniform = rng.random((n, d))
        prior = np.where(self._levels > 0, np.floor(uniform * np.maximum(self._levels, 1)), uniform)
        self.data = np.where(active, encoded, prior)
        spread = np.array([np.std(encoded[active[:, j], j]) if active[:, j].any() else 0.0 for j in range(d)])
        ordered = np.maximum(1.06 * spread * n ** (-1.0 / (4 + d)), min_bandwidth)
        categorical = np.maximum(self._levels - 1, 1) / (n + np.maximum(self._levels, 1))
        self.bw = np.where(self._levels > 0, categorical, ordered)

    def pdf(self, vector: Sequence[float]) -> float:
        """Density at one encoded point; 0 where it does not decode to a pipeline."""
        x = np.asarray(vector, dtype=np.float64)
        active = self._encoding.active(x)
        if active is None:
            return 0.0
        kernel = np.where(
            self._levels > 0,
            np.where(self._encoded == x, 1 - self.bw, self.bw / np.maximum(self._levels - 1, 1)),
            np.exp(-0.5 * ((self._encoded - x) / self.bw) ** 2) / (math.sqrt(2 * math.pi) * self.bw),
        )
        prior = np.where(self._levels > 0, 1.0 / np.maximum(self._levels, 1), 1.0)
        kernel = np.where(np.isnan(self._encoded), prior, kernel)
        return float(kernel[:, active].prod(axis=1).mean())


@contextlib.contextmanager
def _global_numpy_seed(seed: int) -> Iterator[None]:
    """hpbandster draws from numpy's global generator: seed it, and put it back."""
    state = np.random.get_state()  # noqa: NPY002
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002


class BohbProposer:
    """Proposes by BOHB's model once enough pipelines were seen at one budget, at random before."""

    def __init__(self, space: Space, seed: int) -> None:
        self._space = space
        self._seed = seed
        self._encoding = Encoding(space)
        self._generator = _generator(self._encoding)
        self._fitted_on = -1

    def propose(self, trial: int, taken: set[str], observations: Sequence[Observation]) -> Pipeline | None:
        """See :class:`sweeper.search.Proposer`."""
        rng = np.random.default_rng((self._seed, trial))
        self._fit(observations)
        if not self._generator.kde_models:
            return draw_new(self._space, rng, taken)
        for _ in range(_ATTEMPTS):
            pipeline = self._suggest(int(rng.integers(2**31)))
            if pipeline is not None and pipeline.id not in taken:
                return pipeline
        return draw_new(self._space, rng, taken)

    def _suggest(self, seed: int) -> Pipeline | None:
        with _global_numpy_seed(seed), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._encoding.configspace.seed(seed)
            config, _ = self._generator.get_config(budget=None)
        return self._encoding.from_config(config)

    def _fit(self, observations: Sequence[Observation]) -> None:
        """Refit the densities of each budget, when there is something new."""
        if len(observations) == self._fitted_on:
            return
        self._fitted_on = len(observations)
        by_budget: dict[float, list[Observation]] = defaultdict(list)
        for observation in observations:
            by_budget[observation.budget].append(observation)
        self._generator.kde_models = {}
        for budget, seen in by_budget.items():
            model = self._densities(seen)
            if model is not None:
                self._generator.kde_models[budget] = model

    def _densities(self, seen: list[Observation]) -> dict[str, Density] | None:
        """hpbandster's split into the best 15 % and the rest, each at least `min_points_in_model`."""
        generator, least = self._generator, self._encoding.path_length + 1
        n_good = max(least, generator.top_n_percent * len(seen) // 100)
        n_bad = max(least, (100 - generator.top_n_percent) * len(seen) // 100)
        if len(seen) < n_good + least:
            return None
        order = np.argsort([-o.score for o in seen], kind="stable")
        encoded = np.array([self._encoding.encode(seen[i].pipeline) for i in order])
        rng = np.random.default_rng((self._seed, len(seen)))
        parts = {"good": encoded[:n_good], "bad": encoded[n_good : n_good + n_bad]}
        return {k: Density(rows, self._encoding, rng, generator.min_bandwidth) for k, rows in parts.items()}


def _generator(encoding: Encoding) -> Any:
    """hpbandster's configuration generator over the encoded space."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from hpbandster.optimizers.config_generators.bohb import BOHB

        logger = logging.getLogger("sweeper.hpbandster")
        logger.setLevel(logging.ERROR)
        return BOHB(configspace=encoding.configspace, logger=logger)
