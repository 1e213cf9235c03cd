"""Crystalline materials and the lines of their powders, from unit cells."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Site = tuple[str, float, float, float]

_Q_MOST = 12.0  # 1/Å, the farthest line that any frame can show


@dataclass(frozen=True)
class Crystal:
    """A material.

    Attributes
    ----------
    name : str
    cell : tuple of float
        a, b, c in Å, α, β, γ in degrees.
    space_group : str
        Hermann-Mauguin, as gemmi knows it.
    sites : tuple of (element, x, y, z)
        The asymmetric unit, in fractions of the cell.
    b_factor_a2 : float
        Isotropic displacement, Å².
    """

    name: str
    cell: tuple[float, float, float, float, float, float]
    space_group: str
    sites: tuple[Site, ...]
    b_factor_a2: float = 0.6


def _cubic(name: str, a: float, group: str, *sites: Site, b: float = 0.6) -> Crystal:
    return Crystal(name, (a, a, a, 90, 90, 90), group, sites, b)


def _hexagonal(name: str, a: float, c: float, group: str, *sites: Site, b: float = 0.6) -> Crystal:
    return Crystal(name, (a, a, c, 90, 90, 120), group, sites, b)


_THIRD = 1 / 3

# Cells: NIST certificates of SRM 660, 640 and 674 for LaB6, Si, CeO2, Al2O3; Wyckoff, Crystal Structures, for
# metals and oxides; Bunn (1939) for polyethylene.
_CRYSTALS = (
    _cubic("LaB6", 4.1568, "P m -3 m", ("La", 0, 0, 0), ("B", 0.1993, 0.5, 0.5), b=0.3),
    _cubic("Si", 5.4311, "F d -3 m:2", ("Si", 0.125, 0.125, 0.125), b=0.5),
    _cubic("CeO2", 5.4115, "F m -3 m", ("Ce", 0, 0, 0), ("O", 0.25, 0.25, 0.25), b=0.4),
    _hexagonal("Al2O3", 4.7592, 12.992, "R -3 c", ("Al", 0, 0, 0.3522), ("O", 0.3064, 0, 0.25), b=0.3),
    _cubic("Al", 4.0495, "F m -3 m", ("Al", 0, 0, 0), b=0.9),
    _cubic("Cu", 3.6149, "F m -3 m", ("Cu", 0, 0, 0)),
    _cubic("Ni", 3.5240, "F m -3 m", ("Ni", 0, 0, 0), b=0.4),
    _cubic("Au", 4.0786, "F m -3 m", ("Au", 0, 0, 0)),
    _cubic("Ag", 4.0862, "F m -3 m", ("Ag", 0, 0, 0), b=0.8),
    _cubic("Fe", 2.8665, "I m -3 m", ("Fe", 0, 0, 0), b=0.4),
    _cubic("W", 3.1652, "I m -3 m", ("W", 0, 0, 0), b=0.2),
    _hexagonal("Ti", 2.9508, 4.6855, "P 63/m m c", ("Ti", _THIRD, 2 * _THIRD, 0.25)),
    _hexagonal("Zr", 3.232, 5.147, "P 63/m m c", ("Zr", _THIRD, 2 * _THIRD, 0.25)),
    _hexagonal("Mg", 3.2094, 5.2105, "P 63/m m c", ("Mg", _THIRD, 2 * _THIRD, 0.25), b=1.5),
    _hexagonal(
        "ZnO",
        3.2498,
        5.2066,
        "P 63 m c",
        ("Zn", _THIRD, 2 * _THIRD, 0.0),
        ("O", _THIRD, 2 * _THIRD, 0.3819),
    ),
    _hexagonal("ice Ih", 4.4975, 7.3224, "P 63/m m c", ("O", _THIRD, 2 * _THIRD, 0.0622), b=2.0),
    _hexagonal("graphite", 2.461, 6.708, "P 63/m m c", ("C", 0, 0, 0.25), ("C", _THIRD, 2 * _THIRD, 0.25)),
    _cubic("NaCl", 5.6402, "F m -3 m", ("Na", 0, 0, 0), ("Cl", 0.5, 0.5, 0.5), b=1.5),
    _cubic("MgO", 4.2112, "F m -3 m", ("Mg", 0, 0, 0), ("O", 0.5, 0.5, 0.5), b=0.4),
    _cubic("PbS", 5.936, "F m -3 m", ("Pb", 0, 0, 0), ("S", 0.5, 0.5, 0.5), b=1.2),
    _cubic("CdSe", 6.077, "F -4 3 m", ("Cd", 0, 0, 0), ("Se", 0.25, 0.25, 0.25), b=1.2),
    Crystal(
        "TiO2 anatase",
        (3.7842, 3.7842, 9.5146, 90, 90, 90),
        "I 41/a m d:1",
        (("Ti", 0, 0, 0), ("O", 0, 0, 0.2081)),
    ),
    Crystal(
        "TiO2 rutile",
        (4.5937, 4.5937, 2.9587, 90, 90, 90),
        "P 42/m n m",
        (("Ti", 0, 0, 0), ("O", 0.3053, 0.3053, 0)),
    ),
    Crystal("Sn", (5.8316, 5.8316, 3.1815, 90, 90, 90), "I 41/a m d:1", (("Sn", 0, 0, 0),), 1.0),
    _cubic("CsPbBr3", 5.874, "P m -3 m", ("Pb", 0, 0, 0), ("Br", 0.5, 0, 0), ("Cs", 0.5, 0.5, 0.5), b=2.5),
    # The molecule in the middle of the cell rotates: one site of nitrogen stands for it.
    _cubic("MAPbI3", 6.276, "P m -3 m", ("Pb", 0, 0, 0), ("I", 0.5, 0, 0), ("N", 0.5, 0.5, 0.5), b=3.0),
    _hexagonal("PbI2", 4.557, 6.979, "P -3 m 1", ("Pb", 0, 0, 0), ("I", _THIRD, 2 * _THIRD, 0.2675), b=2.0),
    Crystal(
        "polyethylene",
        (7.40, 4.93, 2.534, 90, 90, 90),
        "P n a m",
        (("C", 0.038, 0.065, 0.25),),
        5.0,
    ),
)

CRYSTALS = {crystal.name: crystal for crystal in _CRYSTALS}
"""Every crystal, by name."""


@dataclass(frozen=True)
class Lines:
    """Lines of a powder, by rising q; read-only.

    Attributes
    ----------
    q : float64, (n,)
        1/Å.
    power : float64, (n,)
        Multiplicity times |F|², relative to the strongest: what a full sphere of directions scatters.
    hkl : int64, (n, 3)
        One reflection of each line.
    """

    q: NDArray[np.float64]
    power: NDArray[np.float64]
    hkl: NDArray[np.int64]


@lru_cache(maxsize=64)
def powder_lines(name: str, q_most: float = _Q_MOST, weakest: float = 2e-3) -> Lines:
    """Return the lines of a material up to `q_most`, without those below `weakest` of the strongest.

    Structure factors are sums of the atoms' form factors (International Tables C, 6.1.1.4) with their
    displacement; form factors and space groups come from gemmi.
    """
    import gemmi

    crystal = CRYSTALS[name]
    structure = gemmi.SmallStructure()
    structure.cell.set(*crystal.cell)
    structure.spacegroup = gemmi.SpaceGroup(crystal.space_group)
    for number, (element, *place) in enumerate(crystal.sites):
        site = gemmi.SmallStructure.Site()
        site.label, site.type_symbol, site.element = f"{element}{number}", element, gemmi.Element(element)
        site.fract = gemmi.Fractional(*place)
        site.u_iso = crystal.b_factor_a2 / (8 * np.pi**2)
        structure.add_site(site)
    structure.setup_cell_images()
    structure.change_occupancies_to_crystallographic()  # an atom on a symmetry element is counted once
    unique = gemmi.make_miller_array(structure.cell, structure.spacegroup, 2 * np.pi / q_most)
    calculator = gemmi.StructureFactorCalculatorX(structure.cell)
    operations = structure.spacegroup.operations()
    # The share of operations that map a reflection to itself; Friedel mates where there is no inversion.
    found: dict[int, list[float]] = {}
    for hkl in unique.tolist():
        square = abs(calculator.calculate_sf_from_small_structure(structure, hkl)) ** 2
        images = {tuple(op.apply_to_hkl(hkl)) for op in operations.sym_ops}
        images |= {tuple(-i for i in image) for image in images}
        q = 2 * np.pi * np.sqrt(structure.cell.calculate_1_d2(hkl))
        line = found.setdefault(round(q * 1e5), [q, 0.0, *hkl])
        line[1] += len(images) * square
    table = np.array([found[key] for key in sorted(found)])
    table[:, 1] /= table[:, 1].max()
    table = table[table[:, 1] > weakest]
    lines = Lines(table[:, 0], table[:, 1], table[:, 2:].astype(np.int64))
    for array in (lines.q, lines.power, lines.hkl):
        array.flags.writeable = False
    return lines
