"""Networks: featurizers that are trained on frames and read before their head."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

from sweeper.api.axes import Axis, Either, Interval, OneOf, Params
from sweeper.errors import InputError

PRETRAINED = "pretrained"
TRAINING_SETS = ("unbalanced", "balanced", "augmented", PRETRAINED)
"""The sets that a network is fitted on (camSortXS section 4.1): see ``sweeper.networks.training_sets``."""


def training_set(*choices: str) -> Axis:
    """Return the axis of training sets: `choices`, or all four; the first of them is the default."""
    choices = choices or TRAINING_SETS
    return Axis(
        "training_set",
        OneOf(*choices),
        default=choices[0],
        doc="frames it is fitted on: all, classes cut to the smallest, those rotated; pretrained: none",
    )


def size(default: int, least: int) -> Axis:
    """Return the axis of input sizes, from the least that a network can take."""
    return Axis("size", Interval(least, 4096, integer=True), default, doc="width and height of its input")


def recipe(**defaults: Any) -> tuple[Axis, ...]:
    """Return the axes that say how a network is trained, with the defaults of a network's paper.

    The training loop, ``sweeper.networks.fit``, reads them by name.

    Raises
    ------
    InputError
        A default names no axis, or lies outside its axis.
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
        Axis("clip_norm", Either(OneOf(None), Interval(1e-6, 1e6)), None, doc="largest norm of the gradient"),
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
    """The module that :attr:`Network.build` returns: a ``torch.nn.Module`` read at two places.

    ``forward(x)`` is ``read(maps(x))``. Inputs are float, (n, 1, size, size), in [0, 1], 0 where the
    detector gave no trustworthy value; the module normalises them itself.
    """

    def maps(self, x: Any) -> Any:
        """Return the last convolutional layer's maps, (n, channels, height, width), which Grad-CAM reads."""
        ...

    def read(self, maps: Any) -> tuple[Any, Any]:
        """Return features (n, width) and the head's logits (n, n_classes) from feature maps."""
        ...


@dataclass(frozen=True)
class NetworkBuild:
    """The request that a network builds a module for.

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
    requires : tuple of str
        Import names of the libraries it needs beyond Sweeper's own: `list`, `plan` and `run` name one
        that is not installed.
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
    requires: tuple[str, ...] = ("torch",)

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
        The file's name: the text before the colon.
    source : str
    member : callable
        The text after the colon to a :class:`Network`; InputError with the nearest name when there is
        none.
    example : str
        A member to show and to test.
    requires : tuple of str
        Import names of the libraries that `member` needs beyond Sweeper's own.
    """

    name: str
    source: str
    member: Callable[[str], Network]
    example: str
    requires: tuple[str, ...] = ("torch",)
