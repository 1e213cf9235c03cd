"""How charts look, and how they come into the page and into files."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweeper.atomic import atomically
from sweeper.report.content import Chart, Sheet

if TYPE_CHECKING:
    from markupsafe import Markup

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c564b", "#6a6f78")
"""Okabe and Ito's without yellow and black, a brown and a grey: told apart in any colour vision."""
INK, MUTED, RULE, GROUND = "#1f2328", "#636b74", "#d4d8dd", "#fefefe"
PAPER = "#9a5a00"
"""Of what a paper printed."""
_VARIABLES = {
    INK: "ink", MUTED: "muted", RULE: "rule", GROUND: "ground", PAPER: "paper",
    **{colour: f"c{i}" for i, colour in enumerate(COLOURS)},
}  # fmt: skip
"""The page's own colours take their place in it, so that they follow its theme."""

_STYLE = {
    "font.size": 10, "axes.titlesize": 10, "axes.labelsize": 10, "legend.fontsize": 9.5,
    "xtick.labelsize": 9.5, "ytick.labelsize": 9.5, "font.family": "sans-serif",
    "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": MUTED, "xtick.color": MUTED,
    "ytick.color": MUTED, "xtick.labelcolor": INK, "ytick.labelcolor": INK,
    "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.8,
    "grid.color": RULE, "grid.linewidth": 0.7, "axes.axisbelow": True,
    "axes.titlelocation": "left", "axes.titleweight": "bold", "legend.frameon": False,
    "svg.fonttype": "none", "pdf.fonttype": 42, "text.parse_math": False, "axes.unicode_minus": True,
}  # fmt: skip
_DPI, _SHEET_DPI = 200, 100


@contextmanager
def _drawn(chart: Chart) -> Iterator[Any]:
    """The chart's figure, in the report's style."""
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with rc_context({**_STYLE, "svg.hashsalt": chart.name}):
        figure = Figure(figsize=chart.size, layout="constrained")
        FigureCanvasAgg(figure)
        chart.draw(figure)
        yield figure


def svg(chart: Chart) -> Markup:
    """A chart as SVG for the page, in the page's colours and typeface."""
    from markupsafe import Markup, escape

    with _drawn(chart) as figure:
        text = io.StringIO()
        figure.savefig(
            text, format="svg", transparent=True, dpi=_DPI, metadata={"Date": None, "Creator": None}
        )
    picture = text.getvalue()
    picture = picture[picture.index("<svg") :]
    picture = re.sub(r"<metadata>.*?</metadata>", "", picture, flags=re.DOTALL)
    for colour, name in _VARIABLES.items():
        picture = picture.replace(colour, f"var(--{name})")
    picture = re.sub(r"font: ([\d.]+)px[^;\"]*", r"font-size: \1px; font-family: inherit", picture)
    picture = re.sub(r"'DejaVu Sans'[^;\"]*", "inherit", picture)
    return Markup(_slim(_own_names(picture, chart.name), str(escape(chart.caption)), chart.size))


def _own_names(picture: str, name: str) -> str:
    """Names that nothing refers to go; the others become unique in the page."""
    used = set(re.findall(r'(?:href="#|url\(#)([\w.-]+)', picture))

    def renamed(match: re.Match[str]) -> str:
        return f' id="{name}-{match[1]}"' if match[1] in used else ""

    picture = re.sub(r' id="([\w.-]+)"', renamed, picture)
    return re.sub(r'(href="#|url\(#)([\w.-]+)', rf"\g<1>{name}-\g<2>", picture)


def _slim(picture: str, caption: str, size: tuple[float, float]) -> str:
    """Without comments, at the width of its column, with words for who cannot see it."""
    picture = re.sub(r"<!--.*?-->", "", picture, flags=re.DOTALL)
    picture = re.sub(r"\n\s*", "\n", picture)
    width, height = (round(72 * inches) for inches in size)
    head = f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{caption}" class="chart"'
    head += ' xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
    return re.sub(r"<svg[^>]*>", lambda _: head, picture, count=1)


def save(figure: Chart | Sheet, folder: Path) -> list[Path]:
    """Write a figure as PNG and PDF; gives the files."""
    if isinstance(figure, Sheet):
        return _save_sheet(figure, folder)
    files = []
    with _drawn(figure) as drawn:
        for suffix in ("png", "pdf"):
            path = folder / f"{figure.name}.{suffix}"
            metadata = {"CreationDate": None} if suffix == "pdf" else {}
            with atomically(path, sync=False) as partial:
                drawn.savefig(partial, format=suffix, dpi=_DPI, facecolor="white", metadata=metadata)
            files.append(path)
    return files


def _save_sheet(sheet: Sheet, folder: Path) -> list[Path]:
    """The picture as it is, and in a PDF of its size."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.image import imread

    pixels = imread(io.BytesIO(sheet.png), format="png")
    figure = Figure(figsize=(pixels.shape[1] / _SHEET_DPI, pixels.shape[0] / _SHEET_DPI), dpi=_SHEET_DPI)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(pixels, interpolation="none")
    axes.set_axis_off()
    png, pdf = folder / f"{sheet.name}.png", folder / f"{sheet.name}.pdf"
    with atomically(png, sync=False) as partial:
        partial.write_bytes(sheet.png)
    with atomically(pdf, sync=False) as partial:
        figure.savefig(partial, format="pdf", metadata={"CreationDate": None})
    return [png, pdf]


def data_uri(data: bytes, kind: str) -> str:
    """Bytes of a picture as a URI that needs no file."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode()}"
