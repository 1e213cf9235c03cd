"""The symmetry featurizer against plain loops, and on patterns whose geometry is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sweeper.featurizers import _symmetry_kernels as kernels
from sweeper.featurizers import symmetry
from sweeper.featurizers.symmetry import FEATURIZER

from sweeper.data.intensity import prepare

Floats = NDArray[np.float64]

_seeds = st.integers(0, 2**32 - 1)


def _features(counts: NDArray[np.uint16], mask: NDArray[np.bool_] | None = None) -> dict[str, float]:
    row = FEATURIZER.compute(prepare(counts, {}, mask), [{"grid": 48}])[0]
    return dict(zip(FEATURIZER.columns({"grid": 48}), row.tolist(), strict=True))


def _some(seed: int) -> tuple[Floats, NDArray[np.bool_]]:
    rng = np.random.default_rng(seed)
    shape = tuple(rng.integers(9, 20, 2))
    return rng.random(shape), rng.random(shape) < 0.8


@settings(max_examples=30, deadline=None)
@given(_seeds)
def test_cells_hold_the_mean_of_their_pixels(seed: int) -> None:
    rng = np.random.default_rng(seed)
    image = rng.random((37, 23)).astype(np.float32)
    valid = rng.random(image.shape) < 0.5
    total, number = kernels.reduce_cells(image, valid, 5, 4)
    for r in range(5):
        for c in range(4):
            rows = [i for i in range(37) if i * 5 // 37 == r]
            columns = [j for j in range(23) if j * 4 // 23 == c]
            block, known = image[np.ix_(rows, columns)], valid[np.ix_(rows, columns)]
            assert number[r, c] == known.sum()
            assert total[r, c] == pytest.approx(float(block[known].astype(float).sum()))


@settings(max_examples=30, deadline=None)
@given(_seeds, st.floats(-10, 30), st.floats(-10, 30))
def test_roundness_is_the_corrected_share_of_variance_between_rings(
    seed: int, row: float, column: float
) -> None:
    image, known = _some(seed)
    y, x = (place.astype(float) for place in np.nonzero(known))
    radius = np.hypot(y - row, x - column)
    ring = ((radius - radius.min()) * (6 / (radius.max() - radius.min() + 1e-9))).astype(int)
    values = image[known]
    within = sum(((values[ring == k] - values[ring == k].mean()) ** 2).sum() for k in set(ring))
    n, used = values.size, len(set(ring))
    expected = 1 - within / (n - used) / (((values - values.mean()) ** 2).sum() / (n - 1))
    assert kernels.roundness(values, y, x, row, column, 6) == pytest.approx(max(0, expected), abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(_seeds, st.integers(8, 22))
def test_mirror_is_pearsons_correlation_over_pairs(seed: int, axis2: int) -> None:
    image, known = _some(seed)
    pairs = [
        (image[i, j], image[i, axis2 - j])
        for i in range(image.shape[0])
        for j in range(image.shape[1])
        if 0 <= axis2 - j < image.shape[1] and axis2 != 2 * j and known[i, j] and known[i, axis2 - j]
    ]
    found, share = kernels.mirror(image, known, axis2)
    if len(pairs) < 16:
        assert (found, share) == (0.0, 0.0)
    else:
        assert found == pytest.approx(np.corrcoef(np.array(pairs).T)[0, 1], abs=1e-9)
        assert share == pytest.approx(len(pairs) / image.size)


@settings(max_examples=30, deadline=None)
@given(_seeds, st.integers(2, 8))
def test_step_is_the_mean_difference_of_rows_and_its_agreement(seed: int, edge: int) -> None:
    image, known = _some(seed)
    differences = []
    for j in range(image.shape[1]):
        above = [image[i, j] for i in (edge - 2, edge - 1) if known[i, j]]
        below = [image[i, j] for i in (edge, edge + 1) if i < image.shape[0] and known[i, j]]
        if above and below:
            differences.append(np.mean(above) - np.mean(below))
    mean, agree = kernels.step(image, known, edge, 2)
    if len(differences) >= 0.25 * image.shape[1]:
        d = np.array(differences)
        assert mean == pytest.approx(d.mean())
        assert agree == pytest.approx((d > 0.01).mean() - (d < -0.01).mean())


@settings(max_examples=30, deadline=None)
@given(_seeds, st.integers(2, 8))
def test_a_level_line_is_a_tilted_one_without_slope(seed: int, edge: int) -> None:
    image, known = _some(seed)
    assert kernels.tilted_step(image, known, edge, 2, 0.0) == kernels.step(image, known, edge, 2)


@settings(max_examples=30, deadline=None)
@given(_seeds, st.floats(-4, 22), st.floats(-4, 22), st.booleans(), st.booleans())
def test_pairs_are_correlated_as_pearson_has_it(
    seed: int, row: float, column: float, turned: bool, flipped: bool
) -> None:
    image, known = _some(seed)
    pairs = []
    for i in range(image.shape[0]):
        for j in range(image.shape[1]):
            k = int(np.floor(2 * row - i + 0.5)) if flipped else i
            m = int(np.floor(2 * column - j + 0.5)) if turned else j
            inside = 0 <= k < image.shape[0] and 0 <= m < image.shape[1]
            if known[i, j] and inside and known[k, m]:
                pairs.append((image[i, j], image[k, m]))
    found, share = kernels.paired(image, known, row, column, turned, flipped)
    if len(pairs) < 16:
        assert (found, share) == (0.0, 0.0)
    else:
        assert found == pytest.approx(np.corrcoef(np.array(pairs).T)[0, 1], abs=1e-9)
        assert share == pytest.approx(len(pairs) / known.sum())


def _rings(shape: tuple[int, int], row: float, column: float) -> NDArray[np.uint16]:
    y, x = np.indices(shape)
    radius = np.hypot(y - row, x - column)
    rng = np.random.default_rng(0)
    return rng.poisson(40 + 400 * np.exp(-0.5 * ((radius % 40 - 20) / 4) ** 2)).astype(np.uint16)


@pytest.mark.parametrize("centre", [(100.0, 70.0), (20.0, 160.0), (-60.0, 90.0), (100.0, 290.0)])
def test_the_centre_of_rings_is_found_in_the_frame_and_beside_it(centre: tuple[float, float]) -> None:
    frame = prepare(_rings((192, 192), *centre), {})
    total, number = kernels.reduce_cells(frame.image, frame.valid, 48, 48)
    row, column, round_about = symmetry.find_centre(total / number, number > 0)
    assert (row * 4 + 1.5, column * 4 + 1.5) == pytest.approx(centre, abs=5.0)
    assert round_about > 0.75


def _over_a_horizon(shape: tuple[int, int] = (192, 144)) -> NDArray[np.uint16]:
    """A rod over a horizon at three quarters of the height, and nothing but noise below."""
    y, x = np.indices(shape)
    height = 0.75 * shape[0] - y
    across = (x - 0.4 * shape[1]) / (0.05 * shape[1] + 0.2 * np.abs(height))
    rng = np.random.default_rng(1)
    return rng.poisson(np.where(height > 0, 20 + 500 * np.exp(-(across**2) - height / 40), 1.0)).astype(
        np.uint16
    )


def test_a_horizon_is_found_with_its_height_and_one_mirror_line() -> None:
    found = _features(_over_a_horizon())
    assert found["horizon_agreement"] > 0.9
    assert found["horizon_place"] == pytest.approx(0.75, abs=0.03)
    assert found["dark_mean"] < 0.1 < found["lit_mean"]
    assert found["mirror_across"] > 0.8
    assert found["mirror_along"] < found["mirror_across"] - 0.2
    assert found["aspect"] == pytest.approx(0.75)


def test_rings_have_two_mirror_lines_and_no_horizon() -> None:
    found = _features(_rings((192, 192), 96, 96))
    assert found["roundness"] > 0.8
    assert min(found["mirror_across"], found["mirror_along"]) > 0.8
    assert found["curve_peaks"] >= 2
    assert found["curve_rough"] > 3 * _features(_over_a_horizon())["curve_rough"]


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_features_do_not_depend_on_how_the_detector_was_mounted(quarters: int) -> None:
    upright, turned = _over_a_horizon(), np.ascontiguousarray(np.rot90(_over_a_horizon(), quarters))
    expected, found = _features(upright), _features(turned)
    assert found == pytest.approx(expected, abs=1e-6)


def test_a_horizon_is_told_from_where_it_looks() -> None:
    upright = _over_a_horizon()
    frame = prepare(upright, {})
    cells, number = kernels.reduce_cells(frame.image, frame.valid, 48, 36)
    assert symmetry.upright(cells / number, number > 0)[2] == 0
    for quarters in (1, 2, 3):
        turned = np.ascontiguousarray(np.rot90(cells / number, quarters))
        back = symmetry.upright(turned, np.ones(turned.shape, bool))
        assert (back[2] + quarters) % 4 == 0
        np.testing.assert_array_equal(back[0], cells / number)


def test_a_tilted_horizon_is_followed() -> None:
    y, x = np.indices((192, 192))
    rng = np.random.default_rng(2)

    def above(slope: float) -> dict[str, float]:
        lit = y < 120 + slope * (x - 96)
        return _features(rng.poisson(np.where(lit, 300, 3)).astype(np.uint16))

    level, tilted = above(0.0), above(0.12)
    assert tilted["tilt"] == pytest.approx(0.12)
    assert tilted["tilted_gain"] > 0.1 > level["tilted_gain"]
    assert level["step_up"] < 0.1


def test_a_rod_and_the_band_over_a_horizon_are_found() -> None:
    y, x = np.indices((192, 192))
    height = 140 - y
    band = 200 * np.exp(-0.5 * ((height - 10) / 4) ** 2)
    rod = 400 * np.exp(-0.5 * ((x - 80) / 3) ** 2)
    rng = np.random.default_rng(3)
    plain = np.where(height > 0, 40.0, 2.0)
    with_both = rng.poisson(np.where(height > 0, plain + band + rod, 2.0)).astype(np.uint16)
    found, without = _features(with_both), _features(rng.poisson(plain).astype(np.uint16))
    assert found["yoneda"] > without["yoneda"] + 0.1
    assert found["rod_height"] > without["rod_height"] + 0.2
    assert found["rod_width"] < 0.15


@pytest.mark.parametrize("corner", [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_a_quarter_of_rings_is_described_as_all_of_them(corner: tuple[int, int]) -> None:
    whole = _rings((288, 288), 143.5, 143.5)
    part = np.ascontiguousarray(
        whole[144 * corner[0] : 144 * (corner[0] + 1), 144 * corner[1] : 144 * (corner[1] + 1)]
    )
    expected, found = _features(whole), _features(part)
    assert found["roundness"] > 0.8
    assert found["ring_number"] == pytest.approx(expected["ring_number"], abs=0.41)  # one more or less
    assert found["ring_highest"] == pytest.approx(expected["ring_highest"], rel=0.3)
    assert found["radial_gradients"] > 0.8
    assert found["zone2_uneven"] < 0.2
    assert max(found["ring_gaps"], expected["ring_gaps"]) < 0.2


def test_arcs_are_told_from_rings() -> None:
    y, x = np.indices((192, 192))
    radius, angle = np.hypot(y - 96, x - 96), np.arctan2(y - 96, x - 96)
    rng = np.random.default_rng(4)
    ring = 300 * np.exp(-0.5 * ((radius - 60) / 4) ** 2)
    rings = _features(rng.poisson(20 + ring).astype(np.uint16))
    arcs = _features(rng.poisson(20 + ring * (np.cos(angle) ** 8)).astype(np.uint16))
    assert arcs["ring_uneven"] > rings["ring_uneven"] + 0.5
    assert arcs["ring_gaps"] > 0.3 > rings["ring_gaps"]
    assert arcs["point_rest"] > 0.6  # even about the beam, as all patterns in transmission


def test_a_power_law_has_its_exponent() -> None:
    y, x = np.indices((192, 192))
    radius = np.hypot(y - 96, x - 96)
    rng = np.random.default_rng(5)
    found = _features(np.minimum(rng.poisson(1e7 * np.maximum(radius, 3) ** -2.0), 65_535).astype(np.uint16))
    assert found["decay_inner"] == pytest.approx(-2, abs=0.35)  # far from the faintest counts
    assert found["decay_outer"] < found["decay_inner"]
    assert found["decay_falls"] > 0.95
    assert found["ring_number"] == 0


def test_features_do_not_depend_on_the_frames_size() -> None:
    small = _rings((192, 192), 80, 100)
    large = np.repeat(np.repeat(small, 2, 0), 2, 1)
    expected, found = _features(small), _features(large)
    assert found == pytest.approx(expected, abs=0.02)


def test_gaps_and_what_stands_in_them_do_not_matter() -> None:
    counts = _over_a_horizon()
    mask = np.zeros(counts.shape, bool)
    mask[60:64], mask[:, 70:73] = True, True
    expected = _features(counts, mask)
    counts[mask] = 60_000
    assert _features(counts, mask) == expected
    whole = _features(_over_a_horizon())
    for name in ("roundness", "mirror_across", "horizon_agreement", "horizon_place", "lit_mean"):
        assert expected[name] == pytest.approx(whole[name], abs=0.1)


def test_nothing_is_said_of_a_handful_of_pixels() -> None:
    assert set(_features(np.ones((3, 3), np.uint16)).values()) == {0.0}
