"""Whether the order that the papers found holds in a run, from its scores alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sweeper import plugins
from sweeper.api import Network
from sweeper.report import content as c
from sweeper.report.content import Block, Cell, Column, Table, Text
from sweeper.report.labels import Labels
from sweeper.report.ranking import NAMES
from sweeper.report.run import Run
from sweeper.report.significance import Difference, difference

FAR = 0.1
"""≫: better beyond doubt, and by this much."""
CLOSE = 0.02
"""≈: closer than this, or not to be told apart."""


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
    def holds(self) -> bool:
        """Whether the run agrees with the relation."""
        d = self.found
        if self.sign == "≥":
            return d.mean >= 0 or not d.worse
        if self.sign == "≫":
            return d.better and d.mean >= FAR
        return abs(d.mean) <= CLOSE or not (d.better or d.worse)

    @property
    def said(self) -> str:
        """The verdict in words."""
        d = self.found
        apart = "beyond doubt" if d.better or d.worse else "not to be told from 0"
        if d.low is None:
            apart = "no interval"
        if self.sign == "≫" and d.better and not self.holds:
            return f"better, but by less than {FAR:g}"
        return f"{'holds' if self.holds else 'does not hold'}: {apart}"


def relations(run: Run) -> list[Relation]:
    """The papers' relations between featurizers that the run has finished pipelines of."""
    best = {row.featurizer: row for row in reversed(list(run.done.itertuples()))}
    wanted = [("glcm", "≥", "lbp"), ("lbp", "≫", "sift")]
    network = next((row.featurizer for row in run.done.itertuples() if _is_network(row.featurizer)), None)
    if network:
        wanted.append((network, "≈", "glcm"))
    found = []
    for first, sign, second in wanted:
        if first in best and second in best:
            d = difference(run, int(best[first].trial), int(best[second].trial))
            if d is not None:
                found.append(Relation(first, sign, second, d))
    return found


def _is_network(name: Any) -> bool:
    try:
        return isinstance(plugins.featurizer(str(name)), Network)
    except ValueError:
        return False


def blocks(run: Run, labels: Labels) -> list[Block]:
    """The papers' order, GLCM ≥ LBP ≫ SIFT and networks close to GLCM, held against this run."""
    found = relations(run)
    if not found:
        return []
    kept = [relation for relation in found if relation.holds]
    text = " and ".join(f"{r.first} {r.sign} {r.second}" for r in found)
    verdict = "holds" if len(kept) == len(found) else "does not hold" if not kept else "holds in part"
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
        Column(f"difference in {NAMES[run.metric]}"),
        Column("95 % interval"),
        Column("in this run", numeric=False),
    )
    missing = [name for name in ("glcm", "lbp", "sift") if name not in set(run.done["featurizer"])]
    note = (
        "Between the best finished pipeline of each. ≥ holds unless the first is worse beyond doubt; ≫ asks for better "
        f"beyond doubt and by {FAR:g} or more; ≈ for a difference of {CLOSE:g} at most, or one not to be told from 0."
    )
    if missing:
        note += f" Without a finished pipeline here: {', '.join(missing)}."
    return [
        Text(f"The papers' order, {text}, {verdict} in this run.", "verdict"),
        Table(columns, rows, "", note),
    ]
