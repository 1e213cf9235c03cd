"""Learning curves of networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import stdtrit

from sweeper.report.content import Block, Chart, Row, Section, Text
from sweeper.report.drawings import Panel, Series, legend_height, lines
from sweeper.report.run import Run

if TYPE_CHECKING:
    import pandas as pd

_SHOWN = 6
_LOG_SPAN = 10.0
"""A loss whose largest value is this many times its smallest has a logarithmic axis."""


def learning_curves(run: Run) -> Section:
    """Loss and accuracy of the best networks."""
    curves = run.curves
    if curves.empty:
        return Section("curves", "Learning curves")
    best = list(dict.fromkeys(curves["representation"]))
    panels = _panels(curves, best[:_SHOWN])
    chart = Chart(
        "learning-curves",
        lines(panels),
        _caption(curves),
        (5.0, 4.4 + legend_height(panels[0].series)),
    )
    blocks: list[Block] = [Row([chart])]
    if len(best) > _SHOWN:
        blocks.append(
            Text(f"The best {_SHOWN} of {len(best)} networks; `sweeper curves` has all of them.", "note")
        )
    return Section("curves", "Learning curves", blocks)


def _caption(curves: pd.DataFrame) -> str:
    said = "Networks by the accuracy of the best pipeline that uses them"
    if curves["fold"].nunique() > 1:
        said += ": mean over their fits, shade from the least to the most"
    if curves["held_out_loss"].notna().any():
        said += ". Dashed: frames held out of the training set for early stopping"
    return f"{said}."


def _panels(curves: pd.DataFrame, names: list[str]) -> list[Panel]:
    panels = []
    for column, axis in (("loss", "training loss"), ("accuracy", "accuracy in training")):
        series = []
        for colour, name in enumerate(names):
            one = folds_of(curves[curves["representation"] == name])
            series += [
                ranged(one, source, name, colour, dashed=source != column)
                for source in (column, f"held_out_{column}")
                if one[source].notna().any()
            ]
        panels.append(Panel(axis, series, log=column == "loss" and _spans(curves)))
    return panels


def _spans(curves: pd.DataFrame) -> bool:
    loss = curves[["loss", "held_out_loss"]].to_numpy(dtype=np.float64)
    loss = loss[np.isfinite(loss)]
    return bool(len(loss) and loss.min() > 0 and loss.max() > _LOG_SPAN * loss.min())


def folds_of(one: pd.DataFrame) -> pd.DataFrame:
    """Epochs of the folds of cross-validation; of whatever was fitted where there is none."""
    folds = one[one["fold"].str.isdigit()]
    return folds if len(folds) else one


def ranged(one: pd.DataFrame, column: str, label: str, colour: int, *, dashed: bool = False) -> Series:
    """Mean over fits, with a band from the least to the most."""
    values = one.groupby("epoch")[column].agg(["mean", "min", "max"]).dropna()
    epoch, mean, low, high = (np.asarray(v, dtype=np.float64) for v in (values.index, *values.to_numpy().T))
    several = bool((high > low).any())
    return Series(label, epoch, mean, low if several else None, high if several else None, dashed, colour)


def confident(one: pd.DataFrame, column: str, label: str, colour: int, confidence: float) -> Series:
    """Mean over fits, with the confidence interval of that mean (Student's t) where there are two or more."""
    grouped = one.groupby("epoch")[column].agg(["mean", "std", "count"]).dropna(subset=["mean"])
    epoch = grouped.index.to_numpy(dtype=np.float64)
    mean, std, n = grouped.to_numpy(dtype=np.float64).T
    if not (n > 1).any():
        return Series(label, epoch, mean, colour=colour)
    half = mean_half_width(std, n, confidence)
    return Series(label, epoch, mean, mean - half, mean + half, colour=colour)


def mean_half_width(std: Any, n: Any, confidence: float) -> Any:
    """Half the confidence interval of a mean of n values, 0 where n is 1."""
    std, n = np.asarray(std, dtype=np.float64), np.asarray(n, dtype=np.float64)
    t = stdtrit(np.maximum(n - 1, 1), (1 + confidence) / 2)
    return np.where(n > 1, t * np.nan_to_num(std) / np.sqrt(n), 0.0)


def heads(run: Run) -> pd.DataFrame:
    """Rows of networks that classify by their own head, best first."""
    board: pd.DataFrame = run.board
    return board[board["trial"].isin(run.heads) & (board["status"] != "failed")]
