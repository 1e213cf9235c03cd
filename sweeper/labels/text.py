"""A learning curve over labelled frames in words."""

from __future__ import annotations

from sweeper.labels import LabelCurve, Point


def size_text(point: Point) -> str:
    """Return how many frames of each class a point has: ``3``, ``none``, ``all``."""
    if point.a_class is None:
        return "all"
    return str(point.a_class) if point.a_class else "none"


def curve_text(curve: LabelCurve) -> str:
    """Return the curve as a table, with what it is made of and what more labels would buy."""
    helped = f" beside {curve.helping:,} that help" if curve.helping else ""
    lines = [
        f"trial {curve.trial}, {curve.pipeline}: accuracy on held-out frames by the number of labelled ones",
        f"{curve.own:,} labelled frames in {curve.units:,} groups{helped}; {curve.folds} folds, "
        f"{curve.draws} draws",
        "",
        "frames a class  frames  accuracy  95% interval",
    ]
    lines += [
        f"{size_text(point):>14}  {point.frames:>6.5g}  {point.accuracy:>8.4f}  {point.low:.3f} to "
        f"{point.high:.3f}"
        for point in curve.points
    ]
    return "\n".join([*lines, "", curve.verdict])
