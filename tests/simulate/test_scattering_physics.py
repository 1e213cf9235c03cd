"""Formulas of the scattering simulator against independent computations and published figures."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate

from sweeper.simulate.scattering import form_factors as ff
from sweeper.simulate.scattering import grazing as dwba
from sweeper.simulate.scattering.crystals import CRYSTALS, powder_lines
from sweeper.simulate.scattering.geometry import Setup, grazing, transmission

_Q = np.geomspace(1e-3, 0.5, 40)


def _debye(points: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Debye's sum over point scatterers, 1 at q = 0."""
    distances = np.linalg.norm(points[:, None] - points[None], axis=2).ravel()
    return np.array([np.sinc(v * distances / np.pi).mean() for v in q])


def _inside(accept: object, box: tuple[float, float, float], n: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    points = rng.uniform(-1, 1, (40 * n, 3)) * box
    return points[accept(points)][:n]  # type: ignore[operator]


def test_sphere_and_cylinder_equal_debyes_sum_over_points_inside_them() -> None:
    ball = _inside(lambda p: np.linalg.norm(p, axis=1) < 20, (20, 20, 20), 1500)
    rod = _inside(lambda p: np.hypot(p[:, 0], p[:, 1]) < 10, (10, 10, 40), 1500)
    q = np.linspace(0.005, 0.15, 12)
    np.testing.assert_allclose(_debye(ball, q), ff.spheres(q, 20.0), atol=0.012)
    np.testing.assert_allclose(_debye(rod, q), ff.cylinders(q, 10.0, 80.0), atol=0.012)


def test_a_shell_like_its_core_is_a_larger_sphere_and_one_like_the_solvent_is_none() -> None:
    np.testing.assert_allclose(ff.core_shell(_Q, 30, 10, 1.0), ff.spheres(_Q, 40), rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(ff.core_shell(_Q, 30, 10, 0.0), ff.spheres(_Q, 30), rtol=1e-6, atol=1e-12)


def test_polydisperse_spheres_equal_an_integral_over_the_schulz_distribution() -> None:
    mean, spread = 25.0, 0.2
    z = 1 / spread**2

    def share(r: float) -> float:
        return float(np.exp((z - 1) * np.log(r / mean) - z * (r / mean - 1)))

    for q in (0.02, 0.1, 0.18, 0.3):
        top = integrate.quad(
            lambda r, q=q: share(r) * r**6 * float(ff.sphere_amplitude(np.array(q * r))) ** 2, 1, 80
        )
        bottom = integrate.quad(lambda r: share(r) * r**6, 1, 80)
        assert ff.spheres(np.array([q]), mean, spread)[0] == pytest.approx(top[0] / bottom[0], rel=0.01)


def test_hard_spheres_compressibility_and_far_limit() -> None:
    for fraction in (0.05, 0.2, 0.4):
        structure = ff.hard_spheres(np.array([1e-6, 40.0]), 10.0, fraction)
        # S(0) of Percus and Yevick's compressibility equation of state.
        assert structure[0] == pytest.approx((1 - fraction) ** 4 / (1 + 2 * fraction) ** 2, rel=0.02)
        assert structure[1] == pytest.approx(1.0, abs=0.01)


@given(st.floats(1.0, 300.0), st.floats(2.1, 4.0), st.sampled_from([0.0, 1.0]))
def test_guinier_porod_is_smooth_where_both_laws_meet(
    gyration: float, power: float, dimension: float
) -> None:
    turn = np.sqrt((power - dimension) * (3 - dimension) / 2) / gyration
    q = turn * np.array([1 - 2e-4, 1 - 1e-4, 1 + 1e-4, 1 + 2e-4])
    log_i = np.log(ff.guinier_porod(q, gyration, power, dimension))
    slopes = np.diff(log_i) / np.diff(np.log(q))
    assert slopes[0] == pytest.approx(-power, rel=1e-2)
    assert slopes[2] == pytest.approx(-power, rel=1e-2)
    assert log_i[2] - log_i[1] == pytest.approx(slopes[0] * 2e-4, rel=0.05)


def test_lamellae_peak_at_orders_of_their_period() -> None:
    q = np.linspace(0.01, 0.35, 4000)
    curve = ff.stacked_lamellae(q, 63.0, 20.0, 0.01, 50)
    peaks = q[1:-1][
        (curve[1:-1] > curve[:-2]) & (curve[1:-1] > curve[2:]) & (curve[1:-1] > 2e-2 * curve[100])
    ]
    for order in (1, 2):
        assert np.abs(peaks - order * 2 * np.pi / 63.0).min() < 0.002


# ------------------------------------------------------------------- crystals

_KNOWN = {
    # d in Å and relative intensity with Cu Kα of the strongest lines, as tables of powder patterns have them.
    "LaB6": {4.157: 58, 2.939: 100, 2.400: 42, 1.859: 48},
    "Si": {3.136: 100, 1.920: 62, 1.638: 36},
    "CeO2": {3.124: 100, 2.706: 28, 1.913: 50, 1.632: 38},
    "TiO2 anatase": {3.516: 100, 2.379: 20, 1.892: 28, 1.700: 18},
    "Al2O3": {3.480: 64, 2.551: 98, 2.085: 100, 1.602: 93},
    "NaCl": {2.820: 100, 1.994: 60},
}


@pytest.mark.parametrize("name", _KNOWN)
def test_powder_lines_agree_with_tables(name: str) -> None:
    lines = powder_lines(name, 6.0)
    theta = np.arcsin(lines.q * 1.5406 / (4 * np.pi))
    observed = lines.power * (1 + np.cos(2 * theta) ** 2) / (np.sin(theta) ** 2 * np.cos(theta))
    observed *= 100 / observed.max()
    for d, intensity in _KNOWN[name].items():
        nearest = int(np.argmin(np.abs(2 * np.pi / lines.q - d)))
        assert 2 * np.pi / lines.q[nearest] == pytest.approx(d, rel=1e-3)
        assert observed[nearest] == pytest.approx(intensity, abs=8)


def test_forbidden_lines_are_absent() -> None:
    silicon, iron = powder_lines("Si", 8.0), powder_lines("Fe", 8.0)
    assert np.abs(silicon.q - 2 * np.pi * np.sqrt(4) / 5.4311).min() > 0.05  # 200
    assert np.abs(iron.q - 2 * np.pi / 2.8665).min() > 0.05  # 100
    for name in CRYSTALS:
        lines = powder_lines(name)
        assert len(lines.q) > 5
        assert np.all(np.diff(lines.q) > 0)
        assert lines.power.max() == pytest.approx(1.0)


# ------------------------------------------------------------------- geometry


def test_transmission_angles_equal_plane_trigonometry() -> None:
    setup = Setup((40, 60), 0.5, 200.0, 25.0, 12.0, 1.2)
    where = transmission(setup)
    radius = np.hypot(*np.meshgrid((np.arange(60) - 25) * 0.5, (np.arange(40) - 12) * 0.5))
    np.testing.assert_allclose(
        where.q, 4 * np.pi / 1.2 * np.sin(np.arctan(radius / 200) / 2), rtol=1e-5, atol=1e-6
    )
    assert where.azimuth[0, 25] == pytest.approx(np.pi / 2)  # smaller rows are up


@given(st.floats(-50, 50), st.floats(-50, 50), st.floats(0, 79), st.floats(0, 59))
def test_an_arm_turns_the_beam_off_the_detector_and_the_rest_with_it(
    right: float, up: float, column: float, row: float
) -> None:
    setup = Setup((60, 80), 0.8, 150.0, column, row, 1.0, (right, up))
    x, y = setup.beam_px
    moved = Setup((1, 1), 0.8, 150.0, column - x, row - y, 1.0, (right, up))
    assert transmission(moved).q[0, 0] == pytest.approx(0.0, abs=2e-3)
    # The foot of the perpendicular is where the detector's normal points: as far off as the arm is turned.
    foot = Setup((1, 1), 0.8, 150.0, 0.0, 0.0, 1.0, (right, up))
    turned = np.arccos(np.cos(np.deg2rad(right)) * np.cos(np.deg2rad(up)))
    assert transmission(foot).q[0, 0] == pytest.approx(4 * np.pi * np.sin(turned / 2), rel=1e-3, abs=1e-3)


@pytest.mark.parametrize("up_deg", [0.0, 90.0, 180.0, -37.0])
def test_over_a_surface_direct_and_specular_beam_are_where_they_must_be(up_deg: float) -> None:
    incidence, up = np.deg2rad(0.4), np.deg2rad(up_deg)
    setup = Setup((101, 101), 0.2, 1000.0, 50.0, 50.0, 1.1)
    where = grazing(setup, incidence, up)
    assert where.exit_rad[50, 50] == pytest.approx(-incidence, rel=1e-4)
    rise = 1000 * np.tan(2 * incidence) / 0.2
    column, row = 50 + rise * np.sin(up), 50 - rise * np.cos(up)
    specular = Setup((1, 1), 0.2, 1000.0, 50.0 - column, 50.0 - row, 1.1)
    there = grazing(specular, incidence, up)
    assert there.exit_rad[0, 0] == pytest.approx(incidence, rel=1e-4)
    assert there.q_parallel[0, 0] == pytest.approx(0.0, abs=1e-6)
    assert there.q_z[0, 0] == pytest.approx(4 * np.pi / 1.1 * np.sin(incidence), rel=1e-4)
    # |q| is the same in both pictures.
    q = np.sqrt(where.q_x**2 + where.q_y**2 + where.q_z**2)
    np.testing.assert_allclose(q, transmission(setup).q, rtol=2e-3, atol=2e-6)


# ------------------------------------------------------------------- grazing incidence

_SURFACE = dwba.Surface(2 * np.pi / 1.0, float(np.deg2rad(0.25)), dwba.Medium(5e-6, 5e-8))
_EXIT_DEG = np.array([0.08, 0.18, 0.3, 0.55, 0.9, 1.6])
_PHI_DEG = np.array([0.05, 0.4, 0.9])


def _q_parallel(exit_rad: np.ndarray, phi: np.ndarray) -> np.ndarray:
    x = np.cos(exit_rad) * np.cos(phi) - np.cos(_SURFACE.incidence_rad)
    return np.asarray(_SURFACE.k * np.hypot(x, np.cos(exit_rad) * np.sin(phi)))


def _ours(shape: str, exit_rad: np.ndarray, phi: np.ndarray) -> np.ndarray:
    """|A|² at each pair of angles, (exit, phi)."""
    made = np.empty((exit_rad.size, phi.size))
    for i, angle in enumerate(exit_rad):
        q = _q_parallel(np.array(angle), phi)
        if shape == "cylinder":
            made[i] = dwba.cylinder_intensity(_SURFACE, q, np.array([angle]), 50.0, 60.0)[:, 0]
        else:
            made[i] = dwba.sphere_intensity(_SURFACE, q, np.array([angle]), 50.0)[:, 0]
    return made


# Computed with BornAgain 25.0 (Pospelov et al., J. Appl. Cryst. 53 (2020) 262) for particles of R = 5 nm (and
# H = 6 nm) on that surface, at the angles above, in any unit.
_BORNAGAIN = {
    "cylinder": (
        (0.36537, 0.096024, 0.0062421),
        (0.63502, 0.16689, 0.010849),
        (0.086184, 0.022651, 0.0014724),
        (0.012673, 0.0033309, 0.00021651),
        (0.0085719, 0.002253, 0.00014648),
        (0.00068617, 0.00018026, 1.1767e-05),
    ),
    "sphere": (
        (0.38251, 0.12713, 0.0028033),
        (0.2882, 0.10251, 0.0019027),
        (0.002766, 0.00048774, 0.0019186),
        (0.0038154, 0.0044701, 0.00096885),
        (0.0042353, 0.0016325, 0.00028145),
        (0.00018748, 7.0676e-05, 7.6306e-05),
    ),
}


@pytest.mark.parametrize("shape", ["cylinder", "sphere"])
def test_dwba_equals_bornagain_at_low_density(shape: str) -> None:
    expected = np.array(_BORNAGAIN[shape])
    made = _ours(shape, np.deg2rad(_EXIT_DEG), np.deg2rad(_PHI_DEG))
    ratio = made / expected
    np.testing.assert_allclose(ratio / np.median(ratio), 1.0, atol=0.03)


@pytest.mark.parametrize("shape", ["cylinder", "sphere"])
def test_dwba_equals_bornagain_where_it_is_installed(shape: str) -> None:
    ba = pytest.importorskip("bornagain")
    n, m = 40, 60
    exit_edges, phi_edge = np.deg2rad([0.05, 2.0]), np.deg2rad(1.2)
    grey = (0.5, 0.5, 0.5)
    particle = ba.RefractiveMaterial("particle", grey, 6e-6, 2e-8)
    substrate = ba.RefractiveMaterial("substrate", grey, _SURFACE.medium.delta, _SURFACE.medium.beta)
    form = ba.Cylinder(5, 6) if shape == "cylinder" else ba.Sphere(5)  # nm
    top = ba.Layer(ba.Vacuum())
    top.deposit2D(ba.Dilute2D(1e-6, ba.Particle(particle, form)))
    sample = ba.Sample()
    sample.addLayer(top)
    sample.addLayer(ba.Layer(substrate))
    detector = ba.SphericalDetector(n, 0.0, phi_edge, m, *exit_edges)
    beam = ba.Beam(1e12, 0.1, _SURFACE.incidence_rad)
    found = np.array(ba.ScatteringSimulation(beam, sample, detector).simulate().intensities()).reshape(m, n)
    exit_rad = exit_edges[0] + (np.arange(m) + 0.5) / m * np.diff(exit_edges)
    phi = (np.arange(n) + 0.5) / n * phi_edge
    made = _ours(shape, exit_rad, phi)
    bright = made > 1e-3 * made.max()
    ratio = (made / found)[bright]
    np.testing.assert_allclose(ratio / np.median(ratio), 1.0, atol=0.02)


def test_yoneda_is_at_the_critical_angle_and_total_reflection_below_it() -> None:
    medium = dwba.Medium(5e-6, 5e-9)
    angles = np.linspace(1e-4, 0.01, 4000)
    factor = dwba.transmission_factor(angles, 2 * np.pi, medium)
    assert angles[np.argmax(factor)] == pytest.approx(medium.critical_rad, rel=0.01)
    assert factor.max() == pytest.approx(4.0, rel=0.1)
    assert np.all(dwba.transmission_factor(-angles, 2 * np.pi, medium) == 0)
    mirrored = dwba.reflectivity(angles, 2 * np.pi, medium)
    assert mirrored[angles < 0.8 * medium.critical_rad].min() > 0.98
    # Far above: Fresnel's q⁻⁴.
    assert mirrored[-1] == pytest.approx((medium.critical_rad / (2 * angles[-1])) ** 4, rel=0.15)


@settings(max_examples=40)
@given(st.floats(1e-4, 2e-2), st.floats(1e-7, 3e-5), st.floats(1e-3, 0.5))
def test_energy_is_kept_at_an_interface_that_absorbs_nothing_or_lost_where_it_does(
    angle: float, delta: float, absorption: float
) -> None:
    k = 2 * np.pi
    outer = np.array(k * np.sin(angle))
    for beta in (0.0, absorption * delta):
        inner = dwba.normal_wavevector(outer.astype(complex), k, dwba.Medium(delta, beta))
        r = dwba.reflection(outer, inner)
        passed = abs(1 + r) ** 2 * inner.real / outer
        if beta == 0:
            assert abs(r) ** 2 + passed == pytest.approx(1.0, abs=1e-9)
        else:
            assert abs(r) ** 2 <= 1.0
