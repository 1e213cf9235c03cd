"""Retrieval of similar frames (camSortXS Figure 2)."""

from __future__ import annotations

import tempfile
from pathlib import Path

from sweeper.report import content as c
from sweeper.report.content import Block, Cell, Code, Column, Sheet, Table, Text
from sweeper.report.run import Run
from sweeper.similar import draw_retrieval, similarity_precision
from sweeper.similar.precision import Precision

_TITLE = "Figure 2. Similar frames"


def blocks(run: Run) -> list[Block]:
    """The figure and precision at 10 by class; how to get them where they cannot be made here."""
    if not run.folder.features.is_dir():
        return _how(run, "")
    try:
        with tempfile.TemporaryDirectory(prefix="sweeper-report-") as folder:
            path = Path(folder) / "retrieval.png"
            draw_retrieval(run.folder.path, path, per_class=1)
            picture = path.read_bytes()
        precision = similarity_precision(run.folder.path)
    except (ValueError, OSError) as error:
        return _how(run, f" could not be drawn here: {error}")
    caption = (
        f"{_TITLE}: a frame of each class, drawn at random, and the frames nearest to it in "
        f"{precision.representation}. The paper searches with LeNet's features and prints no numbers."
    )
    about = "A frame of each class and the frames nearest to it"
    return [
        Sheet("camsortxs-figure-2", picture, caption, about),
        _precision(precision),
    ]


def _how(run: Run, why: str) -> list[Block]:
    return [
        Text(
            f"{_TITLE}{why or ': the ten frames nearest to one, and precision by class, are made by'}", "note"
        ),
        Code(f"sweeper similar {run.name} FRAME --precision --out similar"),
    ]


def _precision(found: Precision) -> Table:
    rows = [
        [
            Cell(one.label, strong=True),
            Cell(c.number(one.precision, 3)),
            Cell(c.number(one.chance, 3)),
            Cell(f"{one.queries:,}"),
        ]
        for one in found.classes
    ]
    columns = (
        Column("class", numeric=False),
        Column(f"precision@{found.k}"),
        Column("by chance"),
        Column("queries"),
    )
    note = "Share of the nearest frames that are of the query's class; the query itself is left out"
    note += ", and so are frames of its group." if found.without_groups else "."
    return Table(columns, rows, f"Precision at {found.k} of the retrieval", note)
