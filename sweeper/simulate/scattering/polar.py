"""Patterns tabulated over |q| and an angle, to be interpolated where the pixels are.

A table costs the same for every size of frame; the frame is then one interpolation.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.simulate.scattering.geometry import Image

_REACH = 12.0  # in half widths; a line is drawn as far as this


@dataclass(frozen=True)
class PolarTable:
    """Intensity over q, from 0 to `q_most` in equal steps, and an angle.

    Attributes
    ----------
    values : float32, (n_q, n_angle)
        With one column the intensity is the same in every direction. Otherwise the angle goes from 0 to
        `angle_most`, both included.
    q_most : float
        1/Å.
    angle_most : float
        2π covers all directions; π/2 means that the four quadrants are alike.
    """

    values: NDArray[np.float32]
    q_most: float
    angle_most: float = 2 * np.pi

    def at(self, q: Image, angle: Image) -> Image:
        """Interpolate linearly; `angle` is in radians of any turn, and past `q_most` the last row holds."""
        from scipy.ndimage import map_coordinates

        n_q, n_angle = self.values.shape
        place = q * np.float32((n_q - 1) / self.q_most)
        if n_angle == 1:
            return np.asarray(np.interp(place, np.arange(n_q), self.values[:, 0]).astype(np.float32))
        if self.angle_most < np.pi:
            angle = np.arccos(np.abs(np.cos(angle)))
        else:
            angle = np.mod(angle, np.float32(2 * np.pi))
        turn = angle * np.float32((n_angle - 1) / self.angle_most)
        looked_up = map_coordinates(self.values, np.stack([place, turn]), order=1, mode="nearest")
        return np.asarray(looked_up, dtype=np.float32)


def q_grid(q_most: float, n: int) -> NDArray[np.float64]:
    """Return q of a table's rows; the first is not 0 but half a step, where a power law is finite."""
    grid = np.linspace(0.0, q_most, n)
    grid[0] = grid[1] / 2
    return grid


def add_line(table: NDArray[Any], q: NDArray[Any], position: float, fwhm: float, azimuth: Any) -> None:
    """Add a line of unit height, half Gauss, half Lorentz, times `azimuth`, (n_angle,), to a table."""
    step = q[2] - q[1]
    low, high = np.searchsorted(q, (position - _REACH * fwhm / 2, position + _REACH * fwhm / 2))
    if low == high:
        return
    # A row stands for a step of q, so no line is narrower.
    half = 0.5 * np.hypot(fwhm, step)
    x2 = ((q[low:high] - position) / half) ** 2
    shape = 0.5 * np.exp(-np.log(2) * x2) + 0.5 / (1 + x2)
    table[low:high] += np.multiply.outer(shape, azimuth)


def bell(angle: NDArray[Any], centre: float, sigma: float) -> NDArray[np.float64]:
    """Return an orientation about an axis, in one quadrant: a Gaussian at `centre` and its mirror images.

    Its mean over a sphere's directions is not conserved: narrow arcs are as high as broad ones.
    """
    total = np.zeros_like(angle, dtype=float)
    for image in {centre, -centre, np.pi - centre, np.pi + centre}:
        total += np.exp(-0.5 * ((angle - image) / sigma) ** 2)
    return total


def nematic(angle: NDArray[Any], centre: float, order: float) -> NDArray[np.float64]:
    """Return exp(κ cos²) about an axis, mean 1: Maier and Saupe's distribution, seen around a beam."""
    weight = np.exp(order * (np.cos(angle - centre) ** 2 - 1))
    return np.asarray(weight / weight.mean())


def grains(rng: np.random.Generator, n_angle: int, number: float, width: float) -> NDArray[np.float64]:
    """Draw the intensity along a ring of a finite number of grains, (n_angle,), mean about 1, closed.

    Parameters
    ----------
    number : float
        Number of grains that reflect into the ring.
    width : float
        Standard deviation of a grain's spot along the ring, radians.
    """
    from scipy.ndimage import gaussian_filter1d

    drawn = rng.poisson(number / (n_angle - 1), n_angle - 1)
    power = np.where(drawn > 0, rng.standard_gamma(np.maximum(drawn, 1) * 0.7), 0.0)
    sigma = max(width * (n_angle - 1) / (2 * np.pi), 0.3)
    ring = gaussian_filter1d(power, sigma, mode="wrap")
    ring *= 1 / max(ring.mean(), 1e-9)
    return np.append(ring, ring[0])
