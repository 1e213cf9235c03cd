"""From expected photons to the counts in a file."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sweeper.simulate.scattering.detectors import BAD, Area, Detector, gaps
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


def _round_area(area: Area, shape: tuple[int, int]) -> Image:
    """Return 1 within the circle that touches the edges of a square detector, 0 outside."""
    detector = area.detector
    y = (area.top + (np.arange(shape[0], dtype=np.float32) + 0.5) * area.rows / shape[0]) / detector.rows
    x = area.left + (np.arange(shape[1], dtype=np.float32) + 0.5) * area.columns / shape[1]
    x = x / detector.columns
    inside = (2 * x - 1) ** 2 + (2 * y[:, np.newaxis] - 1) ** 2 < 0.98
    return inside.astype(np.float32)


def _tapers(shape: tuple[int, int], session: Rng) -> Image:
    """Draw the sensitivity of a camera behind fibre tapers: dim corners, and chips that differ a little."""
    y, x = (np.linspace(-1, 1, n, dtype=np.float32) for n in shape)
    dim = session.uniform(0, 0.25) if session.random() < 0.5 else 0.0
    flat = 1 - np.float32(dim) * (x**2 + y[:, np.newaxis] ** 2) / 2
    if session.random() < 0.4:
        chips = int(session.choice([2, 3]))
        gains = session.normal(1, 0.03, (chips, chips)).astype(np.float32)
        rows, columns = (np.arange(n) * chips // n for n in shape)
        flat = flat * gains[np.ix_(rows, columns)]
    return np.asarray(flat, dtype=np.float32)


def _afterglow(expected: Image, beam: tuple[float, float], session: Rng) -> Image:
    """Draw what the last exposure left on a phosphor or a plate: a pale blurred frame, and the bare beam."""
    left = log_uniform(session, 1e-4, 0.05) * smeared(expected, max(expected.shape) * 0.01)
    if np.isfinite(beam).all() and session.random() < 0.5:
        y = (np.arange(expected.shape[0]) - beam[1]).astype(np.float32)[:, np.newaxis]
        x = (np.arange(expected.shape[1]) - beam[0]).astype(np.float32)[np.newaxis, :]
        sigma = max(expected.shape) * log_uniform(session, 0.002, 0.03)
        height = float(np.quantile(expected, 0.98)) * log_uniform(session, 0.05, 10)
        left += np.float32(height) * np.exp(-0.5 * np.minimum((x * x + y * y) / np.float32(sigma**2), 60))
    return left


DEPTHS = {"counts": 64, "16 bits": 8, "12 bits": 6, "8 bits": 8, "8 bits, logarithm": 5, "scaled": 9}
"""How often a file holds the counts themselves, what fits into fewer bits, a picture, or scaled counts."""

_MOST = 2**31 - 1


def stored(counts: NDArray[np.float32], depth: str, session: Rng) -> Counts:
    """Return what a file of some depth holds, one of :data:`DEPTHS`."""
    most = {"16 bits": 65_535, "12 bits": 4_095, "8 bits": 255, "8 bits, logarithm": 255}.get(depth, _MOST)
    values = counts.astype(np.float64)
    if depth.startswith("8 bits"):
        top = max(float(np.quantile(values, session.uniform(0.99, 1.0))), 1.0)
        if depth == "8 bits, logarithm":
            values, top = np.log1p(values), float(np.log1p(top))
        values = values * (255 / top)
    elif depth == "scaled":  # by a monitor or by time
        values = values * log_uniform(session, 0.3, 1000)
    return np.rint(np.minimum(values, most)).astype(np.int32)


def _dead_parts(counts: Counts, instrument: Instrument, session: Rng) -> None:
    """Let a module or a block of rows or columns have no counts, now and then."""
    if session.random() > 0.06:
        return
    rows, columns = counts.shape
    area = instrument.area
    tall = max(1, round(area.detector.module[0] * rows / area.rows))
    wide = max(1, round(area.detector.module[1] * columns / area.columns))
    if tall >= rows and wide >= columns:
        tall, wide = max(1, rows // 8), columns
    top, left = (
        int(session.integers(0, max(1, rows - tall + 1))),
        int(session.integers(0, max(1, columns - wide + 1))),
    )
    counts[top : top + tall, left : left + wide] = instrument.gap_counts


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
    depth: str = "counts",
    beam: tuple[float, float] = (np.nan, np.nan),
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
    depth : str
        One of :data:`DEPTHS`.
    beam : tuple of float
        Column and row of the direct beam.
    filled : bool
        Whether gaps are filled, as by a second exposure with the detector moved.
    dead : bool, of the frame's shape, optional
        Pixels where the file has no data at all.
    """
    detector = instrument.detector
    if detector.kind == "wire":
        expected = expected * _wire_window(instrument.shape, session)
    if detector.round_area:
        expected = expected * _round_area(instrument.area, instrument.shape)
    if detector.integrating:
        if session.random() < 0.25:
            expected = expected + _afterglow(expected, beam, session)
        if detector.kind == "ccd":
            expected = expected * _tapers(instrument.shape, session)
    photons = poisson(smeared(expected, instrument.spread_px), rng)
    tracks(photons, tracks_per_frame, rng)
    if detector.integrating:
        gain = float(session.choice([0.3, 0.7, 1.0, 1.6]))
        offset = (
            float(session.choice([0.0, 3.0, 10.0, 40.0, 100.0, 500.0])) if detector.kind == "ccd" else 3.0
        )
        noise = session.uniform(0.5, 3.0)
        photons = gain * photons + offset + noise * rng.standard_normal(photons.shape, dtype=np.float32)
        if detector.kind == "panel":
            photons += _panel_pattern(photons.shape, session)
        np.maximum(photons, 0, out=photons)
    _hot_pixels(photons, detector, session, rng)
    counts = stored(np.rint(np.minimum(photons, detector.saturation_counts)), depth, session)
    if detector.kind == "counting":
        bad = session.integers(0, counts.size, int(session.poisson(session.choice([0.0, 3.0, 12.0]))))
        counts.ravel()[bad] = BAD
        if not filled:
            counts[gaps(instrument.area, instrument.shape)] = instrument.gap_counts
            _dead_parts(counts, instrument, session)
    if dead is not None:
        counts[dead] = -1
    return counts
