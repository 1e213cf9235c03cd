"""Detector formats that the library fabio knows by their first bytes: EDF, MarCCD, ADSC, GE, ..."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.data.format import Format, OpenFile, Source, reason
from sweeper.errors import FrameError

_CBF_MARK = b"\x0c\x1a\x04\xd5"
_BLOCK_BYTES = 2**16


@contextmanager
def open_fabio(source: Source) -> Iterator[OpenFile]:
    """Open a file of whatever format fabio takes it for.

    A compressed file is unpacked here: of a torn .edf.gz fabio makes zeros and says nothing.
    """
    import fabio

    with source.on_disk() as path:
        _check_cbf(path)
        with _errors(path):
            image = fabio.open(str(path))
        try:
            yield OpenFile(int(image.nframes), lambda index: _frame(path, image, index))
        finally:
            image.close()


def _check_cbf(path: Path) -> None:
    """Refuse a CBF without the mark that stands before its pixels: fabio would look for it for ever."""
    with path.open("rb") as file:
        block = file.read(_BLOCK_BYTES)
        if not block.startswith(b"###CBF"):
            return
        end = b""
        while block:
            if _CBF_MARK in end + block:
                return
            end, block = block[1 - len(_CBF_MARK) :], file.read(_BLOCK_BYTES)
    raise FrameError(path, "unreadable or truncated: a CBF file that ends before its pixels begin")


def _frame(path: Path, image: Any, index: int) -> NDArray[Any]:
    with _errors(path):
        data = image.data if image.nframes == 1 else image.get_frame(index).data
    if data is None:
        raise FrameError(path, f"unreadable or truncated: frame {index} has no data")
    return np.array(data)


# --------------------------------------------------------------------------- what fabio logs


class _Listener(logging.Handler):
    """Takes what fabio logs in a thread that listens, and passes on what it logs in others."""

    def __init__(self) -> None:
        super().__init__()
        self.of_thread = threading.local()

    def emit(self, record: logging.LogRecord) -> None:
        heard: list[str] | None = getattr(self.of_thread, "heard", None)
        if heard is None:
            logging.getLogger().callHandlers(record)
        elif record.levelno >= logging.ERROR:
            heard.append(record.getMessage())


_LISTENER = _Listener()


@contextmanager
def _errors(path: Path) -> Iterator[None]:
    """Keep fabio quiet, and take what it logs as an error for one.

    For a truncated EDF file or a CBF whose checksum fails, fabio logs an error and returns pixels.
    """
    logger = logging.getLogger("fabio")
    logger.addHandler(_LISTENER)  # once, however often it is added
    logger.propagate = False
    of_thread = _LISTENER.of_thread
    heard: list[str] = []
    of_thread.heard = heard
    try:
        yield
    except Exception as error:  # each format of fabio has its own
        raise FrameError(path, reason(path, error)) from error
    finally:
        del of_thread.heard
    if heard:
        raise FrameError(path, reason(path, ValueError(heard[0])))


_MAR345_SIZES = (1200, 1600, 1800, 2000, 2300, 2400, 3000, 3450)

FORMAT = Format(
    name="fabio",
    suffixes=(
        *(".edf", ".cor", ".img", ".mccd", ".marccd", ".sfrm", ".osc", ".kcd", ".dm3", ".spe", ".pgm"),
        *(".pnm", ".f2d", ".mrc", ".esper", ".esperanto", ".mpa"),
        *(".ge", ".ge1", ".ge2", ".ge3", ".ge4", ".ge5"),
        *(f".mar{size}" for size in _MAR345_SIZES),
    ),
    library="fabio",
    reads="EDF, MarCCD, mar345, ADSC, d*TREK, Bruker, Rigaku, Nonius, GE, Esperanto, HiPic and others that "
    "fabio knows by their first bytes, whatever their suffix",
    refuses="what fabio reports as an error, such as a wrong checksum or too few bytes",
    images="as many frames as fabio counts, in the order of the file",
    masks="a Fit2D .msk is read where a mask file is asked for",
    open=open_fabio,
    takes_other_suffixes=True,
)
