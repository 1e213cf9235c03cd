"""The section on labels: what more labelled frames would buy."""

from __future__ import annotations

import numpy as np

from sweeper.labels import read_label_curve
from sweeper.report.content import Block, Chart, Section, Text
from sweeper.report.drawings import Panel, Series, lines
from sweeper.report.run import Run

_TITLE = "More labels"


def growth(run: Run) -> Section:
    """Accuracy against the number of labelled frames; nothing before ``sweeper labels`` was run."""
    curve = read_label_curve(run.folder.labels)
    if curve is None:
        return Section("labels", _TITLE)
    x, value, low, high = (
        np.array([getattr(point, name) for point in curve.points])
        for name in ("frames", "accuracy", "low", "high")
    )
    series = Series(curve.pipeline, x, value, low, high, False, 0)
    helped = f", and each time on all {curve.helping:,} frames that help" if curve.helping else ""
    caption = (
        f"Accuracy on held-out frames of {curve.pipeline} (trial {curve.trial}), fitted on so many labelled "
        f"frames{helped}. {curve.folds} folds, {curve.draws} draws of each number; shade: 95 %, over "
        f"{curve.units:,} groups of frames."
    )
    chart = Chart("labels", lines([Panel("accuracy", [series])], "labelled frames"), caption)
    blocks: list[Block] = [Text(f"{curve.verdict}.", "verdict"), chart]
    return Section("labels", _TITLE, blocks)
