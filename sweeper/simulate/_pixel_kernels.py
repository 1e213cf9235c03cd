"""Compiled loops of the pixel-by-pixel reference; imported only when it draws (numba is slow to import)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from sweeper.simulate._kernels import _interpolate

Floats = NDArray[np.float64]

SQUARE, ROUND, GAUSS, TOPHAT = range(4)

_GAUSS_RHO = 12.6  # less than exp(−40) is left past it


@njit(cache=True)  # type: ignore[untyped-decorator]
def _comb2(x: float, n: float) -> Any:
    """Return sin²(πnx)/sin²(πx), the interference of `n` cells in a row, for |x| ≤ ½ and whole `n`."""
    below = np.sin(np.pi * x)
    if abs(below) < 1e-9:
        return n * n
    return (np.sin(np.pi * n * x) / below) ** 2


@njit(cache=True)  # type: ignore[untyped-decorator]
def lattice_squared(lattice: int, dh: float, dk: float, dl: float, cells: Floats) -> Any:
    """Return F²_latt at (dh, dk, dl) from a reflection, in units of the reciprocal axes."""
    if lattice == SQUARE:
        return _comb2(dh, cells[0]) * _comb2(dk, cells[1]) * _comb2(dl, cells[2])
    rho = (cells[0] * dh) ** 2 + (cells[1] * dk) ** 2 + (cells[2] * dl) ** 2
    n = cells[0] * cells[1] * cells[2]
    if lattice == GAUSS:
        return n * n * np.exp(-2.0 * rho / 0.63) if rho < _GAUSS_RHO else 0.0
    if lattice == TOPHAT:
        return n * n if rho < 0.3969 else 0.0
    x = np.pi * np.sqrt(rho)
    sinc3 = 3.0 * (np.sin(x) / x - np.cos(x)) / (x * x) if x > 1e-3 else 1.0 - x * x / 10.0
    return (n * 0.7236 * sinc3) ** 2


@njit(cache=True)  # type: ignore[untyped-decorator]
def _polarisation(sx: float, sy: float, sz: float, dx: float, dy: float, dz: float, k: float) -> Any:
    """Return P of a ray from (unit) s to d: ½[1 + cos²2θ − K cos2ψ sin²2θ], ψ from x axis rotated with s."""
    cos_2theta = sx * dx + sy * dy + sz * dz
    norm = np.sqrt(sy * sy + sz * sz)  # the x axis less its share along s, and s × that
    along_x = (dx - sx * cos_2theta) / norm
    along_y = (sz * dy - sy * dz) / norm
    return 0.5 * (1.0 + cos_2theta * cos_2theta - k * (along_x * along_x - along_y * along_y))


@njit(cache=True)  # type: ignore[untyped-decorator]
def sum_of_pixels(
    size: int,
    column: float,
    row: float,
    pixel_mm: float,
    distance_mm: float,
    layers: Floats,
    attenuation_per_mm: float,
    oversample: int,
    sources: Floats,
    domains: Floats,
    reciprocal: Floats,
    cells: Floats,
    lattice: int,
    squared: NDArray[np.float32],
    scaled_wilson: Floats,
    stol_step: float,
    polarisation: float,
) -> Floats:
    """Return Σ over sub-pixels, layers, sources and domains of P Ω η F² F²_latt, weighted, (size, size).

    Parameters
    ----------
    layers : float64, (layers, 2)
        Depth at which each layer of the sensor begins and ends, mm.
    sources : float64, (sources, 5)
        Direction (unit), wavelength in Å, weight.
    domains, reciprocal : float64, (domains, 3, 3)
        a, b, c of each domain in Å, and a*, b*, c* in 1/Å.
    squared, scaled_wilson, stol_step
        F² is `squared` by ``[h, k, l]`` (negative ones count from the end) times `scaled_wilson`,
        tabulated over sinθ/λ of the reflection in steps of `stol_step`.
    """
    image = np.zeros((size, size))
    h_max, k_max, l_max = squared.shape[0] // 2, squared.shape[1] // 2, squared.shape[2] // 2
    fine_mm = pixel_mm / oversample
    for i in range(size):
        for j in range(size):
            total = 0.0
            for sub in range(oversample * oversample):
                y0 = (i - row) * pixel_mm + (sub // oversample + 0.5) * fine_mm - 0.5 * pixel_mm
                x0 = (j - column) * pixel_mm + (sub % oversample + 0.5) * fine_mm - 0.5 * pixel_mm
                for t in range(layers.shape[0]):
                    # As in nanoBragg: a ray to a layer's depth, at the same place along the detector.
                    z = distance_mm + 0.5 * (layers[t, 0] + layers[t, 1])
                    r = np.sqrt(x0 * x0 + y0 * y0 + z * z)
                    dx, dy, dz = x0 / r, y0 / r, z / r
                    share = fine_mm * fine_mm * z / (r * r * r)
                    if attenuation_per_mm > 0.0:
                        share *= np.exp(-layers[t, 0] * attenuation_per_mm / dz) - np.exp(
                            -layers[t, 1] * attenuation_per_mm / dz
                        )
                    for s in range(sources.shape[0]):
                        wavelength = sources[s, 3]
                        qx = (dx - sources[s, 0]) / wavelength
                        qy = (dy - sources[s, 1]) / wavelength
                        qz = (dz - sources[s, 2]) / wavelength
                        inner = 0.0
                        for m in range(domains.shape[0]):
                            d = domains[m]
                            h = d[0, 0] * qx + d[0, 1] * qy + d[0, 2] * qz
                            k = d[1, 0] * qx + d[1, 1] * qy + d[1, 2] * qz
                            l = d[2, 0] * qx + d[2, 1] * qy + d[2, 2] * qz  # noqa: E741
                            h0, k0, l0 = int(np.rint(h)), int(np.rint(k)), int(np.rint(l))
                            if abs(h0) > h_max or abs(k0) > k_max or abs(l0) > l_max:
                                continue
                            f2 = squared[h0, k0, l0]
                            if f2 == 0.0:
                                continue
                            latt2 = lattice_squared(lattice, h - h0, k - k0, l - l0, cells)
                            if latt2 == 0.0:
                                continue
                            r_ = reciprocal[m]
                            gx = h0 * r_[0, 0] + k0 * r_[1, 0] + l0 * r_[2, 0]
                            gy = h0 * r_[0, 1] + k0 * r_[1, 1] + l0 * r_[2, 1]
                            gz = h0 * r_[0, 2] + k0 * r_[1, 2] + l0 * r_[2, 2]
                            stol = 0.5 * np.sqrt(gx * gx + gy * gy + gz * gz)
                            inner += latt2 * f2 * _interpolate(scaled_wilson, stol / stol_step)
                        if inner > 0.0:
                            p = _polarisation(
                                sources[s, 0], sources[s, 1], sources[s, 2], dx, dy, dz, polarisation
                            )
                            total += share * sources[s, 4] * p * inner
            image[i, j] = total / domains.shape[0]
    return image
