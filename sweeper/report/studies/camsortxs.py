"""camSortXS's tables and figures, from a run over the space ``camsortxs``."""

from __future__ import annotations

import json
from typing import Any

from sweeper.report import content as c
from sweeper.report import gradcam, retrieval
from sweeper.report.content import Block, Cell, Chart, Column, Row, Section, Table, Text
from sweeper.report.drawings import Boxes, boxes
from sweeper.report.labels import SETS, Labels
from sweeper.report.run import Run
from sweeper.report.studies import order
from sweeper.report.studies.published import published, study_section
from sweeper.runs.leaderboard import ENSEMBLE

_COLUMNS = ("accuracy", "recall_macro", "precision_weighted", "f1_macro", "kappa", "mcc")
_TITLES = ("Acc", "Rec", "Prec", "F1", "κ", "MCC")
_SET_NAMES = {
    "pretrained": "pretrained, not fine-tuned (PT)", "unbalanced": "unbalanced (UB)",
    "balanced": "balanced (BL)", "augmented": "balanced and augmented (BLA)",
}  # fmt: skip


def study(run: Run, labels: Labels) -> Section:
    """The paper's tables and figures that the run has data for, in the paper's order."""
    paper = published("camsortxs")
    parts: list[Block] = [
        *_table1(run, paper),
        *retrieval.blocks(run),
        *gradcam.blocks(run),
        *_table2(run, paper),
        *_figures(run, paper),
        *_table3(run, paper),
        *order.blocks(run),
    ]
    return study_section("camsortxs", run.n_frames, parts)


def _name(paper: dict[str, Any], featurizer: str) -> str:
    return str(paper["networks"].get(featurizer, featurizer))


# --------------------------------------------------------------------------- Table 1


def _table1(run: Run, paper: dict[str, Any]) -> list[Block]:
    """Frames by class, as networks were trained on them and as classifiers were scored on them."""
    counts = scored_counts(run)
    if counts is None:
        return []
    share = run.spec.representation_share
    printed = paper["table1"]
    theirs = _by_class(printed, run.classes)
    rows = []
    sets = [s for s in ("unbalanced", "balanced", "augmented") if s in set(run.board["training_set"])]
    for name in sets:
        trained = training_counts(run, counts, name)
        if trained is not None:
            rows.append(_counts_row("train", SETS[name], trained, theirs(printed["train"][name])))
    rows.append(_counts_row("scored", "UB", counts, theirs(printed["test"])))
    columns = [
        Column("", numeric=False),
        Column("set", numeric=False),
        *(Column(name) for name in run.classes),
    ]
    columns += [Column(name, paper=True) for name in run.classes] if theirs(printed["test"]) else []
    note = (
        f"Networks are trained on {100 * share:g} % of the frames, classifiers are cross-validated on the "
        "others."
        if share is not None
        else "Representations are fitted inside the folds: counts are those of one fold."
    )
    return [Table(columns, rows, "Table 1. Frames of each class", note, heads=2)]


def _by_class(printed: dict[str, Any], classes: tuple[str, ...]) -> Any:
    """Gives a printed row in the order of the run's classes; empty where they are other classes."""
    place = {name.casefold(): i for i, name in enumerate(printed["classes"])}
    if {name.casefold() for name in classes} != set(place):
        return lambda row: []
    return lambda row: [row[place[name.casefold()]] for name in classes]


def _counts_row(kind: str, name: str, ours: list[int], theirs: list[int]) -> list[Cell]:
    cells = [Cell(f"{n:,}", float(n)) for n in ours] + [Cell(f"{n:,}", float(n), paper=True) for n in theirs]
    return [Cell(kind), Cell(name, strong=True), *cells]


def scored_counts(run: Run) -> list[int] | None:
    """Frames of each class that classifiers were cross-validated on, from a confusion matrix."""
    for trial in run.done["trial"]:
        confusion = run.confusion(int(trial))
        if confusion is not None:
            return [int(n) for n in confusion.sum(axis=1) // run.spec.repeats]
    return None


def training_counts(run: Run, scored: list[int], name: str) -> list[int] | None:
    """Frames of each class in a training set of networks; None where it cannot be told.

    Where a share of the frames is set apart: what is left of the counts that the environment holds; else
    what is left of a fold.
    """
    share, folds = run.spec.representation_share, run.environment.get("folds")
    known = run.environment.get("class_counts")
    if share is not None:
        if not known:
            return None
        test = run.test_confusion(run.tested[0]) if run.tested else None
        tested = [0] * len(scored) if test is None else test.sum(axis=1).tolist()
        unbalanced = [
            int(known[name]) - n - int(t) for name, n, t in zip(run.classes, scored, tested, strict=True)
        ]
    elif folds and folds > 1:
        unbalanced = [round(n * (1 - 1 / run.spec.folds)) for n in scored]
    else:
        return None
    if name == "unbalanced":
        return unbalanced
    least = min(unbalanced)
    return [least * (4 if name == "augmented" else 1)] * len(unbalanced)


# --------------------------------------------------------------------------- Table 2


def _table2(run: Run, paper: dict[str, Any]) -> list[Block]:
    """Training time of each network on each set, and the time that a frame's features take."""
    rows = []
    seconds = _training_seconds(run)
    for name in paper["networks"]:
        mine = run.board[(run.board["featurizer"] == name) & (run.board["status"] != "failed")]
        theirs = paper["table2"].get(name, {})
        if mine.empty:
            continue
        cells = [Cell(_name(paper, name), strong=True)]
        for training_set in ("unbalanced", "balanced", "augmented"):
            ours = seconds.get((name, training_set))
            cells.append(Cell(c.figures(ours, 3) if ours is not None else "—"))
            printed = theirs.get(training_set)
            cells.append(Cell(f"{printed:,}" if printed else "—", paper=True))
        cells.append(Cell(c.figures(float(mine["featurize_ms_per_frame"].median()) / 1e3, 2)))
        cells.append(Cell(f"{theirs['extraction']:.3f}" if theirs else "—", paper=True))
        rows.append(cells)
    if not rows:
        return []
    pairs = [("training UB", True), ("BL", True), ("BLA", True), ("features of a frame", True)]
    columns = [Column("architecture", numeric=False)]
    for title, numeric in pairs:
        columns += [Column(f"{title}, s", numeric), Column("paper", numeric, paper=True)]
    note = (
        "Training: all epochs of one network, mean over its fits. Features: one frame on one core, with "
        "reading it. Times are of different machines; what compares is one architecture with another."
    )
    return [Table(columns, rows, "Table 2. Time to train, and to extract features", note)]


def _training_seconds(run: Run) -> dict[tuple[str, str], float]:
    """Mean over fits of the seconds of all epochs, by featurizer and training set."""
    if run.curves.empty:
        return {}
    sums: dict[tuple[str, str], list[float]] = {}
    for (name, params, _), epochs in run.curves.groupby(["featurizer", "featurizer_params", "fit"]):
        training_set = run_training_set(str(params))
        sums.setdefault((str(name), training_set), []).append(float(epochs["seconds"].sum()))
    return {key: sum(found) / len(found) for key, found in sums.items()}


def run_training_set(params: str) -> str:
    """Training set in a network's parameters."""
    return str(json.loads(params).get("training_set", ""))


# --------------------------------------------------------------------------- Figures 4 and 5, Table 3


def _figures(run: Run, paper: dict[str, Any]) -> list[Block]:
    """Box plots of κ over classifiers, by architecture and training set."""
    kappa: dict[str, dict[str, list[float]]] = {}
    finished: list[Any] = [row for row in run.best_of_kind.itertuples() if row.featurizer != ENSEMBLE]
    for row in finished:
        if c.is_number(row.kappa):
            of_set = kappa.setdefault(str(row.training_set), {})
            of_set.setdefault(_name(paper, str(row.featurizer)), []).append(float(row.kappa))
    order = [_name(paper, name) for name in paper["networks"]]
    charts = []
    untrained = _in_order({**kappa.get("pretrained", {}), **kappa.get("", {})}, order)
    many = "Each point is a classifier: mean κ over the folds of its best pipeline."
    if untrained:
        caption = f"Figure 4. κ of pretrained networks without fine-tuning and of texture descriptors. {many}"
        charts.append(_box_chart("camsortxs-figure-4", [Boxes("", untrained)], caption))
    panels = [
        Boxes(_SET_NAMES[name], _in_order(kappa[name], order))
        for name in ("unbalanced", "balanced", "augmented")
        if name in kappa
    ]
    if panels:
        caption = f"Figure 5. κ of networks fine-tuned on each training set (LeNet from scratch). {many}"
        charts.append(_box_chart("camsortxs-figure-5", panels, caption))
    if not charts:
        return []
    note = "The paper gives Figures 4 and 5 without numbers; it says that the mean κ is above 0.9."
    return [Row(charts), Text(note, "note")]


def _in_order(values: dict[str, list[float]], order: list[str]) -> dict[str, list[float]]:
    return {name: values[name] for name in [*order, *sorted(set(values) - set(order))] if name in values}


def _box_chart(name: str, panels: list[Boxes], caption: str) -> Chart:
    lines = sum(len(panel.values) for panel in panels)
    return Chart(name, boxes(panels, "Cohen's κ"), caption, (5.0, 0.8 + 0.3 * lines + 0.35 * len(panels)))


def _table3(run: Run, paper: dict[str, Any]) -> list[Block]:
    """The best classifier for each featurization: ours in one line, the paper's below it."""
    rows = []
    best: list[Any] = list(run.done.drop_duplicates("featurizer").itertuples())
    of = {row.featurizer: row for row in best if row.featurizer != ENSEMBLE}
    for name in [*paper["networks"], *[n for n in of if n not in paper["networks"]]]:
        if name not in of:
            continue
        row = of[name]
        ours = [_pair(100 * getattr(row, m), 100 * getattr(row, f"{m}_std")) for m in _COLUMNS]
        head = [Cell(_name(paper, name), strong=True), Cell("this run"), Cell(SETS.get(row.training_set, "")),
                Cell(str(row.classifier).upper())]  # fmt: skip
        rows.append([*head, *(Cell(text) for text in ours)])
        theirs = paper["table3"]["rows"].get(name)
        if theirs:
            texts = ["", "paper", theirs["set"], theirs["classifier"].upper()]
            texts += [_pair(*pair) for pair in theirs["values"]]
            rows.append([Cell(text, paper=True) for text in texts])
    if not rows:
        return []
    columns = [Column(title, numeric=False) for title in ("featurizer", "", "set", "classifier")]
    columns += [Column(f"{title}, %") for title in _TITLES]
    note = (
        "Mean ± standard deviation over the folds. The paper's F-score is a micro average, which is its "
        "accuracy again; this run's F1 is macro, like its recall. Precision is weighted in both."
    )
    return [Table(columns, rows, "Table 3. Best classifier for each featurization", note, heads=2)]


def _pair(mean: float, std: float) -> str:
    return f"{mean:.2f} ± {std:.2f}" if c.is_number(std) else c.number(mean, 2)
