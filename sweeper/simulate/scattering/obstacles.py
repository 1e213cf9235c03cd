"""Obstacles between sample and detector: beamstop and arm, flight tube, shadows of plates.

Each is the share of photons that passes, float32 of the frame's shape.
"""

from __future__ import annotations

import numpy as np

from sweeper.simulate.scattering.geometry import Image


def _distances(shape: tuple[int, int], column: float, row: float) -> tuple[Image, Image]:
    x = (np.arange(shape[1]) - column).astype(np.float32)[np.newaxis, :]
    y = (np.arange(shape[0]) - row).astype(np.float32)[:, np.newaxis]
    return x, y


def _edge(distance: Image, width: float) -> Image:
    """Return 0 well below 0 and 1 well above, with a ramp of `width` pixels."""
    return np.asarray(np.clip(distance / np.float32(max(width, 0.5)) + np.float32(0.5), 0, 1))


def disc(shape: tuple[int, int], column: float, row: float, radius: float, soft: float, leak: float) -> Image:
    """Return a beamstop of `radius` pixels; `leak` of the photons passes it, and all pass far outside."""
    x, y = _distances(shape, column, row)
    return np.float32(leak) + np.float32(1 - leak) * _edge(np.hypot(x, y) - np.float32(radius), soft)


def bar(
    shape: tuple[int, int],
    column: float,
    row: float,
    direction_rad: float,
    width: float,
    soft: float,
    leak: float,
) -> Image:
    """Return an arm of `width` pixels from a place to the edge; angles run from columns to smaller rows."""
    x, y = _distances(shape, column, row)
    cos, sin = np.float32(np.cos(direction_rad)), np.float32(np.sin(direction_rad))
    along, across = cos * x - sin * y, np.abs(sin * x + cos * y)
    outside = np.maximum(_edge(across - np.float32(width / 2), soft), _edge(-along, soft))
    return np.float32(leak) + np.float32(1 - leak) * outside


def tube(shape: tuple[int, int], column: float, row: float, radius: float, soft: float, leak: float) -> Image:
    """Return the end of an evacuated flight tube: `leak` of the photons passes outside a circle."""
    x, y = _distances(shape, column, row)
    return np.float32(leak) + np.float32(1 - leak) * _edge(np.float32(radius) - np.hypot(x, y), soft)


def plate(
    shape: tuple[int, int], column: float, row: float, up_rad: float, height: float, soft: float, leak: float
) -> Image:
    """Return a shadow on all below a line, `height` pixels above a place; "up" points as `up_rad` says."""
    x, y = _distances(shape, column, row)
    above = np.float32(np.sin(up_rad)) * x - np.float32(np.cos(up_rad)) * y - np.float32(height)
    return np.float32(leak) + np.float32(1 - leak) * _edge(above, soft)
