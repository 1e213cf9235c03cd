"""Scenes in transmission: SAXS, WAXS, and a closed shutter."""

from __future__ import annotations

import numpy as np

from sweeper.simulate.scattering import saxs, waxs
from sweeper.simulate.scattering.geometry import Setup, transmission
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
from sweeper.simulate.scattering.stray import around_beam, direct_beam, draw_stray
from sweeper.simulate.scattering.surroundings import around_sample


def _beam_place(how: str, session: Rng) -> tuple[float, float]:
    """Place the beam, in shares of the frame's edges from the lower left corner."""
    if how == "middle":
        across, up = session.normal(0.5, 0.05, 2)
    elif how == "inside":
        across, up = session.uniform(0.1, 0.9, 2)
    elif how == "corner":
        across, up = session.choice([0.0, 1.0], 2) + session.normal(0, 0.05, 2)
    else:
        along, off = session.uniform(0, 1), 0.0
        off = session.normal(0, 0.05) if how == "edge" else log_uniform(session, 0.05, 1.0)
        across, up = ((along, -off), (1 + off, along), (along, 1 + off), (-off, along))[
            int(session.integers(4))
        ]
    return float(across), float(up)


def _facing(instrument: Instrument, across: float, up: float, q_far: float) -> Setup:
    """Return a setup across the beam whose farthest corner is at `q_far`, 1/Å."""
    column, row = instrument.place(across, up)
    rows, columns = instrument.shape
    wide = max(column + 0.5, columns - 0.5 - column)
    high = max(row + 0.5, rows - 0.5 - row)
    edge_mm = float(np.hypot(wide, high)) * instrument.pixel_mm
    distance = distance_for(edge_mm, q_far, instrument.wavelength_angstrom)
    return Setup(instrument.shape, instrument.pixel_mm, distance, column, row, instrument.wavelength_angstrom)


def saxs_scene(instrument: Instrument, strata: Strata, session: Rng, rng: Rng) -> Scene:
    """Draw a scene of small angles in transmission."""
    size = max(instrument.shape)
    q_edge = log_uniform(session, 0.02, 0.7)
    how = strata.choose("place", {"middle": 44, "inside": 20, "edge": 14, "corner": 10, "outside": 12})
    setup = _facing(instrument, *_beam_place(how, session), 1.35 * q_edge)
    where = transmission(setup, instrument.polarisation)
    sample = saxs.draw_sample(q_edge, strata, session, rng)
    pattern = saxs.pattern_table(sample, farthest_q(setup), max(512, 2 * size), rng=rng).at(
        where.q, where.azimuth
    )
    scattered = pattern / quantile(pattern, 0.9)
    scattered += around_sample(scattered, where.q, resolution_of(setup, instrument), strata, session)
    column, row = setup.column, setup.row
    stray = draw_stray(size, session, 0.02, 300.0)
    expected = scattered * where.weight + around_beam(stray, setup.shape, column, row)
    stop = strata.choose("stop", STOPS)
    if stop == "none":
        expected += direct_beam(setup.shape, column, row, instrument.spread_px, session)
    expected = expected * beamstop(
        instrument, column, row, stop, session, size * log_uniform(session, 0.008, 0.06)
    )
    expected = (
        expected * flight_tube(instrument, column, row, session, 0.25) * shadow(instrument, session, 0.08)
    )
    drawn = geometry_drawn(setup) | {"sample": sample.name, "length_angstrom": sample.length_angstrom}
    return Scene(expected, quantile(expected, 0.98), drawn | {"place": how, "stop": stop})


def _waxs_setup(instrument: Instrument, q_far: float, how: str, session: Rng) -> Setup:
    """Place the beam in the frame or beside it, or turn the detector on an arm."""
    if how != "arm":
        return _facing(instrument, *_beam_place(how, session), q_far)
    rows, columns = instrument.shape
    wavelength = instrument.wavelength_angstrom
    middle = 2 * np.arcsin(min(min(q_far, 4.5) * session.uniform(0.25, 0.8) * wavelength / (4 * np.pi), 0.5))
    way = float(session.choice([0, 0, 90, 90, 180, 270])) + session.normal(0, 4)
    right, up = np.cos(np.deg2rad(way)), np.sin(np.deg2rad(way))
    distance = instrument.long_edge_mm * log_uniform(session, 0.5, 3.0)
    turned = float(np.rad2deg(middle) * right), float(np.rad2deg(middle) * up)
    return Setup((rows, columns), instrument.pixel_mm, distance, columns / 2, rows / 2, wavelength, turned)


def waxs_scene(instrument: Instrument, strata: Strata, session: Rng, rng: Rng) -> Scene:
    """Draw a scene of wide angles in transmission; the detector may stand beside the beam."""
    size = max(instrument.shape)
    hard = instrument.wavelength_angstrom < 0.6
    strip = max(instrument.shape) > 1.8 * min(instrument.shape)
    shares = {"middle": 34, "inside": 13, "edge": 13, "corner": 12, "outside": 17, "arm": 11}
    if strip:
        shares = {"middle": 16, "inside": 8, "edge": 12, "corner": 9, "outside": 32, "arm": 23}
    how = strata.choose("place", shares)
    q_far = log_uniform(session, 3, 12) if hard else log_uniform(session, 1.5, 5.0)
    setup = _waxs_setup(instrument, q_far, how, session)
    q_most = min(farthest_q(setup), 11.0)
    where = transmission(setup, instrument.polarisation)
    sample = waxs.draw_sample(float(where.q.min()), q_most, strata, session, rng)
    resolution = resolution_of(setup, instrument)
    table = waxs.pattern_table(sample, q_most, resolution, max(768, 3 * size), max(720, 2 * size) + 1, rng)
    pattern = table.at(where.q, where.azimuth)
    pattern = pattern / quantile(pattern, 0.9)
    pattern += around_sample(pattern, where.q, resolution, strata, session)
    beam = setup.beam_px
    stray = draw_stray(size, session, 1e-3, 10.0)
    expected = pattern * where.weight + around_beam(stray, setup.shape, *beam)
    stop = strata.choose("stop", STOPS)
    if stop == "none" and session.random() < 0.4:
        expected += direct_beam(setup.shape, *beam, instrument.spread_px, session)
    expected = expected * beamstop(instrument, *beam, stop, session, size * log_uniform(session, 0.01, 0.06))
    expected = expected * flight_tube(instrument, *beam, session, 0.06) * shadow(instrument, session, 0.08)
    drawn = geometry_drawn(setup) | {"sample": sample.name, "length_angstrom": float("nan")}
    return Scene(expected, quantile(expected, 0.98), drawn | {"place": how, "stop": stop})


def blank_scene(instrument: Instrument, strata: Strata, session: Rng, rng: Rng) -> Scene:
    """Draw a closed shutter: next to nothing."""
    level = 0.0 if session.random() < 0.5 else log_uniform(session, 1e-5, 3e-3)
    drawn = {"sample": "none", "length_angstrom": float("nan"), "distance_mm": float("nan")}
    return Scene(np.full(instrument.shape, level, np.float32), 1.0, drawn, counts=(1.0, 1.0, 1.0))
