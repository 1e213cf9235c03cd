"""From expected photons to the counts in a file."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sweeper.simulate.scattering.detectors import BAD, Detector, gaps
from sweeper.simulate.scattering.geometry import Image
from sweeper.simulate.scattering.instruments import Instrument, Rng, log_uniform

Counts = NDArray[np.int32]


def smeared(expected: Image, sigma_px: float) -> Image:
    """Return `expected` after a Gaussian point spread."""
    from scipy.ndimage import gaussian_filter

    if sigma_px < 0.2:
        return expected
    return np.asarray(gaussian_filter(expected, sigma_px, mode="nearest", truncate=3.0), dtype=np.float32)


def poisson(expected: Image, rng: Rng) -> NDArray[np.float32]:
    """Draw the photons that arrive; large numbers take the normal limit, which is as good and quick."""
    expected = np.maximum(expected, 0)
    normal = expected + np.sqrt(expected) * rng.standard_normal(expected.shape, dtype=np.float32)
    photons = np.maximum(np.rint(normal), 0).astype(np.float32)
    few = expected < 50
    photons[few] = rng.poisson(expected[few])
    return photons


def tracks(counts: NDArray[np.float32], number: float, rng: Rng) -> None:
    """Add cosmic rays and natural radioactivity: points and short straight tracks of a few counts."""
    rows, columns = counts.shape
    for _ in range(int(rng.poisson(number))):
        length = int(rng.geometric(0.35)) if rng.random() < 0.7 else int(rng.geometric(0.08))
        angle = rng.uniform(0, 2 * np.pi)
        steps = np.arange(length)
        y = np.rint(rng.uniform(0, rows) + steps * np.sin(angle)).astype(int)
        x = np.rint(rng.uniform(0, columns) + steps * np.cos(angle)).astype(int)
        inside = (y >= 0) & (y < rows) & (x >= 0) & (x < columns)
        counts[y[inside], x[inside]] += 1 + rng.poisson(0.5, int(inside.sum()))


def _panel_pattern(shape: tuple[int, int], session: Rng) -> Image:
    """Draw the offsets that a flat panel's amplifiers leave: columns, and blocks of them."""
    columns = session.normal(0, 0.35, shape[1])
    blocks = np.repeat(session.normal(0, 0.8, 9), -(-shape[1] // 9))[: shape[1]]
    rows = session.normal(0, 0.2, shape[0])
    return (columns + blocks + rows[:, np.newaxis]).astype(np.float32)


def _wire_window(shape: tuple[int, int], session: Rng) -> Image:
    """Draw the sensitivity of a wire chamber: a square window with ragged edges, and the wires' ripple."""
    rows, columns = shape
    y = np.minimum(np.arange(rows), rows - 1 - np.arange(rows)) / rows
    x = np.minimum(np.arange(columns), columns - 1 - np.arange(columns)) / columns
    margin, soft = session.uniform(0.01, 0.08), session.uniform(0.005, 0.02)
    inside = np.minimum.outer(y, x)
    window = np.clip((inside - margin) / soft + 0.5, 0.0, 1.0) ** 2
    ripple = 1 + session.uniform(0, 0.05) * np.sin(
        np.arange(columns) * 256 / columns * session.uniform(1, 2.2)
    )
    return (window * ripple).astype(np.float32)


def _round_area(shape: tuple[int, int]) -> Image:
    """Return 1 within the circle that touches the edges of a square, 0 outside."""
    y, x = (np.linspace(-1, 1, n, dtype=np.float32) for n in shape)
    return (x**2 + y[:, np.newaxis] ** 2 < 0.98).astype(np.float32)


def _hot_pixels(counts: NDArray[np.float32], detector: Detector, session: Rng, rng: Rng) -> None:
    """Let a few pixels count without light, at the same places in all frames of a session."""
    number = int(session.poisson(session.choice([0.0, 1.0, 3.0, 10.0])))
    for _ in range(number):
        y, x = int(session.integers(counts.shape[0])), int(session.integers(counts.shape[1]))
        level = log_uniform(session, 10, 10 * detector.saturation_counts)
        counts[y, x] += rng.poisson(min(level, 1e8))


def record(
    expected: Image,
    instrument: Instrument,
    session: Rng,
    rng: Rng,
    *,
    tracks_per_frame: float,
    filled: bool = False,
    dead: NDArray[np.bool_] | None = None,
) -> Counts:
    """Draw the counts of one exposure, int32, −1 (or 0) between modules and −2 at bad pixels.

    Parameters
    ----------
    expected : Image
        Photons in each pixel.
    session : Generator
        In the same state for each frame of a session, so that bad and hot pixels stay where they are.
        rng : Generator
            Random stream of the frame.
        tracks_per_frame : float
            Mean number of cosmic rays.
    filled : bool
        Whether gaps are filled, as by a second exposure with the detector moved.
    dead : bool, of the frame's shape, optional
        Pixels where the file has no data at all.
    """
    detector = instrument.detector
    if detector.kind == "wire":
        expected = expected * _wire_window(instrument.shape, session)
    if detector.round_area:
        expected = expected * _round_area(instrument.shape)
    photons = poisson(smeared(expected, instrument.spread_px), rng)
    tracks(photons, tracks_per_frame, rng)
    if detector.kind in ("ccd", "panel"):
        gain = float(session.choice([0.3, 0.7, 1.0, 1.6]))
        offset = float(session.choice([0.0, 3.0, 10.0, 40.0])) if detector.kind == "ccd" else 3.0
        noise = session.uniform(0.5, 3.0)
        photons = gain * photons + offset + noise * rng.standard_normal(photons.shape, dtype=np.float32)
        if detector.kind == "panel":
            photons += _panel_pattern(photons.shape, session)
        np.maximum(photons, 0, out=photons)
    _hot_pixels(photons, detector, session, rng)
    counts = np.rint(np.minimum(photons, detector.saturation_counts)).astype(np.int32)
    if detector.kind == "counting":
        bad = session.integers(0, counts.size, int(session.poisson(session.choice([0.0, 3.0, 12.0]))))
        counts.ravel()[bad] = BAD
        if not filled:
            counts[gaps(detector, instrument.shape)] = instrument.gap_counts
    if dead is not None:
        counts[dead] = -1
    return counts
