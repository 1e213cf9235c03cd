"""Headers of ``key = value;`` in braces, as EDF, SMV and d*TREK files have them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from sweeper.errors import FrameError

_END = re.compile(rb"}\r?\n")
_BLOCK = 512
_MOST = 2**20  # bytes of a header
_SPACE = " \t\r\n\0\x0c\x0b"


class Header(dict[str, str]):
    """The entries of a header, by key in capitals."""

    def number(self, path: Path, key: str, default: int | None = None) -> int:
        """Return a whole number."""
        text = self.get(key)
        if text is None and default is not None:
            return default
        try:
            return int(float(text or ""))
        except (ValueError, OverflowError):
            raise FrameError(path, f"damaged: its header must have a number as {key}, got {text!r}") from None


def read_header(path: Path, stream: Any, start: int) -> tuple[Header, int] | None:
    """Read the header that begins at a place, after white space; None where there is nothing more.

    Returns
    -------
    header : Header
    end : int
        Where what follows begins.

    Raises
    ------
    FrameError
        Something else stands there, or the header has no end.
    """
    stream.seek(start)
    block = stream.read(_BLOCK)
    text = block.lstrip(_SPACE.encode())
    while not text and block:  # padding
        start += len(block)
        block = stream.read(_BLOCK)
        text = block.lstrip(_SPACE.encode())
    if not text:
        return None
    if not text.startswith(b"{"):
        raise FrameError(path, f"damaged: at byte {start} neither a header nor the end of the file")
    found = _END.search(block)
    while found is None and len(block) < _MOST and (more := stream.read(_BLOCK)):
        known = max(0, len(block) - 2)
        block += more
        found = _END.search(block, known)
    if found is None:
        raise FrameError(path, "truncated: a header without its end")
    inside = block[block.index(b"{") + 1 : found.start()]
    return parsed(inside), start + found.end()


def parsed(inside: bytes) -> Header:
    """Return what stands between the braces of a header."""
    header = Header()
    for line in inside.decode("latin-1").split(";"):
        key, mark, value = line.partition("=")
        if mark:
            header[key.strip(_SPACE).upper()] = value.strip(_SPACE)
    return header
