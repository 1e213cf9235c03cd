"""One simulated frame, as a pure function of its label, index, seed and size."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.errors import InputError
from sweeper.simulate.scattering import BLANK, LABELS, SIMULATOR, at_grazing, in_transmission
from sweeper.simulate.scattering.detectors import GAP
from sweeper.simulate.scattering.instruments import Instrument, Rng, draw_instrument, log_uniform
from sweeper.simulate.scattering.recording import DEPTHS, record
from sweeper.simulate.scattering.scene import Scene
from sweeper.simulate.scattering.strata import Strata

BY_NAME = (BLANK,)
"""Classes that are drawn only on request."""

SHAPES = ("detector", "square")
"""Shapes that frames can have; the first is the default."""

FRAMES_PER_SESSION = 2
"""Consecutive frames of a class that share an instrument and a material, and so a group."""

_FEWEST_PHOTONS = 300.0
"""On a frame that anybody keeps."""

_FAINT = 0.1
"""Share of the frames with fewer photons than most users would like."""

_SCENES: dict[str, Callable[[Instrument, Strata, Rng, Rng], Scene]] = {
    "SAXS": in_transmission.saxs_scene,
    "WAXS": in_transmission.waxs_scene,
    "GISAXS": at_grazing.gisaxs_scene,
    "GIWAXS": at_grazing.giwaxs_scene,
    BLANK: in_transmission.blank_scene,
}

_OF_SCENES = (
    "sample", "length_angstrom", "distance_mm", "beam_column_px", "beam_row_px", "arm_right_deg",
    "arm_up_deg", "q_step_per_angstrom", "incidence_deg", "critical_deg", "up_deg", "place", "stop",
)  # fmt: skip


def _check(label: str, index: int, seed: int, size: int) -> None:
    if label not in _SCENES:
        raise InputError(f"simulate: label must be one of {', '.join(_SCENES)}, got {label!r}")
    if index < 0:
        raise InputError(f"simulate: index must be a whole number of at least 0, got {index}")
    if seed < 0:
        raise InputError(f"simulate: seed must be a whole number of at least 0, got {seed}")
    if not 64 <= size <= 4096:
        raise InputError(f"simulate: size must be 64 to 4096 pixels, got {size}")


def prepare(shape: str = SHAPES[0]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return options of :func:`simulate_frame` from those of the command line, and the manifest's columns."""
    if shape not in SHAPES:
        raise InputError(f"simulate: shape must be one of {', '.join(SHAPES)}, got {shape!r}")
    return {"shape": shape}, {"shape": shape}


def group_of(label: str, index: int, seed: int) -> str:
    """Return the name of the session that a frame belongs to."""
    return f"{label}-{seed}-{index // FRAMES_PER_SESSION:05d}"


def _squared(counts: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return a square with the frame in its middle and no data around it."""
    size = max(counts.shape)
    square = np.full((size, size), GAP, np.int32)
    top, left = (size - counts.shape[0]) // 2, (size - counts.shape[1]) // 2
    square[top : top + counts.shape[0], left : left + counts.shape[1]] = counts
    return square


def _level(scene: Scene, instrument: Instrument, strata: Strata, rng: Rng) -> float:
    """Return the photons that an exposure gives at the scene's level."""
    fewest, usual, most = scene.counts
    if instrument.detector.integrating:  # their users see noise, and expose longer
        fewest, usual = 10 * fewest, min(10 * usual, most)
    share = strata.share("exposure")
    faint = share < _FAINT
    low, high = (fewest, usual) if faint else (usual, most)
    share = share / _FAINT if faint else (share - _FAINT) / (1 - _FAINT)
    level = low * (high / low) ** share * float(np.exp(rng.normal(0, 0.4)))
    photons = float(scene.expected.sum(dtype=np.float64)) / scene.level
    if scene.drawn["sample"] == "none":
        return float(level)
    return float(max(level, _FEWEST_PHOTONS / max(photons, 1e-30)))


def simulate_frame(
    label: str, index: int, seed: int, size: int, *, shape: str = SHAPES[0]
) -> tuple[NDArray[np.int32], dict[str, Any]]:
    """Draw and record one frame, as a pure function of the arguments.

    Parameters
    ----------
    label : {"SAXS", "WAXS", "GISAXS", "GIWAXS", "blank"}
    index : int
        From 0. Two consecutive frames form a session: the same instrument and material, another exposure.
        seed : int
            Seed of the data set.
        size : int
            Pixels along the longer edge, 64 to 4096. The other follows from the detector: real frames are
            seldom square, and as each technique uses most detectors, a frame's shape hardly tells its class.
    shape : {"detector", "square"}
        ``square`` puts the frame in the middle of a square of −1, so that frames can be stacked.

    Returns
    -------
    counts : int32, (rows, columns)
        −1 between modules (0 where the session's software does not mark them), −2 at bad pixels.
    drawn : dict
        All drawn parameters with units in their names. The names are the same for every label, NaN for
        those that a class does not have; ``group`` names the session.

    Raises
    ------
    InputError
        If a label, index, seed or size is out of range.
    """
    _check(label, index, seed, size)
    prepare(shape)
    number, which = index // FRAMES_PER_SESSION, (*LABELS, BLANK).index(label)

    def stream(*key: int) -> Rng:
        return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(7, which, number, *key)))

    strata = Strata((7, seed, which), number)
    rng = stream(3, index % FRAMES_PER_SESSION)
    instrument = draw_instrument(label, size, strata, stream(0))
    scene = _SCENES[label](instrument, strata, stream(1), rng)
    level = _level(scene, instrument, strata, rng)
    depth = strata.choose("depth", DEPTHS)
    beam = scene.drawn.get("beam_column_px", float("nan")), scene.drawn.get("beam_row_px", float("nan"))
    counts = record(
        scene.expected * np.float32(level / scene.level), instrument, stream(4), rng,
        tracks_per_frame=log_uniform(stream(2), 0.3, 60) * np.sqrt(size / 256),
        depth=depth, beam=beam, filled=scene.filled, dead=scene.dead,
    )  # fmt: skip
    drawn: dict[str, Any] = {
        "label": label, "group": group_of(label, index, seed), "domain": instrument.domain, "index": index,
        "seed": seed, "size_px": size, "detector": instrument.detector.name, "part": instrument.part,
        "depth": depth, "pixel_mm": instrument.pixel_mm,
        "wavelength_angstrom": instrument.wavelength_angstrom, "synchrotron": instrument.synchrotron,
        "up_quarter_turns": instrument.up_quarter, "counts_at_98_percent": level,
    }  # fmt: skip
    drawn |= {name: scene.drawn.get(name, float("nan")) for name in _OF_SCENES}
    drawn |= {"shape": shape, "simulator": SIMULATOR}
    return _squared(counts) if shape == "square" else counts, drawn
