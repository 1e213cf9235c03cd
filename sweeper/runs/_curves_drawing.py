"""Learning curves as a picture."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#000000", "#e69f00", "#56b4e9", "#8c564b")
"""Okabe and Ito's without yellow, which is lost on white, and a brown: told apart in any colour vision."""
_OTHERS = "#c8c8c8"
_SPAN = 10.0
"""A loss whose largest value is this many times its smallest is drawn on a logarithmic scale."""
_FEW_EPOCHS = 15  # points are marked: a line of one epoch could not be seen
_LONGEST_LABEL = 52
_DPI = 120


def draw_curves(frame: pd.DataFrame, path: Path) -> None:
    """Write loss, accuracy and learning rate against the epoch, as PNG.

    A line is the mean over the folds of a representation, its band reaches from the least to the most of
    them; what was held out of the training is dashed. The best representations, as many as there are
    colours, are named; further ones are grey.

    Parameters
    ----------
    frame : pandas.DataFrame
        From :func:`sweeper.runs.curves.learning_curves`; at least one row.
    path : Path
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(frame.representation))
    figure = Figure(figsize=(10, 8 + 0.11 * min(len(names), len(_COLOURS))), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    loss, accuracy, rate = figure.subplots(3, 1, sharex=True, height_ratios=(4, 4, 1.3))
    for position in reversed(range(len(names))):  # the best on top
        one = _folds(frame[frame.representation == names[position]])
        shown = position < len(_COLOURS)
        colour = _COLOURS[position] if shown else _OTHERS
        _draw(loss, one, "loss", colour, band=shown)
        _draw(accuracy, one, "accuracy", colour, band=shown)
        _draw(rate, one, "learning_rate", colour, band=False)
    _set_axes(loss, accuracy, rate, frame)
    figure.legend(handles=_legend(frame, names), loc="outside lower left", ncols=2, frameon=False, fontsize=9)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        figure.savefig(partial, format="png")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _folds(one: pd.DataFrame) -> pd.DataFrame:
    """Epochs of the folds of cross-validation; of whatever was fitted where there is none."""
    folds = one[one.fold.str.isdigit()]
    return folds if len(folds) else one


def _draw(axes: Any, one: pd.DataFrame, column: str, colour: str, *, band: bool) -> None:
    """Mean over folds of a column, and of what was held out."""
    marker = "o" if one.epoch.max() <= _FEW_EPOCHS else ""
    for name, line in ((column, "-"), (f"held_out_{column}", "--")):
        if name not in one or one[name].isna().all():
            continue
        values = one.groupby("epoch")[name].agg(["mean", "min", "max"]).dropna()
        axes.plot(
            values.index, values["mean"], line, color=colour, marker=marker, markersize=3, linewidth=1.4
        )
        if band and (values["max"] > values["min"]).any():
            axes.fill_between(
                values.index, values["min"], values["max"], color=colour, alpha=0.15, linewidth=0
            )


def _set_axes(loss: Any, accuracy: Any, rate: Any, frame: pd.DataFrame) -> None:
    from matplotlib.ticker import MaxNLocator, NullFormatter

    values = frame[["loss", "held_out_loss"]].stack()
    if values.min() > 0 and values.max() > _SPAN * values.min():
        loss.set_yscale("log")
    if frame.learning_rate.min() > 0 and frame.learning_rate.max() > _SPAN * frame.learning_rate.min():
        rate.set_yscale("log")
    accuracy.set_ylim(top=min(1.02, accuracy.get_ylim()[1]))
    rate.yaxis.set_minor_formatter(NullFormatter())
    for axes, label in ((loss, "loss"), (accuracy, "accuracy in training"), (rate, "learning rate")):
        axes.set_ylabel(label)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    rate.set_xlabel("epoch")
    rate.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    last = frame.epoch.max()
    rate.set_xlim(0.5, last + 0.5) if last <= _FEW_EPOCHS else rate.set_xlim(0, last * 1.02)


def _legend(frame: pd.DataFrame, names: list[str]) -> list[Any]:
    from matplotlib.lines import Line2D

    handles = []
    for name, colour in zip(names, _COLOURS, strict=False):
        label = name if len(name) <= _LONGEST_LABEL else f"{name[:_LONGEST_LABEL]}..."
        score = frame.score[frame.representation == name].iloc[0]
        label += "" if score != score else f"  (leaderboard: {score:.3f})"
        handles.append(Line2D([], [], color=colour, label=label))
    if len(names) > len(_COLOURS):
        handles.append(Line2D([], [], color=_OTHERS, label=f"{len(names) - len(_COLOURS)} more"))
    if frame.held_out_loss.notna().any():
        handles.append(Line2D([], [], color="#606060", label="training"))
        handles.append(Line2D([], [], color="#606060", linestyle="--", label="held out of the training set"))
    return handles
