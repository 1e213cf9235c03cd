"""Small-angle scattering from surfaces and thin films at grazing incidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.simulate.scattering import grazing as dwba
from sweeper.simulate.scattering.films import MAKERS, Maker
from sweeper.simulate.scattering.geometry import Grazing, Image
from sweeper.simulate.scattering.gratings import Grating
from sweeper.simulate.scattering.instruments import Rng, choose, log_uniform
from sweeper.simulate.scattering.strata import Strata

Grid = NDArray[Any]
_DELTA_AT_1A = {"silicon": 3.2e-6, "glass": 3.1e-6, "sapphire": 5.3e-6, "gold": 1.95e-5, "polymer": 1.55e-6,
                "tungsten": 2.0e-5}  # fmt: skip
"""δ at 1 Å; it grows with λ² (Henke, Gullikson and Davis, At. Data Nucl. Data Tables 54 (1993) 181)."""


@dataclass(frozen=True)
class Sample:
    """A surface, described by how it scatters.

    Attributes
    ----------
    name : str
    length_angstrom : float
        The spacing or size that shows in the pattern.
    medium : Medium
        The reflecting medium.
    structure : callable or None
    roughness : tuple of (rms, correlation length, Hurst exponent)
        Å, Å; of the interface that causes the diffuse halo and Yoneda's streak.
    diffuse : float
        Weight of that halo; the brightest hundredth of the structure has weight 1.
    fringe : float
        Thickness whose fringes (Kiessig's) modulate the diffuse scattering, Å; 0 for none.
    grating : Grating or None
    """

    name: str
    length_angstrom: float
    medium: dwba.Medium
    structure: Maker | None
    roughness: tuple[float, float, float]
    diffuse: float
    fringe: float = 0.0
    grating: Grating | None = None


def draw_medium(wavelength: float, session: Rng) -> dwba.Medium:
    """Draw the medium that reflects the beam: the substrate, or the film on it."""
    shares = {"silicon": 5, "glass": 2, "sapphire": 1, "gold": 1, "polymer": 5, "tungsten": 1}
    delta = _DELTA_AT_1A[choose(session, shares)] * wavelength**2
    return dwba.Medium(delta, delta * log_uniform(session, 0.002, 0.05))


_KINDS = {
    "cylinders": 13, "spheres": 13, "sputtered islands": 16, "superlattice": 12, "upright phase": 11,
    "flat lamellae": 9, "film without order": 9, "oriented phase": 8, "rough film": 12, "bare": 8,
    "grating": 9,
}  # fmt: skip


def draw_sample(wavelength: float, q_edge: float, strata: Strata, session: Rng, rng: Rng) -> Sample:
    """Draw a surface whose structure shows up to `q_edge` across the frame, 1/Å."""
    kind = strata.choose("material", _KINDS)
    medium = draw_medium(wavelength, session)
    spacing = 2 * np.pi / (q_edge * log_uniform(session, 0.06, 0.6)) * float(np.exp(rng.normal(0, 0.03)))
    roughness = (log_uniform(session, 2, 30), log_uniform(session, 100, 20000), session.uniform(0.2, 1.0))
    diffuse = log_uniform(session, 0.005, 2.0)
    if kind == "grating":
        grating = Grating(
            spacing * log_uniform(session, 1, 12),
            float(np.deg2rad(session.normal(0, 0.3) + rng.normal(0, 0.1))),
            log_uniform(session, 3e-6, 3e-4),
            log_uniform(session, 100, 3000),
            session.uniform(0.25, 0.75),
            log_uniform(session, 5, 60),
        )
        return Sample("grating", grating.period, medium, None, roughness, diffuse, grating=grating)
    if kind == "bare":
        return Sample("bare surface", np.nan, medium, None, roughness, diffuse)
    if kind == "rough film":
        thickness = 2 * np.pi / (q_edge * log_uniform(session, 0.02, 0.3))
        return Sample("rough film", thickness, medium, None, roughness, 1.0, fringe=thickness)
    return Sample(kind, spacing, medium, MAKERS[kind](spacing, session, rng), roughness, diffuse)


def roughness_intensity(sample: Sample, surface: dwba.Surface, q: Grid, exit_rad: Grid) -> Grid:
    """Return the diffuse scattering of a rough interface: |t_i|²|t_f|² C(q∥), C of a self-affine surface.

    C ∝ σ²ξ² / (1 + q∥²ξ²)^(1 + h) (Sinha et al. 1988, in the form of Palasantzas 1993), damped in q_z, and
    with the fringes of a film whose two faces share their roughness.
    """
    sigma, length, hurst = sample.roughness
    k_zi, k_zf, _, r_f = surface.waves(exit_rad)
    q_z = k_zf + k_zi
    along = np.abs(1 + r_f) ** 2 * np.exp(-((q_z * sigma) ** 2)) / (1 + (q_z / 0.02) ** 2)
    if sample.fringe:
        along = along * (1 + 0.7 * np.cos(q_z * sample.fringe))
    across = (1 + (q * length) ** 2) ** (-1 - hurst)
    return np.asarray(np.multiply.outer(across, along))


def surface_table(
    sample: Sample, surface: dwba.Surface, q_most: float, exit_most: float, n_q: int, n_exit: int
) -> Grid:
    """Tabulate structure and roughness over q∥, denser at the rod (by squares), and the angle of exit.

    Returns
    -------
    float64, (n_q, n_exit)
        The brightest hundredth of the structure is 1; roughness has its weight.
    """
    q = q_most * np.linspace(0, 1, n_q) ** 2
    exit_rad = np.linspace(0, exit_most, n_exit)
    exit_rad[0] = exit_rad[1] / 10
    rough = roughness_intensity(sample, surface, q, exit_rad)
    # The streak is narrow: its visible part is its height at a few per cent of the frame's width.
    visible = rough[n_q // 6 :]
    table = sample.diffuse * rough / max(float(np.quantile(visible, 0.99)), 1e-300)
    if sample.structure is not None:
        structure = sample.structure(surface, q, exit_rad)
        table += structure / np.quantile(structure[n_q // 8 :], 0.99)
    return np.asarray(table)


def at_pixels(table: Grid, q_most: float, exit_most: float, where: Grazing) -> Image:
    """Interpolate a table of :func:`surface_table` at each pixel; 0 below the horizon."""
    from scipy.ndimage import map_coordinates

    n_q, n_exit = table.shape
    rows = np.sqrt(where.q_parallel * np.float32(1 / q_most)) * np.float32(n_q - 1)
    columns = where.exit_rad * np.float32((n_exit - 1) / exit_most)
    found = map_coordinates(table.astype(np.float32), np.stack([rows, columns]), order=1, mode="nearest")
    return np.where(where.exit_rad > 0, found, np.float32(0)).astype(np.float32)


def pattern(sample: Sample, surface: dwba.Surface, where: Grazing, size: int) -> Image:
    """Return a surface's scattering on a frame whose longer edge has `size` pixels; 0 below the horizon."""
    q_most = float(where.q_parallel.max())
    exit_most = max(float(where.exit_rad.max()), 0.01)
    table = surface_table(sample, surface, q_most, exit_most, max(192, size // 2), max(384, size))
    return at_pixels(table, q_most, exit_most, where)
