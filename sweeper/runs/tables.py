"""Tables as text, as wide as the terminal, and leaderboards among them."""

from __future__ import annotations

import json
import os
import shutil
import sys
import textwrap
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from sweeper import plugins
from sweeper.api import Axis
from sweeper.evaluate.metrics import DOMAIN_METRICS, WORST_DOMAIN
from sweeper.pipeline import params_of_each, value_text
from sweeper.runs.leaderboard import ENSEMBLE

_PIPED_WIDTH = 160
_LEAST_WIDTH = 40
_NARROWEST_TEXT = 18
_LEAST_TEXT = 6
_GAP = 2
_ERROR_LENGTH = 100
_DISPENSABLE = (
    "log loss", "kappa", "trial", "95% interval", "ms/frame", "p vs best", "reducer", "accuracy", "test",
    "status",
)  # fmt: skip
"""Columns that a narrow terminal goes without, in this order; the CSV has them all."""
_JSON_COLUMNS = ("featurizer_params", "classifier_params")


def _width() -> int:
    """Return the characters in a line of the output: as ``COLUMNS`` says, or the terminal."""
    fallback = (_PIPED_WIDTH, 24)
    if os.environ.get("COLUMNS", "").isdecimal() or sys.stdout.isatty():
        return max(_LEAST_WIDTH, shutil.get_terminal_size(fallback).columns)
    return _PIPED_WIDTH


def render(table: Any) -> str:
    """Return a rich table as text: as wide as the terminal, plain when piped."""
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


def _short(params: dict[str, Any], axes: tuple[Axis, ...], owner: str = "") -> str:
    """Return the parameters that are not the default, for people: ``distance=1,2 angle_deg=0,90``.

    With an owner such as ``glcm.``, it stands before each of them.
    """
    default = {a.name: list(a.default) if isinstance(a.default, tuple) else a.default for a in axes}
    chosen = {name: value for name, value in params.items() if value != default.get(name, object())}
    return " ".join(f"{owner}{name}={value_text(value)}" for name, value in chosen.items())


def _number(value: Any, digits: int = 3) -> str:
    import pandas as pd

    return "" if pd.isna(value) else f"{value:.{digits}f}"


@dataclass(frozen=True)
class _Column:
    """One column of a leaderboard on screen; text may be broken into lines, numbers may not."""

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
    """Return a leaderboard as text: the columns that people compare, as many as the terminal has room for.

    Parameters
    ----------
    board : pandas.DataFrame
        From :func:`sweeper.runs.leaderboard.build_leaderboard`.
    metric : str
        What the rows are ranked by; it always has a column.
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
        *([number("log loss", lambda row: _number(row.log_loss))] if board.log_loss.notna().any() else []),
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
        ranked = number(
            metric, lambda row: _spread(getattr(row, metric), getattr(row, f"{metric}_std", None))
        )
        columns.insert(5, ranked)
    if WORST_DOMAIN in board:
        domains = [
            number("mean domain", lambda row: _number(row.accuracy_mean_domain, 4)),
            number("worst domain", lambda row: _number(row.accuracy_worst_domain, 4)),
        ]
        at = [column.name for column in columns].index("accuracy") + 1
        columns[at:at] = [c for c, m in zip(domains, DOMAIN_METRICS, strict=True) if m != metric]
    if board.test_accuracy.notna().any():
        columns.insert(-2, number("test", lambda row: _number(row.test_accuracy, 4)))
    return columns


def _fitting(columns: list[_Column], metric: str, width: int) -> list[_Column]:
    """Return the columns that fit side by side: those that are missed least go first."""
    kept = list(columns)
    for name in _DISPENSABLE:
        if _needed(kept) <= width:
            break
        kept = [c for c in kept if c.name != name or name == metric]
    while _needed(kept) > width and any(c.narrowest > _LEAST_TEXT for c in kept):
        kept = [replace(c, narrowest=max(_LEAST_TEXT, c.narrowest - 1)) for c in kept]
    return kept


def _needed(columns: list[_Column]) -> int:
    return sum(c.least_width + _GAP for c in columns)


def _widths(columns: list[_Column], width: int) -> list[int]:
    """Return the characters of each column: what is left goes, one by one, to the text that lacks most."""
    widths = [c.least_width for c in columns]
    for _ in range(width - sum(w + _GAP for w in widths)):
        lacking = [c.full_width - w for c, w in zip(columns, widths, strict=True)]
        if max(lacking) == 0:
            break
        widths[lacking.index(max(lacking))] += 1
    return widths


def representation_name(row: Any) -> str:
    """Return the representation of a row of a leaderboard, as people read it."""
    if row.featurizer == ENSEMBLE:
        return ENSEMBLE
    params = json.loads(row.featurizer_params)
    intensity = params.pop("intensity", {})
    each = params_of_each(row.featurizer, params)
    chosen = [
        _short(params, plugins.featurizer(name).all_axes, f"{name}." if len(each) > 1 else "")
        for name, params in each.items()
    ]
    chosen += [f"{name}={value_text(value)}" for name, value in intensity.items()]
    # The training set of a network is said also where it is the default.
    return " ".join(filter(None, (row.featurizer, row.training_set, *chosen)))


def _classifier(row: Any) -> str:
    if row.classifier == ENSEMBLE:
        members = json.loads(row.classifier_params)["members"]
        return "trials " + ", ".join(f"{m['trial']} ({m['weight']:.2g})" for m in members)
    params = _short(json.loads(row.classifier_params), plugins.classifier(row.classifier).axes)
    return f"{row.classifier} {params}".rstrip()


def _spread(value: float, std: float | None) -> str:
    return _number(value, 4) + (f" ± {_number(std)}" if std is not None and _number(std) else "")


def _interval(low: float, high: float) -> str:
    return f"{_number(low)} to {_number(high)}" if _number(low) else ""


def _status(row: Any) -> str:
    if row.status == "failed":
        return f"failed: {textwrap.shorten(row.error, _ERROR_LENGTH, placeholder=' ...')}"
    return "done" if row.status == "done" else f"{row.status} at {row.budget:.2g}"


def leaderboard_rows(board: Any) -> list[dict[str, Any]]:
    """Return the rows of a leaderboard as JSON has them: every column, parameters as mappings."""
    return [
        {name: json.loads(value) if name in _JSON_COLUMNS else value for name, value in row.items()}
        for row in board.to_dict("records")
    ]
