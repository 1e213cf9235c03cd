"""Retrieval of similar frames (camSortXS Figure 2)."""

from __future__ import annotations

from sweeper.report.content import Block, Code, Text
from sweeper.report.labels import Labels
from sweeper.report.run import Run


def blocks(run: Run, labels: Labels) -> list[Block]:
    """Where to get Figure 2."""
    return [
        Text("Figure 2. The ten frames nearest to one, and precision@10 by class, are made by:", "note"),
        Code(f"sweeper similar {run.name} FRAME --precision --out similar"),
    ]
