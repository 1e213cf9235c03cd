"""Domains of a search space: the values that one parameter is searched over."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from sweeper.errors import InputError
from sweeper.pipeline import value_text


def _listed(values: tuple[Any, ...]) -> str:
    """Return values in brackets, as a space's YAML writes a list of them."""

    texts = [_listed(value) if isinstance(value, tuple) else value_text(value) for value in values]
    return f"[{', '.join(texts)}]"


def _equal(one: object, other: object) -> bool:
    """Return whether two values are the same choice: 1 and 1.0 are, 1 and True are not."""
    return one == other and isinstance(one, bool) == isinstance(other, bool)


@dataclass(frozen=True)
class Options:
    """One of several values, in the order they were written."""

    values: tuple[Any, ...]

    @property
    def size(self) -> int:
        return len(self.values)

    def sample(self, rng: np.random.Generator) -> Any:
        return self.values[int(rng.integers(len(self.values)))]

    def __contains__(self, value: object) -> bool:
        return any(_equal(value, own) for own in self.values)

    def own(self, value: Any) -> Any:
        """Return a value that is in the domain as the domain writes it."""
        return next(own for own in self.values if _equal(value, own))

    def grid(self) -> Iterator[Any]:
        return iter(self.values)

    def written(self) -> list[Any]:
        """Return the domain as a space's YAML writes it."""
        return list(self.values)

    def __str__(self) -> str:
        return _listed(self.values)


@dataclass(frozen=True)
class Subsets:
    """Any non-empty subset of several values."""

    values: tuple[Any, ...]

    @property
    def size(self) -> int:
        return int(2 ** len(self.values) - 1)

    def sample(self, rng: np.random.Generator) -> tuple[Any, ...]:
        code = int(rng.integers(1, self.size + 1))
        return self.pick([bool(code >> i & 1) for i in range(len(self.values))])

    def __contains__(self, value: object) -> bool:
        return isinstance(value, tuple) and 0 < len(set(value)) == len(value) and set(value) <= {*self.values}

    def own(self, value: Any) -> tuple[Any, ...]:
        """Return a value that is in the domain as the domain writes it."""
        return self.pick([own in value for own in self.values])

    def pick(self, chosen: list[bool]) -> tuple[Any, ...]:
        return tuple(v for v, c in zip(self.values, chosen, strict=True) if c)

    def grid(self) -> Iterator[tuple[Any, ...]]:
        for length in range(1, len(self.values) + 1):
            yield from itertools.combinations(self.values, length)

    def written(self) -> dict[str, list[Any]]:
        """Return the domain as a space's YAML writes it."""
        return {"subsets": list(self.values)}

    def __str__(self) -> str:
        return f"any of {_listed(self.values)}"


@dataclass(frozen=True)
class Between:
    """A number between two others, uniform or log-uniform."""

    low: float
    high: float
    log: bool = False
    integer: bool = False

    @property
    def size(self) -> float:
        return self.high - self.low + 1 if self.integer else math.inf

    def sample(self, rng: np.random.Generator) -> float | int:
        return self.from_unit(float(rng.random()))

    def __contains__(self, value: object) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return self.low <= value <= self.high and (not self.integer or value == int(value))

    def own(self, value: Any) -> float | int:
        """Return a value that is in the domain as the domain writes it."""
        return int(value) if self.integer else float(value)

    def from_unit(self, u: float) -> float | int:
        """Map [0, 1] onto the interval."""
        if self.log:
            value = math.exp(math.log(self.low) + u * (math.log(self.high) - math.log(self.low)))
        else:
            value = self.low + u * (self.high - self.low)
        value = min(max(value, self.low), self.high)
        return round(value) if self.integer else value

    def to_unit(self, value: float) -> float:
        """Inverse of :meth:`from_unit`."""
        if self.log:
            return (math.log(value) - math.log(self.low)) / (math.log(self.high) - math.log(self.low))
        return (value - self.low) / (self.high - self.low)

    def grid(self) -> Iterator[Any]:
        if self.integer:
            return iter(range(int(self.low), int(self.high) + 1))
        raise InputError("a grid needs lists of values; this space has a parameter with low and high")

    def written(self) -> dict[str, Any]:
        """Return the domain as a space's YAML writes it."""
        return {"low": self.low, "high": self.high, "log": self.log}

    def __str__(self) -> str:
        return f"{self.low:g} to {self.high:g}{' (log)' if self.log else ''}"


Domain = Options | Subsets | Between
