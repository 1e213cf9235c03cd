"""Runs opened from Python, made by hand: what is there, and what is said about what is not."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import sweeper
from sweeper.opened import Run
from sweeper.runs.predictions import to_parquet
from sweeper.runs.records import TEST
from tests.report.made_runs import CLASSES, MadeRun, diffranet_run, pipeline

STOPPED, FAILED = 8, 9
"""Trials of the made run."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeRun:
    made = diffranet_run(tmp_path_factory.mktemp("made") / "run")
    made.frames([f"{i:03}.tif" for i in range(200)])
    made.write()
    return made


@pytest.fixture(scope="module", params=["folder", "url"])
def opened(request: pytest.FixtureRequest, made: MadeRun) -> Run:
    """The run by its path, and by a URL of the same folder."""
    path = made.folder.path
    return sweeper.open_run(path if request.param == "folder" else path.as_uri())


def test_a_run_says_what_it_is(opened: Run) -> None:
    assert repr(opened).startswith("open_run('")
    status = opened.status()
    assert not status.running
    assert str(status).startswith(f"{status.run}: not running\n")
    assert status.trials == 10
    first = opened.leaderboard().query("trial >= 0").iloc[0]
    assert (opened.best.trial, opened.best.score) == (first.trial, first.accuracy)
    assert opened.pipeline(first.trial).name == f"{opened.best.featurizer}+{opened.best.classifier}"


def test_leaderboards_are_chosen_as_on_the_command_line(opened: Run) -> None:
    board = opened.leaderboard()
    assert board["rank"].tolist() == list(range(1, 12))  # with the ensemble
    assert opened.leaderboard(top=3).equals(board.head(3))
    kinds = opened.leaderboard(best_per="featurizer").featurizer.tolist()
    assert sorted(kinds) == ["ensemble", "glcm", "lbp", "sift"]
    assert set(opened.leaderboard(pareto=True).status) == {"done"}
    with pytest.raises(sweeper.InputError, match=r"best_per must be one of featurizer, .*, got 'featurizr'"):
        opened.leaderboard(best_per="featurizr")
    with pytest.raises(sweeper.InputError, match="top must be 1 or more, got 0"):
        opened.leaderboard(top=0)


def test_predictions_name_frames_and_classes(opened: Run, made: MadeRun) -> None:
    found = opened.predictions(0)
    scores = [f"score[{name}]" for name in CLASSES]
    assert list(found) == ["frame", "path", "index", "label", "predicted", "fold", *scores]
    assert found.fold.tolist() == sorted(found.fold)
    assert sorted(found.frame) == [f"{i:03}.tif" for i in range(200)]
    assert (found["index"] == 0).all()
    for row in found.itertuples():
        number = int(row.frame[:3])
        assert row.path == str(made.folder.path.parent / "frames" / row.frame)
        assert row.label == CLASSES[number % 5]
        assert number in made.rows(row.fold)
    predicted = [CLASSES.index(name) for name in found.predicted]
    assert found[scores].to_numpy().argmax(axis=1).tolist() == predicted
    right = (found.label == found.predicted).groupby(found.fold).mean()
    assert right.mean() == pytest.approx(opened.leaderboard().query("trial == 0").accuracy.item())


def test_predictions_that_are_not_there(opened: Run) -> None:
    for trial, test, message in (
        (1, False, "trial 1: its predictions were not kept, a run keeps those of the best 50 pipelines"),
        (0, True, "trial 0: its predictions were not kept"),
        (1, True, "trial 1: was not scored on a test split; only the best trials are"),
        (STOPPED, False, "trial 8: has no predictions, it did not reach the full budget"),
        (FAILED, False, "trial 9: has no predictions, it did not reach the full budget"),
        (10, False, "trial must be the number of a trial of this sweep, got 10"),
        (-1, False, "trial must be the number of a trial of this sweep, got -1"),
    ):
        with pytest.raises(sweeper.InputError, match=message):
            opened.predictions(trial, test=test)


def test_predictions_for_the_test_split(made: MadeRun, tmp_path: Path) -> None:
    run = Path(shutil.copytree(made.folder.path, tmp_path / "run"))
    record = made.folder.results().test(0)
    assert record is not None
    rows = np.array([3, 150])
    data = to_parquet(rows, made.labels[rows], np.eye(5)[[3, 1]], CLASSES)
    (run / "predictions" / f"{record.key}.parquet").write_bytes(data)
    for place in (run, run.as_uri()):
        found = sweeper.open_run(place).predictions(0, test=True)
        assert found.frame.tolist() == ["003.tif", "150.tif"]
        assert found.fold.tolist() == [TEST, TEST]
        assert found.label.tolist() == ["strong", "blank"]
        assert found.predicted.tolist() == ["strong", "good"]


def test_lists_of_frames_that_are_another_sweeps(made: MadeRun, tmp_path: Path) -> None:
    run = Path(shutil.copytree(made.folder.path, tmp_path / "run"))
    (run / "frames.parquet").unlink()
    with pytest.raises(sweeper.InputError, match=r"frames.parquet: must be the list of the run's frames"):
        sweeper.open_run(run).predictions(0)


def test_stacks_are_named_by_position(tmp_path: Path) -> None:
    labels = np.arange(20, dtype=np.int64) % 2
    made = MadeRun(tmp_path / "run", "s", labels, ("a", "b"), folds=2)
    made.trial(pipeline("glcm", "rf"), 0.1, keep=True)
    paths = ["/data/x.tif", *["/data/deep/y.h5"] * 10, *["/data/z.h5"] * 9]
    index = [0, *range(10), *range(9)]
    pd.DataFrame({"path": paths, "index": index, "error": [None] * 20}).to_parquet(made.folder.frames)
    found = sweeper.open_run(made.write()).predictions(0).sort_values(["path", "index"])
    stacks = [*(f"deep/y.h5#{i}" for i in range(10)), "x.tif", *(f"z.h5#{i}" for i in range(9))]
    assert found.frame.tolist() == stacks
    assert found["index"].tolist() == [*range(10), 0, *range(9)]


def test_reports(made: MadeRun, tmp_path: Path) -> None:
    run = Path(shutil.copytree(made.folder.path, tmp_path / "run"))
    assert sweeper.open_run(run).report() == run / "report.html"
    assert "<html" in (run / "report.html").read_text()
    remote = sweeper.open_run(run.as_uri())
    with pytest.raises(sweeper.InputError, match="must name a file for the report: the run is at a URL"):
        remote.report()
    assert remote.report(str(tmp_path / "page.html")) == tmp_path / "page.html"
    assert (tmp_path / "page.html").stat().st_size > 10_000


def test_no_trial_at_the_full_budget_yet(tmp_path: Path) -> None:
    made = MadeRun(tmp_path / "run", "s", np.arange(20, dtype=np.int64) % 2, ("a", "b"))
    with pytest.raises(sweeper.InputError, match="run: no trial has reached the full budget yet"):
        _ = sweeper.open_run(made.write()).best
