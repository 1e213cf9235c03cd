"""Serial-crystallography stills in five classes, drawn from physics."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.errors import InputError
from sweeper.simulate import reference, sets, writing
from sweeper.simulate.background import Beamstop, background_photons, transmission
from sweeper.simulate.camera import POINT_SPREADS, Camera, digitise
from sweeper.simulate.classes import LABELS, Exposure, draw_exposure
from sweeper.simulate.crystal import bragg_image, crystal_of, find_spots
from sweeper.simulate.geometry import Beam, Detector, detector_of
from sweeper.simulate.structure import LYSOZYME_CELL, Structure, lysozyme
from sweeper.simulate.structure_files import read_structure

SIMULATOR = "diffraction-2"
"""Name and version of the simulator; raise the version when the same seed gives other frames."""

METHODS = ("spot", "pixel")
_BLOCK_UM = 0.04  # edge of a block in the pixel-by-pixel form, which its grids can sample
_COLOURS, _DOMAINS = 9, 24  # steps of the bandpass, and mosaic blocks, over which it sums
_D_MIN = 1.55  # Å, past the detector's corner
_H_MAX, _L_MAX = 56, 27  # past the detector's corner for the default cell and wavelength
_BEAMSTOP = Beamstop()
_CAMERA = Camera()


def _beam(drawn: Exposure) -> Beam:
    return Beam(
        wavelength_angstrom=drawn.wavelength_angstrom,
        fluence_photons_per_m2=drawn.fluence_photons_per_m2 * drawn.flicker,
        divergence_rad=drawn.divergence_mrad * 1e-3,
        bandpass=drawn.bandpass_percent * 1e-2,
    )


def _bragg(
    drawn: Exposure, beam: Beam, detector: Detector, structure: Structure, method: str, seed: int
) -> NDArray[np.float64]:
    quaternion = np.array(
        [drawn.orientation_w, drawn.orientation_x, drawn.orientation_y, drawn.orientation_z]
    )
    cell = (drawn.cell_a_angstrom, drawn.cell_b_angstrom, drawn.cell_c_angstrom, *structure.cell[3:])
    crystal = crystal_of(cell, drawn.crystal_size_um, quaternion, drawn.b_factor_a2, drawn.mosaic_mrad * 1e-3)
    if method == "spot":
        return bragg_image(find_spots(crystal, beam, detector, structure.squared), detector)
    block, blocks = reference.in_blocks(crystal, _BLOCK_UM)
    return blocks * reference.pixel_image(
        block,
        beam,
        detector,
        structure.squared,
        sources=reference.sources_of(beam, wavelength_steps=_COLOURS),
        domains=reference.mosaic_domains(block, _DOMAINS, seed),
    )


def expected_photons(
    drawn: Exposure, seed: int, size: int, method: str = "spot", structure: Structure | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the photons a pixel expected behind the beamstop, before any noise.

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
    crystal = lysozyme(seed, _H_MAX, _L_MAX) if structure is None else structure
    return _bragg(drawn, beam, detector, crystal, method, seed) * passed, background


def prepare(
    method: str = "spot", structure: str | Path | None = None, point_spread: str = "gaussian"
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return options of :func:`simulate_frame` from those of the command line, and the manifest's columns.

    Raises
    ------
    InputError
        If a name is unknown, or the structure cannot be used.
    """
    for name, value, known in (("method", method, METHODS), ("point-spread", point_spread, POINT_SPREADS)):
        if value not in known:
            raise InputError(f"simulate: {name} must be one of {', '.join(known)}, got {value!r}")
    options: dict[str, Any] = {"method": method, "point_spread": point_spread}
    identity = {"method": method, "point_spread": point_spread, "structure": "wilson"}
    if structure is not None:
        path = Path(structure)
        options["structure"] = read_structure(path, _D_MIN)
        identity["structure"] = f"{path.name} {hashlib.blake2b(path.read_bytes(), digest_size=8).hexdigest()}"
    return options, identity


def simulate_frame(
    label: str,
    index: int,
    seed: int,
    size: int,
    method: str = "spot",
    structure: Structure | None = None,
    point_spread: str = "gaussian",
) -> tuple[NDArray[np.uint16], dict[str, Any]]:
    """Draw frame `index` of class `label`, as a pure function of the arguments.

    Sources: formulas of spots and background as in nanoBragg (GAUSS lattice factor), Wilson's statistics
    for structure factors; see :mod:`sweeper.simulate.crystal` and its neighbours.

    Parameters
    ----------
    label : {"blank", "no-crystal", "weak", "good", "strong"}
    index : int
        From 0; a frame does not depend on those of other indices.
        seed : int
            Seed of the data set: decides the protein, the detector's calibration and all random streams.
    size : int
        Pixels along an edge, 64 to 4096.
    method : {"spot", "pixel"}
        One Gaussian for each reflection, or a sum pixel by pixel over wavelengths and domains of a crystal
        made of blocks, which is slow: :mod:`sweeper.simulate.reference`.
    structure : Structure, optional
        By default a protein in lysozyme's cell with Wilson's statistics.
    point_spread : {"gaussian", "fibre"}

    Returns
    -------
    counts : uint16, (size, size)
    drawn : dict
        Label, index, seed and size, all drawn parameters with units in their names (NaN for those that the
        class does not have), and the expected photons of crystal and background.

    Raises
    ------
    InputError
        If a label or index is out of range.
    """
    if label not in LABELS:
        raise InputError(f"simulate: label must be one of {', '.join(LABELS)}, got {label!r}")
    if index < 0:
        raise InputError(f"simulate: index must be a whole number of at least 0, got {index}")
    stream = np.random.SeedSequence(seed, spawn_key=(LABELS.index(label), index))
    rng = np.random.default_rng(stream)
    cell = LYSOZYME_CELL if structure is None else structure.cell
    drawn = draw_exposure(label, rng, cell)
    bragg, background = expected_photons(drawn, seed, size, method, structure)
    camera = replace(
        _CAMERA,
        offset_adu=drawn.offset_adu,
        read_noise_adu=drawn.read_noise_adu,
        point_spread=point_spread,
    )
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

    The same call again over its own folder completes it, or does nothing when it is complete. The
    manifest is written last.

    Parameters
    ----------
    directory : Path
        New, empty, or holding the same simulation.
    per_class, size, seed : int
    on_frame : callable, optional
        Called after each frame with the number of frames done and the number of all frames.

    Returns
    -------
    Path
        ``directory/manifest.csv``: ``path`` (relative), ``label`` and the drawn parameters.

    Raises
    ------
    InputError
        If a parameter is out of range, or the folder holds something else.
    """
    wanted = sets.simulation("diffraction", per_class, size, seed)
    return writing.write_set(directory, wanted, on_frame)
