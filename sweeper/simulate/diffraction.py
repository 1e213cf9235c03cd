"""Serial-crystallography stills in five classes, drawn from physics."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.simulate import sets, writing
from sweeper.simulate.background import Beamstop, background_photons, transmission
from sweeper.simulate.camera import Camera, digitise
from sweeper.simulate.classes import LABELS, Exposure, draw_exposure
from sweeper.simulate.crystal import bragg_image, find_spots, tetragonal_crystal
from sweeper.simulate.geometry import Beam, Detector, detector_of
from sweeper.simulate.structure import wilson_intensities

SIMULATOR = "diffraction-1"
"""Name and version of the simulator; raise it when the same seed gives other frames."""

SMALLEST_PX, LARGEST_PX = 64, 4096
_H_MAX, _L_MAX = 56, 27  # past the detector's corner for the default cell and wavelength
_BEAMSTOP = Beamstop()
_CAMERA = Camera()


def _check(seed: int, size: int) -> None:
    if seed < 0:
        raise ValueError(f"simulate: seed must be a whole number of at least 0, got {seed}")
    if not SMALLEST_PX <= size <= LARGEST_PX:
        raise ValueError(f"simulate: size must be from {SMALLEST_PX} to {LARGEST_PX} pixels, got {size}")


def _beam(drawn: Exposure) -> Beam:
    return Beam(
        wavelength_angstrom=drawn.wavelength_angstrom,
        fluence_photons_per_m2=drawn.fluence_photons_per_m2 * drawn.flicker,
        divergence_rad=drawn.divergence_mrad * 1e-3,
        bandpass=drawn.bandpass_percent * 1e-2,
    )


def _bragg(drawn: Exposure, beam: Beam, detector: Detector, seed: int) -> NDArray[np.float64]:
    quaternion = np.array(
        [drawn.orientation_w, drawn.orientation_x, drawn.orientation_y, drawn.orientation_z]
    )
    crystal = tetragonal_crystal(
        drawn.cell_a_angstrom,
        drawn.cell_c_angstrom,
        drawn.crystal_size_um,
        quaternion,
        drawn.b_factor_a2,
        drawn.mosaic_mrad * 1e-3,
    )
    spots = find_spots(crystal, beam, detector, wilson_intensities(seed, _H_MAX, _L_MAX))
    return bragg_image(spots, detector)


def expected_photons(
    drawn: Exposure, seed: int, size: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Expected photons a pixel behind the beamstop, before any noise.

    Returns
    -------
    bragg, background : float64, (size, size)
        All zero where the exposure has no crystal, or no X-rays.
    """
    detector = detector_of(size, drawn.beam_x_mm, drawn.beam_y_mm)
    dark = np.zeros((size, size))
    if drawn.fluence_photons_per_m2 == 0:
        return dark, dark
    beam = _beam(drawn)
    passed = transmission(detector, _BEAMSTOP)
    background = background_photons(detector, beam, drawn.water_path_um, drawn.air_path_mm) * passed
    if np.isnan(drawn.crystal_size_um):
        return dark, background
    return _bragg(drawn, beam, detector, seed) * passed, background


def simulate_frame(label: str, index: int, seed: int, size: int) -> tuple[NDArray[np.uint16], dict[str, Any]]:
    """Draw frame `index` of class `label`: a pure function of its arguments.

    Sources: spot and background formulas as nanoBragg's (GAUSS lattice factor), Wilson's statistics
    for structure factors; see :mod:`sweeper.simulate.crystal` and its neighbours.

    Parameters
    ----------
    label : {"blank", "no-crystal", "weak", "good", "strong"}
    index : int
        From 0; frames of other indices do not matter.
    seed : int
        Of the data set: names the protein, the detector's calibration and all random streams.
    size : int
        Pixels along an edge, 64 to 4096.

    Returns
    -------
    counts : uint16, (size, size)
    drawn : dict
        Label, index, seed and size, all drawn parameters with units in their names (NaN where the
        class has no such thing), and the expected photons of crystal and background.

    Raises
    ------
    ValueError
        For a label, index, seed or size out of range.
    """
    _check(seed, size)
    if label not in LABELS:
        raise ValueError(f"simulate: label must be one of {', '.join(LABELS)}, got {label!r}")
    if index < 0:
        raise ValueError(f"simulate: index must be a whole number of at least 0, got {index}")
    stream = np.random.SeedSequence(seed, spawn_key=(LABELS.index(label), index))
    rng = np.random.default_rng(stream)
    drawn = draw_exposure(label, rng)
    bragg, background = expected_photons(drawn, seed, size)
    camera = replace(_CAMERA, offset_adu=drawn.offset_adu, read_noise_adu=drawn.read_noise_adu)
    counts = digitise(bragg + background, camera, seed, rng)
    parameters: dict[str, Any] = {"label": label, "index": index, "seed": seed, "size_px": size}
    parameters |= asdict(drawn)
    parameters["bragg_photons"] = float(bragg.sum())
    parameters["background_photons"] = float(background.sum())
    parameters["simulator"] = SIMULATOR
    return counts, parameters


def write_diffraction(
    directory: Path,
    per_class: int,
    size: int,
    seed: int,
    *,
    on_frame: Callable[[int, int], None] | None = None,
) -> Path:
    """Write `per_class` frames of each class as ``directory/<class>/<class>_<index>.tif``.

    Running it again over its own folder completes it, or does nothing when it is complete. The
    manifest is written last.

    Parameters
    ----------
    directory : Path
        New, empty, or of the same simulation.
    per_class, size, seed : int
    on_frame : callable, optional
        Called with the number of frames done and of all frames, after each frame.

    Returns
    -------
    Path
        ``directory/manifest.csv``: ``path`` (relative), ``label`` and the drawn parameters.

    Raises
    ------
    ValueError
        For a parameter out of range, or a folder that holds something else.
    """
    wanted = sets.simulation("diffraction", per_class, size, seed)
    return writing.write_set(directory, wanted, on_frame)
