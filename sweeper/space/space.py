"""Search spaces: counted, sampled and walked.

A space offers alternatives for three places of a pipeline (featurizer, reducer, classifier), each
with dimensions of its own, and the intensity settings that all of them share. A parameter exists
only together with its plugin: choosing another featurizer drops it. A network's own head goes with
networks that are trained, and with the reducer ``none``.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from sweeper.errors import InputError
from sweeper.pipeline import Pipeline
from sweeper.space.domains import Options
from sweeper.space.encoding import Encoding
from sweeper.space.parts import SLOTS, Part, Slot, assemble, fit_together


@dataclass(frozen=True)
class Space:
    """A search space; see ``search_spaces/*.yaml`` for how one is written.

    Attributes
    ----------
    name, source : str
    scale : str
        Which cut of itself this is, and what was cut; empty for all of it.
    parts : dict
        Slot to its alternatives; ``intensity`` always has exactly one.
    class_order : tuple of str
        Order that lists of class weights go by when the data set has just these classes.
    """

    name: str
    source: str
    parts: dict[Slot, tuple[Part, ...]]
    class_order: tuple[str, ...] = ()
    scale: str = ""

    def slot_size(self, slot: Slot) -> float:
        """Number of choices in one slot: plugins with their parameters."""
        return sum(part.size for part in self.parts[slot])

    @property
    def size(self) -> float:
        """Number of pipelines: infinite when a parameter is continuous."""
        return sum(math.prod(part.size for part in parts) for parts in self.combinations())

    def combinations(self) -> list[tuple[Part, ...]]:
        """Parts that go together, one of each slot, in the order of :data:`SLOTS`."""
        choices = itertools.product(*(self.parts[slot] for slot in SLOTS))
        return [parts for parts in choices if fit_together(*parts[1:])]

    def sample(self, rng: np.random.Generator) -> Pipeline:
        """A pipeline drawn uniformly: plugins first, then each of their parameters."""
        while True:
            chosen = {}
            for slot in SLOTS:
                part = self.parts[slot][int(rng.integers(len(self.parts[slot])))]
                chosen[slot] = (part, part.sample(rng))
            if fit_together(*(part for part, _ in list(chosen.values())[1:])):
                return assemble({slot: (part.name, params) for slot, (part, params) in chosen.items()})

    def grid(self) -> Iterator[Pipeline]:
        """Every pipeline, in the order the space is written."""
        alternatives = [[(part, p) for part in self.parts[s] for p in part.grid()] for s in SLOTS]
        for choice in itertools.product(*alternatives):
            if fit_together(*(part for part, _ in choice[1:])):
                named = ((part.name, params) for part, params in choice)
                yield assemble(dict(zip(SLOTS, named, strict=True)))

    def encoding(self) -> Encoding:
        """Return the translation between its pipelines and vectors."""
        return Encoding(self.parts)

    def for_classes(self, classes: tuple[str, ...]) -> Space:
        """The space as it is for a data set: lists of class weights in its class order.

        Lists whose length is not the number of classes leave the space.
        """
        return replace(
            self,
            parts={
                **self.parts,
                "classifier": tuple(self._weights_for(part, classes) for part in self.parts["classifier"]),
            },
        )

    def _weights_for(self, part: Part, classes: tuple[str, ...]) -> Part:
        if "class_weight" not in part.domains:
            return part
        domain = part.domains["class_weight"]
        if not isinstance(domain, Options):
            raise InputError(f"{part.name}: class_weight is a list of choices")
        kept = tuple(
            self._reorder(value, classes) if isinstance(value, tuple) else value
            for value in domain.values
            if not isinstance(value, tuple) or len(value) == len(classes)
        )
        if not kept:
            raise InputError(
                f"{part.name}: no class_weight is left: each list needs {len(classes)} weights, one a class"
            )
        return replace(part, domains={**part.domains, "class_weight": Options(kept)})

    def _reorder(self, weights: tuple[float, ...], classes: tuple[str, ...]) -> tuple[float, ...]:
        if set(classes) != set(self.class_order):
            return weights
        return tuple(weights[self.class_order.index(c)] for c in classes)
