"""Whole scenes: a sample, an instrument and what is between, to expected photons in relative units."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.simulate.scattering import gisaxs, giwaxs, obstacles, saxs, waxs
from sweeper.simulate.scattering.geometry import Image, Setup, grazing, transmission
from sweeper.simulate.scattering.grazing import Surface, reflectivity, transmission_factor
from sweeper.simulate.scattering.instruments import Instrument, Rng, log_uniform
from sweeper.simulate.scattering.stray import around_beam, draw_stray


@dataclass
class Scene:
    """What a detector would see.

    Attributes
    ----------
    expected : Image
        Relative photons a pixel; `level` of them is what an exposure is chosen by.
    level : float
    drawn : dict
        Parameters with their units in the names.
    filled : bool
        A frame without gaps.
    dead : bool array or None
        Where the file has no data.
    """

    expected: Image
    level: float
    drawn: dict[str, Any]
    filled: bool = False
    dead: NDArray[np.bool_] | None = None
    most_counts: float = field(default=3e4)


def _beamstop(
    instrument: Instrument, column: float, row: float, session: Rng, chance: float, radius: float
) -> tuple[Image, float]:
    """A disc on the beam and, as often as not, its arm; and the disc's radius, 0 where there is none."""
    shape, soft = instrument.shape, 1.0 + instrument.spread_px
    if session.random() > chance:
        return np.ones((1, 1), np.float32), 0.0
    leak = float(session.choice([0.0, 0.002, 0.02]))
    near = column + session.normal(0, 0.15) * radius, row + session.normal(0, 0.15) * radius
    passed = obstacles.disc(shape, *near, radius, soft, leak)
    if session.random() < 0.4:  # a photodiode or a weak spot in the middle lets some through
        hole = obstacles.disc(shape, *near, radius * session.uniform(0.2, 0.6), soft, 0.0)
        passed = np.maximum(passed, np.float32(log_uniform(session, 1e-4, 0.3)) * (1 - hole))
    if session.random() < 0.55:
        angle = float(session.choice([0.0, np.pi / 2, np.pi, -np.pi / 2])) + session.normal(0, 0.05)
        angle = angle if session.random() < 0.6 else float(session.uniform(0, 2 * np.pi))
        width = radius * session.uniform(0.25, 1.6)
        passed = passed * obstacles.bar(
            shape, *near, angle, width, soft, float(session.choice([0.0, 0.05, 0.4]))
        )
    return passed, radius


def _tube(instrument: Instrument, column: float, row: float, session: Rng, chance: float) -> Image:
    """The shadow of a flight tube's end, or nothing."""
    if session.random() > chance:
        return np.ones((1, 1), np.float32)
    edge = max(instrument.shape)
    near = column + session.normal(0, 0.04) * edge, row + session.normal(0, 0.04) * edge
    radius, soft = edge * session.uniform(0.35, 0.95), 1.0 + edge * log_uniform(session, 0.001, 0.01)
    return obstacles.tube(instrument.shape, *near, radius, soft, log_uniform(session, 1e-3, 0.5))


def _quantile(image: Image, share: float) -> float:
    """A quantile of a few thousand of the pixels: the choice of an exposure needs no more."""
    step = max(1, int(np.sqrt(image.size / 20_000)))
    return float(np.quantile(image[::step, ::step], share))


def _reach(setup: Setup) -> float:
    """The farthest q on the frame, 1/Å, as twice sin of half the largest angle of its corners and edges."""
    rows, columns = setup.shape
    corners = Setup(
        (2, 2), 1.0, setup.distance_mm / setup.pixel_mm, 0.0, 0.0, setup.wavelength_angstrom, setup.arm_deg
    )
    best = 0.0
    for row in (-0.5, rows - 0.5):
        for column in (-0.5, columns - 0.5):
            moved = Setup((1, 1), 1.0, corners.distance_mm, setup.column - column, setup.row - row,
                          setup.wavelength_angstrom, setup.arm_deg)  # fmt: skip
            best = max(best, float(transmission(moved).q[0, 0]))
    return best


def _distance_for(edge_mm: float, q_edge: float, wavelength: float) -> float:
    """Where `edge_mm` off the beam is at `q_edge`."""
    theta = np.arcsin(min(q_edge * wavelength / (4 * np.pi), 0.5))
    return float(edge_mm / np.tan(2 * theta))


def saxs_scene(instrument: Instrument, session: Rng, rng: Rng) -> Scene:
    """A frame of small angles in transmission."""
    size = max(instrument.shape)
    centred = session.random() < 0.6
    across, up = session.normal(0.5, 0.06 if centred else 0.25, 2)
    across, up = float(np.clip(across, -0.05, 1.05)), float(np.clip(up, -0.05, 1.05))
    if session.random() < 0.15:  # the beam low, to see farther upwards
        up = float(session.uniform(0.02, 0.2))
    column, row = instrument.place(across, up)
    q_edge = log_uniform(session, 0.025, 0.7)
    half = instrument.long_edge_mm / 2
    setup = Setup(
        instrument.shape, instrument.pixel_mm, _distance_for(half, q_edge, instrument.wavelength_angstrom),
        column, row, instrument.wavelength_angstrom,
    )  # fmt: skip
    sample = saxs.draw_sample(q_edge, session, rng)
    where = transmission(setup, instrument.polarisation)
    table = saxs.pattern_table(sample, _reach(setup), max(512, 2 * size))
    pattern = table.at(where.q, where.azimuth)
    radius = size * log_uniform(session, 0.008, 0.045)
    stop, stop_px = _beamstop(instrument, column, row, session, 0.93, radius)
    scattered = pattern / max(_quantile(pattern, 0.9), 1e-30)
    flat = log_uniform(session, 1e-3, 1.0) if session.random() < 0.7 else 0.0
    scattered += np.float32(flat * _quantile(scattered, 0.5))
    stray = draw_stray(size, session, 0.05, 300.0)
    expected = scattered * where.weight + around_beam(stray, setup.shape, column, row)
    if stop_px == 0:  # an attenuated or a very short beam on the detector
        expected += obstacles.disc(setup.shape, column, row, 1.2 * instrument.spread_px + 1, 1.5, 1.0) * 0
    expected = expected * stop * _tube(instrument, column, row, session, 0.3)
    drawn = _geometry(setup) | {"sample": sample.name, "length_angstrom": sample.length_angstrom}
    return Scene(expected, max(_quantile(expected, 0.98), 1e-12), drawn)


def waxs_scene(instrument: Instrument, session: Rng, rng: Rng) -> Scene:
    """A frame of wide angles in transmission; the detector may stand aside of the beam."""
    size = max(instrument.shape)
    q_edge = (
        session.uniform(1.6, 4.0) if instrument.wavelength_angstrom > 0.6 else log_uniform(session, 3, 10)
    )
    long_edge = instrument.long_edge_mm
    chance, arm = session.random(), (0.0, 0.0)
    strip = max(instrument.shape) > 1.6 * min(instrument.shape)
    if chance < (0.25 if strip else 0.62):
        across, up = session.normal(0.5, 0.05 if session.random() < 0.7 else 0.2, 2)
        distance = _distance_for(long_edge / 2, q_edge, instrument.wavelength_angstrom)
    elif chance < (0.35 if strip else 0.8):
        across, up = float(session.choice([0.02, 0.98])) + session.normal(0, 0.06), session.uniform(0, 1)
        distance = _distance_for(long_edge * 0.8, q_edge, instrument.wavelength_angstrom)
    else:  # on an arm, or so far off that the beam passes beside it
        q_edge = min(q_edge, 4.5)
        distance = long_edge * log_uniform(session, 0.5, 3.0)
        across, up = 0.5, 0.5
        middle = np.rad2deg(2 * np.arcsin(min(q_edge * session.uniform(0.35, 0.8) * instrument.wavelength_angstrom
                                              / (4 * np.pi), 0.5)))  # fmt: skip
        way = float(session.choice([0, 0, 90, 90, 180, 270])) + session.normal(0, 4)
        turned = middle * np.cos(np.deg2rad(way)), middle * np.sin(np.deg2rad(way))
        if session.random() < 0.5:
            arm = (float(turned[0]), float(turned[1]))
        else:
            shift = distance * np.tan(np.deg2rad(middle)) / long_edge
            across, up = 0.5 - shift * np.cos(np.deg2rad(way)), 0.5 - shift * np.sin(np.deg2rad(way))
    column, row = instrument.place(float(across), float(up))
    setup = Setup(
        instrument.shape, instrument.pixel_mm, distance, column, row, instrument.wavelength_angstrom, arm
    )
    q_most = min(_reach(setup), 11.0)
    sample = waxs.draw_sample(q_most, session, rng)
    where = transmission(setup, instrument.polarisation)
    pixel_q = setup.wavenumber * instrument.pixel_mm / distance
    resolution = 2.35 * pixel_q * max(instrument.spread_px, 0.4)
    table = waxs.pattern_table(sample, q_most, resolution, max(768, 3 * size), max(720, 2 * size) + 1, rng)
    pattern = table.at(where.q, where.azimuth)
    beam = setup.beam_px
    stop, _ = _beamstop(instrument, *beam, session, 0.95, size * log_uniform(session, 0.01, 0.06))
    stray = draw_stray(size, session, 1e-3, 5.0)
    level = max(_quantile(pattern, 0.9), 1e-30)
    expected = pattern / level * where.weight + around_beam(stray, setup.shape, *beam)
    expected = expected * stop * _tube(instrument, *beam, session, 0.06)
    drawn = _geometry(setup) | {"sample": sample.name, "length_angstrom": np.nan}
    return Scene(expected, max(_quantile(expected, 0.98), 1e-12), drawn, filled=False)


def _geometry(setup: Setup) -> dict[str, Any]:
    column, row = setup.beam_px
    return {
        "distance_mm": setup.distance_mm,
        "beam_column_px": column,
        "beam_row_px": row,
        "arm_right_deg": setup.arm_deg[0],
        "arm_up_deg": setup.arm_deg[1],
        "pixel_per_angstrom": setup.wavenumber * setup.pixel_mm / setup.distance_mm,
    }


def _blob(shape: tuple[int, int], column: float, row: float, sigma: float, tail: float) -> Image:
    """A beam's spot: a Gaussian and, `tail` of its height, wings that fall as the cube."""
    x2 = ((np.arange(shape[1]) - column) / sigma).astype(np.float32)[np.newaxis, :] ** 2
    y2 = ((np.arange(shape[0]) - row) / sigma).astype(np.float32)[:, np.newaxis] ** 2
    r2 = x2 + y2
    return np.asarray(np.exp(-0.5 * np.minimum(r2, 60)) + np.float32(tail) * (1 + r2 / 4) ** np.float32(-1.5))


def gisaxs_scene(instrument: Instrument, session: Rng, rng: Rng) -> Scene:
    """A frame of small angles over a surface."""
    size, wavelength = max(instrument.shape), instrument.wavelength_angstrom
    extent = np.deg2rad(log_uniform(session, 1.3, 6.5))  # 2θ along the longer edge
    distance = instrument.long_edge_mm / np.tan(extent)
    quarter = instrument.up_quarter
    upright_rows = instrument.shape[0] if quarter % 2 == 0 else instrument.shape[1]
    tall = extent * upright_rows / size
    medium_angle = np.deg2rad(0.12 * wavelength)
    incidence = float(np.clip(log_uniform(session, 0.5, 3.5) * medium_angle, 0.015 * tall, 0.3 * tall))
    incidence *= float(np.exp(rng.normal(0, 0.1 if session.random() < 0.5 else 0.01)))
    horizon = session.uniform(0.1, 0.45)  # of the height, from below
    up = horizon - incidence / tall
    across = session.normal(0.5, 0.08) if session.random() < 0.7 else session.uniform(0.1, 0.9)
    column, row = instrument.place(float(across), float(up))
    setup = Setup(instrument.shape, instrument.pixel_mm, float(distance), column, row, wavelength)
    up_rad = quarter * np.pi / 2 + np.deg2rad(session.normal(0, 0.6))
    where = grazing(setup, incidence, up_rad, instrument.polarisation)
    k = setup.wavenumber
    sample = gisaxs.draw_sample(wavelength, k * extent / 2, session, rng)
    surface = Surface(k, incidence, sample.medium)
    q_most, exit_most = float(where.q_parallel.max()), max(float(where.exit_rad.max()), 0.2 * tall)
    table, _, _ = gisaxs.surface_table(
        sample, surface, q_most, exit_most, max(192, size // 2), max(384, size)
    )
    pattern = gisaxs.at_pixels(table, q_most, exit_most, where)
    if sample.grating is not None:
        beam_q = k * instrument.pixel_mm / distance * max(instrument.spread_px, 0.6)
        weight = np.float32(log_uniform(session, 3, 300))
        pattern += weight * gisaxs.grating_image(sample.grating, where, surface, beam_q)
    return _surface_scene(instrument, setup, where.exit_rad, pattern, sample, surface, up_rad, session, rng)


def _surface_scene(
    instrument: Instrument, setup: Setup, exit_rad: Image, pattern: Image, sample: gisaxs.Sample,
    surface: Surface, up_rad: float, session: Rng, rng: Rng,
) -> Scene:  # fmt: skip
    """Beams, stray light, horizon and obstacles around a GISAXS pattern."""
    shape, size, column, row = setup.shape, max(setup.shape), setup.column, setup.row
    rise = 2 * surface.incidence_rad * setup.distance_mm / setup.pixel_mm  # direct to specular beam, pixels
    ux, uy = float(np.sin(up_rad)), float(np.cos(up_rad))
    specular = column + ux * rise, row - uy * rise
    sigma, tail = max(instrument.spread_px, 0.6), log_uniform(session, 1e-5, 3e-3)
    below = np.where(exit_rad > 0, np.float32(1), np.float32(log_uniform(session, 2e-3, 0.5)))
    stray = draw_stray(size, session, 0.01, 30.0)
    glow = around_beam(stray, shape, column, row)
    # A sample that is thinner than the beam lets some scattering through below the horizon.
    leak = np.float32(log_uniform(session, 1e-3, 0.05))
    expected = np.where(exit_rad > 0, pattern, leak * _quantile(pattern, 0.9)) + glow * below
    bare = session.random() < 0.35  # beams reach the detector: short exposures, or attenuated ones
    mirrored = float(
        reflectivity(np.asarray(surface.incidence_rad), surface.k, surface.medium, sample.roughness[0])
    )
    strength = log_uniform(session, 30, 3e4)
    spot = strength * max(mirrored, 1e-6) ** session.uniform(0.5, 1.0)
    expected += np.float32(spot) * _blob(shape, *specular, sigma, tail)
    passed: Image = np.ones((1, 1), np.float32)
    radius = size * log_uniform(session, 0.008, 0.03)
    if bare:
        expected += np.float32(strength) * _blob(shape, column, row, sigma, tail)
        if session.random() < 0.6:  # what is between them: reflections of the beam's tails
            middle = 0.5 * (column + specular[0]), 0.5 * (row + specular[1])
            expected += _streak(
                shape, middle, up_rad, rise / 2, sigma, strength * log_uniform(session, 1e-4, 0.03)
            )
    else:
        passed, _ = _beamstop(instrument, column, row, session, 1.0, radius)
        how = session.random()
        if how < 0.35:  # a rod from below up to the specular beam
            end = column + ux * rise * session.uniform(0.9, 1.4), row - uy * rise * session.uniform(0.9, 1.4)
            down = -np.pi / 2 + (-up_rad) * 1.0
            passed = passed * obstacles.bar(shape, *end, down, radius * session.uniform(0.5, 1.5), 1.5, 0.01)
        elif how < 0.75:
            passed = passed * obstacles.disc(shape, *specular, radius * session.uniform(0.5, 1.0), 1.5, 0.0)
    expected = expected * passed * _tube(instrument, column + ux * rise, row - uy * rise, session, 0.35)
    drawn = _geometry(setup) | {
        "sample": sample.name,
        "length_angstrom": sample.length_angstrom,
        "incidence_deg": np.rad2deg(surface.incidence_rad),
        "critical_deg": np.rad2deg(surface.medium.critical_rad),
        "up_deg": np.rad2deg(up_rad),
    }
    scattering = np.where(exit_rad > 0, pattern, 0)
    return Scene(expected, max(_quantile(scattering, 0.98), 1e-12), drawn)


def _streak(shape: tuple[int, int], middle: tuple[float, float], up_rad: float, half: float, sigma: float,
            height: float) -> Image:  # fmt: skip
    x = (np.arange(shape[1]) - middle[0]).astype(np.float32)[np.newaxis, :]
    y = (np.arange(shape[0]) - middle[1]).astype(np.float32)[:, np.newaxis]
    cos, sin = np.float32(np.cos(up_rad)), np.float32(np.sin(up_rad))
    along, across = sin * x - cos * y, cos * x + sin * y
    ends = np.clip((half - np.abs(along)) / (0.2 * half + 1), 0, 1)
    return np.asarray(
        np.float32(height) * ends * np.exp(-0.5 * np.minimum((across / (1.3 * sigma)) ** 2, 60))
    )


def giwaxs_scene(instrument: Instrument, session: Rng, rng: Rng) -> Scene:
    """A frame of wide angles over a surface."""
    size, wavelength = max(instrument.shape), instrument.wavelength_angstrom
    q_edge = session.uniform(1.5, 3.2)
    quarter = instrument.up_quarter
    upright_rows = instrument.shape[0] if quarter % 2 == 0 else instrument.shape[1]
    incidence = np.deg2rad(log_uniform(session, 0.07, 0.4)) * float(np.exp(rng.normal(0, 0.1)))
    distance = _distance_for(instrument.long_edge_mm * session.uniform(0.6, 0.95), q_edge, wavelength)
    up = session.uniform(0.03, 0.22) if session.random() < 0.85 else session.uniform(-0.1, 0.45)
    across = session.normal(0.5, 0.08) if session.random() < 0.6 else session.uniform(0.02, 0.98)
    column, row = instrument.place(float(across), float(up))
    setup = Setup(instrument.shape, instrument.pixel_mm, distance, column, row, wavelength)
    up_rad = quarter * np.pi / 2 + np.deg2rad(session.normal(0, 0.6))
    remapped = bool(session.random() < 0.12) and quarter == 0
    filled = remapped or bool(session.random() < 0.15)
    wedge = None
    if remapped:
        where, wedge = giwaxs.corrected(instrument, incidence, q_edge * session.uniform(0.5, 1.0),
                                        q_edge * session.uniform(0.6, 1.0))  # fmt: skip
        if session.random() < 0.5:
            wedge |= _detector_shadow(where.q_y, where.q_z, session)
    else:
        where = grazing(setup, incidence, up_rad, instrument.polarisation)
    q = np.sqrt(where.q_x**2 + where.q_y**2 + where.q_z**2)
    q_most = min(float(q.max()), 6.0)
    sample = giwaxs.draw_sample(q_most, session, rng)
    angle = np.arctan2(where.q_parallel, np.maximum(where.q_z, 0) + np.float32(1e-6))
    resolution = 2.35 * setup.wavenumber * instrument.pixel_mm / distance * max(instrument.spread_px, 0.4)
    resolution = float(np.hypot(resolution, log_uniform(session, 0.003, 0.04)))  # a long footprint blurs
    pattern = giwaxs.pattern_table(sample, q_most, resolution, max(640, 2 * size)).at(q, angle)
    pattern = pattern / max(_quantile(pattern, 0.9), 1e-30)
    medium = gisaxs.draw_medium(wavelength, session)
    yoneda = transmission_factor(where.exit_rad.astype(np.float64), setup.wavenumber, medium).astype(
        np.float32
    )
    soft = np.clip(
        where.exit_rad / np.float32(np.deg2rad(0.02) + 1.0 * instrument.pixel_mm / distance) + 0.5, 0, 1
    )
    floor = np.float32(log_uniform(session, 1e-3, 0.35))
    lit = floor * pattern + soft * pattern * (0.5 * yoneda + 0.5) * (1 - floor)
    stray = draw_stray(size, session, 0.02, 60.0)
    expected = lit * where.weight
    passed: Image = np.ones((1, 1), np.float32)
    if not remapped:
        expected += around_beam(stray, setup.shape, column, row) * np.maximum(soft, 3 * floor)
        passed, _ = _beamstop(
            instrument, column, row, session, 0.85, size * log_uniform(session, 0.008, 0.04)
        )
        if session.random() < 0.35:  # a plate that hides all below the horizon, or nearly all
            lower = -session.uniform(0.0, 0.6) * up * upright_rows
            passed = passed * obstacles.plate(setup.shape, column, row, up_rad + session.normal(0, 0.01), lower,
                                              2.0, log_uniform(session, 1e-3, 0.1))  # fmt: skip
        expected = expected * _tube(instrument, column, row, session, 0.04)
    drawn = _geometry(setup) | {
        "sample": sample.name,
        "length_angstrom": np.nan,
        "incidence_deg": float(np.rad2deg(incidence)),
        "critical_deg": np.rad2deg(medium.critical_rad),
        "up_deg": float(np.rad2deg(up_rad)),
    }
    expected = np.asarray(expected * passed, dtype=np.float32)
    return Scene(expected, max(_quantile(expected, 0.98), 1e-12), drawn, filled=filled, dead=wedge)


def _detector_shadow(q_xy: Image, q_z: Image, session: Rng) -> NDArray[np.bool_]:
    """The part of a corrected frame that lay outside the detector: one side, cut by a slanting line."""
    side = float(session.choice([-1.0, 1.0]))
    edge = session.uniform(0.2, 0.9) * float(q_xy.max())
    return np.asarray(side * q_xy > edge + 0.05 * q_z**2)


def blank_scene(instrument: Instrument, session: Rng, rng: Rng) -> Scene:
    """A closed shutter: next to nothing."""
    level = 0.0 if session.random() < 0.5 else log_uniform(session, 1e-5, 3e-3)
    drawn = {"sample": "none", "length_angstrom": np.nan, "distance_mm": np.nan}
    return Scene(np.full(instrument.shape, level, np.float32), 1.0, drawn, most_counts=1.0)
