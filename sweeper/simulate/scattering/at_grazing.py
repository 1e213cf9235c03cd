"""Scenes over a surface: GISAXS and GIWAXS."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sweeper.simulate.scattering import gisaxs, giwaxs, obstacles
from sweeper.simulate.scattering.geometry import Grazing, Image, Setup, grazing
from sweeper.simulate.scattering.gratings import grating_image
from sweeper.simulate.scattering.grazing import Medium, Surface, reflectivity, transmission_factor
from sweeper.simulate.scattering.instruments import Instrument, Rng, log_uniform
from sweeper.simulate.scattering.scene import (
    STOPS,
    Scene,
    beamstop,
    distance_for,
    farthest_q,
    flight_tube,
    geometry_drawn,
    quantile,
    resolution_of,
    shadow,
)
from sweeper.simulate.scattering.strata import Strata
from sweeper.simulate.scattering.stray import around_beam, draw_stray
from sweeper.simulate.scattering.surroundings import around_sample


@dataclass(frozen=True)
class _Beams:
    """Direct and specular beam: their places on the frame and their width, in pixels."""

    shape: tuple[int, int]
    direct: tuple[float, float]
    specular: tuple[float, float]
    up_rad: float
    sigma: float

    def offset(self, place: tuple[float, float]) -> tuple[Image, Image]:
        """Return the distance from a place in pixels: across the surface's normal and along it."""
        x = (np.arange(self.shape[1]) - place[0]).astype(np.float32)[np.newaxis, :]
        y = (np.arange(self.shape[0]) - place[1]).astype(np.float32)[:, np.newaxis]
        cos, sin = np.float32(np.cos(self.up_rad)), np.float32(np.sin(self.up_rad))
        return cos * x + sin * y, sin * x - cos * y

    def spot(self, place: tuple[float, float], long: float, tail: float) -> Image:
        """Draw a Gaussian, `long` times as high as wide, with wings of height `tail` that fall as a cube."""
        across, along = self.offset(place)
        r2 = (across**2 + (along / np.float32(long)) ** 2) / np.float32(self.sigma**2)
        return np.asarray(
            np.exp(-0.5 * np.minimum(r2, 60)) + np.float32(tail) * (1 + r2 / 4) ** np.float32(-1.5),
            dtype=np.float32,
        )

    def streak(self) -> Image:
        """Draw the streak between both beams, reflected by the sample's edges and the beam's tails."""
        middle = 0.5 * (self.direct[0] + self.specular[0]), 0.5 * (self.direct[1] + self.specular[1])
        half = 0.5 * float(np.hypot(self.specular[0] - self.direct[0], self.specular[1] - self.direct[1]))
        across, along = self.offset(middle)
        ends = np.clip((half - np.abs(along)) / np.float32(0.2 * half + 1), 0, 1)
        return np.asarray(
            ends * np.exp(-0.5 * np.minimum((across / np.float32(1.3 * self.sigma)) ** 2, 60)),
            dtype=np.float32,
        )


_PLACES = {"usual": 62, "side": 13, "beside": 11, "below": 14}
"""How often the beam is where its user mostly wants it, at one side, past it, or below the frame."""


def _beam_place(how: str, usual: tuple[float, float], session: Rng) -> tuple[float, float]:
    """Place the beam and the horizon, in shares of the edges across and up the surface's normal.

    Parameters
    ----------
    usual : tuple of float
        Heights of the horizon between which most users put it.
    """
    up = session.uniform(*usual)
    across = session.normal(0.5, 0.08) if session.random() < 0.7 else session.uniform(0.1, 0.9)
    if how == "side":
        across = session.choice([0.0, 1.0]) + session.normal(0, 0.05)
    elif how == "beside":
        across = session.choice([-1, 1]) * (0.5 + log_uniform(session, 0.03, 0.5)) + 0.5
    elif how == "below":
        up = -log_uniform(session, 0.01, 0.25)
    return float(across), float(up)


def _normal_rad(instrument: Instrument, session: Rng) -> float:
    """Draw the direction of the surface's normal: along an edge of the frame, now and then tilted."""
    tilt = session.normal(0, 0.6) if session.random() < 0.82 else session.uniform(-7, 7)
    return float(instrument.up_quarter * np.pi / 2 + np.deg2rad(tilt))


def gisaxs_scene(instrument: Instrument, strata: Strata, session: Rng, rng: Rng) -> Scene:
    """Draw a scene of small angles over a surface."""
    size, wavelength = max(instrument.shape), instrument.wavelength_angstrom
    extent = np.deg2rad(log_uniform(session, 1.2, 7.0) * min(wavelength, 1.0))  # 2θ along the longer edge
    upright = instrument.shape[instrument.up_quarter % 2]
    tall = extent * upright / size
    incidence = np.clip(np.deg2rad(log_uniform(session, 0.06, 0.42) * wavelength), 0.015 * tall, 0.3 * tall)
    incidence = float(incidence * np.exp(rng.normal(0, 0.1 if session.random() < 0.5 else 0.01)))
    how = strata.choose("place", _PLACES)
    across, horizon = _beam_place(how, (0.03, 0.48), session)
    column, row = instrument.place(across, horizon - incidence / tall)  # the beam is below the horizon
    distance = float(instrument.long_edge_mm / np.tan(extent))
    setup = Setup(instrument.shape, instrument.pixel_mm, distance, column, row, wavelength)
    up_rad = _normal_rad(instrument, session)
    where = grazing(setup, incidence, up_rad, instrument.polarisation)
    sample = gisaxs.draw_sample(wavelength, setup.wavenumber * extent / 2, strata, session, rng)
    surface = Surface(setup.wavenumber, incidence, sample.medium)
    pattern = gisaxs.pattern(sample, surface, where, size)
    if sample.grating is not None:
        beam_q = setup.wavenumber * setup.pixel_mm / distance * max(instrument.spread_px, 0.6)
        pattern += np.float32(log_uniform(session, 3, 300)) * grating_image(sample.grating, where, beam_q)
    surroundings = around_sample(pattern, _modulus(where), resolution_of(setup, instrument), strata, session)
    rise = float(np.tan(2 * incidence) * distance / setup.pixel_mm)
    specular = column + np.sin(up_rad) * rise, row - np.cos(up_rad) * rise
    beams = _Beams(setup.shape, (column, row), specular, up_rad, max(instrument.spread_px, 0.6))
    stop = strata.choose("stop", STOPS)
    expected, counts = _with_beams(
        instrument, beams, where.exit_rad, pattern, surroundings, surface, sample.roughness[0], stop, session
    )
    drawn = geometry_drawn(setup) | {
        "sample": sample.name,
        "length_angstrom": sample.length_angstrom,
        "incidence_deg": float(np.rad2deg(incidence)),
        "critical_deg": float(np.rad2deg(sample.medium.critical_rad)),
        "up_deg": float(np.rad2deg(up_rad)),
        "place": how,
        "stop": stop,
    }
    return Scene(expected, quantile(pattern, 0.98), drawn, counts)


def _modulus(where: Grazing) -> Image:
    """Return |q| at each pixel, 1/Å."""
    return np.asarray(np.sqrt(where.q_x**2 + where.q_y**2 + where.q_z**2))


def _with_beams(
    instrument: Instrument,
    beams: _Beams,
    exit_rad: Image,
    pattern: Image,
    surroundings: Image,
    surface: Surface,
    rough: float,
    stop: str,
    session: Rng,
) -> tuple[Image, tuple[float, float, float]]:
    """Return a pattern with beams, stray light, horizon and obstacles, and the counts of an exposure."""
    size, shape = max(beams.shape), beams.shape
    above = exit_rad > 0
    # The sample hides what lies in front of it, and leaks at its own thin edges.
    hidden = np.where(above, np.float32(1), np.float32(log_uniform(session, 2e-3, 0.7)))
    leak = np.float32(log_uniform(session, 1e-3, 0.1) * quantile(pattern, 0.9))
    expected = np.where(above, pattern, leak)
    around = around_beam(draw_stray(size, session, 0.01, 30.0), shape, *beams.direct)
    in_front = session.random() < 0.5  # what scatters behind the sample is not hidden by it
    expected += (around + surroundings) * hidden if in_front else around * hidden + surroundings
    bare = stop == "none"  # short exposures or an attenuated beam, in a laboratory
    strength = log_uniform(session, 30, 3e4) if bare else log_uniform(session, 1, 1e4)
    tail = log_uniform(session, 1e-5, 3e-3)
    mirrored = float(reflectivity(np.asarray(surface.incidence_rad), surface.k, surface.medium, rough))
    # A warped surface spreads the specular beam along the normal.
    long = log_uniform(session, 1, 6)
    mirrored = max(mirrored, 1e-6) ** session.uniform(0.3, 1.0) / long
    expected += np.float32(strength * mirrored) * beams.spot(beams.specular, long, tail)
    tube = flight_tube(instrument, *beams.specular, session, 0.33) * shadow(instrument, session, 0.07)
    if bare:
        expected += np.float32(strength) * beams.spot(beams.direct, log_uniform(session, 1, 2), tail)
        if session.random() < 0.6:
            expected += np.float32(strength * log_uniform(session, 1e-4, 0.05)) * beams.streak()
        return expected * tube, (0.01, 0.1, 1e3)
    return expected * _gisaxs_stops(instrument, beams, stop, session) * tube, (0.05, 2.0, 5e4)


def _gisaxs_stops(instrument: Instrument, beams: _Beams, stop: str, session: Rng) -> Image:
    """Draw beamstops of the direct beam, and of the specular beam or of the whole rod below it."""
    radius = max(beams.shape) * log_uniform(session, 0.008, 0.04)
    passed = beamstop(instrument, *beams.direct, stop, session, radius)
    how = session.random()
    if how < 0.35:
        share = session.uniform(0.9, 1.4)
        end = tuple(d + share * (s - d) for d, s in zip(beams.direct, beams.specular, strict=True))
        down = -np.pi / 2 - beams.up_rad
        return passed * obstacles.bar(
            beams.shape, end[0], end[1], down, radius * session.uniform(0.5, 1.5), 1.5, 0.01
        )
    if how < 0.75:
        smaller = radius * session.uniform(0.5, 1.0)
        return passed * obstacles.disc(beams.shape, *beams.specular, smaller, 1.5, 0.0)
    return passed


def _giwaxs_setup(instrument: Instrument, how: str, session: Rng) -> Setup:
    """Place the beam low on the frame, or to the side: its user wants the quadrant above the horizon."""
    wavelength = instrument.wavelength_angstrom
    across, up = _beam_place(how, (0.02, 0.24) if session.random() < 0.8 else (-0.05, 0.5), session)
    away = max(0.0, -up, abs(across - 0.5) - 0.5)
    edge_mm = instrument.long_edge_mm * (session.uniform(0.6, 0.95) + away)
    distance = distance_for(edge_mm, log_uniform(session, 1.3, 3.8), wavelength)
    column, row = instrument.place(across, up)
    return Setup(instrument.shape, instrument.pixel_mm, distance, column, row, wavelength)


def giwaxs_scene(instrument: Instrument, strata: Strata, session: Rng, rng: Rng) -> Scene:
    """Draw a scene of wide angles over a surface, as the detector saw it or redrawn over q_xy and q_z."""
    how = strata.choose("place", _PLACES)
    setup = _giwaxs_setup(instrument, how, session)
    incidence = float(np.deg2rad(log_uniform(session, 0.07, 0.4)) * np.exp(rng.normal(0, 0.1)))
    up_rad = _normal_rad(instrument, session)
    redrawn = bool(session.random() < 0.12 and instrument.up_quarter == 0 and how == "usual")
    filled = bool(redrawn or session.random() < 0.15)
    drawn, wedge = geometry_drawn(setup), None
    if redrawn:
        where, wedge, beam = _redrawn(setup, incidence, session)
        drawn |= {"beam_column_px": beam[0], "beam_row_px": beam[1]}
    else:
        where = grazing(setup, incidence, up_rad, instrument.polarisation)
    pattern, name = _film(instrument, setup, where, strata, session, rng)
    medium = gisaxs.draw_medium(setup.wavelength_angstrom, session)
    above, floor = _above(where.exit_rad, setup, session)
    expected = pattern * _lit(where.exit_rad, above, floor, setup.wavenumber, medium, session) * where.weight
    stop = strata.choose("stop", STOPS)
    resolution = resolution_of(setup, instrument)
    surroundings = around_sample(pattern, _modulus(where), resolution, strata, session)
    expected += surroundings * above if session.random() < 0.5 else surroundings * where.weight
    if session.random() < 0.15:
        expected += _substrate_spots(instrument, pattern, above, session)
    if not redrawn:
        stray = draw_stray(max(setup.shape), session, 0.02, 60.0)
        glow = around_beam(stray, setup.shape, setup.column, setup.row)
        expected += glow * np.maximum(above, np.float32(min(3 * floor, 1.0)))
        expected = expected * _giwaxs_stops(instrument, setup, up_rad, stop, session)
    drawn |= {
        "sample": name,
        "incidence_deg": float(np.rad2deg(incidence)),
        "critical_deg": float(np.rad2deg(medium.critical_rad)),
        "up_deg": float(np.rad2deg(up_rad)),
        "place": how,
        "stop": "none" if redrawn else stop,
    }
    return Scene(expected, quantile(expected, 0.98), drawn, filled=filled, dead=wedge)


def _substrate_spots(instrument: Instrument, pattern: Image, above: Image, session: Rng) -> Image:
    """Draw reflections of a substrate's single crystal, some anywhere over the horizon."""
    shape, total = instrument.shape, np.zeros(instrument.shape, np.float32)
    for _ in range(int(session.integers(1, 5))):
        place = session.uniform(0, shape[1]), session.uniform(0, shape[0])
        sigma = max(instrument.spread_px, 0.6) * session.uniform(1, 3)
        spot = _Beams(shape, place, place, session.uniform(0, np.pi), sigma)
        height = quantile(pattern, 0.9) * log_uniform(session, 3, 3000)
        total += np.float32(height) * spot.spot(place, session.uniform(1, 4), 1e-4)
    return total * above


def _redrawn(
    setup: Setup, incidence_rad: float, session: Rng
) -> tuple[Grazing, NDArray[np.bool_], tuple[float, float]]:
    """Return coordinates over q_xy and q_z, a mask of where there are no data, and the place of q = 0."""
    rows, columns = setup.shape
    top = farthest_q(setup) * session.uniform(0.5, 0.9)
    right = top * columns / (2 * rows) * session.choice([1.0, 1.0, session.uniform(0.7, 1.6)])
    where, wedge = giwaxs.corrected(setup, incidence_rad, right, top)
    if session.random() < 0.5:  # a part lay outside the detector: one side, cut by a curved line
        side, edge = float(session.choice([-1.0, 1.0])), session.uniform(0.2, 0.9) * right
        wedge |= side * where.q_y > edge + 0.05 * where.q_z**2
    first, last = float(where.q_z[0, 0]), float(where.q_z[-1, 0])
    return where, wedge, ((columns - 1) / 2, (rows - 1) * first / (first - last))


def _film(
    instrument: Instrument, setup: Setup, where: Grazing, strata: Strata, session: Rng, rng: Rng
) -> tuple[Image, str]:
    """Return a film's scattering at each pixel, scaled to 1 at its bright tenth, and the film's name."""
    q = _modulus(where)
    q_most = min(float(q.max()), 6.0)
    sample = giwaxs.draw_sample(q_most, strata, session, rng)
    if session.random() < 0.12:  # crystallites that no surface has turned
        sample = replace(sample, random=sample.random * log_uniform(session, 2, 20))
    angle = np.arctan2(where.q_parallel, np.maximum(where.q_z, 0) + np.float32(1e-6))
    footprint = log_uniform(session, 0.003, 0.04)  # blurs by its length, 1/Å
    resolution = float(np.hypot(resolution_of(setup, instrument), footprint))
    table = giwaxs.pattern_table(sample, q_most, resolution, max(640, 2 * max(setup.shape)))
    pattern = table.at(q, angle)
    return pattern / np.float32(quantile(pattern, 0.9)), sample.name


def _above(exit_rad: Image, setup: Setup, session: Rng) -> tuple[Image, float]:
    """Return 1 above the horizon and 0 below, and the share that passes through the sample's edge."""
    soft = np.float32(np.deg2rad(0.02) + setup.pixel_mm / setup.distance_mm)
    above = np.clip(exit_rad / soft + np.float32(0.5), 0, 1)
    return above, log_uniform(session, 1e-3, 0.35)


def _lit(
    exit_rad: Image, above: Image, floor: float, wavenumber: float, medium: Medium, session: Rng
) -> Image:
    """Return the share of a film's scattering that gets out at each angle: Yoneda's maximum, the horizon."""
    yoneda = transmission_factor(exit_rad.astype(np.float64), wavenumber, medium).astype(np.float32)
    share = np.float32(session.uniform(0.2, 0.8))  # share of depths where the surface's field decides
    return np.float32(floor) + np.float32(1 - floor) * above * (share * yoneda + (1 - share))


def _giwaxs_stops(instrument: Instrument, setup: Setup, up_rad: float, stop: str, session: Rng) -> Image:
    """Draw beamstop, tube and shadow, and sometimes a plate that hides nearly all below the horizon."""
    column, row = setup.column, setup.row
    radius = max(setup.shape) * log_uniform(session, 0.008, 0.04)
    passed = beamstop(instrument, column, row, stop, session, radius)
    passed = passed * flight_tube(instrument, column, row, session, 0.04) * shadow(instrument, session, 0.07)
    if session.random() < 0.35:
        lower = -session.uniform(0.0, 0.1) * instrument.shape[instrument.up_quarter % 2]
        tilted, leak = up_rad + session.normal(0, 0.01), log_uniform(session, 1e-3, 0.1)
        passed = passed * obstacles.plate(setup.shape, column, row, tilted, lower, 2.0, leak)
    return passed
