"""The section on the target: how far its frames are from those that were trained on."""

from __future__ import annotations

from sweeper.report import content as c
from sweeper.report.content import Block, Cell, Column, Section, Table, Text
from sweeper.report.run import Run
from sweeper.runs.target import read_target

_TITLE = "The target's frames"


def target(run: Run) -> Section:
    """Return the share of the target's frames that are unlike the training frames, and the farthest."""
    found = read_target(run.folder.target)
    if found is None:
        return Section("target", _TITLE)
    blocks: list[Block] = [Text(f"{found.verdict[0].upper()}{found.verdict[1:]}.", "verdict")]
    blocks += [Text(f"Note: {note}.") for note in found.notes]
    columns = (Column("frame", numeric=False), Column("distance"))
    rows = [[Cell(name), Cell(c.number(far, 2), far)] for name, far in found.farthest]
    note = "In units of the distance beyond which a frame is unlike the training frames."
    blocks.append(Table(columns, rows, f"The farthest frames of {found.path}", note))
    return Section("target", _TITLE, blocks, "Target")
