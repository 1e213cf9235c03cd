"""Learning curves of the networks of a sweep, from its journal."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from sweeper.errors import InputError
from sweeper.pipeline import canonical_json
from sweeper.runs._curves_drawing import draw_curves

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

_Record = Mapping[str, Any]


def learning_curves(records: Iterable[_Record], trial: int | None = None) -> pd.DataFrame:
    """Epochs of the networks that a sweep trained.

    Parameters
    ----------
    records : iterable of dict
        Of a journal: kinds ``fit`` and ``epoch``, and ``trial`` and ``evaluation`` for the scores;
        others are passed over. The first of equal keys counts.
    trial : int, optional
        Only the network of this trial.

    Returns
    -------
    pandas.DataFrame
        :data:`COLUMNS`, a row an epoch, by representation, fold and epoch, the representation with the
        best score first. ``representation`` names the featurizer and those of its parameters that
        differ between the networks of the sweep. ``fold`` is text: a number, ``test`` or ``half``.
        ``held_out_`` columns are NaN where nothing was held out of the training. ``score`` is the best
        mean accuracy over the folds, at its largest budget, of a pipeline that uses the
        representation; NaN without one.

    Raises
    ------
    ValueError
        No such trial, or one without a network that was trained.
    """
    import pandas as pd

    kept = list(records)
    fits = {r["key"]: r for r in reversed(kept) if r["kind"] == "fit"}
    chosen = set(fits) if trial is None else _fits_of_trial(kept, fits, trial)
    identify = _Identity(fits.values())
    names, scores = _names(identify, list(fits.values())), _scores(identify, kept)
    epochs = {(r["fit"], r["epoch"]): r for r in reversed(kept) if r["kind"] == "epoch"}
    rows = []
    for (key, epoch), record in epochs.items():
        if key not in chosen:
            continue
        fit, identity = fits[key], identify(fits[key])
        row = {**fit, **record, "fit": key, "epoch": epoch, "fold": str(fit["fold"])}
        row |= {"representation": names[identity], "score": scores.get(identity)}
        rows.append(row | {"featurizer_params": canonical_json(fit["featurizer_params"])})
    frame = pd.DataFrame(rows, columns=list(COLUMNS))
    numbers = list(COLUMNS[COLUMNS.index("loss") :])
    frame[numbers] = frame[numbers].astype(float)
    order = ["score", "representation", "fold", "fit", "epoch"]
    ascending = [False, True, True, True, True]
    return frame.sort_values(order, ascending=ascending, key=_numerically, ignore_index=True)


def _numerically(column: pd.Series[Any]) -> pd.Series[Any]:
    """Folds 0 to 10 in the order of numbers, words after them."""
    if column.name != "fold":
        return column
    return column.map(lambda fold: f"{int(fold):06}" if fold.isdigit() else fold)


class _Identity:
    """A representation as text, of a fit or of the pipeline of an evaluation.

    Intensity settings are part of it where the fits say which they were fitted with.
    """

    def __init__(self, fits: Iterable[_Record]) -> None:
        self._with_intensity = any("intensity" in fit for fit in fits)

    def __call__(self, record: _Record) -> str:
        intensity = record.get("intensity", {}) if self._with_intensity else {}
        return canonical_json([record["featurizer"], record["featurizer_params"], intensity])


def _fits_of_trial(records: list[_Record], fits: Mapping[str, _Record], trial: int) -> set[str]:
    """Keys of the fits that a trial's pipeline used."""
    pipelines = {r["trial"]: r["pipeline"] for r in reversed(records) if r["kind"] == "trial"}
    if trial not in pipelines:
        raise InputError(f"--trial must be a trial of this sweep, got {trial}")
    identify = _Identity(fits.values())
    wanted = identify(pipelines[trial])
    found = {key for key, fit in fits.items() if identify(fit) == wanted}
    if not found:
        featurizer = pipelines[trial]["featurizer"]
        raise InputError(f"--trial {trial}: no network was trained for it, its featurizer is {featurizer}")
    return found


def _names(identify: _Identity, fits: list[_Record]) -> dict[str, str]:
    """Names of representations: the featurizer, and what differs between those of the same one."""
    values: dict[tuple[str, str], set[str]] = {}
    for fit in fits:
        for name, value in _settings(fit).items():
            values.setdefault((fit["featurizer"], name), set()).add(value)
    names = {}
    for fit in fits:
        differing = [
            f"{name}={value}"
            for name, value in _settings(fit).items()
            if len(values[fit["featurizer"], name]) > 1
        ]
        names[identify(fit)] = " ".join([fit["featurizer"], *differing])
    return names


def _settings(fit: _Record) -> dict[str, str]:
    """Parameters, and intensity settings where they are there, as short text."""
    both = {**fit["featurizer_params"], **fit.get("intensity", {})}
    return {
        k: f"{v:.3g}" if isinstance(v, float) else "none" if v is None else str(v) for k, v in both.items()
    }


def _scores(identify: _Identity, records: list[_Record]) -> dict[str, float]:
    """Best mean accuracy, at the largest budget, of the pipelines that use each representation."""
    folds: dict[tuple[str, str, float], dict[int, float]] = {}
    for r in records:
        if r["kind"] == "evaluation" and r["status"] == "done" and r["fold"] != "test":
            key = (identify(r["pipeline"]), canonical_json(r["pipeline"]), r["budget"])
            folds.setdefault(key, {}).setdefault(r["fold"], r["metrics"]["accuracy"])
    at_largest: dict[tuple[str, str], float] = {}
    for (identity, pipeline, _), accuracy in sorted(folds.items()):  # the last budget is the largest
        at_largest[identity, pipeline] = sum(accuracy.values()) / len(accuracy)
    best: dict[str, float] = {}
    for (identity, _), score in at_largest.items():
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
