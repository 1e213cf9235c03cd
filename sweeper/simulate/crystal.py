"""Bragg spots of a crystal in a still: one Gaussian for each reflection near the Ewald sphere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.simulate.background import CLASSICAL_RADIUS_SQUARED_M2
from sweeper.simulate.geometry import Beam, Detector, efficiency
from sweeper.simulate.structure import cell_axes, wilson_sum

_GAUSS = 0.63  # fall-off of nanoBragg's GAUSS lattice factor, F_latt = N exp(−ρ/0.63)
_WILSON_STEPS = 512
_MOSAIC_SIGMA_PER_CAP = 0.496  # per axis, of the spherical cap that nanoBragg draws mosaic domains from


@dataclass(frozen=True)
class Crystal:
    """A block of unit cells in some orientation.

    Attributes
    ----------
    axes_angstrom : float64, (3, 3)
        Cell edges a, b, c as rows, in the laboratory frame (beam along +z).
    cells : float64, (3,)
        Number of cells along each edge.
    b_factor_a2 : float
        Isotropic B factor.
    mosaic_rad : float
        Half-angle of the spherical cap of domain orientations.
    """

    axes_angstrom: NDArray[np.float64]
    cells: NDArray[np.float64]
    b_factor_a2: float
    mosaic_rad: float = 0.0

    @property
    def reciprocal(self) -> NDArray[np.float64]:
        """Reciprocal edges a*, b*, c* as rows, in 1/Å: ``axes @ reciprocal.T`` is the identity."""
        return np.asarray(np.linalg.inv(self.axes_angstrom).T)

    @property
    def shape_matrix(self) -> NDArray[np.float64]:
        """M = (2/0.63) Σ N_i² a_i a_iᵀ in Å²: |F_latt|² = N² exp(−Δsᵀ M Δs)."""
        edges = self.axes_angstrom * self.cells[:, np.newaxis]
        return np.asarray(2 / _GAUSS * edges.T @ edges)


@dataclass(frozen=True)
class Spots:
    """Bragg spots on the detector's plane, one entry a reflection.

    Attributes
    ----------
    x_mm, y_mm : float64, (n,)
        Position from the direct beam.
    photons : float64, (n,)
        Expected photons of the whole spot.
    cov_xx_mm2, cov_xy_mm2, cov_yy_mm2 : float64, (n,)
        Covariance of the spot's Gaussian.
    hkl : int64, (n, 3)
    """

    x_mm: NDArray[np.float64]
    y_mm: NDArray[np.float64]
    photons: NDArray[np.float64]
    cov_xx_mm2: NDArray[np.float64]
    cov_xy_mm2: NDArray[np.float64]
    cov_yy_mm2: NDArray[np.float64]
    hkl: NDArray[np.int64]


def rotation_matrix(quaternion: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rotation matrix of a unit quaternion (w, x, y, z), (3, 3)."""
    w, x, y, z = quaternion
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
            [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
            [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
        ]
    )


def random_quaternion(rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw the unit quaternion of a uniformly random rotation: a normalised 4-D Gaussian, (4,)."""
    q = rng.standard_normal(4)
    return np.asarray(q / np.linalg.norm(q))


def crystal_of(
    cell: Sequence[float],
    size_um: float,
    quaternion: NDArray[np.float64],
    b_factor_a2: float,
    mosaic_rad: float,
) -> Crystal:
    """Return a rotated block with edges of `size_um` along those of a cell (a, b, c in Å; α, β, γ in °).

    Before the rotation, a lies along x and b in the plane of x and y.
    """
    axes = cell_axes(cell) @ rotation_matrix(quaternion).T
    return Crystal(axes, size_um * 1e4 / np.asarray(cell[:3], dtype=float), b_factor_a2, mosaic_rad)


def find_spots(
    crystal: Crystal,
    beam: Beam,
    detector: Detector,
    intensities: NDArray[np.float32],
    fewest_photons: float = 0.01,
) -> Spots:
    """Return the reflections that a still excites, with expected photons, position and shape.

    For q = h a* + k b* + l c*, ζ = |ŝ₀/λ + q| − 1/λ, û the diffracted direction, and

        σ² = ûᵀ(2M)⁻¹û + (q cosθ)²(σ_mos² + σ_div²) + (q sinθ σ_λ/λ)²
        I = r_e² φ F² N² λ² P π^(3/2) det(M)^(−1/2) (2πσ²)^(−1/2) exp(−ζ²/2σ²)

    which is the GAUSS lattice factor of nanoBragg integrated over the spot. The end of the diffracted ray is
    distributed as a Gaussian (crystal, mosaicity, divergence and bandpass); a spot's position and shape are
    those of this Gaussian on the condition that the ray ends on the Ewald sphere.

    Parameters
    ----------
    intensities : float32, (2 h_max + 1, 2 k_max + 1, 2 l_max + 1)
        E² as in :class:`~sweeper.simulate.structure.Structure`; reflections outside the table are left out.
    fewest_photons : float
        Reflections with fewer expected photons are left out.
    """
    from sweeper.simulate import _kernels

    finest = detector.finest_inverse_d(beam.wavelength_angstrom) * 1.02
    stol = np.linspace(0.0, finest / 2, _WILSON_STEPS)
    shape = crystal.shape_matrix
    scale = (
        CLASSICAL_RADIUS_SQUARED_M2
        * beam.fluence_photons_per_m2
        * float(np.prod(crystal.cells)) ** 2
        * beam.wavelength_angstrom**2
        * np.pi**1.5
        / np.sqrt(np.linalg.det(shape))
    )
    size_mm = float(np.mean(np.linalg.norm(crystal.axes_angstrom, axis=1) * crystal.cells)) * 1e-7
    table: NDArray[Any] = _kernels.excited_reflections(
        crystal.reciprocal,
        np.linalg.inv(2 * shape),
        np.ascontiguousarray(intensities),
        scale * wilson_sum(stol, crystal.b_factor_a2),
        finest,
        beam.wavelength_angstrom,
        _MOSAIC_SIGMA_PER_CAP * crystal.mosaic_rad,
        beam.divergence_rad,
        beam.bandpass,
        beam.polarisation,
        detector.distance_mm,
        min(size_mm, beam.width_um * 1e-3) ** 2 / 12,
        fewest_photons,
    )
    x, y, photons, xx, xy, yy = table[:, :6].T
    return Spots(x, y, photons, xx, xy, yy, table[:, 6:].astype(np.int64))


def bragg_image(spots: Spots, detector: Detector) -> NDArray[np.float64]:
    """Return the photons a pixel expected from all spots, less those the sensor lets pass, (size, size)."""
    from sweeper.simulate import _kernels

    column, row = detector.centre_px
    px = detector.pixel_mm
    image: NDArray[np.float64] = _kernels.deposit_spots(
        detector.size,
        spots.x_mm / px + column,
        spots.y_mm / px + row,
        spots.photons * efficiency(spots.x_mm, spots.y_mm, detector),
        spots.cov_xx_mm2 / px**2,
        spots.cov_xy_mm2 / px**2,
        spots.cov_yy_mm2 / px**2,
    )
    return image
