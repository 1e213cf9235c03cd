"""Structure factors from files: coordinates (PDB, mmCIF), reflections (MTZ, mmCIF), and lists of h k l F."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.errors import InputError
from sweeper.simulate.structure import LYSOZYME_CELL, LYSOZYME_GROUP, Structure, wilson_sum

_PDB, _CIF, _MTZ, _LIST = (".pdb", ".ent"), (".cif", ".mmcif"), (".mtz",), (".hkl", ".txt")
_COLUMNS = ("FP", "F", "FOBS", "F-obs", "F-obs-filtered", "FC", "F-model", "IMEAN", "I", "IOBS")
_MOST_REFLECTIONS = 20_000_000  # in the table: 80 MB in each process
_LOW_STOL = 1 / 9  # Wilson's plot is straight past 4.5 Å
_FEWEST_IN_BIN = 50

Cell = tuple[float, float, float, float, float, float]


@dataclass(frozen=True)
class _Reflections:
    """The reflections that a file lists: (n, 3), and F² (n,) in electrons² or in any unit."""

    cell: Cell
    group: Any
    hkl: NDArray[np.int64]
    squared: NDArray[np.float64]


def read_structure(path: Path, d_min: float) -> Structure:
    """Read structure factors, expand them by symmetry and Friedel's law, and put them on Wilson's scale.

    Scale and B factor of the file, taken from its Wilson plot, are removed: each frame draws a B of its
    own, and a protein's density says how many electrons there are. Reflections that the file does not
    list, or that are finer than `d_min`, are 0. A list of h k l F is taken to have lysozyme's cell and
    space group. Bulk solvent is left out where F comes from coordinates.

    Parameters
    ----------
    path : Path
        .pdb, .ent, .cif, .mmcif, .mtz, or .hkl and .txt with columns h, k, l, F; each also as .gz, except
        .mtz and lists.
    d_min : float
        Finest resolution, Å.

    Raises
    ------
    InputError
        If the file cannot be read, has no cell or no amplitudes, or its cell is too large.
    """
    if not path.is_file():
        raise InputError(f"{path}: structure must be an existing file")
    suffix = Path(path.name.lower().removesuffix(".gz")).suffix
    readers = dict.fromkeys(_PDB, _read_coordinates) | dict.fromkeys(_CIF, _read_cif)
    readers |= dict.fromkeys(_MTZ, _read_mtz) | dict.fromkeys(_LIST, _read_list)
    if suffix not in readers:
        raise InputError(f"{path}: structure must be a file of {', '.join(readers)}, got {suffix!r}")
    try:
        found = readers[suffix](path, d_min)
    except UnicodeDecodeError:
        raise InputError(f"{path}: structure must be text in a {suffix} file") from None
    except (RuntimeError, ValueError, OSError, LookupError, EOFError) as error:
        if str(error).startswith(f"{path}: structure must"):
            raise
        said = " ".join(str(error).replace(str(path), "the file").split())
        raise InputError(f"{path}: structure cannot be read: {said}") from None
    return Structure(found.cell, _table(path, found, d_min))


# --------------------------------------------------------------------------- files


def _read_coordinates(path: Path, d_min: float) -> _Reflections:
    import gemmi

    return _calculated(path, gemmi.read_structure(str(path)), d_min)


def _read_cif(path: Path, d_min: float) -> _Reflections:
    """Read reflections where an mmCIF file has them, else coordinates."""
    import gemmi

    document = gemmi.cif.read(str(path))
    for block in gemmi.as_refln_blocks(document):
        if block.default_loop is not None:
            return _listed(path, gemmi.CifToMtz().convert_block_to_mtz(block))
    return _calculated(path, gemmi.make_structure_from_block(gemmi.cif.read(str(path))[0]), d_min)


def _read_mtz(path: Path, d_min: float) -> _Reflections:
    import gemmi

    return _listed(path, gemmi.read_mtz_file(str(path)))


def _read_list(path: Path, d_min: float) -> _Reflections:
    import gemmi

    rows = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        try:
            rows.append([int(word) for word in words[:3]] + [float(words[3])])
        except (ValueError, IndexError):
            raise InputError(
                f"{path}: structure must have h k l F in each line, line {number} is {line.strip()!r}"
            ) from None
    table = np.array(rows, dtype=float).reshape(-1, 4)
    return _Reflections(
        LYSOZYME_CELL, gemmi.SpaceGroup(LYSOZYME_GROUP), table[:, :3].astype(np.int64), table[:, 3] ** 2
    )


def _calculated(path: Path, structure: Any, d_min: float) -> _Reflections:
    """Return F of a model: the Fourier transform of its electron density on a grid."""
    import gemmi

    group = structure.find_spacegroup()
    if not structure.cell.is_crystal() or group is None:
        raise InputError(f"{path}: structure must have a unit cell and a space group")
    if len(structure) == 0 or not any(True for _ in structure[0].all()):
        raise InputError(f"{path}: structure must have atoms, but has none")
    cell = _cell_of(path, structure.cell)
    _bounds(path, cell, d_min)
    density = gemmi.DensityCalculatorX()
    density.d_min = d_min
    density.grid.setup_from(structure)
    density.set_refmac_compatible_blur(structure[0])
    density.put_model_density_on_grid(structure[0])
    transformed = gemmi.transform_map_to_f_phi(density.grid, half_l=True)
    listed = transformed.prepare_asu_data(dmin=d_min, unblur=density.blur)
    return _Reflections(
        cell, group, listed.miller_array.astype(np.int64), np.abs(listed.value_array).astype(float) ** 2
    )


def _listed(path: Path, mtz: Any) -> _Reflections:
    """Return amplitudes, or else intensities, from the first column with a usual name, or the first."""
    columns = [column for kind in "FJ" for column in mtz.columns if column.type == kind]
    if not columns or mtz.spacegroup is None:
        raise InputError(f"{path}: structure must have a space group and a column of F or I")
    named = {column.label: column for column in reversed(columns)}
    column = next((named[label] for label in _COLUMNS if label in named), columns[0])
    values = np.array(column, dtype=float)
    squared = values**2 if column.type == "F" else np.maximum(values, 0.0)
    given = np.isfinite(values)
    hkl = np.asarray(mtz.make_miller_array(), dtype=np.int64)
    return _Reflections(_cell_of(path, mtz.get_cell()), mtz.spacegroup, hkl[given], squared[given])


def _cell_of(path: Path, cell: Any) -> Cell:
    a, b, c, alpha, beta, gamma = cell.parameters
    if min(a, b, c) < 2:
        raise InputError(f"{path}: structure must have a unit cell, got edges of {a:g}, {b:g}, {c:g} Å")
    return a, b, c, alpha, beta, gamma


# --------------------------------------------------------------------------- from lists to the table


def _bounds(path: Path, cell: Cell, d_min: float) -> tuple[int, int, int]:
    """Return the largest indices to `d_min`; raise InputError where a table of them would be too large."""
    h, k, l = (int(edge / d_min) for edge in cell[:3])  # noqa: E741
    if (2 * h + 1) * (2 * k + 1) * (2 * l + 1) > _MOST_REFLECTIONS:
        raise InputError(
            f"{path}: structure must have at most {_MOST_REFLECTIONS:,} reflections to {d_min:.2f} Å, "
            f"but its cell of {cell[0]:g} x {cell[1]:g} x {cell[2]:g} Å has more"
        )
    return h, k, l


def _table(path: Path, found: _Reflections, d_min: float) -> NDArray[np.float32]:
    """Return F² over Wilson's sum by ``[h, k, l]``, over the whole sphere."""
    import gemmi

    bounds = _bounds(path, found.cell, d_min)
    stol = 0.5 * np.sqrt(gemmi.UnitCell(*found.cell).calculate_1_d2_array(found.hkl.astype(np.int32)))
    kept = (stol > 0) & (stol <= 0.5 / d_min) & np.isfinite(found.squared)
    hkl, squared, stol = found.hkl[kept], found.squared[kept], stol[kept]
    if not squared.any():
        raise InputError(f"{path}: structure must list reflections with F up to {d_min:.2f} Å, but has none")
    volumes = gemmi.UnitCell(*found.cell).volume / gemmi.UnitCell(*LYSOZYME_CELL).volume
    normalised = volumes * squared / _wilson_fit(squared, stol)
    table = np.zeros([2 * bound + 1 for bound in bounds], dtype=np.float32)
    for operation in found.group.operations().sym_ops:
        turned = hkl @ (np.array(operation.rot) // operation.DEN)
        for sign in (1, -1):
            table[tuple((sign * turned).T)] = normalised
    table[tuple(hkl.T)] = table[tuple(-hkl.T)] = normalised  # what the file lists outranks its mates
    table.flags.writeable = False
    return table


def _wilson_fit(squared: NDArray[np.float64], stol: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return k Σ(s) exp(−2 B s²) fitted to ⟨F²⟩ in shells, at each reflection; Σ of lysozyme's cell, B 0."""
    expected = wilson_sum(stol, 0.0)
    s2 = stol**2
    straight = stol > _LOW_STOL
    if np.count_nonzero(straight) < 3 * _FEWEST_IN_BIN:
        straight = np.ones_like(straight)
    order = np.flatnonzero(straight)[np.argsort(s2[straight])]
    shells = np.array_split(order, np.clip(order.size // _FEWEST_IN_BIN, 1, 20))
    ratio = np.array([squared[shell].mean() / expected[shell].mean() for shell in shells])
    at = np.array([s2[shell].mean() for shell in shells])
    lit = ratio > 0
    if np.count_nonzero(lit) < 3:
        return np.asarray(expected * squared.sum() / expected.sum())
    slope, intercept = np.polyfit(at[lit], np.log(ratio[lit]), 1)
    return np.asarray(expected * np.exp(intercept + slope * s2))
