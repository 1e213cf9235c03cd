"""Pipelines as vectors: the variables of a space, flattened for a model.

A subset axis becomes one yes/no variable a value; an ordered list of numbers becomes its rank; other
lists become categories. A variable that exists only with one plugin is NaN with the others.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.pipeline import Pipeline
from sweeper.space.domains import Between, Domain, Options, Subsets
from sweeper.space.space import SLOTS, Part, Slot, Space, assemble, fit_together


@dataclass(frozen=True)
class Variable:
    """One coordinate.

    Attributes
    ----------
    name : str
        Unique: ``glcm.distance.2``.
    levels : int
        Number of categories; 0 for an ordered variable, which lives in [0, 1].
    slot : Slot
        Place in the pipeline.
    part : str or None
        Label of the part it belongs to; None for the variable that chooses the part.
    axis : str
        Axis it belongs to.
    ranks : int
        Number of ordered values; 0 where levels > 0 or the range is continuous.
    """

    name: str
    levels: int
    slot: Slot
    part: str | None
    axis: str
    ranks: int = 0


def _ordered(domain: Options) -> bool:
    values = domain.values
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    return numbers and len(values) > 2 and list(values) == sorted(values)


def _variables(slot: Slot, part: Part, axis: str, domain: Domain) -> list[Variable]:
    name = f"{slot}.{part.label}.{axis}"
    if domain.size == 1:
        return []
    if isinstance(domain, Subsets):
        return [Variable(f"{name}.{v}", 2, slot, part.label, axis) for v in domain.values]
    if isinstance(domain, Between):
        return [Variable(name, 0, slot, part.label, axis)]
    if _ordered(domain):
        return [Variable(name, 0, slot, part.label, axis, ranks=len(domain.values))]
    return [Variable(name, len(domain.values), slot, part.label, axis)]


class Encoding:
    """Between pipelines of a space and vectors."""

    def __init__(self, space: Space) -> None:
        self._space = space
        self.variables: list[Variable] = []
        self._longest: dict[Slot, int] = {}
        for slot in SLOTS:
            parts = space.parts[slot]
            if len(parts) > 1:
                self.variables.append(Variable(slot, len(parts), slot, None, "choice"))
            for part in parts:
                for axis, domain in part.domains.items():
                    self.variables += _variables(slot, part, axis, domain)
            choices = [sum(d.size > 1 for d in part.domains.values()) for part in parts]
            self._longest[slot] = max(choices) + (len(parts) > 1)
        self.configspace, order = _configspace(self.variables, space)
        self.variables.sort(key=lambda v: order[v.name])  # hpbandster's vectors go by ConfigSpace's order
        self.levels = np.array([v.levels for v in self.variables], dtype=np.int64)  # (d,)

    @property
    def path_length(self) -> int:
        """Most choices that one pipeline takes: the model's dimension as a person counts it."""
        return max(1, sum(self._longest.values()))

    def encode(self, pipeline: Pipeline) -> NDArray[np.float64]:
        """Vector of a pipeline, (d,), NaN where a variable does not exist for it."""
        chosen = {
            slot: (self._space.part_of(slot, name, params).label, params)
            for slot, (name, params) in _chosen(pipeline).items()
        }
        return np.array([self._value(v, *chosen[v.slot]) for v in self.variables])

    def _value(self, variable: Variable, label: str, params: dict[str, Any]) -> float:
        if variable.part is None:
            return float([p.label for p in self._space.parts[variable.slot]].index(label))
        if variable.part != label:
            return float("nan")
        domain = self._domain(variable)
        value = params[variable.axis]
        if isinstance(domain, Subsets):
            return float(any(variable.name == f"{variable.slot}.{label}.{variable.axis}.{v}" for v in value))
        if isinstance(domain, Between):
            return domain.to_unit(value)
        position = domain.values.index(value)
        return (position + 0.5) / variable.ranks if variable.ranks else float(position)

    def _domain(self, variable: Variable) -> Domain:
        part = next(p for p in self._space.parts[variable.slot] if p.label == variable.part)
        return part.domains[variable.axis]

    def active(self, vector: NDArray[np.float64]) -> NDArray[np.bool_] | None:
        """Which variables exist at a point, (d,); None when it is no pipeline.

        That is a point with an empty subset, or with parts that do not fit together.
        """
        choice = self._choices(vector)
        if not fit_together(choice["featurizer"], choice["reducer"], choice["classifier"]):
            return None
        alive = np.array([v.part is None or v.part == choice[v.slot].label for v in self.variables])
        subsets: dict[tuple[Slot, str], bool] = {}
        for variable, value, exists in zip(self.variables, vector, alive, strict=True):
            if exists and variable.part and isinstance(self._domain(variable), Subsets):
                key = (variable.slot, variable.axis)
                subsets[key] = subsets.get(key, False) or value >= 0.5
        return alive if all(subsets.values()) else None

    def _choices(self, vector: NDArray[np.float64]) -> dict[Slot, Part]:
        choice: dict[Slot, Part] = {slot: self._space.parts[slot][0] for slot in SLOTS}
        for variable, value in zip(self.variables, vector, strict=True):
            if variable.part is None:
                choice[variable.slot] = self._space.parts[variable.slot][round(value)]
        return choice

    def decode(self, vector: NDArray[np.float64]) -> Pipeline | None:
        """Pipeline at a point, or None when it is none; see :meth:`active`."""
        if self.active(vector) is None:
            return None
        at = {v.name: float(x) for v, x in zip(self.variables, vector, strict=True)}
        chosen = {}
        for slot, part in self._choices(vector).items():
            chosen[slot] = (part.name, {a: self._axis(slot, part, a, d, at) for a, d in part.domains.items()})
        return assemble(chosen)

    def _axis(self, slot: Slot, part: Part, axis: str, domain: Domain, at: dict[str, float]) -> Any:
        name = f"{slot}.{part.label}.{axis}"
        if isinstance(domain, Subsets):
            if domain.size == 1:
                return domain.values
            return domain.pick([at[f"{name}.{v}"] >= 0.5 for v in domain.values])
        if isinstance(domain, Between):
            return domain.from_unit(at[name])
        if domain.size == 1:
            return domain.values[0]
        if _ordered(domain):
            return domain.values[min(int(at[name] * domain.size), domain.size - 1)]
        return domain.values[round(at[name])]

    def from_config(self, config: dict[str, Any]) -> Pipeline | None:
        """Pipeline of a ConfigSpace configuration's dict."""
        vector = np.array([float(config.get(v.name, np.nan)) for v in self.variables])
        return self.decode(np.nan_to_num(vector, nan=0.0)) if self._known(config, vector) else None

    def _known(self, config: dict[str, Any], vector: NDArray[np.float64]) -> bool:
        active = self.active(np.nan_to_num(vector, nan=0.0))
        return active is not None and not np.isnan(vector[active]).any()


def _configspace(variables: list[Variable], space: Space) -> tuple[Any, dict[str, int]]:
    """The variables as a ConfigSpace, conditions between plugin and parameter, and its order."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import ConfigSpace

        configspace = ConfigSpace.ConfigurationSpace(seed=0)
        made = {v.name: _hyperparameter(v) for v in variables}
        for hyperparameter in made.values():
            configspace.add(hyperparameter)
        for variable in variables:
            parts = [p.label for p in space.parts[variable.slot]]
            if variable.part is not None and len(parts) > 1:
                parent = made[variable.slot]
                configspace.add(
                    ConfigSpace.EqualsCondition(made[variable.name], parent, parts.index(variable.part))
                )
        return configspace, {name: i for i, name in enumerate(list(configspace))}


def _hyperparameter(variable: Variable) -> Any:
    import ConfigSpace

    if variable.levels:
        return ConfigSpace.CategoricalHyperparameter(variable.name, list(range(variable.levels)))
    return ConfigSpace.UniformFloatHyperparameter(variable.name, 0.0, 1.0)


def _chosen(pipeline: Pipeline) -> dict[Slot, tuple[str, dict[str, Any]]]:
    return {
        "intensity": ("intensity", pipeline.intensity),
        "featurizer": (pipeline.featurizer, pipeline.featurizer_params),
        "reducer": (pipeline.reducer, pipeline.reducer_params),
        "classifier": (pipeline.classifier, pipeline.classifier_params),
    }
