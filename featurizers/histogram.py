"""First-order statistics of the grey levels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.api import Featurizer, Params, PreparedFrame

COLUMNS = ("mean", "entropy", "energy", "variance", "skewness", "kurtosis", "roughness")


def _columns(params: Params) -> tuple[str, ...]:
    return COLUMNS


def _statistics(frame: PreparedFrame) -> NDArray[np.float64]:
    """Return the seven columns, (7,)."""
    counts = np.bincount(frame.quantised[frame.valid], minlength=frame.levels)
    n = int(counts.sum())
    if n == 0:
        return np.zeros(len(COLUMNS))
    p = counts / n  # (levels,)
    z = np.arange(p.size, dtype=np.float64)
    mean = float(p @ z)
    variance = float(p @ (z - mean) ** 2)
    used = p[p > 0]
    skewness = kurtosis = 0.0
    if used.size > 1:
        skewness = float(p @ (z - mean) ** 3) / variance**1.5
        kurtosis = float(p @ (z - mean) ** 4) / variance**2
    else:  # one level: no rounding residue of the mean may pass for a spread
        variance = 0.0
    entropy = abs(float(used @ np.log2(used)))
    roughness = 1.0 - 1.0 / (1.0 + variance / (frame.levels - 1) ** 2)
    return np.array([mean, entropy, float(p @ p), variance, skewness, kurtosis, roughness])


def _compute(frame: PreparedFrame, blocks: Sequence[Params]) -> list[NDArray[Any]]:
    """Compute the same row for each block asked for: there are no parameters; see :data:`FEATURIZER`."""
    row = _statistics(frame)
    return [row.copy() for _ in blocks]


FEATURIZER = Featurizer(
    name="histogram",
    version=1,
    source="Gonzalez, Woods, Digital Image Processing, statistical texture; camSortXS, histogram features",
    axes=(),
    columns=_columns,
    compute=_compute,
)
"""Seven statistics of p(z), the share of valid pixels at each grey level z of 0 to L − 1:

- mean m = Σ z p and variance σ² = Σ (z − m)² p, in grey levels;
- entropy −Σ p log₂ p, in bits, and energy (uniformity) Σ p²;
- skewness Σ (z − m)³ p / σ³ and kurtosis Σ (z − m)⁴ p / σ⁴ (3 for a normal distribution), both 0 where
  all pixels have one level;
- roughness 1 − 1 / (1 + σ² / (L − 1)²).

These are the textbook definitions. camSortXS's published script departs from them twice: it normalises
the histogram two times over, and it takes the variance *of the histogram's values* for the variance of the
image. Its numbers are therefore not these. Without a valid pixel all columns are 0.
"""
