"""The answer of a search, and how good it is, as text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from sweeper.runs.tables import render

if TYPE_CHECKING:
    from sweeper.similar import Found, Precision


def similar_table(found: Found) -> str:
    """Rank, frame, class and distance of what was found, nearest first."""
    if not found.frames:
        return "no other frame to find"
    rows = [(str(s.rank), s.frame, s.label, f"{s.distance:.4g}") for s in found.frames]
    return _table(("rank", "frame", "class", "distance"), "rllr", rows)


def precision_table(precision: Precision) -> str:
    """Precision by class, and what it is the precision of."""
    rows = [
        (c.label, f"{c.precision:.3f}" if c.queries else "", f"{c.chance:.3f}", str(c.queries))
        for c in precision.classes
    ]
    rows.append(("mean", f"{precision.mean:.3f}", "", str(sum(c.queries for c in precision.classes))))
    out = "frames of a query's own group left out" if precision.without_groups else "the query left out"
    if precision.fold is not None:
        out += f"; queries are frames of fold {precision.fold} that the network was not fitted on"
    table = _table(("class", f"precision@{precision.k}", "by chance", "queries"), "lrrr", rows)
    return f"{table}\n{out}"


def _table(names: tuple[str, ...], sides: str, rows: Sequence[tuple[str, ...]]) -> str:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for name, side in zip(names, sides, strict=True):
        justify: Any = "right" if side == "r" else "left"
        table.add_column(name, justify=justify, overflow="fold")
    for row in rows:
        table.add_row(*row)
    return render(table)
