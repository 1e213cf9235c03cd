"""Read what a NeXus or CXI file says of how its frames were taken."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from sweeper.data import header
from sweeper.data.formats._hdf5_find import text
from sweeper.data.formats._hdf5_links import Tree
from sweeper.data.formats._hdf5_mask import detector_groups, quiet

_Convert = Callable[[float, str], float | None]

_OF_DETECTOR: tuple[tuple[str, tuple[str, ...], str, _Convert], ...] = (
    (header.DISTANCE, ("detector_distance", "distance"), "m", header.in_mm),
    (header.PIXEL, ("x_pixel_size",), "m", header.in_mm),
)
_OF_BEAM: tuple[tuple[str, tuple[str, ...], str, _Convert], ...] = (
    (header.WAVELENGTH, ("incident_wavelength", "wavelength"), "angstrom", header.in_angstrom),
    (header.WAVELENGTH, ("incident_energy", "energy"), "", header.in_angstrom),
    (header.INCIDENCE, ("incidence_angle", "incident_angle", "grazing_angle"), "deg", header.in_degrees),
)
_BEAM_GROUPS = ("beam", "monochromator", "sample", "source", "incident_beam")


def find_header(tree: Tree, path: str, dataset: Any) -> dict[str, float]:
    """Return what stands beside a dataset of frames: in groups of its detector, the beam and the sample.

    A quantity without a unit is in NeXus's: metres, Å, degrees, and pixels for the beam's place.
    """
    found: dict[str, float | None] = {}
    for _, group in detector_groups(tree, path, dataset):
        for name, keys, unit, convert in _OF_DETECTOR:
            found[name] = found.get(name) or _value(tree, group, keys, unit, convert)
        for name, axis in ((header.COLUMN, "x"), (header.ROW, "y")):
            if found.get(name) is None:
                found[name] = _beam(tree, group, axis)
    for group in _beam_groups(tree, "/" + path.strip("/").split("/")[0]):
        for name, keys, unit, convert in _OF_BEAM:
            found[name] = found.get(name) or _value(tree, group, keys, unit, convert)
    return header.stated(found)


def _beam(tree: Tree, group: Any, axis: str) -> float | None:
    """Return where the beam is along an axis, in pixels."""
    pixels = _number(quiet(tree, group, f"beam_center_{axis}_pixel"))
    if pixels is not None:
        return pixels
    place = quiet(tree, group, f"beam_center_{axis}")
    value, unit = _number(place), _unit(place)
    if value is None or unit in ("", "px", "pixel", "pixels"):
        return value
    size = _value(tree, group, (f"{axis}_pixel_size",), "m", header.in_mm)
    length = header.in_mm(value, unit)
    return length / size if length is not None and size else None


def _beam_groups(tree: Tree, entry: str) -> Iterator[Any]:
    """Yield the groups of beam, monochromator, source and sample in an entry and its instrument."""
    top = quiet(tree, tree.file, entry)
    if not hasattr(top, "keys"):
        return
    inner = [quiet(tree, top, name) for name in top.keys()]  # noqa: SIM118
    for outer in [top, *(group for group in inner if hasattr(group, "keys"))]:
        for name in outer.keys():  # noqa: SIM118
            group = quiet(tree, outer, name) if name.rstrip("_0123456789") in _BEAM_GROUPS else None
            if hasattr(group, "keys"):
                yield group


def _value(tree: Tree, group: Any, keys: tuple[str, ...], unit: str, convert: _Convert) -> float | None:
    for key in keys:
        item = quiet(tree, group, key)
        number = _number(item)
        if number is not None:
            return convert(number, _unit(item) or unit)
    return None


def _number(item: Any) -> float | None:
    """Return the number that a dataset holds; of several the first where all are equal."""
    if not hasattr(item, "chunks") or item.dtype.kind not in "iuf" or not 1 <= item.size <= 10_000:
        return None
    values = np.asarray(item[()], dtype=np.float64).ravel()
    return float(values[0]) if (values == values[0]).all() else None


def _unit(item: Any) -> str:
    stated = hasattr(item, "attrs") and "units" in item.attrs
    return text(item.attrs["units"]).strip().lower() if stated else ""
