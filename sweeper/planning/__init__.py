"""The cost of a sweep before it runs."""

from __future__ import annotations

import html
from dataclasses import dataclass

from sweeper.planning import text
from sweeper.planning.values import FeatureCost, Grid, NetworkCosts, SearchCost


@dataclass(frozen=True)
class Plan:
    """The estimated cost of a sweep.

    Attributes
    ----------
    frames : int
    classes : dict
        Frames of each class.
    unreadable : tuple of (str, str)
        Files that cannot be opened, and why.
    notes : tuple of str
        What to know about the data before a sweep, a line each; among them how many pixels of a few frames
        are invalid for which reason.
    sweep : str
        Space, search, budgets and folds in one line: what a preset or a spec file resolves to.
    cpus : int
        Cores of this machine that the sweep may use.
    grid : Grid
    features : FeatureCost
    networks : NetworkCosts
    search : SearchCost
    """

    frames: int
    classes: dict[str, int]
    unreadable: tuple[tuple[str, str], ...]
    notes: tuple[str, ...]
    sweep: str
    cpus: int
    grid: Grid
    features: FeatureCost
    networks: NetworkCosts
    search: SearchCost

    def __str__(self) -> str:
        classes = ", ".join(f"{name} {count}" for name, count in self.classes.items())
        lines = [
            self.sweep,
            f"{self.frames} frames, {len(self.classes)} classes: {classes}",
            *text.unreadable_lines(self.unreadable),
            *(f"note: {note}" for note in self.notes),
            "",
            *text.grid_lines(self.grid),
            "",
            *text.feature_lines(self.features, self.frames, self.cpus),
            *text.network_lines(self.networks),
            "",
            *text.search_lines(self.search, self.cpus),
        ]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        return f"<pre>{html.escape(str(self))}</pre>"
