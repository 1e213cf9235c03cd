"""Parts of a space: the alternatives for each place of a pipeline, and which of them go together."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from sweeper.pipeline import FeaturizerChoice, Pipeline
from sweeper.space.domains import Domain

Slot = Literal["intensity", "featurizer", "reducer", "classifier"]
SLOTS: tuple[Slot, ...] = ("intensity", "featurizer", "reducer", "classifier")


@dataclass(frozen=True)
class Part:
    """One alternative for a slot: a plugin's name and the domain of each of its axes.

    Attributes
    ----------
    name : str
    domains : dict
    label : str
        Tells the parts of a slot apart: the name, except for a network that is not trained, which has no
        recipe (``resnet50 pretrained``).
    head : bool
        For a featurizer, whether it is a network that is trained, and so has a head; for a classifier,
        whether it is such a head.
    """

    name: str
    domains: dict[str, Domain]
    label: str
    head: bool = False

    @property
    def size(self) -> float:
        """Number of choices of its parameters."""
        return math.prod(d.size for d in self.domains.values())

    def sample(self, rng: np.random.Generator) -> dict[str, Any]:
        """Draw a value for each axis."""
        return {axis: domain.sample(rng) for axis, domain in self.domains.items()}

    def holds(self, params: dict[str, Any]) -> bool:
        """Return whether parameters are a choice of this part."""
        return params.keys() == self.domains.keys() and all(v in self.domains[a] for a, v in params.items())

    def own(self, params: dict[str, Any]) -> dict[str, Any]:
        """Return parameters that are a choice of this part, with their values as it writes them."""
        return {axis: domain.own(params[axis]) for axis, domain in self.domains.items()}

    def grid(self) -> Iterator[dict[str, Any]]:
        """Yield every choice of its parameters, in the order they are written."""
        for values in itertools.product(*(d.grid() for d in self.domains.values())):
            yield dict(zip(self.domains, values, strict=True))


def fit_together(featurizers: Sequence[Part], reducer: Part, classifier: Part) -> bool:
    """Return whether parts make a pipeline.

    A featurizer stands beside others, not beside itself. A head needs its network, trained, with nothing
    beside it and no reducer.
    """
    if len({part.name for part in featurizers}) < len(featurizers):
        return False
    return not classifier.head or (len(featurizers) == 1 and featurizers[0].head and reducer.name == "none")


Chosen = tuple[str, dict[str, Any]]
"""Name of a plugin and its parameters."""


def assemble(
    intensity: dict[str, Any], featurizers: Sequence[Chosen], reducer: Chosen, classifier: Chosen
) -> Pipeline:
    """Return the pipeline of what was chosen for each slot."""
    features = tuple(FeaturizerChoice(name, params) for name, params in featurizers)
    return Pipeline(intensity, features, *reducer, *classifier)
