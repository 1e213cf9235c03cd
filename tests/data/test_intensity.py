"""Counts to prepared frames: against numpy, against brute force, and as properties."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sweeper.data.intensity import AXES, prepare, resolve
from sweeper.data.validity import valid_pixels

PLAIN = {"hot_pixels": "keep", "scale": "linear", "clip_low": 0, "clip_high": 100}


def poisson(shape, mean=20.0, seed=0):
    return np.random.default_rng(seed).poisson(mean, shape)


# --------------------------------------------------------------------------- settings


def test_defaults_are_legal_and_complete():
    assert resolve({}) == {
        "negative": "masked",
        "hot_pixels": "reject",
        "bin": 1,
        "resample": None,
        "scale": "log1p",
        "clip_low": 0.1,
        "clip_high": 99.9,
        "levels": 256,
    }
    assert len(AXES) == 8


@pytest.mark.parametrize(
    ("params", "rule"),
    [
        ({"bin": 3}, "bin must be one of 1, 2, 4, 8, got 3"),
        ({"levels": 257}, "levels must be a whole number from 2 to 256, got 257"),
        ({"levels": 16.0}, "levels must be"),
        ({"clip_low": -1}, "clip_low must be a number from 0 to 50"),
        ({"clip_high": 49.0}, "clip_high must be a number from 50 to 100"),
        ({"scale": "sqrt"}, "scale must be one of log1p, linear"),
        ({"hot_pixels": True}, "hot_pixels must be one of reject, keep"),
        ({"bins": 2}, "parameter must be one of negative"),
    ],
)
def test_bad_settings(params, rule):
    with pytest.raises(ValueError, match=rule):
        prepare(poisson((8, 8)), params)


def test_frame_smaller_than_the_bin():
    with pytest.raises(ValueError, match=r"bin must be at most the frame's size, \(3, 9\), got 4"):
        prepare(poisson((3, 9)), {"bin": 4})


def test_frame_without_a_valid_pixel():
    with pytest.raises(ValueError, match="no valid pixel"):
        prepare(np.full((4, 4), np.nan), {})


# --------------------------------------------------------------------------- invalid pixels


@pytest.mark.parametrize(
    ("dtype", "bad", "good"),
    [
        ("uint8", [], [0, 255]),
        ("uint16", [2**16 - 1], [0, 2**16 - 2]),
        ("uint32", [2**32 - 1], [0, 2**16 - 1, 2**32 - 2]),
        ("uint64", [2**32 - 1, 2**64 - 1], [0, 2**16 - 1]),
        ("int16", [-1, -2, -(2**15)], [0, 2**15 - 1]),
        ("int32", [-1, -2, -(2**31)], [0, 2**16 - 1, 2**31 - 1]),
        ("int64", [-1, -2, 2**32 - 1], [0, 2**16 - 1, 2**32 - 2]),
        ("float16", [np.nan, np.inf, -np.inf, -1], [0, 0.5, 65504]),
        ("float32", [np.nan, np.inf, -np.inf, -1, -2, 2**32 - 1], [0.5, 3e38]),
        ("float64", [np.nan, np.inf, 1e300, -1, 2**32 - 1], [1e-300, 3e38, 2**32 - 2]),
    ],
)
def test_sentinels(dtype, bad, good):
    counts = np.array([[*bad, *good]], dtype=dtype)
    np.testing.assert_array_equal(valid_pixels(counts), [[False] * len(bad) + [True] * len(good)])


@pytest.mark.parametrize("dtype", ["int16", "int32", "float32"])
def test_negative_counts_can_be_valid(dtype):
    counts = np.array([[-1, -2, -300, 4]], dtype=dtype)
    assert valid_pixels(counts, "valid").all()
    assert valid_pixels(counts, "masked").tolist() == [[False, False, False, True]]
    frame = prepare(np.repeat(counts, 3, axis=0), {**PLAIN, "negative": "valid"})
    np.testing.assert_allclose(frame.image[0], (counts[0] + 300) / 304, rtol=1e-6)
    np.testing.assert_array_equal(frame.counts[0], counts[0])


def test_mask_of_another_shape_names_both():
    with pytest.raises(ValueError, match=r"mask must have the shape of the frame, \(8, 9\), got \(9, 8\)"):
        prepare(poisson((8, 9)), {}, np.zeros((9, 8), np.bool_))


# --------------------------------------------------------------------------- hot pixels


@pytest.mark.parametrize("background", [0, 1, 30, 400])
@pytest.mark.parametrize("where", [(10, 10), (0, 12), (31, 7), (15, 0)])
def test_hot_pixels_are_rejected_in_the_field_and_at_the_edge(background, where):
    counts = poisson((32, 32), background, seed=background + where[0]).astype(np.int32)
    counts[where] = 100_000
    frame = prepare(counts, {})
    assert not frame.valid[where]
    assert frame.counts[where] == 0
    assert np.count_nonzero(~frame.valid) == 1
    assert prepare(counts, {"hot_pixels": "keep"}).valid.all()


def spot(width_px, total, at, background, seed):
    """A Bragg spot: Gaussian point spread of a full width at half maximum, with Poisson noise."""
    sigma = width_px / (2 * math.sqrt(2 * math.log(2)))
    edges = np.arange(22) - 0.5
    profile = [
        np.diff([0.5 * math.erf((e - c) / (sigma * math.sqrt(2))) for e in edges])
        for c in (10 + at[0], 10 + at[1])
    ]
    mean = background + total * np.outer(*profile)
    return np.random.default_rng(seed).poisson(mean).astype(np.int32)


@pytest.mark.parametrize("width_px", [0.75, 0.8, 1.0, 1.5, 3.0])
@pytest.mark.parametrize("total", [100, 500, 2_000, 20_000, 1_000_000, 50_000_000])
@pytest.mark.parametrize("background", [0, 3, 100])
def test_bragg_spots_survive(width_px, total, background):
    for seed, at in enumerate([(0, 0), (0.25, 0), (0.5, 0.5), (-0.3, 0.45), (0, 0), (0, 0)]):
        counts = spot(width_px, total, at, background, seed)
        assert prepare(counts, {}).valid.all(), f"centre {at}"


def test_single_photons_survive():
    counts = (np.random.default_rng(0).random((64, 64)) < 0.01).astype(np.uint16)
    counts[5, 5] = 60
    assert prepare(counts, {}).valid.all()


@pytest.mark.parametrize("mean", [0.01, 1, 50, 5_000, 500_000])
def test_poisson_noise_is_never_hot(mean):
    assert prepare(poisson((256, 256), mean).astype(np.int32), {}).valid.all()


def test_hot_pixels_beside_masked_pixels_are_judged_by_the_valid_ones():
    counts = poisson((32, 32), 10).astype(np.int32)
    counts[:, 16] = -1
    counts[8, 15] = counts[20, 17] = 1_000_000
    frame = prepare(counts, {})
    assert not frame.valid[8, 15]
    assert not frame.valid[20, 17]
    counts[7, 15] = counts[9, 15] = -1  # one valid pixel beside it is left: no judgement
    assert prepare(counts, {}).valid[8, 15]


def test_hot_pixel_no_longer_rules_the_scale():
    counts = poisson((64, 64), 20).astype(np.int32)
    clean = prepare(counts, {**PLAIN, "hot_pixels": "reject"})
    counts[30, 30] = 4_190_000
    hot = prepare(counts, {**PLAIN, "hot_pixels": "reject"})
    assert np.unique(hot.quantised).size > 20
    assert np.unique(prepare(counts, PLAIN).quantised).size == 2
    others = hot.valid
    np.testing.assert_array_equal(hot.image[others], clean.image[others])


def hot_by_definition(counts, valid):
    """The rule of ``reject_hot_pixels``, pixel by pixel."""
    hot = np.zeros(counts.shape, bool)
    for row, column in np.argwhere(valid):
        around = [(row + r, column + c) for r in (-1, 0, 1) for c in (-1, 0, 1) if (r, c) != (0, 0)]
        known = [(r, c) for r, c in around if 0 <= r < len(valid) and 0 <= c < valid.shape[1] and valid[r, c]]
        if sum(r == row or c == column for r, c in known) < 3:
            continue
        others = [float(counts[place]) for place in known]
        excess = (float(counts[row, column]) - min(others)) / 20
        hot[row, column] = excess > max(others) - min(others) + 5 * math.sqrt(max(*others, 1))
    return hot


@pytest.mark.parametrize("background", [0, 3, 90, 700, 40_000])
@pytest.mark.parametrize("offset", [0, -60])
def test_hot_pixels_are_those_of_the_definition(background, offset):
    rng = np.random.default_rng(background)
    found = 0
    for shape in [(1, 9), (7, 1), (24, 70)]:
        counts = poisson(shape, background, seed=background).astype(np.float64) + offset
        for height in (80, 99, 101, 150, 500, 5_000, 60_000, 4e6):
            counts[tuple(rng.integers(0, shape))] += height * rng.choice([0.99, 1, 1.01])
        mask = rng.random(shape) < 0.05
        valid = valid_pixels(counts, "valid", mask)
        hot = hot_by_definition(counts, valid)
        frame = prepare(counts, {"negative": "valid"}, mask)
        np.testing.assert_array_equal(frame.valid, valid & ~hot)
        found += np.count_nonzero(hot)
    assert found > 0


def test_levels_are_those_of_the_image():
    """Both are looked up by whole counts, each on its own."""
    counts = np.minimum(poisson((50, 70), 30_000) * poisson((50, 70), 0.9, seed=1), 65_535).astype(np.uint16)
    for levels in (2, 16, 256):
        frame = prepare(counts, {"levels": levels}, np.random.default_rng(0).random(counts.shape) < 0.1)
        wanted = np.minimum(np.floor(frame.image * np.float32(levels)), levels - 1)
        np.testing.assert_array_equal(frame.quantised, wanted)
        other = dataclasses.replace(frame, image=1 - frame.image)
        np.testing.assert_array_equal(
            other.quantised, np.minimum(np.floor(other.image * np.float32(levels)), levels - 1)
        )


# --------------------------------------------------------------------------- binning


@pytest.mark.parametrize("size", [1, 2, 4, 8])
@pytest.mark.parametrize("shape", [(16, 24), (17, 27), (8, 31)])
def test_binning_against_brute_force(size, shape):
    counts = poisson(shape).astype(np.float64)
    rng = np.random.default_rng(1)
    mask = rng.random(shape) < 0.3
    mask[:8, :8] = True
    frame = prepare(counts, {**PLAIN, "bin": size}, mask)
    rows, columns = -(-shape[0] // size), -(-shape[1] // size)
    assert frame.counts.shape == (rows, columns)
    for i in range(rows):
        for j in range(columns):
            part = (slice(i * size, (i + 1) * size), slice(j * size, (j + 1) * size))
            valid = counts[part][~mask[part]]
            assert frame.valid[i, j] == (valid.size > 0)
            wanted = valid.mean() if valid.size else 0
            assert frame.counts[i, j] == pytest.approx(wanted, rel=1e-6)
    assert not frame.valid[0, 0]


# --------------------------------------------------------------------------- resampling


def by_repetition(values, rows, columns):
    """Sums over the areas of (rows, columns) new pixels, on a grid that divides both old and new ones."""
    height, width = values.shape
    fine = np.repeat(np.repeat(values, rows, 0), columns, 1)
    return fine.reshape(rows, height, columns, width).sum(axis=(1, 3))


@pytest.mark.parametrize("shape", [(31, 50), (50, 31), (7, 200), (160, 128)])
def test_resampling_against_repetition(shape):
    counts = poisson(shape).astype(np.float64)
    mask = np.random.default_rng(1).random(shape) < 0.3
    mask[:4, :20] = True
    frame = prepare(counts, {**PLAIN, "resample": 128}, mask)
    rows, columns = (max(1, round(n * 128 / max(shape))) for n in shape)
    assert frame.counts.shape == (rows, columns) and max(rows, columns) == 128
    total, area = (by_repetition(np.where(mask, 0, v), rows, columns) for v in (counts, np.ones(shape)))
    np.testing.assert_array_equal(frame.valid, area > 0)
    np.testing.assert_allclose(frame.counts, total / np.maximum(area, 1), rtol=1e-6)


def test_without_resampling_a_frame_is_as_it_was():
    counts = poisson((31, 50))
    np.testing.assert_array_equal(prepare(counts, {"resample": None}).image, prepare(counts, {}).image)


def test_frames_of_one_scene_look_alike_whatever_the_pixels_of_the_detector():
    y, x = np.indices((300, 400)) / 400
    scene = 1000 * (1 + np.sin(20 * x) * np.cos(15 * y))
    coarse = scene.reshape(150, 2, 200, 2).sum(axis=(1, 3))
    fine, rough = (prepare(frame, {"resample": 128}).image for frame in (scene, coarse))
    assert fine.shape == rough.shape
    np.testing.assert_allclose(fine, rough, atol=0.05)


# --------------------------------------------------------------------------- scale and percentiles


@pytest.mark.parametrize("scale", ["log1p", "linear"])
@pytest.mark.parametrize("clip", [(0, 100), (0.1, 99.9), (1, 99), (33.3, 66.6), (50, 50.5), (7, 93.7)])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "float32"])
def test_image_is_clipped_to_numpys_percentiles(scale, clip, dtype):
    rng = np.random.default_rng(4)
    counts = rng.gamma(0.7, 60, (37, 53))
    counts = counts.astype(dtype) if dtype == "float32" else np.minimum(counts, 255).astype(dtype)
    mask = rng.random(counts.shape) < 0.2
    params = {"hot_pixels": "keep", "scale": scale, "clip_low": clip[0], "clip_high": clip[1]}
    frame = prepare(counts, params, mask)
    exact = counts.astype(np.float64)
    scaled = np.log1p(exact) if scale == "log1p" else exact
    low, high = np.percentile(scaled[~mask], clip)
    wanted = np.where(mask, 0, np.clip((scaled - low) / (high - low), 0, 1))
    np.testing.assert_allclose(frame.image, wanted, rtol=1e-6, atol=1e-6)
    assert frame.image.dtype == np.float32


@given(
    values=hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 12), st.integers(1, 12)),
        elements=st.floats(-(2.0**100), 2.0**100, width=32, allow_subnormal=True),
    ),
    data=st.data(),
)
@settings(max_examples=200, deadline=None)
def test_order_statistics_are_exact(values, data):
    from sweeper.data._intensity_kernels import order_statistics

    valid = data.draw(hnp.arrays(np.bool_, values.shape))
    valid.flat[0] = True
    wanted = np.sort(values[valid].astype(np.float64))
    ranks = np.array(data.draw(st.lists(st.integers(0, wanted.size - 1), min_size=1, max_size=5)))
    np.testing.assert_array_equal(order_statistics(values, valid, ranks), wanted[ranks])


def test_large_and_fractional_counts_follow_log1p():
    counts = np.array([[0, 0.25, 1e-7, 3], [65_535, 65_536, 65_535.5, 1e9]], dtype=np.float64)
    frame = prepare(counts, {**PLAIN, "scale": "log1p"})
    np.testing.assert_allclose(frame.image, np.log1p(counts) / np.log1p(1e9), rtol=1e-6)


@pytest.mark.parametrize("value", [0, 7, 70_000])
def test_constant_frame_is_zeros(value):
    frame = prepare(np.full((9, 9), value, np.int32), {})
    assert not frame.image.any()
    assert not frame.quantised.any()
    np.testing.assert_array_equal(frame.counts, value)


def test_small_real_counts_keep_their_contrast():
    """Frames normalised to below 1e-6: 1 + counts rounds to 1 in single precision."""
    counts = np.random.default_rng(0).random((32, 32)) * 1e-9
    frame = prepare(counts, {"clip_low": 0, "clip_high": 100})
    np.testing.assert_allclose(frame.image, (counts - counts.min()) / np.ptp(counts), atol=1e-5)


# --------------------------------------------------------------------------- properties

SETTINGS = st.fixed_dictionaries(
    {
        "negative": st.sampled_from(["masked", "valid"]),
        "hot_pixels": st.sampled_from(["reject", "keep"]),
        "bin": st.sampled_from([1, 2, 4]),
        "resample": st.sampled_from([None, None, 128]),
        "scale": st.sampled_from(["log1p", "linear"]),
        "clip_low": st.floats(0, 50),
        "clip_high": st.floats(50, 100),
        "levels": st.integers(2, 256),
    }
)
DTYPES = st.sampled_from(["uint8", "uint16", "uint32", "int16", "int32", "int64", "float32", "float64"])


def frames(dtype):
    shape = st.tuples(st.integers(4, 12), st.integers(4, 12))
    return hnp.arrays(dtype, shape)


@given(counts=DTYPES.flatmap(frames), params=SETTINGS)
@settings(max_examples=300, deadline=None)
def test_prepared_frames_are_in_range_whatever_the_counts(counts, params):
    if not valid_pixels(counts, params["negative"]).any():
        with pytest.raises(ValueError, match="no valid pixel"):
            prepare(counts, params)
        return
    frame = prepare(counts, params)
    assert np.isfinite(frame.image).all()
    assert np.isfinite(frame.counts).all()
    assert frame.image.min() >= 0
    assert frame.image.max() <= 1
    assert frame.quantised.max() < params["levels"]
    assert not frame.image[~frame.valid].any()
    assert not frame.counts[~frame.valid].any()
    if params["negative"] == "masked":
        assert frame.counts.min() >= 0


@given(dtype=DTYPES, params=SETTINGS, data=st.data())
@settings(max_examples=200, deadline=None)
def test_what_lies_under_the_mask_has_no_influence(dtype, params, data):
    counts = data.draw(hnp.arrays(dtype, (9, 10)))
    mask = data.draw(hnp.arrays(np.bool_, (9, 10)))
    if not valid_pixels(counts, params["negative"], mask).any():
        return
    other = np.where(mask, data.draw(hnp.arrays(dtype, (9, 10))), counts)
    one, two = prepare(counts, params, mask), prepare(other, params, mask)
    np.testing.assert_array_equal(one.image, two.image)
    np.testing.assert_array_equal(one.counts, two.counts)
    np.testing.assert_array_equal(one.valid, two.valid)


@given(counts=hnp.arrays(np.uint16, (10, 11)), params=SETTINGS)
@settings(max_examples=100, deadline=None)
def test_turning_a_frame_turns_what_is_prepared(counts, params):
    params = {**params, "bin": 1}
    if not valid_pixels(counts).any():
        return
    turned = prepare(np.rot90(counts), params)
    straight = prepare(counts, params)
    np.testing.assert_array_equal(turned.image, np.rot90(straight.image))
    np.testing.assert_array_equal(turned.valid, np.rot90(straight.valid))


def test_input_is_left_alone_and_read_only_input_works():
    counts = poisson((12, 12)).astype(np.float32)
    counts[0, 0], counts[5, 5] = np.nan, 1e6
    before = counts.copy()
    counts.flags.writeable = False
    prepare(counts, {"bin": 2})
    np.testing.assert_array_equal(counts, before)
