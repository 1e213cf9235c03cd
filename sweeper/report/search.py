"""How the search went: parallel coordinates of its trials, and their scores in order."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.evaluate.metrics import TITLES
from sweeper.report import drawings
from sweeper.report.content import Block, Chart, Interactive, Row, Section, figures, shortened
from sweeper.report.labels import Labels, flat_params, short_sets
from sweeper.report.run import Run
from sweeper.report.style import COLOURS, GROUND, MUTED

_MOST_LINES = 1500
_MOST_CHOICES = 24
_TICKS = 5
_LOG_SPAN = 30.0
"""Numbers whose largest is this many times the smallest stand on a logarithmic axis."""


@dataclass(frozen=True)
class Axis:
    """One vertical axis.

    Attributes
    ----------
    name : str
    where : sequence of float or None
        Place of each line on it, 0 below to 1 above; None where the pipeline has no such parameter.
    ticks : sequence of (float, str)
    of : (str, str) or None
        Slot and plugin that the parameter belongs to; None: every pipeline has it.
    """

    name: str
    where: Sequence[float | None]
    ticks: Sequence[tuple[float, str]]
    of: tuple[str, str] | None = None


def search(run: Run, labels: Labels) -> Section:
    """Parallel coordinates, and the course of the search."""
    rows = run.tried[(run.tried["status"] != "failed") & run.tried[run.metric].notna()]
    if len(rows) < 2:
        return Section("search", "The search")
    name = TITLES[run.metric]
    shown = _cut(rows)
    axes = _axes(run, shown)
    score = shown[run.metric].to_numpy(dtype=np.float64)
    still = Chart(
        "parallel-coordinates",
        _still([axis for axis in axes if axis.of is None], score),
        f"Every line is a pipeline; orange: the best tenth by {name}.",
        (10.0, 3.6),
    )
    caption = (
        "Every line is a pipeline; orange: the best tenth. Choose a featurizer or a classifier to see "
        "its parameters; touch a line to read it."
    )
    if len(shown) < len(rows):
        of = f"{len(shown):,} of {len(rows):,}"
        caption += f" {of} pipelines are drawn: the best {_MOST_LINES // 2}, and some of the rest."
    data = {
        "axes": [_axis_data(axis) for axis in axes],
        "score": [round(float(s), 5) for s in score],
        "featurizer": shown["featurizer"].tolist(),
        "classifier": shown["classifier"].tolist(),
        "label": [
            f"#{row.rank} {labels.long(row)}: {getattr(row, run.metric):.4f}" for row in shown.itertuples()
        ],
    }
    blocks: list[Block] = [Interactive(data, caption, still)]
    trial, done = rows["trial"].to_numpy(dtype=np.float64), (rows["status"] == "done").to_numpy()
    course = Chart(
        "history",
        drawings.history(trial, rows[run.metric].to_numpy(dtype=np.float64), done, name),
        "Trials in the order in which the search proposed them. Scores of trials that were stopped early "
        "are of a smaller budget.",
        (5.0, 3.2),
    )
    blocks.append(Row([course]))
    return Section("search", "The search", blocks)


def _cut(rows: Any) -> Any:
    """As many rows as can be drawn: the best half of them, and an even choice of the rest."""
    if len(rows) <= _MOST_LINES:
        return rows
    half = _MOST_LINES // 2
    rest = np.linspace(half, len(rows) - 1, _MOST_LINES - half).astype(int)
    return rows.iloc[np.unique(np.concatenate([np.arange(half), rest]))]


# --------------------------------------------------------------------------- axes


def _axes(run: Run, rows: Any) -> list[Axis]:
    axes = [_category("featurizer", rows["featurizer"].tolist(), by_score(rows, "featurizer", run.metric))]
    if (rows["training_set"] != "").any():
        sets = [short_sets(training_set) or None for training_set in rows["training_set"]]
        axes.append(_category("training set", sets))
    axes += _params(run, rows, "featurizer")
    if rows["reducer"].nunique() > 1:
        axes.append(_category("reducer", rows["reducer"].tolist()))
    axes.append(
        _category("classifier", rows["classifier"].tolist(), by_score(rows, "classifier", run.metric))
    )
    axes += _params(run, rows, "classifier")
    if rows["budget"].nunique() > 1:
        axes.append(_category("budget", [f"{b:.2g}" for b in rows["budget"]], numeric=True))
    latency = rows["featurize_ms_per_frame"] + rows["predict_ms_per_frame"]
    axes.append(_numbers("ms a frame", latency.tolist()))
    axes.append(_numbers(TITLES[run.metric], rows[run.metric].tolist(), log=False))
    return [axis for axis in axes if len(axis.ticks) > 1]


def by_score(rows: Any, column: str, metric: str) -> list[str]:
    """Values of a column, the one with the worst best row first: good lines run high."""
    best = rows.groupby(column)[metric].max().sort_values()
    return [str(value) for value in best.index]


def _params(run: Run, rows: Any, slot: str) -> list[Axis]:
    """Axes of the parameters of each plugin that has several values of them."""
    found = []
    params = [flat_params(text) for text in rows[f"{slot}_params"]]
    for plugin in sorted(set(rows[slot])):
        mine = [p if name == plugin else {} for p, name in zip(params, rows[slot], strict=True)]
        for name in dict.fromkeys(key for p in mine for key in p):
            owner, _, parameter = name.rpartition(".")  # of featurizers side by side: glcm.distance
            domain = run.domain(slot, owner or plugin, parameter)
            texts = [p.get(name) for p in mine]
            if isinstance(domain, dict) and {"low", "high"} <= domain.keys():
                values = [None if text is None else _float(text) for text in texts]
                axis = _numbers(name, values, log=bool(domain.get("log")))
            else:
                axis = _either(name, texts)
            if len(axis.ticks) > 1:
                found.append(Axis(axis.name, axis.where, axis.ticks, (slot, plugin)))
    return found


def _either(name: str, texts: Sequence[str | None]) -> Axis:
    """An axis of numbers where there are more of them than can be told apart, else of choices."""
    values = {text for text in texts if text is not None}
    numbers = {text: _float(text) for text in values}
    numeric = all(number is not None for number in numbers.values())
    if numeric and len(values) > _MOST_CHOICES // 2:
        return _numbers(name, [None if t is None else numbers[t] for t in texts])
    return _category(name, texts, numeric=numeric)


def _float(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _category(
    name: str, values: Sequence[str | None], order: Sequence[str] | None = None, *, numeric: bool = False
) -> Axis:
    known = {value for value in values if value is not None}
    ordered = [v for v in order or [] if v in known] or sorted(known, key=float if numeric else str)
    if len(ordered) > _MOST_CHOICES:
        ordered = ordered[-_MOST_CHOICES:] if order else ordered[:_MOST_CHOICES]  # the best are last
    place = {value: (i + 0.5) / len(ordered) for i, value in enumerate(ordered)}
    where = [None if value is None else place.get(value) for value in values]
    return Axis(name, where, [(at, shortened(value, 20)) for value, at in place.items()])


def _numbers(name: str, values: Sequence[float | None], *, log: bool | None = None) -> Axis:
    known = np.array([v for v in values if v is not None and math.isfinite(v)])
    if not len(known):
        return Axis(name, [None] * len(values), [])
    low, high = float(known.min()), float(known.max())
    logarithmic = low > 0 and high > _LOG_SPAN * low if log is None else log

    def scaled(value: float) -> float:
        return math.log10(value) if logarithmic else value

    span = (scaled(high) - scaled(low)) or 1.0
    where = [None if v is None or not math.isfinite(v) else (scaled(v) - scaled(low)) / span for v in values]
    steps = np.linspace(0, 1, _TICKS) if high > low else np.array([0.0])
    at = [scaled(low) + share * span for share in steps]
    ticks = [(float(s), figures(10**a if logarithmic else a, 3)) for s, a in zip(steps, at, strict=True)]
    return Axis(name, where, ticks)


def _axis_data(axis: Axis) -> Mapping[str, Any]:
    where = [None if place is None else round(place, 4) for place in axis.where]
    ticks = [[round(at, 4), text] for at, text in axis.ticks]
    return {"name": axis.name, "where": where, "ticks": ticks, "of": list(axis.of) if axis.of else None}


# --------------------------------------------------------------------------- the still chart


def _still(axes: Sequence[Axis], score: NDArray[np.float64]) -> Any:
    def draw(figure: Any) -> None:
        from matplotlib.collections import LineCollection
        from matplotlib.patheffects import withStroke

        plot = figure.subplots()
        rank = np.argsort(np.argsort(score)) / max(1, len(score) - 1)
        spread = np.random.default_rng(0).uniform(-0.012, 0.012, len(score))
        for i in np.argsort(score):
            points = [
                (x, at + (spread[i] if len(axis.ticks) < _TICKS else 0))
                for x, axis in enumerate(axes)
                if (at := axis.where[i]) is not None
            ]
            strength = float(rank[i]) ** 3
            colour = COLOURS[1] if rank[i] > 0.9 else COLOURS[0]
            line = LineCollection(
                [points], colors=colour, alpha=0.12 + 0.6 * strength, linewidths=0.6 + strength
            )
            plot.add_collection(line)
        for x, axis in enumerate(axes):
            plot.plot([x, x], [0, 1], color=MUTED, linewidth=1)
            for at, text in axis.ticks:
                plot.annotate(
                    text, (x, at), (-3, 0), textcoords="offset points", ha="right", va="center", fontsize=8,
                    path_effects=[withStroke(linewidth=2.5, foreground=GROUND)],
                )  # fmt: skip
        plot.set_xticks(range(len(axes)), [axis.name for axis in axes])
        plot.set_yticks([])
        plot.spines[:].set_visible(False)
        plot.tick_params(length=0)
        plot.set_xlim(-0.5, len(axes) - 0.7)
        plot.set_ylim(-0.04, 1.04)
        plot.grid(visible=False)

    return draw
