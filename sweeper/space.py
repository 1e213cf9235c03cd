"""Search spaces: the YAML a person edits, checked, counted, sampled and walked.

A space offers alternatives for three places of a pipeline (featurizer, reducer, classifier), each
with dimensions of its own, and the intensity settings that all of them share. A parameter exists
only together with its plugin: choosing another featurizer drops it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from sweeper import plugins
from sweeper.api import Axis, Either, Interval, Legal, WeightPerClass
from sweeper.domains import Between, Domain, Options, Subsets
from sweeper.intensity import AXES as INTENSITY_AXES
from sweeper.pipeline import Pipeline
from sweeper.reducers import REDUCERS
from sweeper.yamlfile import read_yaml

Slot = Literal["intensity", "featurizer", "reducer", "classifier"]
SLOTS: tuple[Slot, ...] = ("intensity", "featurizer", "reducer", "classifier")


@dataclass(frozen=True)
class Part:
    """One alternative for a slot: a plugin's name and the domain of each of its axes."""

    name: str
    domains: dict[str, Domain]

    @property
    def size(self) -> float:
        return math.prod(d.size for d in self.domains.values())

    def sample(self, rng: np.random.Generator) -> dict[str, Any]:
        return {axis: domain.sample(rng) for axis, domain in self.domains.items()}

    def grid(self) -> Iterator[dict[str, Any]]:
        for values in itertools.product(*(d.grid() for d in self.domains.values())):
            yield dict(zip(self.domains, values, strict=True))


@dataclass(frozen=True)
class Space:
    """A search space; see ``search_spaces/*.yaml`` for how one is written.

    Attributes
    ----------
    name, source : str
    parts : dict
        Slot to its alternatives; ``intensity`` always has exactly one.
    class_order : tuple of str
        Order that lists of class weights go by when the data set has just these classes.
    """

    name: str
    source: str
    parts: dict[Slot, tuple[Part, ...]]
    class_order: tuple[str, ...] = ()

    def slot_size(self, slot: Slot) -> float:
        """Number of choices in one slot: plugins with their parameters."""
        return sum(part.size for part in self.parts[slot])

    @property
    def size(self) -> float:
        """Number of pipelines: infinite when a parameter is continuous."""
        return math.prod(self.slot_size(slot) for slot in SLOTS)

    def sample(self, rng: np.random.Generator) -> Pipeline:
        """A pipeline drawn uniformly: plugin first, then each of its parameters."""
        return self._build(lambda slot: self.parts[slot][int(rng.integers(len(self.parts[slot])))], rng)

    def _build(self, pick: Callable[[Slot], Part], rng: np.random.Generator) -> Pipeline:
        chosen = {}
        for slot in SLOTS:
            part = pick(slot)
            chosen[slot] = (part.name, part.sample(rng))
        return assemble(chosen)

    def grid(self) -> Iterator[Pipeline]:
        """Every pipeline, in the order the space is written."""
        alternatives = [[(part.name, p) for part in self.parts[s] for p in part.grid()] for s in SLOTS]
        for choice in itertools.product(*alternatives):
            yield assemble(dict(zip(SLOTS, choice, strict=True)))

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
        domain = part.domains["class_weight"]
        if not isinstance(domain, Options):
            raise ValueError(f"{part.name}: class_weight is a list of choices")
        kept = tuple(
            self._reorder(value, classes) if isinstance(value, tuple) else value
            for value in domain.values
            if not isinstance(value, tuple) or len(value) == len(classes)
        )
        if not kept:
            raise ValueError(
                f"{part.name}: no class_weight is left: each list needs {len(classes)} weights, one a class"
            )
        return replace(part, domains={**part.domains, "class_weight": Options(kept)})

    def _reorder(self, weights: tuple[float, ...], classes: tuple[str, ...]) -> tuple[float, ...]:
        if set(classes) != set(self.class_order):
            return weights
        return tuple(weights[self.class_order.index(c)] for c in classes)


def assemble(chosen: dict[Any, tuple[str, dict[str, Any]]]) -> Pipeline:
    """A pipeline from ``{slot: (name, parameters)}``."""
    return Pipeline(
        intensity=chosen["intensity"][1],
        featurizer=chosen["featurizer"][0],
        featurizer_params=chosen["featurizer"][1],
        reducer=chosen["reducer"][0],
        reducer_params=chosen["reducer"][1],
        classifier=chosen["classifier"][0],
        classifier_params=chosen["classifier"][1],
    )


# --------------------------------------------------------------------------- reading


def load_space(name_or_path: str) -> Space:
    """Read and check a search space by name or path.

    Raises
    ------
    ValueError
        Unknown space, plugin or parameter (the nearest name is suggested), or a value outside
        its axis; the message names parameter, rule and value.
    """
    path = plugins.space_path(name_or_path)
    data = read_yaml(path)
    try:
        return parse_space(data, default_name=path.stem)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


_KEYS = ("name", "source", "intensity", "featurizers", "reducers", "classifiers", "class_order")


def parse_space(data: Any, *, default_name: str) -> Space:
    """Check a search space given as the mapping that its YAML holds; see :func:`load_space`."""
    if not isinstance(data, dict):
        raise ValueError(f"space {default_name}: must be a mapping with {', '.join(_KEYS)}")
    for key in data:
        if key not in _KEYS:
            raise ValueError(f"space {default_name}: unknown key {key!r}; {plugins.nearest(str(key), _KEYS)}")
    for key in ("featurizers", "classifiers"):
        if not data.get(key):
            raise ValueError(f"space {default_name}: {key} must name at least one")
    order = data.get("class_order") or ()
    if not isinstance(order, list | tuple) or any(not isinstance(c, str) for c in order):
        raise ValueError(f"space {default_name}: class_order must be a list of names, got {order!r}")
    if len(set(order)) != len(order):
        raise ValueError(f"space {default_name}: class_order must name each class once, got {order!r}")
    return Space(
        name=str(data.get("name", default_name)),
        source=str(data.get("source", "")),
        parts={
            "intensity": (_part("intensity", INTENSITY_AXES, data.get("intensity")),),
            "featurizer": _alternatives(data, "featurizers", lambda n: plugins.featurizer(n).all_axes),
            "reducer": _alternatives({"reducers": ["standard"], **data}, "reducers", _reducer_axes),
            "classifier": _alternatives(data, "classifiers", lambda n: plugins.classifier(n).axes),
        },
        class_order=tuple(order),
    )


def _reducer_axes(name: str) -> tuple[Axis, ...]:
    if name not in REDUCERS:
        raise ValueError(f"unknown reducer {name!r}; {plugins.nearest(name, REDUCERS)}")
    return REDUCERS[name].axes


def _alternatives(
    data: dict[str, Any], slot: str, axes_of: Callable[[str], tuple[Axis, ...]]
) -> tuple[Part, ...]:
    written = data[slot]
    names = list(written) if isinstance(written, list | dict) else []
    if not names or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{slot} must be names, or a mapping of names to parameters, got {written!r}")
    if len(set(names)) != len(names):
        raise ValueError(f"{slot} must name each plugin once, got {written!r}")
    params = written if isinstance(written, dict) else dict.fromkeys(names)
    return tuple(_part(name, axes_of(name), params[name]) for name in names)


def _part(name: str, axes: tuple[Axis, ...], params: Any) -> Part:
    params = {} if params is None else params
    if not isinstance(params, dict):
        raise ValueError(f"{name}: parameters are written as a mapping, got {params!r}")
    known = [axis.name for axis in axes]
    for key in params:
        if key not in known:
            raise ValueError(f"{name}: unknown parameter {key!r}; {plugins.nearest(str(key), known)}")
    return Part(
        name,
        {
            axis.name: _domain(name, axis, params[axis.name])
            if axis.name in params
            else Options((axis.default,))
            for axis in axes
        },
    )


def _domain(owner: str, axis: Axis, written: Any) -> Domain:
    """What a person wrote for one axis: a value, a list, ``{subsets: [...]}`` or ``{low, high}``."""
    if isinstance(written, dict):
        return _mapping_domain(owner, axis, written)
    values = written if isinstance(written, list) else [written]
    if not values:
        raise ValueError(f"{owner}: {axis.name} must list at least one value")
    if isinstance(axis.legal, WeightPerClass) or axis.name == "class_weight":
        values = _weight_options(written)
    options = []
    for value in values:
        value = tuple(value) if isinstance(value, list) else _none(value, axis)
        for single in value if axis.many and isinstance(value, tuple) else (value,):
            axis.check(owner, single)
        options.append(value if not axis.many or isinstance(value, tuple) else (value,))
    if len(set(map(repr, options))) != len(options):
        raise ValueError(f"{owner}: {axis.name} lists a value twice: {written!r}")
    return Options(tuple(options))


def _none(value: Any, axis: Axis) -> Any:
    """``none`` is how people write null."""
    return None if value == "none" and "none" not in axis.legal else value


def _weight_options(written: Any) -> list[Any]:
    """Class weights: one list of numbers is one choice, anything else a list of choices."""
    if isinstance(written, list) and written and all(isinstance(w, int | float) for w in written):
        return [written]
    return written if isinstance(written, list) else [written]


def _mapping_domain(owner: str, axis: Axis, written: dict[str, Any]) -> Domain:
    if set(written) == {"subsets"}:
        if not axis.many:
            raise ValueError(f"{owner}: {axis.name} takes one value, not subsets")
        values = written["subsets"]
        if not isinstance(values, list) or not values:
            raise ValueError(f"{owner}: {axis.name}: subsets must be a list of values, got {values!r}")
        for value in values:
            axis.check(owner, value)
        if len(set(values)) != len(values):
            raise ValueError(f"{owner}: {axis.name} lists a value twice: {values!r}")
        return Subsets(tuple(values))
    if not {"low", "high"} <= set(written) <= {"low", "high", "log"} or axis.many:
        raise ValueError(
            f"{owner}: {axis.name} must be a value, a list, {{subsets: [...]}} or "
            f"{{low: ..., high: ..., log: true}}, got {written!r}"
        )
    low, high, log = written["low"], written["high"], written.get("log", False)
    if not isinstance(log, bool):
        raise ValueError(f"{owner}: {axis.name}: log must be true or false, got {log!r}")
    for end in (low, high):
        axis.check(owner, end)
    interval = _interval(axis.legal, low, high)
    if interval is None:
        raise ValueError(f"{owner}: {axis.name} must be {axis.legal}, which has no range, got {written!r}")
    if not low < high or (log and low <= 0):
        raise ValueError(
            f"{owner}: {axis.name} must have low < high{' and low > 0' if log else ''}, got {written!r}"
        )
    return Between(low, high, log=log, integer=interval.integer)


def _interval(legal: Legal, low: float, high: float) -> Interval | None:
    """The interval of legal values that holds both ends, if there is one."""
    options = legal.options if isinstance(legal, Either) else (legal,)
    return next((o for o in options if isinstance(o, Interval) and low in o and high in o), None)
