"""Wide-angle scattering from thin films at grazing incidence: arcs, spots and rings over a horizon."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.simulate.scattering import polar
from sweeper.simulate.scattering.geometry import Grazing, Setup
from sweeper.simulate.scattering.instruments import Rng, choose, log_uniform
from sweeper.simulate.scattering.strata import Strata
from sweeper.simulate.scattering.waxs import Ring, rings_of

Curve = NDArray[Any]


@dataclass(frozen=True)
class Sample:
    """A film, described by how it scatters at wide angles.

    Attributes
    ----------
    name : str
    rings : tuple of Ring
        Rings, with their angles from the surface's normal.
    width, strain : float
        Of a ring, as in :class:`sweeper.simulate.scattering.waxs.Sample`.
    blur : float
        Standard deviation of crystallites' tilt, radians.
    random : float
        Share of crystallites without texture.
    halos : tuple of (q, fwhm, height)
        Maxima of the amorphous film and of a glass substrate.
        flat : float
            Scattering that is the same everywhere.
        small_angle : tuple of (height, knee, power)
            Rise towards the beam.
    rod : float
        Height of the streak along the normal, from the film's faces.
    """

    name: str
    rings: tuple[Ring, ...]
    width: float
    strain: float
    blur: float
    random: float
    halos: tuple[tuple[float, float, float], ...]
    flat: float
    small_angle: tuple[float, float, float]
    rod: float


_KINDS = {"polymer": 38, "perovskite": 18, "small molecules": 16, "layered perovskite": 7, "oxide": 6,
          "metal": 5, "amorphous": 10}  # fmt: skip


def draw_sample(q_most: float, strata: Strata, session: Rng, rng: Rng) -> Sample:
    """Draw a film; `session` draws the material, `rng` how the frame differs."""
    kind = strata.choose("material", _KINDS)
    base = Sample(
        kind, (), 0.03, 0.005, session.uniform(0.03, 0.35), log_uniform(session, 0.01, 0.6),
        _halos(session), log_uniform(session, 0.01, 0.3),
        (log_uniform(session, 0.01, 10), log_uniform(session, 0.01, 0.06), session.uniform(2, 3.5)),
        log_uniform(session, 0.005, 3.0),
    )  # fmt: skip
    swelling = float(np.exp(rng.normal(0, 0.004)))
    if kind == "polymer":
        return replace(_polymer(base, session), width=log_uniform(session, 0.02, 0.12) * swelling)
    if kind == "perovskite":
        name = choose(session, {"MAPbI3": 4, "CsPbBr3": 2, "PbI2": 1})
        axis = ((1, 0, 0), (1, 1, 0), (0, 0, 1))[int(session.integers(3))]
        rings = rings_of(name, q_most, axis)
        if name != "PbI2" and session.random() < 0.4:
            share = log_uniform(session, 0.05, 1)
            rings += tuple(replace(r, power=share * r.power) for r in rings_of("PbI2", q_most))
        spread = session.uniform(0.05, 0.5)
        shares = log_uniform(session, 0.05, 1.0)
        return replace(base, name=name, rings=rings, width=log_uniform(session, 0.01, 0.05), blur=spread,
                       random=shares)  # fmt: skip
    if kind in ("oxide", "metal"):
        names = ("TiO2 anatase", "ZnO", "CeO2") if kind == "oxide" else ("Au", "Ag", "Al", "CdSe", "PbS")
        name = str(session.choice(names))
        axis = (1, 1, 1) if kind == "metal" else (0, 0, 1)
        return replace(base, name=name, rings=rings_of(name, q_most, axis),
                       width=log_uniform(session, 0.02, 0.2),
                       random=session.uniform(0.2, 1.0))  # fmt: skip
    if kind == "small molecules":
        return _small_molecules(base, q_most, session)
    if kind == "layered perovskite":
        return _layered(base, session)
    return replace(base, halos=_halos(session, strong=True))


def _halos(session: Rng, strong: bool = False) -> tuple[tuple[float, float, float], ...]:
    """Draw an amorphous film's halo, and sometimes a glass substrate's."""
    height = log_uniform(session, 0.5, 3) if strong else log_uniform(session, 0.01, 0.8)
    halos = [(session.uniform(1.25, 1.55), session.uniform(0.35, 0.7), height)]
    if strong and session.random() < 0.6:
        halos.append(
            (session.uniform(0.3, 0.9), session.uniform(0.15, 0.4), height * log_uniform(session, 0.2, 2))
        )
    if session.random() < 0.35:
        halos.append((session.uniform(1.5, 1.8), 0.6, height * log_uniform(session, 0.3, 3)))
    return tuple(halos)


def _polymer(base: Sample, session: Rng) -> Sample:
    """Draw a conjugated polymer, alone or with an acceptor: lamellae and stacked rings, edge- or face-on."""
    lamellar, stacking = session.uniform(0.22, 0.45), session.uniform(1.55, 1.85)
    edge_on = float(session.beta(0.5, 0.5))
    rings = []
    for order in range(1, int(session.integers(2, 6))):
        power = session.uniform(0.3, 1.0) / order**1.8
        rings += [
            Ring(lamellar * order, power * edge_on, 0.0),
            Ring(lamellar * order, power * (1 - edge_on), np.pi / 2),
        ]
    power = session.uniform(0.1, 0.6)
    rings += [Ring(stacking, power * edge_on, np.pi / 2), Ring(stacking, power * (1 - edge_on), 0.0)]
    if session.random() < 0.4:  # along the chain
        rings.append(Ring(session.uniform(0.55, 0.95), 0.15, np.pi / 2))
    return replace(base, name="conjugated polymer", rings=tuple(rings), strain=session.uniform(0, 0.06))


def _small_molecules(base: Sample, q_most: float, session: Rng) -> Sample:
    """Draw a molecular crystal with one face on the substrate: spots in upright rows."""
    a, b, c = session.uniform(5, 8), session.uniform(6, 12), session.uniform(12, 28)
    lean = session.normal(0, 0.15)
    rings = []
    for h in range(3):
        for k in range(3):
            for l in range(-10, 11):  # noqa: E741
                if (h, k) == (0, 0) and l <= 0:
                    continue
                across = np.hypot(2 * np.pi * h / a, 2 * np.pi * k / b)
                along = 2 * np.pi * (l / c + lean * h / a)
                q = float(np.hypot(across, along))
                if along >= -1e-9 and q < q_most:
                    power = session.standard_exponential() * np.exp(-0.35 * q**2) / (0.2 + q) ** 0.5
                    rings.append(Ring(q, float(power), float(np.arctan2(across, along))))
    return replace(base, name="molecular crystal film", rings=tuple(rings),
                   width=log_uniform(session, 0.01, 0.04), blur=log_uniform(session, 0.01, 0.12),
                   random=log_uniform(session, 0.003, 0.2))  # fmt: skip


def _layered(base: Sample, session: Rng) -> Sample:
    """Draw sheets of a perovskite with organic layers between: orders along the normal, or all around it."""
    period, tilt = session.uniform(10, 30), float(session.choice([0.0, 0.0, np.pi / 2]))
    rings = [
        Ring(2 * np.pi / period * n, session.uniform(0.2, 1) / n, tilt)
        for n in range(1, int(session.integers(3, 9)))
    ]
    rings += [Ring(1.0, 0.8, np.pi / 2 - tilt), Ring(2.0, 0.7, np.pi / 2 - tilt), Ring(1.42, 0.4, 0.78)]
    return replace(
        base, name="layered perovskite", rings=tuple(rings), width=log_uniform(session, 0.01, 0.05)
    )


def pattern_table(
    sample: Sample, q_most: float, resolution: float, n_q: int, n_angle: int = 181
) -> polar.PolarTable:
    """Tabulate a film over |q| and the angle from the surface's normal, 0 to π/2."""
    q = polar.q_grid(q_most, n_q)
    angle = np.linspace(0, np.pi / 2, n_angle)
    height, knee, power = sample.small_angle
    smooth = sample.flat * (1 + np.exp(-((q / 0.9) ** 2))) + height * (1 + (q / knee) ** 2) ** (-power / 2)
    for centre, fwhm, peak in sample.halos:
        smooth = smooth + peak * np.exp(-4 * np.log(2) * ((q - centre) / fwhm) ** 2)
    table = np.repeat(smooth[:, np.newaxis], n_angle, axis=1)
    # The faces of the film give a streak along the normal that falls as q⁻².
    table += np.multiply.outer(sample.rod / (1 + (q / 0.05) ** 2), np.exp(-0.5 * (angle / 0.015) ** 2))
    for ring in sample.rings:
        fwhm = float(np.hypot(resolution, sample.width + sample.strain * ring.q))
        azimuth = np.full(n_angle, sample.random)
        if np.isfinite(ring.angle_rad):
            azimuth = azimuth + polar.bell(angle, ring.angle_rad, sample.blur)
        polar.add_line(
            table, q, ring.q, fwhm, ring.power * azimuth * sample.width / np.hypot(resolution, sample.width)
        )
    return polar.PolarTable(table.astype(np.float32), q_most, np.pi / 2)


def corrected(
    setup: Setup, incidence_rad: float, q_right: float, q_up: float
) -> tuple[Grazing, NDArray[np.bool_]]:
    """Return coordinates of a frame that software has redrawn over q_xy and q_z, and where it has no data.

    Near the normal no pixel of a detector fulfils Bragg's law: this is the missing wedge.

    Parameters
    ----------
    q_right, q_up : float
        q_xy at the right edge (the left edge has its negative) and q_z at the top, 1/Å; the bottom is just
        below 0.

    Returns
    -------
    Grazing
    wedge : bool, of the frame's shape
    """
    rows, columns = setup.shape
    k = np.float32(setup.wavenumber)
    q_xy = np.linspace(-q_right, q_right, columns, dtype=np.float32)[np.newaxis, :]
    q_z = np.linspace(q_up, -0.04 * q_up, rows, dtype=np.float32)[:, np.newaxis]
    sine = np.clip(q_z / k - np.float32(np.sin(incidence_rad)), -1, 1)
    exit_rad = np.arcsin(sine)
    nearest = k * np.abs(np.cos(exit_rad) - np.float32(np.cos(incidence_rad)))
    full = np.ones((rows, columns), dtype=np.float32)
    wedge = (np.abs(q_xy) < nearest) | ((q_xy**2 + q_z**2) > (2 * k) ** 2)
    where = Grazing(exit_rad * full, 0 * full, q_xy * full, q_z * full, full)
    return where, wedge
