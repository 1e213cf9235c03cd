"""Whether the order that the papers found holds in a run, from its scores alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from sweeper.evaluate.metrics import TITLES
from sweeper.pipeline import names_of
from sweeper.report import content as c
from sweeper.report.content import Block, Cell, Column, Table, Text
from sweeper.report.run import Run
from sweeper.report.significance import Difference, difference

Outcome = Literal["holds", "fails", "open"]

FAR = 0.1
"""Least difference that ≫ asks for."""
CLOSE = 0.02
"""A difference that does not count."""


@dataclass(frozen=True)
class Relation:
    """A relation between two featurizers, and what a run says of it.

    Attributes
    ----------
    first, sign, second : str
        ``glcm``, one of ≥, ≫ and ≈, ``lbp``.
    found : Difference
        Between the best pipelines of both.
    """

    first: str
    sign: str
    second: str
    found: Difference

    @property
    def outcome(self) -> Outcome:
        """Whether the run agrees with the relation, as far as its interval tells."""
        d = self.found
        low, high = (-math.inf, math.inf) if d.low is None or d.high is None else (d.low, d.high)
        if self.sign == "≥":
            return "holds" if low > -CLOSE else "fails" if high < 0 else "open"
        if self.sign == "≫":
            return "holds" if low > 0 and d.mean >= FAR else "fails" if high < FAR else "open"
        return "holds" if abs(d.mean) <= CLOSE else "fails" if low > CLOSE or high < -CLOSE else "open"

    @property
    def said(self) -> str:
        """The outcome in words."""
        return {
            "holds": "holds",
            "fails": "does not hold",
            "open": "cannot be told",
        }[self.outcome]


def relations(run: Run) -> list[Relation]:
    """The papers' relations between featurizers that the run has finished pipelines of."""
    rows: list[Any] = list(run.done.itertuples())
    best = {row.featurizer: row for row in reversed(rows)}
    wanted = [("glcm", "≥", "lbp"), ("lbp", "≫", "sift")]
    networks = (row.featurizer for row in rows if row.training_set and len(names_of(row.featurizer)) == 1)
    network = next(networks, None)
    if network:
        wanted.append((network, "≈", "glcm"))
    found = []
    for first, sign, second in wanted:
        if first in best and second in best:
            d = difference(run, int(best[first].trial), int(best[second].trial))
            if d is not None:
                found.append(Relation(first, sign, second, d))
    return found


def blocks(run: Run) -> list[Block]:
    """The papers' order, GLCM ≥ LBP ≫ SIFT and networks close to GLCM, held against this run."""
    found = relations(run)
    if not found:
        return []
    said = [f"{r.first} {r.sign} {r.second} {r.said} ({c.signed(r.found.mean, 3)})" for r in found]
    verdict = f"The papers' order in this run: {'; '.join(said)}."
    rows = []
    for relation in found:
        d = relation.found
        rows.append(
            [
                Cell(f"{relation.first} {relation.sign} {relation.second}", strong=True),
                Cell(c.signed(d.mean)),
                Cell(c.between(d.low, d.high, 4)),
                Cell(relation.said),
            ]
        )
    columns = (
        Column("the papers' order", numeric=False),
        Column("difference", about=f"in {TITLES[run.metric]}"),
        Column("95 % interval"),
        Column("this run", numeric=False),
    )
    there = set(run.done["featurizer"])
    missing = [name for name in ("glcm", "lbp", "sift") if name not in there and name in run.featurizers]
    note = (
        f"Difference in {TITLES[run.metric]} between the best finished pipelines of each. ≥ holds where "
        f"the first is not worse by {CLOSE:g} or more, ≫ where it is better by {FAR:g} or more, ≈ where "
        f"they differ by {CLOSE:g} at most."
    )
    if missing:
        note += f" Without a finished pipeline here: {', '.join(missing)}."
    return [
        Text(verdict, "verdict"),
        Table(columns, rows, "", note),
    ]
