"""Pipelines as vectors: the variables of a space, flattened for a search that models it.

A subset axis becomes one yes/no variable for each value; an ordered list of numbers becomes its rank; other
lists become categories. Where featurizers stand side by side, each has a yes/no variable of its own, so that
sets that share a featurizer are neighbours; otherwise one variable chooses among them. A variable that exists
only with one plugin is NaN with the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.api import Variable
from sweeper.pipeline import Pipeline
from sweeper.space.domains import Between, Domain, Options, Subsets
from sweeper.space.parts import SLOTS, Chosen, Part, Slot, assemble, fit_together


@dataclass(frozen=True)
class _Coordinate:
    """A variable and its place in a pipeline.

    Attributes
    ----------
    variable : Variable
    slot : Slot
    part : str or None
        Label of the part it belongs to; None for the variable that chooses the part.
    axis : str or None
        None for the variable that says whether the part is there, or which part.
    ranks : int
        Number of ordered values; 0 where the variable has levels or the range is continuous.
    """

    variable: Variable
    slot: Slot
    part: str | None
    axis: str | None = None
    ranks: int = 0


def _is_ordered(domain: Options) -> bool:
    values = domain.values
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    return numbers and len(values) > 2 and list(values) == sorted(values)


def _coordinates(
    slot: Slot, part: Part, axis: str, domain: Domain, condition: tuple[str, int] | None
) -> list[_Coordinate]:
    name = f"{slot}.{part.label}.{axis}"
    if domain.size == 1:
        return []
    if isinstance(domain, Subsets):
        return [
            _Coordinate(Variable(f"{name}.{v}", 2, condition), slot, part.label, axis) for v in domain.values
        ]
    if isinstance(domain, Between):
        return [_Coordinate(Variable(name, 0, condition), slot, part.label, axis)]
    if _is_ordered(domain):
        return [_Coordinate(Variable(name, 0, condition), slot, part.label, axis, ranks=len(domain.values))]
    return [_Coordinate(Variable(name, len(domain.values), condition), slot, part.label, axis)]


class Encoding:
    """Translates between the pipelines of a space and vectors; see :class:`sweeper.api.Encoding`."""

    def __init__(self, parts: Mapping[Slot, tuple[Part, ...]], most: int = 1) -> None:
        self._parts, self._most = parts, most
        self._coordinates: list[_Coordinate] = []
        longest = 0
        for slot in SLOTS:
            alternatives = parts[slot]
            at_most = most if slot == "featurizer" else 1
            if at_most == 1 and len(alternatives) > 1:
                self._coordinates.append(_Coordinate(Variable(slot, len(alternatives)), slot, None))
            for position, part in enumerate(alternatives):
                condition: tuple[str, int] | None = (slot, position) if len(alternatives) > 1 else None
                if at_most > 1:
                    there = Variable(f"{slot}.{part.label}", 2)
                    self._coordinates.append(_Coordinate(there, slot, part.label))
                    condition = (there.name, 1)
                for axis, domain in part.domains.items():
                    self._coordinates += _coordinates(slot, part, axis, domain, condition)
            choices = sorted(sum(d.size > 1 for d in part.domains.values()) for part in alternatives)
            longest += sum(choices[-at_most:]) + (at_most if len(alternatives) > 1 else 0)
        self.path_length = max(1, longest)
        self.variables = tuple(c.variable for c in self._coordinates)

    def encode(self, pipeline: Pipeline) -> NDArray[np.float64]:
        """Return the vector of a pipeline, (d,), NaN where a variable does not exist for it."""
        chosen = {
            slot: {self._label(slot, name, params): params for name, params in choices}
            for slot, choices in _chosen(pipeline).items()
        }
        return np.array([self._value(c, chosen[c.slot]) for c in self._coordinates], dtype=np.float64)

    def _label(self, slot: Slot, name: str, params: dict[str, Any]) -> str:
        """Label of the part that a choice of a plugin and its parameters came from."""
        return next(
            p.label for p in self._parts[slot] if p.name == name and p.domains.keys() == params.keys()
        )

    def _value(self, at: _Coordinate, chosen: Mapping[str, dict[str, Any]]) -> float:
        """Value of a variable, from the labels of the parts chosen for its slot and their parameters."""
        if at.part is None:
            (label,) = chosen
            return float([p.label for p in self._parts[at.slot]].index(label))
        if at.axis is None:
            return float(at.part in chosen)
        if at.part not in chosen:
            return float("nan")
        domain = self._domain(at.slot, at.part, at.axis)
        value = chosen[at.part][at.axis]
        if isinstance(domain, Subsets):
            return float(any(at.variable.name == f"{at.slot}.{at.part}.{at.axis}.{v}" for v in value))
        if isinstance(domain, Between):
            return domain.to_unit(value)
        position = domain.values.index(value)
        return (position + 0.5) / at.ranks if at.ranks else float(position)

    def _domain(self, slot: Slot, label: str, axis: str) -> Domain:
        return next(p for p in self._parts[slot] if p.label == label).domains[axis]

    def active(self, vector: NDArray[np.float64]) -> NDArray[np.bool_] | None:
        """Return which variables exist at a point, (d,); None when it is no pipeline.

        Points with an empty subset, with no featurizer or too many, or with parts that do not fit together,
        are no pipelines.
        """
        choice = self._choices(vector)
        featurizers, (reducer,), (classifier,) = (choice[s] for s in ("featurizer", "reducer", "classifier"))
        if not 1 <= len(featurizers) <= self._most or not fit_together(featurizers, reducer, classifier):
            return None
        labels = {(slot, part.label) for slot, parts in choice.items() for part in parts}
        alive = np.array(
            [c.axis is None or (c.slot, c.part) in labels for c in self._coordinates], dtype=np.bool_
        )
        subsets: dict[tuple[Slot, str, str], bool] = {}
        for at, value, exists in zip(self._coordinates, vector, alive, strict=True):
            if not exists or at.part is None or at.axis is None:
                continue
            if isinstance(self._domain(at.slot, at.part, at.axis), Subsets):
                key = (at.slot, at.part, at.axis)
                subsets[key] = subsets.get(key, False) or value >= 0.5
        return alive if all(subsets.values()) else None

    def _choices(self, vector: NDArray[np.float64]) -> dict[Slot, list[Part]]:
        """Parts at a point, which may not fit together; of featurizers that combine, there may be none."""
        choice: dict[Slot, list[Part]] = {slot: [self._parts[slot][0]] for slot in SLOTS}
        if self._most > 1:
            choice["featurizer"] = []
        for at, value in zip(self._coordinates, vector, strict=True):
            if at.part is None:
                choice[at.slot] = [self._parts[at.slot][round(value)]]
            elif at.axis is None and value >= 0.5:
                choice[at.slot].append(next(p for p in self._parts[at.slot] if p.label == at.part))
        return choice

    def decode(self, vector: NDArray[np.float64]) -> Pipeline | None:
        """Return the pipeline at a point, or None where there is none; see :meth:`active`."""
        if self.active(vector) is None:
            return None
        values = {v.name: float(x) for v, x in zip(self.variables, vector, strict=True)}
        intensity, features, reducer, classifier = (
            [
                (part.name, {a: self._axis(slot, part, a, d, values) for a, d in part.domains.items()})
                for part in parts
            ]
            for slot, parts in self._choices(vector).items()
        )
        return assemble(intensity[0][1], features, reducer[0], classifier[0])

    def _axis(self, slot: Slot, part: Part, axis: str, domain: Domain, values: dict[str, float]) -> Any:
        name = f"{slot}.{part.label}.{axis}"
        if isinstance(domain, Subsets):
            if domain.size == 1:
                return domain.values
            return domain.pick([values[f"{name}.{v}"] >= 0.5 for v in domain.values])
        if isinstance(domain, Between):
            return domain.from_unit(values[name])
        if domain.size == 1:
            return domain.values[0]
        if _is_ordered(domain):
            return domain.values[min(int(values[name] * domain.size), domain.size - 1)]
        return domain.values[round(values[name])]


def _chosen(pipeline: Pipeline) -> dict[Slot, list[Chosen]]:
    return {
        "intensity": [("intensity", pipeline.intensity)],
        "featurizer": [(choice.name, choice.params) for choice in pipeline.features],
        "reducer": [(pipeline.reducer, pipeline.reducer_params)],
        "classifier": [(pipeline.classifier, pipeline.classifier_params)],
    }
