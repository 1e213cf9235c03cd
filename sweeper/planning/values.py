"""Parts of a plan: counts and costs as numbers, which :mod:`sweeper.planning.text` puts into words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sweeper.space.parts import Slot


@dataclass(frozen=True)
class Choices:
    """One alternative for a slot of a pipeline, and how many choices it offers.

    Attributes
    ----------
    name : str
    size : float
        Infinite where a parameter is a range.
    parameters : dict
        Number of choices of each parameter that has more than one.
    """

    name: str
    size: float
    parameters: dict[str, float]


@dataclass(frozen=True)
class Grid:
    """The size of a search space.

    Attributes
    ----------
    space : str
    scale : str
        Which cut of the space it is, and what was cut; empty for all of it.
    slots : dict
        Alternatives for ``intensity``, ``featurizer``, ``reducer`` and ``classifier``.
    most : int
        Featurizers that may stand side by side.
    representations : float
        Choices of one featurizer or several side by side.
    pipelines : float
        Combinations that are pipelines: a network's head goes with networks that are trained, with nothing
        beside them, and with no reducer.
    """

    space: str
    scale: str
    slots: Mapping[Slot, tuple[Choices, ...]]
    most: int
    representations: float
    pipelines: float


@dataclass(frozen=True)
class FeaturizerCost:
    """The work of a featurizer that is not trained.

    Attributes
    ----------
    name : str
    blocks : int
        Computed once each, for each setting of intensity.
    representations : float
        Choices that these blocks serve; of codebooks where `codebook` is set.
    codebook : bool
        Blocks are descriptors, which codebooks are fitted on in each fold.
    ms_per_frame : float
        All blocks of one frame, on one core.
    """

    name: str
    blocks: int
    representations: float
    codebook: bool
    ms_per_frame: float


@dataclass(frozen=True)
class FeatureCost:
    """The cost of computing the features, once for the whole sweep.

    Attributes
    ----------
    intensities : float
        Settings of intensity; times are for one of them.
    read_ms_per_frame : float
        Reading a frame and scaling its intensities, on one core.
    featurizers : tuple of FeaturizerCost
    cpu_s : float
        All frames on one core.
    """

    intensities: float
    read_ms_per_frame: float
    featurizers: tuple[FeaturizerCost, ...]
    cpu_s: float


@dataclass(frozen=True)
class NetworkCost:
    """The cost of a network, in seconds of one core.

    Attributes
    ----------
    name : str
        The network, and ``pretrained`` where it is not trained.
    choices : float
        Each of them is a fit of its own.
    epochs : int
        Of a full fit; 0 for a network that is not trained.
    train_s_per_frame : float
        One frame in one epoch.
    read_s_per_frame : float
        Features of one frame.
    fit_s : float
        One full fit.
    """

    name: str
    choices: float
    epochs: int
    train_s_per_frame: float
    read_s_per_frame: float
    fit_s: float


@dataclass(frozen=True)
class NetworkCosts:
    """The cost of all networks.

    Attributes
    ----------
    networks : tuple of NetworkCost
    fits : int
        How often each choice is trained: once a fold, or once on frames that are set apart.
    train_frames : int
    input_bytes : float
        Disk that their inputs take.
    """

    networks: tuple[NetworkCost, ...]
    fits: int
    train_frames: int
    input_bytes: float


@dataclass(frozen=True)
class SearchCost:
    """The cost of the search, features and networks aside.

    Attributes
    ----------
    search : str
    trials, folds : int
    evaluations : float
        Fits of all trials at all budgets, as many as can be expected.
    full_budgets : float
        The same in fits at full budget.
    fit_s : float
        One fit at full budget, on one core.
    cpu_s : float
        The search, on one core.
    closing_fits : int
        Fits after the search, on the test split and with other seeds, at most.
    closing_cpu_s : float
    codebooks : bool
        Codebooks are fitted as well, which is not counted.
    in_time : bool
        No number of trials was asked for: `trials` are as many as the time budget is enough for on the cores
        of this machine, features included.
    """

    search: str
    trials: int
    folds: int
    evaluations: float
    full_budgets: float
    fit_s: float
    cpu_s: float
    closing_fits: int
    closing_cpu_s: float
    codebooks: bool
    in_time: bool
