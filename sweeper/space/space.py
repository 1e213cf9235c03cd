"""Search spaces: counted, sampled and walked.

A space offers alternatives for three places of a pipeline (featurizer, reducer, classifier), each
with dimensions of its own, and the intensity settings that all of them share. A parameter exists
only together with its plugin: choosing another featurizer drops it. Where the space combines, several
featurizers stand side by side, each with its parameters. A network's own head goes with networks that
are trained, with nothing beside them, and with the reducer ``none``.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sweeper import plugins
from sweeper.api import Network
from sweeper.api.axes import OWN_WEIGHT
from sweeper.errors import InputError
from sweeper.pipeline import Pipeline
from sweeper.space.domains import Options
from sweeper.space.encoding import Encoding
from sweeper.space.known import known_pipelines
from sweeper.space.parts import Part, Slot, assemble, fit_together

_Choice = tuple[Part, dict[str, Any]]
"""A part, and values of its parameters."""

OWN_WEIGHTS = (1.0, 3.0, 10.0, 30.0, 100.0)
"""What a frame of one's own may count as, in frames that only help."""


def _with_or_without_own_weight(params: dict[str, Any], part: Part) -> dict[str, Any]:
    """Return parameters with a weight of one's own frames where a part has one, and only there."""
    others = {name: value for name, value in params.items() if name != OWN_WEIGHT.name}
    if OWN_WEIGHT.name not in part.domains:
        return others
    return {**others, OWN_WEIGHT.name: params.get(OWN_WEIGHT.name, OWN_WEIGHT.default)}


def _with_own_weight(part: Part, *, helped: bool) -> Part:
    domains = dict(part.domains)
    if not helped:
        domains.pop(OWN_WEIGHT.name, None)
    elif not part.head:
        domains.setdefault(OWN_WEIGHT.name, Options(OWN_WEIGHTS))
    return replace(part, domains=domains)


def _assembled(
    intensity: dict[str, Any], featurizers: Sequence[_Choice], reducer: _Choice, classifier: _Choice
) -> Pipeline:
    named = [(part.name, params) for part, params in (*featurizers, reducer, classifier)]
    return assemble(intensity, named[:-2], named[-2], named[-1])


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
    most : int
        Featurizers that may stand side by side.
    """

    name: str
    source: str
    parts: dict[Slot, tuple[Part, ...]]
    class_order: tuple[str, ...] = ()
    scale: str = ""
    most: int = 1

    def slot_size(self, slot: Slot) -> float:
        """Number of choices in one slot: plugins with their parameters."""
        return sum(part.size for part in self.parts[slot])

    @property
    def size(self) -> float:
        """Number of pipelines: infinite when a parameter is continuous."""
        heads = sum(part.size for part in self.parts["featurizer"] if part.head)
        pipelines: float = 0
        for reducer, classifier in itertools.product(self.parts["reducer"], self.parts["classifier"]):
            fitting = heads if classifier.head else self.representations
            if fitting and (not classifier.head or reducer.name == "none"):
                pipelines += fitting * reducer.size * classifier.size
        return self.slot_size("intensity") * pipelines

    @property
    def representations(self) -> float:
        """Number of choices of one featurizer or several side by side, with their parameters."""
        sizes: dict[str, float] = {}
        for part in self.parts["featurizer"]:
            sizes[part.name] = sizes.get(part.name, 0) + part.size
        ways: list[float] = [1, *([0] * self.most)]  # to choose none, one, two ... of the featurizers so far
        for size in sizes.values():
            for count in range(self.most, 0, -1):
                ways[count] += ways[count - 1] * size if ways[count - 1] else 0
        return sum(ways[1:])

    def sample(self, rng: np.random.Generator) -> Pipeline:
        """A pipeline drawn uniformly: plugins first, and of featurizers how many, then their parameters."""
        while True:
            _, intensity = self._draw("intensity", rng)
            featurizers = self._draw_featurizers(rng)
            reducer, classifier = self._draw("reducer", rng), self._draw("classifier", rng)
            if fit_together([part for part, _ in featurizers], reducer[0], classifier[0]):
                return _assembled(intensity, featurizers, reducer, classifier)

    def _draw(self, slot: Slot, rng: np.random.Generator) -> _Choice:
        """Draw a part of a slot and its parameters."""
        part = self.parts[slot][int(rng.integers(len(self.parts[slot])))]
        return part, part.sample(rng)

    def _draw_featurizers(self, rng: np.random.Generator) -> list[_Choice]:
        if self.most == 1:
            return [self._draw("featurizer", rng)]
        parts = self.parts["featurizer"]
        count = int(rng.integers(1, self.most + 1))
        chosen = sorted(rng.permutation(len(parts))[:count].tolist())
        return [(parts[i], parts[i].sample(rng)) for i in chosen]

    def grid(self) -> Iterator[Pipeline]:
        """Every pipeline, in the order the space is written: single featurizers, then pairs, and so on."""
        reducers, classifiers = self._choices("reducer"), self._choices("classifier")
        for intensity in self.parts["intensity"][0].grid():
            for featurizers in self._side_by_side():
                parts = [part for part, _ in featurizers]
                for reducer, classifier in itertools.product(reducers, classifiers):
                    if fit_together(parts, reducer[0], classifier[0]):
                        yield _assembled(intensity, featurizers, reducer, classifier)

    def _choices(self, slot: Slot) -> list[_Choice]:
        """Every part of a slot with every choice of its parameters."""
        return [(part, params) for part in self.parts[slot] for params in part.grid()]

    def _side_by_side(self) -> Iterator[tuple[_Choice, ...]]:
        """Yield every choice of one featurizer or several."""
        for count in range(1, self.most + 1):
            for parts in itertools.combinations(self.parts["featurizer"], count):
                yield from itertools.product(*([(part, params) for params in part.grid()] for part in parts))

    def own(self, pipeline: Pipeline) -> Pipeline | None:
        """Return a pipeline as this space writes it, its featurizers in the order of the space.

        None where the space does not have it.
        """
        (intensity,) = self.parts["intensity"]
        wanted = {choice.name: choice.params for choice in pipeline.features}
        featurizers = [
            (part, part.own(wanted[part.name]))
            for part in self.parts["featurizer"]
            if part.name in wanted and part.holds(wanted[part.name])
        ]
        reducer = self._own("reducer", pipeline.reducer, pipeline.reducer_params)
        classifier = self._own("classifier", pipeline.classifier, pipeline.classifier_params)
        if reducer is None or classifier is None or not intensity.holds(pipeline.intensity):
            return None
        if not len(wanted) == len(featurizers) == len(pipeline.features) <= self.most:
            return None
        if not fit_together([part for part, _ in featurizers], reducer[0], classifier[0]):
            return None
        return _assembled(intensity.own(pipeline.intensity), featurizers, reducer, classifier)

    def _own(self, slot: Slot, name: str, params: dict[str, Any]) -> _Choice | None:
        for part in self.parts[slot]:
            if part.name == name:
                fitting = _with_or_without_own_weight(params, part)
                if part.holds(fitting):
                    return part, part.own(fitting)
        return None

    def known(self) -> list[Pipeline]:
        """Return a few pipelines that do well on most data sets; none where there are only networks."""
        names = {part.name for part in self.parts["featurizer"]}
        networks = frozenset(name for name in names if isinstance(plugins.featurizer(name), Network))
        return known_pipelines(self.parts, self.most, networks)

    def encoding(self) -> Encoding:
        """Return the translation between its pipelines and vectors."""
        return Encoding(self.parts, self.most)

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

    def with_own_weights(self, *, helped: bool) -> Space:
        """The space as it is for a data set of which some frames only help, or for any other.

        Of the former, classifiers that take weights search what a frame of one's own counts, by
        :data:`OWN_WEIGHTS` where the space says nothing about it; of others none does.
        """
        parts = tuple(_with_own_weight(part, helped=helped) for part in self.parts["classifier"])
        return replace(self, parts={**self.parts, "classifier": parts})

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
