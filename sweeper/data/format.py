"""The interface of file formats: all that a file in ``sweeper/data/formats/`` imports but ``FrameError``.

``docs/add_a_format.md`` shows how the parts go together.
"""

from __future__ import annotations

import bz2
import gzip
import io
import shutil
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.data.header import Header
from sweeper.errors import FrameError

COMPRESSIONS: dict[str, Callable[[Path], Any]] = {".gz": gzip.open, ".bz2": bz2.open}
"""Last suffix of a compressed file, and what opens it. Every format is read from compressed files too."""

_SMALL = 2**26  # bytes that any file may unpack to
_PACKED_MOST = 5000  # bytes of pixels that a byte of a file may hold; deflate reaches 1032


@dataclass(frozen=True)
class Reading:
    """How files are to be read where their formats leave a choice.

    Attributes
    ----------
    dataset : str or None
        Path of the HDF5 dataset that holds the frames; ``*`` stands for any name. None: found by rules.
    scan_grid : bool
        Whether all axes of an HDF5 dataset but the last two count frames, as in a scan over a grid. Otherwise
        the third axis from the end, where there are four or more, counts panels of one frame.
    own_mask : bool
        Whether the mask and the limits of valid counts that a file itself states are honoured.
    header : bool
        Whether what a file says of how a frame was taken is read, and is part of the frame.
    """

    dataset: str | None = None
    scan_grid: bool = False
    own_mask: bool = True
    header: bool = False


DEFAULT_READING = Reading()


@dataclass(frozen=True)
class Source:
    """A file to be opened, compressed or not. The methods give its content as it was before compression.

    Attributes
    ----------
    path : Path
        The file itself, which messages name.
    compression : str
        Key of :data:`COMPRESSIONS`, or empty.
    reading : Reading
    """

    path: Path
    compression: str = ""
    reading: Reading = DEFAULT_READING

    @contextmanager
    def stream(self) -> Iterator[Any]:
        """Open the content for reading from the start; nothing is held in memory."""
        with COMPRESSIONS.get(self.compression, _open_plain)(self.path) as stream:
            yield stream

    def beginning(self, size: int) -> bytes:
        """Return the first bytes of the content, fewer where there are no more."""
        with self.stream() as stream:
            data: bytes = stream.read(size)
        return data

    def content(self) -> bytes:
        """Return the content in full."""
        with self.stream() as stream:
            data: bytes = stream.read()
        return data

    def seekable(self) -> Path | io.BytesIO:
        """Return what a library may seek in: the path, or the content of a compressed file in memory."""
        return io.BytesIO(self.content()) if self.compression else self.path

    @contextmanager
    def on_disk(self) -> Iterator[Path]:
        """Give the path of a file that is not compressed, for a library that takes nothing else.

        A compressed file is unpacked into a temporary folder for as long as the context lasts.
        """
        if not self.compression:
            yield self.path
            return
        with tempfile.TemporaryDirectory(prefix="sweeper-") as folder:
            plain = Path(folder, self.path.stem)
            with self.stream() as stream, plain.open("wb") as unpacked:
                shutil.copyfileobj(stream, unpacked)
            yield plain


@dataclass(frozen=True)
class Limits:
    """The limits of valid counts that a file's header states.

    Attributes
    ----------
    lowest, highest : float or None
        The least and the largest valid count; None: not stated.
    dummies : tuple of float
        Counts that stand for no measurement.
    dummy_width : float
        How far from one of `dummies` a count may be and still stand for none.
    """

    lowest: float | None = None
    highest: float | None = None
    dummies: tuple[float, ...] = ()
    dummy_width: float = 0.0

    def __bool__(self) -> bool:
        return self.lowest is not None or self.highest is not None or self.dummies != ()

    def invalid(self, counts: NDArray[Any]) -> NDArray[np.bool_]:
        """Return which pixels of a frame are outside, bool, (height, width)."""
        outside = np.zeros(counts.shape, dtype=np.bool_)
        # Compared as Python numbers: a limit need not fit the type of the counts.
        if self.lowest is not None:
            outside |= counts < self.lowest
        if self.highest is not None:
            outside |= counts > self.highest
        for dummy in self.dummies:
            outside |= (counts >= dummy - self.dummy_width) & (counts <= dummy + self.dummy_width)
        return outside


@dataclass(frozen=True)
class OpenFile:
    """An open file: how many frames it holds, and a function that reads the one at a position.

    ``read`` is called with positions from 0 to ``count - 1``, in any order and as often as wanted, by
    one thread. It returns an array (height, width) of its own in the file's data type; one that shares its
    memory with others is refused by the conformance checks. An array (height, width, 2 to 4) is an image in
    colours, see :func:`sweeper.data.colour.grey`.

    Attributes
    ----------
    count : int
    read : callable
    own_mask : callable, optional
        Gives for a position the mask that the file holds, bool, (height, width), True where a pixel is
        invalid; or None.
    limits : callable
        Gives for a position what the header says of valid counts.
    header : callable
        Gives for a position what the file says of how the frame was taken, see :mod:`sweeper.data.header`.
    note : str
        What a person should know of how the file was taken where there was a choice: which dataset, what its
        axes are. The same for files that were taken in the same way; empty where there was no choice.
    """

    count: int
    read: Callable[[int], NDArray[Any]]
    own_mask: Callable[[int], NDArray[np.bool_] | None] | None = None
    limits: Callable[[int], Limits] = lambda index: Limits()
    note: str = ""
    header: Callable[[int], Header] = lambda index: {}


@dataclass(frozen=True)
class Format:
    """A family of files that one library reads.

    Attributes
    ----------
    name : str
        Name of the module that holds it.
    suffixes : tuple of str
        In lower case with their dot. Each belongs to one format.
    library : str
        What decodes the files.
    reads : str
        What is read. This and the next three are for people: ``sweeper list formats`` and the docs.
    refuses : str
        What is refused, beside colour images and files that are cut short, which every format refuses.
    images : str
        What a file with several images is: how many frames, in which order.
    masks : str
        What becomes of a mask that the file itself holds.
    open : callable
        Opens a file as a context manager. It reads headers only, so that counting frames is cheap, and
        may raise anything: what it raises becomes a :class:`~sweeper.errors.FrameError`.
    read_mask : callable, optional
        Reads the mask, (height, width), that a file holds beside frames or instead of them; None when
        it holds none. Left out, a mask file is read as a frame is.
    takes_other_suffixes : bool
        Whether it is tried on files of suffixes that no format has. At most one format may be.
    magic : tuple of bytes
        How its files begin, where that tells them from all others: a file of a suffix that no format has, or
        that belongs to the format which takes those, is read as one of these.
    title : str
        What people call it; by default the name in capitals.
    datasets : bool
        Whether its files hold several arrays under names of their own.
    """

    name: str
    suffixes: tuple[str, ...]
    library: str
    reads: str
    refuses: str
    images: str
    masks: str
    open: Callable[[Source], AbstractContextManager[OpenFile]]
    read_mask: Callable[[Source], NDArray[Any] | None] | None = None
    takes_other_suffixes: bool = False
    magic: tuple[bytes, ...] = ()
    title: str = ""
    datasets: bool = False

    @property
    def called(self) -> str:
        """Return the name of the format in messages."""
        return self.title or self.name.upper()


def _open_plain(path: Path) -> Any:
    return path.open("rb")


def split_suffix(path: str | Path) -> tuple[str, str]:
    """Return the suffix that tells a format and that of the compression, both in lower case.

    ``run.1.CBF.gz`` gives ``(".cbf", ".gz")``. Either may be empty.
    """
    suffixes = [suffix.lower() for suffix in Path(path).suffixes]
    compression = suffixes.pop() if suffixes and suffixes[-1] in COMPRESSIONS else ""
    return (suffixes[-1] if suffixes else ""), compression


def reason(error: BaseException, title: str) -> str:
    """Return why a file cannot be read, on one line, from whatever was raised while it was.

    What a library says of its own insides helps nobody, so that it stays in the chain of exceptions.

    Parameters
    ----------
    error : BaseException
    title : str
        What people call the format.
    """
    if isinstance(error, MemoryError):
        return f"cannot be read as {title}: its header asks for more memory than there is"
    if isinstance(error, OSError) and error.strerror:
        return f"cannot be read: {error.strerror}"
    if isinstance(error, EOFError):
        return f"cannot be read as {title}: truncated, the file ends early"
    if isinstance(error, gzip.BadGzipFile | zlib.error) or "data stream" in str(error):
        return f"cannot be read as {title}: its compressed data are damaged or truncated"
    return f"cannot be read as {title}: damaged, truncated or of another kind"


def check_size(path: Path, wanted: int, stored: int) -> None:
    """Refuse a header that asks for more bytes of pixels than the stored bytes can hold when unpacked.

    Raises
    ------
    FrameError
        It would take memory that the file cannot justify.
    """
    if wanted > max(_SMALL, _PACKED_MOST * stored):
        raise FrameError(
            path, f"damaged or truncated: its header asks for {wanted} bytes of pixels, {stored} are stored"
        )
