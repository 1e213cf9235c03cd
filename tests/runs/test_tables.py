"""The leaderboard on screen, in terminals of every width."""

from __future__ import annotations

from typing import Any

import pytest

from sweeper.data.intensity import resolve
from sweeper.pipeline import Pipeline
from sweeper.runs import tables
from sweeper.runs.leaderboard import build_leaderboard
from sweeper.runs.records import TEST
from sweeper.runs.results import Results
from tests.runs.made_records import made_evaluation, made_failure, made_pipeline, made_trial, results_of

FOLDS = 3
WIDTHS = (80, 81, 90, 100, 119, 120, 150, 160, 200, 300)


def pipeline(number: int, **intensity: Any) -> Pipeline:
    weights = (0.35, 0.1, 0.35, 0.1, 0.1) if number % 2 else "balanced"
    return made_pipeline(
        intensity=resolve(intensity),
        featurizer_params={"distance": (1, 2, 4, 8), "angle_deg": (45, 135)},
        reducer="pca",
        reducer_params={"components": 10 + number},
        classifier_params={
            "n_trees": 1000,
            "max_features": 0.25,
            "max_depth": 20,
            "min_samples_leaf": 1,
            "class_weight": weights,
        },
    )


def accuracies(number: int) -> list[float]:
    """Of the folds of a trial."""
    return [0.9 - 0.01 * number + 0.01 * fold for fold in range(FOLDS)]


def board(*, tested: bool = False, metric: str = "accuracy") -> Any:
    records = [
        *made_trial(0, pipeline(0), *accuracies(0)),
        *([made_evaluation(pipeline(0), TEST, 0.93)] if tested else []),
        *made_trial(1, pipeline(1), *accuracies(1)),
        *made_trial(2, pipeline(2), *accuracies(2), budget=1 / 3),
        *made_trial(3, pipeline(3), made_failure("MemoryError: a fit needs more than 1.0 GiB"), budget=1 / 3),
    ]
    return build_leaderboard(results_of(records), metric=metric, folds=FOLDS)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("tested", [False, True])
@pytest.mark.parametrize("metric", ["accuracy", "kappa", "precision_weighted"])
def test_rows_fit_and_numbers_are_whole(
    width: int, tested: bool, metric: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "_width", lambda: width)
    rows = board(tested=tested, metric=metric)
    text = tables.leaderboard_table(rows, metric)
    assert max(map(len, text.splitlines())) <= width
    header = text.splitlines()[1]
    assert metric in header
    for column in ("rank", "representation", "classifier", "status"):
        assert column in header
    for row in rows[rows.status != "failed"].itertuples():
        score, spread = getattr(row, metric), getattr(row, f"{metric}_std")
        assert f"{score:.4f} ± {spread:.3f}" in text
        if "95% interval" in header:
            assert f"{row.accuracy_ci_low:.3f} to {row.accuracy_ci_high:.3f}" in text
    for parameter in ("n_trees=1000", "max_features=0.25", "angle_deg=45,135", "distance=1,2,4,8"):
        assert text.count(parameter) == len(rows)
    assert "stopped" in text
    assert "failed:" in text
    assert "MemoryError:" in text


@pytest.mark.parametrize("width", [40, 55, 70, 79])
@pytest.mark.parametrize("metric", ["accuracy", "kappa"])
def test_a_very_narrow_terminal_breaks_text_and_no_line(
    width: int, metric: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "_width", lambda: width)
    rows = board(tested=True, metric=metric)
    text = tables.leaderboard_table(rows, metric)
    assert max(map(len, text.splitlines())) <= width
    for row in rows[rows.status != "failed"].itertuples():
        assert f"{getattr(row, metric):.4f} ± {getattr(row, f'{metric}_std'):.3f}" in text


@pytest.mark.parametrize(
    ("columns", "width"), [("100", 100), ("7", 40), ("many", 160), ("", 160), (None, 160)]
)
def test_the_width_is_what_columns_says(
    columns: str | None, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if columns is None:
        monkeypatch.delenv("COLUMNS", raising=False)
    else:
        monkeypatch.setenv("COLUMNS", columns)
    assert tables._width() == width


def test_rows_in_json_have_parameters_as_objects_and_every_column() -> None:
    rows = board(tested=True)
    found = tables.leaderboard_rows(rows)
    assert [list(row) for row in found] == [list(rows.columns)] * len(rows)
    assert found[0]["featurizer_params"] == {"distance": [1, 2, 4, 8], "angle_deg": [45, 135]}
    assert found[0]["classifier_params"]["class_weight"] == "balanced"
    assert (found[0]["rank"], found[0]["status"], found[-1]["status"]) == (1, "done", "failed")


def test_a_long_error_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "_width", lambda: 400)
    rows = board()
    rows["error"] = ["", "", "", "word " * 1000]
    text = tables.leaderboard_table(rows)
    assert "failed: word word" in text
    assert 15 < text.count("word") < 25


def test_a_wide_terminal_has_all_columns_and_a_narrow_one_the_rank_and_the_score(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = board(tested=True)
    rows = rows[rows.status != "failed"]  # an error takes room
    monkeypatch.setattr(tables, "_width", lambda: 250)
    (header,) = [line for line in tables.leaderboard_table(rows).splitlines() if "rank" in line]
    for name in ("trial", "reducer", "95% interval", "kappa", "p vs best", "test", "ms/frame"):
        assert name in header
    monkeypatch.setattr(tables, "_width", lambda: 80)
    (header,) = [line for line in tables.leaderboard_table(rows).splitlines() if "rank" in line]
    assert header.split() == ["rank", "representation", "classifier", "accuracy", "test", "status"]


def test_what_ranks_stands_before_the_accuracy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "_width", lambda: 250)
    header = tables.leaderboard_table(board(metric="mcc"), "mcc").splitlines()[1]
    assert header.index("mcc") < header.index("accuracy")
    header = tables.leaderboard_table(board(metric="kappa"), "kappa").splitlines()[1]
    assert header.count("kappa") == 1
    assert header.index("kappa") < header.index("accuracy")


def test_settings_of_the_intensity_read_like_any_parameter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "_width", lambda: 300)
    of = {n: pipeline(n, bin=n, scale="linear") for n in (1, 2)}
    records = [record for n in of for record in made_trial(n, of[n], *accuracies(n))]
    text = tables.leaderboard_table(build_leaderboard(results_of(records)))
    assert "glcm angle_deg=45,135 distance=1,2,4,8 bin=1 " in text
    assert "glcm angle_deg=45,135 distance=1,2,4,8 bin=2 " in text
    assert "pca components=11" in text
    assert "scale" not in text  # the same in all


def test_an_empty_leaderboard_says_so() -> None:
    assert "no pipeline" in tables.leaderboard_table(build_leaderboard(Results()))


def test_featurizers_side_by_side_are_named_with_the_parameters_of_each() -> None:
    params = {
        "glcm": {"distance": (1, 2), "angle_deg": (0, 45, 90, 135)},
        "lbp": {"points": 8, "radius": 3},
        "histogram": {},
    }
    made = made_pipeline("glcm+lbp+histogram", featurizer_params=params, intensity=resolve({}))
    (row,) = build_leaderboard(results_of(made_trial(0, made, 0.9, 0.8)), folds=2).itertuples()

    name = tables.representation_name(row)
    assert name.split() == ["glcm+lbp+histogram", "glcm.distance=1,2", "lbp.radius=3"]
