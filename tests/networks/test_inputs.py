"""What networks see: mask-weighted resizing against plain numpy, files, rotations."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from sweeper.api import PreparedFrame
from sweeper.networks.inputs import Inputs, input_array, write_inputs

HALF = 6e-4  # half a step of float16 near 1, and OpenCV's rounding


def frame_of(shape: tuple[int, int], seed: int = 0, masked: float = 0.3) -> PreparedFrame:
    rng = np.random.default_rng(seed)
    valid = rng.random(shape) >= masked
    image = np.where(valid, rng.random(shape), 0).astype(np.float32)
    return PreparedFrame(image * 100, image, valid, 256)


def area_weights(n: int, size: int) -> NDArray[np.float64]:
    """Overlap of each output pixel with each of n input pixels, (size, n)."""
    edges = np.arange(size + 1) * n / size
    low = np.maximum(edges[:-1, None], np.arange(n)[None, :])
    high = np.minimum(edges[1:, None], np.arange(1, n + 1)[None, :])
    return np.maximum(high - low, 0) / (n / size)


def linear_weights(n: int, size: int) -> NDArray[np.float64]:
    """Bilinear weights, pixel centres aligned, edges repeated, (size, n)."""
    weights = np.zeros((size, n))
    for i in range(size):
        at = min(max((i + 0.5) * n / size - 0.5, 0), n - 1)
        below = min(int(at), n - 2) if n > 1 else 0
        weights[i, below] += 1 - (at - below)
        if n > 1:
            weights[i, below + 1] += at - below
    return weights


def oracle(frame: PreparedFrame, size: int) -> NDArray[np.float64]:
    rows, columns = ((area_weights if n >= size else linear_weights)(n, size) for n in frame.image.shape)
    summed = rows @ (frame.image.astype(np.float64) * frame.valid) @ columns.T
    weight = rows @ frame.valid.astype(np.float64) @ columns.T
    return np.divide(summed, weight, out=np.zeros_like(summed), where=weight > 1e-9)


@pytest.mark.parametrize(
    "shape",
    [(64, 64), (32, 32), (96, 80), (50, 37), (131, 33), (20, 20), (9, 24), (32, 11), (100, 20), (20, 100)],
)
@pytest.mark.parametrize("masked", [0.0, 0.3])
def test_resizing_is_mask_weighted_in_each_dimension(shape: tuple[int, int], masked: float) -> None:
    frame = frame_of(shape, masked=masked)
    found = input_array(frame, 32)
    assert found.dtype == np.float16
    assert found.shape == (32, 32)
    # OpenCV leaves out overlaps below a thousandth of a pixel.
    np.testing.assert_allclose(found.astype(np.float64), oracle(frame, 32), atol=HALF + 1e-3)


def test_a_frame_of_the_networks_size_is_as_it_is() -> None:
    frame = frame_of((32, 32))
    assert np.array_equal(input_array(frame, 32), frame.image.astype(np.float16))


def test_where_nothing_is_valid_there_is_nothing() -> None:
    valid = np.ones((64, 64), bool)
    valid[:, :16] = False
    image = np.where(valid, np.float32(0.75), np.float32(0))
    found = input_array(PreparedFrame(image, image, valid, 256), 16)
    assert (found[:, :4] == 0).all()
    assert (found[:, 4:] == np.float16(0.75)).all()  # not darkened along the edge of the mask


def test_what_stands_under_the_mask_has_no_influence() -> None:
    frame = frame_of((40, 40))
    loud = PreparedFrame(
        frame.counts, np.where(frame.valid, frame.image, np.float32(np.nan)), frame.valid, 256
    )
    for size in (16, 64):
        assert np.array_equal(input_array(frame, size), input_array(loud, size))


# --------------------------------------------------------------------------- files


def written(folder: Path, counts: tuple[int, ...], size: int = 8) -> tuple[Inputs, NDArray[np.float16]]:
    """Files of inputs, and the same in memory."""
    frames = [frame_of((12, 10), seed) for seed in range(sum(counts))]
    files, start = [], 0
    for i, count in enumerate(counts):
        path = folder / f"{i}.npy"
        write_inputs(path, iter(frames[start : start + count]), count, size)
        files.append(str(path))
        start += count
    return Inputs(tuple(files), counts), np.array([input_array(f, size) for f in frames])


def test_rows_come_from_all_files_in_any_order(tmp_path: Path) -> None:
    inputs, expected = written(tmp_path, (3, 1, 4))
    assert len(inputs) == 8
    assert inputs.size == 8
    rows = np.array([7, 0, 3, 3, 4, 2])
    batch = inputs.batch(rows)
    assert batch.shape == (6, 1, 8, 8)
    assert batch.dtype == np.float16
    assert np.array_equal(batch[:, 0], expected[rows])
    assert np.load(inputs.files[0]).shape == (3, 8, 8)  # a plain .npy
    assert not list(tmp_path.glob(".*"))


def test_quarter_turns_go_counter_clockwise(tmp_path: Path) -> None:
    inputs, expected = written(tmp_path, (2,))
    turned = inputs.batch(np.array([1, 1, 1, 1]), np.arange(4, dtype=np.int8))[:, 0]
    image = expected[1]
    assert np.array_equal(turned[0], image)
    assert np.array_equal(turned[1], image.T[::-1])  # the last column becomes the first row
    assert np.array_equal(turned[2], image[::-1, ::-1])
    assert np.array_equal(turned[3], image.T[:, ::-1])


def test_inputs_are_pickled_without_their_pixels(tmp_path: Path) -> None:
    inputs, expected = written(tmp_path, (2, 2), size=64)
    inputs.batch(np.array([0]))
    data = pickle.dumps(inputs)
    assert len(data) < 1000
    assert np.array_equal(pickle.loads(data).batch(np.array([3]))[0, 0], expected[3])


def test_frames_are_written_one_at_a_time(tmp_path: Path) -> None:
    alive: list[int] = []

    def frames() -> Iterator[PreparedFrame]:
        for seed in range(5):
            alive.append(seed)
            yield frame_of((8, 8), seed)
            assert list(tmp_path.glob(".a.npy.*.partial"))  # being written, not yet there
            assert not (tmp_path / "a.npy").exists()

    write_inputs(tmp_path / "a.npy", frames(), 5, 8)
    assert alive == [0, 1, 2, 3, 4]
    assert (tmp_path / "a.npy").exists()


@pytest.mark.parametrize("given", [1, 3])
def test_a_wrong_number_of_frames_leaves_no_file(tmp_path: Path, given: int) -> None:
    with pytest.raises(ValueError, match=f"must hold 2 frames, got {given}"):
        write_inputs(tmp_path / "a.npy", (frame_of((8, 8)) for _ in range(given)), 2, 8)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"file/a\.npy: "):
        write_inputs(tmp_path / "file" / "a.npy", iter([frame_of((8, 8))]), 1, 8)


def test_damaged_files_are_named(tmp_path: Path) -> None:
    inputs, _ = written(tmp_path, (4,))
    path = Path(inputs.files[0])
    with pytest.raises(ValueError, match=r"0\.npy: must hold float16 inputs of 3 frames, got float16"):
        Inputs(inputs.files, (3,)).batch(np.array([0]))
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ValueError, match=r"0\.npy: damaged inputs"):
        Inputs(inputs.files, (4,)).batch(np.array([0]))
