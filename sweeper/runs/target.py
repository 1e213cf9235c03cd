"""How far the frames that a sweep is meant for are from those that it was trained on."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sweeper.atomic import write_text


@dataclass(frozen=True)
class Target:
    """What unlabelled frames of the target look like to a pipeline of a run.

    Attributes
    ----------
    path : str
        Where they are.
    trial : int
        Of the pipeline in whose features distances are taken.
    pipeline : str
        Its name.
    found, looked_at, unreadable : int
        Frames that are there, those of them that were looked at, and those that could not be read, or have no
        features.
    unlike : int
        Frames that are farther from the training frames than these from each other, but for a share of these.
    expected : float
        That share.
    typical : float
        Share of the training frames that are nearer to their nearest than the median frame is.
    other_sizes : int
        Frames of a size that no training frame has.
    farthest : tuple of (str, float)
        Names of the farthest frames, with their distances in units of that beyond which frames are unlike.
    """

    path: str
    trial: int
    pipeline: str
    found: int
    looked_at: int
    unreadable: int
    unlike: int
    expected: float
    typical: float
    other_sizes: int
    farthest: tuple[tuple[str, float], ...]

    @property
    def verdict(self) -> str:
        """How many frames are unlike the training frames, and what follows, in a sentence without its end."""
        if self.looked_at == 0:
            return f"none of {self.found:,} frames could be read"
        told = (
            f"{self.unlike:,} of {self.looked_at:,} frames ({self.unlike / self.looked_at:.0%}) are unlike "
            f"the training frames, by the features of {self.pipeline} (trial {self.trial}); of frames like "
            f"these {self.expected:.0%} would be"
        )
        if self.unlike > 2 * self.expected * self.looked_at + 1:
            return f"{told}. No score here says how well they are told apart"
        return told

    @property
    def notes(self) -> list[str]:
        """What else is to be known of them, a line each."""
        lines = []
        if self.looked_at:
            lines.append(
                f"the median one is farther from the nearest training frames than {self.typical:.0%} of them "
                "are from each other; alike would be 50%"
            )
        if self.looked_at + self.unreadable < self.found:
            lines.append(f"{self.looked_at + self.unreadable:,} of {self.found:,} frames were looked at")
        if self.unreadable:
            lines.append(f"{self.unreadable:,} could not be read")
        if self.other_sizes:
            lines.append(
                f"{self.other_sizes:,} have a size that no training frame has: a model may refuse them for it"
            )
        return lines

    def write(self, path: Path) -> None:
        """Write it to a file, which is whole or unchanged; OSError where that fails."""
        write_text(path, json.dumps(asdict(self), indent=2) + "\n")


def read_target(path: Path) -> Target | None:
    """Read what :meth:`Target.write` wrote; None where there is nothing, or nothing of this form."""
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        farthest = tuple((str(name), float(distance)) for name, distance in found.pop("farthest"))
        return Target(**found, farthest=farthest)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
