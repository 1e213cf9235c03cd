"""What labels buy: the accuracy of a pipeline against the number of labelled frames that it is fitted on."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sweeper.atomic import write_text

MORE = 10
"""Frames of which it is said what their labels would buy."""


@dataclass(frozen=True)
class Point:
    """The accuracy after so many labelled frames.

    Attributes
    ----------
    a_class : int or None
        Frames of each class that were drawn, all of a class that has fewer; None: every one was taken.
    frames : float
        Frames that were fitted on, those that only help not counted; the mean over folds.
    accuracy, low, high : float
        Share of the held-out frames that are given their class, and its interval of 95 %.
    """

    a_class: int | None
    frames: float
    accuracy: float
    low: float
    high: float


@dataclass(frozen=True)
class LabelCurve:
    """A learning curve over labelled frames.

    Attributes
    ----------
    trial : int
        Of the pipeline that was fitted.
    pipeline : str
        Its name.
    own, helping : int
        Labelled frames that folds are made of, and others that were fitted on every time.
    units : int
        Groups of frames, or frames without a group, that intervals count as independent.
    folds, draws : int
        How often each number of frames was held out, and drawn.
    points : tuple of Point
        By number of frames.
    gain, gain_low, gain_high : float
        What :data:`MORE` labelled frames would add to the accuracy if it goes on as it has, and its interval.
    """

    trial: int
    pipeline: str
    own: int
    helping: int
    units: int
    folds: int
    draws: int
    points: tuple[Point, ...]
    gain: float
    gain_low: float
    gain_high: float

    @property
    def verdict(self) -> str:
        """Return what more labels would buy, as a sentence without its end."""
        told = (
            f"{MORE} more labelled frames would add about {self.gain:+.3f} to the accuracy "
            f"(95 %: {self.gain_low:+.3f} to {self.gain_high:+.3f}) if it goes on as it has"
        )
        if self.gain_low > 0:
            return told
        return f"{told}; {self.own:,} frames cannot tell that from nothing"

    def write(self, path: Path) -> None:
        """Write it to a file, which is whole or unchanged; OSError where that fails."""
        write_text(path, json.dumps(asdict(self), indent=2) + "\n")


def read_label_curve(path: Path) -> LabelCurve | None:
    """Read what :meth:`LabelCurve.write` wrote; None where there is nothing, or nothing of this form."""
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        points = tuple(Point(**point) for point in found.pop("points"))
        return LabelCurve(**found, points=points)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
