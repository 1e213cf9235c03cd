"""The picture of a search: a query and what was found for it, as camSortXS Figure 2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sweeper.explain.drawing import Page, grey, shortened

_CELL_PX, _GAP_PX, _BORDER_PX = 132, 8, 5
_MOST_COLUMNS = 10
_RIGHT, _WRONG, _UNKNOWN = "#009e73", "#d55e00", "#808080"
"""Bluish green and vermillion of Okabe and Ito: told apart in any colour vision."""


@dataclass(frozen=True, eq=False)
class Thumbnail:
    """A frame as it is drawn.

    Attributes
    ----------
    name : str
    label : str or None
        Class, where it is known.
    image : float32, (height, width)
        On a logarithmic scale, in [0, 1].
    valid : bool, (height, width)
    distance : float or None
        From the query; None for the query itself.
    """

    name: str
    label: str | None
    image: NDArray[np.float32]
    valid: NDArray[np.bool_]
    distance: float | None = None


def draw_found(path: Path, rows: Sequence[tuple[Thumbnail, Sequence[Thumbnail]]], about: str) -> None:
    """Write queries, each with what was found for it, nearest first.

    Frames of the query's class have a green border, others an orange one and their class in that colour.

    Parameters
    ----------
    path : Path
        PNG, or what the suffix says: PDF.
    rows : sequence of (Thumbnail, sequence of Thumbnail)
    about : str
        Line above it all.
    """
    columns = min(_MOST_COLUMNS, max((len(found) for _, found in rows), default=1))
    lines = [max(1, -(-len(found) // columns)) for _, found in rows]
    step, tall = _CELL_PX + _GAP_PX, _CELL_PX + 44
    left = 10 + _CELL_PX + 34
    page = Page(max(left + columns * step, 640), 44 + tall * sum(lines) + 30)
    page.text(10, 10, shortened(about, page.width // 8))
    y = 44
    for (query, found), count in zip(rows, lines, strict=True):
        _draw(page, 10, y, query, "black", query.label or shortened(query.name, 16), "query")
        for i, one in enumerate(found):
            colour = _UNKNOWN if None in (query.label, one.label) else _WRONG
            colour = _RIGHT if colour == _WRONG and query.label == one.label else colour
            x = left + i % columns * step
            _draw(page, x, y + i // columns * tall, one, colour, one.label or "", f"{one.distance:.3g}")
        y += count * tall
    _legend(page, y + 2, known=any(query.label is not None for query, _ in rows))
    page.save(path)


def _draw(page: Page, x: int, y: int, one: Thumbnail, colour: str, title: str, below: str) -> None:
    """A frame in its border, with two short lines under it."""
    page.image(x, y, _CELL_PX, _CELL_PX, _tile(one, colour))
    page.text(x, y + _CELL_PX + 3, shortened(title, 16), color=_WRONG if colour == _WRONG else "black")
    page.text(x, y + _CELL_PX + 19, below, color="#555555")


def _tile(one: Thumbnail, colour: str) -> NDArray[np.uint8]:
    """A frame in a square with a border, (cell, cell, 3)."""
    import cv2

    inner = _CELL_PX - 2 * _BORDER_PX
    height, width = one.image.shape
    scale = inner / max(height, width)
    wide, high = max(1, round(width * scale)), max(1, round(height * scale))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    tile = np.full((_CELL_PX, _CELL_PX, 3), _plain(colour)[0, 0], dtype=np.uint8)
    tile[_BORDER_PX:-_BORDER_PX, _BORDER_PX:-_BORDER_PX] = 255
    top, left = (_CELL_PX - high) // 2, (_CELL_PX - wide) // 2
    tile[top : top + high, left : left + wide] = cv2.resize(
        grey(one.image, one.valid), (wide, high), interpolation=how
    )
    return tile


def _legend(page: Page, y: int, *, known: bool) -> None:
    words = [(_RIGHT, "same class as the query"), (_WRONG, "another class")] if known else []
    x = 10
    for colour, text in words:
        page.image(x, y + 3, 14, 14, _plain(colour))
        page.text(x + 20, y + 1, text)
        x += 40 + 8 * len(text)
    page.text(x, y + 1, "below each: its class and its distance; log scale")


def _plain(colour: str) -> NDArray[np.uint8]:
    rgb = [int(colour[i : i + 2], 16) for i in (1, 3, 5)] if colour != "black" else [0, 0, 0]
    return np.array([[rgb]], dtype=np.uint8)
