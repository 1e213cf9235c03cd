"""What scatters beside the sample: air, windows, solvent, substrate, ice or metal, fluorescence."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.simulate.scattering import polar
from sweeper.simulate.scattering.geometry import Image
from sweeper.simulate.scattering.instruments import Rng, log_uniform
from sweeper.simulate.scattering.polymers import HALOS
from sweeper.simulate.scattering.strata import Strata
from sweeper.simulate.scattering.waxs import rings_of

_KINDS = {"vacuum": 34, "air": 14, "window": 14, "solvent": 12, "substrate": 8, "rings": 9,
          "fluorescence": 9}  # fmt: skip
_IN_BEAM = {"ice Ih": 3, "Al": 2, "Si": 1, "graphite": 1, "NaCl": 1, "Fe": 1}
_STEPS = 900


def _bells(q: NDArray[Any], name: str) -> NDArray[Any]:
    total = np.zeros_like(q)
    for centre, fwhm, height in HALOS[name]:
        total += height * np.exp(-4 * np.log(2) * ((q - centre) / fwhm) ** 2)
    return total


def _curve(kind: str, q: NDArray[Any], resolution: float, session: Rng) -> NDArray[Any]:
    """Return scattering over q, in any unit."""
    if kind == "air":
        return np.asarray((1 + (q / session.uniform(0.8, 1.6)) ** 2) ** -1.5)
    if kind == "window":  # Kapton's long spacing, and the rise of its voids
        rise = log_uniform(session, 0.01, 1) * (1 + (q / session.uniform(0.01, 0.06)) ** 2) ** -1.8
        return np.asarray(0.15 * _bells(q, "kapton") + rise + 0.02)
    if kind == "solvent":
        name = ("water", "hydrocarbon")[int(session.integers(2))]
        return np.asarray(_bells(q, name) + session.uniform(0.03, 0.15))
    if kind == "substrate":
        return np.asarray(_bells(q, "silica glass") + 0.1)
    if kind == "rings":
        names = list(_IN_BEAM)
        weights = np.array(list(_IN_BEAM.values()), dtype=float)
        name = names[int(session.choice(len(names), p=weights / weights.sum()))]
        table = np.full((len(q), 1), log_uniform(session, 0.01, 0.5))
        fwhm = float(np.hypot(resolution, log_uniform(session, 0.003, 0.03)))
        for ring in rings_of(name, float(q[-1])):
            polar.add_line(table, q, ring.q, fwhm, np.array([ring.power]))
        return np.asarray(table[:, 0])
    return np.ones_like(q)


def around_sample(pattern: Image, q: Image, resolution: float, strata: Strata, session: Rng) -> Image:
    """Draw the scattering of the surroundings for a pattern; zeros in a vacuum.

    Parameters
    ----------
    pattern : Image
        Scattering of the sample, which decides how bright the surroundings are.
    q : Image
        1/Å, at each pixel.
    resolution : float
        Full width at half maximum that the instrument gives to a line, 1/Å.

    Returns
    -------
    Image
        Mostly fainter than the sample; one in sixteen times brighter, so that little else is seen.
    """
    kind = strata.choose("background", _KINDS)
    if kind == "vacuum":
        return np.zeros((1, 1), np.float32)
    grid = polar.q_grid(min(float(q.max()), 11.5), _STEPS)
    curve = _curve(kind, grid, resolution, session)
    found = np.interp(q, grid, curve).astype(np.float32)
    step = max(1, int(np.sqrt(q.size / 20_000)))
    some = found[::step, ::step]
    usual = max(float(np.quantile(pattern[::step, ::step], 0.6)), 1e-30)
    bright = session.random() < 0.06
    height = log_uniform(session, 1.5, 10) if bright else log_uniform(session, 0.01, 1.5)
    scale = np.float32(height * usual / max(float(np.quantile(some, 0.9)), 1e-30))
    return np.asarray(found * scale, dtype=np.float32)
