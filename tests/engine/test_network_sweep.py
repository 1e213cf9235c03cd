"""Sweeps with networks, as people run them: shared fits, promotion from checkpoints, losses, bad input.

Each sweep is a process of its own with its own Ray; networks are the smallest that learn something.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from sweeper.cli import main
from sweeper.networks.model import read_info
from sweeper.runs.data import run_data
from sweeper.runs.folder import RunFolder
from sweeper.runs.journal import is_open, read_journal
from sweeper.runs.records import Epoch, NetworkFit
from sweeper.runs.results import Results
from sweeper.similar import Search
from tests.conftest import REPOSITORY
from tests.engine.test_sweep import TIMINGS, evaluations, ray_processes, scored, wait_for

Cli = Callable[..., subprocess.CompletedProcess[str]]

SMALL = "size: 32, batch_size: 8, learning_rate: 0.003, momentum: 0.9"

SIDE_BY_SIDE = f"""
featurizers:
  glcm:
  lenet: {{{SMALL}, epochs: 15}}
  timm:test_efficientnet: {{training_set: [pretrained], size: 64}}
reducers: [none, standard]
classifiers:
  rf: {{n_trees: 50}}
  head:
"""

CLIMBING = f"""
featurizers:
  lenet: {{{SMALL}, epochs: 9, learning_rate: [0.0003, 0.001, 0.002, 0.003, 0.004], weight_decay: [0, 0.001]}}
reducers: [none]
classifiers: [head]
""".replace("learning_rate: 0.003, ", "")


def epochs_of(run: Path) -> list[Epoch]:
    return [record for _, record in read_journal(run / "journal.jsonl") if isinstance(record, Epoch)]


def fits_of(run: Path) -> list[NetworkFit]:
    return list(Results.read(run / "journal.jsonl").fits.values())


def losses(run: Path) -> dict[tuple[str, int], float]:
    """Loss of every epoch of every fit."""
    return {(epoch.fit, epoch.epoch): epoch.loss for epoch in epochs_of(run)}


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def sweep(run_cli: Cli, *arguments: object) -> str:
    done = run_cli("run", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with weights for one of timm's networks, made here."""
    import timm
    import torch
    from safetensors.torch import save_file

    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    save_file(timm.create_model("test_efficientnet").state_dict(), folder / "test_efficientnet.safetensors")
    return folder


@pytest.fixture(scope="module")
def side_by_side(
    run_here: Cli, textures: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, tuple[object, ...], str]:
    """A grid over a texture descriptor, LeNet and a pretrained network: folder, arguments, output."""
    folder = tmp_path_factory.mktemp("side-by-side")
    space = write(folder / "space.yaml", SIDE_BY_SIDE)
    arguments = (
        *(textures, "--space", space, "--search", "grid", "--folds", 2, "--seed", 3),
        # Relative, as people write it: workers run in another folder.
        *("--weights", os.path.relpath(weights, REPOSITORY), "--out", folder / "run"),
    )
    return folder / "run", arguments, sweep(run_here, *arguments)


def test_networks_and_textures_share_one_leaderboard(
    side_by_side: tuple[Path, tuple[object, ...], str],
) -> None:
    board = pd.read_csv(side_by_side[0] / "leaderboard.csv", keep_default_na=False)
    board = board[board.featurizer != "ensemble"]
    found = Counter(zip(board.featurizer, board.training_set, board.classifier, strict=True))
    assert found == {
        ("glcm", "", "rf"): 2,  # with and without the scaler
        ("lenet", "unbalanced", "rf"): 2,
        ("lenet", "unbalanced", "head"): 1,
        ("timm:test_efficientnet", "pretrained", "rf"): 2,
    }
    assert set(board.status) == {"done"}
    assert board.accuracy.astype(float).min() > 0.34  # three classes
    head = board[board.classifier == "head"].iloc[0]
    assert head.reducer == "none"
    trained = [epoch.seconds for epoch in epochs_of(side_by_side[0])]
    assert float(head.fit_s) == pytest.approx(np.sum(trained) / 2, rel=1e-3)
    params = json.loads(board[board.featurizer == "timm:test_efficientnet"].iloc[0].featurizer_params)
    assert params == {"size": 64, "weights": "imagenet"}


def test_a_fit_is_made_once_for_all_classifiers(side_by_side: tuple[Path, tuple[object, ...], str]) -> None:
    run = side_by_side[0]
    fits = fits_of(run)
    assert sorted(fit.fold for fit in fits) == [0, 1]  # three classifiers use each of LeNet's
    epochs = epochs_of(run)
    assert Counter(epoch.fit for epoch in epochs) == {fit.key: 15 for fit in fits}
    for epoch in epochs:
        assert epoch.loss > 0
        assert 0 <= epoch.accuracy <= 1
        assert epoch.learning_rate == pytest.approx(0.003, rel=0.01)
    assert "networks trained for 30 epochs" in side_by_side[2]


def test_models_of_the_best_stay_and_nothing_else(side_by_side: tuple[Path, tuple[object, ...], str]) -> None:
    run = side_by_side[0]
    board = pd.read_csv(run / "leaderboard.csv")
    kept = json.loads((run / "networks" / "best.json").read_text())["trials"]
    best = board[board.featurizer == "lenet"].iloc[0]
    lenet = next(entry for entry in kept if entry["featurizer"] == "lenet")
    assert lenet["trial"] == best.trial
    assert lenet["score"] == pytest.approx(best.accuracy)
    files = {str(p.relative_to(run / "networks")) for p in (run / "networks").rglob("*") if p.is_file()}
    assert files == {"best.json", *lenet["models"]}
    assert len(lenet["models"]) == 2


def test_similar_frames_in_features_of_networks(
    side_by_side: tuple[Path, tuple[object, ...], str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A copy of a frame is featurized as the frame was; LeNet is judged by frames that it did not see."""
    run = side_by_side[0]
    for name in ("lenet", "timm:test_efficientnet"):
        search = Search(run, representation=name)
        frame = search.examples(per_class=1)[1].query
        first, *rest = search.find(str(shutil.copy(frame.path, tmp_path / "copy.tif"))).frames
        assert first.frame == frame.name and first.distance < 1e-3 * rest[-1].distance
        assert [f.frame for f in search.find(frame.name).frames[:-1]] == [f.frame for f in rest]
        precision, trained = search.precision(), name == "lenet"
        assert precision.fold == (0 if trained else None)
        assert sum(c.queries for c in precision.classes) == (18 if trained else 36)
    seen = set(run_data(RunFolder(run)).splits[0].train.tolist())
    found = Search(run, representation="lenet").examples(per_class=6)
    assert {one.query.row for one in found} == set(range(36)) - seen
    copy = Path(shutil.copytree(run, tmp_path / "run", ignore=shutil.ignore_patterns("networks", "logs")))
    assert main(["similar", str(copy), "fine/000.tif", "--representation", "lenet"]) == 0
    assert main(["similar", str(copy), str(tmp_path / "copy.tif"), "--representation", "lenet"]) == 2
    assert "this network was not kept" in capsys.readouterr().err


@pytest.mark.long
def test_the_same_command_again_computes_nothing(
    run_here: Cli, side_by_side: tuple[Path, tuple[object, ...], str]
) -> None:
    before = (side_by_side[0] / "leaderboard.csv").read_text()
    stdout = sweep(run_here, *side_by_side[1])
    assert "0 evaluations computed, 14 from the journal; 0 blocks computed" in stdout
    assert (side_by_side[0] / "leaderboard.csv").read_text() == before


# --------------------------------------------------------------------------- epochs as the budget


@pytest.fixture(scope="module")
def climbing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("space") / "climbing.yaml", CLIMBING)


def climb(data: Path, space: Path, out: Path) -> tuple[object, ...]:
    return (
        data,
        "--space",
        space,
        "--search",
        "bohb",
        "--trials",
        9,
        "--folds",
        2,
        "--seed",
        1,
        "--out",
        out,
    )


@pytest.fixture(scope="module")
def undisturbed(
    run_here: Cli, textures: Path, climbing: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, str]:
    out = tmp_path_factory.mktemp("climb") / "run"
    return out, sweep(run_here, *climb(textures, climbing, out))


def test_a_promoted_trial_goes_on_from_its_checkpoint(undisturbed: tuple[Path, str]) -> None:
    """Nine trials at 1, three at 3 and one at 9 of 9 epochs, two folds: no epoch is trained twice."""
    run, stdout = undisturbed
    epochs = epochs_of(run)
    per_fit = sorted(Counter(epoch.fit for epoch in epochs).values())
    assert per_fit == [1] * 12 + [3] * 4 + [9] * 2
    assert f"networks trained for {len(epochs)} epochs" in stdout
    for path in (run / "networks").rglob("model-9.safetensors"):
        # A retrained epoch would have taken another time.
        journal = {e.epoch: e.seconds for e in epochs if e.fit == path.parent.name}
        assert {e["epoch"]: e["seconds"] for e in read_info(path).history} == journal
        curve = [e.loss for e in epochs if e.fit == path.parent.name]
        assert curve[-1] < curve[0]
    budgets = Counter(round(record.budget, 3) for record in evaluations(run))
    assert budgets == {0.111: 18, 0.333: 6, 1.0: 2}


@pytest.mark.long
def test_the_best_heads_climb_again_with_other_seeds(
    run_here: Cli, textures: Path, climbing: Path, undisturbed: tuple[Path, str], tmp_path: Path
) -> None:
    """Each is scored at every rung, trained anew, and leaves no model."""
    run = Path(shutil.copytree(undisturbed[0], tmp_path / "run"))
    models = sorted(path.name for path in (run / "networks").iterdir())
    before = pd.read_csv(run / "leaderboard.csv")
    sweep(run_here, *climb(textures, climbing, run), "--reruns", 2)
    again = evaluations(run, rerun=True)
    heads = {record.pipeline for record in again}
    count = min(3, (before[before.featurizer != "ensemble"].status == "done").sum())
    assert len(heads) == count
    rungs = Counter((record.pipeline, round(record.budget, 3)) for record in again)
    assert rungs == {(head, budget): 4 for head in heads for budget in (0.111, 0.333, 1.0)}
    fits = [len(fits_of(folder)) for folder in (run, undisturbed[0])]
    assert fits[0] - fits[1] == 4 * count  # two folds, two seeds
    assert sorted(path.name for path in (run / "networks").iterdir()) == models
    assert len({scored(r).metrics["auc_ovr"] for r in again if r.fold == 1 and r.budget == 1}) > 1
    same = before.columns.difference(TIMINGS)
    pd.testing.assert_frame_equal(pd.read_csv(run / "leaderboard.csv")[same], before[same])


def test_what_stopped_trials_left_is_removed(undisturbed: tuple[Path, str]) -> None:
    run, _ = undisturbed
    assert list((run / "networks").rglob("checkpoint*")) == []
    assert len(list((run / "networks").rglob("*.safetensors"))) == 2  # the best, a model for each fold


def start(*arguments: object) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "sweeper", "run", *map(str, arguments)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def same_scores(a: Path, b: Path) -> None:
    boards = [pd.read_csv(run / "leaderboard.csv").drop(columns=TIMINGS) for run in (a, b)]
    pd.testing.assert_frame_equal(*boards)


@pytest.mark.long
def test_a_killed_sweep_goes_on_from_its_checkpoints(
    run_cli: Cli, textures: Path, climbing: Path, undisturbed: tuple[Path, str], tmp_path: Path
) -> None:
    out = tmp_path / "run"
    driver = start(*climb(textures, climbing, out))
    wait_for(lambda: out.exists() and any(e.epoch >= 5 for e in epochs_of(out)))
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    wait_for(lambda: not is_open(out / "journal.jsonl"))  # Ray's processes end a moment later
    trained = len(epochs_of(out))
    stdout = sweep(run_cli, *climb(textures, climbing, out))
    same_scores(out, undisturbed[0])
    total = len(epochs_of(undisturbed[0]))
    again = int(stdout.partition("networks trained for ")[2].split()[0])
    assert again == total - trained
    assert losses(out) == losses(undisturbed[0])


@pytest.mark.long
def test_workers_that_train_together_restart_from_the_checkpoint(textures: Path, tmp_path: Path) -> None:
    """Two processes of Ray Train share a fit; one is killed in the middle."""
    space = write(
        tmp_path / "space.yaml", f"featurizers:\n  lenet: {{{SMALL}, epochs: 60}}\nclassifiers: [rf]\n"
    )
    runs = {}
    for name in ("undisturbed", "disturbed"):
        out = tmp_path / name
        data = (textures, "--space", space, "--search", "grid", "--representation-share", 0.5, "--folds", 2)
        driver = start(*data, "--train-workers", 2, "--out", out)
        if name == "disturbed":
            wait_for(lambda out=out: out.exists() and len(epochs_of(out)) >= 4)  # type: ignore[misc]
            deadline = time.monotonic() + 20
            while not (found := ray_processes(driver.pid, "ray::RayTrainWorker")):
                assert time.monotonic() < deadline
            os.kill(found[0], signal.SIGKILL)
        _, stderr = driver.communicate(timeout=240)
        assert driver.returncode == 0, stderr.decode()
        runs[name] = out
    same_scores(runs["disturbed"], runs["undisturbed"])
    for out in runs.values():
        (fit,) = fits_of(out)  # one half trains the representation, for both folds
        assert (fit.workers, fit.n_train) == (2, 18)
        assert sorted(epoch.epoch for epoch in epochs_of(out)) == list(range(1, 61))
    assert losses(runs["disturbed"]) == losses(runs["undisturbed"])


# --------------------------------------------------------------------------- what goes wrong


@pytest.mark.long
def test_a_diverged_loss_fails_its_trial_alone(run_cli: Cli, textures: Path, tmp_path: Path) -> None:
    space = write(
        tmp_path / "space.yaml",
        "featurizers:\n  lenet: {size: 32, epochs: 3, batch_size: 8, learning_rate: [0.01, 100]}\n"
        "reducers: [none]\nclassifiers: [rf, head]\n",
    )
    out = tmp_path / "run"
    stdout = sweep(
        run_cli, textures, "--space", space, "--search", "grid", "--folds", 2, "--seed", 1, "--out", out
    )
    board = pd.read_csv(out / "leaderboard.csv", keep_default_na=False)
    board = board[board.featurizer != "ensemble"]
    assert board.status.tolist() == ["done", "done", "failed", "failed"]
    failed = board[board.status == "failed"]
    assert set(failed.classifier) == {"rf", "head"}  # trained by Ray Train, and in one process
    for row in failed.itertuples():
        assert row.error.startswith("loss is not finite at epoch ")
        assert row.accuracy == ""
    assert "failed" in stdout


LENET = "featurizers:\n  lenet: {size: 32}\nclassifiers: [rf]\n"


@pytest.mark.parametrize(
    ("space", "arguments", "says"),
    [
        ("featurizers: ['timm:convnext_tny']\nclassifiers: [rf]\n", (), "convnext_tiny"),
        ("featurizers: [timm]\nclassifiers: [rf]\n", (), "timm:"),
        ("featurizers:\n  lenet: {size: 8}\nclassifiers: [rf]\n", (), "size must be"),
        ("featurizers: [glcm]\nreducers: [none]\nclassifiers: [rf, head]\n", (), "classifier head"),
        ("featurizers: [lenet]\nclassifiers: [head]\n", (), "none among the reducers"),
        (LENET, ("--train-gpus", 1), "train_gpus = 1 must be at most"),
        (LENET, ("--train-cpus", 999), "train_cpus = 999 must be at most"),
        (LENET, ("--representation-share", 1.5), "representation_share must be"),
        (LENET, ("--set", "lenet.size"), "plugin.axis=value"),
        (LENET, ("--set", "lenett.size=64"), "did you mean 'lenet'"),
        (LENET, ("--set", "lenet.sise=64"), "did you mean 'size'"),
    ],
)
def test_bad_input_is_one_clear_line(
    run_here: Cli, textures: Path, tmp_path: Path, space: str, arguments: tuple[object, ...], says: str
) -> None:
    path = write(tmp_path / "space.yaml", space)
    done = run_here("run", textures, "--space", path, "--out", tmp_path / "run", *arguments)
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.strip().splitlines()[-1:]) == 1
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_weights_that_are_nowhere_are_named_before_the_sweep(
    run_here: Cli, textures: Path, weights: Path, tmp_path: Path
) -> None:
    space = write(tmp_path / "space.yaml", "featurizers:\n  'timm:test_convnext':\nclassifiers: [rf]\n")
    done = run_here("run", textures, "--space", space, "--weights", weights, "--out", tmp_path / "run")
    assert done.returncode == 2, done.stderr
    for part in ("timm:test_convnext", "test_convnext.r160_in1k.safetensors", "--weights", str(weights)):
        assert part in done.stderr
    assert not (tmp_path / "run").exists()


def test_weights_of_another_architecture_are_refused(
    run_here: Cli, textures: Path, weights: Path, tmp_path: Path
) -> None:
    wrong = tmp_path / "weights"
    wrong.mkdir()
    (wrong / "test_convnext.safetensors").write_bytes(
        (weights / "test_efficientnet.safetensors").read_bytes()
    )
    space = write(tmp_path / "space.yaml", "featurizers:\n  'timm:test_convnext':\nclassifiers: [rf]\n")
    done = run_here("run", textures, "--space", space, "--weights", wrong, "--out", tmp_path / "run")
    assert done.returncode == 2, done.stderr
    assert "layers" in done.stderr
    assert "stem" in done.stderr
