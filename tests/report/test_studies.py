"""The papers' tables and figures in a report: their printed numbers, ours beside them, and their order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec import structs

from sweeper.report import matrices, sections
from sweeper.report.content import Cell, Chart, Table, Text
from sweeper.report.labels import Labels
from sweeper.report.reading import read_run
from sweeper.report.run import Run
from sweeper.report.significance import Difference
from sweeper.report.studies import camsortxs, diffranet, order
from sweeper.report.studies.order import Relation
from sweeper.report.studies.published import published
from sweeper.runs.folder import RunFolder
from sweeper.runs.records import Evaluation
from tests.report.made_runs import MadeRun, diffranet_run, pipeline
from tests.runs.made_records import made_evaluation

PAPER = ["blank", "no-crystal", "weak", "good", "strong"]
TECHNIQUES = ("GISAXS", "GIWAXS", "SAXS", "WAXS")


def read(path: Path) -> Run:
    return read_run(RunFolder(path), str(path))


def parts(run: Run) -> list[Any]:
    """Blocks of the study's section, rows taken apart."""
    found = next((s for s in sections(run) if s.id == "study"), None)
    blocks = [] if found is None else list(found.blocks)
    flat = []
    while blocks:
        block = blocks.pop(0)
        blocks = [*getattr(block, "blocks", ()), *blocks]
        flat += [] if hasattr(block, "blocks") else [block]
    return flat


def titled(run: Run, start: str) -> list[Table]:
    return [b for b in parts(run) if isinstance(b, Table) and b.caption.startswith(start)]


def texts(row: Any) -> list[str]:
    return [cell.text for cell in row]


# --------------------------------------------------------------------------- what was printed


@pytest.mark.parametrize(("name", "accuracy"), [("head", 98.51), ("svm", 97.66), ("rf", 98.45)])
def test_printed_matrices_give_the_printed_accuracies(name: str, accuracy: float) -> None:
    """Tables 6, 11 and 12 against Table 5, and against the size of each class (section 3)."""
    paper = published("diffranet")
    counts = np.array(paper["confusion"][name]["counts"])
    assert counts.sum(axis=1).tolist() == [2069, 3268, 3346, 2444, 1472]
    assert 100 * np.trace(counts) / counts.sum() == pytest.approx(accuracy, abs=0.011)
    assert paper["table5"][name] == accuracy


@pytest.mark.parametrize(
    ("name", "precision", "recall"),
    [
        ("head", [99.95, 99.45, 98.80, 96.30, 97.41], [100, 99.94, 98.03, 96.89, 97.01]),
        ("svm", [100, 95.33, 98.71, 97.30, 98.11], [100, 99.94, 93.90, 97.26, 98.51]),
        ("rf", [100, 98.40, 98.58, 97.37, 97.90], [100, 99.94, 97.25, 96.89, 98.30]),
    ],
)
def test_tables_with_precision_and_recall_say_what_the_paper_prints(
    name: str, precision: list[float], recall: list[float]
) -> None:
    counts = np.array(published("diffranet")["confusion"][name]["counts"])
    table = matrices.as_table(counts, PAPER, "")
    assert [float(c.text) for c in table.rows[-1][1:-1]] == pytest.approx(precision, abs=0.011)
    assert [float(row[-1].text) for row in table.rows[:-1]] == pytest.approx(recall, abs=0.011)


def test_frames_with_a_crystal_are_told_apart_as_the_paper_says() -> None:
    paper = published("diffranet")
    counts = np.array(paper["confusion"]["head"]["counts"])
    share = matrices.crystal_accuracy(counts, PAPER, paper["without_crystal"])
    assert share is not None
    assert round(100 * share, 2) == paper["crystal_accuracy"] == 99.83


def test_other_classes_have_no_crystal_accuracy() -> None:
    assert matrices.crystal_accuracy(np.eye(3, dtype=int), ["a", "b", "c"], ["blank", "no-crystal"]) is None
    assert matrices.crystal_accuracy(np.eye(2, dtype=int), ["blank", "weak"], ["blank", "no-crystal"]) is None


def test_printed_numbers_of_camsortxs_fit_together() -> None:
    """Section 4.1: 3,512, 746, 746 and 645 frames, halved; 322 is what is left of each; four rotations."""
    printed = published("camsortxs")["table1"]
    whole = {"WAXS": 746, "SAXS": 645, "GIWAXS": 746, "GISAXS": 3512}
    for name, train, test in zip(
        printed["classes"], printed["train"]["unbalanced"], printed["test"], strict=True
    ):
        assert train + test == whole[name]
        assert train == whole[name] // 2
    assert set(printed["train"]["augmented"]) == {4 * 322}
    rows = published("camsortxs")["table3"]["rows"]
    for row in rows.values():
        accuracy, _, _, f_score, _, _ = row["values"]
        assert accuracy == f_score  # a micro average


# --------------------------------------------------------------------------- DiffraNet


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return read(diffranet_run(tmp_path_factory.mktemp("study") / "run").write())


def test_table_3_has_the_best_forest_and_the_best_svm(study: Run) -> None:
    forest, svm = titled(study, "Table 3.")
    for table, name, printed in ((forest, "rf", "98.58"), (svm, "svm", "97.88")):
        best = study.done[study.done.classifier == name].iloc[0]
        head, *_, last = table.rows
        assert texts(head) == ["extractor", best.featurizer.upper(), "GLCM"]
        assert last[1].text.startswith(f"{100 * best.accuracy:.2f}")
        assert last[2] == Cell(printed, paper=True)
    assert ["distance", "1,2", "1,2,5,8"] in [texts(row) for row in forest.rows]


def test_table_4_has_the_best_of_each_extractor(study: Run) -> None:
    (table,) = titled(study, "Table 4.")
    assert [row[0].text for row in table.rows] == ["GLCM", "LBP", "SIFT"]
    assert [row[-1].text for row in table.rows] == ["98.58", "96.71", "56.42"]
    for row, name in zip(table.rows, ("glcm", "lbp", "sift"), strict=True):
        best = study.done[study.done.featurizer == name].accuracy.max()
        assert row[3].text.startswith(f"{100 * best:.2f}")


def test_table_5_and_the_matrices_are_of_the_test_split(study: Run) -> None:
    (table,) = titled(study, "Table 5.")
    assert [row[1].text for row in table.rows] == ["RF", "SVM"]
    forest = study.done[study.done.classifier == "rf"].iloc[0]
    assert table.rows[0][3].text == f"{100 * forest.test_accuracy:.2f}"
    ours, theirs = titled(study, "Table 12.")
    assert "200 frames of the test split" in ours.caption
    assert [column.name for column in ours.columns[1:-1]] == PAPER
    shown = np.array([[int(c.text) for c in row[1:-1]] for row in ours.rows[:-1]])
    at = [study.classes.index(name) for name in PAPER]
    counts = study.test_confusion(int(forest.trial))
    assert counts is not None
    np.testing.assert_array_equal(shown, counts[np.ix_(at, at)])
    assert theirs.rows[0][1].text == "2,069"
    assert titled(study, "Table 6.") == []  # no network here
    assert any("The paper: 99.83 %" in b.text for b in parts(study) if isinstance(b, Text))


def test_without_a_test_split_matrices_are_of_the_folds_and_say_so(tmp_path: Path) -> None:
    made = MadeRun(tmp_path / "run", "diffranet", np.arange(100) % 5)
    made.trial(pipeline("glcm", "rf", distance=[1], angle_deg=[0]), 0.1)
    run = read(made.write())
    ours, _ = titled(run, "Table 12.")
    assert "no test split: 100 classifications of held-out frames" in ours.caption
    assert titled(run, "Table 5.") == []


def test_figures_of_networks_are_there_where_networks_are(tmp_path: Path) -> None:
    made = MadeRun(tmp_path / "run", "deepfreak", np.arange(100) % 5)
    for topology, wrong in ((9, 0.1), (12, 0.2)):
        params = {"topology": topology, "epochs": 9, "training_set": "unbalanced"}
        made.network("deepfreak", params, 9)
        of = pipeline("deepfreak", "head", **params)
        made.trial(of, wrong)
        made.records += [
            structs.replace(r, budget=1 / 3, key=f"{r.key}-early")
            for r in made.records
            if isinstance(r, Evaluation) and r.pipeline == of.id
        ]
    run = read(made.write())
    charts = {b.name: b for b in parts(run) if isinstance(b, Chart)}
    assert set(charts) == {"diffranet-figure-3", "diffranet-figure-4"}
    assert "80 % confidence interval" in charts["diffranet-figure-3"].caption
    first, *_ = diffranet.rungs(run, Labels(run.board))
    assert first.epoch.tolist() == [3, 9]
    assert first.mean[1] == pytest.approx(run.done.accuracy.iloc[0])
    (ours, _) = titled(run, "Table 6.")
    assert "DeepFreak" in ours.caption


def test_figure_3_is_of_the_other_seeds_where_networks_were_run_again(tmp_path: Path) -> None:
    made = MadeRun(tmp_path / "run", "deepfreak", np.arange(100) % 5, folds=1)
    params = {"topology": 9, "epochs": 9, "training_set": "unbalanced"}
    made.network("deepfreak", params, 9)
    of = pipeline("deepfreak", "head", **params)
    made.trial(of, 0.1)
    values = {1 / 3: (0.5, 0.6, 0.7), 1.0: (0.8, 0.9, 0.85)}
    made.records += [
        made_evaluation(of, 0, accuracy, budget=budget, seed=seed, rerun=True)
        for budget, accuracies in values.items()
        for seed, accuracy in enumerate(accuracies, start=1)
    ]
    run = read(made.write())
    (series,) = diffranet.rungs_again(run, Labels(run.board))
    assert series.epoch.tolist() == [3, 9]
    assert series.mean.tolist() == pytest.approx([0.6, 0.85])
    assert series.low is not None
    # Student's t with two degrees of freedom, 80 %: 1.886; the standard deviation is 0.1.
    assert series.low[0] == pytest.approx(0.6 - 1.886 * 0.1 / np.sqrt(3), abs=1e-4)
    (figure,) = (b for b in parts(run) if isinstance(b, Chart) and b.name == "diffranet-figure-3")
    assert "3 runs with other seeds" in figure.caption
    tables = [b for s in sections(run) if s.id == "comparison" for b in s.blocks if isinstance(b, Table)]
    (line,) = tables[-1].rows
    assert texts(line)[2:] == ["0.8500", "0.0500", "0.8000 to 0.9000", "3"]


# --------------------------------------------------------------------------- the order


@pytest.mark.parametrize(
    ("sign", "low", "mean", "high", "outcome"),
    [
        ("≥", 0.01, 0.03, 0.05, "holds"),
        ("≥", -0.01, 0.00, 0.01, "holds"),  # as good, whatever it is exactly
        ("≥", -0.10, 0.01, 0.12, "open"),
        ("≥", -0.09, -0.05, -0.01, "fails"),
        ("≫", 0.20, 0.30, 0.40, "holds"),
        ("≫", 0.01, 0.05, 0.09, "fails"),  # better, and not by far
        ("≫", -0.05, 0.12, 0.30, "open"),
        ("≫", -0.40, -0.3, -0.2, "fails"),
        ("≈", -0.01, 0.01, 0.02, "holds"),
        ("≈", 0.03, 0.05, 0.07, "fails"),
        ("≈", -0.07, -0.05, -0.03, "fails"),
        ("≈", -0.01, 0.05, 0.11, "open"),
    ],
)
def test_a_relation_holds_as_far_as_its_interval_tells(
    sign: str, low: float, mean: float, high: float, outcome: str
) -> None:
    assert Relation("a", sign, "b", Difference(mean, low, high, None)).outcome == outcome


def test_without_an_interval_nothing_is_claimed() -> None:
    for sign in "≥≫":
        assert Relation("a", sign, "b", Difference(0.3, None, None, None)).outcome == "open"


def test_the_order_is_read_from_the_run(tmp_path: Path, study: Run) -> None:
    assert [(r.first, r.sign, r.second, r.outcome) for r in order.relations(study)] == [
        ("glcm", "≥", "lbp", "holds"),
        ("lbp", "≫", "sift", "holds"),
    ]
    made = MadeRun(tmp_path / "run", "diffranet", np.arange(200) % 5)
    for name, wrong in (("glcm", 0.5), ("lbp", 0.1), ("sift", 0.05)):
        made.trial(pipeline(name, "rf"), wrong)
    other = read(made.write())
    assert [r.outcome for r in order.relations(other)] == ["fails", "fails"]
    verdict, _ = order.blocks(other)
    assert isinstance(verdict, Text)
    assert verdict.text.count("does not hold") == 2


def test_networks_are_held_against_glcm(tmp_path: Path) -> None:
    made = MadeRun(tmp_path / "run", "camsortxs", np.arange(200) % 4, TECHNIQUES)
    made.trial(pipeline("glcm", "rf"), 0.1)
    made.trial(pipeline("lenet", "rf", training_set="balanced"), 0.1)
    run = read(made.write())
    assert [(r.first, r.sign, r.second) for r in order.relations(run)] == [("lenet", "≈", "glcm")]
    assert any("lenet ≈ glcm" in b.text for b in parts(run) if isinstance(b, Text))


# --------------------------------------------------------------------------- camSortXS


@pytest.fixture(scope="module")
def techniques(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The paper's own numbers of frames, half of them set apart for networks."""
    scored = {"GISAXS": 1756, "GIWAXS": 373, "SAXS": 323, "WAXS": 373}
    labels = np.random.default_rng(0).permutation(np.repeat(np.arange(4), list(scored.values())))
    made = MadeRun(
        tmp_path_factory.mktemp("camsortxs") / "run",
        "camsortxs",
        labels,
        TECHNIQUES,
        representation_share=0.5,
    )
    text = made.folder.environment.read_text()
    for name, whole in (("GISAXS", 3512), ("GIWAXS", 746), ("SAXS", 645), ("WAXS", 746)):
        text = text.replace(f'"{name}": {scored[name]}', f'"{name}": {whole}')
    made.folder.environment.write_text(text)
    for classifier, more in (("rf", 0.0), ("et", 0.03)):
        made.trial(pipeline("histogram", classifier), 0.05 + more)
        for training_set, wrong in (("unbalanced", 0.02), ("balanced", 0.04), ("augmented", 0.03)):
            made.trial(pipeline("lenet", classifier, training_set=training_set), wrong + more)
        made.trial(pipeline("resnet50", classifier, training_set="pretrained"), 0.1 + more)
    for training_set, epochs in (("unbalanced", 3), ("balanced", 2)):
        made.network("lenet", {"training_set": training_set}, epochs)
    return read(made.write())


def test_table_1_gives_the_papers_counts_for_the_papers_frames(techniques: Run) -> None:
    (table,) = titled(techniques, "Table 1.")
    shown = {(row[0].text, row[1].text): texts(row[2:]) for row in table.rows}
    names = [column.name for column in table.columns[2:6]]
    assert names == list(TECHNIQUES)
    for ours in shown.values():
        assert ours[:4] == ours[4:]  # the paper's, in this run's order of classes
    assert shown["train", "UB"][:4] == ["1,756", "373", "322", "373"]
    assert shown["train", "BL"][:4] == ["322"] * 4
    assert shown["train", "BLA"][:4] == ["1,288"] * 4
    assert shown["scored", "UB"][:4] == ["1,756", "373", "323", "373"]


def test_table_2_sums_the_epochs_of_a_fit(techniques: Run) -> None:
    (table,) = titled(techniques, "Table 2.")
    lenet = next(row for row in table.rows if row[0].text == "LeNet")
    assert texts(lenet[1:7]) == ["6.00", "1,283", "4.00", "587", "—", "2,758"]
    assert texts(lenet[7:]) == ["0.0020", "0.010"]


def test_table_3_has_ours_above_the_papers(techniques: Run) -> None:
    (table,) = titled(techniques, "Table 3.")
    rows = [texts(row) for row in table.rows]
    assert [row[0] for row in rows] == ["HF", "", "LeNet", "", "ResNet", ""]
    best = techniques.done[techniques.done.featurizer == "lenet"].iloc[0]
    assert rows[2][1:4] == ["this run", "UB", "RF"]
    assert rows[2][4] == f"{100 * best.accuracy:.2f} ± {100 * best.accuracy_std:.2f}"
    assert rows[3] == [
        "", "paper", "UB", "RF", "99.10 ± 0.13", "98.80 ± 0.13", "99.11 ± 0.12", "99.10 ± 0.13",
        "98.40 ± 0.23", "98.41 ± 0.23",
    ]  # fmt: skip
    assert all(cell.paper for cell in table.rows[3])


def test_figures_4_and_5_have_a_point_a_classifier(techniques: Run) -> None:
    captions = [b.caption for b in parts(techniques) if isinstance(b, Chart)]
    assert [c.partition(".")[0] for c in captions] == ["Figure 4", "Figure 5"]


def test_other_classes_leave_the_papers_counts_out(tmp_path: Path) -> None:
    made = MadeRun(tmp_path / "run", "camsortxs", np.arange(100) % 2, ["a", "b"])
    made.trial(pipeline("histogram", "rf"), 0.1)
    (table,) = titled(read(made.write()), "Table 1.")
    assert [column.name for column in table.columns] == ["", "set", "a", "b"]
    assert texts(table.rows[-1]) == ["scored", "UB", "50", "50"]


def test_a_run_over_another_space_has_no_study(tmp_path: Path) -> None:
    made = MadeRun(tmp_path / "run", "mine", np.arange(100) % 5)
    made.trial(pipeline("glcm", "rf"), 0.1)
    assert parts(read(made.write())) == []


def test_a_study_without_its_plugins_says_nothing_of_them(tmp_path: Path) -> None:
    """Nothing in the tables comes from anywhere but the run and the printed numbers."""
    made = MadeRun(tmp_path / "run", "camsortxs", np.arange(100) % 4, TECHNIQUES)
    made.trial(pipeline("lenet", "rf", training_set="balanced"), 0.1)
    run = read(made.write())
    (table,) = titled(run, "Table 3.")
    assert [row[0].text for row in table.rows] == ["LeNet", ""]
    assert camsortxs.training_counts(run, [20, 20, 20, 20], "augmented") == [64] * 4
