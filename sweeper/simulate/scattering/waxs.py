"""Wide-angle scattering in transmission: rings of powders, halos, texture and fibres."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.simulate.scattering import polar
from sweeper.simulate.scattering.crystals import CRYSTALS, powder_lines
from sweeper.simulate.scattering.instruments import Rng, choose, log_uniform
from sweeper.simulate.scattering.polymers import HALOS, POLYMERS
from sweeper.simulate.scattering.saxs import BEHENATE_PERIOD_ANGSTROM
from sweeper.simulate.scattering.strata import Strata

Curve = NDArray[Any]


@dataclass(frozen=True)
class Ring:
    """One ring: its place, its strength per unit of solid angle, and the angle of its arcs from the axis."""

    q: float
    power: float
    angle_rad: float = np.nan


@dataclass(frozen=True)
class Sample:
    """A sample, described by how it scatters at wide angles.

    Attributes
    ----------
    name : str
    rings : tuple of Ring
    width : float
        Full width at half maximum of a ring at q = 0, 1/Å: 2π·0.9 over the size of the crystallites.
        strain : float
            Addition to the width, over q.
    halos : tuple of (q, fwhm, height)
        Broad maxima of matter that is not crystalline.
        small_angle : tuple of (height, q, power)
            Rise towards the beam.
        texture : float
            Standard deviation of the arcs about their places, radians; 0 for no texture.
        direction_rad : float
            Direction of the texture's axis, about the beam.
    random : float
        Share of crystallites without texture.
    grains : float
        Number of crystallites that reflect into a ring; 0 for very many.
    grain_width_rad : float
    flat : float
        Compton scattering and fluorescence.
    contrast : float
        Height of the strongest ring over the background.
    """

    name: str
    rings: tuple[Ring, ...]
    width: float
    strain: float
    halos: tuple[tuple[float, float, float], ...] = ()
    small_angle: tuple[float, float, float] = (0.0, 0.1, 3.0)
    texture: float = 0.0
    direction_rad: float = 0.0
    random: float = 1.0
    grains: float = 0.0
    grain_width_rad: float = 0.01
    flat: float = 0.02
    contrast: float = 5.0


_KINDS = {"powder": 37, "polymer": 23, "amorphous": 16, "behenate": 5, "molecular crystal": 11,
          "single crystal": 8}  # fmt: skip

_COMMON = dict.fromkeys(CRYSTALS, 1) | {
    "LaB6": 6,
    "Si": 3,
    "CeO2": 3,
    "ice Ih": 3,
    "Fe": 3,
    "Al": 3,
    "Ti": 2,
}


def rings_of(name: str, q_most: float, axis: tuple[int, int, int] = (0, 0, 1)) -> tuple[Ring, ...]:
    """Return the rings of a crystal: multiplicity · |F|² / sin θ of each line, and its angle to `axis`.

    A sphere of radius q is cut along a circle, on which a line's share grows as 1/q. A ring's radius is
    proportional to q, which gives another 1/q per unit of solid angle.
    """
    import gemmi

    lines = powder_lines(name)
    cell = gemmi.UnitCell(*CRYSTALS[name].cell)
    to_reciprocal = np.array(cell.frac.mat.tolist()).T
    normal = to_reciprocal @ np.array(axis, dtype=float)
    found = []
    for q, power, hkl in zip(lines.q, lines.power, lines.hkl, strict=True):
        if q < q_most:
            vector = to_reciprocal @ hkl
            cosine = abs(vector @ normal) / np.sqrt((vector @ vector) * (normal @ normal))
            found.append(Ring(float(q), float(power / q**2), float(np.arccos(min(1.0, cosine)))))
    strongest = max((ring.power for ring in found), default=1.0)
    return tuple(Ring(ring.q, ring.power / strongest, ring.angle_rad) for ring in found)


def draw_sample(q_least: float, q_most: float, strata: Strata, session: Rng, rng: Rng) -> Sample:
    """Draw a material seen from `q_least` to `q_most`, 1/Å; `rng` draws how the frame differs."""
    kind = strata.choose("material", _KINDS)
    direction = float(session.uniform(0, np.pi) + rng.normal(0, 0.05))
    rise = (log_uniform(session, 0.003, 3.0), log_uniform(session, 0.03, 0.3), session.uniform(2.0, 4.0))
    rise = rise if session.random() < 0.75 else (0.0, 0.1, 3.0)
    flat = log_uniform(session, 0.005, 0.3)
    if kind == "powder":
        return _powder(q_least, q_most, direction, rise, flat, session)
    if kind == "polymer":
        return _polymer(direction, rise, flat, session, rng)
    if kind == "amorphous":
        name = str(session.choice(list(HALOS)))
        return Sample(name, (), 0.05, 0.0, HALOS[name], rise, flat=flat)
    if kind == "behenate":
        return _behenate(rise, flat, session)
    sample = _molecular(q_most, direction, rise, flat, session)
    if kind == "single crystal":  # a few reflections of one crystal or of some, far above the background
        return replace(
            sample, name=kind, grains=log_uniform(session, 0.2, 4), contrast=log_uniform(session, 10, 3000)
        )
    return sample


def _visible(q_least: float, q_most: float, session: Rng) -> str:
    """Choose a powder with a strong line on the frame, if there is one: its user saw to that."""
    shares = {}
    for name, share in _COMMON.items():
        lines = powder_lines(name)
        height = lines.power / lines.q**2
        inside = (lines.q > q_least) & (lines.q < q_least + 0.97 * (q_most - q_least))
        if inside.any() and height[inside].max() > 0.05 * height[lines.q < q_most].max():
            shares[name] = share
    return choose(session, shares or _COMMON)


def _powder(
    q_least: float,
    q_most: float,
    direction: float,
    rise: tuple[float, float, float],
    flat: float,
    session: Rng,
) -> Sample:
    name = _visible(q_least, q_most, session)
    rings = list(rings_of(name, q_most))
    if session.random() < 0.25:  # a second phase
        second, share = choose(session, _COMMON), log_uniform(session, 0.05, 1)
        rings += [Ring(r.q, share * r.power, r.angle_rad) for r in rings_of(second, q_most)]
        name = f"{name}, {second}"
    coarse, textured = session.random() < 0.3, session.random() < 0.25
    halos: tuple[tuple[float, float, float], ...] = ()
    if session.random() < 0.35:
        height = log_uniform(session, 0.02, 0.4)
        chosen = HALOS[str(session.choice(list(HALOS)))]
        halos = tuple((q, width, height * h) for q, width, h in chosen)
    small = session.random() < 0.25  # nanocrystals
    width = log_uniform(session, 0.03, 0.25) if small else log_uniform(session, 0.002, 0.02)
    return Sample(
        name, tuple(rings), width, log_uniform(session, 5e-4, 8e-3), halos, rise,
        texture=session.uniform(0.1, 0.5) if textured else 0.0,
        direction_rad=direction,
        random=session.uniform(0.05, 0.7) if textured else 1.0,
        grains=log_uniform(session, 1, 3000) if coarse else 0.0,
        grain_width_rad=log_uniform(session, 0.002, 0.03),
        flat=flat,
        contrast=log_uniform(session, 0.4, 60),
    )  # fmt: skip


def _polymer(
    direction: float, rise: tuple[float, float, float], flat: float, session: Rng, rng: Rng
) -> Sample:
    name = str(session.choice(list(POLYMERS)))
    swelling = float(np.exp(session.normal(0, 0.015) + rng.normal(0, 0.003)))
    rings = tuple(
        Ring(q * swelling, p * float(session.uniform(0.6, 1.4)), np.deg2rad(a)) for q, p, a in POLYMERS[name]
    )
    drawn = session.random() < 0.6
    strongest = rings[int(np.argmax([r.power for r in rings]))].q
    halo = (strongest * session.uniform(0.9, 1.05), session.uniform(0.3, 0.6), log_uniform(session, 0.1, 2))
    return Sample(
        name, rings, log_uniform(session, 0.02, 0.12), 0.002, (halo, (2.9, 1.0, 0.1 * halo[2])), rise,
        texture=log_uniform(session, 0.05, 0.5) if drawn else 0.0,
        direction_rad=direction,
        random=log_uniform(session, 0.01, 0.6) if drawn else 1.0,
        flat=flat,
        contrast=log_uniform(session, 0.2, 8),
    )  # fmt: skip


def _behenate(rise: tuple[float, float, float], flat: float, session: Rng) -> Sample:
    first = 2 * np.pi / BEHENATE_PERIOD_ANGSTROM
    heights = [1.0, 0.45, 0.55, 0.2, 0.35, 0.1, 0.25, 0.08, 0.2, 0.1, 0.12, 0.05, 0.08]
    rings = [Ring(first * (n + 1), h / (n + 1) ** 0.5) for n, h in enumerate(heights)]
    # Sub-cell: the strong lines of parallel paraffin chains, d = 4.59, 4.3, 3.9 Å.
    rings += [Ring(1.369, 0.5), Ring(1.46, 0.15), Ring(1.6, 0.1), Ring(1.92, 0.06), Ring(2.38, 0.05)]
    return Sample(
        "silver behenate", tuple(rings), log_uniform(session, 0.004, 0.02), 0.002, (), rise, flat=flat,
        contrast=log_uniform(session, 1, 40),
    )  # fmt: skip


def _molecular(
    q_most: float, direction: float, rise: tuple[float, float, float], flat: float, session: Rng
) -> Sample:
    """Draw a drug, a salt or a mineral: a cell of three lengths, with powers from Wilson's statistics."""
    a, b, c = np.sort(session.uniform(4, 16, 3))
    indices = np.array([(h, k, l) for h in range(6) for k in range(6) for l in range(8) if h + k + l])  # noqa: E741
    vectors = 2 * np.pi * indices / np.array([a, b, c])
    q = np.linalg.norm(vectors, axis=1)
    power = session.standard_exponential(len(q)) * 2.0 ** (indices > 0).sum(axis=1) / q**2
    power *= np.exp(-0.08 * q**2)
    keep = np.flatnonzero((q < q_most) & (power > 0.02 * power.max()))
    angle = np.arccos(vectors[:, 2] / q)
    rings = tuple(Ring(float(q[i]), float(power[i] / power.max()), float(angle[i])) for i in keep[:150])
    coarse = session.random() < 0.4
    return Sample(
        "molecular crystal", rings, log_uniform(session, 0.004, 0.03), 0.002,
        ((session.uniform(1.2, 1.7), 0.6, log_uniform(session, 0.01, 0.3)),), rise,
        grains=log_uniform(session, 5, 2000) if coarse else 0.0,
        direction_rad=direction,
        grain_width_rad=log_uniform(session, 0.002, 0.03), flat=flat, contrast=log_uniform(session, 0.4, 40),
    )  # fmt: skip


def background(q: Curve, sample: Sample) -> Curve:
    """Return all that has no lines, over q."""
    height, knee, power = sample.small_angle
    total = sample.flat * (1 + 0.5 * np.exp(-((q / 1.2) ** 2)))
    total = total + height * (1 + (q / knee) ** 2) ** (-power / 2) * 10
    for centre, fwhm, peak in sample.halos:
        x2 = ((q - centre) / (fwhm / 2)) ** 2
        total = total + peak * (0.7 * np.exp(-np.log(2) * x2) + 0.3 / (1 + x2))
    return np.asarray(total)


def pattern_table(
    sample: Sample, q_most: float, resolution: float, n_q: int, n_angle: int, rng: Rng
) -> polar.PolarTable:
    """Tabulate a sample about the beam.

    Parameters
    ----------
    resolution : float
        Share of the instrument in a ring's width, 1/Å.
        rng : Generator
            Random stream of the frame: decides which grains the beam hits.
    """
    q = polar.q_grid(q_most, n_q)
    smooth = background(q, sample)
    directed = sample.texture > 0 or sample.grains > 0
    angle = np.linspace(0, 2 * np.pi, n_angle if directed else 1)
    table = np.repeat(smooth[:, np.newaxis], len(angle), axis=1)
    heights = _heights(sample, q, smooth, resolution)
    for ring, (fwhm, height) in zip(sample.rings, heights, strict=True):
        azimuth = np.full(len(angle), height)
        if sample.texture > 0 and np.isfinite(ring.angle_rad):
            arcs = polar.bell(angle - sample.direction_rad, ring.angle_rad, sample.texture)
            arcs += polar.bell(angle - sample.direction_rad + 2 * np.pi, ring.angle_rad, sample.texture)
            azimuth *= sample.random + (1 - sample.random) * arcs / max(float(arcs.mean()), 1e-6)
        if sample.grains > 0:
            azimuth *= polar.grains(rng, len(angle), sample.grains, sample.grain_width_rad)
        polar.add_line(table, q, ring.q, fwhm, azimuth)
    return polar.PolarTable(table.astype(np.float32), q_most)


def _heights(sample: Sample, q: Curve, smooth: Curve, resolution: float) -> list[tuple[float, float]]:
    """Return full width at half maximum and height of each ring; at a given power, broad rings are lower."""
    widths = [float(np.hypot(resolution, sample.width + sample.strain * ring.q)) for ring in sample.rings]
    raw = [ring.power / width for ring, width in zip(sample.rings, widths, strict=True)]
    if not raw or max(raw) == 0:
        return []
    strongest = int(np.argmax(raw))
    scale = sample.contrast * float(np.interp(sample.rings[strongest].q, q, smooth)) / raw[strongest]
    return [(width, scale * height) for width, height in zip(widths, raw, strict=True)]
