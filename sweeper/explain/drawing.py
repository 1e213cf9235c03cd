"""Pictures of explanations: a frame with its heat map, and contact sheets by class."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rgb = NDArray[np.uint8]

MASK_COLOUR = (86, 180, 233)
"""Sky blue of Okabe and Ito: told from greys and from the heat's purple to yellow in any colour vision."""
_WRONG = "#b03000"
_HEAT_MAP = "inferno"
_HEAT_RANGE = (0.25, 0.95)  # the map's ends cannot be told from dark frames and from bright peaks
_MOST_ALPHA = 0.8  # the frame is seen through the strongest heat
_GREY_TO = 0.85  # yellow heat still stands out from the brightest peak

LEAST_PX, MOST_PX = 384, 768
"""Longest side of a frame in its picture: smaller ones are enlarged by a whole number."""
_THUMBNAIL_PX = 150
SHEET_FRAMES = 3
"""Frames of a class in a contact sheet."""
_SHEET_COLUMNS = 12
_LEAST_BAR_PX = 72
_DPI = 100
_FONT_PX = 13


@dataclass(frozen=True, eq=False)
class Picture:
    """The drawing of one frame.

    Attributes
    ----------
    name : str
        The frame's name, shown above it.
    image : float32, (height, width)
        The frame on a logarithmic scale, in [0, 1].
    valid : bool, (height, width)
    heat : float32, (height, width)
        Evidence in [0, 1].
    true : str or None
        Class, where it is known.
    predicted : str
    probability : float
        Of the predicted class.
    explained : tuple of (str, float), or None
        Class that the heat map is for and its probability; None: the predicted one.
    """

    name: str
    image: NDArray[np.float32]
    valid: NDArray[np.bool_]
    heat: NDArray[np.float32]
    true: str | None
    predicted: str
    probability: float
    explained: tuple[str, float] | None = None

    @property
    def wrong(self) -> bool:
        """Whether the predicted class is known not to be the true one."""
        return self.true is not None and self.true != self.predicted


@cache
def _heat_colours() -> NDArray[np.float32]:
    """Colour of heat 0 to 1 in 256 steps, (256, 3), in [0, 1]."""
    from matplotlib import colormaps

    return np.asarray(colormaps[_HEAT_MAP](np.linspace(*_HEAT_RANGE, 256))[:, :3], dtype=np.float32)


def grey(image: NDArray[np.float32], valid: NDArray[np.bool_]) -> Rgb:
    """A frame in grey with its invalid pixels in :data:`MASK_COLOUR`, (height, width, 3)."""
    return _finished(np.repeat(image[:, :, None] * _GREY_TO, 3, axis=2), valid)


def overlay(image: NDArray[np.float32], valid: NDArray[np.bool_], heat: NDArray[np.float32]) -> Rgb:
    """As :func:`grey`, with heat over valid pixels, the more opaque the stronger, (height, width, 3)."""
    colour = _heat_colours()[np.round(heat * 255).astype(np.intp)]  # (height, width, 3)
    alpha = heat[:, :, None] * _MOST_ALPHA
    return _finished(alpha * colour + (1 - alpha) * image[:, :, None] * _GREY_TO, valid)


def _finished(rgb: NDArray[np.float32], valid: NDArray[np.bool_]) -> Rgb:
    picture = np.round(rgb * 255).astype(np.uint8)
    picture[~valid] = MASK_COLOUR
    return picture


# --------------------------------------------------------------------------- one frame


def draw_frame(path: Path, picture: Picture) -> None:
    """Write a frame beside the same with its heat map, as PNG."""
    height, width = picture.image.shape
    scale = max(1, -(-LEAST_PX // max(height, width)))
    height, width = height * scale, width * scale
    gap, left, top, bottom = 24, 16, 84, 36
    bar_x = left + 2 * width + 2 * gap
    page = Page(max(bar_x + 110, 640), top + max(height, _LEAST_BAR_PX + 24) + bottom)
    page.text(left, 10, shortened(picture.name, page.width // 9), weight="bold")
    page.text(left, 32, _verdict(picture), color=_WRONG if picture.wrong else "black")
    page.text(left, top - 22, "log scale")
    about = picture.explained[0] if picture.explained else picture.predicted
    about = f"Grad-CAM for {about}" if picture.heat.any() else f"no evidence for {about} at any place"
    page.text(left + width + gap, top - 22, shortened(about, max(width // 8, 14)))
    page.image(left, top, width, height, grey(picture.image, picture.valid))
    page.image(left + width + gap, top, width, height, overlay(picture.image, picture.valid, picture.heat))
    _draw_legend(page, bar_x, top, height, left, masked=not picture.valid.all())
    page.save(path)


def _verdict(picture: Picture) -> str:
    parts = [f"predicted {picture.predicted} ({picture.probability:.2f})"]
    if picture.true is not None:
        parts.insert(0, f"true {picture.true}")
    if picture.explained is not None:
        parts.append("shown: {} ({:.2f})".format(*picture.explained))
    return "    ".join(parts)


def _draw_legend(page: Page, x: int, y: int, height: int, left: int, *, masked: bool) -> None:
    """Bar of the heat's colours, as they look on a dark grey, and the colour of the mask."""
    ramp = np.linspace(1, 0, 256, dtype=np.float32)[:, None]
    tall = min(max(height, _LEAST_BAR_PX), 240)
    page.image(x, y, 14, tall, overlay(np.full_like(ramp, 0.25), np.ones(ramp.shape, bool), ramp))
    page.text(x + 20, y - 4, "most")
    page.text(x + 20, y + tall - 14, "no")
    page.text(x, y + tall + 6, "evidence")
    if masked:
        page.image(left, y + height + 11, 14, 14, np.full((1, 1, 3), MASK_COLOUR, np.uint8))
        page.text(left + 22, y + height + 9, "masked or invalid pixels")


# --------------------------------------------------------------------------- contact sheet


def draw_contact_sheet(path: Path, blocks: Sequence[tuple[str, Sequence[Picture]]], about: str) -> None:
    """Write a sheet of several frames a class, above with their heat map, as camSortXS Figure 3.

    Parameters
    ----------
    path : Path
    blocks : sequence of (str, sequence of Picture)
        Title and pictures of each class; the first :data:`SHEET_FRAMES` are shown.
    about : str
        Line above it all.
    """
    bands = _bands([(title, list(pictures[:SHEET_FRAMES])) for title, pictures in blocks])
    cell, gap, row_label, top = _THUMBNAIL_PX, 6, 86, 36
    between = 18  # blocks of classes
    band_height = 24 + 2 * (cell + gap) + 40
    widths = [sum(len(p) * (cell + gap) + between for _, p in band) for band in bands]
    page = Page(max(row_label + max(widths), 640), top + band_height * len(bands) + 26)
    page.text(10, 10, about)
    for number, band in enumerate(bands):
        y, x = top + number * band_height, row_label
        page.text(10, y + 24 + cell // 2 - 8, "log scale")
        page.text(10, y + 24 + cell + gap + cell // 2 - 8, "Grad-CAM")
        for title, pictures in band:
            page.text(x, y + 2, shortened(title, len(pictures) * cell // 9), weight="bold")
            for picture in pictures:
                _draw_cell(page, x, y + 24, picture, cell, gap)
                x += cell + gap
            x += between
    y = top + band_height * len(bands)
    _draw_sheet_legend(page, y, masked=any(not p.valid.all() for _, ps in blocks for p in ps))
    page.save(path)


def _bands(blocks: Sequence[tuple[str, list[Picture]]]) -> list[list[tuple[str, list[Picture]]]]:
    """Blocks in rows of about equal length, each of at most so many frames."""
    n_bands = -(-sum(len(pictures) for _, pictures in blocks) // _SHEET_COLUMNS)
    each = -(-len(blocks) // max(n_bands, 1))
    return [list(blocks[start : start + each]) for start in range(0, len(blocks), each)]


def _draw_cell(page: Page, x: int, y: int, picture: Picture, cell: int, gap: int) -> None:
    """A frame, its heat map and the verdict, one under the other."""
    height, width = picture.image.shape
    scale = cell / max(height, width)
    wide, tall = max(1, round(width * scale)), max(1, round(height * scale))
    inset_x, inset_y = (cell - wide) // 2, (cell - tall) // 2
    page.image(x + inset_x, y + inset_y, wide, tall, grey(picture.image, picture.valid))
    with_heat = overlay(picture.image, picture.valid, picture.heat)
    page.image(x + inset_x, y + cell + gap + inset_y, wide, tall, with_heat)
    colour = _WRONG if picture.wrong else "black"
    below = y + 2 * cell + gap + 2
    page.text(x, below, shortened(picture.predicted, cell // 9), color=colour)
    verdict = f"{picture.probability:.2f}" + (" wrong" if picture.wrong else "")
    verdict += "" if picture.heat.any() else " no evidence"
    page.text(x, below + 16, verdict, color=colour)


def _draw_sheet_legend(page: Page, y: int, *, masked: bool) -> None:
    ramp = np.linspace(0, 1, 256, dtype=np.float32)[None, :]
    page.text(10, y + 2, "no evidence")
    page.image(100, y + 5, 140, 12, overlay(np.full_like(ramp, 0.25), np.ones(ramp.shape, bool), ramp))
    page.text(248, y + 2, "most evidence in the frame")
    if masked:
        page.image(450, y + 4, 14, 14, np.full((1, 1, 3), MASK_COLOUR, np.uint8))
        page.text(472, y + 2, "masked or invalid")


# --------------------------------------------------------------------------- the page


class Page:
    """A white page in pixels from its upper left corner."""

    def __init__(self, width: int, height: int) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        self.width, self.height = width, height
        self._figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI, facecolor="white")
        FigureCanvasAgg(self._figure)

    def text(self, x: int, y: int, words: str, **style: Any) -> None:
        """Write words with their upper left corner at (x, y); file names are no mathematics."""
        self._figure.text(
            x / self.width, 1 - y / self.height, words, va="top", parse_math=False,
            fontsize=_FONT_PX * 72 / _DPI, **style,
        )  # fmt: skip

    def image(self, x: int, y: int, width: int, height: int, rgb: Rgb) -> None:
        """Put a picture into the rectangle from (x, y); the mean where it has more pixels."""
        axes = self._figure.add_axes(
            (x / self.width, 1 - (y + height) / self.height, width / self.width, height / self.height)
        )
        if rgb.shape[0] > height or rgb.shape[1] > width:
            rgb = smaller(rgb, width, height)
        axes.imshow(rgb, interpolation="nearest", aspect="auto")
        axes.set_axis_off()

    def save(self, path: Path) -> None:
        """Write the page, as PNG or what the suffix says, so that the file is whole or not there."""
        partial = path.with_name(f".{path.name[:100]}.{os.getpid()}.partial")
        try:
            self._figure.savefig(partial, format=path.suffix[1:] or "png", dpi=_DPI)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)


def smaller(rgb: Rgb, width: int, height: int) -> Rgb:
    """A picture brought down to a width and height, each pixel the mean of what it covers."""
    import cv2

    return np.asarray(cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)


def shortened(text: str, most: int) -> str:
    """Text of at most so many characters, cut in the middle: names differ at their ends."""
    if len(text) <= most:
        return text
    half = max((most - 3) // 2, 1)
    return f"{text[:half]}...{text[-half:]}"
