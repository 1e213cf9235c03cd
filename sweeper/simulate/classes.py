"""The five classes of a screening run, and the ranges from which each draws its exposure.

A label says what was in the beam, so the ranges of neighbouring classes overlap as they do at a
beamline, and so do their frames (DiffraNet, section 3: weak has small or faint patterns, good
larger and more discernible ones, strong large and clear ones).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sweeper.simulate.crystal import random_quaternion
from sweeper.simulate.structure import LYSOZYME_CELL


@dataclass(frozen=True)
class Range:
    """A positive quantity, uniform or log-uniform from `low` to `high`."""

    low: float
    high: float
    log: bool = False

    def draw(self, rng: np.random.Generator) -> float:
        """Draw one value."""
        if self.log:
            return float(np.exp(rng.uniform(np.log(self.low), np.log(self.high))))
        return float(rng.uniform(self.low, self.high))


@dataclass(frozen=True)
class FrameClass:
    """The ranges from which the exposure of one class is drawn.

    Attributes
    ----------
    label : str
    fluence : Range or None
        Photons per square metre; None without X-rays.
    water_path_um : Range
    crystal_um : Range or None
        Edge of the crystal; None without one.
    b_factor_a2 : Range
    """

    label: str
    fluence: Range | None
    water_path_um: Range
    crystal_um: Range | None
    b_factor_a2: Range


# 10¹² photons in 10 µm × 10 µm, behind multilayer optics (a bandpass of a percent or two): spots are
# many and faint against the water of a thick jet, as in screening at a synchrotron.
_FLUENCE = Range(1e22, 1.3e22, log=True)
_WATER_UM = Range(14.5, 17, log=True)
_AIR_MM = Range(2.4, 2.7)
_BANDPASS_PERCENT = Range(1.3, 1.8)
_DIVERGENCE_MRAD = Range(0.2, 0.8)
_MOSAIC_MRAD = Range(5.5, 7.5)
_READ_NOISE_ADU = Range(2.7, 3.3)
_CELL_SPREAD = 0.002
_NO_B = Range(1, 1)

CLASSES = (
    FrameClass("blank", None, _WATER_UM, None, _NO_B),
    FrameClass("no-crystal", _FLUENCE, _WATER_UM, None, _NO_B),
    FrameClass("weak", _FLUENCE, _WATER_UM, Range(1.8, 2.45, log=True), Range(40, 60)),
    FrameClass("good", _FLUENCE, _WATER_UM, Range(2.42, 3.8, log=True), Range(23, 41)),
    FrameClass("strong", _FLUENCE, _WATER_UM, Range(3.75, 6.8, log=True), Range(10, 24)),
)
"""In order of diffraction; the position decides a class's random stream."""

LABELS = tuple(c.label for c in CLASSES)


@dataclass(frozen=True)
class Exposure:
    """All that is drawn for one frame; NaN for quantities that a class does not have."""

    fluence_photons_per_m2: float
    flicker: float
    wavelength_angstrom: float
    divergence_mrad: float
    bandpass_percent: float
    beam_x_mm: float
    beam_y_mm: float
    water_path_um: float
    air_path_mm: float
    crystal_size_um: float
    b_factor_a2: float
    mosaic_mrad: float
    cell_a_angstrom: float
    cell_b_angstrom: float
    cell_c_angstrom: float
    orientation_w: float
    orientation_x: float
    orientation_y: float
    orientation_z: float
    offset_adu: float
    read_noise_adu: float


def draw_exposure(label: str, rng: np.random.Generator, cell: Sequence[float] = LYSOZYME_CELL) -> Exposure:
    """Draw the exposure of one frame of class `label`; `cell` is the mean unit cell of its crystals."""
    kind = CLASSES[LABELS.index(label)]
    nan = float("nan")
    lit, crystal = kind.fluence is not None, kind.crystal_um is not None
    quaternion = random_quaternion(rng)
    cell_scale = rng.normal(1.0, _CELL_SPREAD, 2)
    drawn = {
        "fluence_photons_per_m2": kind.fluence.draw(rng) if kind.fluence else 0.0,
        "flicker": rng.normal(1.0, 0.02) if lit else nan,
        "wavelength_angstrom": rng.normal(1.0, 0.001) if lit else nan,
        "divergence_mrad": _DIVERGENCE_MRAD.draw(rng) if lit else nan,
        "bandpass_percent": _BANDPASS_PERCENT.draw(rng) if lit else nan,
        "beam_x_mm": rng.normal(0.0, 0.03),
        "beam_y_mm": rng.normal(0.0, 0.03),
        "water_path_um": kind.water_path_um.draw(rng) if lit else nan,
        "air_path_mm": _AIR_MM.draw(rng) if lit else nan,
        "crystal_size_um": kind.crystal_um.draw(rng) if kind.crystal_um else nan,
        "b_factor_a2": kind.b_factor_a2.draw(rng) if crystal else nan,
        "mosaic_mrad": _MOSAIC_MRAD.draw(rng) if crystal else nan,
        "cell_a_angstrom": cell[0] * cell_scale[0] if crystal else nan,
        "cell_b_angstrom": cell[1] * cell_scale[0] if crystal else nan,
        "cell_c_angstrom": cell[2] * cell_scale[1] if crystal else nan,
        "offset_adu": rng.normal(40.0, 0.5),
        "read_noise_adu": _READ_NOISE_ADU.draw(rng),
    }
    for axis, value in zip("wxyz", quaternion, strict=True):
        drawn[f"orientation_{axis}"] = value if crystal else nan
    return Exposure(**{name: float(value) for name, value in drawn.items()})
