"""Valid files with bytes changed, cut out, repeated and swapped: every reader gives frames or a FrameError.

``make test`` runs some of it, the same each time; ``make test-long`` goes on for minutes, with other files
each time.
"""

from __future__ import annotations

import bz2
import gc
import gzip
import resource
import time
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sweeper.data.frames import open_frames
from sweeper.errors import FrameError
from tests.data.examples import EXAMPLES, counts

FAST, LONG = 40, 4000
"""Files of each format."""
SECONDS = 30  # for one small file: far beyond what any takes, on a busy machine too
ROOM = 3 * 2**28
"""Bytes that reading may take: more than the 64 MiB that a file may unpack to, however small it is."""
MOST_FRAMES = 12
EDGES = (
    0,
    1,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    2**63 - 1,
    2**64 - 1,
)
NAMES = [(format, name) for format, files in EXAMPLES.items() for name in files]


# --------------------------------------------------------------------------- changes


def place(data: bytes) -> st.SearchStrategy[int]:
    """A position in a file; half of them in what is likely its header."""
    last = max(0, len(data) - 1)
    return st.one_of(st.integers(0, min(last, 600)), st.integers(0, last))


@st.composite
def changed(draw: Callable[..., Any], data: bytes, whole: bool = True, start: int = 0) -> bytes:
    """The bytes of a file with one to four changes behind `start`; `whole`: parts may be cut or moved."""
    kinds = ["byte", "number", "digits", *(["cut", "drop", "repeat", "swap"] if whole else [])]
    for _ in range(draw(st.integers(1, 4))):
        kind, at = draw(st.sampled_from(kinds)), max(start, draw(place(data)))
        size = draw(st.integers(1, 64))
        if kind == "byte":
            data = data[:at] + bytes([draw(st.integers(0, 255))]) + data[at + 1 :]
        elif kind == "number":
            width = draw(st.sampled_from([1, 2, 4, 8]))
            value = draw(st.sampled_from(EDGES)) % 2 ** (8 * width)
            number = value.to_bytes(width, draw(st.sampled_from(["little", "big"])))
            data = data[:at] + number[: len(data) - at] + data[at + width :]
        elif kind == "digits":
            found = [i for i in range(at, min(len(data), at + 200)) if data[i : i + 1].isdigit()]
            if found:
                data = (
                    data[: found[0]]
                    + draw(st.sampled_from([b"0", b"9", b"-", b"e", b" "]))
                    + data[found[0] + 1 :]
                )
        elif kind == "cut":
            data = data[: max(1, at)]
        elif kind == "drop":
            data = data[:at] + data[at + size :]
        elif kind == "repeat":
            data = data[: at + size] + data[at:]
        else:
            other = draw(place(data))
            first, second = sorted((at, other))
            size = min(size, second - first, len(data) - second)
            data = (
                data[:first] + data[second : second + size] + data[first + size : second]
                + data[first : first + size] + data[second + size :]
            )  # fmt: skip
        data = data or b"\0"
    return data


# --------------------------------------------------------------------------- reading


@contextmanager
def little_memory() -> Iterator[None]:
    """Let this process take no more than so many bytes beyond what it has."""
    with Path("/proc/self/statm").open() as file:
        taken = int(file.read().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (taken + ROOM, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def read(path: Path) -> list[NDArray[Any]] | str:
    """Read the first frames of a file with what it says is invalid, or return why it is refused."""
    started = time.monotonic()
    try:
        with little_memory(), open_frames(path) as file:
            frames = []
            for index in range(min(file.count, MOST_FRAMES)):
                frames.append(file.read(index))
                own = file.own_mask(index) if file.own_mask is not None else None
                assert own is None or (own.dtype == np.bool_ and own.shape == frames[-1].shape)
            file.limits(0).invalid(frames[0])
            held = sum(frame.nbytes for frame in frames) * max(1, file.count // MOST_FRAMES)
            assert held <= max(2**26, 20_000 * path.stat().st_size)
    except FrameError as error:
        cause: BaseException | None = error
        while cause is not None:
            assert not isinstance(cause, MemoryError), f"allocates what the file cannot justify: {error}"
            assert not isinstance(cause, RecursionError)
            cause = cause.__cause__ or cause.__context__
        assert str(error).startswith(f"{path}: ")
        assert "\n" not in str(error)
        return error.problem
    finally:
        assert time.monotonic() - started < SECONDS
    return frames


def same(a: list[NDArray[Any]], b: list[NDArray[Any]]) -> bool:
    return len(a) == len(b) and all(
        x.dtype == y.dtype and x.shape == y.shape and x.tobytes() == y.tobytes()
        for x, y in zip(a, b, strict=True)
    )


def fuzz(
    folder: Path,
    name: str,
    data: bytes,
    examples: int,
    *,
    wanted: list[NDArray[Any]] | None = None,
    start: int = 0,
) -> None:
    """Read many changed copies of a file; where `wanted` is given, they hold these frames or are refused."""
    path = folder / name
    outcomes = {"read": 0, "refused": 0}

    @settings(
        max_examples=examples, deadline=None, database=None, derandomize=examples <= FAST,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(changed(data, whole=wanted is None, start=start))
    def run(content: bytes) -> None:
        path.write_bytes(content)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = read(path)
        outcomes["refused" if isinstance(found, str) else "read"] += 1
        if wanted is not None and not isinstance(found, str):
            assert same(found, wanted)

    run()
    assert sum(outcomes.values()) >= examples // 2
    gc.collect()


def content_of(folder: Path, format: str, name: str) -> bytes:
    EXAMPLES[format][name](folder / name)
    return (folder / name).read_bytes()


@pytest.mark.parametrize("format", EXAMPLES)
def test_changed_files_are_read_or_refused(tmp_path: Path, format: str) -> None:
    names = list(EXAMPLES[format])
    for name in names:
        fuzz(tmp_path, name, content_of(tmp_path, format, name), FAST // len(names) + 1)


@pytest.mark.long
@pytest.mark.parametrize("format", EXAMPLES)
def test_many_changed_files_are_read_or_refused(tmp_path: Path, format: str) -> None:
    names = list(EXAMPLES[format])
    for name in names:
        fuzz(tmp_path, name, content_of(tmp_path, format, name), max(FAST + 1, LONG // len(names)))


# --------------------------------------------------------------------------- checksums


def checked_files(folder: Path) -> dict[str, bytes]:
    """Files in which a checksum stands over pixels."""
    plain = content_of(folder, "npy", "uint16.npy")
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.npy", plain)
    with h5py.File(folder / "a.h5", "w", libver="latest") as file:  # whose metadata have checksums too
        file.create_dataset("data", data=counts("uint16", (2, 9, 8)), chunks=(1, 9, 8), fletcher32=True)
    return {
        "a.png": content_of(folder, "picture", "uint16.png"),
        "a.cbf": content_of(folder, "cbf", "int32.cbf"),
        "a.npy.gz": gzip.compress(plain),
        "a.npy.bz2": bz2.compress(plain),
        "a.npz": archive.getvalue(),
        "a.h5": (folder / "a.h5").read_bytes(),
    }


@pytest.mark.parametrize("name", ["a.png", "a.cbf", "a.npy.gz", "a.npy.bz2", "a.npz", "a.h5"])
def test_no_wrong_frame_where_a_checksum_says_otherwise(tmp_path: Path, name: str) -> None:
    check_sums(tmp_path, name, FAST)


@pytest.mark.long
@pytest.mark.parametrize("name", ["a.png", "a.cbf", "a.npy.gz", "a.npy.bz2", "a.npz", "a.h5"])
def test_no_wrong_frame_in_many_changed_files(tmp_path: Path, name: str) -> None:
    check_sums(tmp_path, name, LONG // 2)


def check_sums(folder: Path, name: str, examples: int) -> None:
    data = checked_files(folder)[name]
    (folder / name).write_bytes(data)
    wanted = read(folder / name)
    assert not isinstance(wanted, str)
    # The header of a CBF file, which says what its checksum is, has none itself.
    start = data.index(b"\x0c\x1a\x04\xd5") if name == "a.cbf" else 0
    fuzz(folder, name, data, examples, wanted=wanted, start=start)
