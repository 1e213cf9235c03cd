"""Compiled loops of the simulator; imported only when a frame is drawn (numba is slow to import)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_REACH = 4.5  # a reflection farther than this many σ from the Ewald sphere is left out
_SPOT_REACH = 3.5  # a spot is drawn to this many σ
_PIXEL_VARIANCE = 1.0 / 12.0  # the variance of a uniform pixel of width 1
_NARROW_VARIANCE = 0.5**2  # a Gaussian sampled once a pixel keeps its moments down to this variance
_SUBPIXELS = 4  # along each side of a pixel, where a spot is narrower


@njit(cache=True)  # type: ignore[untyped-decorator]
def _interpolate(table: Floats, place: float) -> Any:
    """Return `table` interpolated linearly at a fractional index, or its last value past its end."""
    if place >= table.size - 1:
        return table[-1]
    low = int(place)
    return table[low] + (place - low) * (table[low + 1] - table[low])


@njit(cache=True)  # type: ignore[untyped-decorator]
def _polarisation(x2: float, y2: float, d2: float, polarisation: float) -> Any:
    """Return P = ½[1 + cos²2θ − K cos2ψ sin²2θ] with ψ from the x axis (Kahn et al. 1982).

    Parameters
    ----------
    x2, y2, d2 : float
        Squares of a point's place on the detector from the direct beam, and of the detector's distance.
    polarisation : float
        K, from −1 (along y) through 0 (unpolarised) to 1 (along x).
    """
    # sin²2θ = ρ²/R² and cos2ψ = (x² − y²)/ρ²: the product needs no division by ρ
    return 0.5 * (1.0 + (d2 - polarisation * (x2 - y2)) / (x2 + y2 + d2))


@njit(cache=True)  # type: ignore[untyped-decorator]
def radial_image(
    size: int,
    column: float,
    row: float,
    pixel_mm: float,
    distance_mm: float,
    wavelength: float,
    polarisation: float,
    profile: Floats,
    step: float,
) -> Floats:
    """Return `profile`, tabulated over sinθ/λ in steps of `step`, times P and Ω on each pixel, (size, size).

    Ω = pixel²/R² · D/R is a pixel's solid angle, with R from the sample to the pixel (nanoBragg's form).
    """
    image = np.empty((size, size))
    d2 = distance_mm * distance_mm
    for i in range(size):
        y2 = ((i - row) * pixel_mm) ** 2
        for j in range(size):
            x2 = ((j - column) * pixel_mm) ** 2
            r2 = x2 + y2 + d2
            r = np.sqrt(r2)
            stol = np.sqrt(0.5 * (1.0 - distance_mm / r)) / wavelength
            value = _interpolate(profile, stol / step)
            p = _polarisation(x2, y2, d2, polarisation)
            image[i, j] = value * p * pixel_mm * pixel_mm * distance_mm / (r2 * r)
    return image


@njit(cache=True)  # type: ignore[untyped-decorator]
def _spread(
    shape: Floats, q: Floats, mosaic2: float, blur2: float, x: float, y: float, z: float, out: Floats
) -> Any:
    """Write T v of v = (x, y, z) to `out`, with T the covariance of the end of the diffracted ray.

    T = (2M)⁻¹ + σ_mos² (q² − q qᵀ) + (σ_div/λ)² (1 − ẑ ẑᵀ): crystal, turns of q, and turns of the beam.
    """
    across = mosaic2 * (q[0] * q[0] + q[1] * q[1] + q[2] * q[2])
    along = mosaic2 * (q[0] * x + q[1] * y + q[2] * z)
    out[0] = shape[0, 0] * x + shape[0, 1] * y + shape[0, 2] * z + across * x - along * q[0] + blur2 * x
    out[1] = shape[1, 0] * x + shape[1, 1] * y + shape[1, 2] * z + across * y - along * q[1] + blur2 * y
    out[2] = shape[2, 0] * x + shape[2, 1] * y + shape[2, 2] * z + across * z - along * q[2]


@njit(cache=True)  # type: ignore[untyped-decorator]
def _spot(
    q: Floats,
    zeta: float,
    shape: Floats,
    wavelength: float,
    mosaic: float,
    divergence: float,
    bandpass: float,
    distance_mm: float,
    size_mm2: float,
    work: Floats,
    out: Floats,
) -> Any:
    """Write x, y, (photons), cov_xx, cov_xy, cov_yy of the spot of `q` to `out`; return σ of ζ, or −1.

    −1 means that the reflection is too far from the sphere, or goes backwards. Position and covariance are
    those of a Gaussian on the condition that the ray ends on the sphere.
    """
    k = 1.0 / wavelength
    kz = k + q[2]
    length = np.sqrt(q[0] * q[0] + q[1] * q[1] + kz * kz)
    if kz <= 0.0:
        return -1.0
    ux, uy, uz = q[0] / length, q[1] / length, kz / length
    mosaic2, blur2 = mosaic * mosaic, (k * divergence) ** 2
    tu, tr, tt = work[0], work[1], work[2]
    _spread(shape, q, mosaic2, blur2, ux, uy, uz, tu)
    retreat = k * (1.0 - uz)  # how far the sphere retreats from the ray's end for a relative change of 1/λ
    variance = ux * tu[0] + uy * tu[1] + uz * tu[2] + (retreat * bandpass) ** 2
    if zeta * zeta > _REACH * _REACH * variance:
        return -1.0
    pull = zeta / variance
    sx, sy = q[0] - pull * tu[0], q[1] - pull * tu[1]
    sz = kz - pull * tu[2] + k * pull * retreat * bandpass * bandpass
    out[0] = distance_mm * sx / sz
    out[1] = distance_mm * sy / sz
    rho = np.sqrt(ux * ux + uy * uy)
    cx, cy = (ux / rho, uy / rho) if rho > 1e-12 else (1.0, 0.0)
    _spread(shape, q, mosaic2, blur2, cx * uz, cy * uz, -rho, tr)
    _spread(shape, q, mosaic2, blur2, -cy, cx, 0.0, tt)
    with_radius = ux * tr[0] + uy * tr[1] + uz * tr[2] + retreat * k * rho * bandpass * bandpass
    with_ring = ux * tt[0] + uy * tt[1] + uz * tt[2]
    radial = cx * uz * tr[0] + cy * uz * tr[1] - rho * tr[2] + (k * rho * bandpass) ** 2
    radial -= with_radius * with_radius / variance
    ring = -cy * tt[0] + cx * tt[1] - with_ring * with_ring / variance
    both = cx * tr[1] - cy * tr[0] - with_radius * with_ring / variance
    to_mm = wavelength * distance_mm / uz
    radial = radial * (to_mm / uz) ** 2 + size_mm2
    ring = ring * to_mm * to_mm + size_mm2
    both *= to_mm * to_mm / uz
    out[3] = radial * cx * cx + ring * cy * cy - 2.0 * both * cx * cy
    out[4] = (radial - ring) * cx * cy + both * (cx * cx - cy * cy)
    out[5] = radial * cy * cy + ring * cx * cx + 2.0 * both * cx * cy
    return np.sqrt(variance)


@njit(cache=True)  # type: ignore[untyped-decorator]
def _fill_reflections(
    reciprocal: Floats,
    shape: Floats,
    intensities: NDArray[np.float32],
    scaled_wilson: Floats,
    finest: float,
    wavelength: float,
    mosaic: float,
    divergence: float,
    bandpass: float,
    polarisation: float,
    distance_mm: float,
    size_mm2: float,
    fewest: float,
    table: Floats,
) -> int:
    """Fill rows of `table` while they last; return how many rows all reflections would need."""
    h_max, k_max, l_max = intensities.shape[0] // 2, intensities.shape[1] // 2, intensities.shape[2] // 2
    k0 = 1.0 / wavelength
    finest2 = finest * finest
    spread = mosaic * mosaic + divergence * divergence
    widest = shape[0, 0] + shape[1, 1] + shape[2, 2]
    step = (scaled_wilson.size - 1) / (0.5 * finest)
    q, row, work = np.empty(3), np.empty(6), np.empty((3, 3))
    n = 0
    for h in range(-h_max, h_max + 1):
        for k in range(-k_max, k_max + 1):
            px = h * reciprocal[0, 0] + k * reciprocal[1, 0]
            py = h * reciprocal[0, 1] + k * reciprocal[1, 1]
            pz = h * reciprocal[0, 2] + k * reciprocal[1, 2]
            for l in range(-l_max, l_max + 1):  # noqa: E741
                q[0] = px + l * reciprocal[2, 0]
                q[1] = py + l * reciprocal[2, 1]
                q[2] = pz + l * reciprocal[2, 2]
                q2 = q[0] * q[0] + q[1] * q[1] + q[2] * q[2]
                if q2 >= finest2 or q2 == 0.0:
                    continue
                # |ŝ₀/λ + q|² − 1/λ², which rules out most reflections without a square root.
                excess = q2 + 2.0 * q[2] * k0
                bound = widest + q2 * spread + q2 * q2 * 0.25 * wavelength**2 * bandpass * bandpass
                if excess * excess > 1.5 * _REACH * _REACH * bound * 4.0 * k0 * k0:
                    continue
                zeta = excess / (np.sqrt(k0 * k0 + excess) + k0)
                sigma = _spot(
                    q, zeta, shape, wavelength, mosaic, divergence, bandpass, distance_mm, size_mm2, work, row
                )
                if sigma < 0.0:
                    continue
                mean = _interpolate(scaled_wilson, 0.5 * np.sqrt(q2) * step)
                p = _polarisation(row[0] * row[0], row[1] * row[1], distance_mm * distance_mm, polarisation)
                density = np.exp(-0.5 * (zeta / sigma) ** 2) / (np.sqrt(2.0 * np.pi) * sigma)
                photons = mean * intensities[h, k, l] * p * density
                if photons < fewest or photons == 0.0:
                    continue
                if n < table.shape[0]:
                    row[2] = photons
                    table[n, :6] = row
                    table[n, 6], table[n, 7], table[n, 8] = h, k, l
                n += 1
    return n


def excited_reflections(*arguments: Any) -> Floats:
    """Return rows x_mm, y_mm, photons, cov_xx, cov_xy, cov_yy, h, k, l of the excited reflections.

    The arguments are those of the compiled loop, without its table.
    """
    table = np.empty((8192, 9))
    n = _fill_reflections(*arguments, table)
    if n > len(table):
        table = np.empty((n, 9))
        _fill_reflections(*arguments, table)
    return table[:n]


@njit(cache=True)  # type: ignore[untyped-decorator]
def deposit_spots(
    size: int, column: Floats, row: Floats, photons: Floats, xx: Floats, xy: Floats, yy: Floats
) -> Floats:
    """Return a sum of Gaussians in pixels, each convolved with a pixel and keeping its total, (size, size).

    A spot whose narrowest width is below half a pixel is sampled on sub-pixels.
    """
    image = np.zeros((size, size))
    for s in range(photons.size):
        cxx, cyy, cxy = xx[s] + _PIXEL_VARIANCE, yy[s] + _PIXEL_VARIANCE, xy[s]
        narrowest = 0.5 * (cxx + cyy) - np.sqrt(0.25 * (cxx - cyy) ** 2 + cxy * cxy)
        fine = _SUBPIXELS if narrowest < _NARROW_VARIANCE else 1
        if fine > 1:  # the sum over sub-pixels is the convolution; half a sub-pixel of width avoids aliases
            cxx, cyy = xx[s] + _NARROW_VARIANCE / fine**2, yy[s] + _NARROW_VARIANCE / fine**2
        reach_x, reach_y = _SPOT_REACH * np.sqrt(cxx), _SPOT_REACH * np.sqrt(cyy)
        if not (-reach_x < column[s] < size + reach_x and -reach_y < row[s] < size + reach_y):
            continue
        det = cxx * cyy - cxy * cxy
        left, right = int(np.floor(column[s] - reach_x)), int(np.ceil(column[s] + reach_x))
        top, bottom = int(np.floor(row[s] - reach_y)), int(np.ceil(row[s] + reach_y))
        spot = np.zeros((bottom + 1 - top, right + 1 - left))
        for i in range(fine * spot.shape[0]):
            dy = top + (i + 0.5) / fine - 0.5 - row[s]
            for j in range(fine * spot.shape[1]):
                dx = left + (j + 0.5) / fine - 0.5 - column[s]
                exponent = (cyy * dx * dx - 2.0 * cxy * dx * dy + cxx * dy * dy) / det
                if exponent < _SPOT_REACH**2:
                    spot[i // fine, j // fine] += np.exp(-0.5 * exponent)
        spot *= photons[s] / spot.sum()  # the total includes what falls off the detector
        for i in range(max(0, -top), min(spot.shape[0], size - top)):
            for j in range(max(0, -left), min(spot.shape[1], size - left)):
                image[top + i, left + j] += spot[i, j]
    return image
