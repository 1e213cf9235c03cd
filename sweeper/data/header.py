"""What files say of how a frame was taken: distance, wavelength, pixel size, beam and angle of incidence.

Formats write it under many names; here it has one each, with its unit. What a file does not say is absent,
and so is what nobody filled in: a distance, a wavelength or a pixel of no size, a beam at 0, 0.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

Header = Mapping[str, float]
"""Quantities by name: those of :data:`QUANTITIES` that a file states."""

DISTANCE, WAVELENGTH, PIXEL = "distance_mm", "wavelength_angstrom", "pixel_mm"
COLUMN, ROW, INCIDENCE = "beam_column_px", "beam_row_px", "incidence_deg"
QUANTITIES = (DISTANCE, WAVELENGTH, PIXEL, COLUMN, ROW, INCIDENCE)

_POSITIVE = (DISTANCE, WAVELENGTH, PIXEL)
_EV_ANGSTROM = 12398.4198
"""Energy in eV times wavelength in Å."""

_LENGTHS_MM = {"m": 1e3, "cm": 10.0, "mm": 1.0, "um": 1e-3, "µm": 1e-3, "micron": 1e-3, "microns": 1e-3}
_LENGTHS_ANGSTROM = {"m": 1e10, "nm": 10.0, "pm": 0.01, "a": 1.0, "angstrom": 1.0, "angstroms": 1.0, "å": 1.0}
_ENERGIES_EV = {"ev": 1.0, "kev": 1e3, "j": 1 / 1.602176634e-19}
_ANGLES_DEG = {"deg": 1.0, "degree": 1.0, "degrees": 1.0, "rad": 180 / math.pi, "radian": 180 / math.pi}

_NUMBER = r"([-+]?\d*\.?\d+(?:[eE][-+]?\d+)?)"
_DECTRIS = {
    PIXEL: (re.compile(rf"Pixel_size\s+{_NUMBER}\s*m"), 1e3),
    DISTANCE: (re.compile(rf"Detector_distance\s+{_NUMBER}\s*m"), 1e3),
    WAVELENGTH: (re.compile(rf"Wavelength\s+{_NUMBER}\s*A"), 1.0),
}
_DECTRIS_BEAM = re.compile(rf"Beam_xy\s+\(?\s*{_NUMBER}\s*,\s*{_NUMBER}")
_TURNED = re.compile(rf"Detector_2theta\s+{_NUMBER}")


def stated(values: Mapping[str, float | None]) -> dict[str, float]:
    """Return the quantities that are stated, in the order of :data:`QUANTITIES`."""
    found = {name: values.get(name) for name in QUANTITIES}
    if (found[COLUMN], found[ROW]) == (0, 0) or None in (found[COLUMN], found[ROW]):
        found[COLUMN] = found[ROW] = None
    return {
        name: float(f"{value:.10g}")
        for name, value in found.items()
        if value is not None and math.isfinite(value) and (value > 0 or name not in _POSITIVE)
    }


def of_dectris(text: str) -> dict[str, float]:
    """Return what the comments say that DECTRIS writes into CBF and TIFF files."""
    values: dict[str, float | None] = {}
    for name, (pattern, factor) in _DECTRIS.items():
        match = pattern.search(text)
        values[name] = float(match[1]) * factor if match else None
    turned = _TURNED.search(text)
    beam = _DECTRIS_BEAM.search(text)
    if beam and not (
        turned and float(turned[1])
    ):  # the beam of a detector on an arm is where that is at rest
        values[COLUMN], values[ROW] = float(beam[1]), float(beam[2])
    return stated(values)


def of_edf(entries: Mapping[str, str]) -> dict[str, float]:
    """Return what the entries of an EDF file say, with keys in capitals, as SAXS beamlines write them."""
    return stated(
        {
            PIXEL: _scaled(entries, "PSIZE_1", 1e3),
            DISTANCE: _scaled(entries, "SAMPLEDISTANCE", 1e3),
            WAVELENGTH: _scaled(entries, "WAVELENGTH", 1e10),
            COLUMN: _scaled(entries, "CENTER_1", 1.0),
            ROW: _scaled(entries, "CENTER_2", 1.0),
        }
    )


def of_smv(entries: Mapping[str, str]) -> dict[str, float]:
    """Return what the entries of an SMV file say, with keys in capitals.

    Its beam is left out: beamlines do not agree on which of its numbers is along rows.
    """
    return stated(
        {
            PIXEL: _scaled(entries, "PIXEL_SIZE", 1.0),
            DISTANCE: _scaled(entries, "DISTANCE", 1.0),
            WAVELENGTH: _scaled(entries, "WAVELENGTH", 1.0),
        }
    )


def _scaled(entries: Mapping[str, str], key: str, factor: float) -> float | None:
    match = re.match(rf"\s*{_NUMBER}", entries.get(key, ""))
    return float(match[1]) * factor if match else None


def in_mm(value: float, unit: str) -> float | None:
    """Return a length in mm; None for a unit that is not known."""
    return _in(value, unit, _LENGTHS_MM)


def in_angstrom(value: float, unit: str) -> float | None:
    """Return a wavelength in Å from one, or from the energy of photons; None for a unit that is not known."""
    energy = _in(value, unit, _ENERGIES_EV)
    if energy is not None:
        return _EV_ANGSTROM / energy if energy > 0 else None
    return _in(value, unit, _LENGTHS_ANGSTROM)


def in_degrees(value: float, unit: str) -> float | None:
    """Return an angle in degrees; None for a unit that is not known."""
    return _in(value, unit, _ANGLES_DEG)


def _in(value: float, unit: str, known: Mapping[str, float]) -> float | None:
    factor = known.get(unit.strip().lower())
    return None if factor is None else value * factor
