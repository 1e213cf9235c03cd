"""Whether probabilities mean what they say, before and after calibration."""

from __future__ import annotations

from typing import Any

from sweeper.evaluate.calibration import QUALITIES
from sweeper.report import content as c
from sweeper.report.content import Block, Cell, Chart, Column, Row, Section, Table, Text
from sweeper.report.drawings import reliability
from sweeper.report.labels import Labels
from sweeper.report.run import Run

_DRAWN = 2  # pipelines with a reliability diagram, best first


def probabilities(run: Run, labels: Labels) -> Section:
    """Return reliability diagrams of the best, and log loss, Brier score and calibration error of each."""
    title = "What probabilities are worth"
    known = run.results.probabilities
    rows: list[Any] = [row for row in run.done.itertuples() if row.trial in known]
    if not rows:
        return Section("probabilities", title)
    said = (
        "Frames by the confidence of the pipeline against how often it was right; a model that is exported "
        "gives calibrated probabilities. Each frame is judged by a map from scores to probabilities that was "
        "fitted on other folds; of four maps the one with the lowest log loss is taken."
    )
    charts = [
        Chart(
            "reliability" if row is rows[0] else f"reliability-{at}",
            reliability(known[row.trial].before.bins, known[row.trial].after.bins),
            f"{labels.short(row)}, rank {row.rank}: accuracy of its frames by their confidence.",
        )
        for at, row in enumerate(rows[:_DRAWN], 1)
    ]
    columns = [
        Column("rank"),
        Column("pipeline", numeric=False),
        Column("calibrated by", numeric=False),
        *(Column(name, about="before → after calibration; 0 is perfect") for name in QUALITIES.values()),
    ]
    cells = [
        [
            Cell(str(row.rank), row.rank),
            Cell(labels.long(row)),
            Cell(known[row.trial].method),
            *(_change(known[row.trial], name) for name in QUALITIES),
        ]
        for row in rows
    ]
    blocks: list[Block] = [Text(said), Row(charts), Table(columns, cells, "", "", heads=2)]
    return Section("probabilities", title, blocks, "Probabilities")


def _change(found: Any, name: str) -> Cell:
    before, after = getattr(found.before, name), getattr(found.after, name)
    return Cell(f"{c.number(before, 3)} → {c.number(after, 3)}", after)
