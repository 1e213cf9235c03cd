"""The pixel-centric sum against formulas written out, and the fast spots against the pixel-centric sum."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from sweeper.simulate import _kernels, crystal, diffraction, geometry, reference, structure
from sweeper.simulate._pixel_kernels import lattice_squared
from sweeper.simulate.background import CLASSICAL_RADIUS_SQUARED_M2

Floats = NDArray[np.float64]

SQUARE, ROUND, GAUSS, TOPHAT = range(4)


def _table(blank: int = 6) -> NDArray[np.float32]:
    """Wilson's intensities without those next to the direct beam, whose spots are as large as their angle."""
    table = structure.wilson_intensities(5, 40, 30).copy()
    table[:blank, :blank, :blank] = 0
    return structure.all_octants(table)


def _crystal(seed: int, mosaic_rad: float = 0.0, size_um: float = 0.03) -> crystal.Crystal:
    quaternion = crystal.random_quaternion(np.random.default_rng(seed))
    return crystal.crystal_of((40, 40, 28, 90, 90, 90), size_um, quaternion, 12.0, mosaic_rad)


# --------------------------------------------------------------------------- lattice factors


def _written_out(lattice: int, x: Floats, n: Floats) -> float:
    """F²_latt as amplitudes of Holton's nanoBragg are printed, at a distance of x from a reflection."""
    if lattice == SQUARE:
        return float(
            np.prod(
                [
                    np.abs(np.exp(2j * np.pi * xi * np.arange(ni)).sum()) ** 2
                    for xi, ni in zip(x, n, strict=True)
                ]
            )
        )
    rho = float(np.sum((n * x) ** 2))
    total = float(np.prod(n))
    if lattice == GAUSS:
        return float((total * np.exp(-rho / 0.63)) ** 2)
    if lattice == TOPHAT:
        return float((total * (rho < 0.3969)) ** 2)
    t = np.pi * np.sqrt(rho)
    return float((total * 0.7236 * 3 * (np.sin(t) / t - np.cos(t)) / t**2) ** 2)


@pytest.mark.parametrize("lattice", [SQUARE, ROUND, GAUSS, TOPHAT])
def test_lattice_factors_are_those_written_out(lattice: int) -> None:
    rng = np.random.default_rng(lattice)
    cells = np.array([5.0, 8.0, 3.0])
    for x in rng.uniform(-0.2, 0.2, (200, 3)):
        assert lattice_squared(lattice, *x, cells) == pytest.approx(
            _written_out(lattice, x, cells), rel=1e-9, abs=1e-9
        )


@pytest.mark.parametrize(
    ("lattice", "integral"),
    # Of a block: the number of cells. Of a ball: 0.7236² · 4π ∫ 9 j₁² dx / π³ = 0.7236² · 6/π. The others are
    # Gaussian and a ball's volume.
    [
        (SQUARE, 1.0),
        (ROUND, 0.7236**2 * 6 / np.pi),
        (GAUSS, (0.63 * np.pi / 2) ** 1.5),
        (TOPHAT, 4 / 3 * np.pi * 0.3969**1.5),
    ],
)
def test_lattice_factors_scatter_as_much_as_their_cells(lattice: int, integral: float) -> None:
    cells = np.array([4.0, 4.0, 4.0])
    if lattice == SQUARE:  # of one axis, over a cell of reciprocal space
        grid = (np.arange(64) + 0.5) / 64 - 0.5
        total = np.mean([lattice_squared(lattice, x, 0, 0, cells) for x in grid]) / 4**5
        total = total**3
    else:  # by shells; ripples of a ball reach far
        step = 0.0005
        radius = (np.arange(80_000) + 0.5) * step
        total = sum(4 * np.pi * r * r * step * lattice_squared(lattice, r, 0, 0, cells) for r in radius) / 64
    assert total == pytest.approx(integral, rel=0.01)


# --------------------------------------------------------------------------- one pixel, written out


@pytest.mark.parametrize(("code", "lattice"), list(enumerate(["square", "round", "gauss", "tophat"])))
def test_a_pixel_is_nanobraggs_formula(code: int, lattice: str) -> None:
    """Two sources, two domains, four sub-pixels, polarised: the sum in plain numpy with angles as angles."""
    detector = geometry.Detector(12, 0.8, distance_mm=60.0, beam_x_mm=-14.0, beam_y_mm=9.0)
    beam = geometry.Beam(1.1, 3e23, divergence_rad=0.003, bandpass=0.01, polarisation=0.7)
    c = _crystal(8, mosaic_rad=0.02, size_um=0.012)
    table = _table(blank=1)
    sources = reference.sources_of(beam, 2, 2)
    domains = reference.mosaic_domains(c, 2, seed=4)
    image = reference.pixel_image(
        c, beam, detector, table, lattice=lattice, sources=sources, domains=domains, oversample=2
    )
    column, row = detector.centre_px
    expected = np.zeros((12, 12))
    cells = np.rint(c.cells) if lattice == "square" else c.cells
    for i, j, si, sj in np.ndindex(12, 12, 2, 2):
        x = (j - column + (sj - 0.5) / 2) * 0.8
        y = (i - row + (si - 0.5) / 2) * 0.8
        ray = np.array([x, y, 60.0])
        r = np.linalg.norm(ray)
        omega = (0.8 / r) ** 2 * 60.0 / r
        for *s0, wavelength, weight in sources:
            two_theta = np.arccos(ray @ s0 / r)
            across = ray - (ray @ s0) * np.array(s0)
            e1 = np.array([1.0, 0, 0]) - s0[0] * np.array(s0)
            psi = np.arctan2(across @ np.cross(s0, e1), across @ e1)
            p = 0.5 * (1 + np.cos(two_theta) ** 2 - 0.7 * np.cos(2 * psi) * np.sin(two_theta) ** 2)
            for axes in domains:
                hkl = axes @ (ray / r - s0) / wavelength
                nearest = np.rint(hkl).astype(int)
                stol = np.linalg.norm(nearest @ np.linalg.inv(axes).T) / 2
                f2 = table[tuple(nearest)] * structure.wilson_sum(stol, 12.0)
                lattice2 = _written_out(code, hkl - nearest, cells)
                expected[i, j] += weight * omega * p * f2 * lattice2 / (2 * 4)
    expected *= CLASSICAL_RADIUS_SQUARED_M2 * 3e23
    np.testing.assert_allclose(image, expected, rtol=2e-3, atol=expected.max() * 1e-6)


def test_a_sensor_absorbs_by_layers_and_deep_ones_are_farther_out() -> None:
    thick = geometry.Detector(40, 0.4, 60.0, beam_x_mm=-30.0, sensor_mm=0.5, attenuation_per_mm=3.0)
    ideal = geometry.Detector(40, 0.4, 60.0, beam_x_mm=-30.0)
    beam = geometry.Beam(1.0, 1e24)
    c, table = _crystal(3, size_um=0.012), _table()
    counted = reference.pixel_image(c, beam, thick, table, layers=1)
    every = reference.pixel_image(c, beam, geometry.Detector(40, 0.4, 60.25, beam_x_mm=-30.0), table)
    x = (np.arange(40) - ideal.centre_px[0])[np.newaxis, :] * 0.4
    y = (np.arange(40) - ideal.centre_px[1])[:, np.newaxis] * 0.4
    # One layer lies half its thickness behind the surface; rays are a little straighter there.
    np.testing.assert_allclose(counted, every * geometry.efficiency(x, y, thick), rtol=0.01)
    assert geometry.efficiency(0.0, 0.0, thick) == pytest.approx(1 - np.exp(-1.5))
    assert geometry.efficiency(60.0, 0.0, thick) == pytest.approx(1 - np.exp(-1.5 * np.sqrt(2)))
    assert (geometry.efficiency(x, y, ideal) == 1).all()
    deep = reference.pixel_image(c, beam, thick, table, layers=5)
    assert deep.sum() == pytest.approx(counted.sum(), rel=0.02)
    assert not np.allclose(deep, counted, rtol=1e-3)


# --------------------------------------------------------------------------- sources and domains


def test_sources_have_the_spread_of_the_beam() -> None:
    beam = geometry.Beam(1.3, 1e20, divergence_rad=0.004, bandpass=0.02)
    sources = reference.sources_of(beam, 15, 15)
    assert sources.shape == (15**3, 5)
    weight = sources[:, 4]
    assert weight.sum() == pytest.approx(1)
    np.testing.assert_allclose(np.linalg.norm(sources[:, :3], axis=1), 1)
    assert weight @ sources[:, 3] == pytest.approx(1.3)
    assert np.sqrt(weight @ (sources[:, 3] / 1.3 - 1) ** 2) == pytest.approx(0.02, rel=0.03)
    assert np.sqrt(weight @ sources[:, 0] ** 2) == pytest.approx(0.004, rel=0.03)
    assert reference.sources_of(geometry.Beam(1.3, 1e20), 15, 15).tolist() == [[0, 0, 1, 1.3, 1]]


def test_mosaic_domains_are_turned_by_the_cap() -> None:
    c = _crystal(1, mosaic_rad=0.05)
    domains = reference.mosaic_domains(c, 4000, seed=2)
    turns = np.linalg.inv(c.axes_angstrom) @ domains
    np.testing.assert_allclose(
        turns @ turns.transpose(0, 2, 1), np.broadcast_to(np.eye(3), turns.shape), atol=1e-9
    )
    angle = np.arccos(np.clip((np.trace(turns, axis1=1, axis2=2) - 1) / 2, -1, 1))
    assert angle.max() <= 0.05 + 1e-9
    per_axis = [turns[:, 2, 1], turns[:, 0, 2], turns[:, 1, 0]]
    for component in per_axis:
        assert component.std() == pytest.approx(0.496 * 0.05, rel=0.04)  # what the fast form takes
    assert reference.mosaic_domains(_crystal(1), 10).shape == (1, 3, 3)


def test_blocks_of_a_crystal_hold_its_cells() -> None:
    whole = _crystal(2, size_um=0.5)
    block, blocks = reference.in_blocks(whole, 0.04)
    assert np.prod(block.cells) * blocks == pytest.approx(np.prod(whole.cells))
    np.testing.assert_allclose(np.linalg.norm(block.axes_angstrom, axis=1) * block.cells, 400)
    same, one = reference.in_blocks(_crystal(2, size_um=0.03), 0.04)
    assert one == 1
    np.testing.assert_array_equal(same.cells, _crystal(2, size_um=0.03).cells)


def test_subpixels_resolve_the_fringes_of_a_crystal() -> None:
    """Three to a fringe: a cubic crystal of 0.1 µm at 1 Å and 150 mm has fringes of 0.15 mm."""
    cube = crystal.crystal_of((50, 50, 50, 90, 90, 90), 0.1, np.array([1.0, 0, 0, 0]), 10.0, 0.0)
    assert reference.oversample_of(cube, geometry.Beam(1.0, 1), geometry.Detector(64, 0.3)) == 6
    assert reference.oversample_of(cube, geometry.Beam(1.0, 1), geometry.Detector(64, 0.04)) == 1


# --------------------------------------------------------------------------- the fast form


def _lone_spots(spots: crystal.Spots, detector: geometry.Detector) -> list[tuple[int, int, int]]:
    """Row, column and reach in pixels of the strongest spots that no other one touches."""
    column = spots.x_mm / detector.pixel_mm + detector.centre_px[0]
    row = spots.y_mm / detector.pixel_mm + detector.centre_px[1]
    sigma = np.sqrt(np.maximum(spots.cov_xx_mm2, spots.cov_yy_mm2)) / detector.pixel_mm
    reach = np.ceil(3 * sigma + 1).astype(int)
    found = []
    for i in np.argsort(-spots.photons)[:25]:
        r, at = reach[i], (round(row[i]), round(column[i]))
        inside = all(r <= place < detector.size - r for place in at)
        near = (np.hypot(column - column[i], row - row[i]) < reach + r) & (
            spots.photons > 0.02 * spots.photons[i]
        )
        if inside and near.sum() == 1:
            found.append((*at, int(r)))
    return found


def _centroid(image: Floats, spot: tuple[int, int, int]) -> Floats:
    row, column, reach = spot
    window = image[row - reach : row + reach + 1, column - reach : column + reach + 1]
    steps = np.arange(-reach, reach + 1)
    return np.array([window.sum(axis=1) @ steps, window.sum(axis=0) @ steps]) / window.sum()


CASES = [  # seed, mosaicity, bandpass, divergence; domains, steps of wavelength, steps of divergence
    (0, 0.0, 0.0, 0.0, 1, 1, 1),
    (1, 0.02, 0.0, 0.0, 800, 1, 1),
    (2, 0.0, 0.015, 0.0, 1, 21, 1),
    (3, 0.01, 0.015, 0.0, 150, 9, 1),
    (4, 0.0, 0.0, 0.004, 1, 1, 13),
    (5, 0.01, 0.005, 0.002, 40, 5, 5),
    (6, 0.03, 0.0, 0.0, 1200, 1, 1),
    (7, 0.005, 0.03, 0.0, 50, 21, 1),
]


@pytest.mark.parametrize(
    ("seed", "mosaic", "bandpass", "divergence", "domains", "colours", "directions"), CASES
)
def test_fast_spots_agree_with_the_pixel_by_pixel_sum(
    seed: int, mosaic: float, bandpass: float, divergence: float, domains: int, colours: int, directions: int
) -> None:
    detector = geometry.Detector(160, 0.45)
    beam = geometry.Beam(1.0, 1e24, polarisation=0.8, bandpass=bandpass, divergence_rad=divergence)
    c, table = _crystal(seed, mosaic), _table()
    spots = crystal.find_spots(c, beam, detector, table, 0.0)
    fast = crystal.bragg_image(spots, detector)
    pixels = reference.pixel_image(
        c,
        beam,
        detector,
        table,
        sources=reference.sources_of(beam, directions, colours),
        domains=reference.mosaic_domains(c, domains, seed),
        oversample=1,
    )
    assert fast.sum() == pytest.approx(pixels.sum(), rel=0.05)
    assert np.corrcoef(fast.ravel(), pixels.ravel())[0, 1] > 0.94
    lone = _lone_spots(spots, detector)
    assert lone
    for spot in lone:
        assert np.abs(_centroid(fast, spot) - _centroid(pixels, spot)).max() < 0.5, spot


def test_a_spot_is_the_average_over_all_that_spreads_it() -> None:
    """Position and covariance of single reflections against a weighted sample of rays that end on the sphere.

    A ray: a point of the crystal's Gaussian around a turned q, for a direction and a wavelength of the beam.
    Weights are those of a shell around the sphere, thin against the spread of its distances.
    """
    rng = np.random.default_rng(1)
    n = 400_000
    mosaic, divergence, bandpass = 0.006, 0.003, 0.01
    c = _crystal(12, mosaic_rad=mosaic / 0.496)
    beam = geometry.Beam(1.0, 1e24, divergence_rad=divergence, bandpass=bandpass)
    spots = crystal.find_spots(c, beam, geometry.Detector(400, 0.3), _table(), 0.0)
    size_mm2 = (0.03e-3) ** 2 / 12
    own = np.linalg.inv(2 * c.shape_matrix)
    # Far from the sphere the linear expansion that makes a spot a Gaussian is worst: take the strong ones.
    for i in np.argsort(-spots.photons)[:12:3]:
        q = spots.hkl[i] @ c.reciprocal
        turned = q + np.cross(mosaic * rng.standard_normal((n, 3)), q)
        turned += rng.multivariate_normal(np.zeros(3), own, n)
        k = 1 + bandpass * rng.standard_normal(n)
        tilt = divergence * rng.standard_normal((n, 2))
        out = turned + k[:, np.newaxis] * np.column_stack([tilt, np.ones(n)])
        zeta = np.linalg.norm(out, axis=1) - k * np.sqrt(1 + (tilt**2).sum(axis=1))
        weight = np.exp(-0.5 * (zeta / (0.1 * zeta.std())) ** 2)
        x, y = 150.0 * out[:, 0] / out[:, 2], 150.0 * out[:, 1] / out[:, 2]
        mean = np.average(x, weights=weight), np.average(y, weights=weight)
        assert np.hypot(spots.x_mm[i] - mean[0], spots.y_mm[i] - mean[1]) < 0.06
        covariance = np.cov(x, y, aweights=weight) + size_mm2 * np.eye(2)
        mine = [[spots.cov_xx_mm2[i], spots.cov_xy_mm2[i]], [spots.cov_xy_mm2[i], spots.cov_yy_mm2[i]]]
        np.testing.assert_allclose(mine, covariance, atol=0.06 * np.trace(covariance))


def test_forward_reflections_do_not_divide_by_nothing() -> None:
    """A reflection along the beam has no azimuth."""
    c = crystal.crystal_of((40, 40, 28, 90, 90, 90), 0.03, np.array([1.0, 0, 0, 0]), 12.0, 0.01)
    spots = crystal.find_spots(
        c, geometry.Beam(1.0, 1e24, bandpass=0.01), geometry.Detector(64, 1.0), _table(1), 0.0
    )
    for values in (spots.x_mm, spots.photons, spots.cov_xx_mm2, spots.cov_yy_mm2):
        assert np.isfinite(values).all()
    assert (spots.cov_xx_mm2 * spots.cov_yy_mm2 >= spots.cov_xy_mm2**2).all()
    assert _kernels.deposit_spots(8, *np.zeros((6, 0))).sum() == 0


def test_frames_can_be_drawn_pixel_by_pixel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(diffraction, "_BLOCK_UM", 0.02)  # fewer sub-pixels
    fast, drawn = diffraction.simulate_frame("good", 2, 3, 64)
    slow, again = diffraction.simulate_frame("good", 2, 3, 64, method="pixel")
    # Few of the 24 domains see the strongest spot.
    assert again["bragg_photons"] == pytest.approx(drawn["bragg_photons"], rel=0.4)
    assert again["background_photons"] == drawn["background_photons"]
    assert not np.array_equal(fast, slow)
