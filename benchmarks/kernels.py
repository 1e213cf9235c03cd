"""Compiled kernels on one core: those of texture against scikit-image, forests against scikit-learn.

All 20 GLCM blocks (distances 1, 2, 4, 5, 8; angles 0, 45, 90, 135; seven properties) and all 12 LBP
settings (4, 8, 16, 24 points; radius 1, 2, 3) of a 512 × 512 frame at 256 grey levels. Two frames: a
scattering pattern with Bragg spots and Poisson noise, log-scaled as sweeps do it, and uniform noise over
the full range, the kernels' worst case. Each time is the best of several runs; the figures are the less
favourable frame's ratio. The peaks featurizer has no peer in scikit-image: its time is that of a frame of two
megapixels with 200 spots. Forests are of 200 trees, fitted on 240 rows of 112 features (GLCM's 16 blocks) and
asked for the scores of one row; figures are those of the slower kind.

    python benchmarks/kernels.py [--quick] [--json FILE]
"""

# ruff: noqa: E402

from __future__ import annotations

import os

for _variable in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_variable] = "1"  # before numpy is imported

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from numpy.typing import NDArray
from skimage.feature import graycomatrix, graycoprops, local_binary_pattern
from sweeper.featurizers import glcm, lbp, peaks

from sweeper import plugins
from sweeper.api import Build, Params, PreparedFrame

SIZE, LEVELS = 512, 256
_TOLERANCE = 1e-9
DISTANCES, ANGLES_DEG = (1, 2, 4, 5, 8), (0, 45, 90, 135)
GLCM_BLOCKS = [{"distance": d, "angle_deg": a} for d in DISTANCES for a in ANGLES_DEG]
LBP_BLOCKS = [{"points": p, "radius": r} for p in (4, 8, 16, 24) for r in (1, 2, 3)]


@dataclass(frozen=True)
class Timing:
    """One kernel on one frame: best times in seconds, largest difference of any feature."""

    kernel: str
    frame: str
    ours_s: float
    reference_s: float
    difference: float

    @property
    def ratio(self) -> float:
        return self.reference_s / self.ours_s


def scattering_frame(seed: int) -> PreparedFrame:
    """Sixteen-bit counts of a water ring with Bragg spots: log1p, clipped to 0.1 and 99.9 percent."""
    rng = np.random.default_rng(seed)
    row, column = np.indices((SIZE, SIZE), dtype=np.float64)
    radius = np.hypot(row - SIZE / 2, column - SIZE / 2)
    expected = 4 + 2000 * np.exp(-radius / 25) + 120 * np.exp(-(((radius - 150) / 40) ** 2))
    for y, x, strength in zip(*rng.uniform(0, SIZE, (2, 150)), rng.lognormal(6, 1.2, 150), strict=True):
        r, c = int(y), int(x)
        near = np.s_[max(r - 6, 0) : r + 7, max(c - 6, 0) : c + 7]
        expected[near] += strength * np.exp(-((row[near] - y) ** 2 + (column[near] - x) ** 2) / 3)
    counts = np.minimum(rng.poisson(expected), 65_535).astype(np.float32)
    scaled = np.log1p(counts)
    low, high = np.percentile(scaled, (0.1, 99.9))
    image = np.clip((scaled - low) / (high - low), 0, 1).astype(np.float32)
    return PreparedFrame(counts, image, np.ones(counts.shape, bool), LEVELS)


def detector_frame(seed: int) -> PreparedFrame:
    """Two megapixels of a Pilatus, 1679 × 1475: a solvent ring of about ten counts and 200 spots."""
    rng = np.random.default_rng(seed)
    row, column = np.indices((1679, 1475), dtype=np.float64)
    radius = np.hypot(row - 840, column - 737)
    expected = 4 + 30 * np.exp(-radius / 300) + 10 * np.exp(-(((radius - 500) / 60) ** 2))
    for y, x, wide in zip(*rng.uniform(20, 1450, (2, 200)), rng.uniform(0.5, 3, 200), strict=True):
        near = np.s_[int(y) - 12 : int(y) + 13, int(x) - 12 : int(x) + 13]
        expected[near] += (
            60 * wide * np.exp(-((row[near] - y) ** 2 + (column[near] - x) ** 2) / (2 * wide**2))
        )
    counts = rng.poisson(expected).astype(np.float32)
    return PreparedFrame(counts, np.zeros_like(counts), np.ones(counts.shape, bool), LEVELS)


def noise_frame(seed: int) -> PreparedFrame:
    """Every grey level equally often, no two neighbours related."""
    level = np.random.default_rng(seed).integers(0, LEVELS, (SIZE, SIZE)).astype(np.float32)
    image = ((level + 0.5) / LEVELS).astype(np.float32)
    return PreparedFrame(level, image, np.ones(level.shape, bool), LEVELS)


def reference_glcm(image: NDArray[np.uint8]) -> None:
    """All blocks at once: the fastest way through scikit-image."""
    matrix = graycomatrix(image, DISTANCES, np.deg2rad(ANGLES_DEG), LEVELS, symmetric=True, normed=True)
    for name in glcm.COLUMNS:
        graycoprops(matrix, name)


def reference_lbp(image: NDArray[np.uint8]) -> None:
    for block in LBP_BLOCKS:
        lbp_row(image, block)


def glcm_row(image: NDArray[np.uint8], block: Params) -> NDArray[np.float64]:
    """One block alone, for the difference: the sums over many blocks at once lose some four digits."""
    angle = np.deg2rad(block["angle_deg"])
    matrix = graycomatrix(image, [block["distance"]], [angle], LEVELS, symmetric=True, normed=True)
    return np.array([graycoprops(matrix, name)[0, 0] for name in glcm.COLUMNS])


def lbp_row(image: NDArray[np.uint8], block: Params) -> NDArray[np.float64]:
    codes = local_binary_pattern(image, block["points"], block["radius"], method="uniform")
    return np.asarray(np.bincount(codes.astype(int).ravel(), minlength=block["points"] + 2) / image.size)


def best_s(call: Callable[[], object], repeats: int) -> float:
    """Shortest CPU time of `repeats` calls in this thread, in seconds: other programs hardly matter."""
    times = []
    for _ in range(repeats):
        start = time.thread_time()
        call()
        times.append(time.thread_time() - start)
    return min(times)


def measure(name: str, frame: PreparedFrame, repeats: int) -> list[Timing]:
    """Both kernels on one frame."""
    image = frame.quantised
    cases: list[tuple[Any, Sequence[Params], Any, Any]] = [
        (glcm.FEATURIZER, GLCM_BLOCKS, reference_glcm, glcm_row),
        (lbp.FEATURIZER, LBP_BLOCKS, reference_lbp, lbp_row),
    ]
    timings = []
    for featurizer, blocks, reference, reference_row in cases:
        rows = featurizer.compute(frame, blocks)  # compiles
        worst = max(
            float(np.abs(row - reference_row(image, block)).max())
            for block, row in zip(blocks, rows, strict=True)
        )
        ours = best_s(partial(featurizer.compute, frame, blocks), 5 * repeats)
        theirs = best_s(partial(reference, image), repeats)
        timings.append(Timing(featurizer.name, name, ours, theirs, worst))
    return timings


def measure_forests(repeats: int) -> list[Timing]:
    """Fits, and the scores of a single row, of both kinds of forest."""
    rng = np.random.default_rng(1)
    y = rng.integers(0, 5, 240)
    x = rng.normal(size=(240, 112)) + 0.5 * y[:, np.newaxis] * (rng.random(112) < 0.1)
    weights, timings = np.ones(240), []
    for name in ("rf", "et"):
        classifier = plugins.classifier(name)
        params = {axis.name: axis.default for axis in classifier.axes} | {"n_trees": 200}
        build = Build(params=params, budget=1.0, seed=1, threads=1, n_classes=5)
        ours, library = classifier.build(build), classifier.build(build).estimator
        fit_s = best_s(partial(ours.fit, x, y, weights), repeats)
        library_fit_s = best_s(partial(library.fit, x, y, sample_weight=weights), repeats)
        row_s = best_s(partial(ours.scores, x[:1]), 5 * repeats)
        library_row_s = best_s(partial(library.predict_proba, x[:1]), 5 * repeats)
        difference = float(np.abs(ours.scores(x) - library.predict_proba(x)).max())
        timings.append(Timing(name, "fit", fit_s, library_fit_s, difference))
        timings.append(Timing(name, "one row", row_s, library_row_s, difference))
    return timings


def show(timings: Sequence[Timing], peer: str) -> None:
    """Print a line for each."""
    print(f"{'kernel':8}{'of':12}{'ours, ms':>10}{peer + ', ms':>18}{'ratio':>8}{'difference':>14}")
    for t in timings:
        print(
            f"{t.kernel:8}{t.frame:12}{t.ours_s * 1e3:10.2f}{t.reference_s * 1e3:18.1f}"
            f"{t.ratio:8.1f}{t.difference:14.1e}"
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the table, write the figures; exit with status 1 where values differ."""
    parser = argparse.ArgumentParser(description="Compiled kernels on one core.")
    parser.add_argument("--quick", action="store_true", help="fewer repeats")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    options = parser.parse_args(arguments)
    repeats = 2 if options.quick else 10
    timings = measure("scattering", scattering_frame(1), repeats) + measure("noise", noise_frame(1), repeats)

    forests = measure_forests(repeats)

    print(f"{SIZE} × {SIZE}, {LEVELS} levels, one thread, best of {5 * repeats} and {repeats} runs")
    show(timings, "scikit-image")
    show(forests, "scikit-learn")
    frame, blocks = detector_frame(1), [{"snr": 6}]
    peaks.FEATURIZER.compute(frame, blocks)  # compiles
    peaks_s = best_s(partial(peaks.FEATURIZER.compute, frame, blocks), 5 * repeats)
    print(f"peaks: {peaks_s * 1e3:.2f} ms a frame of 1679 × 1475")
    figures = {
        "glcm_speedup": min(t.ratio for t in timings if t.kernel == "glcm"),
        "lbp_speedup": min(t.ratio for t in timings if t.kernel == "lbp"),
        "forest_fit_speedup": min(t.ratio for t in forests if t.frame == "fit"),
        "forest_row_speedup": min(t.ratio for t in forests if t.frame == "one row"),
        "max_abs_difference": max(t.difference for t in (*timings, *forests)),
        "peaks_2m_ms": peaks_s * 1e3,
    }
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    if figures["max_abs_difference"] > _TOLERANCE:
        sys.exit("values differ from those of the libraries")


if __name__ == "__main__":
    main()
