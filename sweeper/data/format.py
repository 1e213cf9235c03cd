"""What a file format is: all that a file in ``sweeper/data/formats/`` imports, beside ``FrameError``.

``docs/add_a_format.md`` shows how the parts go together.
"""

from __future__ import annotations

import bz2
import gzip
import io
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

COMPRESSIONS: dict[str, Callable[[Path], Any]] = {".gz": gzip.open, ".bz2": bz2.open}
"""Last suffix of a compressed file, and what opens it. Every format is read from compressed files too."""

_MAX_REASON = 200  # characters: a message stays one readable line


@dataclass(frozen=True)
class Source:
    """A file to be opened, compressed or not. The methods give its content as it was before compression.

    Attributes
    ----------
    path : Path
        The file itself, which messages name.
    compression : str
        Key of :data:`COMPRESSIONS`, or empty.
    """

    path: Path
    compression: str = ""

    @contextmanager
    def stream(self) -> Iterator[Any]:
        """Open the content for reading from the start; nothing is held in memory."""
        with COMPRESSIONS.get(self.compression, _open_plain)(self.path) as stream:
            yield stream

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
class OpenFile:
    """An open file: how many frames it holds, and a function that reads the one at a position.

    ``read`` is called with positions from 0 to ``count - 1``, in any order and as often as wanted, by
    one thread. It returns an array (height, width) of its own in the file's data type.
    """

    count: int
    read: Callable[[int], NDArray[Any]]


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


def _open_plain(path: Path) -> Any:
    return path.open("rb")


def split_suffix(path: str | Path) -> tuple[str, str]:
    """Return the suffix that tells a format and that of the compression, both in lower case.

    ``run.1.CBF.gz`` gives ``(".cbf", ".gz")``. Either may be empty.
    """
    suffixes = [suffix.lower() for suffix in Path(path).suffixes]
    compression = suffixes.pop() if suffixes and suffixes[-1] in COMPRESSIONS else ""
    return (suffixes[-1] if suffixes else ""), compression


def reason(path: str | Path, error: BaseException) -> str:
    """Return what a library's exception says, on one line and without the path."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    text = " ".join(text.replace(str(path), "the file").split())
    if len(text) > _MAX_REASON:
        text = text[:_MAX_REASON] + "..."
    return f"unreadable or truncated: {text or type(error).__name__}"
