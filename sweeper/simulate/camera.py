"""The detector's electronics, from expected photons to counts: noises in nanoBragg's order."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

SATURATION_ADU = 65535
POINT_SPREADS = ("gaussian", "fibre")
_FWHM_PER_SIGMA = 2.3548200450309493
_FIBRE_G = 0.6524  # in units of the full width at half maximum
_FIBRE_REACH = 30  # in full widths; a fortieth of the light falls farther out


@dataclass(frozen=True)
class Camera:
    """An integrating detector.

    Attributes
    ----------
    point_spread_px : float
        Full width at half maximum of the point spread. It is given in pixels and shrinks with them, so
        that patterns look alike at any size.
    point_spread : {"gaussian", "fibre"}
        Form of the point spread; that of a fibre-optic taper has long tails.
    calibration : float
        Standard deviation of the pixels' sensitivities that remains after flat-fielding.
    gain_adu_per_photon, offset_adu, read_noise_adu : float
    zingers_per_frame : float
        Mean number of pixels hit by cosmic rays and radioactivity in an exposure.
    zinger_adu : float
        Mean of the exponential distribution of a hit's counts.
    """

    point_spread_px: float = 1.5
    calibration: float = 0.01
    gain_adu_per_photon: float = 1.0
    offset_adu: float = 40.0
    read_noise_adu: float = 3.0
    zingers_per_frame: float = 12.0
    zinger_adu: float = 60.0
    point_spread: str = "gaussian"


@lru_cache(maxsize=2)
def calibration_map(seed: int, size: int, spread: float) -> NDArray[np.float32]:
    """Return pixel sensitivities, 1 + `spread`·normal, the same for all frames of a `seed`; (size, size)."""
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(102,)))
    sensitivity = (1 + spread * rng.standard_normal((size, size), dtype=np.float32)).astype(np.float32)
    sensitivity = np.maximum(sensitivity, np.float32(0))
    sensitivity.flags.writeable = False
    return sensitivity


def count_photons(expected: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the photons that arrive where `expected` are expected: Poisson, the same shape."""
    return rng.poisson(expected).astype(np.float64)


def spread_points(
    photons: NDArray[np.float64], fwhm_px: float, form: str = "gaussian"
) -> NDArray[np.float64]:
    """Return `photons` after a point spread; what would leave the edge is reflected, so none are lost."""
    if fwhm_px == 0:
        return photons
    if form == "fibre":
        return _spread_by_fibre(photons, fwhm_px)
    from scipy.ndimage import gaussian_filter

    blurred: NDArray[np.float64] = gaussian_filter(photons, fwhm_px / _FWHM_PER_SIGMA, mode="reflect")
    return blurred


def fibre_kernel(fwhm_px: float, reach_px: int) -> NDArray[np.float64]:
    """Return a fibre-optic taper's point spread, integrated over each pixel, (2 reach + 1, 2 reach + 1).

    g/(2π) (g² + r²)^(−3/2) with g = 0.6524 FWHM (Holton, Nielsen and Frankel 2012), whose integral over a
    rectangle is that of arctan(xy / (g √(g² + x² + y²)))/2π; scaled to a sum of 1.
    """
    g = _FIBRE_G * fwhm_px
    edges = np.arange(-reach_px, reach_px + 2) - 0.5
    x, y = edges[np.newaxis, :], edges[:, np.newaxis]
    corner = np.arctan(x * y / (g * np.sqrt(g * g + x * x + y * y))) / (2 * np.pi)
    kernel = np.diff(np.diff(corner, axis=0), axis=1)
    return np.asarray(kernel / kernel.sum())


def _spread_by_fibre(photons: NDArray[np.float64], fwhm_px: float) -> NDArray[np.float64]:
    from scipy.signal import fftconvolve

    reach = min(int(np.ceil(_FIBRE_REACH * fwhm_px)), min(photons.shape))
    padded = np.pad(photons, reach, mode="symmetric")
    spread: NDArray[np.float64] = fftconvolve(padded, fibre_kernel(fwhm_px, reach), mode="valid")
    return np.maximum(spread, 0.0)  # a transform leaves −1e-12 where there is nothing


def add_zingers(signal: NDArray[np.float64], camera: Camera, rng: np.random.Generator) -> NDArray[np.float64]:
    """Add hits of single pixels to `signal`: the isolated dots of a frame without X-rays."""
    hits = rng.poisson(camera.zingers_per_frame)
    places = rng.integers(0, signal.size, hits)
    np.add.at(signal.reshape(-1), places, rng.exponential(camera.zinger_adu, hits))
    return signal


def digitise(
    expected: NDArray[np.float64], camera: Camera, seed: int, rng: np.random.Generator
) -> NDArray[np.uint16]:
    """Turn expected photons into counts: calibration, Poisson, point spread, gain, offset, readout, clip.

    Parameters
    ----------
    expected : float64, (size, size)
        All zero without X-rays: the detector's own noise remains.
        seed : int
            Seed of the detector, which decides its calibration.

    Returns
    -------
    uint16, (size, size)
    """
    if expected.any():
        sensitivity = calibration_map(seed, expected.shape[0], camera.calibration)
        photons = count_photons(expected * sensitivity, rng)
        signal = camera.gain_adu_per_photon * spread_points(
            photons, camera.point_spread_px, camera.point_spread
        )
    else:
        signal = np.zeros_like(expected)
    signal += camera.offset_adu
    signal += camera.read_noise_adu * rng.standard_normal(expected.shape, dtype=np.float32)
    signal = add_zingers(signal, camera, rng)
    return np.clip(np.rint(signal), 0, SATURATION_ADU).astype(np.uint16)
