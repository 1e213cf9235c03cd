"""A few own frames beside others that help: the sweep, what more labels would buy, how far a target is."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

import sweeper
from sweeper.data.dataset import load_dataset
from sweeper.errors import InputError
from sweeper.evaluate.folds import FittedPipeline, fit_pipeline
from sweeper.labels import curve as curves
from sweeper.labels import read_label_curve
from sweeper.labels.curve import chosen_pipeline, label_curve
from sweeper.runs.data import run_data
from sweeper.runs.folder import RunFolder
from sweeper.runs.records import Scored
from sweeper.runs.target import read_target
from sweeper.sorter.strangers import far_from
from tests.conftest import write_textures

Cli = Callable[..., "subprocess.CompletedProcess[str]"]


@dataclass(frozen=True)
class Swept:
    """A sweep over 3 x 4 own frames beside 3 x 10 that help, what it printed, and its command."""

    run: Path
    own: Path
    helping: Path
    said: str
    command: list[object]


@pytest.fixture(scope="module")
def swept(run_here: Cli, tiny_space: Path, tmp_path_factory: pytest.TempPathFactory) -> Swept:
    root = tmp_path_factory.mktemp("own")
    own = write_textures(root / "own", per_class=4, seed=5)
    helping = write_textures(root / "others", per_class=10)
    command = ["run", own, "--helping", helping, "--space", tiny_space, "--trials", 8, "--out", root / "run"]
    done = run_here(*command)
    assert done.returncode == 0, done.stderr
    return Swept(root / "run", own, helping, done.stdout + done.stderr, command)


def test_own_frames_alone_are_scored(swept: Swept) -> None:
    folder = RunFolder(swept.run)
    data = run_data(folder).dataset
    assert data.own.sum() == 12 and len(data) == 42
    board = sweeper.open_run(swept.run).leaderboard()
    best = sweeper.open_run(swept.run).predictions(int(board[board.trial >= 0].trial.iloc[0]))
    assert sorted(best["path"]) == sorted(str(path) for path in swept.own.rglob("*.tif"))
    assert "note: 12 frames are your own and are scored (coarse 4, fine 4, medium 4); 30 others" in swept.said
    assert f"sweeper labels {swept.run}" in swept.said
    results = folder.results()
    for trial in results.trials:
        assert results.pipeline(trial).classifier_params["own_weight"] >= 1
    outcomes = [e.outcome for trial in results.trials for e in results.evaluations(trial)]
    assert {o.n_train + o.n_validation for o in outcomes if isinstance(o, Scored)} == {12}


def test_the_same_command_computes_nothing_again_and_a_target_may_be_named(
    swept: Swept, run_here: Cli, tmp_path: Path
) -> None:
    rng = np.random.default_rng(0)
    for i in range(6):  # noise without correlation, far brighter than any texture
        tifffile.imwrite(tmp_path / f"{i}.tif", rng.poisson(3e4 * rng.random((48, 48))).astype(np.uint16))
    (tmp_path / "torn.tif").write_bytes(b"II*\0")
    before = (swept.run / "leaderboard.csv").read_text()
    done = run_here(*swept.command, "--target", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "; 0 evaluations computed, " in done.stdout
    assert (swept.run / "leaderboard.csv").read_text() == before
    found = read_target(RunFolder(swept.run).target)
    assert found is not None
    assert (found.found, found.looked_at, found.unreadable, found.unlike) == (7, 6, 1, 6)
    assert found.typical == 1.0 and found.other_sizes == 0
    assert sweeper.open_run(swept.run).target() == found
    assert "target: 6 of 6 frames (100%) are unlike the training frames" in done.stdout
    assert "No score here says how well they are told apart" in done.stdout
    page = sweeper.open_run(swept.run).report().read_text()
    assert "6 of 6 frames (100%) are unlike the training frames" in page


def test_a_target_must_be_there(swept: Swept, run_here: Cli) -> None:
    done = run_here(*swept.command, "--target", "nowhere")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "--target" in done.stderr and "no such file" in done.stderr


def test_frames_like_the_training_frames_are_as_far_as_these() -> None:
    rng = np.random.default_rng(0)
    x, groups = rng.normal(size=(300, 6)), np.arange(300)
    alike, other = rng.normal(size=(400, 6)), rng.normal(size=(50, 6)) + 3
    rank, distance = far_from(x, groups, alike, 0.05, 1)
    assert 0.4 < np.median(rank) < 0.6
    assert 0.02 < (distance > 1).mean() < 0.09
    rank, distance = far_from(x, groups, other, 0.05, 1)
    assert np.median(rank) > 0.99 and (distance > 1).mean() > 0.9


# --------------------------------------------------------------------------- what more labels would buy


def test_held_out_frames_are_never_fitted_on_and_draws_are_of_ones_own(
    swept: Swept, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = RunFolder(swept.run)
    data = run_data(folder)
    own, seen = data.dataset.own, []

    def spy(pipeline: Any, x: Any, y: Any, train: Any, **options: Any) -> FittedPipeline:
        seen.append(train)
        return fit_pipeline(pipeline, x, y, train, **options)

    monkeypatch.setattr(curves, "fit_pipeline", spy)
    curve = label_curve(folder, chosen_pipeline(folder), draws=2)
    assert [point.a_class for point in curve.points] == [0, 1, None]
    assert [point.frames for point in curve.points] == [0, 3, 9.0 if len(data.splits) == 4 else 9.6]
    assert len(seen) == len(data.splits) * (1 + 2 + 1)
    for fold, split in enumerate(data.splits):
        for train in seen[4 * fold : 4 * fold + 4]:
            assert not np.isin(train, split.validation).any()
            assert (~own[train]).sum() == 30
    full = [train for train in seen if own[train].sum() > 3]
    assert all(np.array_equal(train, s.train) for train, s in zip(full, data.splits, strict=True))


def test_the_last_point_is_the_score_on_the_leaderboard(swept: Swept) -> None:
    run = sweeper.open_run(swept.run)
    curve = run.label_curve(draws=1)
    predicted = run.predictions(curve.trial)
    assert curve.points[-1].accuracy == pytest.approx((predicted.label == predicted.predicted).mean())
    assert curve == run.label_curve(draws=1)
    for point in curve.points:
        assert 0 <= point.low <= point.accuracy <= point.high <= 1
        assert point.high - point.low > 0.1  # twelve frames never make it certain
    assert curve.gain_low < 0 < curve.gain_high
    assert curve.verdict.endswith("12 frames cannot tell that from nothing")


def test_the_command_prints_the_curve_and_the_report_draws_it(swept: Swept, run_here: Cli) -> None:
    done = run_here("labels", swept.run, "--draws", 2)
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    assert [row[0] for row in rows if row and row[0] in ("none", "1", "all")] == ["none", "1", "all"]
    kept = read_label_curve(RunFolder(swept.run).labels)
    assert kept is not None and kept.verdict in done.stdout
    told = json.loads(run_here("labels", swept.run, "--draws", 2, "--json").stdout)
    assert told["gain"] == kept.gain
    assert f"{kept.verdict}." in sweeper.open_run(swept.run).report().read_text()


def test_a_pipeline_must_be_one_of_the_run(swept: Swept) -> None:
    with pytest.raises(InputError, match="--trial must be a trial of this run at the full budget, got 99"):
        chosen_pipeline(RunFolder(swept.run), 99)


def test_ten_more_frames_of_a_curve_that_rises_by_the_logarithm() -> None:
    frames = np.array([0.0, 4, 12, 40])
    curve = 0.5 + 0.1 * np.log1p(frames)
    [gain] = curves._gain(curve[None], frames, 50)
    assert gain == pytest.approx(0.1 * (np.log1p(60) - np.log1p(50)))
    assert curves._gain(np.array([[0.5, 0.6, 0.9, 1.0]]), frames, 50) == [0.0]


# --------------------------------------------------------------------------- frames in memory


def test_frames_in_memory_may_have_a_data_set_that_helps(
    swept: Swept, tiny_space: Path, tmp_path: Path
) -> None:
    data = load_dataset(swept.own)
    frames = [tifffile.imread(path) for path in data.paths]
    labels = [data.classes[label] for label in data.labels]
    plan = sweeper.plan(frames=frames, labels=labels, helping=swept.helping, space=tiny_space)
    assert plan.frames == 42
    assert plan.notes[0].startswith("12 frames are your own and are scored")
    assert "own_weight" in str(plan)
