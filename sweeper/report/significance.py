"""Differences between pipelines: how large they are, how sure, and how sure when many pairs are compared."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sweeper.evaluate import statistics
from sweeper.evaluate.metrics import WORST_DOMAIN
from sweeper.report.run import Run

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Difference:
    """How much better one pipeline scored than another on the same frames.

    Attributes
    ----------
    mean : float
    low, high : float or None
        95 % interval; None if there is nothing to compute it from.
    p : float or None
        Of the corrected resampled t-test; None with a single split.
    """

    mean: float
    low: float | None
    high: float | None
    p: float | None

    @property
    def better(self) -> bool:
        """Whether the interval says that the first is better."""
        return self.low is not None and self.low > 0

    @property
    def worse(self) -> bool:
        """Whether the interval says that the first is worse."""
        return self.high is not None and self.high < 0


def difference(run: Run, first: int, second: int) -> Difference | None:
    """Compare two trials by the run's metric; return None if the folds of one are not known.

    Two folds or more are compared by the corrected resampled t-test of :mod:`sweeper.evaluate.statistics`.
    Accuracies of a single split are compared by Newcombe's hybrid interval (Stat. Med. 17 (1998) 873,
    method 10), as if they were of different frames, which makes it wider than it need be.
    """
    a, b = run.scores(first), run.scores(second)
    if not len(a) or len(a) != len(b):
        return None
    n_train, n_validation = run.sizes(first)
    defined = np.isfinite(a - b)
    if not defined.any():
        return None
    a, b = a[defined], b[defined]
    mean = float((a - b).mean())
    if len(a) > 1:
        low, high = statistics.interval(a - b, n_train, n_validation)
        return Difference(mean, low, high, statistics.p_value(a, b, n_train, n_validation))
    if run.metric != "accuracy":
        return Difference(mean, None, None, None)
    return Difference(mean, *_newcombe(float(a[0]), float(b[0]), n_train, n_validation), None)


def _newcombe(a: float, b: float, n_train: float, n: float) -> tuple[float, float]:
    """Return Newcombe's interval of the difference of two accuracies."""
    low, high = statistics.accuracy_intervals(
        np.array([[a], [b]]), np.full(2, n_train), np.full(2, n)
    )  # Wilson's, since there is one split
    down = np.hypot(a - low[0], high[1] - b)
    up = np.hypot(high[0] - a, b - low[1])
    return float(a - b - down), float(a - b + up)


def interval(run: Run, row: object) -> tuple[float, float] | None:
    """Return the 95 % interval of a row's score in the run's metric; None if there is none."""
    if run.metric == "accuracy":
        low, high = float(row.accuracy_ci_low), float(row.accuracy_ci_high)  # type: ignore[attr-defined]
        return None if np.isnan(low) else (low, high)
    trial = int(row.trial)  # type: ignore[attr-defined]
    values = run.scores(trial)
    values = values[np.isfinite(values)]
    if len(values) < 2 or run.metric == WORST_DOMAIN:  # that of a mean is none of a minimum
        return None
    low, high = statistics.interval(values, *run.sizes(trial))
    return max(low, -1.0), min(high, 1.0)
