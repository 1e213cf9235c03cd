"""Elements of a report's sections: text, tables, charts, pictures; and numbers as text."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Draw = Callable[[Any], None]
"""Draws into an empty matplotlib figure of the chart's size."""


@dataclass(frozen=True)
class Text:
    """A paragraph; `tone` is ``plain``, ``note`` (small print) or ``verdict`` (set off)."""

    text: str
    tone: str = "plain"
    kind: str = "text"


@dataclass(frozen=True)
class Code:
    """Something to copy, folded away under its title when it has one."""

    text: str
    title: str = ""
    kind: str = "code"


@dataclass(frozen=True)
class Cell:
    """One cell of a table.

    Attributes
    ----------
    text : str
    value : float or str or None
        What it is sorted by; None stands last.
    paper : bool
        The number is a paper's, not this run's.
    shade : float or None
        0 to 1: how dark its ground is.
    wrong : bool
        The shade is that of an error.
    strong : bool
    title : str
        The long form.
    sub : str
        A second line, in small print.
    """

    text: str
    value: float | str | None = None
    paper: bool = False
    shade: float | None = None
    wrong: bool = False
    strong: bool = False
    title: str = ""
    sub: str = ""


@dataclass(frozen=True)
class Column:
    """Head of a column; numbers are aligned to the right. `about` explains it."""

    name: str
    numeric: bool = True
    about: str = ""
    paper: bool = False


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes
    ----------
    columns : sequence of Column
    rows : sequence of sequence of Cell
    caption : str
    note : str
        Small print below.
    sortable : bool
        With heads to press, a filter, and only the first rows at first.
    heads : int
        Leading cells of a row that are its head.
    folded : bool
        Shown when its caption is pressed.
    """

    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    caption: str = ""
    note: str = ""
    sortable: bool = False
    heads: int = 1
    folded: bool = False
    kind: str = "table"


@dataclass(frozen=True)
class Chart:
    """A figure, drawn by matplotlib.

    Attributes
    ----------
    name : str
        Of its files with ``--figures``; unique in a report.
    draw : callable
    caption : str
        Says what is seen, with what intervals mean.
    size : (float, float)
        Inches; half the width of a page is 5.
    """

    name: str
    draw: Draw
    caption: str
    size: tuple[float, float] = (5.0, 3.4)
    kind: str = "chart"


@dataclass(frozen=True)
class Picture:
    """A small picture with lines below; the first line is strong.

    Attributes
    ----------
    uri : str
        ``data:`` URI; empty where the picture cannot be shown.
    lines : sequence of str
    about : str
        For who cannot see it.
    """

    uri: str
    lines: Sequence[str]
    about: str


@dataclass(frozen=True)
class Pictures:
    """A grid of pictures."""

    pictures: Sequence[Picture]
    caption: str = ""
    kind: str = "pictures"


@dataclass(frozen=True)
class Sheet:
    """A figure that is a picture already.

    Attributes
    ----------
    name : str
        Of its files with ``--figures``.
    png : bytes
    caption : str
    about : str
        For who cannot see it.
    """

    name: str
    png: bytes
    caption: str
    about: str
    kind: str = "sheet"


@dataclass(frozen=True)
class Interactive:
    """A chart that the page's script draws from `data`; `chart` is the still one for ``--figures``."""

    data: Mapping[str, Any]
    caption: str
    chart: Chart
    kind: str = "interactive"


@dataclass(frozen=True)
class Row:
    """Blocks side by side where the page is wide enough."""

    blocks: Sequence[Any]
    kind: str = "row"


Block = Text | Code | Table | Chart | Pictures | Sheet | Interactive | Row


@dataclass(frozen=True)
class Section:
    """A part of the page."""

    id: str
    title: str
    blocks: Sequence[Block] = field(default_factory=list)
    short: str = ""

    @property
    def in_nav(self) -> str:
        """Title in the list of sections."""
        return self.short or self.title


# --------------------------------------------------------------------------- numbers as text


def is_number(value: Any) -> bool:
    """Whether a value is there and no NaN."""
    return value is not None and not (isinstance(value, float) and math.isnan(value))


def number(value: Any, digits: int = 3) -> str:
    """With so many decimals; empty where there is none."""
    return f"{value:.{digits}f}" if is_number(value) else ""


def figures(value: Any, digits: int = 3) -> str:
    """With so many significant figures, without an exponent where it can be read so."""
    if not is_number(value):
        return ""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{min(decimals, 12)}f}" if decimals < 7 else f"{value:.{digits}g}"


def spread(value: Any, std: Any, digits: int = 4) -> str:
    """``0.9867 ± 0.018``: the deviation has one decimal less."""
    text = number(value, digits)
    return f"{text} ± {number(std, digits - 1)}" if text and is_number(std) else text


def signed(value: Any, digits: int = 4) -> str:
    """With its sign, which 0 has not."""
    text = number(value, digits)
    return text.lstrip("-") if text and float(text) == 0 else f"{value:+.{digits}f}" if text else ""


def between(low: Any, high: Any, digits: int = 3) -> str:
    """``0.953 to 1.000``."""
    return f"{number(low, digits)} to {number(high, digits)}" if is_number(low) and is_number(high) else ""


def probability(p: Any) -> str:
    """A p-value: never rounded to 0."""
    if not is_number(p):
        return ""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def duration(seconds: float) -> str:
    """``3.2 s``, ``4.1 min`` or ``2.7 h``."""
    if seconds < 90:
        return f"{figures(seconds, 2)} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:,.1f} h"


def counted(n: int, noun: str) -> str:
    """``1 frame``, ``2 frames``."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def shortened(text: str, most: int) -> str:
    """Text of at most so many characters, cut in the middle: names differ at their ends."""
    if len(text) <= most:
        return text
    half = max((most - 1) // 2, 1)
    return f"{text[:half]}…{text[-half:]}"
