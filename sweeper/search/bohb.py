"""BOHB: HyperBand whose trials a model proposes, hpbandster's two kernel densities.

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

from sweeper.api import Encoding, Observation, Pipeline, Search, SearchSpace, Variable, draw_new

_ATTEMPTS = 20
"""Suggestions that may repeat an earlier trial before a random one is taken."""


class _Vectors:
    """Pipelines as hpbandster's vectors: those of the encoding, in the order of ConfigSpace's parameters.

    Attributes
    ----------
    configspace : ConfigSpace.ConfigurationSpace
    levels : int64, (d,)
        Number of categories; 0 for an ordered variable.
    """

    def __init__(self, encoding: Encoding) -> None:
        self._encoding = encoding
        self.configspace = _configspace(encoding.variables)
        position = {v.name: i for i, v in enumerate(encoding.variables)}
        self._order = np.array([position[name] for name in list(self.configspace)], dtype=np.int64)
        self._back = np.argsort(self._order)
        self.levels = np.array([encoding.variables[i].levels for i in self._order], dtype=np.int64)  # (d,)

    def encode(self, pipeline: Pipeline) -> NDArray[np.float64]:
        """Return the vector of a pipeline, (d,), NaN where a variable does not exist for it."""
        return self._encoding.encode(pipeline)[self._order]

    def active(self, vector: NDArray[np.float64]) -> NDArray[np.bool_] | None:
        """Return which variables exist at a point, (d,); None when it is no pipeline."""
        active = self._encoding.active(vector[self._back])
        return None if active is None else active[self._order]

    def pipeline_of(self, config: dict[str, Any]) -> Pipeline | None:
        """Return the pipeline of a configuration of ConfigSpace's; None when it is none."""
        values = [float(config.get(v.name, np.nan)) for v in self._encoding.variables]
        vector = np.array(values, dtype=np.float64)
        point = np.nan_to_num(vector, nan=0.0)
        active = self._encoding.active(point)
        if active is None or np.isnan(vector[active]).any():
            return None
        return self._encoding.decode(point)


def _configspace(variables: Sequence[Variable]) -> Any:
    """Return the variables as a ConfigSpace, with its conditions between a choice and what depends on it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import ConfigSpace

        space = ConfigSpace.ConfigurationSpace(seed=0)
        made = {v.name: _hyperparameter(v) for v in variables}
        for hyperparameter in made.values():
            space.add(hyperparameter)
        for variable in variables:
            if variable.condition is not None:
                parent, category = variable.condition
                space.add(ConfigSpace.EqualsCondition(made[variable.name], made[parent], category))
        return space


def _hyperparameter(variable: Variable) -> Any:
    import ConfigSpace

    if variable.levels:
        return ConfigSpace.CategoricalHyperparameter(variable.name, list(range(variable.levels)))
    return ConfigSpace.UniformFloatHyperparameter(variable.name, 0.0, 1.0)


class _Density:
    """Product-kernel density over encoded pipelines; an inactive variable takes the prior.

    Attributes
    ----------
    data : float64, (n, d)
        Encoded pipelines, inactive entries filled from the prior: hpbandster samples around them.
    bw : float64, (d,)
        Bandwidths: for ordered variables Silverman's rule as hpbandster has it; for a categorical
        one with L levels the kernel that amounts to Laplace's rule of succession, (L−1)/(n+L).
    """

    def __init__(
        self, encoded: NDArray[np.float64], vectors: _Vectors, rng: np.random.Generator, min_bandwidth: float
    ) -> None:
        self._vectors = vectors
        self._encoded = encoded
        self._levels = vectors.levels
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
        """Return the density at one encoded point; 0 where it does not decode to a pipeline."""
        x = np.asarray(vector, dtype=np.float64)
        active = self._vectors.active(x)
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
    """Seed numpy's global generator, from which hpbandster draws, and put its state back."""
    state = np.random.get_state()  # noqa: NPY002
    np.random.seed(seed)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(state)  # noqa: NPY002


class BohbProposer:
    """Proposes by BOHB's model once enough pipelines were seen at one budget, and at random before."""

    def __init__(self, space: SearchSpace, seed: int) -> None:
        self._space = space
        self._seed = seed
        encoding = space.encoding()
        self._vectors = _Vectors(encoding)
        self._least = encoding.path_length + 1
        self._generator = _generator(self._vectors.configspace)
        self._fitted_on = -1

    def propose(self, trial: int, taken: set[str], observations: Sequence[Observation]) -> Pipeline | None:
        """Return a pipeline that the model expects to be good, or a random one."""
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
            self._vectors.configspace.seed(seed)
            config, _ = self._generator.get_config(budget=None)
        return self._vectors.pipeline_of(config)

    def _fit(self, observations: Sequence[Observation]) -> None:
        """Refit the densities of each budget when there is something new."""
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

    def _densities(self, seen: list[Observation]) -> dict[str, _Density] | None:
        """Split as hpbandster does, into the best 15 % and the rest, each of at least `_least`."""
        generator = self._generator
        n_good = max(self._least, generator.top_n_percent * len(seen) // 100)
        n_bad = max(self._least, (100 - generator.top_n_percent) * len(seen) // 100)
        if len(seen) < n_good + self._least:
            return None
        order = np.argsort([-o.score for o in seen], kind="stable")
        encoded = np.array([self._vectors.encode(seen[i].pipeline) for i in order])
        rng = np.random.default_rng((self._seed, len(seen)))
        parts = {"good": encoded[:n_good], "bad": encoded[n_good : n_good + n_bad]}
        return {k: _Density(rows, self._vectors, rng, generator.min_bandwidth) for k, rows in parts.items()}


def _generator(configspace: Any) -> Any:
    """Return hpbandster's configuration generator over a space."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from hpbandster.optimizers.config_generators.bohb import BOHB

        logger = logging.getLogger("sweeper.hpbandster")
        logger.setLevel(logging.ERROR)
        return BOHB(configspace=configspace, logger=logger)


SEARCH = Search(
    name="bohb",
    version=1,
    source="Falkner, Klein and Hutter, ICML 2018",
    proposer=BohbProposer,
    doc="learns from the scores so far which pipelines to try, and stops poor ones early",
    early_stopping="synchronous",
    learns=True,
)
"""Halves brackets as HyperBand does, and learns from those that are complete."""
