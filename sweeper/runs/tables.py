"""Leaderboards and listings as text."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sweeper import plugins
from sweeper.api import Axis, Network
from sweeper.errors import InputError
from sweeper.runs.leaderboard import ENSEMBLE

_PIPED_WIDTH = 160
_LEAST_WIDTH = 80
_NARROWEST_TEXT = 18
_GAP = 2
_ERROR_LENGTH = 100
_DISPENSABLE = ("kappa", "trial", "95% interval", "ms/frame", "p vs best", "reducer", "accuracy", "test")
"""Columns that a narrow terminal goes without, in this order; the CSV has them all."""


def _width() -> int:
    """Characters in a line of the output."""
    return max(_LEAST_WIDTH, shutil.get_terminal_size().columns) if sys.stdout.isatty() else _PIPED_WIDTH


def render(table: Any) -> str:
    """A rich table as text: as wide as the terminal, plain when piped."""
    from rich.console import Console

    terminal, width = sys.stdout.isatty(), _width()
    # Without markup: the reducer pca[components=5] is text, not a style.
    console = Console(
        width=width,
        force_terminal=terminal,
        color_system="auto" if terminal else None,
        markup=False,
        emoji=False,
    )
    with console.capture() as capture:
        console.print(table)
    return "\n".join(line.rstrip() for line in capture.get().rstrip().splitlines())


def _short(params: dict[str, Any], axes: tuple[Axis, ...]) -> str:
    """Parameters that are not the default, for people: ``distance=1,2 angle_deg=0,90``."""
    default = {a.name: list(a.default) if isinstance(a.default, tuple) else a.default for a in axes}
    return " ".join(f"{k}={_value(v)}" for k, v in params.items() if v != default.get(k, object()))


def _value(value: Any) -> str:
    if isinstance(value, list):
        return ",".join(_value(v) for v in value)
    if value is None:
        return "none"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _number(value: Any, digits: int = 3) -> str:
    import pandas as pd

    return "" if pd.isna(value) else f"{value:.{digits}f}"


@dataclass(frozen=True)
class _Column:
    """One column of a leaderboard on screen; text columns may be broken, numbers may not."""

    name: str
    cells: tuple[str, ...]
    numeric: bool = False
    narrowest: int = _NARROWEST_TEXT

    @property
    def full_width(self) -> int:
        """Characters that it takes with every cell on one line."""
        return max(len(text) for text in (self.name, *self.cells))

    @property
    def least_width(self) -> int:
        """Characters that it needs."""
        return self.full_width if self.numeric else min(self.full_width, self.narrowest)


def leaderboard_table(board: Any, metric: str = "accuracy") -> str:
    """Rows of a leaderboard, the columns that people compare, as many as the terminal has room for.

    Parameters
    ----------
    board : pandas.DataFrame
        From :func:`sweeper.runs.leaderboard.build_leaderboard`.
    metric : str
        What the rows are ranked by; it has a column.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    if board.empty:
        return "no pipeline was evaluated on all folds yet"
    columns = _fitting(_columns(board, metric), metric, _width())
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    for column, width in zip(columns, _widths(columns, _width()), strict=True):
        justify: Any = "right" if column.numeric else "left"
        table.add_column(column.name, justify=justify, width=width, overflow="fold")
    for cells in zip(*(column.cells for column in columns), strict=True):
        table.add_row(*cells)
    return render(table)


def _columns(board: Any, metric: str) -> list[_Column]:
    rows = list(board.itertuples())

    def text(name: str, cell: Callable[[Any], str], narrowest: int = _NARROWEST_TEXT) -> _Column:
        return _Column(name, tuple(map(cell, rows)), narrowest=narrowest)

    def number(name: str, cell: Callable[[Any], str]) -> _Column:
        return _Column(name, tuple(map(cell, rows)), numeric=True)

    columns = [
        number("rank", lambda row: str(row.rank)),
        number("trial", lambda row: "" if row.trial < 0 else str(row.trial)),
        text("representation", representation_name),
        text("reducer", lambda row: row.reducer.replace("[", " ").rstrip("]")),
        text("classifier", _classifier),
        number("accuracy", lambda row: _spread(row.accuracy, row.accuracy_std)),
        number("95% interval", lambda row: _interval(row.accuracy_ci_low, row.accuracy_ci_high)),
        number("kappa", lambda row: _number(row.kappa)),
        number("p vs best", lambda row: _number(row.p_vs_best)),
        number("ms/frame", lambda row: _number(row.featurize_ms_per_frame + row.predict_ms_per_frame, 1)),
        text(
            "status",
            _status,
            narrowest=len("MemoryError:" if (board.status == "failed").any() else "stopped"),
        ),
    ]
    if metric != "accuracy":  # what the rows are in order of stands first
        columns = [c for c in columns if c.name != metric]
        ranked = number(metric, lambda row: _spread(getattr(row, metric), getattr(row, f"{metric}_std")))
        columns.insert(5, ranked)
    if board.test_accuracy.notna().any():
        columns.insert(-2, number("test", lambda row: _number(row.test_accuracy, 4)))
    return columns


def _fitting(columns: list[_Column], metric: str, width: int) -> list[_Column]:
    """The columns that fit side by side: those that are missed least go first."""
    kept = list(columns)
    for name in _DISPENSABLE:
        if sum(c.least_width + _GAP for c in kept) <= width:
            break
        kept = [c for c in kept if c.name != name or name == metric]
    return kept


def _widths(columns: list[_Column], width: int) -> list[int]:
    """Characters for each column: what is left goes, one by one, to the text that lacks most."""
    widths = [c.least_width for c in columns]
    for _ in range(width - sum(w + _GAP for w in widths)):
        lacking = [c.full_width - w for c, w in zip(columns, widths, strict=True)]
        if max(lacking) == 0:
            break
        widths[lacking.index(max(lacking))] += 1
    return widths


def representation_name(row: Any) -> str:
    if row.featurizer == ENSEMBLE:
        return ENSEMBLE
    params = json.loads(row.featurizer_params)
    intensity = params.pop("intensity", {})
    axes = plugins.featurizer(row.featurizer).all_axes
    chosen = " ".join(f"{name}={_value(value)}" for name, value in intensity.items())
    # The training set of a network is said also where it is the default.
    return " ".join(filter(None, (row.featurizer, row.training_set, _short(params, axes), chosen)))


def _classifier(row: Any) -> str:
    if row.classifier == ENSEMBLE:
        members = json.loads(row.classifier_params)["members"]
        return "trials " + ", ".join(f"{m['trial']} ({m['weight']:.2g})" for m in members)
    params = _short(json.loads(row.classifier_params), plugins.classifier(row.classifier).axes)
    return f"{row.classifier} {params}".rstrip()


def _spread(value: float, std: float) -> str:
    return _number(value, 4) + (f" ± {_number(std)}" if _number(std) else "")


def _interval(low: float, high: float) -> str:
    return f"{_number(low)} to {_number(high)}" if _number(low) else ""


def _status(row: Any) -> str:
    if row.status == "failed":
        return f"failed: {textwrap.shorten(row.error, _ERROR_LENGTH, placeholder=' ...')}"
    return "done" if row.status == "done" else f"{row.status} at {row.budget:.2g}"


def listing(what: str) -> str:
    """Return what can be searched, as text.

    Parameters
    ----------
    what : str
        featurizers, classifiers, searches, spaces, reducers or intensity. A plugin that cannot be used is
        listed with the reason, and one that lacks a library with what to install.
    """
    if what == "reducers":
        from sweeper.evaluate.reducers import REDUCERS

        return "\n\n".join(_plugin_lines(r.name, r.source, "", r.axes) for r in REDUCERS.values())
    if what == "intensity":
        from sweeper.data.intensity import AXES

        return _plugin_lines("intensity", "", "", AXES)
    if what == "spaces":
        return "\n".join(_described(name, _space_lines) for name in plugins.space_names())
    names, lines = {
        "featurizers": (plugins.featurizer_names, _featurizer_lines),
        "classifiers": (plugins.classifier_names, _classifier_lines),
        "searches": (plugins.search_names, _search_lines),
    }[what]
    return "\n\n".join(_described(name, lines) for name in names())


def _described(name: str, lines: Callable[[str], str]) -> str:
    """Return the lines on a plugin, or why it cannot be used."""
    try:
        return lines(name)
    except InputError as error:
        return f"{name}; cannot be used\n  {error}"


def _lack(kind: plugins.Kind, name: str) -> str:
    lack = plugins.missing(kind, name)
    return f"; {lack}" if lack else ""


def _space_lines(name: str) -> str:
    from sweeper.space.file import load_space

    space = load_space(name)
    size = "infinite" if space.size == float("inf") else f"{int(space.size):,}"
    return f"{name}: {size} pipelines; {space.source}"


def _featurizer_lines(name: str) -> str:
    family = plugins.family(name)
    if family is not None:
        lack = _lack("featurizer", name)
        if lack:
            return _plugin_lines(f"{name}:NAME", family.source, lack, ())
        member = plugins.featurizer(f"{name}:{family.example}")
        note = f"; any network of this family by name, such as {member.name}, which has"
        return _plugin_lines(f"{name}:NAME", family.source, note, member.all_axes)
    plugin = plugins.featurizer(name)
    note = ("; a network" if isinstance(plugin, Network) else "") + _lack("featurizer", name)
    return _plugin_lines(name, plugin.source, note, plugin.all_axes)


def _classifier_lines(name: str) -> str:
    plugin = plugins.classifier(name)
    note = f"; the budget buys {plugin.budget}{_lack('classifier', name)}"
    return _plugin_lines(name, plugin.source, note, plugin.axes)


def _search_lines(name: str) -> str:
    plugin = plugins.search(name)
    stops = {
        "none": "every trial has the full budget",
        "synchronous": "trials are halved in brackets",
        "asynchronous": "trials stop as results come in",
    }[plugin.early_stopping]
    learns = "; learns from results" if plugin.learns else ""
    return _plugin_lines(name, plugin.source, f"; {stops}{learns}{_lack('search', name)}", ())


def _plugin_lines(name: str, source: str, note: str, axes: tuple[Axis, ...]) -> str:
    lines = [f"{name}{note}", *([f"  source: {source}"] if source else [])]
    for axis in axes:
        many = ", any non-empty subset" if axis.many else ""
        default = list(axis.default) if isinstance(axis.default, tuple) else axis.default
        lines.append(f"  {axis.name}: {axis.legal}{many}; default {_value(default)}")
        if axis.doc:
            lines.append(f"    {axis.doc}")
        lines += [f"    {value!r} is refused: {reason}" for value, reason in axis.refused.items()]
    return "\n".join(lines)
