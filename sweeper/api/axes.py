"""Axes: the parameters of plugins, each with its legal values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from sweeper.errors import InputError

Value = bool | int | float | str | None | tuple[float, ...]
"""One value of an axis; a tuple only where the axis says so (class weights)."""

Params = Mapping[str, Any]
"""Axis name to the value chosen: a :data:`Value`, or a tuple of them on an axis with ``many=True``."""


class Legal(Protocol):
    """A set of legal values that can describe itself."""

    def __contains__(self, value: object) -> bool: ...

    def __str__(self) -> str: ...


@dataclass(frozen=True)
class OneOf:
    """A finite list of legal values."""

    values: tuple[Value, ...]

    def __init__(self, *values: Value) -> None:
        object.__setattr__(self, "values", values)

    def __contains__(self, value: object) -> bool:
        # True == 1 in Python: a bool is legal only where a bool is listed.
        return any(value == v and isinstance(value, bool) == isinstance(v, bool) for v in self.values)

    def __str__(self) -> str:
        texts = ["none" if v is None else str(v) for v in self.values]
        return f"one of {', '.join(texts)}" if len(texts) > 1 else texts[0]


@dataclass(frozen=True)
class Interval:
    """Numbers from `low` to `high`, both included; whole numbers only with ``integer=True``.

    Without an upper limit, `high` is infinite.
    """

    low: float
    high: float
    integer: bool = False

    def __contains__(self, value: object) -> bool:
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        if self.integer and not isinstance(value, int):
            return False
        return self.low <= value <= self.high

    def __str__(self) -> str:
        kind = "a whole number" if self.integer else "a number"
        if self.high == math.inf:
            return f"{kind} of at least {self.low:g}"
        return f"{kind} from {self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class Either:
    """The union of several sets of legal values."""

    options: tuple[Legal, ...]

    def __init__(self, *options: Legal) -> None:
        object.__setattr__(self, "options", options)

    def __contains__(self, value: object) -> bool:
        return any(value in option for option in self.options)

    def __str__(self) -> str:
        return " or ".join(str(option) for option in self.options)


@dataclass(frozen=True)
class WeightPerClass:
    """A list of positive weights, one for each class in class order."""

    def __contains__(self, value: object) -> bool:
        return (
            isinstance(value, tuple)
            and len(value) >= 2
            and all(isinstance(w, int | float) and not isinstance(w, bool) and w > 0 for w in value)
        )

    def __str__(self) -> str:
        return "a list of positive weights, one a class"


@dataclass(frozen=True)
class Axis:
    """One parameter with its legal values: both the block grid and the search space.

    Attributes
    ----------
    name : str
        As written in search spaces and column names, with its unit (``angle_deg``).
    legal : Legal
        The legal values.
    default : Value or tuple of Value
        Used where a search space leaves the axis out; a tuple when `many`.
    many : bool
        A representation takes any non-empty subset of values, a block exactly one
        (GLCM distances: 5 blocks, 31 choices).
    refused : mapping of Value to str
        Values that a person may expect to be legal, each with the reason why it is not.
    doc : str
        One line for ``sweeper list``.
    """

    name: str
    legal: Legal
    default: Value | tuple[Value, ...]
    many: bool = False
    refused: Mapping[Value, str] = field(default_factory=dict)
    doc: str = ""

    def check(self, owner: str, value: object) -> None:
        """Raise InputError, naming `owner`, parameter, rule and value, unless `value` is legal.

        `value` is a single value even where `many` is set.
        """
        for refused, reason in self.refused.items():
            if value == refused and isinstance(value, bool) == isinstance(refused, bool):
                raise InputError(f"{owner}: {self.name} = {value!r} is refused: {reason}")
        if value not in self.legal:
            raise InputError(f"{owner}: {self.name} must be {self.legal}, got {value!r}")


CLASS_WEIGHT = Axis(
    "class_weight",
    Either(OneOf(None, "balanced"), WeightPerClass()),
    default=None,
    doc="none, balanced (inverse class frequency), or one weight a class in class order",
)
"""Every classifier takes class weights; the evaluation turns them into sample weights."""

OWN_WEIGHT = Axis(
    "own_weight",
    Interval(0.01, 1e6),
    default=1.0,
    doc="how many helping frames a frame of your own counts as",
)
"""An axis of every classifier that takes class weights, where some frames only help."""
