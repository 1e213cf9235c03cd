"""Arrays in memory as data sets: what is refused, and what is read back from where they are written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sweeper.data.arrays import FrameArrays, frame_arrays
from sweeper.data.dataset import Dataset, load_dataset
from sweeper.data.prepared import raw_frame
from sweeper.errors import InputError, StoppedError
from tests.conftest import REPOSITORY

LABELS = ["b", "a", "b", "a"]


def stack(n: int = 4, dtype: str = "uint16", shape: tuple[int, int] = (6, 7)) -> NDArray[Any]:
    counts = np.random.default_rng(n).integers(0, 1000, (n, *shape))
    return counts.astype(dtype)


def written(arrays: FrameArrays, folder: Path) -> Dataset:
    arrays.write(folder)
    return load_dataset(arrays.manifest(folder))


@pytest.mark.parametrize("dtype", ["uint8", ">u2", "int32", "uint64", "float16", ">f8"])
def test_a_stack_is_read_back_in_its_order(tmp_path: Path, dtype: str) -> None:
    frames = stack(dtype=dtype)
    data = written(frame_arrays(frames, LABELS), tmp_path)
    assert data.files == ("frames.npy",)
    assert data.index.tolist() == [0, 1, 2, 3]
    assert [data.classes[label] for label in data.labels] == LABELS
    for row, frame in enumerate(frames):
        counts = raw_frame(data.ref(row)).counts
        assert counts.dtype.name == frame.dtype.name
        np.testing.assert_array_equal(counts, frame)


@pytest.mark.parametrize("n", [4, 12])
def test_frames_of_several_shapes_and_types_keep_their_order(tmp_path: Path, n: int) -> None:
    frames = [stack(1, ("uint16", "float32")[i % 2], (5 + i, 8))[0] for i in range(n)]
    data = written(frame_arrays(frames, ["a", "b"] * (n // 2)), tmp_path)
    assert len(data.files) == n
    for row, frame in enumerate(frames):
        np.testing.assert_array_equal(raw_frame(data.ref(row)).counts, frame)


@pytest.mark.parametrize("width", [1, 3, 4])
def test_narrow_frames_are_no_colour_images(tmp_path: Path, width: int) -> None:
    frames = list(stack(shape=(9, width)))
    data = written(frame_arrays(frames, LABELS), tmp_path)
    for row, frame in enumerate(frames):
        np.testing.assert_array_equal(raw_frame(data.ref(row)).counts, frame)


def test_groups_splits_and_masks_come_along(tmp_path: Path) -> None:
    one, other = np.zeros((2, 6, 7), dtype=bool)
    one[0], other[:, 1] = True, True
    arrays = frame_arrays(
        stack(8),
        np.array([0, 1] * 4),
        groups=[" s1", "s2", "s1", "s2", 3, 3, 4.0, 4],
        split=["train", "train", "train", "train", "Validation", "val", "test", "test"],
        mask=[one, None, other, one.astype(int) * 7, None, None, None, other],
    )
    data = written(arrays, tmp_path)
    assert data.classes == ("0", "1")
    assert data.groups is not None
    assert data.groups.tolist() == [0, 1, 0, 1, 2, 2, 3, 3]
    assert data.split.tolist() == ["train"] * 4 + ["val"] * 2 + ["test"] * 2
    masks = [raw_frame(data.ref(row)).mask for row in range(8)]
    assert [mask is None for mask in masks] == [False, True, False, False, True, True, True, False]
    np.testing.assert_array_equal(masks[0], one)
    np.testing.assert_array_equal(masks[3], one)
    np.testing.assert_array_equal(masks[2], other)
    assert len(data.mask_files) == 2


def test_a_mask_of_all_frames(tmp_path: Path) -> None:
    mask = np.zeros((6, 7))
    mask[2, 2] = 1
    data = written(frame_arrays(stack(), LABELS, mask=mask), tmp_path)
    assert data.mask.tolist() == [0, 0, 0, 0]
    np.testing.assert_array_equal(raw_frame(data.ref(3)).mask, mask == 1)


def test_frames_for_a_test_alone_leave_the_others_for_training(tmp_path: Path) -> None:
    data = written(frame_arrays(stack(), LABELS, split=["", None, "test", "test"]), tmp_path)
    assert data.split.tolist() == ["train", "train", "test", "test"]


def test_equal_arrays_are_one_data_set_and_others_another(tmp_path: Path) -> None:
    frames = stack()
    arrays = frame_arrays(frames, LABELS)
    arrays.write(tmp_path)
    before = arrays.manifest(tmp_path).stat().st_mtime_ns
    for same in (frames.copy(), list(frames), np.asfortranarray(frames), frames.astype(">u2")):
        again = frame_arrays(same, np.array(LABELS))
        again.write(tmp_path)
        assert again.manifest(tmp_path) == arrays.manifest(tmp_path)
    assert arrays.manifest(tmp_path).stat().st_mtime_ns == before
    changed = frames.copy()
    changed[3, 5, 6] += 1
    mask = np.eye(6, 7)
    others = [
        frame_arrays(changed, LABELS),
        frame_arrays(frames[::-1], LABELS),
        frame_arrays(frames.astype(np.int32), LABELS),
        frame_arrays(frames, LABELS[::-1]),
        frame_arrays(frames, LABELS, groups=LABELS),
        frame_arrays(frames, LABELS, split=["train"] * 4),
        frame_arrays(frames, LABELS, mask=mask),
        frame_arrays(frames, LABELS, mask=[mask, None, None, None]),
    ]
    assert len({arrays.digest, *(other.digest for other in others)}) == 9


def test_nothing_is_left_of_what_cannot_be_written(tmp_path: Path) -> None:
    """A limit on the size of files stands for a full disk; root may write anywhere."""
    code = (
        "import resource, signal, sys, numpy as np; from pathlib import Path\n"
        "from sweeper.data.arrays import frame_arrays\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))\n"
        "frame_arrays(np.ones((4, 100, 100)), list('abab')).write(Path(sys.argv[1]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path], capture_output=True, text=True, cwd=REPOSITORY, check=False
    )
    assert f"{StoppedError.__name__}: {tmp_path}" in done.stderr
    assert "the frames cannot be written (File too large)" in done.stderr
    assert os.listdir(tmp_path) == []  # noqa: PTH208


FRAMES = stack()
REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"frames": FRAMES[0]}, r"frames must be an array \(n, height, width\) or .* an array of shape \(6, 7\)"),
    (
        {"frames": np.ones((4, 6, 3))},
        r"frames .*, got shape \(4, 6, 3\): 3 values a pixel are a colour",
    ),
    ({"frames": "frames"}, r"frames must be .*, got 'frames'; files are given as data"),
    ({"frames": ["a.tif"] * 4}, r"frames\[0\] must be an array \(height, width\), got 'a.tif'"),
    ({"frames": 3}, r"frames must be an array .*, got int"),
    ({"frames": []}, "frames must hold frames, got none"),
    (
        {"frames": [*FRAMES[:3], FRAMES[0, 0]]},
        r"frames\[3\] must be an array \(height, width\), got shape \(7,\)",
    ),
    ({"frames": [*FRAMES[:3], np.ones((6, 7, 3))]}, r"frames\[3\] must be .*, got shape \(6, 7, 3\)"),
    ({"frames": [*FRAMES[:3], [[1, 2], [3]]]}, r"frames\[3\] must be an array \(height, width\): "),
    ({"frames": FRAMES > 3}, r"frames\[0\]: counts must be integers or real numbers, got bool"),
    ({"frames": FRAMES * 1j}, "counts must be integers or real numbers, got complex128"),
    ({"frames": np.ma.masked_equal(FRAMES, 1)}, "frames must be a plain array, got a masked one"),
    ({"labels": None}, "labels must have one value a frame, got None"),
    ({"labels": "abab"}, "labels must have one value a frame, got 'abab'"),
    ({"labels": LABELS[:3]}, "labels must have one value a frame, 4, got 3"),
    ({"labels": np.eye(4)}, r"labels must have one value a frame, got shape \(4, 4\)"),
    ({"labels": ["a", None, "b", float("nan")]}, "labels must be given for every frame, missing at 1, 3"),
    ({"labels": ["a", "b", " ", "b"]}, "labels must be given for every frame, missing at 2"),
    ({"labels": [0, 1, 0.5, 1]}, "labels must be names or whole numbers, got 0.5 at 2"),
    ({"labels": [0, 1, [0], 1]}, r"labels must be names or whole numbers, got \[0\] at 2"),
    ({"labels": ["a"] * 4}, "labels: dataset must have at least two classes, it has 'a' alone"),
    ({"groups": [1, 2, 3]}, "groups must have one value a frame, 4, got 3"),
    ({"groups": [1, 2, 3, None]}, "groups must be given for every frame, missing at 3"),
    ({"split": ["train", "train", "tset", "val"]}, "split must be train, val or test, got 'tset' at 2"),
    (
        {"split": ["train", "train", "", "val"]},
        "split must be given in every row where there is train",
    ),
    ({"split": ["train", "test", "train", "test"]}, "every class must have a training frame, none in a"),
    (
        {"split": ["train", "train", "test", "test"], "groups": [1, 2, 1, 3]},
        "groups: a group must stand in one split, 1 are in several: 1",
    ),
    ({"mask": np.zeros((7, 6))}, r"mask must have the shape of the frame, \(6, 7\), got \(7, 6\)"),
    ({"mask": np.ones((6, 7))}, "mask masks every pixel: nonzero must mean invalid"),
    ({"mask": [np.zeros((6, 7))]}, "mask must have one value a frame, 4, got 1"),
    ({"mask": [None, None, np.zeros(3), None]}, r"mask\[2\] must have the shape of the frame, \(6, 7\), got"),
    ({"mask": 3}, r"mask must be an array \(height, width\), a list .*, or the path of a file, got 3"),
    (
        {"frames": [*FRAMES[:3], FRAMES[3, 1:]], "mask": np.zeros((6, 7))},
        r"mask must have the shape of the frames, \(6, 7\), that of frames\[3\] is \(5, 7\)",
    ),
]


@pytest.mark.parametrize(("given", "message"), REFUSED)
def test_wrong_arrays_are_refused_by_parameter_rule_and_value(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        frame_arrays(**{"frames": FRAMES, "labels": LABELS, **given})
