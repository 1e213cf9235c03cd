"""Orders of a grating under grazing incidence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sweeper.simulate.scattering.geometry import Grazing, Image


@dataclass(frozen=True)
class Grating:
    """Lines on a surface.

    Attributes
    ----------
    period : float
        Å.
    turn_rad : float
        Rotation of the lines out of the beam's direction.
    width : float
        Standard deviation of an order along the beam, 1/Å: narrow orders give spots on a circle, wide
        ones streaks.
    height, duty : float
        Height in Å, and the share of a period that a line takes.
    rough : float
        Roughness in Å, which damps high orders.
    """

    period: float
    turn_rad: float
    width: float
    height: float
    duty: float
    rough: float


def grating_image(grating: Grating, where: Grazing, reach: float) -> Image:
    """Return the orders of a grating, the brightest near 1, where they cut Ewald's sphere.

    Order m is a rod through q∥ = 2πm / period, perpendicular to the lines; each pixel sees the nearest rod.

    Parameters
    ----------
    reach : float
        Standard deviation of an order across the beam, 1/Å: the beam's size.
    """
    step = 2 * np.pi / grating.period
    cos, sin = np.float32(np.cos(grating.turn_rad)), np.float32(np.sin(grating.turn_rad))
    order = np.rint(where.q_y / np.float32(step * cos))
    off_y = (where.q_y - order * np.float32(step) * cos) / np.float32(reach)
    off_x = (where.q_x - order * np.float32(step) * sin) / np.float32(grating.width)
    lines = np.sinc(order * np.float32(grating.duty)) ** 2 + np.float32(1e-3)
    damped = np.exp(-((order * np.float32(step * grating.rough)) ** 2) / 2)
    profile = np.sinc(where.q_z * np.float32(grating.height / (2 * np.pi))) ** 2
    spots = np.exp(-0.5 * np.minimum(off_y**2 + off_x**2, 60))
    # Below the horizon the orders have passed through the wafer.
    through = np.where(where.exit_rad > 0, np.float32(1), np.float32(0.3))
    return np.asarray(lines * damped * (0.2 + profile) * spots * through, dtype=np.float32)
