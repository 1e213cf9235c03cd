"""Serial-crystallography stills: physics against independent references, then what is written."""

from __future__ import annotations

import csv
import itertools
from dataclasses import replace
from pathlib import Path

import gemmi
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from sweeper.simulate import _kernels, background, camera, classes, crystal, geometry, structure
from sweeper.simulate.classes import LABELS
from sweeper.simulate.diffraction import (
    expected_photons,
    simulate_frame,
    write_diffraction,
)

# --------------------------------------------------------------------------- geometry


def _rays(detector: geometry.Detector) -> NDArray[np.float64]:
    """Unit vectors from the sample to the pixels of a detector, (size, size, 3)."""
    column, row = detector.centre_px
    y, x = np.mgrid[: detector.size, : detector.size].astype(float)
    ray = np.stack(
        [
            (x - column) * detector.pixel_mm,
            (y - row) * detector.pixel_mm,
            np.full_like(x, detector.distance_mm),
        ],
        axis=-1,
    )
    return np.asarray(ray / np.linalg.norm(ray, axis=-1, keepdims=True))


def _triangle(a: NDArray[np.float64], b: NDArray[np.float64], c: NDArray[np.float64]) -> float:
    """Solid angle of a triangle by Van Oosterom and Strackee (1983)."""
    la, lb, lc = (np.linalg.norm(v) for v in (a, b, c))
    below = la * lb * lc + a @ b * lc + b @ c * la + c @ a * lb
    return float(2 * np.arctan2(abs(a @ np.cross(b, c)), below))


@settings(deadline=None)  # the first call compiles
@given(st.floats(-80, 80), st.floats(-80, 80), st.floats(0.05, 0.6))
def test_solid_angle_is_that_of_the_pixels_two_triangles(x: float, y: float, pixel: float) -> None:
    corners = [np.array([x + i * pixel / 2, y + j * pixel / 2, 150.0]) for i in (-1, 1) for j in (-1, 1)]
    exact = _triangle(corners[0], corners[1], corners[2]) + _triangle(corners[3], corners[1], corners[2])
    one = _kernels.radial_image(1, -x / pixel, -y / pixel, pixel, 150.0, 1.0, 0.0, np.ones(2), 1.0)[0, 0]
    assert one / _kernels._polarisation(x * x, y * y, 150.0**2, 0.0) == pytest.approx(exact, rel=2e-5)


@settings(deadline=None)  # the first call compiles
@given(st.floats(-80, 80), st.floats(-80, 80), st.floats(0, 1))
def test_polarisation_is_the_dipole_pattern_of_both_field_directions(x: float, y: float, k: float) -> None:
    u = np.array([x, y, 150.0]) / np.linalg.norm([x, y, 150.0])
    dipoles = (1 + k) / 2 * (1 - u[0] ** 2) + (1 - k) / 2 * (1 - u[1] ** 2)
    assert _kernels._polarisation(x * x, y * y, 150.0**2, k) == pytest.approx(dipoles, rel=1e-12)


def test_the_detector_keeps_its_extent() -> None:
    assert {round(geometry.detector_of(n).pixel_mm * n, 9) for n in (64, 512, 4096)} == {153.6}
    assert geometry.detector_of(512).pixel_mm == pytest.approx(0.3)


# --------------------------------------------------------------------------- structure factors


@pytest.mark.parametrize("element", ["C", "N", "O", "S"])
def test_form_factors_equal_gemmis(element: str) -> None:
    table = gemmi.Element(element).it92
    stol = np.linspace(0, 0.6, 13)
    reference = [table.calculate_sf(stol2=s * s) for s in stol]
    np.testing.assert_allclose(structure.form_factor(element, stol), reference, rtol=2e-3)


def test_wilson_sum_counts_the_cells_electrons_and_falls_with_b() -> None:
    forward = 8 * (613 * 6**2 + 193 * 7**2 + 185 * 8**2 + 10 * 16**2)
    assert structure.wilson_sum(0.0, 20.0) == pytest.approx(forward, rel=5e-3)
    ratio = structure.wilson_sum(0.2, 30.0) / structure.wilson_sum(0.2, 10.0)
    assert ratio == pytest.approx(np.exp(-2 * 20 * 0.04))


def test_absences_and_centric_reflections_equal_gemmis_space_group() -> None:
    ops = gemmi.SpaceGroup("P 43 21 2").operations()
    for hkl in itertools.product(range(9), repeat=3):
        if hkl != (0, 0, 0):
            assert bool(structure.is_absent(*hkl)) == ops.is_systematically_absent(list(hkl)), hkl
            assert bool(structure.is_centric(*hkl)) == ops.is_reflection_centric(list(hkl)), hkl


def test_intensities_follow_wilsons_statistics_and_the_laue_class() -> None:
    table = structure.wilson_intensities(7, 40, 20)
    np.testing.assert_array_equal(table, table.transpose(1, 0, 2))
    hkl = np.indices(table.shape)
    absent, centric = structure.is_absent(*hkl), structure.is_centric(*hkl)
    kept = (hkl[0] > hkl[1]) & ~absent  # each unique reflection once
    acentric = table[kept & ~centric]
    assert acentric.mean() == pytest.approx(1, abs=0.03)
    assert (acentric**2).mean() == pytest.approx(2, abs=0.15)  # <I²>/<I>² of an exponential
    assert (table[kept & centric] ** 2).mean() == pytest.approx(3, abs=0.6)  # of a squared normal
    assert not table[absent].any()
    assert not np.array_equal(table, structure.wilson_intensities(8, 40, 20))


# --------------------------------------------------------------------------- background


def test_background_is_the_cross_section_times_molecules_pixel_by_pixel() -> None:
    detector = geometry.Detector(48, 3.0, beam_x_mm=4.0, beam_y_mm=-2.0)
    beam = geometry.Beam(1.2, 2e21, width_um=8.0, polarisation=0.9)
    u = _rays(detector)
    stol = np.sin(np.arccos(u[..., 2]) / 2) / 1.2
    omega = (3.0 / 150.0) ** 2 * u[..., 2] ** 3
    p = 0.95 * (1 - u[..., 0] ** 2) + 0.05 * (1 - u[..., 1] ** 2)
    water = 8e-6**2 * 20e-6 * 1000 / 0.018015 * 6.02214076e23
    air = 8e-6**2 * 5e-3 * 1.2 / 0.02897 * 6.02214076e23
    f2 = water * background.water_form_factor(stol) ** 2 + air * background.air_form_factor(stol) ** 2
    expected = (2.8179403e-15) ** 2 * 2e21 * f2 * p * omega
    np.testing.assert_allclose(background.background_photons(detector, beam, 20.0, 5.0), expected, rtol=1e-4)


def test_background_is_absorbed_by_the_sensor() -> None:
    beam = geometry.Beam(1.0, 1e22)
    ideal = background.background_photons(geometry.Detector(32, 4.0), beam, 10.0, 2.0)
    thin = background.background_photons(
        geometry.Detector(32, 4.0, sensor_mm=0.3, attenuation_per_mm=2.0), beam, 10.0, 2.0
    )
    cosine = _rays(geometry.Detector(32, 4.0))[..., 2]
    np.testing.assert_allclose(thin / ideal, 1 - np.exp(-0.6 / cosine))


def test_water_curve_passes_its_points_and_peaks_at_the_ring() -> None:
    np.testing.assert_allclose(
        background.water_form_factor([0, 0.08, 0.16, 0.28, 0.48]), [2.57, 3.05, 8.01, 4.55, 3.33]
    )
    fine = np.linspace(0, 0.5, 501)
    assert fine[np.argmax(background.water_form_factor(fine))] == pytest.approx(0.16, abs=0.005)
    assert background.air_form_factor(0.0) == pytest.approx(14.1)
    # Far out, the two atoms of a molecule scatter apart: F² → 2 f², half of the forward F² per f².
    assert background.air_form_factor(0.47) ** 2 == pytest.approx(
        2 * structure.form_factor("N", 0.47) ** 2, rel=0.25
    )


def test_scale_of_water_is_that_of_the_notes() -> None:
    """About 700 photons a 0.3 mm pixel at the ring of 10 µm of water at 1e22 photons/m²."""
    image = background.background_photons(geometry.detector_of(512), geometry.Beam(1.0, 1e22), 10.0, 0.0)
    assert 500 < image.max() < 900


def test_beamstop_stops_the_beam_and_dims_along_its_arm_only() -> None:
    detector = geometry.Detector(201, 0.5)
    passed = background.transmission(detector, background.Beamstop(4.0, 0.6, 2.0, 0.7))
    assert passed[100, 100] == 0
    assert passed[20, 100] == pytest.approx(0.7)
    assert passed[180, 100] == 1
    assert passed[100, 20] == 1
    # Area of the disc, in pixels.
    assert (1 - passed)[93:108, 93:108].sum() == pytest.approx(np.pi * 8**2, rel=0.05)


# --------------------------------------------------------------------------- Bragg spots


def _small_crystal(quaternion: NDArray[np.float64]) -> crystal.Crystal:
    return crystal.crystal_of((40, 40, 28, 90, 90, 90), 0.03, quaternion, 12.0, 0.0)


def _pixel_centric(
    c: crystal.Crystal, beam: geometry.Beam, detector: geometry.Detector, table: NDArray[np.float32]
) -> NDArray[np.float64]:
    """nanoBragg's sum with the GAUSS lattice factor for one wavelength, no oversampling."""
    u = _rays(detector)
    s = (u - np.array([0, 0, 1.0])) / beam.wavelength_angstrom
    fractional = s @ c.axes_angstrom.T  # (size, size, 3)
    nearest = np.rint(fractional).astype(int)
    rho = np.sum((c.cells * (fractional - nearest)) ** 2, axis=-1)
    lattice2 = np.prod(c.cells) ** 2 * np.exp(-2 * rho / 0.63)
    stol = np.linalg.norm(s, axis=-1) / 2
    e2 = table[tuple(nearest.transpose(2, 0, 1))]
    p = (1 + beam.polarisation) / 2 * (1 - u[..., 0] ** 2)
    p += (1 - beam.polarisation) / 2 * (1 - u[..., 1] ** 2)
    omega = (detector.pixel_mm / detector.distance_mm) ** 2 * u[..., 2] ** 3
    f2 = structure.wilson_sum(stol, c.b_factor_a2) * e2
    return np.asarray(
        background.CLASSICAL_RADIUS_SQUARED_M2 * beam.fluence_photons_per_m2 * omega * p * f2 * lattice2
    )


def _central(image: NDArray[np.float64], spots_at: tuple[int, int], reach: int) -> NDArray[np.float64]:
    i, j = spots_at
    return image[max(i - reach, 0) : i + reach + 1, max(j - reach, 0) : j + reach + 1]


@pytest.mark.parametrize(("seed", "bandpass"), [(0, 0.0), (1, 0.0), (2, 0.0), (3, 0.01), (4, 0.01)])
def test_spots_equal_a_pixel_by_pixel_sum(seed: int, bandpass: float) -> None:
    detector = geometry.Detector(480, 0.15)
    beam = geometry.Beam(1.0, 1e24, polarisation=0.8, bandpass=bandpass)
    c = _small_crystal(crystal.random_quaternion(np.random.default_rng(seed)))
    table = structure.wilson_intensities(5, 40, 30).copy()
    table[:6, :6, :6] = 0  # next to the direct beam a spot is not small against its distance to it
    table = structure.all_octants(table)
    drawn = crystal.bragg_image(crystal.find_spots(c, beam, detector, table, 0.0), detector)
    offsets, weights = np.polynomial.hermite_e.hermegauss(21 if bandpass else 1)
    reference = np.zeros_like(drawn)
    for offset, weight in zip(offsets, weights / weights.sum(), strict=True):
        colour = replace(beam, wavelength_angstrom=1 + bandpass * offset)
        reference += weight * _pixel_centric(c, colour, detector, table)
    assert drawn.sum() == pytest.approx(reference.sum(), rel=0.01)
    remaining = reference.copy()
    for _ in range(5):  # the five strongest spots, each where the sum has it
        row, column = np.unravel_index(np.argmax(remaining), remaining.shape)
        peak = int(row), int(column)
        mine, theirs = _central(drawn, peak, 4), _central(reference, peak, 4)
        assert mine.sum() == pytest.approx(theirs.sum(), rel=0.03)
        y, x = np.indices(mine.shape)
        for axis in (x, y):
            assert (axis * mine).sum() / mine.sum() == pytest.approx(
                (axis * theirs).sum() / theirs.sum(), abs=0.1
            )
        _central(remaining, peak, 8)[:] = 0
    # The same spots are bright: a pattern, not a few coincidences.
    assert np.corrcoef(drawn.ravel(), reference.ravel())[0, 1] > 0.995


def test_mosaic_domains_average_to_the_spread_of_the_formula() -> None:
    """Total of a mosaic crystal against perfect crystals in sampled orientations."""
    detector, beam = geometry.Detector(400, 0.3), geometry.Beam(1.0, 1e24)
    quaternion = crystal.random_quaternion(np.random.default_rng(11))
    perfect = _small_crystal(quaternion)
    table = structure.all_octants(structure.wilson_intensities(5, 40, 30))
    mosaic = replace(perfect, mosaic_rad=0.02)
    total = crystal.find_spots(mosaic, beam, detector, table, 0.0).photons.sum()
    rng, totals = np.random.default_rng(0), []
    for _ in range(300):
        axis = rng.standard_normal(3)
        angle = 0.02 * (1 - rng.uniform(-1, 1) ** 2) ** (1 / 3)  # nanoBragg's cap
        half = np.concatenate([[np.cos(angle / 2)], np.sin(angle / 2) * axis / np.linalg.norm(axis)])
        turned = replace(perfect, axes_angstrom=perfect.axes_angstrom @ crystal.rotation_matrix(half).T)
        totals.append(crystal.find_spots(turned, beam, detector, table, 0.0).photons.sum())
    assert total == pytest.approx(np.mean(totals), rel=0.05)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000))
def test_orientations_are_rotations_and_lattices_reciprocal(seed: int) -> None:
    q = crystal.random_quaternion(np.random.default_rng(seed))
    r = crystal.rotation_matrix(q)
    np.testing.assert_allclose(r @ r.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(r) == pytest.approx(1)
    c = _small_crystal(q)
    np.testing.assert_allclose(c.axes_angstrom @ c.reciprocal.T, np.eye(3), atol=1e-12)


@settings(max_examples=300, deadline=None)
@given(st.floats(20, 40), st.floats(20, 40), st.floats(0, 3), st.floats(0, 3), st.floats(-0.9, 0.9))
def test_a_deposited_spot_is_its_integral_over_each_pixel(
    x: float, y: float, sx: float, sy: float, correlation: float
) -> None:
    one = np.array([1.0])
    xy = correlation * sx * sy
    detector = geometry.Detector(61, 1.0)  # a pixel is a millimetre, the direct beam at (30, 30)
    spots = crystal.Spots(
        (x - 30) * one, (y - 30) * one, 50 * one, sx**2 * one, xy * one, sy**2 * one, np.zeros((1, 3), int)
    )
    image = crystal.bragg_image(spots, detector)
    assert image.sum() == pytest.approx(50)
    borders = np.arange(62) - 0.5
    for axis, centre, width in (
        (0, x, sx),
        (1, y, sy),
    ):  # a projection is Gaussian; an eighth of a pixel is smear
        share = np.diff(stats.norm.cdf(borders, centre, np.hypot(width, 0.125)))
        np.testing.assert_allclose(image.sum(axis=axis) / 50, share, atol=0.06)


# --------------------------------------------------------------------------- camera


def test_photons_are_poisson() -> None:
    for mean in (0.3, 5.0, 400.0):
        counted = camera.count_photons(np.full((300, 300), mean), np.random.default_rng(1))
        assert counted.mean() == pytest.approx(mean, rel=0.02)
        assert counted.var() == pytest.approx(mean, rel=0.03)


def test_point_spread_keeps_photons_and_has_its_width() -> None:
    point = np.zeros((41, 41))
    point[20, 20] = 1000.0
    blurred = camera.spread_points(point, 6.0)
    assert blurred.sum() == pytest.approx(1000)
    assert blurred[20, 23] == pytest.approx(blurred[20, 20] / 2, rel=0.02)  # half height at FWHM / 2


def test_fibre_point_spread_is_its_formula_integrated_over_pixels() -> None:
    kernel = camera.fibre_kernel(2.5, 40)
    assert kernel.sum() == pytest.approx(1)
    g = 0.6524 * 2.5
    fine = (np.arange(200) + 0.5) / 200 - 0.5
    for row, column in ((0, 0), (1, 0), (2, 3), (10, 20)):
        y, x = fine[:, np.newaxis] + row, fine[np.newaxis, :] + column
        pixel = np.mean(g / (2 * np.pi) * (g * g + x * x + y * y) ** -1.5)
        # The kernel is cut, and scaled for what lies outside.
        assert kernel[40 + row, 40 + column] == pytest.approx(pixel, rel=0.05)
    point = g / (2 * np.pi) * (g * g + np.array([0.0, 1.25]) ** 2) ** -1.5
    assert point[1] / point[0] == pytest.approx(0.5, rel=1e-3)  # so that the width is the one asked for


def test_fibre_point_spread_keeps_photons_and_has_long_tails() -> None:
    point = np.zeros((61, 61))
    point[30, 4] = 1000.0  # near an edge, which reflects
    spread = camera.spread_points(point, 2.0, "fibre")
    assert spread.shape == point.shape
    assert spread.sum() == pytest.approx(1000)
    assert spread[30, 24] > 100 * camera.spread_points(point, 2.0)[30, 24]
    np.testing.assert_allclose(camera.spread_points(np.full((16, 16), 3.0), 2.0, "fibre"), 3.0)


def test_flicker_scales_all_that_the_beam_does() -> None:
    drawn = classes.draw_exposure("strong", np.random.default_rng(1))
    steady, bright = (expected_photons(replace(drawn, flicker=f), 5, 64) for f in (1.0, 1.25))
    for before, after in zip(steady, bright, strict=True):
        np.testing.assert_allclose(after, 1.25 * before, rtol=1e-9, atol=0.01)  # the faintest are left out


def test_noises_come_in_nanobraggs_order() -> None:
    """Moments of a flat field that any other order would change."""
    noise = camera.Camera(3.0, 0.05, 4.0, 40.0, 3.0, 0.0)
    expected = np.full((256, 256), 400.0)
    sensitivity = camera.calibration_map(7, 256, 0.05)
    frames = [camera.digitise(expected, noise, 7, np.random.default_rng(i)).astype(float) for i in range(40)]
    mean, residual = (
        np.mean(frames, axis=0),
        [(a - b) / np.sqrt(2) for a, b in zip(frames[::2], frames[1::2], strict=True)],
    )
    # Calibration comes before the point spread, which smooths it, and does not touch the offset.
    smooth = camera.spread_points(400.0 * sensitivity.astype(float), 3.0)
    assert np.corrcoef(mean.ravel(), smooth.ravel())[0, 1] > 0.98
    assert mean.mean() == pytest.approx(40 + 4 * 400 * sensitivity.mean(), rel=1e-3)
    # Poisson noise comes before the point spread and the gain; readout after both, of each pixel alone.
    kernel = camera.spread_points(np.pad([[1.0]], 20), 3.0)
    photons = 16 * 400 * (kernel**2).sum()
    neighbours = 16 * 400 * (kernel[:, 1:] * kernel[:, :-1]).sum()
    assert np.mean([r.var() for r in residual]) == pytest.approx(photons + 9 + 1 / 12, rel=0.03)
    lag = np.mean([(r[:, 1:] * r[:, :-1]).mean() for r in residual])
    assert lag == pytest.approx(neighbours, rel=0.05)


def test_counts_have_offset_gain_readout_and_saturation() -> None:
    quiet = camera.Camera(point_spread_px=0, calibration=0, read_noise_adu=3, zingers_per_frame=0)
    dark = camera.digitise(np.zeros((256, 256)), quiet, 0, np.random.default_rng(0))
    assert dark.dtype == np.uint16
    assert dark.mean() == pytest.approx(40, abs=0.05)
    assert dark.std() == pytest.approx(np.sqrt(9 + 1 / 12), rel=0.02)  # readout and rounding
    bright = replace(quiet, gain_adu_per_photon=5)
    lit = camera.digitise(np.full((256, 256), 100.0), bright, 0, np.random.default_rng(0)).astype(float)
    assert lit.mean() == pytest.approx(540, rel=0.005)
    assert lit.var() == pytest.approx(25 * 100 + 9, rel=0.03)
    flooded = camera.digitise(np.full((64, 64), 1e6), quiet, 0, np.random.default_rng(0))
    assert (flooded == 65535).all()


def test_calibration_belongs_to_the_detector_not_to_the_frame() -> None:
    noisy = camera.Camera(point_spread_px=0, calibration=0.1, read_noise_adu=0, zingers_per_frame=0)
    expected = np.full((64, 64), 5000.0)
    first, second = (camera.digitise(expected, noisy, 3, np.random.default_rng(i)) for i in (1, 2))
    other = camera.digitise(expected, noisy, 4, np.random.default_rng(2))
    assert np.corrcoef(first.ravel(), second.ravel())[0, 1] > 0.9
    assert abs(np.corrcoef(first.ravel(), other.ravel())[0, 1]) < 0.1


# --------------------------------------------------------------------------- frames


def test_classes_are_ordered_by_bragg_signal_and_blank_is_dark() -> None:
    photons: dict[str, list[float]] = {label: [] for label in LABELS}
    for label in LABELS:
        for index in range(12):
            _, drawn = simulate_frame(label, index, 5, 64)
            photons[label].append(drawn["bragg_photons"])
            assert (drawn["background_photons"] == 0) == (label == "blank")
    means = [np.median(photons[label]) for label in LABELS]
    assert means[0] == means[1] == 0
    assert 0 < 2 * means[2] < means[3] < means[4] / 2


def test_neighbouring_classes_overlap_in_what_they_are_drawn_from() -> None:
    lit = [c for c in classes.CLASSES if c.crystal_um is not None]
    assert [c.label for c in lit] == ["weak", "good", "strong"]
    for below, above in itertools.pairwise(lit):
        assert below.crystal_um is not None
        assert above.crystal_um is not None
        assert below.crystal_um.low < above.crystal_um.low < below.crystal_um.high < above.crystal_um.high
        assert above.b_factor_a2.low < below.b_factor_a2.low < above.b_factor_a2.high


def test_strong_reaches_farther_out_than_weak() -> None:
    y, x = np.indices((128, 128)) - 63.5
    radius = np.hypot(x, y)

    def mean_radius(label: str) -> float:
        rng = np.random.default_rng(2)
        images = [expected_photons(classes.draw_exposure(label, rng), 5, 128)[0] for _ in range(10)]
        return float(np.mean([(i * radius).sum() / i.sum() for i in images]))

    assert mean_radius("weak") < mean_radius("good") < mean_radius("strong")


def test_a_pattern_looks_alike_at_any_size() -> None:
    drawn = classes.draw_exposure("strong", np.random.default_rng(3))
    coarse, fine = (sum(expected_photons(drawn, 5, size)) for size in (96, 384))
    binned = np.asarray(fine).reshape(96, 4, 96, 4).sum(axis=(1, 3))
    assert binned.sum() == pytest.approx(np.sum(coarse), rel=0.01)
    assert np.corrcoef(binned.ravel(), np.ravel(coarse))[0, 1] > 0.98


def test_a_frame_depends_on_its_class_index_and_seed_alone() -> None:
    first, drawn = simulate_frame("good", 3, 9, 96)
    simulate_frame("weak", 0, 10, 64)  # another data set in between
    again, drawn_again = simulate_frame("good", 3, 9, 96)
    np.testing.assert_array_equal(first, again)
    assert drawn == drawn_again
    for other in (("good", 4, 9), ("strong", 3, 9), ("good", 3, 10)):
        assert not np.array_equal(first, simulate_frame(*other, 96)[0])


def _rows(manifest: Path) -> list[dict[str, str]]:
    with manifest.open(newline="") as file:
        return list(csv.DictReader(file))


def test_files_and_manifest(tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    manifest = write_diffraction(tmp_path / "d", 2, 64, 1, on_frame=lambda done, of: calls.append((done, of)))
    rows = _rows(manifest)
    assert manifest == tmp_path / "d" / "manifest.csv"
    assert calls == [(i, 10) for i in range(1, 11)]
    assert sorted(row["label"] for row in rows) == sorted(2 * LABELS)
    assert not {"split", "group", "frame"} & set(rows[0])
    for row in rows:
        frame = tifffile.imread(manifest.parent / row["path"])
        assert frame.dtype == np.uint16
        assert Path(row["path"]).parent.name == row["label"]
        counts, drawn = simulate_frame(row["label"], int(row["index"]), 1, 64)
        np.testing.assert_array_equal(frame, counts)
        for name in ("crystal_size_um", "water_path_um", "fluence_photons_per_m2", "b_factor_a2"):
            value = float(row[name]) if row[name] else float("nan")
            np.testing.assert_allclose(value, drawn[name], rtol=1e-8)
    found = {str(p.relative_to(manifest.parent)) for p in manifest.parent.rglob("*.tif")}
    assert found == {row["path"] for row in rows}


def test_frames_do_not_depend_on_how_many_are_made(tmp_path: Path) -> None:
    write_diffraction(tmp_path / "few", 1, 64, 4)
    write_diffraction(tmp_path / "more", 2, 64, 4)
    for label in LABELS:
        name = f"{label}/{label}_00000.tif"
        assert (tmp_path / "few" / name).read_bytes() == (tmp_path / "more" / name).read_bytes()


def test_running_again_completes_or_leaves_alone(tmp_path: Path) -> None:
    manifest = write_diffraction(tmp_path, 1, 64, 1)
    before = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in tmp_path.rglob("*.*")}
    write_diffraction(tmp_path, 1, 64, 1)
    assert before == {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in tmp_path.rglob("*.*")}
    # Killed half way: no manifest yet, a frame missing and another half written.
    manifest.unlink()
    (tmp_path / "good" / "good_00000.tif").unlink()
    (tmp_path / "weak" / "weak_00000.tif").write_bytes(b"II*")
    (tmp_path / "good" / ".good_00000.tif.partial").write_bytes(b"II*")
    write_diffraction(tmp_path, 1, 64, 1)
    assert {p: p.read_bytes() for p in tmp_path.rglob("*.*")} == {p: b for p, (b, _) in before.items()}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1, 63, 0), "size must be from 64 to 4096 pixels, got 63"),
        ((1, 4097, 0), "size must be from 64 to 4096 pixels, got 4097"),
        ((0, 64, 0), "per-class must be a whole number of at least 1, got 0"),
        ((1, 64, -1), "seed must be a whole number of at least 0, got -1"),
    ],
)
def test_bad_arguments(tmp_path: Path, arguments: tuple[int, int, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        write_diffraction(tmp_path / "d", *arguments)
    assert not (tmp_path / "d").exists()


def test_bad_label_and_index() -> None:
    with pytest.raises(ValueError, match=r"label must be one of blank, no-crystal, .*, got 'ice'"):
        simulate_frame("ice", 0, 0, 64)
    with pytest.raises(ValueError, match=r"index must be .* at least 0, got -1"):
        simulate_frame("weak", -1, 0, 64)


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(ValueError, match="must be a folder, but is a file"):
        write_diffraction(file, 1, 64, 0)
    other = tmp_path / "other"
    (other / "weak").mkdir(parents=True)
    (other / "weak" / "mine.tif").write_text("x")
    with pytest.raises(ValueError, match=r"must be new, empty .* but holds weak/mine\.tif"):
        write_diffraction(other, 1, 64, 0)
    assert (other / "weak" / "mine.tif").read_text() == "x"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((2, 64, 2), "seed must be 2, got 1"),
        ((2, 65, 1), "size_px must be 65, got 64"),
        ((1, 64, 1), r"but holds blank/blank_00001\.tif"),
    ],
)
def test_another_simulation_is_refused(tmp_path: Path, arguments: tuple[int, int, int], message: str) -> None:
    write_diffraction(tmp_path, 2, 64, 1)
    with pytest.raises(ValueError, match=message):
        write_diffraction(tmp_path, *arguments)
