"""A model without what classifies frames: quick to load, and enough to hand frames to other processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Self

from sweeper.data.format import DEFAULT_READING, Reading
from sweeper.pipeline import Pipeline
from sweeper.sorter.promises import Calibration, Promise, Thresholds, thresholds

STRANGER, UNSURE, UNREADABLE = "stranger", "unsure", "unreadable"
"""The first words of the reasons why a frame is not accepted."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Outline:
    """A model without its pipelines.

    Attributes
    ----------
    id : str
        Digest of all that decides what it says.
    name : str
        Short name for people: ``glcm+rf``, or ``ensemble of 4``.
    classes : tuple of str
    calibration : Calibration
        What thresholds are found on.
    promise : Promise
        What is promised unless something else is asked for.
    reading : Reading
        How files are read.
    card : mapping
        What it was made from and how good it is: see :mod:`sweeper.sorter.card`.
    """

    id: str
    name: str
    classes: tuple[str, ...]
    calibration: Calibration
    promise: Promise
    reading: Reading = DEFAULT_READING
    card: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def thresholds(self) -> Thresholds:
        """Thresholds that keep the promise."""
        return thresholds(self.promise, self.calibration, self.classes)

    @property
    def decided(self) -> Calibration:
        """The calibration frames with the classes that they are given by the costs of the promise."""
        return replace(self.calibration, costs=self.promise.costs(self.classes))

    def promising(self, promise: Promise) -> Self:
        """Return the same model with another promise.

        Raises
        ------
        InputError
            A share outside (0, 1), or an unknown class.
        """
        promise.check(self.classes)
        return replace(self, promise=promise)


def name_of(pipelines: Sequence[Pipeline]) -> str:
    """Return the name of a model of some pipelines."""
    return pipelines[0].name if len(pipelines) == 1 else f"ensemble of {len(pipelines)}"
