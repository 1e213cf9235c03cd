"""Small-angle scattering in transmission, by samples of nanometre structure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.simulate.scattering import form_factors as ff
from sweeper.simulate.scattering import polar
from sweeper.simulate.scattering.instruments import Rng, choose, log_uniform
from sweeper.simulate.scattering.strata import Strata

BEHENATE_PERIOD_ANGSTROM = 58.380
"""Long spacing of silver behenate (Huang, Toraya, Blanton and Wu, J. Appl. Cryst. 26 (1993) 180)."""

Curve = NDArray[Any]

_ORDERS = {
    "lamellar": (1.0, 2.0, 3.0, 4.0, 5.0),
    "hexagonal": tuple(np.sqrt([1.0, 3, 4, 7, 9, 12, 13, 16])),
    "body-centred cubic": tuple(np.sqrt([1.0, 2, 3, 4, 5, 6, 7])),
    "gyroid": tuple(np.sqrt([6.0, 8, 14, 16, 20, 22, 24, 26]) / np.sqrt(6)),
    "face-centred cubic": tuple(np.sqrt([3.0, 4, 8, 11, 12, 16, 19, 20]) / np.sqrt(3)),
}
"""q / q₁ of the orders of phases of block copolymers and liquid crystals."""


@dataclass(frozen=True)
class Sample:
    """A sample, described by how it scatters about the beam.

    Attributes
    ----------
    name : str
    length_angstrom : float
        The size or period that shows in the pattern.
    curve : callable
        q (n,) to intensity, in any unit.
    anisotropy : {"none", "stretched", "axial", "fourfold", "sixfold", "grains", "fibre"}
    direction_rad : float
        Direction of the anisotropy's axis, about the beam.
        order : float
            Strength of the anisotropy.
    """

    name: str
    length_angstrom: float
    curve: Callable[[Curve], Curve]
    anisotropy: str = "none"
    direction_rad: float = 0.0
    order: float = 0.0


_KINDS = {
    "spheres": 14, "core-shell": 7, "cylinders": 8, "protein": 13, "lamellae": 10, "ordered phase": 11,
    "silver behenate": 13, "microemulsion": 6, "coil": 5, "aggregate": 5, "fibre": 8, "carbon": 5,
    "solvent": 5, "rough solid": 6,
}  # fmt: skip


def draw_sample(edge: float, strata: Strata, session: Rng, rng: Rng) -> Sample:
    """Draw a material whose structure shows between the beamstop and `edge`, the farthest q, 1/Å.

    `session` draws the material, and `rng` how this frame differs: a series in time, in dose or in strain.
    """
    kind = strata.choose("material", _KINDS)
    inside = edge * log_uniform(session, 0.06, 0.8)
    drift = float(np.exp(rng.normal(0, 0.03)))
    sample = _FAMILIES[kind](inside, edge, drift, session, rng)
    if session.random() < 0.15 and sample.anisotropy == "none":
        sample = _mixed(sample, edge, session, rng)
    if sample.anisotropy != "none" or kind in ("silver behenate", "solvent", "protein", "carbon"):
        return sample
    chance = session.random()
    if chance > 0.36:
        return sample
    direction = float(session.uniform(0, np.pi) + rng.normal(0, 0.05))
    strength = log_uniform(session, 0.3, 12) * float(np.exp(rng.normal(0, 0.2)))
    how = "stretched" if chance < 0.1 else "axial" if chance < 0.24 else "fourfold"
    if chance > 0.28:
        how = "sixfold" if chance > 0.33 else "grains" if kind == "ordered phase" else "fourfold"
        strength = log_uniform(session, 0.5, 80)
    return Sample(sample.name, sample.length_angstrom, sample.curve, how, direction, strength)


def _mixed(first: Sample, edge: float, session: Rng, rng: Rng) -> Sample:
    """Add a second material, as bright as the first somewhere in the pattern."""
    names = [name for name in _FAMILIES if name != "fibre"]
    inside = edge * log_uniform(session, 0.06, 0.8)
    second = _FAMILIES[names[int(session.integers(len(names)))]](inside, edge, 1.0, session, rng)
    meet = np.array([edge * log_uniform(session, 0.1, 1.0)])
    share = float(first.curve(meet)[0]) / max(float(second.curve(meet)[0]), 1e-30)

    def curve(q: Curve) -> Curve:
        return np.asarray(first.curve(q) + share * second.curve(q))

    return Sample(f"{first.name}, {second.name}", first.length_angstrom, curve)


def _spheres(inside: float, edge: float, drift: float, session: Rng, rng: Rng) -> Sample:
    radius = 4.4934 / inside * drift
    spread = log_uniform(session, 0.02, 0.35)
    fraction = session.uniform(0.1, 0.5) if session.random() < 0.35 else 0.0

    def curve(q: Curve) -> Curve:
        order = ff.hard_spheres(q, radius * 1.05, fraction) if fraction else 1.0
        return ff.spheres(q, radius, spread) * order

    return Sample("packed spheres" if fraction else "spheres", radius, curve)


def _core_shell(inside: float, edge: float, drift: float, session: Rng, rng: Rng) -> Sample:
    radius = 4.4934 / inside * drift
    shell = radius * session.uniform(0.1, 0.8)
    contrast, spread = float(session.choice([-0.5, 0.3, 0.6, 1.8])), log_uniform(session, 0.03, 0.25)
    return Sample("core-shell", radius, lambda q: ff.core_shell(q, radius, shell, contrast, spread))


def _cylinders(inside: float, edge: float, drift: float, session: Rng, rng: Rng) -> Sample:
    radius = 3.8317 / inside * drift
    length, spread = radius * log_uniform(session, 2, 40), log_uniform(session, 0.03, 0.25)
    return Sample("cylinders", radius, lambda q: ff.cylinders(q, radius, length, spread))


def _protein(inside: float, edge: float, drift: float, session: Rng, rng: Rng) -> Sample:
    gyration = log_uniform(session, 1.2, 12) / edge * drift
    power, shape = session.uniform(2.0, 4.0), float(session.choice([0.0, 0.0, 1.0]))
    return Sample("globules", gyration, lambda q: ff.guinier_porod(q, gyration, power, shape))


def _lamellae(inside: float, edge: float, drift: float, session: Rng, rng: Rng) -> Sample:
    period = 2 * np.pi / inside * drift
    thickness = period * session.uniform(0.2, 0.8)
    disorder, layers = log_uniform(session, 0.01, 0.25), log_uniform(session, 3, 60)
    smooth = period * session.uniform(0.01, 0.06)
    # q⁻²: layers in all directions. Stacks are finite, so the rise towards the beam ends.
    return Sample(
        "lamellae",
        period,
        lambda q: ff.stacked_lamellae(np.hypot(q, 0.1 * inside), period, thickness, disorder, layers, smooth),
    )


def _ordered_phase(inside: float, edge: float, drift: float, session: Rng, rng: Rng) -> Sample:
    phase = choose(session, {"lamellar": 3, "hexagonal": 4, "body-centred cubic": 2, "gyroid": 1,
                             "face-centred cubic": 2})  # fmt: skip
    first = inside / drift
    places = first * np.array(_ORDERS[phase])
    heights = session.uniform(0.05, 1.0, len(places)) / np.array(_ORDERS[phase]) ** session.uniform(1, 4)
    heights[0] = 1.0
    width, diffuse = first * log_uniform(session, 0.015, 0.25), log_uniform(session, 0.01, 1.0)

    def curve(q: Curve) -> Curve:
        return ff.lattice_orders(q, places, heights, width) + diffuse * ff.guinier_porod(q, 2 / first, 3.5)

    return Sample(f"{phase} phase", 2 * np.pi / first, curve)


def _behenate(inside: float, edge: float, drift: float, session: Rng, rng: Rng) -> Sample:
    orders = np.arange(1, 14)
    places = 2 * np.pi / BEHENATE_PERIOD_ANGSTROM * orders
    heights = np.array([1.0, 0.4, 0.5, 0.15, 0.3, 0.07, 0.2, 0.05, 0.12, 0.05, 0.08, 0.03, 0.05])
    width, diffuse = log_uniform(session, 0.0015, 0.012), log_uniform(session, 0.003, 0.3)

    def curve(q: Curve) -> Curve:
        return ff.lattice_orders(q, places, heights, width) + diffuse * (1 + (0.04 / q) ** 3) * 0.2

    return Sample("silver behenate", BEHENATE_PERIOD_ANGSTROM, curve)


def _microemulsion(inside: float, edge: float, drift: float, session: Rng, rng: Rng) -> Sample:
    period = 2 * np.pi / inside * drift
    length = period * log_uniform(session, 0.2, 1.2)
    rise = session.choice([0.0, 0.1, 1.0])

    def curve(q: Curve) -> Curve:
        return np.asarray(
            ff.microemulsion(q, period, length) + rise * (0.15 * inside / np.maximum(q, 0.02 * inside)) ** 3.5
        )

    return Sample("two phases", period, curve)


def _coil(inside: float, edge: float, drift: float, session: Rng, rng: Rng) -> Sample:
    gyration = log_uniform(session, 2, 20) / edge * drift
    return Sample("polymer coils", gyration, lambda q: ff.polymer_coil(q, gyration))


def _aggregate(inside: float, edge: float, drift: float, session: Rng, rng: Rng) -> Sample:
    radius = 4.4934 / inside * drift
    dimension, length = session.uniform(1.6, 2.8), radius * log_uniform(session, 5, 50)
    spread = log_uniform(session, 0.05, 0.4)

    def curve(q: Curve) -> Curve:
        return np.asarray(ff.spheres(q, radius, spread) * (1 + 30 * ff.aggregate(q, dimension, length)))

    return Sample("aggregates", radius, curve)


def _fibre(inside: float, edge: float, drift: float, session: Rng, rng: Rng) -> Sample:
    period = 2 * np.pi / inside * drift
    orders = 2 * np.pi / period * np.arange(1, 16)
    heights = session.uniform(0.05, 1.0, 15) / np.arange(1, 16) ** 0.8
    width = (2 * np.pi / period) * log_uniform(session, 0.05, 0.4)
    rise, power = log_uniform(session, 0.03, 3), session.uniform(2, 3.5)

    def curve(q: Curve) -> Curve:
        return (
            ff.lattice_orders(q, orders, heights, width) + rise * (1 + (q / (0.3 * inside)) ** power) ** -1.0
        )

    how = "fibre" if session.random() < 0.7 else "axial"
    direction = float(session.uniform(0, np.pi) + rng.normal(0, 0.03))
    return Sample("fibre", period, curve, how, direction, log_uniform(session, 4, 60))


def _carbon(inside: float, edge: float, drift: float, session: Rng, rng: Rng) -> Sample:
    gyration = log_uniform(session, 1.0, 3.0) / edge
    knee, power = edge * session.uniform(0.02, 0.15), session.uniform(3.0, 4.0)
    rise = log_uniform(session, 0.1, 30)

    def curve(q: Curve) -> Curve:
        return ff.guinier_porod(q, gyration, 2.5) + rise * (1 + (q / knee) ** 2) ** (-power / 2)

    return Sample("porous carbon", gyration, curve)


def _solvent(inside: float, edge: float, drift: float, session: Rng, rng: Rng) -> Sample:
    slope, knee = log_uniform(session, 0.05, 3), edge * session.uniform(0.05, 0.3)
    return Sample("solvent", np.nan, lambda q: 1 + slope * (1 + (q / knee) ** 2) ** -1.5)


def _rough_solid(inside: float, edge: float, drift: float, session: Rng, rng: Rng) -> Sample:
    """Draw a power law, as of metals, pigments, voids and dirty windows: nothing but a halo."""
    power, flat = session.uniform(2.0, 4.2), log_uniform(session, 1e-5, 0.3)
    knee = 0.02 * edge
    return Sample("rough solid", np.nan, lambda q: (1 + (q / knee) ** 2) ** (-power / 2) + flat)


_FAMILIES: dict[str, Callable[[float, float, float, Rng, Rng], Sample]] = {
    "spheres": _spheres,
    "core-shell": _core_shell,
    "cylinders": _cylinders,
    "protein": _protein,
    "lamellae": _lamellae,
    "ordered phase": _ordered_phase,
    "silver behenate": _behenate,
    "microemulsion": _microemulsion,
    "coil": _coil,
    "aggregate": _aggregate,
    "fibre": _fibre,
    "carbon": _carbon,
    "solvent": _solvent,
    "rough solid": _rough_solid,
}


def _looked_up(curve: Callable[[Curve], Curve], q: Curve, n: int) -> Curve:
    """Return a curve at many places, interpolated between `n` of them."""
    grid = np.linspace(float(q.min()), float(q.max()), n)
    return np.interp(q, grid, curve(grid))


_BANDS = 12


def _in_bands(sample: Sample, n_q: int, n_angle: int, rng: Rng | None) -> NDArray[np.float64]:
    """Return the intensity of a few domains around the beam, (n_q, n_angle), others in each band of q."""
    assert rng is not None
    rings = np.array(
        [
            0.2 + 0.8 * polar.grains(rng, n_angle, sample.order, 0.5 / (4 + sample.order))
            for _ in range(_BANDS)
        ]
    )
    return rings[np.arange(n_q) * _BANDS // n_q]


def pattern_table(
    sample: Sample, q_most: float, n_q: int, n_angle: int = 361, *, rng: Rng | None = None
) -> polar.PolarTable:
    """Tabulate a sample about the beam, out to `q_most`; `rng` decides which grains the beam hits."""
    q = polar.q_grid(q_most, n_q)
    if sample.anisotropy == "none":
        return polar.PolarTable(sample.curve(q)[:, np.newaxis].astype(np.float32), q_most)
    angle = np.linspace(0, 2 * np.pi, n_angle)
    turned = angle - sample.direction_rad
    if sample.anisotropy == "stretched":
        # Shapes or cells that are longer along the axis have the same curve at another q in each direction.
        ratio = 1 + 0.25 * min(sample.order, 6.0)
        stretch = np.sqrt(np.cos(turned) ** 2 * ratio + np.sin(turned) ** 2 / ratio)
        values = _looked_up(sample.curve, np.multiply.outer(q, stretch), 4 * n_q)
    elif sample.anisotropy == "axial":
        values = np.multiply.outer(
            sample.curve(q), 0.15 + 0.85 * polar.nematic(angle, sample.direction_rad, sample.order)
        )
    elif sample.anisotropy in ("fourfold", "sixfold"):
        half = 2 if sample.anisotropy == "fourfold" else 3
        around = 0.3 + 0.7 * polar.nematic(half * turned, 0.0, sample.order)
        values = np.multiply.outer(sample.curve(q), around)
    elif sample.anisotropy == "grains":
        values = sample.curve(q)[:, np.newaxis] * _in_bands(sample, len(q), n_angle, rng)
    else:
        # Layers along a fibre give short lines across its axis; voids between fibrils, an equatorial streak.
        height, across = np.abs(np.multiply.outer(q, np.cos(turned))), np.multiply.outer(q, np.sin(turned))
        reach = 0.02 * q_most + height * 0.8 / np.sqrt(sample.order)
        layers = _looked_up(sample.curve, np.maximum(height, q[0]), 4 * n_q)
        equator = polar.nematic(angle, sample.direction_rad + np.pi / 2, 4 * sample.order)
        streak = np.multiply.outer((1 + (q / (0.08 * q_most)) ** 2.5) ** -1.0, equator)
        values = layers * np.exp(-0.5 * (across / reach) ** 2) + 0.3 * streak
    return polar.PolarTable(values.astype(np.float32), q_most)
