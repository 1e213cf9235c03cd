"""Every format passes every check, on files of several data types and numbers of frames; checks can fail."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from sweeper.data.format import Format, OpenFile, Source
from sweeper.data.formats import formats
from sweeper.errors import CheckFailedError
from sweeper.testing.formats import CHECKS, Example, check_declaration, check_format
from tests.data.examples import EXAMPLES, counts

FILES = [(format, name) for format in formats() for name in EXAMPLES.get(format.name, {})]


@pytest.mark.parametrize("format", formats(), ids=lambda format: format.name)
def test_every_format_declares_itself_and_has_examples(format: Format) -> None:
    check_declaration(format)
    assert EXAMPLES.get(format.name), "EXAMPLES needs files of this format"


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize(("format", "name"), FILES, ids=[f"{format.name}-{name}" for format, name in FILES])
def test_every_format_passes_every_check(
    tmp_path: Path, format: Format, name: str, check: Callable[[Example], None]
) -> None:
    example = Example(format, tmp_path / name, tmp_path / "copies")
    EXAMPLES[format.name][name](example.path)
    example.folder.mkdir()
    check(example)


# --------------------------------------------------------------------------- formats that break a rule

MAGIC = b"RULES"
HEIGHT, WIDTH = 8, 9
FRAME_BYTES = HEIGHT * WIDTH
STATE: dict[str, Any] = {}


class Plain:
    """A format that keeps every rule: a magic word, the number of frames, and frames of 8 × 9 bytes."""

    def check(self, source: Source, stream: Any) -> None:
        if stream.read(len(MAGIC)) != MAGIC:
            raise ValueError("no such file")

    def read(self, stream: Any, index: int) -> NDArray[Any]:
        stream.seek(len(MAGIC) + 1 + index * FRAME_BYTES)
        data = stream.read(FRAME_BYTES)
        if len(data) < FRAME_BYTES:
            raise ValueError("cut short")
        return np.frombuffer(data, np.uint8).reshape(HEIGHT, WIDTH).copy()

    def count(self, stream: Any) -> int:
        return int(stream.read(1)[0])

    @contextmanager
    def open(self, source: Source) -> Iterator[OpenFile]:
        with source.stream() as stream:
            self.check(source, stream)
            yield OpenFile(self.count(stream), lambda index: self.read(stream, index))


class CountsDiffer(Plain):
    def count(self, stream: Any) -> int:
        STATE["opened"] = STATE.get("opened", 0) + 1
        return super().count(stream) - STATE["opened"] % 2


class ReadsTheNext(Plain):
    def read(self, stream: Any, index: int) -> NDArray[Any]:
        STATE["next"] = STATE.get("next", -1) + 1
        return super().read(stream, STATE["next"] % 3)


class SharesItsArray(Plain):
    def read(self, stream: Any, index: int) -> NDArray[Any]:
        key = f"frame {index}"
        return STATE.setdefault(key, super().read(stream, index))  # type: ignore[no-any-return]


class IsReadOnly(Plain):
    def read(self, stream: Any, index: int) -> NDArray[Any]:
        frame = super().read(stream, index)
        frame.flags.writeable = False
        return frame


class StaysOpen(Plain):
    @contextmanager
    def open(self, source: Source) -> Iterator[OpenFile]:
        STATE.setdefault("files", []).append(source.path.open("rb"))
        with super().open(source) as file:
            yield file


class FailsToClose(Plain):
    @contextmanager
    def open(self, source: Source) -> Iterator[OpenFile]:
        with super().open(source) as file:
            yield file
        raise OSError("cannot be closed")


class IsForOneThread(Plain):
    @contextmanager
    def open(self, source: Source) -> Iterator[OpenFile]:
        STATE["open"] = STATE.get("open", 0) + 1
        try:
            with super().open(source) as file:
                yield file
        finally:
            STATE["open"] -= 1

    def read(self, stream: Any, index: int) -> NDArray[Any]:
        time.sleep(0.002)
        return super().read(stream, index) * np.uint8(STATE["open"] == 1)


class LooksAtTheName(Plain):
    def check(self, source: Source, stream: Any) -> None:
        super().check(source, stream)
        if "#" in source.path.name:
            raise ValueError("a name with #")


class IgnoresCompression(Plain):
    @contextmanager
    def open(self, source: Source) -> Iterator[OpenFile]:
        with super().open(Source(source.path)) as file:
            yield file


class TakesAnything(Plain):
    def check(self, source: Source, stream: Any) -> None:
        stream.seek(len(MAGIC))

    def count(self, stream: Any) -> int:
        return min(3, super().count(stream))


class FillsUp(Plain):
    def read(self, stream: Any, index: int) -> NDArray[Any]:
        stream.seek(len(MAGIC) + 1 + index * FRAME_BYTES)
        data = stream.read(FRAME_BYTES).ljust(FRAME_BYTES, b"\0")
        return np.frombuffer(data, np.uint8).reshape(HEIGHT, WIDTH).copy()


class IsAColourImage(Plain):
    def read(self, stream: Any, index: int) -> NDArray[Any]:
        frame = super().read(stream, index)
        return np.stack([frame, frame + 1, frame + 2], axis=-1)


def format_of(kind: type[Plain]) -> Format:
    return Format("rules", (".rules",), "none", "bytes", "nothing", "a count", "has none", kind().open)


@pytest.fixture
def rules_file(tmp_path: Path) -> Path:
    STATE.clear()
    path = tmp_path / "a.rules"
    path.write_bytes(MAGIC + bytes([3]) + counts("uint8", (3, HEIGHT, WIDTH)).tobytes())
    (tmp_path / "work").mkdir()
    return path


def test_a_format_outside_the_folder_can_be_checked(rules_file: Path, tmp_path: Path) -> None:
    check_format(format_of(Plain), [rules_file], tmp_path / "work")
    with pytest.raises(CheckFailedError, match="needs an example file"):
        check_format(format_of(Plain), [], tmp_path / "work")


@pytest.mark.parametrize(
    ("kind", "rule"),
    [
        (CountsDiffer, "must count 2 frames again, got 3"),
        (ReadsTheNext, "must be the same in any order"),
        (SharesItsArray, "must be the same when it is read again"),
        (IsReadOnly, "frame 2 must be an array of its own"),
        (StaysOpen, "must be closed when its context ends"),
        (FailsToClose, "closing must raise nothing, got OSError: cannot be closed"),
        (IsForOneThread, "must be the same in several threads at once"),
        (LooksAtTheName, "must be read whatever the file is called"),
        (IgnoresCompression, "must be read from a compressed file"),
        (TakesAnything, "must be refused: it is no frame"),
        (FillsUp, "must be whole or refused when only"),
        (IsAColourImage, "a true colour image .* an example must be readable"),
    ],
)
def test_a_format_that_breaks_a_rule_is_told_which(
    rules_file: Path, tmp_path: Path, kind: type[Plain], rule: str
) -> None:
    with pytest.raises(CheckFailedError, match=f"^format rules: .*{rule}"):
        check_format(format_of(kind), [rules_file], tmp_path / "work")
    for file in STATE.get("files", []):
        file.close()


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"name": "my format"}, "name must be the name of a module"),
        ({"suffixes": ()}, "suffixes must not be empty"),
        ({"suffixes": (".a", ".a")}, "suffixes must differ"),
        ({"suffixes": ("tif",)}, "suffixes must be like .tif"),
        ({"suffixes": (".TIF",)}, "suffixes must be like .tif"),
        ({"suffixes": (".gz",)}, "suffixes must not be those of compressed files"),
        ({"reads": ""}, "reads must be a line of text"),
        ({"masks": "two\nlines"}, "masks must be a line of text"),
    ],
)
def test_a_format_that_declares_itself_badly_is_told_how(change: dict[str, Any], rule: str) -> None:
    with pytest.raises(CheckFailedError, match=f"^format .*: {rule}"):
        check_declaration(replace(format_of(Plain), **change))
