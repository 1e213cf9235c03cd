"""Detector formats that are told by their first bytes: EDF, SMV, HiPic, GE, and what fabio decodes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.data.format import Format, OpenFile, Source, split_suffix
from sweeper.data.formats._edf import open_edf
from sweeper.data.formats._ge import open_ge
from sweeper.data.formats._hipic import open_hipic
from sweeper.data.formats._library_logs import listening
from sweeper.data.formats._smv import is_smv, open_smv
from sweeper.errors import FrameError

_HEAD = 512
_CODECS: tuple[tuple[bytes, str, str], ...] = (
    (b"FORMAT :100", "bruker100image", "Bruker"),
    (b"FORMAT :        86", "brukerimage", "Bruker"),
    (b"OD SAPPHIRE", "oxdimage", "Oxford Diffraction"),
    (b"\x2d\x04\0\0", "mar345image", "mar345"),
    (b"\xd2\x04\0\0", "mar345image", "mar345"),
    (b"\0\0\x04\x2d", "mar345image", "mar345"),
    (b"\0\0\x04\xd2", "mar345image", "mar345"),
    (b"M\0\0\0A\0\0\0S\0\0\0K\0\0\0", "fit2dmaskimage", "Fit2D mask"),
    (b"\n\xb8\x03\0", "pixiimage", "PIXI"),
    (b"R-AXIS", "raxisimage", "R-AXIS"),
    (b"\\$FFF_START", "fit2dimage", "Fit2D"),
    (b"ESPERANTO FORMAT", "esperantoimage", "Esperanto"),
    (b"No", "kcdimage", "Nonius KappaCCD"),
)
"""How files begin that fabio decodes, the name of its codec, and what people call the format."""
_MPA = re.compile(rb"^\[ADC\d\]|mpafmt=", re.MULTILINE)
_UNSUPPORTED: tuple[tuple[bytes, int, str], ...] = (
    (b"\0\0\0\x03", 0, "Gatan DM3"),
    (b"\0\0\0\x04", 0, "Gatan DM4"),
    (b"IMGBLO", 0, "NanoMEGAS BLO"),
    (b"II\x97\x01", 0, "FEI TIA (SER)"),
    (b"\x0e\x03\x13\x01", 0, "HDF4"),
    (b"\0\0\0\x0cjP  ", 0, "JPEG 2000"),
    (b"\xff\x4f\xff\x51", 0, "JPEG 2000"),
    (b"GIF8", 0, "GIF"),
    (b"BM", 0, "BMP"),
    (b"SIMPLE  =", 0, "FITS"),
    (b"MQ1,", 0, "Merlin MIB"),
    (b"CDF", 0, "netCDF"),
    (b"MATLAB", 0, "MATLAB"),
    (b"DICM", 128, "DICOM"),
    (b"PK\x03\x04", 0, "ZIP"),
    (b"%PDF", 0, "PDF"),
    (b"<", 0, "XML"),
)
"""Files that are refused by their name: what stands at a place in them, and what people call them."""
_PIXI_FRAME = 24 + 476 * 512 * 2


@contextmanager
def _open(source: Source) -> Iterator[OpenFile]:
    """Open a file by what it begins with."""
    begins = source.beginning(_HEAD)
    with _opener(source, begins)(source) as file:
        yield file


def _opener(source: Source, begins: bytes) -> Callable[[Source], AbstractContextManager[OpenFile]]:
    if re.fullmatch(r"\.ge\d?", split_suffix(source.path)[0]):
        return open_ge
    refuse_by_name(source.path, begins)
    if begins.lstrip().startswith(b"{"):
        return open_smv if is_smv(begins) else open_edf
    if begins.startswith(b"IM") and len(begins) > 64 and not any(begins[16:32]):
        return open_hipic
    if begins.startswith(b"ADEPT"):
        return open_ge
    for mark, codec, name in _CODECS:
        if begins.startswith(mark):
            return lambda source: _open_fabio(source, codec, name)
    if _MPA.search(begins):
        return lambda source: _open_fabio(source, "mpaimage", "MPA")
    raise FrameError(source.path, "of no format that is known, or damaged: it begins as none of them does")


def refuse_by_name(path: Path, begins: bytes) -> None:
    """Refuse a file of a known format that is not supported.

    Raises
    ------
    FrameError
        It is one.
    """
    for mark, at, name in _UNSUPPORTED:
        if begins[at:].startswith(mark):
            raise FrameError(path, f"{name} files are not supported")


# --------------------------------------------------------------------------- what fabio decodes


@contextmanager
def _open_fabio(source: Source, codec: str, name: str) -> Iterator[OpenFile]:
    from fabio import fabioformats

    with source.on_disk() as path:
        _check_size(path, codec)
        image = fabioformats.factory(codec)
        with _errors(path, name):
            image = image.read(str(path))
        try:
            number = int(image.nframes)
            yield OpenFile(number, lambda index: _frame(path, name, image, index, number))
        finally:
            image.close()


def _check_size(path: Path, codec: str) -> None:
    """Refuse a file whose last frame is cut short, where fabio leaves it out or takes a header for pixels."""
    size = path.stat().st_size
    if codec == "pixiimage" and size % _PIXI_FRAME:
        raise FrameError(path, f"truncated: {size} bytes are no whole number of frames of {_PIXI_FRAME}")
    if codec == "kcdimage":
        with path.open("rb") as stream:
            head = stream.read(4096)
        said = {key: int(value) for key, value in re.findall(rb"(?m)^([A-Za-z ]+?) *= *(\d+) *$", head)}
        pixels = (
            2 * said.get(b"X dimension", 0) * said.get(b"Y dimension", 0) * said.get(b"Number of readouts", 1)
        )
        if not pixels or not _is_header(head, size - pixels):
            raise FrameError(path, f"truncated: its header says {pixels} bytes of pixels, it has {size}")


def _is_header(head: bytes, size: int) -> bool:
    """Return whether lines of text end at a place, or before, and pixels may follow."""
    text = re.match(rb"(?:[\x20-\x7e\t\r]*\n)*", head)
    assert text is not None
    if size > text.end():
        return True  # padded
    ends = size > 0 and head[size - 1 : size] == b"\n"
    return ends and re.match(rb"[\x20-\x7e]+=[\x20-\x7e\t\r]*\n", head[size:]) is None


def _frame(path: Path, name: str, image: Any, index: int, number: int) -> NDArray[Any]:
    with _errors(path, name):
        data = image.data if number == 1 else image.get_frame(index).data
    if data is None:
        raise FrameError(path, f"damaged or truncated: frame {index} has no data")
    return np.array(data)


@contextmanager
def _errors(path: Path, name: str) -> Iterator[None]:
    """Take what fabio logs as an error for one: it logs, and returns pixels."""
    problem = f"cannot be read as {name}: damaged or truncated"
    try:
        with listening("fabio") as heard:
            yield
    except FrameError:
        raise
    except Exception as error:  # each codec has its own
        raise FrameError(path, problem) from error
    if heard:
        raise FrameError(path, problem)


_MAR345_SIZES = (1200, 1600, 1800, 2000, 2300, 2400, 3000, 3450)

FORMAT = Format(
    name="fabio",
    suffixes=(
        *(
            ".edf",
            ".cor",
            ".img",
            ".mccd",
            ".marccd",
            ".sfrm",
            ".osc",
            ".kcd",
            ".f2d",
            ".esper",
            ".esperanto",
        ),
        *(".mpa", ".dm3", ".dm4", ".blo"),
        *(".ge", ".ge1", ".ge2", ".ge3", ".ge4", ".ge5"),
        *(f".mar{size}" for size in _MAR345_SIZES),
    ),
    library="fabio; none for EDF, SMV, d*TREK, HiPic and GE, whose formats are simple",
    reads="EDF, SMV (ADSC), d*TREK, HiPic of 8 to 32 bits, GE, mar345, Bruker, Oxford Diffraction, "
    "R-AXIS, Nonius, Esperanto, MPA, PIXI and Fit2D, by their first bytes, whatever their suffix; "
    "MarCCD is read as TIFF",
    refuses="a file that is longer or shorter than its header says; blocks and images that are "
    "compressed in other ways than by gzip; what fabio reports as an error; Gatan DM3 and DM4, "
    "NanoMEGAS BLO and other formats by name",
    images="as many as the header says: the blocks of EDF, its Num_Images and third axis, the third "
    "axis of SMV; blocks that EDF calls errors or masks are no frames",
    masks="counts that reach the saturation of an SMV header, and EDF's Dummy, are invalid; a Fit2D "
    ".msk is read where a mask file is asked for",
    open=_open,
    takes_other_suffixes=True,
    title="a detector format",
)
