"""Confusion matrices, as charts and as tables with precision and recall."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.evaluate import statistics
from sweeper.report import content as c
from sweeper.report import drawings
from sweeper.report.content import Cell, Chart, Column, Row, Section, Table, Text
from sweeper.report.labels import Labels
from sweeper.report.run import Run

Counts = NDArray[np.int64]

_SHOWN = 2


def confusion(run: Run, labels: Labels) -> Section:
    """Confusion of the best pipelines of different featurizers, over all folds or on the test split."""
    best = run.done.drop_duplicates("featurizer")
    charts = []
    rows: list[Any] = list(best.itertuples())[:_SHOWN]
    for row in rows:
        counts = run.confusion(int(row.trial))
        if counts is None:
            continue
        frames = f"{int(counts.sum()):,} classifications of frames held out, all folds together"
        caption = f"{labels.long(row)}: {frames}. Colour is the share of the true class."
        charts.append(_chart(f"confusion-{row.featurizer}", counts, run, caption))
        test = run.test_confusion(int(row.trial))
        if test is not None and row.rank == 1:
            caption = f"The same pipeline on the {int(test.sum()):,} frames of the test split."
            charts.append(_chart("confusion-test", test, run, caption))
    if not charts:
        return Section("confusion", "Confusion")
    return Section("confusion", "What is taken for what", [Row(charts)], "Confusion")


def _chart(name: str, counts: Counts, run: Run, caption: str) -> Chart:
    order = run.class_order
    classes = [run.classes[i] for i in order]
    side = min(5.0, 2.2 + 0.42 * len(classes))
    draw = drawings.confusion(counts[np.ix_(order, order)], classes)
    return Chart(name.replace(":", "-"), draw, caption, (side + 0.5, side))


def as_table(
    counts: Counts, classes: Sequence[str], caption: str, note: str = "", *, paper: bool = False
) -> Table:
    """A confusion matrix with recall beside and precision below, in per cent."""
    hits = np.diag(counts)
    true, predicted = counts.sum(axis=1), counts.sum(axis=0)
    rows = []
    for i, name in enumerate(classes):
        line = [Cell(name, strong=True)]
        for j in range(len(classes)):
            share = counts[i, j] / max(int(true[i]), 1)
            shade = round(0.75 * float(share) ** 0.6, 3) if counts[i, j] else None
            line.append(Cell(f"{counts[i, j]:,}", shade=shade, wrong=i != j, paper=paper))
        rows.append([*line, Cell(_percent(hits[i], true[i]), paper=paper)])
    below = [Cell("precision, %", strong=True)]
    below += [Cell(_percent(hits[j], predicted[j]), paper=paper) for j in range(len(classes))]
    rows.append([*below, Cell("")])
    columns = [
        Column("true ╲ predicted", numeric=False),
        *(Column(name) for name in classes),
        Column("recall, %"),
    ]
    return Table(columns, rows, caption, note)


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.2f}" if whole else "—"


def crystal_accuracy(counts: Counts, classes: Sequence[str], without: Sequence[str]) -> float | None:
    """Share of frames told right as with or without a crystal; None where these are not the classes.

    Parameters
    ----------
    counts : int64, (n_classes, n_classes)
    classes : sequence of str
        Of the rows.
    without : sequence of str
        Classes of frames without a crystal.
    """
    empty = np.array([name in without for name in classes])
    total = int(counts.sum())
    if empty.sum() != len(without) or empty.all() or not total:
        return None
    right = counts[np.ix_(empty, empty)].sum() + counts[np.ix_(~empty, ~empty)].sum()
    return float(right) / total


def crystal_text(ours: float, n: int, frames: str, published: float) -> Text:
    """The sentence on frames without a crystal; `n` frames were classified."""
    low, high = statistics.accuracy_intervals(np.array([[ours]]), np.ones(1), np.full(1, float(n)))
    between = c.between(100 * float(low[0]), 100 * float(high[0]), 1)
    return Text(
        f"Frames with a crystal are told from those without at {100 * ours:.2f} % (95 % interval "
        f"{between}; {frames}). The paper: {published:.2f} % with DeepFreak, on its own test set.",
        "verdict",
    )


def pooled(run: Run, trial: int) -> tuple[Counts, str] | None:
    """Confusion on the test split, else over the folds, and what the frames are; None where not known."""
    if (counts := run.test_confusion(trial)) is not None:
        return counts, f"{int(counts.sum()):,} frames of the test split"
    found = run.confusion(trial)
    if found is None:
        return None
    return (
        found,
        f"no test split: {c.counted(int(found.sum()), 'classification')} of held-out frames, all folds",
    )
