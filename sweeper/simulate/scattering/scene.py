"""The parts of every scene: expected photons, and obstacles in their way."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.simulate.scattering import obstacles
from sweeper.simulate.scattering.geometry import Image, Setup, transmission
from sweeper.simulate.scattering.instruments import Instrument, Rng, log_uniform

_CLEAR: Image = np.ones((1, 1), np.float32)


@dataclass(frozen=True)
class Scene:
    """A scene as a detector would see it.

    Attributes
    ----------
    expected : Image
        Relative photons a pixel.
    level : float
        Level of `expected` that decides the exposure: the bright end of the sample's scattering.
    drawn : dict
        Parameters with their units in the names.
    counts : tuple of float
        Fewest photons that an exposure gives at `level`, those from which on it is usual, and most.
    filled : bool
        Whether the frame has no gaps.
    dead : bool array or None
        Pixels where the file has no data.
    """

    expected: Image
    level: float
    drawn: dict[str, Any]
    counts: tuple[float, float, float] = (0.05, 2.0, 5e4)
    filled: bool = False
    dead: NDArray[np.bool_] | None = None


def quantile(image: Image, share: float) -> float:
    """Return a quantile of about twenty thousand pixels, enough to choose an exposure."""
    step = max(1, int(np.sqrt(image.size / 20_000)))
    return max(float(np.quantile(image[::step, ::step], share)), 1e-30)


def farthest_q(setup: Setup) -> float:
    """Return the largest q on the frame, 1/Å, which is that of a corner."""
    rows, columns = setup.shape
    found = []
    for row in (-0.5, rows - 0.5):
        for column in (-0.5, columns - 0.5):
            corner = Setup(
                (1, 1), setup.pixel_mm, setup.distance_mm, setup.column - column, setup.row - row,
                setup.wavelength_angstrom, setup.arm_deg,
            )  # fmt: skip
            found.append(float(transmission(corner).q[0, 0]))
    return max(found)


def distance_for(edge_mm: float, q_edge: float, wavelength: float) -> float:
    """Return the distance of a detector with `q_edge` at `edge_mm` off the beam; 2θ is at most 60 degrees."""
    theta = np.arcsin(min(q_edge * wavelength / (4 * np.pi), 0.5))
    return float(edge_mm / np.tan(2 * theta))


def resolution_of(setup: Setup, instrument: Instrument) -> float:
    """Return the width that beam and detector give to a line, 1/Å."""
    step = setup.wavenumber * setup.pixel_mm / setup.distance_mm
    return float(2.35 * step * max(instrument.spread_px, 0.4))


def geometry_drawn(setup: Setup) -> dict[str, Any]:
    """Return the columns of a manifest that describe the geometry."""
    column, row = setup.beam_px
    return {
        "distance_mm": setup.distance_mm,
        "beam_column_px": column,
        "beam_row_px": row,
        "arm_right_deg": setup.arm_deg[0],
        "arm_up_deg": setup.arm_deg[1],
        "q_step_per_angstrom": setup.wavenumber * setup.pixel_mm / setup.distance_mm,
    }


STOPS = {"round": 34, "arm": 26, "translucent": 12, "bar": 10, "none": 18}
"""How often a beamstop is a disc alone, on an arm, lets some of it through, is a bar, or not there."""


def beamstop(
    instrument: Instrument, column: float, row: float, how: str, session: Rng, radius: float
) -> Image:
    """Draw what stops the beam, one of :data:`STOPS`, sometimes off the beam."""
    shape, soft = instrument.shape, 1.0 + instrument.spread_px
    if how == "none":
        return _CLEAR
    near = column + session.normal(0, 0.15) * radius, row + session.normal(0, 0.15) * radius
    angle = float(session.choice([0.0, np.pi / 2, np.pi, -np.pi / 2])) + session.normal(0, 0.05)
    angle = angle if session.random() < 0.6 else float(session.uniform(0, 2 * np.pi))
    if how == "bar":
        behind = radius * session.uniform(1.0, 3.0)
        start = near[0] - np.cos(angle) * behind, near[1] + np.sin(angle) * behind
        width = radius * session.uniform(1.0, 2.5)
        return obstacles.bar(shape, *start, angle, width, soft, float(session.choice([0.0, 0.01, 0.2])))
    leak = log_uniform(session, 0.02, 0.4) if how == "translucent" else float(session.choice([0.0, 0.002]))
    passed = obstacles.disc(shape, *near, radius, soft, leak)
    if session.random() < 0.4:  # a photodiode or a thin place in the middle lets some through
        hole = obstacles.disc(shape, *near, radius * session.uniform(0.2, 0.6), soft, 0.0)
        passed = np.maximum(passed, np.float32(log_uniform(session, 1e-4, 0.3)) * (1 - hole))
    if how == "arm" or (how == "translucent" and session.random() < 0.5):
        width, through = radius * session.uniform(0.25, 1.6), float(session.choice([0.0, 0.05, 0.4]))
        passed = passed * obstacles.bar(shape, *near, angle, width, soft, through)
    return passed


def flight_tube(instrument: Instrument, column: float, row: float, session: Rng, chance: float) -> Image:
    """Draw the shadow of a flight tube's end about a place, or nothing."""
    if session.random() > chance:
        return _CLEAR
    edge = max(instrument.shape)
    near = column + session.normal(0, 0.05) * edge, row + session.normal(0, 0.05) * edge
    radius, soft = edge * session.uniform(0.35, 1.0), 1.0 + edge * log_uniform(session, 0.001, 0.01)
    return obstacles.tube(instrument.shape, *near, radius, soft, log_uniform(session, 1e-3, 0.5))


def shadow(instrument: Instrument, session: Rng, chance: float) -> Image:
    """Draw something at the frame's edge (a cable, a flange, a cryostat's rim), or nothing."""
    if session.random() > chance:
        return _CLEAR
    rows, columns = instrument.shape
    direction = float(session.choice([0, np.pi / 2, np.pi, -np.pi / 2])) + session.normal(0, 0.15)
    half = 0.5 * abs(rows * np.cos(direction)) + 0.5 * abs(columns * np.sin(direction))
    height = -half * session.uniform(0.75, 1.0)
    return obstacles.plate(
        instrument.shape, columns / 2, rows / 2, direction, height, 2.0, log_uniform(session, 0.005, 0.7)
    )
