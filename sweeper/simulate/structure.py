"""Structure factors of a protein crystal from Wilson's statistics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

# International Tables for Crystallography C, table 6.1.1.4: f(s) = c + Σ a exp(−b s²), s = sinθ/λ in 1/Å.
_FORM_FACTORS = {
    "C": ((2.31, 1.02, 1.5886, 0.865), (20.8439, 10.2075, 0.5687, 51.6512), 0.2156),
    "N": ((12.2126, 3.1322, 2.0125, 1.1663), (0.0057, 9.8933, 28.9975, 0.5826), -11.529),
    "O": ((3.0485, 2.2868, 1.5463, 0.867), (13.2771, 5.7011, 0.3239, 32.9089), 0.2508),
    "S": ((6.9053, 5.2034, 1.4379, 1.5863), (1.4679, 22.2151, 0.2536, 56.172), 0.8669),
}

# Hen egg-white lysozyme, C613 N193 O185 S10, eight molecules per cell in P4₃2₁2; hydrogen is left out.
_MOLECULES_PER_CELL = 8
_ATOMS_PER_MOLECULE = {"C": 613, "N": 193, "O": 185, "S": 10}

LYSOZYME_CELL = (79.0, 79.0, 38.0, 90.0, 90.0, 90.0)
"""Edges in Å, angles in degrees."""
LYSOZYME_GROUP = "P 43 21 2"


@dataclass(frozen=True, eq=False)
class Structure:
    """The unit cell and structure factors of a crystal.

    Attributes
    ----------
    cell : (float, ...)
        a, b, c in Å; α, β, γ in degrees.
    squared : float32, (2 h_max + 1, 2 k_max + 1, 2 l_max + 1), read-only
        F² over :func:`wilson_sum`, by ``[h, k, l]``: negative indices count from the end. Friedel pairs
        are equal.
    """

    cell: tuple[float, float, float, float, float, float]
    squared: NDArray[np.float32]


def cell_axes(cell: Sequence[float]) -> NDArray[np.float64]:
    """Return the edges a, b, c of a cell as rows in Å, (3, 3): a along x, b in the plane of x and y."""
    a, b, c = cell[:3]
    ca, cb, cg = (_cosine(angle) for angle in cell[3:])
    sg = np.sqrt(1 - cg * cg)
    cx, cy = cb, (ca - cb * cg) / sg
    return np.array([[a, 0, 0], [b * cg, b * sg, 0], [c * cx, c * cy, c * np.sqrt(1 - cx * cx - cy * cy)]])


def _cosine(degrees: float) -> float:
    """Return a cosine, exactly 0 for a right angle."""
    return 0.0 if degrees == 90 else float(np.cos(np.radians(degrees)))


def form_factor(element: str, stol: ArrayLike) -> NDArray[Any]:
    """Return the atomic form factor of C, N, O or S in electrons at ``stol`` = sinθ/λ in 1/Å."""
    a, b, c = _FORM_FACTORS[element]
    s2 = np.square(np.asarray(stol, dtype=float))
    terms = [ai * np.exp(-bi * s2) for ai, bi in zip(a, b, strict=True)]
    return np.asarray(c + np.sum(terms, axis=0))


def wilson_sum(stol: ArrayLike, b_factor_a2: float) -> NDArray[Any]:
    """Return Σ = Σ_atoms f² exp(−2 B stol²), the mean squared structure factor of one cell, electrons².

    Wilson (1942); B in Å², ``stol`` in 1/Å.
    """
    s = np.asarray(stol, dtype=float)
    squares = [n * form_factor(el, s) ** 2 for el, n in _ATOMS_PER_MOLECULE.items()]
    return np.asarray(_MOLECULES_PER_CELL * np.sum(squares, axis=0) * np.exp(-2 * b_factor_a2 * s**2))


def is_centric(h: ArrayLike, k: ArrayLike, l: ArrayLike) -> NDArray[np.bool_]:  # noqa: E741
    """Return whether reflections are in a centric zone of point group 422: hk0, h0l, 0kl and hhl."""
    h, k, l = np.abs(h), np.abs(k), np.abs(l)  # noqa: E741
    return np.asarray((h == 0) | (k == 0) | (l == 0) | (h == k))


def is_absent(h: ArrayLike, k: ArrayLike, l: ArrayLike) -> NDArray[np.bool_]:  # noqa: E741
    """Return whether P4₃2₁2 forbids reflections: h00 with h odd, 00l with l not a multiple of 4 (and 000)."""
    h, k, l = np.abs(h), np.abs(k), np.abs(l)  # noqa: E741
    along_a = (l == 0) & (((k == 0) & (h % 2 == 1)) | ((h == 0) & (k % 2 == 1)))
    along_c = (h == 0) & (k == 0) & (l % 4 != 0)
    origin = (h == 0) & (k == 0) & (l == 0)
    return np.asarray(along_a | along_c | origin)


@lru_cache(maxsize=4)
def wilson_intensities(seed: int, h_max: int, l_max: int) -> NDArray[np.float32]:
    """Return the normalised intensities E² of one protein, drawn once for a `seed`.

    Acentric E² is Exp(1), centric E² the square of a standard normal: both have mean 1 (Wilson
    1949). The table is that of Laue class 4/mmm, so Friedel pairs are equal, and so are the
    reflections that P4₃2₁2 makes equal: look up ``[|h|, |k|, |l|]``.

    Returns
    -------
    float32, (h_max + 1, h_max + 1, l_max + 1), read-only
        Symmetric in its first two axes; 0 where the space group forbids a reflection.
    """
    rng = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(101,)))
    shape = (h_max + 1, h_max + 1, l_max + 1)
    h, k, l = np.indices(shape)  # noqa: E741
    table = np.where(is_centric(h, k, l), rng.standard_normal(shape) ** 2, rng.standard_exponential(shape))
    table[is_absent(h, k, l)] = 0.0
    lower = np.where((h >= k), table, table.transpose(1, 0, 2))
    result = lower.astype(np.float32)
    result.flags.writeable = False
    return result


def all_octants(table: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a table by ``[h, k, l]``, as :class:`Structure` has it, from one by ``[|h|, |k|, |l|]``."""
    signed = [np.concatenate([np.arange(n), np.arange(n - 1, 0, -1)]) for n in table.shape]
    return np.ascontiguousarray(table[np.ix_(*signed)])


@lru_cache(maxsize=2)
def lysozyme(seed: int, h_max: int, l_max: int) -> Structure:
    """Return a protein in lysozyme's cell and space group, with Wilson's intensities of a `seed`."""
    squared = all_octants(wilson_intensities(seed, h_max, l_max))
    squared.flags.writeable = False
    return Structure(LYSOZYME_CELL, squared)
