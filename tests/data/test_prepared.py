"""Frames in order with their masks: each file opened once, errors under the frame's name, small pictures."""

import pickle

import numpy as np
import pytest

from sweeper.data import frames, prepared
from sweeper.data.dataset import load_dataset
from sweeper.data.intensity import for_display, prepare
from sweeper.data.prepared import FrameRef, inspect_refs, prepared_frames, raw_frame, raw_frames
from sweeper.errors import FrameError

RNG = np.random.default_rng(3)
STACK = RNG.poisson(40, (4, 20, 30)).astype(np.uint16)
MASK = RNG.random((20, 30)) < 0.2


@pytest.fixture
def folder(tmp_path):
    np.save(tmp_path / "stack.npy", STACK)
    np.save(tmp_path / "one.npy", STACK[0].astype(np.int32))
    np.save(tmp_path / "mask.npy", MASK)
    np.save(tmp_path / "wrong_mask.npy", MASK.T)
    (tmp_path / "text.tif").write_text("no frame")
    return tmp_path


def refs_of(folder):
    mask = str(folder / "mask.npy")
    stack, one = str(folder / "stack.npy"), str(folder / "one.npy")
    return [
        FrameRef(stack, 2, mask),
        FrameRef(stack, 0, mask),
        FrameRef(one, 0, None),
        FrameRef(stack, 3, None),
        FrameRef(stack, 1, None),
    ]


def test_frames_come_in_order_with_their_masks_and_a_file_is_opened_once_in_a_row(folder, monkeypatch):
    opened = []

    def open_frames(path, reading):
        opened.append(path)
        return frames.open_frames(path, reading=reading)

    monkeypatch.setattr(prepared, "open_frames", open_frames)
    refs = refs_of(folder)
    raw = list(raw_frames(refs))
    assert [frame.ref for frame in raw] == refs
    for frame, ref in zip(raw, refs, strict=True):
        np.testing.assert_array_equal(frame.counts, STACK[ref.index])
        assert (frame.mask is None) == (ref.mask is None)
    np.testing.assert_array_equal(raw[0].mask, MASK)
    assert raw[0].mask is raw[1].mask
    assert opened == [refs[0].path, refs[2].path, refs[3].path]


def test_prepared_frames_are_those_of_prepare(folder):
    settings = {"bin": 2, "hot_pixels": "keep"}
    refs = refs_of(folder)
    for frame, ref in zip(prepared_frames(refs, settings), refs, strict=True):
        wanted = prepare(frames.read_frame(ref.path, ref.index), settings, MASK if ref.mask else None)
        np.testing.assert_array_equal(frame.image, wanted.image)
        np.testing.assert_array_equal(frame.valid, wanted.valid)


def test_frames_may_be_read_elsewhere(folder):
    """As a node does that does not see the files: what was read travels."""
    refs, asked = refs_of(folder), []

    def read(refs):
        asked.extend(refs)
        return pickle.loads(pickle.dumps(list(raw_frames(refs))))

    there = prepared_frames(refs, {}, read)
    for a, b in zip(there, prepared_frames(refs, {}), strict=True):
        np.testing.assert_array_equal(a.image, b.image)
        np.testing.assert_array_equal(a.valid, b.valid)
    assert asked == refs


@pytest.mark.parametrize("most_px", [4, 10, 15, 1000])
def test_a_picture_is_logarithmic_and_small(folder, most_px):
    ref = refs_of(folder)[0]
    shown = raw_frame(ref).displayed({"scale": "linear"}, most_px)
    wanted = prepare(STACK[2], for_display({}, STACK[2].shape, most_px), MASK)
    np.testing.assert_array_equal(shown.image, wanted.image)
    assert max(shown.image.shape) <= most_px


def test_errors_name_the_frame(folder):
    wrong = str(folder / "wrong_mask.npy")
    nameless = FrameRef(str(folder / "one.npy"), 0, wrong)
    named = FrameRef(nameless.path, 0, wrong, "one#0")
    for ref, name in ((nameless, nameless.path), (named, "one#0")):
        for use in (lambda raw: raw.prepared({}), lambda raw: raw.displayed({}, 9)):
            with pytest.raises(FrameError, match="mask must have the shape of the frame") as caught:
                use(raw_frame(ref))
            assert str(caught.value).startswith(f"{name}: ")
    good = FrameRef(str(folder / "one.npy"), 0, None)
    for bad in (FrameRef(str(folder / "text.tif"), 0, None), FrameRef(good.path, 0, str(folder / "no.npy"))):
        found = raw_frames([good, bad])
        np.testing.assert_array_equal(next(found).counts, STACK[0])
        with pytest.raises(FrameError, match=r"not a TIFF|no such file"):
            next(found)


def test_reports_are_those_of_inspect_frames_and_a_bad_mask_is_an_error_of_its_frames(folder):
    missing = str(folder / "no.npy")
    refs = [*refs_of(folder), FrameRef(str(folder / "one.npy"), 0, missing), refs_of(folder)[2]]
    reports = inspect_refs(refs, "masked")
    assert [(report.path, report.index) for report in reports] == [(ref.path, ref.index) for ref in refs]
    assert reports[0] == frames.inspect_frames(refs[0].path, [2], "masked", MASK)[0]
    assert reports[5].error == f"{missing}: no such file"
    assert reports[5].digest == ""
    assert reports[2] == reports[6]
    assert [report.error for report in reports if report.index or report.digest] == [None] * 6


def test_a_row_of_a_dataset_is_a_ref_with_the_name_that_reports_give_it(folder):
    for label in ("a", "b"):
        (folder / "data" / label).mkdir(parents=True)
        np.save(folder / "data" / label / "s.npy", STACK)
    dataset = load_dataset(folder / "data", mask=folder / "mask.npy")
    path, mask = str(folder / "data" / "b" / "s.npy"), str(folder / "mask.npy")
    assert dataset.ref(5) == FrameRef(path, 1, mask, "b/s.npy#1")
