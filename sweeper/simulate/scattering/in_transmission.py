"""Scenes in transmission: SAXS, WAXS, and a closed shutter."""

from __future__ import annotations

import numpy as np

from sweeper.simulate.scattering import saxs, waxs
from sweeper.simulate.scattering.geometry import Setup, transmission
from sweeper.simulate.scattering.instruments import Instrument, Rng, choose, log_uniform
from sweeper.simulate.scattering.scene import (
    Scene,
    beamstop,
    distance_for,
    farthest_q,
    flight_tube,
    geometry_drawn,
    quantile,
    shadow,
)
from sweeper.simulate.scattering.stray import around_beam, draw_stray


def _saxs_setup(instrument: Instrument, q_edge: float, session: Rng) -> Setup:
    """Place the beam near the middle of the frame, or where its user wanted it."""
    how = choose(session, {"middle": 58, "aside": 26, "low": 16})
    across, up = session.normal(0.5, 0.06 if how == "middle" else 0.24, 2)
    if how == "low":  # to see farther upwards
        up = session.uniform(0.02, 0.2)
    column, row = instrument.place(float(np.clip(across, -0.05, 1.05)), float(np.clip(up, -0.05, 1.05)))
    wavelength = instrument.wavelength_angstrom
    distance = distance_for(instrument.long_edge_mm / 2, q_edge, wavelength)
    return Setup(instrument.shape, instrument.pixel_mm, distance, column, row, wavelength)


def saxs_scene(instrument: Instrument, session: Rng, rng: Rng) -> Scene:
    """Draw a scene of small angles in transmission."""
    size = max(instrument.shape)
    q_edge = log_uniform(session, 0.025, 0.7)  # at half the longer edge from the beam
    setup = _saxs_setup(instrument, q_edge, session)
    sample = saxs.draw_sample(q_edge, session, rng)
    where = transmission(setup, instrument.polarisation)
    pattern = saxs.pattern_table(sample, farthest_q(setup), max(512, 2 * size)).at(where.q, where.azimuth)
    scattered = pattern / quantile(pattern, 0.9)
    if session.random() < 0.7:  # solvent, fluorescence
        scattered += np.float32(log_uniform(session, 1e-3, 1.0) * quantile(scattered, 0.5))
    column, row = setup.column, setup.row
    stray = draw_stray(size, session, 0.05, 300.0)
    expected = scattered * where.weight + around_beam(stray, setup.shape, column, row)
    expected = expected * beamstop(
        instrument, column, row, session, 0.93, size * log_uniform(session, 0.008, 0.045)
    )
    expected = (
        expected * flight_tube(instrument, column, row, session, 0.3) * shadow(instrument, session, 0.07)
    )
    drawn = geometry_drawn(setup) | {"sample": sample.name, "length_angstrom": sample.length_angstrom}
    return Scene(expected, quantile(expected, 0.98), drawn)


def _waxs_setup(instrument: Instrument, q_edge: float, session: Rng) -> Setup:
    """Place the beam in the middle, at an edge or beside the frame, or turn the detector on an arm."""
    rows, columns = instrument.shape
    pixel, wavelength, long_edge = (
        instrument.pixel_mm,
        instrument.wavelength_angstrom,
        instrument.long_edge_mm,
    )
    strip = max(rows, columns) > 1.6 * min(rows, columns)
    shares = {"middle": 62, "edge": 18, "beside": 10, "arm": 10}
    if strip:
        shares = {"middle": 20, "edge": 10, "beside": 35, "arm": 35}
    how = choose(session, shares)
    if how == "middle":
        across, up = session.normal(0.5, 0.05 if session.random() < 0.7 else 0.2, 2)
        column, row = instrument.place(float(across), float(up))
        return Setup(
            (rows, columns), pixel, distance_for(long_edge / 2, q_edge, wavelength), column, row, wavelength
        )
    if how == "edge":
        across = float(session.choice([0.02, 0.98])) + session.normal(0, 0.06)
        column, row = instrument.place(across, float(session.uniform(0, 1)))
        return Setup(
            (rows, columns), pixel, distance_for(long_edge * 0.8, q_edge, wavelength), column, row, wavelength
        )
    middle = 2 * np.arcsin(min(min(q_edge, 4.5) * session.uniform(0.25, 0.8) * wavelength / (4 * np.pi), 0.5))
    way = float(session.choice([0, 0, 90, 90, 180, 270])) + session.normal(0, 4)
    right, up = np.cos(np.deg2rad(way)), np.sin(np.deg2rad(way))
    distance = long_edge * log_uniform(session, 0.5, 3.0)
    if how == "arm":
        turned = float(np.rad2deg(middle) * right), float(np.rad2deg(middle) * up)
        return Setup((rows, columns), pixel, distance, columns / 2, rows / 2, wavelength, turned)
    shift = distance * np.tan(middle) / pixel
    return Setup(
        (rows, columns), pixel, distance, columns / 2 - shift * right, rows / 2 + shift * up, wavelength
    )


def waxs_scene(instrument: Instrument, session: Rng, rng: Rng) -> Scene:
    """Draw a scene of wide angles in transmission; the detector may stand beside the beam."""
    size = max(instrument.shape)
    hard = instrument.wavelength_angstrom < 0.6
    setup = _waxs_setup(
        instrument, log_uniform(session, 3, 10) if hard else session.uniform(1.6, 4.0), session
    )
    q_most = min(farthest_q(setup), 11.0)
    where = transmission(setup, instrument.polarisation)
    sample = waxs.draw_sample(float(where.q.min()), q_most, session, rng)
    resolution = 2.35 * setup.wavenumber * setup.pixel_mm / setup.distance_mm * max(instrument.spread_px, 0.4)
    table = waxs.pattern_table(sample, q_most, resolution, max(768, 3 * size), max(720, 2 * size) + 1, rng)
    pattern = table.at(where.q, where.azimuth)
    beam = setup.beam_px
    stray = draw_stray(size, session, 1e-3, 2.0)
    expected = pattern / quantile(pattern, 0.9) * where.weight + around_beam(stray, setup.shape, *beam)
    expected = expected * beamstop(instrument, *beam, session, 0.95, size * log_uniform(session, 0.01, 0.06))
    expected = expected * flight_tube(instrument, *beam, session, 0.05) * shadow(instrument, session, 0.07)
    drawn = geometry_drawn(setup) | {"sample": sample.name, "length_angstrom": float("nan")}
    return Scene(expected, quantile(expected, 0.98), drawn)


def blank_scene(instrument: Instrument, session: Rng, rng: Rng) -> Scene:
    """Draw a closed shutter: next to nothing."""
    level = 0.0 if session.random() < 0.5 else log_uniform(session, 1e-5, 3e-3)
    drawn = {"sample": "none", "length_angstrom": float("nan"), "distance_mm": float("nan")}
    return Scene(np.full(instrument.shape, level, np.float32), 1.0, drawn, counts=(1.0, 1.0))
