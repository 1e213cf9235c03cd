"""Learning curves of the networks of a sweep, from its journal."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from sweeper.errors import InputError
from sweeper.pipeline import canonical_json, value_text
from sweeper.runs._curves_drawing import draw_curves
from sweeper.runs.records import NetworkFit
from sweeper.runs.results import VALUES, Results

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COLUMNS", "curves_table", "draw_curves", "learning_curves"]

COLUMNS = (
    "representation",
    "featurizer",
    "featurizer_params",
    "fit",
    "fold",
    "n_train",
    "workers",
    "device",
    "epoch",
    "loss",
    "accuracy",
    "held_out_loss",
    "held_out_accuracy",
    "learning_rate",
    "seconds",
    "score",
)
"""Columns of :func:`learning_curves`, in order."""

_ACCURACY = VALUES.index("accuracy")
_EPOCH = ("epoch", *COLUMNS[COLUMNS.index("loss") : COLUMNS.index("score")])


def learning_curves(results: Results, trial: int | None = None) -> pd.DataFrame:
    """Epochs of the networks that a sweep trained.

    Parameters
    ----------
    results : Results
        What the journal says.
    trial : int, optional
        Only the network of this trial.

    Returns
    -------
    pandas.DataFrame
        :data:`COLUMNS`, a row an epoch, by representation, fold and epoch, the representation with the
        best score first. ``representation`` names the featurizer and those of its parameters that
        differ between the networks of the sweep. ``fold`` is text: a number, ``test``, or ``0 seed 7`` of
        a rerun. ``held_out_`` columns are NaN where nothing was held out of the training. ``score`` is
        the best mean accuracy over the folds, at its largest budget, of a pipeline that uses the
        representation; NaN without one.

    Raises
    ------
    InputError
        No such trial, or one without a network that was trained.
    """
    import pandas as pd

    fits = results.fits
    chosen = set(fits) if trial is None else _fits_of_trial(results, trial)
    names, scores = _names(list(fits.values())), _scores(results) if chosen else {}
    rows = []
    for (key, _), epoch in results.epochs.items():
        if key not in chosen:
            continue
        fit = fits[key]
        rows.append(
            {
                "representation": names[fit.representation],
                "featurizer": fit.featurizer,
                "featurizer_params": canonical_json(fit.featurizer_params),
                "fit": key,
                "fold": str(fit.fold),
                "n_train": fit.n_train,
                "workers": fit.workers,
                "device": fit.device,
                **{name: getattr(epoch, name) for name in _EPOCH},
                "score": scores.get(fit.representation),
            }
        )
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    numbers = list(COLUMNS[COLUMNS.index("loss") :])
    frame[numbers] = frame[numbers].astype(float)
    order = ["score", "representation", "fold", "fit", "epoch"]
    ascending = [False, True, True, True, True]
    return frame.sort_values(order, ascending=ascending, key=_numerically, ignore_index=True)


def _numerically(column: pd.Series[Any]) -> pd.Series[Any]:
    """Return keys that sort folds 0 to 10 as numbers, and words after them."""
    if column.name != "fold":
        return column
    return column.map(lambda fold: f"{int(fold):06}" if fold.isdigit() else f"~{fold}")


def _fits_of_trial(results: Results, trial: int) -> set[str]:
    """Keys of the fits that a trial's pipeline used."""
    pipeline = results.pipeline(trial)
    found = {fit.key for fit in results.fits_of(pipeline)}
    if not found:
        raise InputError(
            f"--trial {trial}: no network was trained for it, its featurizer is {pipeline.featurizer}"
        )
    return found


def _names(fits: list[NetworkFit]) -> dict[str, str]:
    """Names of representations: the featurizer, and what differs between those of the same one."""
    values: dict[tuple[str, str], set[str]] = {}
    for fit in fits:
        for name, value in _settings(fit).items():
            values.setdefault((fit.featurizer, name), set()).add(value)
    names = {}
    for fit in fits:
        differing = [
            f"{name}={value}"
            for name, value in _settings(fit).items()
            if len(values[fit.featurizer, name]) > 1
        ]
        names[fit.representation] = " ".join([fit.featurizer, *differing])
    return names


def _settings(fit: NetworkFit) -> dict[str, str]:
    """Parameters and intensity settings as short text."""
    both = {**fit.featurizer_params, **fit.intensity}
    return {name: value_text(value) for name, value in both.items()}


def _scores(results: Results) -> dict[str, float]:
    """Best mean accuracy, at the largest budget, of the pipelines that use each representation."""
    owners, budgets, folds, values = (column.tolist() for column in results.columns())
    accuracies: dict[tuple[int, float], dict[int, float]] = {}
    for owner, budget, fold, scores in zip(owners, budgets, folds, values, strict=True):
        accuracies.setdefault((owner, budget), {}).setdefault(fold, scores[_ACCURACY])
    at_largest: dict[int, float] = {}
    for (owner, _), of_folds in sorted(accuracies.items()):  # the last budget is the largest
        at_largest[owner] = sum(of_folds.values()) / len(of_folds)
    best: dict[str, float] = {}
    for owner, trial in results.owners.items():
        if (score := at_largest.get(owner)) is not None:
            for single in results.pipeline(trial).singles:
                identity = single.representation
                best[identity] = max(score, best.get(identity, score))
    return best


def curves_table(frame: pd.DataFrame) -> str:
    """The last epoch of each fit as text, one line a fit, in the order of :func:`learning_curves`."""
    last = frame.groupby("fit", sort=False).tail(1)
    held_out = bool(last.held_out_loss.notna().any())
    lines = [
        [
            "fold",
            "epoch",
            "loss",
            "accuracy",
            *(["held-out loss", "accuracy"] if held_out else []),
            "rate",
            "s",
            "network",
        ]
    ]
    for row in last.to_dict("records"):
        cells = [row["fold"], str(row["epoch"]), f"{row['loss']:.4g}", f"{row['accuracy']:.3f}"]
        if held_out:
            there = not math.isnan(row["held_out_loss"])
            pair = [f"{row['held_out_loss']:.4g}", f"{row['held_out_accuracy']:.3f}"]
            cells += pair if there else ["", ""]
        seconds = frame.seconds[frame.fit == row["fit"]].sum()
        lines.append([*cells, f"{row['learning_rate']:.2g}", f"{seconds:.1f}", row["representation"]])
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]) - 1)]
    padded = [
        [cell.rjust(width) for cell, width in zip(line, widths, strict=False)] + line[-1:] for line in lines
    ]
    return "\n".join("  ".join(cells) for cells in padded)
