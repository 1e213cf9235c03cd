"""Frames with equal pixels: counted, named, and one of them kept on request."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sweeper.data.dataset import Dataset, load_dataset
from sweeper.data.duplicates import duplicates_note, equal_frames, without_duplicates
from sweeper.data.frames import inspect_frames
from sweeper.data.splits import make_splits
from sweeper.errors import InputError


def frame(path: Path, value: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, np.full((4, 5), value, np.uint16))


def made(root: Path, frames: dict[str, int]) -> tuple[Dataset, list[str]]:
    """A data set of frames by name, equal where their values are, and their digests."""
    for name, value in frames.items():
        frame(root / f"{name}.npy", value)
    dataset = load_dataset(root)
    digests = [inspect_frames(p, [i])[0].digest for p, i in zip(dataset.paths, dataset.index, strict=True)]
    return dataset, digests


def note_of(dataset: Dataset, digests: list[str]) -> str | None:
    splits = make_splits(dataset.labels, dataset.classes, split=dataset.split, folds=2, seed=0)
    return duplicates_note(dataset, digests, splits)


def test_frames_that_differ_need_no_word(tmp_path: Path) -> None:
    dataset, digests = made(tmp_path, {f"{'ab'[i % 2]}/{i}": i for i in range(8)})
    assert equal_frames(digests) == []
    assert note_of(dataset, digests) is None
    keep, gone = without_duplicates(dataset, digests)
    assert keep.all() and gone == []


def test_across_classes(tmp_path: Path) -> None:
    dataset, digests = made(tmp_path, {f"{name}/{i}": i for name in "ab" for i in range(10)})
    note = note_of(dataset, digests)
    assert note is not None
    assert note.startswith("20 frames are equal to another one in every pixel: 10 sets, ")
    assert "a/0.npy = b/0.npy (labels a and b), a/1.npy = b/1.npy (labels a and b), " in note
    assert "and 7 more sets; in 10 sets the labels differ" in note
    assert "--drop-duplicates" in note
    with pytest.raises(InputError, match="--drop-duplicates: class a would have no frame"):
        without_duplicates(dataset, digests)


def test_across_splits(tmp_path: Path) -> None:
    frames = {
        f"{split}/{name}/{i}": 10 * (name == "b") + i
        for split in ("train", "test")
        for name in "ab"
        for i in range(4)
    }
    dataset, digests = made(tmp_path, frames)
    note = note_of(dataset, digests)
    assert note is not None
    assert "test/a/0.npy = train/a/0.npy (splits test and train)" in note
    assert "labels differ" not in note
    assert "8 sets stand on both sides of a split, so that scores say little" in note
    keep, gone = without_duplicates(dataset, digests)
    assert {dataset.split[row] for row in np.flatnonzero(keep)} == {"train"}
    assert gone[0] == ("test/a/0.npy", "equal to train/a/0.npy")


def test_blank_frames_of_one_class(tmp_path: Path) -> None:
    frames = {f"blank/{i}": 0 for i in range(6)} | {f"halo/{i}": 1 + i for i in range(6)}
    dataset, digests = made(tmp_path, frames)
    note = note_of(dataset, digests)
    assert note is not None
    assert note.startswith(
        "6 frames are equal to another one in every pixel: 1 set, blank/0.npy = blank/1.npy;"
    )
    assert "1 set stands on both sides of a split" in note
    keep, gone = without_duplicates(dataset, digests)
    assert [str(name) for name in dataset.names[keep]] == [
        "blank/0.npy",
        *(f"halo/{i}.npy" for i in range(6)),
    ]
    assert len(gone) == 5


def test_the_pair_that_differs_is_shown(tmp_path: Path) -> None:
    dataset, digests = made(tmp_path, {"a/0": 5, "a/1": 5, "b/0": 5, "a/2": 1, "b/1": 2, "b/2": 3, "a/3": 4})
    note = note_of(dataset, digests)
    assert note is not None and "a/0.npy = b/0.npy (labels a and b)" in note
    keep, gone = without_duplicates(dataset, digests)
    assert keep.sum() == 4
    assert dict(gone) == {
        "a/0.npy": "equal to b/0.npy, which has another label (b)",
        "a/1.npy": "equal to b/0.npy, which has another label (b)",
        "b/0.npy": "equal to a/0.npy, which has another label (a)",
    }


def test_validation_goes_before_test_and_training_before_both(tmp_path: Path) -> None:
    frames = {
        f"{split}/{name}/0": 100 + n
        for n, (split, name) in enumerate((s, c) for s in ("train", "val", "test") for c in "ab")
    }
    frames |= {"test/a/x": 1, "val/a/x": 1, "val/b/y": 2, "train/b/y": 2, "test/b/y": 2}
    dataset, digests = made(tmp_path, frames)
    keep, _ = without_duplicates(dataset, digests)
    stays = {str(name) for name in dataset.names[keep]}
    assert "val/a/x.npy" in stays and "test/a/x.npy" not in stays
    assert "train/b/y.npy" in stays and not {"val/b/y.npy", "test/b/y.npy"} & stays


def test_a_mask_makes_frames_differ(tmp_path: Path) -> None:
    """What featurizers see differs."""
    counts = np.ones((4, 5), np.uint16)
    np.save(tmp_path / "f.npy", counts)
    plain, masked = (inspect_frames(tmp_path / "f.npy", [0], mask=m)[0].digest for m in (None, counts > 5))
    assert plain != masked
