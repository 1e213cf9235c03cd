"""CBF as DECTRIS detectors write it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from numpy.typing import NDArray

from sweeper.data.format import Format, OpenFile, Source
from sweeper.data.formats.fabio import open_fabio
from sweeper.errors import FrameError


@contextmanager
def _open(source: Source) -> Iterator[OpenFile]:
    """Open a file as one frame, always, so that counting need not decode it, which fabio does on opening."""
    with source.stream() as stream:
        if not stream.read(16).startswith(b"###CBF"):
            raise FrameError(source.path, "not a CBF file: it does not begin with ###CBF")

    def read(index: int) -> NDArray[Any]:
        with open_fabio(source) as file:
            return file.read(index)

    yield OpenFile(1, read)


FORMAT = Format(
    name="cbf",
    suffixes=(".cbf",),
    library="fabio",
    reads="counts in byte-offset compression, checked against the MD5 sum that the file states",
    refuses="files that do not begin with ###CBF; a wrong checksum",
    images="one frame a file",
    masks="negative counts, such as −1 and −2 of Pilatus detectors, are invalid unless negative is valid",
    open=_open,
)
