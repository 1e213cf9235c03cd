"""All that a plugin imports: axes, prepared frames, featurizers, networks and classifiers.

A plugin is one file in ``featurizers/`` or ``classifiers/`` with one constant, ``FEATURIZER`` (a
:class:`Featurizer`, :class:`Network` or :class:`NetworkFamily`) or ``CLASSIFIER``. This module depends
on nothing else in the project but the errors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from sweeper.errors import InputError as InputError

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


# --------------------------------------------------------------------------- networks

PRETRAINED = "pretrained"
TRAINING_SETS = ("unbalanced", "balanced", "augmented", PRETRAINED)
"""What a network is fitted on (camSortXS section 4.1): see ``sweeper.networks.training_sets``."""


def training_set(*choices: str) -> Axis:
    """The axis of training sets; the first of `choices` (all four when none is given) is the default."""
    choices = choices or TRAINING_SETS
    return Axis(
        "training_set",
        OneOf(*choices),
        default=choices[0],
        doc="frames it is fitted on: all, classes cut to the smallest, those rotated; pretrained: none",
    )


def size(default: int, least: int) -> Axis:
    """The axis of input sizes, from the least that a network can take."""
    return Axis("size", Interval(least, 4096, integer=True), default, doc="width and height of its input")


def recipe(**defaults: Any) -> tuple[Axis, ...]:
    """The axes that say how a network is trained, with the defaults of a network's paper.

    The training loop, ``sweeper.networks.fit``, reads them by name.

    Raises
    ------
    ValueError
        A default that is no axis, or outside its axis.
    """
    axes = (
        Axis("epochs", Interval(1, 10_000, integer=True), 50, doc="passes over the training set"),
        Axis("batch_size", Interval(1, 65_536, integer=True), 32, doc="frames a step, over all workers"),
        Axis("learning_rate", Interval(1e-8, 100.0), 1e-3, doc="of SGD, at the start"),
        Axis("momentum", Interval(0.0, 1.0), 0.0, doc="of SGD"),
        Axis("weight_decay", Interval(0.0, 1.0), 0.0, doc="L2 penalty of SGD"),
        Axis(
            "schedule",
            OneOf("time", "step", "cosine", "constant"),
            "time",
            doc="time: rate / (1 + decay x steps); step: a tenth every 10 epochs; cosine: to 0 at the end",
        ),
        Axis("decay", Interval(0.0, 1.0), 0.0, doc="of schedule time"),
        Axis("warmup_epochs", Interval(0, 1000, integer=True), 0, doc="epochs of linearly rising rate"),
        Axis("clip_norm", Either(OneOf(None), Interval(1e-6, 1e6)), None, doc="most norm of the gradient"),
        Axis("label_smoothing", Interval(0.0, 0.9), 0.0, doc="share spread over all classes"),
        Axis(
            "patience",
            Either(OneOf(None), Interval(1, 1000, integer=True)),
            None,
            doc="stop after so many epochs without a lower loss on a tenth held out of the training set",
        ),
    )
    known = [axis.name for axis in axes]
    for name, value in defaults.items():
        if name not in known:
            raise InputError(f"recipe: unknown parameter {name!r}; known: {', '.join(known)}")
        axes[known.index(name)].check("recipe", value)
    return tuple(replace(axis, default=defaults.get(axis.name, axis.default)) for axis in axes)


class NetworkModule(Protocol):
    """What :attr:`Network.build` returns: a ``torch.nn.Module`` read at two places.

    ``forward(x)`` is ``read(maps(x))``. Inputs are float, (n, 1, size, size), in [0, 1], 0 where the
    detector gave no trustworthy value; the module normalises them itself.
    """

    def maps(self, x: Any) -> Any:
        """Feature maps of the last convolutional layer, (n, channels, height, width): Grad-CAM's."""
        ...

    def read(self, maps: Any) -> tuple[Any, Any]:
        """Features (n, width) and the head's logits (n, n_classes) from feature maps."""
        ...


@dataclass(frozen=True)
class NetworkBuild:
    """What a network is built from.

    Attributes
    ----------
    params : mapping
        Value of each axis; those of the recipe may be absent.
    n_classes : int
    weights : str or None
        File of pretrained weights (safetensors, pth); None: random initialisation from torch's
        global generator, which the caller has seeded.
    """

    params: Params
    n_classes: int
    weights: str | None = None


@dataclass(frozen=True)
class Network:
    """A featurizer that is fitted: a network trained on the training rows, read before its head.

    Attributes
    ----------
    name : str
        The file's name, or ``family:variant``.
    version : int
        Raise it when the same frames and seed give other weights or features.
    source : str
        Paper, section or table.
    axes : tuple of Axis
        What it is, fitted or not: :func:`training_set` and :func:`size` among them, and ``weights``
        (``imagenet`` or ``random``) where it has pretrained ones.
    recipe : tuple of Axis
        How it is trained, from :func:`recipe`; absent with the training set ``pretrained``.
    width : callable
        Parameters to the number of features.
    build : callable
        :class:`NetworkBuild` to a :class:`NetworkModule`.
    pretrained : str or None
        Name of the timm model whose weights ``weights=imagenet`` stands for; None: trained from scratch.
    pixel_mean : bool
        The training loop puts the mean of the training frames, (1, size, size), into the module's buffer
        ``pixel_mean``, which the module subtracts.
    """

    name: str
    version: int
    source: str
    axes: tuple[Axis, ...]
    recipe: tuple[Axis, ...]
    width: Callable[[Params], int]
    build: Callable[[NetworkBuild], NetworkModule]
    pretrained: str | None = None
    pixel_mean: bool = False

    @property
    def all_axes(self) -> tuple[Axis, ...]:
        """All axes of a network that is trained."""
        return (*self.axes, *self.recipe)


@dataclass(frozen=True)
class NetworkFamily:
    """Networks that one file makes from their name: ``timm:convnext_tiny``.

    Attributes
    ----------
    name : str
        The file's name: what stands before the colon.
    source : str
    member : callable
        What stands after the colon to a :class:`Network`; ValueError with the nearest name when there is
        none.
    example : str
        A member to show and to test.
    """

    name: str
    source: str
    member: Callable[[str], Network]
    example: str


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

    @property
    def is_head(self) -> bool:
        """Whether it is a network's own head: its budget is the network's epochs."""
        return self.budget == "epochs"


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
