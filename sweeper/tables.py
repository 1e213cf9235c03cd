"""Leaderboards and listings as text."""

from __future__ import annotations

import json
import shutil
import sys
from typing import Any

from sweeper import plugins
from sweeper.api import Axis

_PIPED_WIDTH = 160


def _render(table: Any) -> str:
    """A rich table as text: as wide as the terminal, plain when piped."""
    from rich.console import Console

    terminal = sys.stdout.isatty()
    width = max(100, shutil.get_terminal_size().columns) if terminal else _PIPED_WIDTH
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


def _short(params_json: str, axes: tuple[Axis, ...]) -> str:
    """Parameters that are not the default, for people: ``distance=1,2 angle_deg=0,90``."""
    default = {a.name: list(a.default) if isinstance(a.default, tuple) else a.default for a in axes}
    params = json.loads(params_json)
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


def leaderboard_table(board: Any) -> str:
    """Rows of a leaderboard, the columns that people compare."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    if board.empty:
        return "no pipeline was evaluated on all folds yet"
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    numeric = ("rank", "trial", "accuracy", "95% interval", "kappa", "p vs best", "ms/frame")
    tested = bool(board.test_accuracy.notna().any())
    names = ["rank", "trial", "representation", "reducer", "classifier", "accuracy", "95% interval", "kappa"]
    names += ["p vs best", *(["test"] if tested else []), "ms/frame", "status"]
    for name in names:
        table.add_column(name, justify="right" if name in numeric else "left", overflow="fold")
    for row in board.itertuples():
        interval = ""
        if _number(row.accuracy_ci_low):
            interval = f"{_number(row.accuracy_ci_low)} to {_number(row.accuracy_ci_high)}"
        spread = f" ± {_number(row.accuracy_std)}" if _number(row.accuracy_std) else ""
        budget = "" if row.status == "done" else f" at {row.budget:.2g}"
        failed = f": {row.error}" if row.status == "failed" else ""
        latency = row.featurize_ms_per_frame + row.predict_ms_per_frame
        table.add_row(
            str(row.rank),
            str(row.trial),
            f"{row.featurizer} {_short(row.featurizer_params, plugins.featurizer(row.featurizer).all_axes)}",
            row.reducer,
            f"{row.classifier} {_short(row.classifier_params, plugins.classifier(row.classifier).axes)}",
            f"{_number(row.accuracy, 4)}{spread}",
            interval,
            _number(row.kappa),
            _number(row.p_vs_best, 3),
            *([_number(row.test_accuracy, 4)] if tested else []),
            _number(latency, 1),
            f"{row.status}{budget}{failed}",
        )
    return _render(table)


def listing(what: str) -> str:
    """Plugins of a kind with their parameters, or search spaces with their sizes."""
    if what == "spaces":
        return "\n".join(_space_lines(name) for name in plugins.space_names())
    if what == "featurizers":
        found = [plugins.featurizer(name) for name in plugins.featurizer_names()]
        return "\n\n".join(_plugin_lines(f.name, f.source, "", f.all_axes) for f in found)
    classifiers = [plugins.classifier(name) for name in plugins.classifier_names()]
    return "\n\n".join(
        _plugin_lines(c.name, c.source, f"; the budget buys {c.budget}", c.axes) for c in classifiers
    )


def _space_lines(name: str) -> str:
    from sweeper.space import load_space

    space = load_space(name)
    size = "infinite" if space.size == float("inf") else f"{int(space.size):,}"
    return f"{name}: {size} pipelines; {space.source}"


def _plugin_lines(name: str, source: str, note: str, axes: tuple[Axis, ...]) -> str:
    lines = [f"{name}{note}", f"  source: {source}"]
    for axis in axes:
        many = ", any non-empty subset" if axis.many else ""
        default = list(axis.default) if isinstance(axis.default, tuple) else axis.default
        lines.append(f"  {axis.name}: {axis.legal}{many}; default {_value(default)}")
        if axis.doc:
            lines.append(f"    {axis.doc}")
        lines += [f"    {value!r} is refused: {reason}" for value, reason in axis.refused.items()]
    return "\n".join(lines)
