"""Small-angle scattering from surfaces and thin films at grazing incidence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.simulate.scattering import form_factors as ff
from sweeper.simulate.scattering import grazing as dwba
from sweeper.simulate.scattering.geometry import Grazing, Image
from sweeper.simulate.scattering.instruments import Rng, choose, log_uniform

Grid = NDArray[Any]
Maker = Callable[[dwba.Surface, Grid, Grid], Grid]
"""Surface, q∥ (n,) and angles of exit (m,) above the horizon to intensities (n, m)."""

_DELTA_AT_1A = {"silicon": 3.2e-6, "glass": 3.1e-6, "sapphire": 5.3e-6, "gold": 1.95e-5, "polymer": 1.55e-6,
                "tungsten": 2.0e-5}  # fmt: skip
"""δ at 1 Å; it grows with λ² (Henke, Gullikson and Davis, At. Data Nucl. Data Tables 54 (1993) 181)."""


@dataclass(frozen=True)
class Grating:
    """Lines on a surface.

    Attributes
    ----------
    period : float
        Å.
    turn_rad : float
        Of the lines out of the beam's direction.
    width : float
        Standard deviation of an order along the beam, 1/Å: narrow gives spots on a circle, wide streaks.
    height, duty : float
        Å, and the share of a period that a line takes.
    rough : float
        Å, damps high orders.
    """

    period: float
    turn_rad: float
    width: float
    height: float
    duty: float
    rough: float


@dataclass(frozen=True)
class Sample:
    """A surface as it scatters.

    Attributes
    ----------
    name : str
    length_angstrom : float
        The spacing or size that shows.
    medium : Medium
        What reflects.
    structure : callable or None
    roughness : tuple of (rms, correlation length, Hurst exponent)
        Å, Å; of the interface that gives the diffuse halo and Yoneda's streak.
    diffuse : float
        Weight of that halo; the structure's brightest hundredth has weight 1.
    fringe : float
        Thickness whose fringes (Kiessig's) run through the diffuse scattering, Å; 0: none.
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
    """Draw what the beam is reflected by: the substrate, or the film on it."""
    shares = {"silicon": 5, "glass": 2, "sapphire": 1, "gold": 1, "polymer": 5, "tungsten": 1}
    delta = _DELTA_AT_1A[choose(session, shares)] * wavelength**2
    return dwba.Medium(delta, delta * log_uniform(session, 0.002, 0.05))


_KINDS = {
    "cylinders": 13, "spheres": 13, "sputtered islands": 16, "superlattice": 12, "upright phase": 11,
    "flat lamellae": 9, "film without order": 9, "oriented phase": 8, "rough film": 12, "bare": 8, "grating": 9,
}  # fmt: skip


def draw_sample(wavelength: float, q_edge: float, session: Rng, rng: Rng) -> Sample:
    """Draw a surface whose structure shows up to `q_edge` across the frame, 1/Å."""
    kind = choose(session, _KINDS)
    medium = draw_medium(wavelength, session)
    spacing = 2 * np.pi / (q_edge * log_uniform(session, 0.06, 0.6)) * float(np.exp(rng.normal(0, 0.03)))
    roughness = (log_uniform(session, 2, 30), log_uniform(session, 100, 20000), session.uniform(0.2, 1.0))
    diffuse = log_uniform(session, 0.02, 3.0)
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
    return Sample(kind, spacing, medium, _MAKERS[kind](spacing, session, rng), roughness, diffuse)


def _cylinders(spacing: float, session: Rng, rng: Rng) -> Maker:
    radius, height = spacing * session.uniform(0.15, 0.42), spacing * log_uniform(session, 0.15, 2)
    spread, disorder = log_uniform(session, 0.03, 0.3), session.uniform(0.08, 0.45)

    def make(surface: dwba.Surface, q: Grid, exit_rad: Grid) -> Grid:
        radii, shares = ff.sizes(radius, spread, 9)
        total = np.zeros((q.size, exit_rad.size))
        for r, share in zip(radii, shares, strict=True):
            weight = share * (r / radius) ** 6
            total += weight * dwba.cylinder_intensity(surface, q, exit_rad, r, height * r / radius)
        return total * dwba.paracrystal(q, spacing, disorder)[:, np.newaxis]

    return make


def _spheres(spacing: float, session: Rng, rng: Rng) -> Maker:
    radius = spacing * session.uniform(0.15, 0.48)
    spread, disorder = log_uniform(session, 0.03, 0.3), session.uniform(0.06, 0.45)

    def make(surface: dwba.Surface, q: Grid, exit_rad: Grid) -> Grid:
        radii, shares = ff.sizes(radius, spread, 7)
        total = np.zeros((q.size, exit_rad.size))
        for r, share in zip(radii, shares, strict=True):
            total += share * (r / radius) ** 6 * dwba.sphere_intensity(surface, q, exit_rad, r)
        return total * dwba.paracrystal(q, spacing, disorder)[:, np.newaxis]

    return make


def _islands(spacing: float, session: Rng, rng: Rng) -> Maker:
    """Caps of a sputtered metal: broad in size, with a first maximum of their distances only."""
    radius, aspect = spacing * session.uniform(0.25, 0.45), session.uniform(0.4, 1.6)
    disorder, power = session.uniform(0.2, 0.4), session.uniform(3, 4)

    def make(surface: dwba.Surface, q: Grid, exit_rad: Grid) -> Grid:
        k_zi, k_zf, r_i, r_f = surface.waves(exit_rad)
        paths = (k_zf + k_zi, 1.0), (k_zf - k_zi, abs(r_i) ** 2)
        total = np.zeros((q.size, exit_rad.size))
        for q_z, weight in paths:
            x2 = (q[:, np.newaxis] * radius) ** 2 + (q_z * radius * aspect) ** 2
            total += weight * (1 + np.abs(r_f) ** 2) * (1 + x2 / 3) ** (-power / 2)
        return total * np.abs(1 + r_f) ** 2 * dwba.paracrystal(q, spacing, disorder)[:, np.newaxis]

    return make


def _rods(q: Grid, places: Grid, heights: Grid, width: float) -> Grid:
    return ff.lattice_orders(q, places, heights, width)


def _superlattice(spacing: float, session: Rng, rng: Rng) -> Maker:
    """Nanoparticles in a two-dimensional hexagonal or square lattice, layers upon each other."""
    squares = np.array([1.0, 3, 4, 7, 9, 12]) if session.random() < 0.7 else np.array([1.0, 2, 4, 5, 8, 9])
    places = 2 * np.pi / spacing * 2 / np.sqrt(3) * np.sqrt(squares)
    width = places[0] * log_uniform(session, 0.015, 0.15)
    heights = np.exp(-squares * session.uniform(0.05, 0.35)) * session.uniform(0.3, 1.0, 6)
    radius, layers = spacing * session.uniform(0.3, 0.48), float(session.choice([1.0, 1.0, 2.0, 5.0, 20.0]))
    rise = spacing * session.uniform(0.75, 1.0)
    offsets = session.uniform(0, 2 * np.pi, 6)
    diffuse = log_uniform(session, 0.005, 0.2)

    def make(surface: dwba.Surface, q: Grid, exit_rad: Grid) -> Grid:
        form = dwba.sphere_intensity(surface, q, exit_rad, radius)
        k_zi, k_zf, _, _ = surface.waves(exit_rad)
        p = np.exp(-1 / layers)
        total = np.zeros_like(form)
        for place, height, offset in zip(places, heights, offsets, strict=True):
            phase = (k_zf + k_zi) * rise + offset
            stack = (1 - p) ** 2 / (1 - 2 * p * np.cos(phase) + p**2) if layers > 1 else np.ones_like(phase)
            line = _rods(q, np.array([place]), np.array([height]), width)
            total += np.multiply.outer(line, stack)
        return form * (total + diffuse)

    return make


def _upright(spacing: float, session: Rng, rng: Rng) -> Maker:
    """Upright lamellae or cylinders of a block copolymer: rods over the horizon."""
    hexagonal = session.random() < 0.6
    ratios = np.sqrt([1.0, 3, 4, 7]) if hexagonal else np.array([1.0, 2, 3, 4])
    places, heights = 2 * np.pi / spacing * ratios, session.uniform(0.1, 1.0, 4) / ratios**3
    heights[0], width = 1.0, 2 * np.pi / spacing * log_uniform(session, 0.03, 0.3)
    height = spacing * log_uniform(session, 0.5, 6)
    halo = log_uniform(session, 0.005, 0.3)

    def make(surface: dwba.Surface, q: Grid, exit_rad: Grid) -> Grid:
        def form(q_parallel: Grid, q_z: Grid) -> Grid:
            across = _rods(q_parallel.ravel(), places, heights, width) + halo * ff.guinier_porod(
                np.maximum(q_parallel.ravel(), 1e-5), spacing / 3, 3.0
            )
            along = (1 + (q_z * height / 4) ** 2) ** -1.0 + 0.3 * np.sinc(q_z * height / (2 * np.pi)) ** 2
            return np.multiply.outer(across, along)

        return dwba.film_intensity(surface, form, q, exit_rad, height)

    return make


def _flat_lamellae(spacing: float, session: Rng, rng: Rng) -> Maker:
    """Lamellae parallel to the surface: sheets at q_z = 2πn / d, spread along the horizon."""
    width, lateral = log_uniform(session, 0.03, 0.2), 2 * np.pi / spacing * log_uniform(session, 0.03, 0.5)
    heights = session.uniform(0.05, 1.0, 5) / np.arange(1, 6) ** 1.5
    tilt, ring = session.uniform(0.02, 0.3), log_uniform(session, 0.003, 0.3)
    places = 2 * np.pi / spacing * np.arange(1, 6)

    def make(surface: dwba.Surface, q: Grid, exit_rad: Grid) -> Grid:
        def form(q_parallel: Grid, q_z: Grid) -> Grid:
            modulus = np.hypot(q_parallel, q_z)
            polar = np.arctan2(q_parallel, np.abs(q_z) + 1e-6)
            orders = ff.lattice_orders(modulus.ravel(), places, heights, width * places[0]).reshape(
                modulus.shape
            )
            sheet = np.exp(-0.5 * (polar / tilt) ** 2) + ring
            return orders * sheet + 0.1 * (1 + (q_parallel / lateral) ** 2) ** -1.5 / (
                1 + (modulus / places[0]) ** 2
            )

        return dwba.film_intensity(surface, form, q, exit_rad, spacing * 5)

    return make


def _disordered(spacing: float, session: Rng, rng: Rng) -> Maker:
    """A film of blobs: a half ring, or only a halo."""
    correlation = spacing * log_uniform(session, 0.25, 1.5)
    rise = log_uniform(session, 0.02, 2)

    def make(surface: dwba.Surface, q: Grid, exit_rad: Grid) -> Grid:
        def form(q_parallel: Grid, q_z: Grid) -> Grid:
            modulus = np.hypot(q_parallel, q_z)
            return (
                ff.microemulsion(modulus, spacing, correlation)
                + rise * (1 + (modulus * spacing) ** 2) ** -1.3
            )

        return dwba.film_intensity(surface, form, q, exit_rad, spacing * 3)

    return make


def _oriented(spacing: float, session: Rng, rng: Rng) -> Maker:
    """A three-dimensional lattice with one face on the substrate: spots, left and right of the rod."""
    first = 2 * np.pi / spacing
    kinds = {
        "hexagonal, lying": [(0, 1), (0.866, 0.5), (0, 2), (0.866, 1.5), (1.732, 0), (1.732, 1)],
        "body-centred": [(0.707, 0.707), (1, 0), (0, 1.414), (1, 1.414), (1.414, 0), (0.707, 2.12)],
        "face-centred": [(0.943, 0.333), (0, 1), (0.943, 0.667), (1.633, 0), (0.943, 1.333), (1.633, 1)],
    }
    spots = np.array(kinds[str(session.choice(list(kinds)))]) * first
    powers = session.uniform(0.1, 1, len(spots)) / np.arange(1, len(spots) + 1)
    width = first * log_uniform(session, 0.03, 0.15)
    blur, ring = session.uniform(0.03, 0.25), log_uniform(session, 0.002, 0.2)

    def make(surface: dwba.Surface, q: Grid, exit_rad: Grid) -> Grid:
        def form(q_parallel: Grid, q_z: Grid) -> Grid:
            modulus, polar = np.hypot(q_parallel, q_z), np.arctan2(q_parallel, np.abs(q_z) + 1e-6)
            total = 0.05 * (1 + (modulus / first) ** 2) ** -1.5
            for (across, along), power in zip(spots, powers, strict=True):
                place, angle = np.hypot(across, along), np.arctan2(across, along)
                arc = np.exp(-0.5 * ((polar - angle) / blur) ** 2) + ring
                total = total + power * arc / (1 + ((modulus - place) / (width / 2)) ** 2)
            return total

        return dwba.film_intensity(surface, form, q, exit_rad, spacing * 4)

    return make


_MAKERS: dict[str, Callable[[float, Rng, Rng], Maker]] = {
    "cylinders": _cylinders,
    "spheres": _spheres,
    "sputtered islands": _islands,
    "superlattice": _superlattice,
    "upright phase": _upright,
    "flat lamellae": _flat_lamellae,
    "film without order": _disordered,
    "oriented phase": _oriented,
}


def roughness_intensity(sample: Sample, surface: dwba.Surface, q: Grid, exit_rad: Grid) -> Grid:
    """Diffuse scattering of a rough interface: |t_i|²|t_f|² C(q∥), with C of a self-affine surface.

    C ∝ σ²ξ² / (1 + q∥²ξ²)^(1 + h) (Sinha et al. 1988, in the form of Palasantzas 1993), damped in q_z; with
    the fringes of a film whose two faces are rough alike.
    """
    sigma, length, hurst = sample.roughness
    k_zi, k_zf, _, r_f = surface.waves(exit_rad)
    q_z = k_zf + k_zi
    along = np.abs(1 + r_f) ** 2 * np.exp(-((q_z * sigma) ** 2)) / (1 + (q_z / 0.02) ** 2)
    if sample.fringe:
        along = along * (1 + 0.7 * np.cos(q_z * sample.fringe))
    across = (1 + (q * length) ** 2) ** (-1 - hurst)
    return np.multiply.outer(across, along)


def surface_table(
    sample: Sample, surface: dwba.Surface, q_most: float, exit_most: float, n_q: int, n_exit: int
) -> tuple[Grid, Grid, Grid]:
    """Tabulate structure and roughness over q∥ and the angle of exit.

    Returns
    -------
    table : float64, (n_q, n_exit)
        The brightest hundredth of the structure at 1, roughness with its weight.
    q : float64, (n_q,)
        Denser at the rod, by squares.
    exit_rad : float64, (n_exit,)
    """
    q = q_most * np.linspace(0, 1, n_q) ** 2
    exit_rad = np.linspace(0, exit_most, n_exit)
    exit_rad[0] = exit_rad[1] / 10
    rough = roughness_intensity(sample, surface, q, exit_rad)
    # The streak is narrow: what stands at a few per cent of the frame's width is its visible part.
    visible = rough[n_q // 6 :]
    table = sample.diffuse * rough / max(float(np.quantile(visible, 0.99)), 1e-300)
    if sample.structure is not None:
        structure = sample.structure(surface, q, exit_rad)
        table += structure / np.quantile(structure[n_q // 8 :], 0.99)
    return table, q, exit_rad


def at_pixels(table: Grid, q_most: float, exit_most: float, where: Grazing) -> Image:
    """Look a table of :func:`surface_table` up at each pixel; 0 below the horizon."""
    from scipy.ndimage import map_coordinates

    n_q, n_exit = table.shape
    rows = np.sqrt(where.q_parallel * np.float32(1 / q_most)) * np.float32(n_q - 1)
    columns = where.exit_rad * np.float32((n_exit - 1) / exit_most)
    found = map_coordinates(table.astype(np.float32), np.stack([rows, columns]), order=1, mode="nearest")
    return np.where(where.exit_rad > 0, found, np.float32(0)).astype(np.float32)


def grating_image(grating: Grating, where: Grazing, surface: dwba.Surface, reach: float) -> Image:
    """Orders of a grating, the brightest near 1, where they cut Ewald's sphere.

    An order m is a rod through q∥ = 2πm / period, at right angles to the lines; each pixel looks at the rod
    next to it.

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
    # Below the horizon the orders have gone through the wafer.
    through = np.where(where.exit_rad > 0, np.float32(1), np.float32(0.3))
    return np.asarray(lines * damped * (0.2 + profile) * spots * through, dtype=np.float32)
