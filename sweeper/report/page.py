"""The page: sections to one HTML file that needs nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweeper.report.content import Block, Chart, Interactive, Row, Section, Sheet

if TYPE_CHECKING:
    from markupsafe import Markup

_HERE = Path(__file__).parent
_ROWS_AT_FIRST = 20


def render(title: str, headline: Sequence[tuple[str, str]], sections: Sequence[Section]) -> str:
    """The page as HTML; every text is escaped.

    Parameters
    ----------
    title : str
    headline : sequence of (str, str)
        Figures at the top: the number, and what it is.
    sections : sequence of Section
        Empty ones are left out.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    from sweeper.report import style

    environment = Environment(
        loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["svg"] = style.svg
    environment.filters["data"] = _data
    environment.filters["png"] = lambda data: style.data_uri(data, "png")
    return environment.get_template("page.html").render(
        title=title,
        headline=headline,
        sections=[section for section in sections if section.blocks],
        style=Markup((_HERE / "page.css").read_text(encoding="utf-8")),
        script=Markup((_HERE / "page.js").read_text(encoding="utf-8")),
        rows_at_first=_ROWS_AT_FIRST,
    )


def _data(value: Any) -> Markup:
    """JSON that may stand in a script element: nothing in it can end the element."""
    from markupsafe import Markup

    text = json.dumps(value, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def charts(sections: Sequence[Section]) -> Iterator[Chart | Sheet]:
    """All figures of some sections, the still ones of interactive charts among them."""
    for section in sections:
        yield from _charts(section.blocks)


def _charts(blocks: Sequence[Block]) -> Iterator[Chart | Sheet]:
    for block in blocks:
        if isinstance(block, Chart | Sheet):
            yield block
        elif isinstance(block, Interactive):
            yield block.chart
        elif isinstance(block, Row):
            yield from _charts(block.blocks)
