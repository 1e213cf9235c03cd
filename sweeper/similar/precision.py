"""How often the nearest frames are of the same class: precision at k, frame by frame left out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sweeper.data.splits import Rows
from sweeper.similar.index import FrameIndex

QUERIES = 20_000
"""Most frames that are searched with: the same number of every class, drawn where there are more."""


@dataclass(frozen=True)
class ClassPrecision:
    """Precision of one class.

    Attributes
    ----------
    label : str
    precision : float
        Mean over the queries of the share of their k nearest frames that are of this class; NaN without
        queries.
    queries : int
    chance : float
        What frames in random order would give: the class's share of those searched.
    """

    label: str
    precision: float
    queries: int
    chance: float


@dataclass(frozen=True)
class Precision:
    """Precision at `k` by class.

    Attributes
    ----------
    k : int
    classes : tuple of ClassPrecision
        In class order.
    representation : str
    without_groups : bool
        Whether frames of a query's own group were left out, and not the query alone.
    fold : int or None
        Fold whose held-out frames are the queries, because a network was trained on the others' labels.
    """

    k: int
    classes: tuple[ClassPrecision, ...]
    representation: str
    without_groups: bool
    fold: int | None

    @property
    def mean(self) -> float:
        """Mean over the classes that have queries."""
        return float(np.mean([c.precision for c in self.classes if c.queries]))


def precision_at(
    index: FrameIndex, labels: Rows, queries: Rows, k: int, owner: Rows, n_classes: int, seed: int = 0
) -> tuple[NDArray[np.float64], Rows]:
    """Precision at k of each class.

    Parameters
    ----------
    index : FrameIndex
    labels : int64, (n,)
        Class at each position of the index.
    queries : int64, (q,)
        Positions to search with; of more than :data:`QUERIES` an equal number of each class is drawn.
    k : int
        A query with fewer frames than that to be found is scored on those there are.
    owner : int64, (n,)
        Positions of equal owner are not found by each other: groups, or each its own.
    n_classes : int
    seed : int

    Returns
    -------
    precision : float64, (n_classes,)
        NaN for a class without queries that found anything.
    count : int64, (n_classes,)
        Such queries.
    """
    chosen = _drawn(queries, labels, seed)
    near, _ = index.nearest(index.vectors(chosen), k, owner, owner[chosen])
    there = near >= 0
    hits = ((labels[near] == labels[chosen, None]) & there).sum(axis=1)
    scored = there.any(axis=1)
    share = hits[scored] / there[scored].sum(axis=1)
    of_class = labels[chosen][scored]
    count = np.bincount(of_class, minlength=n_classes)
    total = np.bincount(of_class, weights=share, minlength=n_classes)
    precision = np.divide(total, count, out=np.full(n_classes, np.nan), where=count > 0)
    return precision, count.astype(np.int64)


def _drawn(queries: Rows, labels: Rows, seed: int) -> Rows:
    """At most :data:`QUERIES` of the queries, ascending."""
    if len(queries) <= QUERIES:
        return queries
    present = np.unique(labels[queries])
    each = max(1, QUERIES // len(present))
    rng = np.random.default_rng(seed)
    parts = [rng.permutation(queries[labels[queries] == c])[:each] for c in present]
    return np.sort(np.concatenate(parts))
