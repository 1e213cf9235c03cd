"""A pipeline: representation + reducer + classifier, every parameter chosen."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(value: Any) -> str:
    """Short hexadecimal digest of a JSON-able value, 20 characters."""
    return hashlib.blake2b(canonical_json(value).encode(), digest_size=10).hexdigest()


def plain_params(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters as JSON keeps them: sorted by name, tuples as lists."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in sorted(params.items())}


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


@dataclass(frozen=True)
class Pipeline:
    """One point of a search space.

    Attributes
    ----------
    intensity : dict
        Settings from counts to what featurizers see, part of the representation's identity.
    featurizer, reducer, classifier : str
        Plugin names.
    featurizer_params, reducer_params, classifier_params : dict
        Axis name to value; a tuple where the axis takes many values.
    """

    intensity: dict[str, Any]
    featurizer: str
    featurizer_params: dict[str, Any]
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

        return cls(
            intensity=tupled(data["intensity"]),
            featurizer=data["featurizer"],
            featurizer_params=tupled(data["featurizer_params"]),
            reducer=data["reducer"],
            reducer_params=tupled(data["reducer_params"]),
            classifier=data["classifier"],
            classifier_params=tupled(data["classifier_params"]),
        )

    @property
    def representation(self) -> str:
        """Text that equal representations share, whatever classifies them: featurizer and intensities."""
        return representation_text(self.featurizer, self.featurizer_params, self.intensity)

    @property
    def id(self) -> str:
        """Digest of every choice."""
        return digest(self.to_dict())

    @property
    def name(self) -> str:
        """Short name for people: ``glcm+rf``."""
        return f"{self.featurizer}+{self.classifier}"
