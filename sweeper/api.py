"""All that a plugin imports: axes, prepared frames, featurizers and classifiers.

A plugin is one file in ``featurizers/`` or ``classifiers/`` with one constant, ``FEATURIZER`` or
``CLASSIFIER``. This module depends on nothing else in the project.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Value = bool | int | float | str | None | tuple[float, ...]
"""One value of an axis; a tuple only where an axis says so (class weights)."""

Params = Mapping[str, Any]
"""Axis name to chosen value: a :data:`Value`, or a tuple of them on an axis with ``many=True``."""


# --------------------------------------------------------------------------- legal values


class Legal(Protocol):
    """A set of legal values that can say what it contains."""

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
        return "one of " + ", ".join("none" if v is None else str(v) for v in self.values)


@dataclass(frozen=True)
class Interval:
    """Numbers from `low` to `high`, both included; whole numbers only with ``integer=True``."""

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
        return f"{kind} from {self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class Either:
    """What is legal in any of several sets."""

    options: tuple[Legal, ...]

    def __init__(self, *options: Legal) -> None:
        object.__setattr__(self, "options", options)

    def __contains__(self, value: object) -> bool:
        return any(value in option for option in self.options)

    def __str__(self) -> str:
        return " or ".join(str(option) for option in self.options)


@dataclass(frozen=True)
class WeightPerClass:
    """A list of positive weights, one a class in class order."""

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
    """One parameter with its legal values: at once the block grid and the search space.

    Attributes
    ----------
    name : str
        As written in search spaces and column names; units in the name (``angle_deg``).
    legal : Legal
        What a value may be.
    default : Value or tuple of Value
        Used where a search space leaves the axis out; a tuple when `many`.
    many : bool
        A representation takes any non-empty subset of values, a block exactly one
        (GLCM distances: 5 blocks, 31 choices).
    refused : mapping of Value to str
        Values that somebody may expect to be legal, each with the reason why it is not.
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
        """Raise ValueError, naming `owner`, parameter, rule and value, unless `value` is legal.

        `value` is a single value also where `many` is set.
        """
        for refused, reason in self.refused.items():
            if value == refused and isinstance(value, bool) == isinstance(refused, bool):
                raise ValueError(f"{owner}: {self.name} = {value!r} is refused: {reason}")
        if value not in self.legal:
            raise ValueError(f"{owner}: {self.name} must be {self.legal}, got {value!r}")


CLASS_WEIGHT = Axis(
    "class_weight",
    Either(OneOf(None, "balanced"), WeightPerClass()),
    default=None,
    doc="none, balanced (inverse class frequency), or one weight a class in class order",
)
"""Every classifier takes class weights; the evaluation turns them into sample weights."""


# --------------------------------------------------------------------------- featurizers


@dataclass(frozen=True)
class PreparedFrame:
    """One frame as featurizers see it: intensity settings applied, invalid pixels known.

    Attributes
    ----------
    counts : float32, (height, width)
        Counts after masking, hot-pixel rejection and binning; 0 where not `valid`.
    image : float32, (height, width)
        `counts` scaled (log1p or linear), clipped to percentiles and mapped to [0, 1];
        0 where not `valid`.
    valid : bool, (height, width)
        False where the detector gave no trustworthy value.
    levels : int
        Number of grey levels for texture, 2 to 256.
    """

    counts: NDArray[np.float32]
    image: NDArray[np.float32]
    valid: NDArray[np.bool_]
    levels: int

    @cached_property
    def quantised(self) -> NDArray[np.uint8]:
        """`image` as grey levels 0 to `levels` − 1, uint8, (height, width); 0 where not valid."""
        level = np.minimum((self.image * self.levels).astype(np.int32), self.levels - 1)
        return level.astype(np.uint8)


@dataclass(frozen=True)
class Featurizer:
    """Turns prepared frames into blocks of features.

    Attributes
    ----------
    name : str
        Lower case; the file's name.
    version : int
        Raise it when the same frame gives other numbers: blocks of other versions are not reused.
    source : str
        Paper, equation or table.
    axes : tuple of Axis
        The block grid: one block for each combination of single values.
    columns : callable
        Parameters of one block (single values) to the names of its columns, such as
        ``("contrast", "entropy")``. Not used when `codebook` is set.
    compute : callable
        ``compute(frame, blocks)``: a prepared frame and the parameters of the blocks asked for, to
        one float64 row a block, in their order, each as wide as `columns` says. With `codebook`
        set, each row is a uint8 array ``(keypoints, descriptor_width)`` with any number of
        keypoints, also none.
    codebook : Axis or None
        Set when blocks are ragged descriptors that a bag-of-visual-words codebook, fitted on the
        training rows of the fold, turns into one row a frame; the axis is its number of clusters.
    descriptor_width : int
        Length of one descriptor; 0 without a codebook.
    """

    name: str
    version: int
    source: str
    axes: tuple[Axis, ...]
    columns: Callable[[Params], tuple[str, ...]]
    compute: Callable[[PreparedFrame, Sequence[Params]], list[NDArray[Any]]]
    codebook: Axis | None = None
    descriptor_width: int = 0

    @property
    def all_axes(self) -> tuple[Axis, ...]:
        """The block axes and, when there is one, the codebook's."""
        return self.axes if self.codebook is None else (*self.axes, self.codebook)


# --------------------------------------------------------------------------- classifiers


class Estimator(Protocol):
    """What a classifier builds: scikit-learn's fit, and scores for each class."""

    def fit(self, x: NDArray[np.float64], y: NDArray[np.int64], sample_weight: NDArray[np.float64]) -> Any:
        """Fit on features (n, d), classes 0 to n_classes − 1 (n,), and weights (n,)."""
        ...

    def scores(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Score each class, (n, n_classes): the largest is the prediction."""
        ...


@dataclass(frozen=True)
class Build:
    """What a classifier is built from.

    Attributes
    ----------
    params : mapping
        Value of each axis, ``class_weight`` left out: weights reach ``fit`` as sample weights.
    budget : float
        Share of the full budget, in (0, 1]. 1 for classifiers whose budget is training rows.
    n_classes : int
    seed : int
    threads : int
        Native threads the fit may use.
    """

    params: Params
    budget: float
    n_classes: int
    seed: int
    threads: int


@dataclass(frozen=True)
class Classifier:
    """A family of classifiers.

    Attributes
    ----------
    name : str
        Lower case; the file's name.
    version : int
        Raise it when the same rows give another model.
    source : str
        Paper, equation or table.
    axes : tuple of Axis
        Hyperparameters, :data:`CLASS_WEIGHT` among them.
    budget : {"trees", "rows", "epochs"}
        What a fraction of the budget buys: trees of an ensemble, training rows (a stratified
        sample, drawn by the evaluation), or epochs.
    build : callable
        :class:`Build` to an unfitted :class:`Estimator`.
    """

    name: str
    version: int
    source: str
    axes: tuple[Axis, ...]
    budget: Literal["trees", "rows", "epochs"]
    build: Callable[[Build], Estimator]


class ProbabilityScores:
    """Adapter: an estimator with ``predict_proba`` as an :class:`Estimator`."""

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator

    def fit(self, x: NDArray[np.float64], y: NDArray[np.int64], sample_weight: NDArray[np.float64]) -> None:
        self.estimator.fit(x, y, sample_weight=sample_weight)

    def scores(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(self.estimator.predict_proba(x), dtype=np.float64)


def scaled_count(full: int, budget: float) -> int:
    """Share of a count (trees, epochs) that a budget buys: rounded, at least one."""
    return max(1, round(full * budget))
