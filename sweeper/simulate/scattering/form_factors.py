"""Scattering by particles and by matter without a lattice, over |q|, averaged over orientations.

Every function takes q in 1/Å and lengths in Å and returns intensities that are 1 at q = 0 unless said
otherwise.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Curve = NDArray[Any]

_NODES = 48  # nodes of a quadrature over sizes or directions


def sphere_amplitude(x: Curve) -> Curve:
    """Return 3 (sin x − x cos x) / x³, a sphere's amplitude at x = qR, real or complex (Rayleigh 1911)."""
    small = np.abs(x) < 1e-2
    safe = np.where(small, 1.0, x)
    return np.where(small, 1 - x**2 / 10, 3 * (np.sin(safe) - safe * np.cos(safe)) / safe**3)


def disc_amplitude(x: Curve) -> Curve:
    """Return 2 J₁(x) / x, the amplitude of a disc at x = qR."""
    from scipy.special import j1

    safe = np.where(np.abs(x) < 1e-6, 1.0, x)
    return np.where(np.abs(x) < 1e-6, 1.0, 2 * j1(safe) / safe)


def sizes(mean: float, spread: float, nodes: int = _NODES) -> tuple[Curve, Curve]:
    """Return radii and their shares in a Schulz-Zimm distribution.

    Parameters
    ----------
    mean : float
    spread : float
        Standard deviation over mean; 0 gives one size.

    Returns
    -------
    radii, shares : float64, (nodes,) or (1,)
        The shares sum to 1.
    """
    if spread == 0:
        return np.array([mean]), np.array([1.0])
    z = 1 / spread**2
    radii = mean * np.linspace(max(0.02, 1 - 4 * spread), 1 + 5 * spread, nodes)
    log_share = (z - 1) * np.log(radii / mean) - z * radii / mean
    shares = np.exp(log_share - log_share.max())
    return radii, shares / shares.sum()


def averaged(
    amplitude_squared: Callable[[float], Curve], volume_power: float, mean: float, spread: float
) -> Curve:
    """Return the mean of a form factor over sizes, each weighted with its volume squared, 1 at q = 0.

    Parameters
    ----------
    amplitude_squared : callable
        From a size to intensities that are 1 at q = 0.
    volume_power : float
        Volume grows with this power of the size: 3 for spheres.
    mean, spread : float
        As in :func:`sizes`.
    """
    values, shares = sizes(mean, spread)
    weights = shares * (values / mean) ** (2 * volume_power)
    total = sum(w * amplitude_squared(r) for w, r in zip(weights, values, strict=True))
    return np.asarray(total / weights.sum())


def spheres(q: Curve, radius: float, spread: float = 0.0) -> Curve:
    """Return the intensity of spheres with a Schulz distribution of radii."""
    return averaged(lambda r: sphere_amplitude(q * r) ** 2, 3, radius, spread)


def core_shell(q: Curve, radius: float, shell: float, contrast: float, spread: float = 0.0) -> Curve:
    """Return the intensity of spheres whose core and shell have proportional sizes.

    Parameters
    ----------
    radius, shell : float
        Radius of the core and thickness of the shell.
    contrast : float
        Contrast of the shell to the solvent over the core's; must not let both scatterings cancel at q = 0.
    """
    outer = 1 + shell / radius

    def one(r: float) -> Curve:
        core = (1 - contrast) * sphere_amplitude(q * r)
        whole = contrast * outer**3 * sphere_amplitude(q * r * outer)
        return np.asarray(((core + whole) / (1 - contrast + contrast * outer**3)) ** 2)

    return averaged(one, 3, radius, spread)


def cylinders(q: Curve, radius: float, length: float, spread: float = 0.0) -> Curve:
    """Return the intensity of cylinders in all directions; `spread` is that of the radius."""
    nodes, weights = np.polynomial.legendre.leggauss(_NODES)
    cosine, weights = 0.5 * (nodes + 1), 0.5 * weights  # of the cosine of the angle between axis and q

    def one(r: float) -> Curve:
        along = np.sinc(q[:, np.newaxis] * length * cosine / (2 * np.pi))
        across = disc_amplitude(q[:, np.newaxis] * r * np.sqrt(1 - cosine**2))
        return np.asarray(((along * across) ** 2) @ weights)

    if spread == 0:
        return one(radius)
    values, shares = sizes(radius, spread, 9)
    weight = shares * (values / radius) ** 4
    return np.asarray(sum(w * one(r) for w, r in zip(weight, values, strict=True)) / weight.sum())


def guinier_porod(q: Curve, gyration: float, power: float, dimension: float = 0.0) -> Curve:
    """Return Guinier's law, continued by a power law with the same value and slope.

    Hammouda, J. Appl. Cryst. 43 (2010) 716, equations 3 to 5. Not 1 at q = 0 where `dimension` is not 0.

    Parameters
    ----------
    gyration : float
        Radius of gyration.
    power : float
        Porod's exponent, above `dimension`.
    dimension : float
        s: 0 for globules, 1 for rods, 2 for lamellae.
    """
    d, s = power, dimension
    turn = np.sqrt((d - s) * (3 - s) / 2) / gyration
    guinier = np.exp(-((q * gyration) ** 2) / (3 - s)) / q**s
    porod = np.exp(-(d - s) / 2) * turn ** (d - s) / q**d
    return np.where(q < turn, guinier, porod)


def hard_spheres(q: Curve, radius: float, fraction: float) -> Curve:
    """Return the structure factor of hard spheres in Percus and Yevick's closure.

    Ashcroft and Lekner, Phys. Rev. 145 (1966) 83; 1 at large q.

    Parameters
    ----------
    fraction : float
        Share of the volume, below 0.6.
    """
    x = np.maximum(2 * q * radius, 0.05)  # below it, differences of large numbers lose all digits
    f = fraction
    a = (1 + 2 * f) ** 2 / (1 - f) ** 4
    b = -6 * f * (1 + f / 2) ** 2 / (1 - f) ** 4
    c = f * a / 2
    sin, cos = np.sin(x), np.cos(x)
    g = a * (sin - x * cos) / x**2
    g = g + b * (2 * x * sin + (2 - x**2) * cos - 2) / x**3
    g = g + c * (-(x**4) * cos + 4 * ((3 * x**2 - 6) * cos + (x**3 - 6 * x) * sin + 6)) / x**5
    return np.asarray(1 / (1 + 24 * f * g / x))


def microemulsion(q: Curve, period: float, correlation: float) -> Curve:
    """Return the peak of two phases without order (Teubner and Strey, J. Chem. Phys. 87 (1987) 3195)."""
    k = 2 * np.pi / period
    a = (k**2 + 1 / correlation**2) ** 2
    return np.asarray(a / (a + 2 * (1 / correlation**2 - k**2) * q**2 + q**4))


def polymer_coil(q: Curve, gyration: float) -> Curve:
    """Return the intensity of a Gaussian chain (Debye 1947)."""
    u = np.maximum((q * gyration) ** 2, 1e-4)
    return np.asarray(2 * (np.exp(-u) + u - 1) / u**2)


def aggregate(q: Curve, dimension: float, correlation: float) -> Curve:
    """Return the structure factor of a mass fractal far larger than its units, 1 at q = 0.

    Teixeira, J. Appl. Cryst. 21 (1988) 781, equation 4, without its first term and scale.
    """
    x = np.maximum(q * correlation, 1e-4)
    d1 = dimension - 1
    return np.asarray(np.sin(d1 * np.arctan(x)) / (d1 * x * (1 + x**2) ** (d1 / 2)))


def stacked_lamellae(
    q: Curve, period: float, thickness: float, disorder: float, layers: float, smooth: float = 0.0
) -> Curve:
    """Return the intensity of randomly oriented stacks of lamellae: orders at 2πn / period, times 1/q².

    One-dimensional paracrystal (Hosemann and Bagchi 1962): S = (1 − p²) / (1 − 2 p cos qd + p²), with
    p = exp(−q²σ²/2 − 1/N), so that stacks of N layers have broad orders, too.

    Parameters
    ----------
    period, thickness : float
        Period of the stack, and thickness of a lamella.
    disorder : float
        Standard deviation of the period over the period.
    layers : float
        Layers in a stack.
    smooth : float
        Standard deviation of a lamella's edge.
    """
    p = np.exp(-0.5 * (q * period * disorder) ** 2 - 1 / layers)
    order = (1 - p**2) / (1 - 2 * p * np.cos(q * period) + p**2)
    form = np.sinc(q * thickness / (2 * np.pi)) ** 2 * np.exp(-((q * smooth) ** 2))
    return np.asarray(order * form * (thickness / np.maximum(q * thickness, 1e-3)) ** 2 / thickness**2)


def lattice_orders(q: Curve, positions: Curve, heights: Curve, width: float) -> Curve:
    """Return the orders of a powder: unit-height peaks, half Gauss, half Lorentz, times `heights`.

    Parameters
    ----------
    positions, heights : float, (n,)
        Place and height of each order.
        width : float
            Full width at half maximum, 1/Å.
    """
    x2 = ((q[:, np.newaxis] - positions) / (width / 2)) ** 2
    shape = 0.5 * np.exp(-np.log(2) * x2) + 0.5 / (1 + x2)
    return np.asarray(shape @ heights)
