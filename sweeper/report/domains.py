"""The best pipeline's accuracy in each domain, predicted by fits on the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.report import content as c
from sweeper.report.content import Block, Cell, Column, Section, Table, Text
from sweeper.report.labels import Labels
from sweeper.report.predictions import FrameScores, read_scores
from sweeper.report.run import Run
from sweeper.runs.data import run_data

_LOOKED_AT = 10
"""Pipelines whose predictions are looked for: an ensemble has none of its own."""


def domains(run: Run, labels: Labels) -> Section:
    """Return a table of domains, the worst first, where whole domains were held out."""
    title = "Domains that were never seen"
    if run.spec.hold_out is None:
        return Section("domains", title)
    rows: list[Any] = list(run.done.head(_LOOKED_AT).itertuples())
    kept = ((row, read_scores(run, int(row.trial))) for row in rows)
    row, scores = next(((row, found) for row, found in kept if found is not None), (None, None))
    if scores is None:
        return Section("domains", title)
    try:
        data = run_data(run.folder).dataset
    except ValueError as error:
        return Section("domains", title, [Text(f"The domains cannot be listed: {error}.", "note")], "Domains")
    assert data.domains is not None
    found = in_each(scores, data.domains[scores.frame], data.domain_names, run.classes)
    columns = [
        Column("domain", numeric=False), Column("frames"), Column("accuracy"),
        Column("most frequent mistake", numeric=False),
    ]  # fmt: skip
    said = (
        f"The best single pipeline ({labels.long(row)}) in each of {c.counted(len(found), 'domain')}, fitted "
        "on frames of others: what to expect of a domain that is not in the data."
    )
    cells = [
        [
            Cell(d.name),
            Cell(f"{d.frames:,}", d.frames),
            Cell(c.number(d.accuracy, 4), d.accuracy),
            Cell(d.mistake),
        ]
        for d in found
    ]
    blocks: list[Block] = [Text(said), Table(columns, cells, "", "", sortable=True)]
    return Section("domains", title, blocks, "Domains")


@dataclass(frozen=True)
class InDomain:
    """The accuracy of a pipeline in one domain.

    Attributes
    ----------
    name : str
    frames : int
        That folds held out.
    accuracy : float
    mistake : str
        The most frequent one, empty where there is none.
    """

    name: str
    frames: int
    accuracy: float
    mistake: str


def in_each(
    scores: FrameScores, domains: NDArray[np.int64], names: Sequence[str], classes: Sequence[str]
) -> list[InDomain]:
    """Return what a pipeline is worth in each domain that was held out, the worst first.

    Parameters
    ----------
    scores : FrameScores
    domains : int64, (n,)
        Position in `names` of the domain of each row of the scores.
    names, classes : sequence of str
    """
    found = []
    for number in np.unique(domains).tolist():
        true, predicted = scores.label[domains == number], scores.predicted[domains == number]
        accuracy = float(np.mean(true == predicted))
        found.append(InDomain(names[number], len(true), accuracy, _mistake(true, predicted, classes)))
    return sorted(found, key=lambda one: (one.accuracy, one.name))


def _mistake(true: NDArray[np.int64], predicted: NDArray[np.int64], classes: Sequence[str]) -> str:
    wrong = true != predicted
    if not wrong.any():
        return ""
    pairs, counts = np.unique(np.stack([true[wrong], predicted[wrong]]), axis=1, return_counts=True)
    actual, taken = (int(k) for k in pairs[:, counts.argmax()])
    of = int(np.count_nonzero(true == actual))
    return f"{classes[actual]} taken for {classes[taken]}, {int(counts.max()):,} of {of:,}"
