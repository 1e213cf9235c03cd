"""Whole sweeps, as people run them: reproducible, resumable, honest, within their limits.

Each sweep is a process of its own with its own Ray.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sweeper.runs.journal import is_open, read_journal
from sweeper.runs.predictions import read_predictions
from sweeper.runs.records import TEST, Evaluation, Scored
from sweeper.runs.results import Results
from tests.conftest import REPOSITORY, write_textures
from tests.engine.leaderboards import TIMINGS, check_unchanged

Cli = Callable[..., subprocess.CompletedProcess[str]]
TITLES_OF_TRIALS = ("ray::SweepTrial", "ray::ResourceTrainable")
SETTINGS = ("--search", "bohb", "--trials", 22, "--folds", 3, "--seed", 5)


def scores(run: Path) -> pd.DataFrame:
    """The leaderboard without its timings."""
    return pd.read_csv(run / "leaderboard.csv").drop(columns=TIMINGS)


def pipelines(run: Path) -> pd.DataFrame:
    """The rows that are no ensemble."""
    board = scores(run)
    return board[board.featurizer != "ensemble"]


def evaluations(run: Path, *, rerun: bool = False) -> list[Evaluation]:
    records = (record for _, record in read_journal(run / "journal.jsonl"))
    return [record for record in records if isinstance(record, Evaluation) and record.rerun == rerun]


def scored(record: Evaluation) -> Scored:
    """What came of an evaluation that gave a score."""
    assert isinstance(record.outcome, Scored)
    return record.outcome


def sweep(run_cli: Cli, data: Path, space: Path, out: Path, *more: object) -> str:
    done = run_cli("run", data, "--space", space, "--out", out, *(more or SETTINGS))
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def undisturbed(
    run_cli: Cli, textures: Path, tiny_space: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A sweep on two cores that nothing disturbs."""
    out = tmp_path_factory.mktemp("undisturbed") / "run"
    loggers = ("--log", "mlflow", "--log", "tensorboard")
    sweep(run_cli, textures, tiny_space, out, *SETTINGS, "--cpus", 2, *loggers)
    return out


def test_the_leaderboard_finds_textures_that_differ(undisturbed: Path) -> None:
    board = scores(undisturbed)
    assert board["rank"].tolist() == list(range(1, len(board) + 1))
    best = board.iloc[0]
    assert best.status == "done"
    assert best.accuracy > 0.8
    assert best.accuracy_ci_low <= best.accuracy <= best.accuracy_ci_high
    assert set(board.status) == {"done", "stopped"}


def test_the_leaderboard_is_what_earlier_code_gave(undisturbed: Path) -> None:
    check_unchanged(undisturbed, "textures")


def test_predictions_are_those_that_the_scores_came_from(undisturbed: Path) -> None:
    full = {record.key: record for record in evaluations(undisturbed) if record.budget == 1}
    files = list((undisturbed / "predictions").iterdir())
    assert {file.stem for file in files} == set(full)
    rows: dict[str, list[int]] = {}
    for file in files:
        predictions, record = read_predictions(file), full[file.stem]
        table = np.zeros((3, 3), dtype=int)
        np.add.at(table, (predictions.labels, predictions.predicted), 1)
        assert table.tolist() == scored(record).confusion
        rows.setdefault(record.pipeline, []).extend(predictions.frames.tolist())
    assert all(sorted(of_all_folds) == list(range(36)) for of_all_folds in rows.values())


def predictions_of(run: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in (run / "predictions").iterdir()}


def test_other_tools_are_told_of_every_trial(undisturbed: Path) -> None:
    trials = [
        f"{row.featurizer}+{row.classifier} #{row.trial}" for row in pipelines(undisturbed).itertuples()
    ]
    with closing(sqlite3.connect(undisturbed / "logs" / "mlflow" / "mlflow.db")) as database:
        runs = [name for (name,) in database.execute("select name from runs")]
    assert sorted(runs) == sorted([*trials, "ensemble"])
    folders = (undisturbed / "logs" / "tensorboard").iterdir()
    assert sorted(folder.name.replace("-", " ") for folder in folders) == sorted([*trials, "ensemble"])


def test_brackets_are_halved_as_hyperband_says(undisturbed: Path) -> None:
    """22 trials: brackets of 9, 5, 3 and five more; a third goes on from each rung."""
    per_budget = Counter(round(record.budget, 3) for record in evaluations(undisturbed))
    first_rungs = {0.111: 9 + 5, 0.333: 3 + 5 + 3, 1.0: 1 + 2 + 3 + 1}
    assert {b: n / 3 for b, n in per_budget.items()} == first_rungs


def test_one_worker_gives_the_same_leaderboard(
    run_cli: Cli, textures: Path, tiny_space: Path, undisturbed: Path, tmp_path: Path
) -> None:
    sweep(run_cli, textures, tiny_space, tmp_path / "run", *SETTINGS, "--cpus", 1)
    pd.testing.assert_frame_equal(scores(tmp_path / "run"), scores(undisturbed))


@pytest.mark.long
def test_the_best_are_run_again_with_other_seeds(
    run_here: Cli, textures: Path, tiny_space: Path, undisturbed: Path, tmp_path: Path
) -> None:
    """Asked for later, they are all that is computed, and the leaderboard stays as it is."""
    run = Path(shutil.copytree(undisturbed, tmp_path / "run"))
    known = len(evaluations(run))
    said = sweep(run_here, textures, tiny_space, run, *SETTINGS, "--reruns", 2)
    assert f"18 evaluations computed, {known} from the journal" in said  # three pipelines, folds, two seeds
    again = evaluations(run, rerun=True)
    assert Counter((r.fold, r.seed) for r in again) == {(f, s): 3 for f in range(3) for s in (6, 7)}
    best = pipelines(run)[lambda b: b.status == "done"].head(3)
    results = Results.read(run / "journal.jsonl")
    assert {record.pipeline for record in again} == {results.pipeline(trial).id for trial in best.trial}
    pd.testing.assert_frame_equal(scores(run), scores(undisturbed))
    assert {f.name for f in (run / "predictions").iterdir()} == {
        f.name for f in (undisturbed / "predictions").iterdir()
    }


def start(data: Path, space: Path, out: Path, *more: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "sweeper", "run", data, "--space", space, "--out", out, *SETTINGS, *more]
    return subprocess.Popen(
        [str(c) for c in command],
        cwd=REPOSITORY,
        stderr=subprocess.PIPE,
        # Tests that a script started in its background would hand on that SIGINT is ignored.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )


def wait_for(condition: Callable[[], bool], seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "what the test waits for did not happen"
        time.sleep(0.05)


@pytest.mark.slow
def test_a_killed_driver_goes_on_where_it_was(
    run_cli: Cli, textures: Path, tiny_space: Path, undisturbed: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    driver = start(textures, tiny_space, out)
    wait_for(lambda: len(evaluations(out)) >= 30)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    wait_for(lambda: not is_open(out / "journal.jsonl"))  # its workers need a moment to end
    recorded = len(evaluations(out))
    stdout = sweep(run_cli, textures, tiny_space, out)
    pd.testing.assert_frame_equal(scores(out), scores(undisturbed))
    assert predictions_of(out) == predictions_of(undisturbed)
    keys = Counter(record.key for record in evaluations(out))
    assert max(keys.values()) == 1
    assert f"{len(keys) - recorded} evaluations computed" in stdout
    assert "0 blocks computed" in stdout


def ray_processes(root: int, title: str) -> list[int]:
    """Processes below `root` whose title begins so."""
    import psutil

    found = []
    for child in psutil.Process(root).children(recursive=True):
        try:
            if " ".join(child.cmdline()).startswith(title):
                found.append(child.pid)
        except psutil.NoSuchProcess:
            continue
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    "victim",
    [
        "ray::trial",
        *(pytest.param(title, marks=pytest.mark.long) for title in TITLES_OF_TRIALS),
        pytest.param("ray::FeatureStore", marks=pytest.mark.long),
    ],
)
def test_a_killed_worker_costs_nothing_but_its_evaluation(
    textures: Path, tiny_space: Path, undisturbed: Path, tmp_path: Path, victim: str
) -> None:
    out = tmp_path / "run"
    driver = start(textures, tiny_space, out)
    wait_for(lambda: len(evaluations(out)) >= 6)
    killed = 0
    deadline = time.monotonic() + 10
    while not killed and driver.poll() is None and time.monotonic() < deadline:
        for pid in ray_processes(driver.pid, victim)[:1]:
            os.kill(pid, signal.SIGKILL)
            killed += 1
    _, stderr = driver.communicate(timeout=180)
    assert driver.returncode == 0, stderr.decode()
    if victim not in TITLES_OF_TRIALS:  # a waiting trial has one title or the other
        assert killed
    pd.testing.assert_frame_equal(scores(out), scores(undisturbed))
    assert max(Counter(record.key for record in evaluations(out)).values()) == 1


def test_interrupting_ends_at_once_and_says_how_to_go_on(
    textures: Path, tiny_space: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    driver = start(textures, tiny_space, out)
    wait_for(lambda: len(evaluations(out)) >= 3)
    driver.send_signal(signal.SIGINT)
    _, stderr = driver.communicate(timeout=30)
    assert driver.returncode == 130
    assert (
        stderr.decode().strip().splitlines()[-1]
        == "sweeper: interrupted; run the same command again to resume"
    )


def permuted(data: Path, path: Path) -> Path:
    """Manifest of the same frames with labels shuffled."""
    frames = sorted(data.rglob("*.tif"))
    labels = np.random.default_rng(0).permutation([frame.parent.name for frame in frames])
    rows = [f"{frame.relative_to(data)},{label}" for frame, label in zip(frames, labels, strict=True)]
    path.write_text("\n".join(["path,label", *rows]) + "\n")
    return path


@pytest.mark.long
def test_permuted_labels_score_at_chance(run_here: Cli, tiny_space: Path, tmp_path: Path) -> None:
    data = write_textures(tmp_path / "data", per_class=30)
    manifest = permuted(data, data / "permuted.csv")
    sweep(run_here, manifest, tiny_space, tmp_path / "run", "--search", "random", "--trials", 30, "--seed", 1)
    board = scores(tmp_path / "run")
    mean = board.accuracy.mean()
    assert abs(mean - 1 / 3) < 0.08  # binomial with 90 frames: standard deviation 0.05 a pipeline
    assert board.accuracy.max() < 1 / 3 + 0.2


def test_the_time_budget_holds(run_cli: Cli, textures: Path, tmp_path: Path) -> None:
    """The sweep ends though far more trials are left, and writes what it has.

    A busy machine takes most of 20 seconds to start; the space has fits of several seconds.
    """
    budget_s, more = 40, ("--folds", 2, "--search", "random")
    run = tmp_path / "run"
    sweep(run_cli, textures, "quick", run, "--time-budget", f"{budget_s}s", *more)
    (session,) = map(json.loads, (run / "sessions.jsonl").read_text().splitlines())
    assert 0.85 * budget_s < session["seconds"] < budget_s + 5
    assert 0 < len(scores(run)) < 1400


def test_a_fit_past_its_time_limit_is_a_failed_row(run_here: Cli, tmp_path: Path) -> None:
    data = write_textures(tmp_path / "data", per_class=60)
    space = tmp_path / "space.yaml"
    space.write_text(
        "featurizers: {glcm: {distance: [[1, 2, 4, 5, 8]], angle_deg: [[0, 45, 90, 135]]}}\n"
        "classifiers: {rf: {n_trees: [9, 5000], max_features: 1.0}, svm: {}}\n"
    )  # fmt: skip
    sweep(
        run_here, data, space, tmp_path / "run", "--search", "grid", "--trial-time-limit", "3s",
        "--folds", 2,
    )  # fmt: skip
    board = pipelines(tmp_path / "run")
    assert board.status.tolist() == ["done", "done", "failed"]
    assert board.iloc[-1].error == "time limit of 3 s reached"
    assert pd.isna(board.iloc[-1].accuracy)


@pytest.mark.slow
def test_test_rows_are_scored_once_for_the_best_and_for_the_ensemble(
    run_here: Cli, tiny_space: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    for part, n in (("train", 8), ("val", 5), ("test", 6)):
        write_textures(data / part, per_class=n, seed=n)
    for part in ("train", "val"):  # wrong labels: no pipeline is so good that it is the ensemble alone
        names = sorted(folder.name for folder in (data / part).iterdir())
        for name, other in zip(names, [*names[1:], names[0]], strict=True):
            first = min((data / part / name).iterdir())
            first.rename(data / part / other / f"wrong{first.suffix}")
    sweep(run_here, data, tiny_space, tmp_path / "run", "--search", "random", "--trials", 8, "--test-top", 1)
    board = pipelines(tmp_path / "run")
    assert (board.folds == 1).all()
    (ensemble,) = scores(tmp_path / "run")[lambda b: b.featurizer == "ensemble"].itertuples()
    members = {member["trial"] for member in json.loads(ensemble.classifier_params)["members"]}
    assert len(members) > 1  # else it may be the best alone
    assert not pd.isna(ensemble.test_accuracy)
    asked = {board.trial.iloc[0], *members}
    assert set(board[board.test_accuracy.notna()].trial) == asked
    records = [record for record in evaluations(tmp_path / "run") if record.fold == TEST]
    assert len(records) == len({record.pipeline for record in records}) == len(asked)
    assert {scored(record).n_validation for record in records} == {18}
    assert {scored(record).n_train for record in records} == {39}


def test_intensities_are_searched_and_a_frame_too_small_for_one_fails_its_pipelines_alone(
    run_here: Cli, textures: Path, tmp_path: Path
) -> None:
    """Blocks are computed when a trial asks; those that cannot be are outcomes, also after a resume."""
    data = tmp_path / "data"
    for frame in textures.rglob("*.tif"):
        (data / frame.parent.name).mkdir(parents=True, exist_ok=True)
        (data / frame.parent.name / frame.name).symlink_to(frame)
    np.save(data / "fine" / "small.npy", np.arange(36).reshape(6, 6))
    space = tmp_path / "space.yaml"
    space.write_text(
        "featurizers: [histogram]\nclassifiers: {rf: {n_trees: 9}}\nintensity: {bin: [1, 2, 8]}\n"
    )
    command = ("--search", "grid", "--folds", 2)
    sweep(run_here, data, space, tmp_path / "run", *command)
    board = pipelines(tmp_path / "run")
    assert board.status.tolist() == ["done", "done", "failed"]
    assert "bin" in board.featurizer_params.iloc[0]
    assert "no features" in board.error.iloc[2]
    again = sweep(run_here, data, space, tmp_path / "run", *command)
    assert "0 evaluations computed, 6 from the journal" in again
    space.write_text("featurizers: [histogram]\nclassifiers: {rf: {n_trees: 9}}\nintensity: {bin: [8]}\n")
    nothing = run_here("run", data, "--space", space, "--out", tmp_path / "nothing", *command)
    assert nothing.returncode == 2
    assert nothing.stderr.splitlines()[-1].startswith("sweeper: the only pipeline failed: no features: ")
    assert (tmp_path / "nothing" / "leaderboard.csv").exists()


@pytest.mark.long
def test_a_full_disk_is_said_in_one_line_and_the_sweep_goes_on(
    run_cli: Cli, textures: Path, tiny_space: Path, undisturbed: Path, tmp_path: Path
) -> None:
    """A file system of its own that has room for the blocks and a few evaluations; needs root."""
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=140k", "tmpfs", str(small)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("needs the right to mount a file system")
    try:
        done = run_cli("run", textures, "--space", tiny_space, "--out", small / "run", *SETTINGS)
        assert done.returncode == 1
        last = done.stderr.strip().splitlines()[-1]
        assert "No space left on device" in last
        assert "fix that and run the same command again" in last
        assert "Traceback" not in done.stderr
        subprocess.run(["mount", "-o", "remount,size=20m", str(small)], check=True)
        sweep(run_cli, textures, tiny_space, small / "run")
        pd.testing.assert_frame_equal(scores(small / "run"), scores(undisturbed))
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)
