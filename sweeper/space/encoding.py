"""Pipelines as vectors: the variables of a space, flattened for a search that models it.

A subset axis becomes one yes/no variable for each value; an ordered list of numbers becomes its rank; other
lists become categories. A variable that exists only with one plugin is NaN with the others.
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
from sweeper.space.parts import SLOTS, Part, Slot, assemble, fit_together


@dataclass(frozen=True)
class _Coordinate:
    """A variable and its place in a pipeline.

    Attributes
    ----------
    variable : Variable
    slot : Slot
    part : str or None
        Label of the part it belongs to; None for the variable that chooses the part.
    axis : str
    ranks : int
        Number of ordered values; 0 where the variable has levels or the range is continuous.
    """

    variable: Variable
    slot: Slot
    part: str | None
    axis: str
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

    def __init__(self, parts: Mapping[Slot, tuple[Part, ...]]) -> None:
        self._parts = parts
        self._coordinates: list[_Coordinate] = []
        longest = 0
        for slot in SLOTS:
            alternatives = parts[slot]
            if len(alternatives) > 1:
                choice = Variable(slot, len(alternatives))
                self._coordinates.append(_Coordinate(choice, slot, None, "choice"))
            for position, part in enumerate(alternatives):
                condition = (slot, position) if len(alternatives) > 1 else None
                for axis, domain in part.domains.items():
                    self._coordinates += _coordinates(slot, part, axis, domain, condition)
            choices = [sum(d.size > 1 for d in part.domains.values()) for part in alternatives]
            longest += max(choices) + (len(alternatives) > 1)
        self.path_length = max(1, longest)
        self.variables = tuple(c.variable for c in self._coordinates)

    def encode(self, pipeline: Pipeline) -> NDArray[np.float64]:
        """Return the vector of a pipeline, (d,), NaN where a variable does not exist for it."""
        chosen = {
            slot: (self._label(slot, name, params), params)
            for slot, (name, params) in _chosen(pipeline).items()
        }
        return np.array([self._value(c, *chosen[c.slot]) for c in self._coordinates], dtype=np.float64)

    def _label(self, slot: Slot, name: str, params: dict[str, Any]) -> str:
        """Label of the part that a choice of a plugin and its parameters came from."""
        return next(
            p.label for p in self._parts[slot] if p.name == name and p.domains.keys() == params.keys()
        )

    def _value(self, at: _Coordinate, label: str, params: dict[str, Any]) -> float:
        if at.part is None:
            return float([p.label for p in self._parts[at.slot]].index(label))
        if at.part != label:
            return float("nan")
        domain = self._domain(at)
        value = params[at.axis]
        if isinstance(domain, Subsets):
            return float(any(at.variable.name == f"{at.slot}.{label}.{at.axis}.{v}" for v in value))
        if isinstance(domain, Between):
            return domain.to_unit(value)
        position = domain.values.index(value)
        return (position + 0.5) / at.ranks if at.ranks else float(position)

    def _domain(self, at: _Coordinate) -> Domain:
        part = next(p for p in self._parts[at.slot] if p.label == at.part)
        return part.domains[at.axis]

    def active(self, vector: NDArray[np.float64]) -> NDArray[np.bool_] | None:
        """Return which variables exist at a point, (d,); None when it is no pipeline.

        Points with an empty subset, or with parts that do not fit together, are no pipelines.
        """
        choice = self._choices(vector)
        if not fit_together(choice["featurizer"], choice["reducer"], choice["classifier"]):
            return None
        alive = np.array(
            [c.part is None or c.part == choice[c.slot].label for c in self._coordinates], dtype=np.bool_
        )
        subsets: dict[tuple[Slot, str], bool] = {}
        for at, value, exists in zip(self._coordinates, vector, alive, strict=True):
            if exists and at.part and isinstance(self._domain(at), Subsets):
                key = (at.slot, at.axis)
                subsets[key] = subsets.get(key, False) or value >= 0.5
        return alive if all(subsets.values()) else None

    def _choices(self, vector: NDArray[np.float64]) -> dict[Slot, Part]:
        choice: dict[Slot, Part] = {slot: self._parts[slot][0] for slot in SLOTS}
        for at, value in zip(self._coordinates, vector, strict=True):
            if at.part is None:
                choice[at.slot] = self._parts[at.slot][round(value)]
        return choice

    def decode(self, vector: NDArray[np.float64]) -> Pipeline | None:
        """Return the pipeline at a point, or None where there is none; see :meth:`active`."""
        if self.active(vector) is None:
            return None
        values = {v.name: float(x) for v, x in zip(self.variables, vector, strict=True)}
        chosen = {}
        for slot, part in self._choices(vector).items():
            params = {a: self._axis(slot, part, a, d, values) for a, d in part.domains.items()}
            chosen[slot] = (part.name, params)
        return assemble(chosen)

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


def _chosen(pipeline: Pipeline) -> dict[Slot, tuple[str, dict[str, Any]]]:
    return {
        "intensity": ("intensity", pipeline.intensity),
        "featurizer": (pipeline.featurizer, pipeline.featurizer_params),
        "reducer": (pipeline.reducer, pipeline.reducer_params),
        "classifier": (pipeline.classifier, pipeline.classifier_params),
    }
