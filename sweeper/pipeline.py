"""A pipeline: one representation or several side by side + reducer + classifier, every parameter chosen."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: Any) -> str:
    """Short hexadecimal digest of a JSON-able value, 20 characters."""
    return hashlib.blake2b(canonical_json(value).encode(), digest_size=10).hexdigest()


def plain_params(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters as JSON keeps them: sorted by name, tuples as lists."""

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return plain_params(value)
        return list(value) if isinstance(value, tuple) else value

    return {name: plain(value) for name, value in sorted(params.items())}


def value_text(value: Any) -> str:
    """Return the value of a parameter as people write it: ``1,2,8``, ``none``, ``0.03125``."""
    if isinstance(value, list | tuple):
        return ",".join(value_text(v) for v in value)
    if value is None:
        return "none"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def representation_text(featurizer: str, params: Mapping[str, Any], intensity: Mapping[str, Any]) -> str:
    """Return text that tells one representation from another."""
    return canonical_json([featurizer, plain_params(params), plain_params(intensity)])


_BESIDE = "+"


def names_of(featurizer: str) -> list[str]:
    """Return the names of featurizers side by side: ``glcm+lbp`` has two."""
    return featurizer.split(_BESIDE)


def params_of_each(featurizer: str, params: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the parameters of each featurizer, by name, from what journal and leaderboard hold.

    Parameters
    ----------
    featurizer : str
        A name, or several: ``glcm+lbp``.
    params : dict
        Of the one featurizer; of several, the parameters of each by its name.
    """
    names = names_of(featurizer)
    return {featurizer: params} if len(names) == 1 else {name: params[name] for name in names}


def unnested(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters without nesting: those of featurizers side by side are called ``glcm.distance``."""
    flat: dict[str, Any] = {}
    for name, value in params.items():
        flat |= {f"{name}.{k}": v for k, v in value.items()} if isinstance(value, dict) else {name: value}
    return flat


@dataclass(frozen=True)
class FeaturizerChoice:
    """A featurizer with its parameters chosen.

    Attributes
    ----------
    name : str
        Of the plugin.
    params : dict
        Axis name to value; a tuple where the axis takes many values.
    """

    name: str
    params: dict[str, Any]


@dataclass(frozen=True)
class Pipeline:
    """One point of a search space.

    Attributes
    ----------
    intensity : dict
        Settings from counts to what featurizers see, part of the representation's identity.
    features : tuple of FeaturizerChoice
        One, or several whose columns stand side by side; no two of the same featurizer.
    reducer, classifier : str
        Plugin names.
    reducer_params, classifier_params : dict
        Axis name to value; a tuple where the axis takes many values.
    """

    intensity: dict[str, Any]
    features: tuple[FeaturizerChoice, ...]
    reducer: str
    reducer_params: dict[str, Any]
    classifier: str
    classifier_params: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """The pipeline as JSON keeps it; equal pipelines give equal dicts."""
        return {
            "intensity": plain_params(self.intensity),
            "featurizer": self.featurizer,
            "featurizer_params": plain_params(self.featurizer_params),
            "reducer": self.reducer,
            "reducer_params": plain_params(self.reducer_params),
            "classifier": self.classifier,
            "classifier_params": plain_params(self.classifier_params),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Pipeline:
        """Inverse of :meth:`to_dict`."""

        def tupled(params: dict[str, Any]) -> dict[str, Any]:
            return {k: tuple(v) if isinstance(v, list) else v for k, v in params.items()}

        each = params_of_each(data["featurizer"], data["featurizer_params"])
        return cls(
            intensity=tupled(data["intensity"]),
            features=tuple(FeaturizerChoice(name, tupled(params)) for name, params in each.items()),
            reducer=data["reducer"],
            reducer_params=tupled(data["reducer_params"]),
            classifier=data["classifier"],
            classifier_params=tupled(data["classifier_params"]),
        )

    @property
    def featurizer(self) -> str:
        """Name of the featurizer; of several, their names: ``glcm+lbp``."""
        return _BESIDE.join(choice.name for choice in self.features)

    @property
    def featurizer_params(self) -> dict[str, Any]:
        """Parameters of the featurizer; of several, those of each by its name."""
        each = {choice.name: choice.params for choice in self.features}
        return each if len(each) > 1 else each[self.featurizer]

    @property
    def representation(self) -> str:
        """Text that equal representations share, whatever classifies them: featurizers and intensities."""
        return representation_text(self.featurizer, self.featurizer_params, self.intensity)

    @property
    def singles(self) -> tuple[Pipeline, ...]:
        """The pipeline with each of its featurizers alone, whose features are computed, fitted and kept."""
        return tuple(replace(self, features=(choice,)) for choice in self.features)

    @property
    def id(self) -> str:
        """Digest of every choice."""
        return digest(self.to_dict())

    @property
    def name(self) -> str:
        """Short name for people: ``glcm+rf``."""
        return f"{self.featurizer}+{self.classifier}"
