"""The file that a model is kept in: a zip whose members are stored as they are.

Nothing in it is code, and reading it takes no more memory than the file has bytes: members that are
compressed, overlap, go by strange names or claim to be larger than the file are refused before they are read.
"""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.atomic import atomically
from sweeper.errors import InputError

_NAME = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)*(/[a-z0-9_]+(\.[a-z0-9_]+)*)?", re.ASCII)
_MOST_MEMBERS = 10_000
_LONGEST_HEADER = 4096  # bytes of the header of an array
_KINDS = "biuf"  # of arrays: bools and numbers


def write_archive(path: Path, members: Mapping[str, bytes]) -> None:
    """Write members into a file, whole or not at all; the same members give the same bytes.

    Raises
    ------
    OSError
        It cannot be written; the message names `path`.
    """
    with atomically(path) as partial, zipfile.ZipFile(partial, "w", zipfile.ZIP_STORED) as archive:
        for name, data in members.items():
            assert _NAME.fullmatch(name), name
            archive.writestr(zipfile.ZipInfo(name), data)


def read_archive(source: Path | bytes, called: str, only: tuple[str, ...] = ("",)) -> dict[str, bytes]:
    """Read the members of a file, or of one that is in memory.

    Parameters
    ----------
    source : Path or bytes
    called : str
        What messages call it.
    only : tuple of str
        Beginnings of the names of those to read; by default all.

    Raises
    ------
    InputError
        It is no such file, is damaged, or holds what a model does not.
    """
    try:
        size = len(source) if isinstance(source, bytes) else source.stat().st_size
        with zipfile.ZipFile(io.BytesIO(source) if isinstance(source, bytes) else source) as archive:
            entries = archive.infolist()
            _check_entries(entries, size, called)
            return {
                entry.filename: archive.read(entry) for entry in entries if entry.filename.startswith(only)
            }
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"{called}: no such model file") from None
    except OSError as error:
        raise InputError(f"{called}: cannot be read: {error.strerror or error}") from None
    except Exception as error:  # zipfile raises many things over damaged files
        raise InputError(
            f"{called}: must be a model file, it is damaged or something else: {error}"
        ) from None


def _check_entries(entries: list[zipfile.ZipInfo], size: int, called: str) -> None:
    problem = ""
    if len(entries) > _MOST_MEMBERS:
        problem = f"it has {len(entries)} members"
    elif len({entry.filename for entry in entries}) < len(entries):
        problem = "two members have one name"
    elif sum(entry.file_size for entry in entries) > size:
        problem = "its members claim to be larger than the file"
    for entry in entries:
        if not _NAME.fullmatch(entry.filename):
            problem = f"a member is called {entry.filename!r}"
        elif entry.compress_type != zipfile.ZIP_STORED or entry.file_size != entry.compress_size:
            problem = f"{entry.filename} is compressed"
        elif entry.flag_bits & 0x1:
            problem = f"{entry.filename} is encrypted"
    if problem:
        raise InputError(f"{called}: must be a model file as sweeper export writes it, {problem}")


def digest_of(data: bytes) -> str:
    """Return a digest of a member, 40 hexadecimal characters."""
    return hashlib.blake2b(data, digest_size=20).hexdigest()


# --------------------------------------------------------------------------- arrays


def from_array(array: NDArray[Any]) -> bytes:
    """Return an array of bools or numbers as the bytes of an NPY file."""
    assert array.dtype.kind in _KINDS, array.dtype
    file = io.BytesIO()
    np.lib.format.write_array(file, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
    return file.getvalue()


def to_array(data: bytes, called: str) -> NDArray[Any]:
    """Return the array that the bytes of an NPY file hold; nothing is allocated that is not there.

    Raises
    ------
    InputError
        They hold no array of bools, numbers or records of them, or more or fewer values than their header
        says.
    """
    file = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(file)
        if version != (1, 0):
            raise ValueError(f"version {version}")
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(file, max_header_size=_LONGEST_HEADER)
        fields = [dtype] if dtype.fields is None else [kind for kind, *_ in dtype.fields.values()]
        if any(field.kind not in _KINDS for field in fields) or any(length < 0 for length in shape):
            raise ValueError(f"{dtype} of shape {shape}")
        values = np.frombuffer(data, dtype=dtype, offset=file.tell())
        return values.reshape(shape, order="F" if fortran else "C")
    except (ValueError, TypeError, SyntaxError, EOFError) as error:
        raise InputError(f"{called}: must be an array of numbers: {error}") from None
