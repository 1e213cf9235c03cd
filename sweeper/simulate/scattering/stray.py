"""Light that the sample did not scatter: around the beam, from air, and from slits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sweeper.simulate.scattering.geometry import Image
from sweeper.simulate.scattering.instruments import Rng, log_uniform


@dataclass(frozen=True)
class Stray:
    """Parasitic scattering of a session, relative to a sample's level of 1.

    Attributes
    ----------
    height, knee_px, power : float
        Glow around the direct beam, over the distance in pixels.
        streaks : tuple of (angle, height, width)
            Streaks from the edges of slits: radians, relative height, radians.
        air : float
            Scattering by air, the same everywhere.
    """

    height: float
    knee_px: float
    power: float
    streaks: tuple[tuple[float, float, float], ...]
    air: float


def draw_stray(size: int, session: Rng, faintest: float, brightest: float) -> Stray:
    """Draw parasitic scattering whose height at the beamstop is between two levels."""
    streaks = []
    if session.random() < 0.2:
        first = float(session.choice([0.0, np.pi / 2, session.uniform(0, np.pi)]))
        for angle in (first, first + np.pi / 2)[: int(session.integers(1, 3))]:
            streaks.append((angle, log_uniform(session, 0.5, 20), log_uniform(session, 0.01, 0.08)))
    return Stray(
        log_uniform(session, faintest, brightest),
        size * log_uniform(session, 0.006, 0.05),
        session.uniform(2.2, 4.5),
        tuple(streaks),
        log_uniform(session, 1e-4, 0.05),
    )


def around_beam(stray: Stray, shape: tuple[int, int], column: float, row: float) -> Image:
    """Return parasitic scattering about the place of the direct beam, in pixels."""
    x = (np.arange(shape[1]) - column).astype(np.float32)[np.newaxis, :]
    y = (np.arange(shape[0]) - row).astype(np.float32)[:, np.newaxis]
    x2 = (x * x + y * y) / np.float32(stray.knee_px**2)
    glow = (1 + x2) ** np.float32(-stray.power / 2)
    if stray.streaks:
        angle = np.arctan2(y, x)
        for direction, height, width in stray.streaks:
            off = np.sin(angle - np.float32(direction)) / np.float32(width)
            glow = glow * (1 + np.float32(height) * np.exp(-0.5 * off * off))
    return np.asarray(np.float32(stray.height) * glow + np.float32(stray.air), dtype=np.float32)


def direct_beam(shape: tuple[int, int], column: float, row: float, spread_px: float, session: Rng) -> Image:
    """Draw the attenuated beam itself, where nothing stops it, relative to a sample's level of 1."""
    x = (np.arange(shape[1]) - column).astype(np.float32)[np.newaxis, :]
    y = (np.arange(shape[0]) - row).astype(np.float32)[:, np.newaxis]
    wide, high = (max(spread_px, 0.6) * log_uniform(session, 1, 3) for _ in range(2))
    r2 = (x / np.float32(wide)) ** 2 + (y / np.float32(high)) ** 2
    strength, tail = log_uniform(session, 0.1, 1e4), log_uniform(session, 1e-5, 3e-3)
    spot = np.exp(-0.5 * np.minimum(r2, 60)) + np.float32(tail) * (1 + r2 / 4) ** np.float32(-1.5)
    return np.asarray(np.float32(strength) * spot, dtype=np.float32)
