"""The peaks featurizer against numpy and scipy.ndimage, and on frames whose spots are known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage
from sweeper.featurizers.peaks import FEATURIZER, find_spots, spacings, tiles_of

from sweeper.api import PreparedFrame
from sweeper.data.intensity import prepare

Floats = NDArray[np.float64]


def _features(frame: PreparedFrame, snr: int = 6) -> dict[str, float]:
    row = FEATURIZER.compute(frame, [{"snr": snr}])[0]
    return dict(zip(FEATURIZER.columns({"snr": snr}), row.tolist(), strict=True))


def _expected(shape: tuple[int, int], level: float, spots: int, width: float, seed: int) -> Floats:
    """Return a halo of `level` counts with spots of forty noises, well apart and away from the edges."""
    rng = np.random.default_rng(seed)
    y, x = np.indices(shape, dtype=float)
    expected = level * (1 + np.exp(-np.hypot(y - shape[0] / 2, x - shape[1] / 3) / 90))
    cell = 24
    cells = [(i, j) for i in range(1, shape[0] // cell - 1) for j in range(1, shape[1] // cell - 1)]
    for k in rng.permutation(len(cells))[:spots]:
        row, column = (cell * (n + 0.5) + rng.uniform(-4, 4) for n in cells[k])
        light = np.exp(-((y - row) ** 2 + (x - column) ** 2) / (2 * width**2))
        expected += 40 * np.sqrt(level + 1) * max(width, 1.0) * light / light.sum() * 2 * np.pi * width
    return expected


def _frame(expected: Floats, seed: int, mask: NDArray[np.bool_] | None = None) -> PreparedFrame:
    return prepare(np.random.default_rng(seed).poisson(expected).astype(np.uint32), {}, mask)


# --------------------------------------------------------------------------- an independent reference


def _reference_tiles(counts: Floats, valid: NDArray[np.bool_]) -> tuple[Floats, Floats]:
    rows, columns = tiles_of(counts.shape)
    limits, floors = np.zeros((rows, columns)), np.zeros((rows, columns))
    smallest = counts[counts > 0].min()
    edges_y = [i * counts.shape[0] // rows for i in range(rows + 1)]
    edges_x = [j * counts.shape[1] // columns for j in range(columns + 1)]
    for i in range(rows):
        step = 2 if edges_y[i + 1] - edges_y[i] >= 32 else 1
        for j in range(columns):
            tile = np.s_[edges_y[i] : edges_y[i + 1] : step, edges_x[j] : edges_x[j + 1]]
            values = counts[tile][valid[tile]]
            floors[i, j] = smallest if (values == 0).sum() > values.size / 32 else 0
            every = values
            for deviations in (1.5, 3, 3):
                values = every[every <= values.mean() + deviations * values.std()]
            limits[i, j] = values.mean() + 4 * np.hypot(values.std(), floors[i, j])
    return limits, floors


def _reference_spots(frame: PreparedFrame) -> list[list[float]]:
    """Return row, column, pixels, signal, signal to noise and both axes of each spot, in order of rows."""
    counts, valid = frame.counts.astype(float), frame.valid
    height, width = counts.shape
    limits, floors = _reference_tiles(counts, valid)
    places = [(np.arange(n) + 0.5) * m / n - 0.5 for n, m in zip(counts.shape, limits.shape, strict=True)]
    limit = ndimage.map_coordinates(limits, np.meshgrid(*places, indexing="ij"), order=1, mode="nearest")
    above = valid & (counts > limit)
    regions, _ = ndimage.label(above, np.ones((3, 3)))
    free = ndimage.binary_erosion(valid, np.ones((3, 3)))
    spots = []
    for k, (ys, xs) in enumerate(ndimage.find_objects(regions), start=1):
        y, x = np.nonzero(regions == k)
        top = np.argmax(counts[y, x])
        near = np.s_[max(0, ys.start - 3) : ys.stop + 3, max(0, xs.start - 3) : xs.stop + 3]
        around = counts[near][valid[near] & ~above[near]]
        if y.size > 256 or around.size < 8 or not free[y[top], x[top]]:
            continue
        floor = floors[y[top] * floors.shape[0] // height, x[top] * floors.shape[1] // width]
        signal = counts[y, x] - around.mean()
        weight = np.maximum(signal, 0) / np.maximum(signal, 0).sum()
        row, column = (weight * y).sum(), (weight * x).sum()
        offsets = np.stack([y - row, x - column])
        axes = np.linalg.eigvalsh((weight * offsets) @ offsets.T) + 1 / 12
        ratio = signal.sum() / (np.hypot(around.std(), floor) * np.sqrt(y.size))
        spots.append([row, column, y.size, signal.sum(), ratio, *np.sqrt(axes[::-1])])
    return sorted(spots)


@pytest.mark.parametrize("shape", [(300, 411), (1060, 520)])
@pytest.mark.parametrize(("level", "width"), [(0.05, 0.6), (2.0, 2.5), (300.0, 1.0)])
def test_spots_are_those_of_an_independent_reference(
    shape: tuple[int, int], level: float, width: float
) -> None:
    expected = _expected(shape, level, 60, width, seed=3)
    mask = np.zeros(shape, bool)
    mask[140:147], mask[:, 200:203] = True, True
    mask[np.random.default_rng(4).random(shape) < 0.002] = True
    expected[60:63, 20:160] += 60 * (level + 1)  # a streak, too large for a spot
    frame = _frame(expected, 5, mask)
    found = sorted(find_spots(frame).spots.tolist())
    reference = _reference_spots(frame)
    assert len(found) == len(reference) > 40
    np.testing.assert_allclose(found, reference, rtol=1e-5, atol=1e-6)
    assert find_spots(frame).large >= 1


# --------------------------------------------------------------------------- what users rely on


@pytest.mark.parametrize("level", [0.01, 0.3, 3, 100, 3000])
@pytest.mark.parametrize("width", [0.5, 1.0, 2.5])
def test_spots_of_one_pixel_and_of_ten_are_counted_at_any_brightness(level: float, width: float) -> None:
    frame = _frame(_expected((480, 480), level, 80, width, seed=1), seed=2)
    found = find_spots(frame).spots
    assert 72 <= np.count_nonzero(found[:, 4] >= 6) <= 84


@pytest.mark.parametrize("level", [0.001, 0.1, 1, 10, 1000])
def test_noise_has_hardly_a_spot(level: float) -> None:
    frame = _frame(_expected((1000, 1000), level, 0, 1.0, seed=1), seed=7)
    assert np.count_nonzero(find_spots(frame).spots[:, 4] >= 6) <= 12
    assert np.count_nonzero(find_spots(frame).spots[:, 4] >= 8) == 0


def test_rings_slopes_and_shadows_hardly_have_a_spot() -> None:
    y, x = np.indices((600, 500))
    radius = np.hypot(y - 280, x - 260)
    expected = 50 + 4000 * np.exp(-radius / 25) + 400 * np.exp(-(((radius - 180) / 4) ** 2))
    expected[300:320, :250] = 0.5  # the arm of a beamstop
    frame = _frame(expected, seed=0)
    assert np.count_nonzero(find_spots(frame).spots[:, 4] >= 8) <= 8


@pytest.mark.parametrize("factor", [0.001, 7.0, 1000.0])
def test_features_do_not_depend_on_the_unit_of_counts(factor: float) -> None:
    counts = np.random.default_rng(2).poisson(_expected((400, 400), 2, 50, 1.2, seed=1)).astype(np.float64)
    settings = {"hot_pixels": "keep"}
    expected, found = _features(prepare(counts, settings)), _features(prepare(counts * factor, settings))
    assert found == pytest.approx(expected, rel=1e-3, abs=1e-3)


def test_features_do_not_depend_on_a_pedestal() -> None:
    counts = np.random.default_rng(2).poisson(_expected((400, 400), 60, 50, 1.2, seed=1)).astype(np.float64)
    expected, found = _features(prepare(counts, {})), _features(prepare(counts + 500, {}))
    del expected["intensity_share"], found["intensity_share"], expected["large_intensity"]
    del found["large_intensity"]
    assert found == pytest.approx(expected, rel=1e-3, abs=1e-3)


def test_what_stands_in_gaps_does_not_matter_and_their_edges_are_left_out() -> None:
    expected = _expected((480, 480), 5, 80, 1.0, seed=1)
    counts = np.random.default_rng(3).poisson(expected).astype(np.uint32)
    counts[200, 100:110] = 5000  # bright pixels along a gap
    mask = np.zeros(counts.shape, bool)
    mask[201:208] = True
    before = find_spots(prepare(counts, {}, mask))
    counts[mask] = 60_000
    after = find_spots(prepare(counts, {}, mask))
    np.testing.assert_array_equal(before.spots, after.spots)
    assert before.left_out >= 1
    assert not ((np.abs(before.spots[:, 0] - 200) < 1) & (before.spots[:, 1] < 112)).any()


@pytest.mark.parametrize("quarters", [1, 2])
def test_features_hardly_depend_on_how_the_detector_was_mounted(quarters: int) -> None:
    counts = np.random.default_rng(2).poisson(_expected((384, 512), 4, 60, 1.2, seed=1)).astype(np.uint32)
    turned = np.ascontiguousarray(np.rot90(counts, quarters))
    assert _features(prepare(turned, {})) == pytest.approx(_features(prepare(counts, {})), abs=0.02)


def test_a_lattice_is_told_from_spots_at_random_and_from_clusters() -> None:
    rng = np.random.default_rng(0)
    y, x = (axis.ravel() for axis in np.meshgrid(np.arange(6) * 40.0, np.arange(6) * 55.0, indexing="ij"))
    lattice = np.zeros((36, 7))
    lattice[:, 0], lattice[:, 1] = y + 0.3 * x + rng.normal(0, 0.5, 36), x + rng.normal(0, 0.5, 36)
    at_random, clusters = np.zeros((36, 7)), np.zeros((36, 7))
    at_random[:, :2] = rng.uniform(0, 280, (36, 2))
    clusters[:, :2] = rng.uniform(0, 280, (6, 1, 2)).repeat(6, 1).reshape(36, 2) + rng.normal(0, 2, (36, 2))
    area = 280.0 * 280.0
    (a, _, again), (b, _, by_chance), (c, _, _) = (spacings(s, area) for s in (lattice, at_random, clusters))
    assert a > 1.4 > 1.25 > b > 0.8 > 0.5 > c
    assert again > 0.5 > 0.2 > by_chance


def test_a_higher_threshold_keeps_fewer_spots() -> None:
    frame = _frame(_expected((480, 480), 5, 80, 1.0, seed=1), seed=2)
    rows = FEATURIZER.compute(frame, [{"snr": 5}, {"snr": 20}, {"snr": 6}])
    assert rows[0][0] >= rows[2][0] > rows[1][0]
    np.testing.assert_array_equal(rows[2], FEATURIZER.compute(frame, [{"snr": 6}])[0])


@pytest.mark.parametrize("counts", [np.zeros((40, 50)), np.full((40, 50), 7.0), np.ones((3, 3))])
def test_flat_and_tiny_frames_have_no_spots(counts: Floats) -> None:
    found = _features(prepare(counts, {}))
    assert found["number"] == 0
    assert all(np.isfinite(value) for value in found.values())


def test_tiles_without_a_valid_pixel_take_their_neighbours_background() -> None:
    counts = np.random.default_rng(3).poisson(_expected((480, 480), 5, 80, 1.0, seed=1)).astype(np.uint32)
    mask = np.zeros(counts.shape, bool)
    mask[100:260, 100:260] = True
    whole, holed = find_spots(prepare(counts, {})), find_spots(prepare(counts, {}, mask))
    assert 0.6 < len(holed.spots) / len(whole.spots) < 1
