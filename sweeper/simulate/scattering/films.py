"""Structures on and in films, as they scatter at small angles over a surface.

Each maker draws a structure of some spacing in Å and returns a function for its scattering, in any unit.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.simulate.scattering import form_factors as ff
from sweeper.simulate.scattering import grazing as dwba
from sweeper.simulate.scattering.instruments import Rng, log_uniform

Grid = NDArray[Any]
Maker = Callable[[dwba.Surface, Grid, Grid], Grid]
"""From a surface, q∥ (n,) and angles of exit (m,) above the horizon to intensities (n, m)."""


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
    """Draw caps of a sputtered metal, broad in size; only the first maximum of their distances shows."""
    radius, aspect = spacing * session.uniform(0.25, 0.45), session.uniform(0.4, 1.6)
    disorder, power = session.uniform(0.2, 0.4), session.uniform(3, 4)

    def make(surface: dwba.Surface, q: Grid, exit_rad: Grid) -> Grid:
        k_zi, k_zf, r_i, r_f = surface.waves(exit_rad)
        paths = (k_zf + k_zi, 1.0), (k_zf - k_zi, abs(r_i) ** 2)
        total = np.zeros((q.size, exit_rad.size))
        for q_z, weight in paths:
            x2 = (q[:, np.newaxis] * radius) ** 2 + (q_z * radius * aspect) ** 2
            total += weight * (1 + np.abs(r_f) ** 2) * (1 + x2 / 3) ** (-power / 2)
        return np.asarray(
            total * np.abs(1 + r_f) ** 2 * dwba.paracrystal(q, spacing, disorder)[:, np.newaxis]
        )

    return make


def _rods(q: Grid, places: Grid, heights: Grid, width: float) -> Grid:
    return ff.lattice_orders(q, places, heights, width)


def _superlattice(spacing: float, session: Rng, rng: Rng) -> Maker:
    """Draw nanoparticles in a two-dimensional hexagonal or square lattice, in one or more layers."""
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
    """Draw upright lamellae or cylinders of a block copolymer: rods over the horizon."""
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
    """Draw lamellae parallel to the surface: sheets at q_z = 2πn / d, spread along the horizon."""
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
            return np.asarray(
                orders * sheet
                + 0.1 * (1 + (q_parallel / lateral) ** 2) ** -1.5 / (1 + (modulus / places[0]) ** 2)
            )

        return dwba.film_intensity(surface, form, q, exit_rad, spacing * 5)

    return make


def _disordered(spacing: float, session: Rng, rng: Rng) -> Maker:
    """Draw a film of blobs: a half ring, or only a halo."""
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
    """Draw a three-dimensional lattice with one face on the substrate: spots left and right of the rod."""
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


MAKERS: dict[str, Callable[[float, Rng, Rng], Maker]] = {
    "cylinders": _cylinders,
    "spheres": _spheres,
    "sputtered islands": _islands,
    "superlattice": _superlattice,
    "upright phase": _upright,
    "flat lamellae": _flat_lamellae,
    "film without order": _disordered,
    "oriented phase": _oriented,
}
"""Every structure, by name."""
