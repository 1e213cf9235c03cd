"""DiffraNet's tables and figures, from a run over the spaces ``diffranet`` and ``deepfreak``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from sweeper.api import scaled_count
from sweeper.pipeline import canonical_json, value_text
from sweeper.report import content as c
from sweeper.report import curves, matrices
from sweeper.report.content import Block, Cell, Chart, Column, Row, Section, Table, Text
from sweeper.report.drawings import Panel, Series, legend_height, lines
from sweeper.report.labels import Labels, flat_params
from sweeper.report.run import Run
from sweeper.report.studies import order
from sweeper.report.studies.published import published, study_section

_TEXTURE = ("glcm", "lbp", "sift")
HEAD = "head"
"""The classifier that is a network's own last layer: DeepFreak in the paper's tables."""
_NAMES = {"glcm": "GLCM", "lbp": "LBP", "sift": "SIFT", "rf": "RF", "svm": "SVM", HEAD: "DeepFreak"}
_TABLES = {HEAD: 6, "svm": 11, "rf": 12}


_SHOWN = 3
_CONFIDENCE = 0.8
"""Of Figure 3's shade."""


def study(run: Run, labels: Labels) -> Section:
    """The paper's tables and figures that the run has data for, in the paper's order."""
    paper = published("diffranet")
    parts: list[Block] = [
        *_table3(run, paper),
        *_table4(run, labels, paper),
        *order.blocks(run),
        *_side_by_side([*figure3(run, labels), *figure4(run, labels)]),
        *_table5(run, paper),
        *_confusions(run, paper),
    ]
    return study_section("diffranet", run.n_frames, parts, " Accuracies in per cent.")


def _side_by_side(blocks: list[Block]) -> list[Block]:
    return [Row(blocks)] if blocks else []


def _best(run: Run, classifier: str, featurizer: str | None = None) -> Any:
    """The best finished row of a classifier, or of a featurizer with any of the paper's two; None without."""
    done = run.done
    if featurizer is None:
        found = done[done["classifier"] == classifier]
        if classifier != HEAD:
            found = found[found["featurizer"].isin(_TEXTURE)]
    else:
        found = done[(done["featurizer"] == featurizer) & (done["classifier"] != HEAD)]
    return next(iter(found.itertuples()), None)


def _accuracy(row: Any) -> Cell:
    """Validation accuracy in per cent, with its interval below."""
    text = f"{100 * row.accuracy:.2f}"
    if c.is_number(row.accuracy_std):
        text += f" ± {100 * row.accuracy_std:.2f}"
    return Cell(text, strong=True, sub=c.between(100 * row.accuracy_ci_low, 100 * row.accuracy_ci_high, 1))


def _percent(value: float) -> Cell:
    return Cell(f"{value:.2f}", paper=True)


# --------------------------------------------------------------------------- Tables 3 and 4


def _table3(run: Run, paper: dict[str, Any]) -> list[Block]:
    tables = []
    for name in ("rf", "svm"):
        row = _best(run, name)
        if row is None:
            continue
        theirs = paper["table3"][name]
        rows = [
            [Cell("extractor"), Cell(_NAMES[row.featurizer]), Cell(_NAMES[theirs["featurizer"]], paper=True)]
        ]
        ours = {slot: flat_params(getattr(row, slot)) for slot in ("featurizer_params", "classifier_params")}
        printed = {slot: flat_params(json.dumps(theirs[slot])) for slot in ours}
        for slot, mine in ours.items():
            searched = run.space.get(f"{slot.partition('_')[0]}s", {})
            own = searched.get(getattr(row, slot.partition("_")[0])) if isinstance(searched, dict) else None
            for param in dict.fromkeys([*printed[slot], *(own or {})]):
                cells = Cell(mine.get(param, "—")), Cell(printed[slot].get(param, "—"), paper=True)
                rows.append([Cell(param), *cells])
        rows.append(
            [
                Cell("accuracy", strong=True),
                _accuracy(row),
                _percent(theirs["accuracy"]),
            ]
        )
        columns = (Column("", numeric=False), Column("this run"), Column("paper", paper=True))
        tables.append(Table(columns, rows, f"Table 3. Best configuration of {_NAMES[name]}"))
    return [Row(tables), Text(_scored_on(run), "note")] if tables else []


def _scored_on(run: Run) -> str:
    if run.environment.get("folds") == 1:
        return "Accuracy on the validation frames; below it the 95 % interval."
    return (
        "Accuracy over the folds of cross-validation: mean ± standard deviation and 95 % interval. The "
        "paper has one validation set."
    )


def _table4(run: Run, labels: Labels, paper: dict[str, Any]) -> list[Block]:
    rows = []
    for name in _TEXTURE:
        row, theirs = _best(run, "", name), paper["table4"][name]
        if row is None:
            continue
        printed = " ".join(f"{k}={value_text(v)}" for k, v in theirs["featurizer_params"].items())
        rows.append(
            [
                Cell(_NAMES[name], strong=True),
                Cell(_NAMES.get(row.classifier, row.classifier)),
                Cell(labels.representation(row).removeprefix(row.featurizer).strip()),
                _accuracy(row),
                Cell(_NAMES[theirs["classifier"]], paper=True),
                Cell(printed, paper=True),
                _percent(theirs["accuracy"]),
            ]
        )
    if not rows:
        return []
    columns = (
        Column("extractor", numeric=False),
        Column("model", numeric=False),
        Column("parameters", numeric=False),
        Column("accuracy"),
        Column("model", numeric=False, paper=True),
        Column("parameters", numeric=False, paper=True),
        Column("accuracy", paper=True),
    )
    return [Table(columns, rows, "Table 4. Best accuracy of each feature extractor", _scored_on(run))]


# --------------------------------------------------------------------------- Tables 5, 6, 11 and 12


def _table5(run: Run, paper: dict[str, Any]) -> list[Block]:
    rows = []
    for name in ("rf", "svm", HEAD):
        row = _best(run, name)
        if row is None:
            continue
        tested = c.is_number(row.test_accuracy)
        extractor = "—" if name == HEAD else _NAMES[row.featurizer]
        rows.append(
            [
                Cell(extractor),
                Cell(_NAMES[name], strong=True),
                Cell(f"{100 * row.accuracy:.2f}"),
                Cell(f"{100 * row.test_accuracy:.2f}" if tested else "—", strong=True),
                _percent(paper["table5"][name]),
            ]
        )
    if not rows or not run.tested:
        return []
    columns = (
        Column("extractor", numeric=False),
        Column("classifier", numeric=False),
        Column("validation"),
        Column("test"),
        Column("test", paper=True),
    )
    note = "Test: refitted on all other frames and scored once."
    if any(row[3].text == "—" for row in rows):
        note += " —: not among the best, which alone are scored (--test-top)."
    return [Table(columns, rows, "Table 5. Accuracy on the test split", note, heads=2)]


def _confusions(run: Run, paper: dict[str, Any]) -> list[Block]:
    parts: list[Block] = []
    verdict: list[tuple[float, Text]] = []
    for name, number in _TABLES.items():
        row = _best(run, name)
        found = None if row is None else matrices.pooled(run, int(row.trial))
        if row is None or found is None:
            continue
        counts, classes, frames = *_in_paper_order(found[0], run.classes, paper["classes"]), found[1]
        title = f"Table {number}. {_NAMES[name]} in this run: {frames}"
        theirs = np.array(paper["confusion"][name]["counts"], dtype=np.int64)
        parts.append(
            Row(
                [
                    matrices.as_table(counts, classes, title),
                    matrices.as_table(
                        theirs,
                        paper["classes"],
                        f"Table {number}. {_NAMES[name]} in the paper: its test set",
                        paper=True,
                    ),
                ]
            )
        )
        ours = matrices.crystal_accuracy(counts, classes, paper["without_crystal"])
        if ours is not None:
            what = f"{_NAMES[name]}, {frames}"
            n = int(counts.sum()) // (1 if row.trial in run.tested else run.spec.repeats)
            said = matrices.crystal_text(ours, n, what, paper["crystal_accuracy"])
            verdict.append((float(row.accuracy), said))
    if verdict:
        parts.append(max(verdict, key=lambda pair: pair[0])[1])
    return parts


def _in_paper_order(counts: Any, classes: tuple[str, ...], wanted: list[str]) -> tuple[Any, list[str]]:
    """Classes in the paper's order where they are its classes."""
    if set(classes) != set(wanted):
        return counts, list(classes)
    at = [classes.index(name) for name in wanted]
    return counts[np.ix_(at, at)], list(wanted)


# --------------------------------------------------------------------------- how the best networks learned


def _finished(run: Run) -> list[Any]:
    """Epochs of each network whose own head was evaluated at full budget, the best first."""
    heads = curves.heads(run)
    rows: list[Any] = list(heads[heads["status"] == "done"].itertuples())
    found = []
    for row in rows:
        params = canonical_json(run.results.pipeline(int(row.trial)).to_dict()["featurizer_params"])
        same = (run.curves["featurizer"] == row.featurizer) & (run.curves["featurizer_params"] == params)
        if same.any():
            found.append(curves.folds_of(run.curves[same]))
    return found


def figure3(run: Run, labels: Labels) -> list[Block]:
    """Validation accuracy of the three best networks."""
    series, finished = rungs_again(run, labels), _finished(run)[:_SHOWN]
    if series:
        seeds = max(len(run.rerun_scores(trial, "accuracy")) for trial in run.reruns)
        what = f"validation accuracy of {seeds} runs with other seeds than the search's, mean"
    elif finished and all(one["held_out_accuracy"].notna().any() for one in finished):
        for i, one in enumerate(finished):
            name = str(one["representation"].iloc[0])
            series.append(curves.confident(one, "held_out_accuracy", name, i, _CONFIDENCE))
        what = "accuracy on frames held out of the training set, mean over the fits"
    else:
        series = rungs(run, labels)
        what = "validation accuracy at the budgets at which they were scored, mean over the folds"
    if not series:
        return []
    several = any(one.low is not None for one in series)
    caption = f"Figure 3. The best networks: {what}"
    caption += (
        ", and the 80 % confidence interval of that mean." if several else ". One fit of each: no interval."
    )
    caption += " The paper shows five repeats of 180 epochs each."
    if not run.reruns:
        caption += " `sweeper run ... --reruns 5` repeats the best three."
    return [
        Chart(
            "diffranet-figure-3",
            lines([Panel("validation accuracy", series)]),
            caption,
            (5.0, 2.9 + legend_height(series)),
        )
    ]


def rungs(run: Run, labels: Labels) -> list[Series]:
    """Accuracy of the best heads at their budgets, in epochs: mean over the folds."""
    heads = curves.heads(run)
    rows: list[Any] = list(heads[heads["status"] == "done"].itertuples())[:_SHOWN]
    return [_at_budgets(labels, row, run.rungs(int(row.trial)), i) for i, row in enumerate(rows)]


def rungs_again(run: Run, labels: Labels) -> list[Series]:
    """The same of the heads that were run again: mean over the other seeds."""
    heads = curves.heads(run)
    rows: list[Any] = list(heads[heads["trial"].isin(list(run.reruns))].itertuples())
    series = []
    for i, row in enumerate(rows[:_SHOWN]):
        trial = int(row.trial)
        points = {budget: run.rerun_scores(trial, "accuracy", budget) for budget in run.reruns[trial]}
        series.append(_at_budgets(labels, row, points, i))
    return series


def _at_budgets(labels: Labels, row: Any, points: Mapping[float, Any], colour: int) -> Series:
    """Mean at each budget, and the confidence interval of that mean where there are several values."""
    epochs = int(float(flat_params(row.featurizer_params).get("epochs", 1)))
    budgets = sorted(points)
    at = np.array([scaled_count(epochs, budget) for budget in budgets], dtype=np.float64)
    mean = np.array([np.mean(points[b]) for b in budgets])
    n = np.array([len(points[b]) for b in budgets])
    std = np.array([np.std(points[b], ddof=1) if len(points[b]) > 1 else 0.0 for b in budgets])
    half = curves.mean_half_width(std, n, _CONFIDENCE)
    low, high = (mean - half, mean + half) if (n > 1).any() else (None, None)
    label = f"trial {row.trial}: {labels.params('featurizer', row)}"
    return Series(label, at, mean, low, high, colour=colour)


def figure4(run: Run, labels: Labels) -> list[Block]:
    one = next(iter(_finished(run)), None)
    if one is None:
        return []
    name = one["representation"].iloc[0]
    panels = []
    for column, axis in (("accuracy", "accuracy"), ("loss", "loss")):
        series = [curves.ranged(one, column, "training", 0)]
        held = f"held_out_{column}"
        if one[held].notna().any():
            series.append(curves.ranged(one, held, "held out of the training set", 1, dashed=True))
        if column == "accuracy":
            best = rungs(run, labels)[0]
            series.append(replace(best, label="validation", colour=2, points=True))
        panels.append(Panel(axis, series))
    fits = one["fit"].nunique()
    caption = f"Figure 4. Accuracy and loss of the best network, {name}"
    if fits > 1:
        caption += f": mean over {fits} fits, shade from the least to the most"
    caption += ". The paper's converged after about 20 epochs."
    return [Chart("diffranet-figure-4", lines(panels), caption, (5.0, 3.9 + legend_height(panels[0].series)))]
