"""Featurizers against independent references: scikit-image, OpenCV, scipy, and plain Python for masks."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from skimage.feature import graycomatrix, graycoprops, local_binary_pattern
from sweeper.featurizers import glcm, histogram, lbp, sift

from sweeper.api import Params, PreparedFrame

Levels = NDArray[np.uint8]

GLCM_BLOCKS = [{"distance": d, "angle_deg": a} for d in range(1, 11) for a in (0, 45, 90, 135)]
LBP_BLOCKS = [{"points": p, "radius": r} for p in (4, 8, 16, 24) for r in (1, 2, 3)]


def frame_of(image: Levels, levels: int = 256, valid: NDArray[np.bool_] | None = None) -> PreparedFrame:
    """A prepared frame that quantises to `image`; invalid pixels as preparation leaves them."""
    ok = np.ones(image.shape, bool) if valid is None else valid
    scaled = np.where(ok, (image.astype(np.float32) + np.float32(0.5)) / np.float32(levels), 0)
    frame = PreparedFrame(image.astype(np.float32), scaled.astype(np.float32), ok, levels)
    assert np.array_equal(frame.quantised, np.where(ok, image, 0))
    return frame


def smooth(shape: tuple[int, int], levels: int) -> Levels:
    row, column = np.indices(shape)
    wave = 2 + np.sin(row / 5) + np.cos(column / 7)
    return np.rint(wave / 4 * (levels - 1)).astype(np.uint8)


def pictures(levels: int, shape: tuple[int, int]) -> dict[str, Levels]:
    """Frames that stress different branches of the kernels."""
    rng = np.random.default_rng(levels * 1000 + shape[0] * 10 + shape[1])
    chess = (np.indices(shape).sum(axis=0) % 2 * (levels - 1)).astype(np.uint8)
    spot = np.zeros(shape, np.uint8)
    spot[shape[0] // 2, shape[1] // 2] = levels - 1
    return {
        "noise": rng.integers(0, levels, shape).astype(np.uint8),
        "poisson": np.minimum(rng.poisson(2, shape), levels - 1).astype(np.uint8),
        "zero": np.zeros(shape, np.uint8),
        "full": np.full(shape, levels - 1, np.uint8),
        "smooth": smooth(shape, levels),
        "chess": chess,
        "spot": spot,
    }


SHAPES = [(1, 1), (1, 7), (6, 1), (2, 2), (3, 5), (11, 10), (23, 31), (40, 17)]
CASES = [
    pytest.param(image, levels, id=f"{name}-{levels}-{shape[0]}x{shape[1]}")
    for levels in (8, 256)
    for shape in SHAPES
    for name, image in pictures(levels, shape).items()
]


def masks(shape: tuple[int, int]) -> dict[str, NDArray[np.bool_]]:
    rng = np.random.default_rng(7)
    gap = np.ones(shape, bool)
    gap[:, shape[1] // 2] = False
    scattered = rng.random(shape) > 0.02
    corner = np.ones(shape, bool)
    corner[0, 0] = corner[-1, -1] = False
    return {"gap": gap, "scattered": scattered, "corner": corner, "none": np.zeros(shape, bool)}


# --------------------------------------------------------------------------- glcm


def glcm_reference(image: Levels, levels: int, block: Params) -> NDArray[np.float64]:
    """scikit-image, one block at a time: many at once it sums in an order that loses four digits."""
    matrix = graycomatrix(
        image, [block["distance"]], [np.deg2rad(block["angle_deg"])], levels, symmetric=True, normed=True
    )
    return np.array([graycoprops(matrix, name)[0, 0] for name in glcm.COLUMNS])


@pytest.mark.parametrize(("image", "levels"), CASES)
def test_glcm_equals_scikit_image(image: Levels, levels: int) -> None:
    blocks = GLCM_BLOCKS if image.size < 200 else GLCM_BLOCKS[::3]
    rows = glcm.FEATURIZER.compute(frame_of(image, levels), blocks)
    for block, row in zip(blocks, rows, strict=True):
        np.testing.assert_allclose(
            row, glcm_reference(image, levels, block), rtol=1e-10, atol=1e-9, err_msg=str(block)
        )


def test_glcm_of_a_large_flat_frame_counts_beyond_the_logarithm_table() -> None:
    image = np.zeros((300, 400), np.uint8)
    image[:, 200:] = 9
    image[5, 5] = 255
    for block in GLCM_BLOCKS[:8]:
        (row,) = glcm.FEATURIZER.compute(frame_of(image), [block])
        np.testing.assert_allclose(row, glcm_reference(image, 256, block), rtol=0, atol=1e-9)


def glcm_by_hand(image: Levels, valid: NDArray[np.bool_], block: Params) -> NDArray[np.float64]:
    """The definitions, pair by pair, over pairs of valid pixels."""
    height, width = image.shape
    angle = math.radians(block["angle_deg"])
    down = round(math.sin(angle) * block["distance"])
    right = round(math.cos(angle) * block["distance"])
    p: dict[tuple[int, int], float] = {}
    for r in range(height):
        for c in range(width):
            q, d = r + down, c + right
            if 0 <= q < height and 0 <= d < width and valid[r, c] and valid[q, d]:
                a, b = int(image[r, c]), int(image[q, d])
                for key in ((a, b), (b, a)):
                    p[key] = p.get(key, 0.0) + 1.0
    total = sum(p.values())
    if total == 0:
        return np.array([0, 0, 0, 0, 0, 1, 0], float)
    p = {key: n / total for key, n in p.items()}
    mean = sum(n * i for (i, _), n in p.items())
    variance = sum(n * (i - mean) ** 2 for (i, _), n in p.items())
    covariance = sum(n * (i - mean) * (j - mean) for (i, j), n in p.items())
    asm = sum(n**2 for n in p.values())
    return np.array(
        [
            sum(n * (i - j) ** 2 for (i, j), n in p.items()),
            sum(n * abs(i - j) for (i, j), n in p.items()),
            sum(n / (1 + (i - j) ** 2) for (i, j), n in p.items()),
            asm,
            math.sqrt(asm),
            covariance / variance if variance > 1e-15 else 1.0,
            -sum(n * math.log(n) for n in p.values()),
        ]
    )


@pytest.mark.parametrize("name", ["gap", "scattered", "corner", "none"])
@pytest.mark.parametrize("picture", ["noise", "smooth", "full"])
def test_glcm_leaves_out_pairs_that_touch_an_invalid_pixel(name: str, picture: str) -> None:
    image, valid = pictures(16, (13, 17))[picture], masks((13, 17))[name]
    blocks = GLCM_BLOCKS[:24]
    rows = glcm.FEATURIZER.compute(frame_of(image, 16, valid), blocks)
    for block, row in zip(blocks, rows, strict=True):
        np.testing.assert_allclose(row, glcm_by_hand(image, valid, block), atol=1e-12, err_msg=str(block))


@st.composite
def masked_frames(draw: st.DrawFn, max_side: int = 12) -> tuple[Levels, NDArray[np.bool_], int]:
    shape = draw(st.tuples(st.integers(1, max_side), st.integers(1, max_side)))
    levels = draw(st.sampled_from([2, 3, 8, 100, 256]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    image = rng.integers(0, draw(st.integers(1, levels)), shape).astype(np.uint8)
    return image, rng.random(shape) >= draw(st.sampled_from([0.0, 0.05, 0.5])), levels


@settings(max_examples=60, deadline=None)
@given(masked_frames(), st.lists(st.sampled_from(GLCM_BLOCKS), min_size=1, max_size=7))
def test_glcm_of_any_blocks_of_any_frame(
    case: tuple[Levels, NDArray[np.bool_], int], blocks: list[Params]
) -> None:
    image, valid, levels = case
    rows = glcm.FEATURIZER.compute(frame_of(image, levels, valid), blocks)
    assert len(rows) == len(blocks)
    for block, row in zip(blocks, rows, strict=True):
        np.testing.assert_allclose(row, glcm_by_hand(image, valid, block), atol=1e-10)


# --------------------------------------------------------------------------- lbp


def lbp_reference(image: Levels, block: Params) -> NDArray[np.float64]:
    codes = local_binary_pattern(image, block["points"], block["radius"], method="uniform")
    counts: NDArray[np.int64] = np.bincount(codes.astype(int).ravel(), minlength=block["points"] + 2)
    return np.divide(counts, image.size)


@pytest.mark.parametrize(("image", "levels"), CASES)
def test_lbp_equals_scikit_image(image: Levels, levels: int) -> None:
    rows = lbp.FEATURIZER.compute(frame_of(image, levels), LBP_BLOCKS)
    for block, row in zip(LBP_BLOCKS, rows, strict=True):
        assert np.array_equal(row, lbp_reference(image, block)), block


@pytest.mark.parametrize("level", [1, 77, 255])
@pytest.mark.parametrize("shape", [(5, 700), (1100, 4), (70, 257)])
def test_lbp_ties_of_flat_ground_far_from_the_origin(level: int, shape: tuple[int, int]) -> None:
    """Weights that sum to 1 only up to the last bit decide these, and they change with the position."""
    image = np.full(shape, level, np.uint8)
    image[::9, ::5] += np.uint8(level == 77)
    rows = lbp.FEATURIZER.compute(frame_of(image), LBP_BLOCKS)
    for block, row in zip(LBP_BLOCKS, rows, strict=True):
        assert np.array_equal(row, lbp_reference(image, block)), block


def lbp_by_hand(image: Levels, valid: NDArray[np.bool_], block: Params) -> NDArray[np.float64]:
    """scikit-image's codes of the pixels whose neighbourhood is all valid, found point by point."""
    points, radius = block["points"], block["radius"]
    codes = local_binary_pattern(np.where(valid, image, 0), points, radius, method="uniform")
    counts = np.zeros(points + 2)
    height, width = image.shape
    for r in range(height):
        for c in range(width):
            reads = {(r, c)}
            for k in range(points):
                y = r + round(-radius * math.sin(2 * math.pi * k / points), 5)
                x = c + round(radius * math.cos(2 * math.pi * k / points), 5)
                reads |= {
                    (i, j) for i in (math.floor(y), math.ceil(y)) for j in (math.floor(x), math.ceil(x))
                }
            if all(valid[i, j] for i, j in reads if 0 <= i < height and 0 <= j < width):
                counts[int(codes[r, c])] += 1
    return np.asarray(counts / max(1.0, counts.sum()), np.float64)


@pytest.mark.parametrize("name", ["gap", "scattered", "corner", "none"])
@pytest.mark.parametrize("picture", ["noise", "smooth"])
def test_lbp_leaves_out_neighbourhoods_that_touch_an_invalid_pixel(name: str, picture: str) -> None:
    image, valid = pictures(64, (14, 19))[picture], masks((14, 19))[name]
    rows = lbp.FEATURIZER.compute(frame_of(image, 64, valid), LBP_BLOCKS)
    for block, row in zip(LBP_BLOCKS, rows, strict=True):
        assert np.array_equal(row, lbp_by_hand(image, valid, block)), block


@settings(max_examples=50, deadline=None)
@given(masked_frames(9), st.lists(st.sampled_from(LBP_BLOCKS), min_size=1, max_size=4))
def test_lbp_of_any_blocks_of_any_frame(
    case: tuple[Levels, NDArray[np.bool_], int], blocks: list[Params]
) -> None:
    image, valid, levels = case
    rows = lbp.FEATURIZER.compute(frame_of(image, levels, valid), blocks)
    for block, row in zip(blocks, rows, strict=True):
        assert row.shape == (block["points"] + 2,) == (len(lbp.FEATURIZER.columns(block)),)
        assert np.array_equal(row, lbp_by_hand(image, valid, block))


def test_lbp_mask_across_the_tiles_of_the_kernel() -> None:
    image = pictures(256, (9, 530))["noise"]
    valid = masks(image.shape)["scattered"]
    blocks = LBP_BLOCKS[::2]
    for block, row in zip(blocks, lbp.FEATURIZER.compute(frame_of(image, 256, valid), blocks), strict=True):
        assert np.array_equal(row, lbp_by_hand(image, valid, block)), block


def test_lbp_radius_zero_is_refused_with_the_reason() -> None:
    axis = next(a for a in lbp.FEATURIZER.axes if a.name == "radius")
    with pytest.raises(ValueError, match=r"radius = 0 is refused: .*same histogram"):
        axis.check("lbp", 0)


# --------------------------------------------------------------------------- histogram


@pytest.mark.parametrize("levels", [2, 8, 256])
@pytest.mark.parametrize("picture", ["noise", "poisson", "smooth", "chess", "spot"])
@pytest.mark.parametrize("masked", [False, True])
def test_histogram_equals_scipy_on_the_pixels(picture: str, levels: int, masked: bool) -> None:
    image = pictures(levels, (23, 31))[picture]
    valid = masks(image.shape)["scattered" if masked else "corner"]
    (row,) = histogram.FEATURIZER.compute(frame_of(image, levels, valid), [{}])
    pixels = image[valid].astype(float)
    share = np.unique(pixels, return_counts=True)[1] / pixels.size
    expected = {
        "mean": pixels.mean(),
        "entropy": stats.entropy(share, base=2),
        "energy": (share**2).sum(),
        "variance": pixels.var(),
        "skewness": stats.skew(pixels),
        "kurtosis": stats.kurtosis(pixels, fisher=False),
        "roughness": 1 - 1 / (1 + (pixels / (levels - 1)).var()),
    }
    assert tuple(expected) == histogram.FEATURIZER.columns({})
    np.testing.assert_allclose(row, list(expected.values()), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("level", [0, 3, 200, 255])
def test_histogram_of_one_level_is_defined(level: int) -> None:
    (row,) = histogram.FEATURIZER.compute(frame_of(np.full((7, 3), level, np.uint8)), [{}])
    np.testing.assert_allclose(row, [level, 0, 1, 0, 0, 0, 0], rtol=1e-14, atol=0)


# --------------------------------------------------------------------------- sift


def speckle(shape: tuple[int, int], seed: int = 0, blurs: tuple[float, ...] = (1.5, 4.0, 9.0)) -> Levels:
    """Blurred noise: keypoints of several octaves, and not too many."""
    noise = np.random.default_rng(seed).random(shape).astype(np.float32)
    mixed = np.sum([cv2.GaussianBlur(noise, (0, 0), s) * s for s in blurs], axis=0)
    return np.asarray((mixed - mixed.min()) / np.ptp(mixed) * 255, np.uint8)


def as_rows(descriptors: NDArray[Any]) -> set[bytes]:
    return {row.tobytes() for row in descriptors.astype(np.uint8)}


@pytest.mark.parametrize("levels", [16, 256])
def test_sift_equals_opencv(levels: int) -> None:
    image = speckle((120, 150))
    scaled = ((image.astype(np.float32) + 0.5) / 256).astype(np.float32)
    frame = PreparedFrame(image.astype(np.float32), scaled, np.ones(image.shape, bool), levels)
    (row,) = sift.FEATURIZER.compute(frame, [{}])
    _, expected = cv2.SIFT.create(nfeatures=500).detectAndCompute(image, None)
    assert row.dtype == np.uint8
    assert len(row) > 50
    assert np.array_equal(row, expected)


def test_sift_keeps_the_strongest_of_a_noise_frame() -> None:
    image = np.random.default_rng(1).integers(0, 256, (512, 512)).astype(np.uint8)
    (row,) = sift.FEATURIZER.compute(frame_of(image), [{}])
    everything = cv2.SIFT.create().detect(image, None)
    assert len(everything) > 700
    assert sift.MAX_KEYPOINTS <= len(row) < sift.MAX_KEYPOINTS + 20
    valid = np.ones(image.shape, bool)
    valid[0, 0] = False
    (masked,) = sift.FEATURIZER.compute(frame_of(image, valid=valid), [{}])
    assert sift.MAX_KEYPOINTS <= len(masked) < sift.MAX_KEYPOINTS + 20
    assert len(as_rows(masked) & as_rows(row)) > 480


@pytest.mark.parametrize("name", ["gap", "corner"])
def test_sift_drops_keypoints_whose_window_touches_an_invalid_pixel(name: str) -> None:
    image = speckle((160, 200), seed=3)
    valid = masks(image.shape)[name]
    image[~valid] = 0  # so that OpenCV itself can be asked about the very same image
    (row,) = sift.FEATURIZER.compute(frame_of(image, valid=valid), [{}])
    keypoints, descriptors = cv2.SIFT.create().detectAndCompute(image, None)
    invalid = np.argwhere(~valid)
    must, may = [], []
    for i, k in enumerate(keypoints):
        nearest = np.hypot(*(invalid - [k.pt[1], k.pt[0]]).T).min()
        # What OpenCV reads: a circle of 3 √2 · 5/2 scales, a pixel of the octave round it for gradients.
        octave_pixel = 2.0 ** (k.octave & 255 if (k.octave & 255) < 128 else (k.octave & 255) - 256)
        reads = 3 * (k.size / 2) * math.sqrt(2) * 2.5
        if nearest > reads + 4 * octave_pixel + 2:
            must.append(i)
        if nearest > reads + octave_pixel:
            may.append(i)
    assert 10 < len(must) < len(keypoints) - 10
    assert as_rows(descriptors[must]) <= as_rows(row) <= as_rows(descriptors[may])
    assert len(row) <= len(may)


def test_sift_of_coarse_keypoints_alone_starts_from_the_same_pyramid() -> None:
    """Without a keypoint of the finest octave OpenCV would not double a frame given keypoints."""
    image = speckle((300, 300), seed=5, blurs=(8.0,))
    valid = masks(image.shape)["corner"]
    image[~valid] = 0
    (row,) = sift.FEATURIZER.compute(frame_of(image, valid=valid), [{}])
    keypoints, descriptors = cv2.SIFT.create().detectAndCompute(image, None)
    assert all(k.octave & 255 != 255 for k in keypoints)
    assert len(row) >= 10
    assert as_rows(row) <= as_rows(descriptors)


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (5, 5), (64, 64)])
@pytest.mark.parametrize("masked", [False, True])
def test_sift_without_keypoints_has_no_rows(shape: tuple[int, int], masked: bool) -> None:
    valid = masks(shape)["corner"] if masked else None
    rows = sift.FEATURIZER.compute(frame_of(np.full(shape, 90, np.uint8), valid=valid), [{}, {}])
    assert [(r.shape, r.dtype) for r in rows] == [((0, 128), np.dtype(np.uint8))] * 2


# --------------------------------------------------------------------------- all


@pytest.mark.parametrize("featurizer", [glcm.FEATURIZER, lbp.FEATURIZER, histogram.FEATURIZER])
def test_rows_are_finite_and_as_wide_as_columns_even_when_all_is_masked(featurizer: Any) -> None:
    every: dict[str, list[Params]] = {"glcm": [*GLCM_BLOCKS], "lbp": [*LBP_BLOCKS], "histogram": [{}]}
    blocks = every[featurizer.name]
    for valid in masks((6, 9)).values():
        frame = frame_of(pictures(256, (6, 9))["noise"], valid=valid)
        for block, row in zip(blocks, featurizer.compute(frame, blocks), strict=True):
            assert row.shape == (len(featurizer.columns(block)),)
            assert row.dtype == np.float64
            assert np.isfinite(row).all()


def test_defaults_are_legal() -> None:
    for featurizer in (glcm.FEATURIZER, lbp.FEATURIZER, histogram.FEATURIZER, sift.FEATURIZER):
        for axis in featurizer.all_axes:
            for value in axis.default if axis.many and isinstance(axis.default, tuple) else (axis.default,):
                axis.check(featurizer.name, value)


def test_importing_featurizers_imports_no_heavy_library() -> None:
    heavy = ("numba", "cv2", "scipy", "skimage", "sklearn", "ray", "torch")
    code = (
        "import sys; from sweeper.featurizers import glcm, lbp, histogram, sift; "
        f"print([m for m in {heavy} if m in sys.modules])"
    )
    root = str(Path(glcm.__file__).parents[1])
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_kernels_compile_where_nothing_can_be_cached() -> None:
    """Source without a file is what numba cannot cache: as in a folder nobody may write to."""
    from sweeper.featurizers._compile import compiled

    scope: dict[str, Any] = {}
    exec("def triple(x):\n    return 3 * x", scope)
    assert compiled(scope["triple"])(14) == 42
