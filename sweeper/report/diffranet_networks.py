"""DiffraNet's Figures 3 and 4: how the best networks learned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from sweeper.api import scaled_count
from sweeper.pipeline import canonical_json
from sweeper.report import curves
from sweeper.report.content import Block, Chart
from sweeper.report.drawings import Panel, Series, legend_height, lines
from sweeper.report.labels import Labels, flat_params
from sweeper.report.run import Run

_SHOWN = 3
_CONFIDENCE = 0.8
"""Of Figure 3's shade."""


def _finished(run: Run) -> list[Any]:
    """Epochs of each network whose own head was evaluated at full budget, the best first."""
    heads = curves.heads(run)
    rows: list[Any] = list(heads[heads["status"] == "done"].itertuples())
    found = []
    for row in rows:
        params = canonical_json(run.results.pipeline(int(row.trial)).to_dict()["featurizer_params"])
        same = (run.curves["featurizer"] == row.featurizer) & (run.curves["featurizer_params"] == params)
        if same.any():
            found.append(curves.folds_of(run.curves[same]))
    return found


def figure3(run: Run, labels: Labels) -> list[Block]:
    """Validation accuracy of the three best networks."""
    series, finished = rungs_again(run, labels), _finished(run)[:_SHOWN]
    if series:
        seeds = max(len(run.rerun_scores(trial, "accuracy")) for trial in run.reruns)
        what = f"validation accuracy of {seeds} runs with other seeds than the search's, mean"
    elif finished and all(one["held_out_accuracy"].notna().any() for one in finished):
        for i, one in enumerate(finished):
            name = str(one["representation"].iloc[0])
            series.append(curves.confident(one, "held_out_accuracy", name, i, _CONFIDENCE))
        what = "accuracy on frames held out of the training set, mean over the fits"
    else:
        series = rungs(run, labels)
        what = "validation accuracy at the budgets at which they were scored, mean over the folds"
    if not series:
        return []
    several = any(one.low is not None for one in series)
    caption = f"Figure 3. The best networks: {what}"
    caption += (
        ", and the 80 % confidence interval of that mean." if several else ". One fit of each: no interval."
    )
    caption += " The paper shows five repeats of 180 epochs each."
    if not run.reruns:
        caption += " `sweeper run ... --reruns 5` repeats the best three."
    return [
        Chart(
            "diffranet-figure-3",
            lines([Panel("validation accuracy", series)]),
            caption,
            (5.0, 2.9 + legend_height(series)),
        )
    ]


def rungs(run: Run, labels: Labels) -> list[Series]:
    """Accuracy of the best heads at their budgets, in epochs: mean over the folds."""
    heads = curves.heads(run)
    rows: list[Any] = list(heads[heads["status"] == "done"].itertuples())[:_SHOWN]
    return [_at_budgets(labels, row, run.rungs(int(row.trial)), i) for i, row in enumerate(rows)]


def rungs_again(run: Run, labels: Labels) -> list[Series]:
    """The same of the heads that were run again: mean over the other seeds."""
    heads = curves.heads(run)
    rows: list[Any] = list(heads[heads["trial"].isin(list(run.reruns))].itertuples())
    series = []
    for i, row in enumerate(rows[:_SHOWN]):
        trial = int(row.trial)
        points = {budget: run.rerun_scores(trial, "accuracy", budget) for budget in run.reruns[trial]}
        series.append(_at_budgets(labels, row, points, i))
    return series


def _at_budgets(labels: Labels, row: Any, points: Mapping[float, Any], colour: int) -> Series:
    """Mean at each budget, and the confidence interval of that mean where there are several values."""
    epochs = int(float(flat_params(row.featurizer_params).get("epochs", 1)))
    budgets = sorted(points)
    at = np.array([scaled_count(epochs, budget) for budget in budgets], dtype=np.float64)
    mean = np.array([np.mean(points[b]) for b in budgets])
    n = np.array([len(points[b]) for b in budgets])
    std = np.array([np.std(points[b], ddof=1) if len(points[b]) > 1 else 0.0 for b in budgets])
    half = curves.mean_half_width(std, n, _CONFIDENCE)
    low, high = (mean - half, mean + half) if (n > 1).any() else (None, None)
    label = f"trial {row.trial}: {labels.params('featurizer', row)}"
    return Series(label, at, mean, low, high, colour=colour)


def figure4(run: Run, labels: Labels) -> list[Block]:
    one = next(iter(_finished(run)), None)
    if one is None:
        return []
    name = one["representation"].iloc[0]
    panels = []
    for column, axis in (("accuracy", "accuracy"), ("loss", "loss")):
        series = [curves.ranged(one, column, "training", 0)]
        held = f"held_out_{column}"
        if one[held].notna().any():
            series.append(curves.ranged(one, held, "held out of the training set", 1, dashed=True))
        if column == "accuracy":
            best = rungs(run, labels)[0]
            series.append(replace(best, label="validation", colour=2, points=True))
        panels.append(Panel(axis, series))
    fits = one["fit"].nunique()
    caption = f"Figure 4. Accuracy and loss of the best network, {name}"
    if fits > 1:
        caption += f": mean over {fits} fits, shade from the least to the most"
    caption += ". The paper's converged after about 20 epochs."
    return [Chart("diffranet-figure-4", lines(panels), caption, (5.0, 3.9 + legend_height(panels[0].series)))]
