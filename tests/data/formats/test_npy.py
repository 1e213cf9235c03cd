"""NPY and NPZ: what a header says is held against the file before anything is read."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from sweeper.data.format import Reading
from sweeper.data.frames import count_frames, read_frame, read_frames
from sweeper.errors import FrameError
from tests.data.examples import counts

STACK = counts("uint16", (3, 16, 20))


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        (lambda data: data[:-1], r"truncated: its header says 2048 bytes, it has 2047"),
        (lambda data: data + b"\0", r"damaged: its header says 2048 bytes, it has 2049"),
        (lambda data: data[:6] + b"\x09\0" + data[8:], r"NPY of version 9.0, which is not supported"),
        (
            lambda data: data[:6] + b"\2\0" + struct.pack("<I", 2**31) + data[12:],
            "an NPY header of more than",
        ),
        (lambda data: data.replace(b"(3, 16, 20)", b"(3, 9**9, 2"), "damaged, truncated or of another kind"),
    ],
)
def test_a_header_that_does_not_fit_its_file_is_refused(
    tmp_path: Path, change: Callable[[bytes], bytes], rule: str
) -> None:
    np.save(tmp_path / "a.npy", STACK)
    (tmp_path / "a.npy").write_bytes(change((tmp_path / "a.npy").read_bytes()))
    with pytest.raises(FrameError, match=rule):
        count_frames(tmp_path / "a.npy")


def test_an_archive_has_one_array_of_frames_or_is_told_which(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "one.npz", frames=STACK, curve=np.arange(4.0), name=np.array("x"))
    for index, frame in enumerate(read_frames(tmp_path / "one.npz", range(3))):
        np.testing.assert_array_equal(frame, STACK[index])
    np.savez(tmp_path / "two.npz", a=STACK, b=STACK[:2])
    with pytest.raises(FrameError, match=r"cannot tell which array .*: a \(3 × 16 × 20\), b \(2 × 16 × 20\)"):
        count_frames(tmp_path / "two.npz")
    assert count_frames(tmp_path / "two.npz", Reading(dataset="b")) == 2
    assert count_frames(f"{tmp_path}/two.npz::b") == 2
    with pytest.raises(FrameError, match=r"has no array c; it has a \(3 × 16 × 20\), b"):
        count_frames(tmp_path / "two.npz", Reading(dataset="c"))


def test_axes_of_one_and_colours_are_seen_for_what_they_are(tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", STACK[..., np.newaxis])
    assert count_frames(tmp_path / "one.npy") == 3
    grey = np.stack([STACK[0]] * 3, axis=-1)
    np.save(tmp_path / "grey.npy", grey)
    np.testing.assert_array_equal(read_frame(tmp_path / "grey.npy"), STACK[0])
