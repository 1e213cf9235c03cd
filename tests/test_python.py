"""The door from Python: what `import sweeper` gives, and where it works."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import json
import logging
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pandas as pd
import psutil
import pytest
import ray
import tifffile
import yaml
from numpy.typing import NDArray

import sweeper
from sweeper import cli, plugins
from sweeper.features.names import parse_column
from sweeper.keywords import Settings
from sweeper.runs.settings import FilePath, Names
from sweeper.runs.spec import SETTINGS as DECLARED
from sweeper.runs.spec import SweepSpec
from tests.conftest import REPOSITORY, TINY_SPACE
from tests.plugins import outside

TIMINGS = ["featurize_ms_per_frame", "fit_s", "predict_ms_per_frame"]
SETTINGS: dict[str, Any] = {"space": yaml.safe_load(TINY_SPACE), "search": "random", "folds": 2, "seed": 1}
TRIALS = 5


def run(data: Path | None, out: Path | str, **more: Any) -> pd.DataFrame:
    return sweeper.run(data, out=out, **{**SETTINGS, "trials": TRIALS, "cpus": 2, **more})


def variables() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}


def scores(board: pd.DataFrame) -> pd.DataFrame:
    """A leaderboard without its timings."""
    return board.drop(columns=TIMINGS)


@pytest.fixture(scope="module")
def frames(textures: Path) -> NDArray[Any]:
    """The frames of the folder `textures`, in the order of a data set."""
    return np.stack([tifffile.imread(path) for path in sorted(textures.rglob("*.tif"))])


@pytest.fixture(scope="module")
def labels(textures: Path) -> list[str]:
    return [path.parent.name for path in sorted(textures.rglob("*.tif"))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


# --------------------------------------------------------------------------- sweeps with a Ray of their own


@pytest.fixture(scope="module")
def environment() -> dict[str, str]:
    """Environment of the process before its first sweep."""
    return variables()


@pytest.fixture(scope="module")
def of_files(environment: dict[str, str], textures: Path, folder: Path) -> pd.DataFrame:
    """The leaderboard of a sweep in a thread that is not the main one."""
    assert not ray.is_initialized()
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(run, textures, folder / "files").result()


@pytest.fixture(scope="module")
def of_arrays(of_files: pd.DataFrame, frames: NDArray[Any], labels: list[str], folder: Path) -> pd.DataFrame:
    """The leaderboard of the second sweep in the process, inside a running event loop."""

    async def cell() -> pd.DataFrame:
        return run(None, folder / "arrays", frames=frames, labels=labels)

    return asyncio.run(cell())


@pytest.fixture(scope="module")
def others(frames: NDArray[Any]) -> NDArray[Any]:
    """As many frames of the same size, with other pixels."""
    return frames // 2 + np.random.default_rng(5).integers(0, 3000, frames.shape).astype(frames.dtype)


@pytest.fixture(scope="module")
def of_others(of_arrays: pd.DataFrame, others: NDArray[Any], labels: list[str], folder: Path) -> pd.DataFrame:
    return run(None, folder / "others", frames=others, labels=labels, trials=3)


def test_arrays_give_the_leaderboard_of_the_same_frames_as_files(
    of_files: pd.DataFrame, of_arrays: pd.DataFrame
) -> None:
    assert (of_files["status"] == "done").sum() >= TRIALS
    pd.testing.assert_frame_equal(scores(of_arrays), scores(of_files), check_exact=True)


def test_a_process_is_as_it_was_once_its_sweeps_are_done(
    environment: dict[str, str], of_arrays: pd.DataFrame
) -> None:
    assert not ray.is_initialized()
    assert variables() == environment


# --------------------------------------------------------------------------- settings


@pytest.mark.parametrize("function", [sweeper.run, sweeper.plan])
def test_every_setting_is_a_keyword_with_its_type(function: Any) -> None:
    typed, fields = get_type_hints(Settings), get_type_hints(SweepSpec)
    own = {*inspect.signature(function).parameters} - {"settings"}
    names = {name for declared in DECLARED.values() for name in (declared.key, declared.name)}
    assert not own & {*typed}
    assert {*typed} <= names <= {*typed} | own
    for name, declared in DECLARED.items():
        if name in typed and not isinstance(declared.legal, FilePath | Names):
            assert typed[name] == fields[name]


@pytest.mark.parametrize(
    "name", [name for s in DECLARED.values() for name in dict.fromkeys((s.key, s.name)) if name != "space"]
)
def test_every_setting_is_checked(name: str) -> None:
    with pytest.raises(sweeper.InputError, match=rf"^(unknown )?{name} "):
        sweeper.plan(**{"data": "frames", "space": "quick", name: {}})


@pytest.mark.parametrize(
    ("options", "given"),
    [
        ("--space quik", {"space": "quik"}),
        ("--folds 1", {"folds": 1}),
        ("--metric acuracy", {"metric": "acuracy"}),
        ("--search bhob", {"search": "bhob"}),
        ("--time-budget 10q", {"time_budget": "10q"}),
        ("--log mlfow", {"log": ["mlfow"]}),
        ("--log mlflow --out s3://bucket/run", {"log": ["mlflow"], "out": "s3://bucket/run"}),
        ("--out s3://user:secret@bucket/run", {"out": "s3://user:secret@bucket/run"}),
        ("--plugins nowhere", {"plugins": "nowhere"}),
        ("--scale small", {"scale": "small"}),
        ("--set glmc.distance=1", {"set": ["glmc.distance=1"]}),
        ("--set glcm.distance", {"set": ["glcm.distance"]}),
        ("--mask nowhere.tif", {"mask": "nowhere.tif"}),
        ("--folds 13", {"folds": 13}),
    ],
)
def test_what_is_wrong_is_said_as_on_the_command_line(
    options: str,
    given: dict[str, Any],
    textures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    call = {"space": "quick", "out": "run", **given}
    with pytest.raises(sweeper.InputError) as refused:
        sweeper.run(textures, **call)
    options = f"--space {call['space']} --out {call['out']} {options}"
    capsys.readouterr()
    assert cli.main(["run", str(textures), *options.split()]) == 2
    said = capsys.readouterr().err.splitlines()[-1].replace("--time-budget must", "time_budget must")
    assert said == f"sweeper: {refused.value}"
    assert not Path("run").exists()


def test_unknown_settings_are_told_with_the_nearest(textures: Path, tmp_path: Path) -> None:
    for function in (sweeper.run, sweeper.plan):
        for name, near in (("trails", "trials"), ("lables", "labels"), ("plugin", "plugins")):
            with pytest.raises(sweeper.InputError, match=f"unknown setting '{name}'; did you mean '{near}'"):
                function(textures, space="quick", out=tmp_path / "run", **{name: 3})
    assert not (tmp_path / "run").exists()


def test_settings_come_from_numpy_and_from_files(textures: Path, tmp_path: Path) -> None:
    space = yaml.safe_dump(SETTINGS["space"])
    (tmp_path / "space.yaml").write_text(space)
    (tmp_path / "spec.yaml").write_text(f"data: {textures}\nspace: space.yaml\nfolds: 3\ntrials: 40\n")
    of_file = sweeper.plan(tmp_path / "spec.yaml", search="random", trials=np.int64(4), set=["svm.C=1"])
    assert (of_file.search.trials, of_file.search.folds) == (4, 3)
    assert of_file.grid.pipelines == 4 * (4 + 2)


# --------------------------------------------------------------------------- wrong input


def test_data_come_in_one_of_two_ways(textures: Path, frames: NDArray[Any], labels: list[str]) -> None:
    refused: list[tuple[dict[str, Any], str]] = [
        ({}, "data or frames must be given, and not both"),
        ({"data": textures, "frames": frames}, "data or frames must be given, and not both"),
        ({"data": frames}, "data must be a path, got ndarray; arrays are given as frames"),
        ({"data": textures, "labels": labels}, "labels goes with frames: the folder or manifest in data has"),
        (
            {"data": textures, "mask": frames[0]},
            "mask must be a path, got ndarray; an array goes with frames",
        ),
        ({"frames": frames, "labels": labels[1:]}, "labels must have one value a frame, 36, got 35"),
        ({"frames": frames, "labels": labels, "mask": "nowhere.npy"}, "nowhere.npy: no such file"),
        ({"frames": frames, "labels": labels, "folds": 13}, "class coarse has 12, folds is 13"),
        (
            {"frames": frames, "labels": labels, "group_by": "file"},
            "group_by goes with data: frames have groups",
        ),
        (
            {"frames": frames, "labels": labels, "dataset": "/data"},
            "dataset goes with data: frames are no files",
        ),
        ({"data": textures, "space": None}, "space is required"),
        ({"data": textures, "set": "svm.C=1"}, r"set must be a list such as .*, got 'svm.C=1'"),
        ({"data": textures, "plugins": ""}, "plugins must be a path or a list of paths, got ''"),
        ({"data": textures, "plugins": 3}, "plugins must be a path or a list of paths, got 3"),
        (
            {"frames": frames, "labels": labels, "folds": 1},
            "folds must be a whole number of at least 2, got 1",
        ),
    ]
    for given, message in refused:
        with pytest.raises(sweeper.InputError, match=message):
            sweeper.plan(**{**SETTINGS, **given})


def test_a_run_is_a_folder_or_a_url(textures: Path, tmp_path: Path) -> None:
    with pytest.raises(sweeper.InputError, match="out must be a folder or a URL, got ' '"):
        run(textures, " ")
    with pytest.raises(sweeper.InputError, match="run must be a folder or a URL, got ''"):
        sweeper.open_run("")
    with pytest.raises(sweeper.InputError, match=r"no sweep here \(sweep.yaml is missing\)"):
        sweeper.open_run(tmp_path)
    with pytest.raises(sweeper.InputError, match=r"out must be a folder, got file:///somewhere"):
        run(textures, "file:///somewhere/run", log=["tensorboard"])


def test_errors_are_told_apart_by_their_class() -> None:
    assert issubclass(sweeper.InputError, sweeper.SweeperError | ValueError)
    assert issubclass(sweeper.BadFramesError, sweeper.InputError)
    assert issubclass(sweeper.StoppedError, sweeper.SweeperError)
    assert not issubclass(sweeper.SweeperError, SystemExit)


# --------------------------------------------------------------------------- plan


def test_a_plan_of_arrays_is_that_of_files(
    textures: Path, frames: NDArray[Any], labels: list[str], tmp_path: Path
) -> None:
    of_files = sweeper.plan(textures, **SETTINGS, trials=TRIALS)
    of_arrays = sweeper.plan(frames=frames, labels=labels, out=tmp_path / "run", **SETTINGS, trials=TRIALS)
    assert of_arrays.classes == of_files.classes == {"coarse": 12, "fine": 12, "medium": 12}
    assert of_arrays.grid == of_files.grid
    assert of_arrays.notes == of_files.notes == ()
    assert of_arrays.search.evaluations == of_files.search.evaluations == 2 * TRIALS
    said = str(of_arrays).splitlines()
    assert said[0] == "space tiny, one featurizer a pipeline, search random, 5 trials, 2 folds"
    assert said[1] == "36 frames, 3 classes: coarse 12, fine 12, medium 12"
    assert said[3].startswith("grid of space")
    assert not (tmp_path / "run").exists()


# --------------------------------------------------------------------------- a Ray of the caller's


@ray.remote(num_cpus=0)
class Counter:
    """Something of the caller's that lives on."""

    def __init__(self) -> None:
        self._count = 0

    def count(self) -> int:
        self._count += 1
        return self._count


@pytest.fixture(scope="module")
def counter(of_others: pd.DataFrame) -> Iterator[Any]:
    """An actor in a Ray that the caller started, after the sweeps that started their own."""
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    counter = Counter.remote()
    assert ray.get(counter.count.remote()) == 1
    yield counter
    ray.shutdown()


OURS = ("ray::Ledger", "ray::Files", "ray::FeatureStore", "ray::SweepTrial", "ray::climb", "ray::train")


def left_behind() -> list[str]:
    """Names of processes of a sweep that still run, once they had time to end."""
    until, found = time.monotonic() + 20, ["?"]
    while found and time.monotonic() < until:
        time.sleep(0.2)
        titles = []
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                titles.append(" ".join(process.cmdline()))
        found = [title for title in titles if title.startswith(OURS)]
        used = ray.cluster_resources().items() - ray.available_resources().items()
        found += [f"{name} of {count}" for name, count in used if name in ("CPU", "memory")]
    return found


@pytest.fixture(scope="module")
def joined(counter: Any, textures: Path, folder: Path) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    """The leaderboard of a sweep in that Ray, and what was seen of it while it ran in another thread."""
    seen: list[dict[str, Any]] = []
    with ThreadPoolExecutor(1) as pool:
        sweep = pool.submit(run, textures, folder / "joined")
        while not (folder / "joined" / "sweep.yaml").exists():
            assert not sweep.done(), sweep.result()
            time.sleep(0.05)
        opened = sweeper.open_run(folder / "joined")
        while not sweep.done():
            status = opened.status()
            seen.append({"status": status, "board": opened.leaderboard()})
            if status.running and status.best and "predictions" not in seen[0]:
                seen[0]["predictions"] = opened.predictions(status.best.trial)
                with pytest.raises(sweeper.InputError) as refused:
                    run(textures, folder / "another")
                seen[0]["refused"] = str(refused.value)
            time.sleep(0.2)
        return sweep.result(), seen


def test_a_sweep_joins_the_ray_that_is_there(
    counter: Any, joined: tuple[pd.DataFrame, Any], of_files: pd.DataFrame, environment: dict[str, str]
) -> None:
    pd.testing.assert_frame_equal(scores(joined[0]), scores(of_files), check_exact=True)
    assert left_behind() == []
    assert ray.get(counter.count.remote()) == 2
    assert "SWEEPER_VERSIONS" not in os.environ
    assert logging.getLogger("ray").level != logging.CRITICAL


def test_a_sweep_over_other_frames_in_that_ray_has_features_of_its_own(
    joined: tuple[pd.DataFrame, Any],
    of_others: pd.DataFrame,
    others: NDArray[Any],
    labels: list[str],
    folder: Path,
) -> None:
    """Workers outlive a sweep there; what they keep of the one before must not be taken for this one's."""
    board = run(None, folder / "joined-others", frames=others, labels=labels, trials=3)
    pd.testing.assert_frame_equal(scores(board), scores(of_others), check_exact=True)


def test_a_run_can_be_read_while_it_is_written(joined: tuple[pd.DataFrame, list[dict[str, Any]]]) -> None:
    board, seen = joined
    assert any(one["status"].running for one in seen)
    assert len(seen[0]["board"]) == 0
    lengths = [len(one["board"]) for one in seen]
    assert lengths == sorted(lengths)
    assert set(seen[0]["predictions"].label) == {"coarse", "fine", "medium"}
    assert set(board.trial) > {-1}


def test_plugins_from_a_folder_take_part(
    counter: Any, textures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(plugins.VARIABLE, "")
    mine = outside.write(tmp_path / "mine")
    board = run(textures, tmp_path / "run", space="mine", search="backwards", trials=9, plugins=[mine])
    assert set(board.status) == {"done"}
    assert set(board.featurizer) == {"rings", "histogram", "ensemble"}
    assert set(board.classifier) == {"logistic", "rf", "ensemble"}
    monkeypatch.setenv(plugins.VARIABLE, "")
    trial = board[board.featurizer == "rings"].trial.iloc[0]
    features = sweeper.open_run(tmp_path / "run", plugins=mine).features(trial)
    assert {parse_column(column)[0] for column in features} == {"rings"}


def test_one_sweep_runs_at_a_time(joined: tuple[pd.DataFrame, list[dict[str, Any]]]) -> None:
    assert "one sweep or simulation at a time must run in a process" in joined[1][0]["refused"]


def test_errors_leave_the_callers_ray_up(
    counter: Any, frames: NDArray[Any], labels: list[str], textures: Path, tmp_path: Path
) -> None:
    nothing = frames.astype(np.float32)
    nothing[[3, 20]] = np.nan
    with pytest.raises(sweeper.BadFramesError) as bad:
        run(None, tmp_path / "bad", frames=nothing, labels=labels)
    assert [name for name, _ in bad.value.problems] == ["frames.npy#20", "frames.npy#3"]
    with pytest.raises(
        sweeper.InputError, match=r"--address 10.0.0.9:6379: this process is connected to the"
    ):
        run(textures, tmp_path / "elsewhere", address="10.0.0.9:6379")
    assert left_behind() == []
    assert ray.get(counter.count.remote()) > 0


def test_the_same_arrays_resume_also_where_the_run_has_moved(
    counter: Any,
    frames: NDArray[Any],
    labels: list[str],
    folder: Path,
    of_arrays: pd.DataFrame,
    tmp_path: Path,
) -> None:
    moved = Path(shutil.copytree(folder / "arrays", tmp_path / "moved"))
    board = run(None, moved, frames=list(frames), labels=np.array(labels))
    pd.testing.assert_frame_equal(board, of_arrays)
    sessions = [json.loads(line) for line in (moved / "sessions.jsonl").read_text().splitlines()]
    assert [session["evaluations"] for session in sessions] == [2 * TRIALS, 0]
    [kept] = (moved / "arrays").iterdir()
    assert data_of(moved) == str(kept / "manifest.csv")
    assert data_of(folder / "arrays") == str(folder / "arrays" / "arrays" / kept.name / "manifest.csv")


def data_of(run: Path) -> str:
    found: str = yaml.safe_load((run / "sweep.yaml").read_text())["data"]
    return found


def test_other_arrays_are_another_sweep(
    of_arrays: pd.DataFrame, frames: NDArray[Any], labels: list[str], folder: Path
) -> None:
    changed = frames.copy()
    changed[0, 0, 0] += 1
    others: list[dict[str, Any]] = [
        {"frames": changed, "labels": labels},
        {"frames": frames, "labels": labels[::-1]},
        {"frames": frames, "labels": labels, "groups": range(36)},
    ]
    for other in others:
        with pytest.raises(sweeper.InputError, match=r"holds another sweep \(its arrays are others"):
            run(None, folder / "arrays", **other)
    assert len(list((folder / "arrays" / "arrays").iterdir())) == 1


# --------------------------------------------------------------------------- open_run


@pytest.mark.parametrize("name", ["files", "arrays", "url"])
def test_open_run(
    name: str, of_files: pd.DataFrame, of_arrays: pd.DataFrame, folder: Path, tmp_path: Path
) -> None:
    copy = folder / "files" if name == "url" else folder / name
    opened = sweeper.open_run(copy.as_uri() if name == "url" else copy)
    board = opened.leaderboard()
    pd.testing.assert_frame_equal(scores(board), scores(of_files))
    trial = opened.best.trial
    predictions, features = opened.predictions(trial), opened.features(trial)
    assert sorted(predictions.frame) == sorted(features.index)
    assert features.shape == (36, len({*features}))
    assert {parse_column(column)[0] for column in features} == {opened.pipeline(trial).featurizer}
    first = sweeper.open_run(folder / "files").features(trial)
    np.testing.assert_array_equal(features.to_numpy(), first.to_numpy())
    accuracy = (predictions.label == predictions.predicted).groupby(predictions.fold).mean().mean()
    assert accuracy == pytest.approx(opened.best.score)
    page = opened.report(tmp_path / "report.html").read_text()
    assert page.count("data:image/webp") >= 1  # frames to look at
    if name == "arrays":
        assert first.index.tolist() != features.index.tolist() == [f"frames.npy#{i}" for i in range(36)]
        assert set(predictions["index"]) == set(range(36))


# --------------------------------------------------------------------------- interrupts

INTERRUPTED = """
import _thread, json, sys, threading, time
import ray, sweeper
from tests.test_python import left_behind, run
from pathlib import Path
data, out = map(Path, sys.argv[1:])
ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
journal = out / "journal.jsonl"
def interrupt():
    while not journal.exists() or b'"evaluation"' not in journal.read_bytes():
        time.sleep(0.05)
    _thread.interrupt_main()
threading.Thread(target=interrupt, daemon=True).start()
try:
    run(data, out, trials=40, search="bohb")
except KeyboardInterrupt:
    print("interrupted")
print("left behind:", left_behind())
board = run(data, out, trials=12, search="bohb")
print("left behind:", left_behind())
print("rows:", len(board), "up:", ray.is_initialized())
"""


@pytest.mark.long
def test_an_interrupted_sweep_leaves_nothing_in_the_callers_ray(textures: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, textures, tmp_path / "run"],
        capture_output=True,
        text=True,
        timeout=400,
        cwd=REPOSITORY,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "interrupted",
        "left behind: []",
        "left behind: []",
        "rows: 13 up: True",
    ]
