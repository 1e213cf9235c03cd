"""The leaderboard, intervals, and which differences are real."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from sweeper.evaluate.metrics import DOMAIN_METRICS, METRICS, RANKED_BY, TITLES
from sweeper.evaluate.statistics import holm
from sweeper.report import content as c
from sweeper.report import drawings
from sweeper.report.content import Block, Cell, Chart, Column, Section, Table, Text
from sweeper.report.labels import Labels
from sweeper.report.run import Run
from sweeper.report.significance import difference, interval
from sweeper.runs.leaderboard import select

_MOST_ROWS = 500
_CONTENDERS = 10
_PAIRS = 8
"""Pipelines that are compared with each other."""


# --------------------------------------------------------------------------- leaderboard


def leaderboard(run: Run, labels: Labels) -> Section:
    """All rows, or the best of very many, to be sorted and filtered."""
    if run.board.empty:
        return Section("leaderboard", "Leaderboard", [Text("No pipeline was evaluated on all folds yet.")])
    shown = run.board.head(_MOST_ROWS)
    columns = _columns(run)
    rows = [[_cell(run, labels, row, name) for name, *_ in columns] for row in shown.itertuples()]
    heads = [Column(title, numeric, about) for _, title, numeric, about in columns]
    note = (
        "± is the standard deviation over folds; the 95 % interval and p against the best use the "
        "corrected resampled t-test (Nadeau and Bengio 2003), Wilson's interval where there is a single "
        "split. A best of many is a little lucky. Parameters that are the same in all rows are left out "
        "here."
    )
    if len(run.board) > len(shown):
        note = f"The best {len(shown):,} of {len(run.board):,} rows; leaderboard.csv has all. " + note
    return Section("leaderboard", "Leaderboard", [Table(heads, rows, "", note, sortable=True)])


def _columns(run: Run) -> list[tuple[str, str, bool, str]]:
    """Name, title, whether numeric, and what it is."""
    board = run.board
    first = [run.metric, *(["accuracy"] if run.metric != "accuracy" else [])]
    others = [m for m in (*DOMAIN_METRICS, *METRICS) if m in board and m not in first]
    return [
        ("rank", "rank", True, ""),
        *((m, TITLES[m], True, "") for m in first),
        ("representation", "representation", False, ""),
        *([("reducer", "reducer", False, "")] if run.tried["reducer"].nunique() > 1 else []),
        ("classifier", "classifier", False, ""),
        ("interval", "95 % interval", True, f"of {TITLES['accuracy']}"),
        *([("test_accuracy", "test accuracy", True, "")] if board["test_accuracy"].notna().any() else []),
        *([("p_vs_best", "p against best", True, "")] if board["p_vs_best"].notna().any() else []),
        ("latency", "ms a frame", True, "features and prediction of one frame on one core"),
        ("fit_s", "fit, s", True, "of one fold"),
        *((m, TITLES[m], True, "") for m in others),
        ("status", "status", False, ""),
        ("trial", "trial", True, ""),
    ]


def _cell(run: Run, labels: Labels, row: Any, name: str) -> Cell:
    if name in RANKED_BY:
        value = getattr(row, name)
        std = getattr(row, f"{name}_std", None)
        return Cell(c.spread(value, std), _sortable(value), strong=name == run.metric)
    if name == "representation":
        sub = labels.params("featurizer", row)
        return Cell(labels.representation(row, params=False), title=row.featurizer_params, sub=sub)
    if name == "classifier":
        return Cell(
            row.classifier, row.classifier, title=row.classifier_params, sub=labels.params("classifier", row)
        )
    if name == "interval":
        text = c.between(row.accuracy_ci_low, row.accuracy_ci_high)
        return Cell(text, _sortable(row.accuracy_ci_low))
    if name == "latency":
        value = row.featurize_ms_per_frame + row.predict_ms_per_frame
        return Cell(c.figures(value, 3), _sortable(value))
    if name == "status":
        at = f"{row.status} at {row.budget:.2g}" if row.status == "stopped" else row.status
        error = f": {c.shortened(str(row.error), 90)}" if row.error else ""
        return Cell(at + error, title=str(row.error))
    if name == "trial" and row.trial < 0:
        return Cell("")
    value = getattr(row, name)
    texts = {
        "test_accuracy": c.number(value, 4) if name == "test_accuracy" else "",
        "p_vs_best": c.probability(value) if name == "p_vs_best" else "",
        "fit_s": c.figures(value, 3) if name == "fit_s" else "",
    }
    return Cell(texts.get(name, str(value)), value if isinstance(value, str) else _sortable(value))


def _sortable(value: Any) -> float | None:
    return float(value) if c.is_number(value) else None


# --------------------------------------------------------------------------- intervals and significance


def comparison(run: Run, labels: Labels) -> Section:
    """The best of each kind with intervals, pair by pair, and against their latency."""
    rows = _contenders(run)
    if not rows:
        return Section("comparison", "How sure is the order?")
    items = []
    for row in rows:
        low, high = interval(run, row) or (None, None)
        test = row.test_accuracy if run.metric == "accuracy" and c.is_number(row.test_accuracy) else None
        value = float(getattr(row, run.metric))
        items.append(drawings.Interval(labels.short(row), value, low, high, test))
    name = TITLES[run.metric]
    caption = (
        f"The best pipelines of different kinds: mean {name} and its 95 % interval. Intervals of two "
        "pipelines may overlap although one is better on every fold: see the table of pairs."
    )
    chart = Chart("intervals", drawings.intervals(items, name), caption, (5.0, 1.1 + 0.28 * len(items)))
    blocks: list[Block] = [chart]
    latency = _latency(run)
    blocks = [c.Row([chart, latency])] if latency else [chart]
    if len(rows) > 1:
        blocks += _pairs(run, labels, rows[:_PAIRS])
    if reruns := _reruns(run, labels):
        blocks.append(reruns)
    return Section("comparison", "How sure is the order?", blocks, "Significance")


def _contenders(run: Run) -> list[Any]:
    """The best of each featurizer and training set; where these are few, with other classifiers too."""
    kinds = run.best_of_kind
    first = kinds.drop_duplicates(["featurizer", "training_set"]).head(_CONTENDERS)
    others = kinds[~kinds["rank"].isin(first["rank"])].head(_CONTENDERS - len(first))
    chosen = sorted([*first["rank"], *others["rank"]])
    return list(kinds[kinds["rank"].isin(chosen)].itertuples())


def _latency(run: Run) -> Chart | None:
    done = run.done[run.done[run.metric].notna()]
    if len(done) < 3:
        return None
    latency = (done["featurize_ms_per_frame"] + done["predict_ms_per_frame"]).to_numpy(dtype=np.float64)
    front = done["rank"].isin(set(select(done, pareto=True, metric=run.metric)["rank"])).to_numpy()
    score = done[run.metric].to_numpy(dtype=np.float64)
    draw = drawings.against(
        latency, score, done["featurizer"].tolist(), front, "ms a frame, features and prediction, one core",
        TITLES[run.metric],
    )  # fmt: skip
    kinds = done["featurizer"].nunique()
    caption = f"{_capital(TITLES[run.metric])} against latency of every finished pipeline."
    return Chart("latency", draw, caption, (5.0, 3.2 + 0.18 * (kinds // 2)))


def _pairs(run: Run, labels: Labels, rows: list[Any]) -> list[Block]:
    """Differences of all pairs, with what remains sure when that many are compared."""
    pairs = list(itertools.combinations(range(len(rows)), 2))
    found = {(i, j): difference(run, int(rows[i].trial), int(rows[j].trial)) for i, j in pairs}
    tested = [pair for pair in pairs if (d := found[pair]) is not None and d.p is not None]
    adjusted = dict(zip(tested, holm([float(found[pair].p or 0) for pair in tested]), strict=True))  # type: ignore[union-attr]
    cells = []
    for i, row in enumerate(rows[:-1]):
        line = [Cell(labels.short(row), title=labels.long(row), strong=True)]
        for j in range(1, len(rows)):
            line.append(_pair_cell(found.get((i, j)), adjusted.get((i, j))) if j > i else Cell(""))
        cells.append(line)
    columns = [Column("better by … than", numeric=False), *(Column(labels.short(row)) for row in rows[1:])]
    how = (
        "p in brackets is that of the corrected resampled t-test over the folds (Nadeau and Bengio "
        f"2003); bold: below 0.05 also when all {len(tested)} pairs are allowed for (Holm)."
        if tested
        else "A single split allows no test over folds; bold: the 95 % interval of the "
        "difference (Newcombe 1998) leaves out 0."
    )
    title = f"Difference in {TITLES[run.metric]} between the best pipelines of each kind"
    return [Table(columns, cells, title, how)]


def _capital(name: str) -> str:
    """The first letter large and the others as they are: MCC stays MCC."""
    return name[0].upper() + name[1:]


def _reruns(run: Run, labels: Labels) -> Table | None:
    """The best with other seeds, beside the run that the search chose them by."""
    lines = []
    rows: list[Any] = list(run.done.itertuples())
    for row in rows:
        scores = run.rerun_scores(int(row.trial), run.metric)
        if not len(scores):
            continue
        std = float(np.std(scores, ddof=1)) if len(scores) > 1 else None
        spread = (c.number(scores.min(), 4), c.number(scores.max(), 4))
        values = [float(getattr(row, run.metric)), float(scores.mean()), std]
        cells = [Cell("" if value is None else c.number(value, 4), value) for value in values]
        name = Cell(f"{labels.short(row)} #{row.trial}", title=labels.long(row), strong=True)
        lines.append([name, *cells, Cell(" to ".join(spread)), Cell(str(len(scores)))])
    if not lines:
        return None
    names = ("search's seed", "other seeds, mean", "std", "least to most", "seeds")
    return Table(
        [Column("pipeline", numeric=False), *map(Column, names)],
        lines,
        f"{_capital(TITLES[run.metric])} of the best with other seeds",
        "The same frames, folds and parameters; only what is drawn at random is drawn again. The search "
        "chose by its own seed's score: the more was tried, the luckier it is.",
    )


def _pair_cell(found: Any, adjusted: float | None) -> Cell:
    if found is None:
        return Cell("")
    text = c.signed(found.mean)
    if found.p is not None:
        return Cell(f"{text} ({c.probability(found.p)})", strong=adjusted is not None and adjusted < 0.05)
    return Cell(text, strong=found.better or found.worse, title=c.between(found.low, found.high))
