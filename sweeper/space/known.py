"""The pipelines of a space that a search may begin with: values that do well on most data sets.

They were set before a table of benchmarks/search was looked at, and none of them for a data set.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from sweeper.pipeline import Pipeline
from sweeper.space.domains import Domain, Options, Subsets
from sweeper.space.parts import Chosen, Part, Slot, assemble, fit_together

_DO_WELL: dict[str, dict[str, Any]] = {
    "svm": {"C": 32, "gamma": 0.0078125},
    "lightgbm": {"n_trees": 100, "learning_rate": 0.1},
    "rf": {"n_trees": 300, "max_features": "sqrt", "max_depth": None},
    "et": {"n_trees": 300, "max_features": 0.5, "max_depth": None},
    "xgboost": {"n_trees": 100, "learning_rate": 0.1},
    "catboost": {"n_trees": 100, "learning_rate": 0.1},
}
"""Values of classifiers, the quickest first."""
_ANY = object()
_MOST = 8


def known_pipelines(
    parts: Mapping[Slot, Sequence[Part]], most: int, networks: frozenset[str]
) -> list[Pipeline]:
    """Return pipelines that do well on most data sets, which differ as much as a few can.

    As many featurizers side by side as the space allows, each at its widest; each set of them once, with one
    classifier after the other.

    Parameters
    ----------
    parts : mapping
        The space's alternatives for each slot.
    most : int
        Featurizers that may stand side by side.
    networks : frozenset of str
        Names of featurizers that are networks: they take too long to begin with.
    """
    (intensity,) = parts["intensity"]
    reducer = parts["reducer"][0]
    textures = [part for part in parts["featurizer"] if part.name not in networks]
    rank = list(_DO_WELL)
    classifiers = sorted(
        (part for part in parts["classifier"] if not part.head),
        key=lambda part: rank.index(part.name) if part.name in rank else len(rank),
    )
    sets = list(itertools.combinations(textures, min(most, len({part.name for part in textures}))))
    found: dict[str, Pipeline] = {}
    for shift, (i, featurizers) in itertools.product(range(len(classifiers)), enumerate(sets)):
        classifier = classifiers[(i + shift) % len(classifiers)]
        if fit_together(featurizers, reducer, classifier) and len(found) < _MOST:
            pipeline = assemble(
                _values(intensity)[1],
                [_values(part) for part in featurizers],
                _values(reducer),
                _values(classifier),
            )
            found.setdefault(pipeline.id, pipeline)
    return list(found.values())


def _values(part: Part) -> Chosen:
    wanted = _DO_WELL.get(part.name, {})
    return part.name, {axis: _value(domain, wanted.get(axis, _ANY)) for axis, domain in part.domains.items()}


def _value(domain: Domain, wanted: Any) -> Any:
    """Return the value of a domain that is next to one that does well, or the middle one; all of a subset."""
    if isinstance(domain, Subsets):
        return domain.values
    if not isinstance(domain, Options):
        known = isinstance(wanted, int | float)
        return domain.from_unit(domain.to_unit(min(max(wanted, domain.low), domain.high)) if known else 0.5)
    if wanted in domain:
        return domain.own(wanted)
    numbers = [v for v in domain.values if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(numbers) < len(domain.values):
        return domain.values[0]
    if isinstance(wanted, int | float):
        return min(numbers, key=lambda v: abs(math.log(max(v, 1e-9) / wanted)))
    return domain.values[len(numbers) // 2]
