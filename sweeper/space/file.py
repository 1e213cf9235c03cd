"""Search spaces from their YAML, checked against the plugins that they name."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sweeper import plugins
from sweeper.api import PRETRAINED, Axis, Either, Interval, Legal, Network, WeightPerClass
from sweeper.api.axes import OWN_WEIGHT
from sweeper.data.intensity import AXES as INTENSITY_AXES
from sweeper.data.intensity import LEFT_OUT
from sweeper.errors import InputError
from sweeper.evaluate.reducers import REDUCERS
from sweeper.space.domains import Between, Domain, Options, Subsets
from sweeper.space.parts import Part, fit_together
from sweeper.space.space import Space
from sweeper.space.study import SCALE, SCALES, SWEEP, read_study


def load_space(name_or_path: str) -> Space:
    """Read and check a search space by name or path.

    Raises
    ------
    ValueError
        Unknown space, plugin or parameter (the nearest name is suggested), or a value outside
        its axis; the message names parameter, rule and value.
    """
    study = read_study(name_or_path)
    try:
        return parse_space(study.space, default_name="space")
    except ValueError as error:
        raise study.located(error) from None


_KEYS = (
    "name", "source", "intensity", "featurizers", "combine", "reducers", "classifiers", "class_order",
    SWEEP, SCALES, SCALE,
)  # fmt: skip


def parse_space(data: Any, *, default_name: str) -> Space:
    """Check a search space given as the mapping that its YAML holds; see :func:`load_space`."""
    if not isinstance(data, dict):
        raise InputError(f"space {default_name}: must be a mapping with {', '.join(_KEYS)}")
    for key in data:
        if key not in _KEYS:
            raise InputError(f"space {default_name}: unknown key {key!r}; {plugins.nearest(str(key), _KEYS)}")
    for key in ("featurizers", "classifiers"):
        if not data.get(key):
            raise InputError(f"space {default_name}: {key} must name at least one")
    order = data.get("class_order") or ()
    if not isinstance(order, list | tuple) or any(not isinstance(c, str) for c in order):
        raise InputError(f"space {default_name}: class_order must be a list of names, got {order!r}")
    if len(set(order)) != len(order):
        raise InputError(f"space {default_name}: class_order must name each class once, got {order!r}")
    featurizers = _alternatives(data, "featurizers", _featurizer_parts)
    space = Space(
        name=str(data.get("name", default_name)),
        source=str(data.get("source", "")),
        scale=str(data.get(SCALE, "")),
        parts={
            "intensity": (_intensity_part(data.get("intensity")),),
            "featurizer": featurizers,
            "reducer": _alternatives({"reducers": ["standard"], **data}, "reducers", _reducer_parts),
            "classifier": _alternatives(data, "classifiers", _classifier_parts),
        },
        class_order=tuple(order),
        most=min(_most(data.get("combine")), len({part.name for part in featurizers})),
    )
    _check_combinations(space)
    return space


def _most(written: Any) -> int:
    """Return how many featurizers may stand side by side, from ``combine: {most: 3}``."""
    if written is None:
        return 1
    if not isinstance(written, dict) or set(written) != {"most"}:
        raise InputError(f"combine must be written as {{most: 3}}, got {written!r}")
    most = written["most"]
    if isinstance(most, bool) or not isinstance(most, int) or most < 1:
        raise InputError(f"combine: most must be a whole number of at least 1, got {most!r}")
    return most


def _check_combinations(space: Space) -> None:
    """Raise InputError where a part of a space is in none of its pipelines."""
    slots = (space.parts["featurizer"], space.parts["reducer"], space.parts["classifier"])
    used = [part for f, r, c in itertools.product(*slots) if fit_together([f], r, c) for part in (f, r, c)]
    for part in space.parts["classifier"]:
        if part not in used:
            raise InputError(
                f"classifier {part.name} is that of a network: it needs a network that is trained "
                "(training_set other than pretrained) among the featurizers, and none among the reducers"
            )
    for part in (*space.parts["featurizer"], *space.parts["reducer"]):
        if part not in used:
            raise InputError(f"{part.label} goes with no classifier of this space")


def _intensity_part(params: Any) -> Part:
    part = _part("intensity", INTENSITY_AXES, params)
    absent = set(LEFT_OUT) - set(params or {})
    return replace(part, domains={name: d for name, d in part.domains.items() if name not in absent})


def _featurizer_parts(name: str, params: Any) -> tuple[Part, ...]:
    """Return one part, or two for a network that is searched both trained and as it was pretrained."""
    plugin = plugins.featurizer(name)
    part = _part(name, plugin.all_axes, params)
    if not isinstance(plugin, Network):
        return (part,)
    choices = list(part.domains["training_set"].grid())
    trained = tuple(c for c in choices if c != PRETRAINED)
    recipe = [axis.name for axis in plugin.recipe if axis.name in (params or {})]
    if recipe and not trained:
        raise InputError(f"{name}: {', '.join(recipe)} must be left out with training_set {PRETRAINED} alone")
    parts = []
    if trained:
        parts.append(Part(name, {**part.domains, "training_set": Options(trained)}, name, head=True))
    if PRETRAINED in choices:
        fixed = {axis.name: part.domains[axis.name] for axis in plugin.axes}
        fixed["training_set"] = Options((PRETRAINED,))
        parts.append(Part(name, fixed, f"{name} {PRETRAINED}"))
    return tuple(parts)


def _reducer_parts(name: str, params: Any) -> tuple[Part, ...]:
    if name not in REDUCERS:
        raise InputError(f"unknown reducer {name!r}; {plugins.nearest(name, REDUCERS)}")
    return (_part(name, REDUCERS[name].axes, params),)


def _classifier_parts(name: str, params: Any) -> tuple[Part, ...]:
    plugin = plugins.classifier(name)
    named = not plugin.is_head and isinstance(params, dict) and OWN_WEIGHT.name in params
    axes = (*plugin.axes, OWN_WEIGHT) if named else plugin.axes
    return (replace(_part(name, axes, params), head=plugin.is_head),)


def _alternatives(
    data: dict[str, Any], slot: str, parts_of: Callable[[str, Any], tuple[Part, ...]]
) -> tuple[Part, ...]:
    written = data[slot]
    names = list(written) if isinstance(written, list | dict) else []
    if not names or not all(isinstance(name, str) for name in names):
        raise InputError(f"{slot} must be names, or a mapping of names to parameters, got {written!r}")
    if len(set(names)) != len(names):
        raise InputError(f"{slot} must name each plugin once, got {written!r}")
    params = written if isinstance(written, dict) else dict.fromkeys(names)
    return tuple(part for name in names for part in parts_of(name, params[name]))


def _part(name: str, axes: tuple[Axis, ...], params: Any) -> Part:
    params = {} if params is None else params
    if not isinstance(params, dict):
        raise InputError(f"{name}: parameters are written as a mapping, got {params!r}")
    known = [axis.name for axis in axes]
    for key in params:
        if key not in known:
            hint = plugins.nearest(str(key), known) if known else "it has none"
            raise InputError(f"{name}: unknown parameter {key!r}; {hint}")
    return Part(
        name,
        {
            axis.name: _domain(name, axis, params[axis.name])
            if axis.name in params
            else Options((axis.default,))
            for axis in axes
        },
        name,
    )


def _domain(owner: str, axis: Axis, written: Any) -> Domain:
    """Return the domain of an axis from its YAML: a value, a list, ``{subsets: [...]}``, ``{low, high}``."""
    if isinstance(written, dict):
        return _mapping_domain(owner, axis, written)
    values = written if isinstance(written, list) else [written]
    if not values:
        raise InputError(f"{owner}: {axis.name} must list at least one value")
    if isinstance(axis.legal, WeightPerClass) or axis.name == "class_weight":
        values = _weight_options(written)
    options = []
    for value in values:
        value = tuple(value) if isinstance(value, list) else _none(value, axis)
        for single in value if axis.many and isinstance(value, tuple) else (value,):
            axis.check(owner, single)
        options.append(value if not axis.many or isinstance(value, tuple) else (value,))
    if len(set(map(repr, options))) != len(options):
        raise InputError(f"{owner}: {axis.name} lists a value twice: {written!r}")
    return Options(tuple(options))


def _none(value: Any, axis: Axis) -> Any:
    """Return None for ``none``, which is how people write it, and any other value as it is."""
    return None if value == "none" and "none" not in axis.legal else value


def _weight_options(written: Any) -> list[Any]:
    """Return the choices of class weights: one list of numbers is a single choice."""
    if isinstance(written, list) and written and all(isinstance(w, int | float) for w in written):
        return [written]
    return written if isinstance(written, list) else [written]


def _mapping_domain(owner: str, axis: Axis, written: dict[str, Any]) -> Domain:
    if set(written) == {"subsets"}:
        if not axis.many:
            raise InputError(f"{owner}: {axis.name} takes one value, not subsets")
        values = written["subsets"]
        if not isinstance(values, list) or not values:
            raise InputError(f"{owner}: {axis.name}: subsets must be a list of values, got {values!r}")
        for value in values:
            axis.check(owner, value)
        if len(set(values)) != len(values):
            raise InputError(f"{owner}: {axis.name} lists a value twice: {values!r}")
        return Subsets(tuple(values))
    if not {"low", "high"} <= set(written) <= {"low", "high", "log"} or axis.many:
        raise InputError(
            f"{owner}: {axis.name} must be a value, a list, {{subsets: [...]}} or "
            f"{{low: ..., high: ..., log: true}}, got {written!r}"
        )
    low, high, log = written["low"], written["high"], written.get("log", False)
    if not isinstance(log, bool):
        raise InputError(f"{owner}: {axis.name}: log must be true or false, got {log!r}")
    for end in (low, high):
        axis.check(owner, end)
    interval = _interval(axis.legal, low, high)
    if interval is None:
        raise InputError(f"{owner}: {axis.name} must be {axis.legal}, which has no range, got {written!r}")
    if not low < high or (log and low <= 0):
        raise InputError(
            f"{owner}: {axis.name} must have low < high{' and low > 0' if log else ''}, got {written!r}"
        )
    return Between(low, high, log=log, integer=interval.integer)


def _interval(legal: Legal, low: float, high: float) -> Interval | None:
    """Return the interval of legal values that holds both ends, if there is one."""
    options = legal.options if isinstance(legal, Either) else (legal,)
    return next((o for o in options if isinstance(o, Interval) and low in o and high in o), None)
