"""The declaration of one fit: which network, and the data it is fitted on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.api import Params
from sweeper.data.splits import Rows
from sweeper.networks.inputs import Inputs

FIT_VERSION = 1
"""Raise it when the same fit gives other weights."""


@dataclass(frozen=True)
class Fit:
    """A network that is fitted.

    Attributes
    ----------
    network : str
        Name of the plugin.
    params : mapping
        Values of its axes; defaults for those left out.
    classes : tuple of str
    seed : int
    folder : Path
        Holds the checkpoint and the model files. Processes of several machines share it.
    weights : str or None
        File of pretrained weights.
    snapshots : tuple of int
        Epochs after which, beside the last, a model file is written in passing.
    intensity : mapping
        Settings of the frames, for the model file.
    key : str
        Digest of all that the weights depend on, for the journal.
    fold : int or str
        The fold that asked for it first, for people.
    """

    network: str
    params: Params
    classes: tuple[str, ...]
    seed: int
    folder: Path
    weights: str | None = None
    snapshots: tuple[int, ...] = ()
    intensity: Mapping[str, Any] = field(default_factory=dict)
    key: str = ""
    fold: int | str = 0

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return len(self.classes)


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Frames that a network is fitted on.

    Attributes
    ----------
    inputs : Inputs
        Of all frames of the data set.
    labels : int64, (n_frames,)
        Of all of them.
    rows : int64, (n,)
        Training rows; the parameter ``training_set`` says what is made of them.
    groups : int64, (n_frames,), or None
        Frames that stay together when some are held out.
    """

    inputs: Inputs
    labels: NDArray[np.int64]
    rows: Rows
    groups: NDArray[np.int64] | None = None
