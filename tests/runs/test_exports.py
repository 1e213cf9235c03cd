"""What MLflow, TensorBoard and Weights & Biases get of a sweep: all of it, once, whatever happens."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest

from sweeper.cli import main
from sweeper.errors import InputError, SweeperError
from sweeper.evaluate.metrics import METRICS
from sweeper.pipeline import FeaturizerChoice, Pipeline
from sweeper.runs.exports.entries import Entry, Status, entries
from sweeper.runs.exports.sending import Exports, export_run
from sweeper.runs.exports.tools import TOOLS, check_tool, open_exporter
from sweeper.runs.folder import RunFolder
from sweeper.runs.journal import Journal, is_open, read_journal
from sweeper.runs.records import (
    TEST,
    Evaluation,
    FoldName,
    Scored,
    Trial,
)
from sweeper.runs.results import CompleteRows, Results
from sweeper.runs.spec import make_spec
from sweeper.search.brackets import Ladder
from tests.conftest import write_textures
from tests.runs.made_records import (
    Records,
    made_evaluation,
    made_failure,
    made_pipeline,
    made_score,
    made_trial,
    write_journal,
)
from tests.runs.wandb_server import wandb_server

Cli = Callable[..., subprocess.CompletedProcess[str]]

FOLDS = 2
LADDER = Ladder(3, 3)
LOW, MIDDLE, FULL = LADDER.fractions


def pipeline(trial: int) -> Pipeline:
    return made_pipeline(
        intensity={"bin": 1, "low": 0.5},
        featurizer_params={"distance": (1, 2)},
        classifier_params={"n_trees": 300 + trial},
    )


def score(value: float) -> Scored:
    """The same value of every metric."""
    return made_score(metrics=dict.fromkeys(METRICS, value), predict_ms_per_frame=2.0)


def evaluation(trial: int, budget: float, fold: FoldName, outcome: float | str) -> Evaluation:
    """An evaluation with this score, or this error."""
    came = made_failure(outcome) if isinstance(outcome, str) else score(outcome)
    return made_evaluation(pipeline(trial), fold, came, budget=budget, featurize_ms_per_frame=3.0)


def rung(trial: int, budget: float, *scores: float) -> Records:
    return [evaluation(trial, budget, fold, value) for fold, value in enumerate(scores)]


def trials(*numbers: int) -> Records:
    return [Trial.of(number, pipeline(number)) for number in numbers]


def ensemble(*members: int) -> Records:
    parts = tuple({"trial": trial, "weight": 1 / len(members)} for trial in members)
    made = Pipeline({}, (FeaturizerChoice("ensemble", {}),), "none", {}, "ensemble", {"members": parts})
    return made_trial(-1, made, *[score(0.5 + 0.1 * len(members))] * FOLDS, featurize_ms_per_frame=3.0)


EARLY = [
    *trials(4, 5, 6, 7),
    *rung(4, LOW, 0.4, 0.6),
    evaluation(5, LOW, 0, 0.4),
    evaluation(5, LOW, 1, "ValueError: too few rows"),
    *rung(6, LOW, 0.5, 0.7),
    *rung(6, MIDDLE, 0.6, 0.8),
    evaluation(7, LOW, 0, 0.9),
]
"""Trial 4 is at its first rung and trial 6 at its second; trial 5 failed; trial 7 lacks a fold."""

LATE = [
    *rung(4, MIDDLE, 0.7, 0.8),
    *rung(6, FULL, 0.8, 0.9),
    evaluation(6, FULL, TEST, 0.875),
    *trials(8),
    *rung(8, FULL, 0.5, 0.75),
    evaluation(8, FULL, TEST, "MemoryError"),
]
"""Trial 4 went on and trial 6 is done; trial 8 has the full budget, and no score on the test split."""


def results_of(*records: Records) -> Results:
    return Results().add([record for part in records for record in part])


def by_key(results: Results, *, ended: bool) -> dict[str, Entry]:
    return {entry.key: entry for entry in entries(results, LADDER, FOLDS, ended=ended)}


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    """A run folder that holds what EARLY says."""
    return made_folder(tmp_path / "first")


def made_folder(path: Path) -> RunFolder:
    folder = RunFolder(path)
    folder.claim(make_spec("frames", "quick", folds=FOLDS))
    folder.write_environment({"folds": FOLDS})
    write_journal(folder.journal, EARLY)
    return folder


def keep_ensemble(folder: RunFolder, *members: int) -> None:
    """As a run keeps it whose predictions are no longer there."""
    kept = {"key": "", "records": ensemble(*members)}
    folder.ensemble.write_bytes(msgspec.json.encode(kept))


# --------------------------------------------------------------------------- entries


def test_every_complete_rung_is_an_entrys() -> None:
    made = by_key(results_of(EARLY, LATE), ended=True)
    rungs = {key: [(r.step, r.budget, r.means["accuracy"]) for r in e.rungs] for key, e in made.items()}
    assert rungs == {
        "trial-4": [(1, LOW, 0.5), (2, MIDDLE, 0.75)],
        "trial-5": [],
        "trial-6": [(1, LOW, 0.6), (2, MIDDLE, pytest.approx(0.7)), (3, FULL, pytest.approx(0.85))],
        "trial-7": [],
        "trial-8": [(3, FULL, 0.625)],
    }
    times = {"featurize_ms_per_frame": 3.0, "fit_s": 0.5, "predict_ms_per_frame": 2.0}
    assert made["trial-4"].rungs[0].means == dict.fromkeys(METRICS, 0.5) | times


def test_a_metric_that_is_not_defined_is_left_out() -> None:
    records = [evaluation(4, LOW, fold, 0.5) for fold in range(FOLDS)]
    for record in records:
        assert isinstance(record.outcome, Scored)
        record.outcome.metrics["auc_ovr"] = None
    (entry,) = by_key(results_of(trials(4), records), ended=True).values()
    assert "auc_ovr" not in entry.rungs[0].means
    assert entry.rungs[0].means["kappa"] == 0.5


def test_how_a_trial_ended() -> None:
    early = by_key(results_of(EARLY), ended=False)
    assert {key: (e.status, e.error) for key, e in early.items()} == {
        "trial-4": (Status.RUNNING, ""),
        "trial-5": (Status.FAILED, "ValueError: too few rows"),
        "trial-6": (Status.RUNNING, ""),
        "trial-7": (Status.RUNNING, ""),
    }
    late = by_key(results_of(EARLY, LATE), ended=True)
    assert {key: (e.status, e.error, e.test_accuracy) for key, e in late.items()} == {
        "trial-4": (Status.STOPPED, "", None),
        "trial-5": (Status.FAILED, "ValueError: too few rows", None),
        "trial-6": (Status.DONE, "", 0.875),
        "trial-7": (Status.STOPPED, "", None),
        "trial-8": (Status.DONE, "test split: MemoryError", None),
    }


def test_the_ensemble_comes_last() -> None:
    made = entries(results_of(EARLY, LATE, ensemble(6, 8)), LADDER, FOLDS, ended=True)
    assert [entry.name for entry in made] == [*(f"glcm+rf #{n}" for n in range(4, 9)), "ensemble"]
    assert made[-1].parameters == {"members": '[{"trial": 6, "weight": 0.5}, {"trial": 8, "weight": 0.5}]'}
    assert made[-1].status == Status.DONE


def test_parameters_are_flat() -> None:
    assert by_key(results_of(EARLY), ended=True)["trial-4"].parameters == {
        "trial": 4, "intensity.bin": 1, "intensity.low": 0.5, "featurizer": "glcm",
        "featurizer.distance": "[1, 2]", "reducer": "standard", "classifier": "rf", "classifier.n_trees": 304,
    }  # fmt: skip


def test_parameters_of_featurizers_side_by_side_name_their_owner() -> None:
    made = made_pipeline("glcm+lbp", featurizer_params={"glcm": {"distance": (1, 2)}, "lbp": {"radius": 3}})
    parameters = by_key(results_of(made_trial(0, made, *[0.5] * FOLDS)), ended=True)["trial-0"].parameters
    assert parameters["featurizer"] == "glcm+lbp"
    assert parameters["featurizer.glcm.distance"] == "[1, 2]"
    assert parameters["featurizer.lbp.radius"] == 3


def rows_of(rows: CompleteRows) -> list[tuple[int, float, list[float]]]:
    return list(zip(rows.owner.tolist(), rows.budget.tolist(), rows.values.tolist(), strict=True))


def test_rungs_and_largest_budgets_agree() -> None:
    """The leaderboard's rows are the last rungs of what did not fail."""
    rng = np.random.default_rng(1)
    records = [*EARLY, *LATE]
    results = Results().add([records[i] for i in rng.permutation(len(records))])
    largest, rungs = results.complete_rows(FOLDS), results.rungs(FOLDS)
    last = {row[0]: row for row in rows_of(rungs)}
    # As text: what is not known is NaN, which is never equal.
    assert str(rows_of(largest)) == str([row for owner, row in last.items() if owner not in results.failed])
    assert Counter(rungs.budget.tolist()) == {LOW: 2, MIDDLE: 2, FULL: 2}


# --------------------------------------------------------------------------- checks before a sweep


def test_a_tool_that_is_not_there() -> None:
    with pytest.raises(InputError, match="--log must be one of mlflow, tensorboard, wandb, got 'neptune'"):
        check_tool("neptune", "--log")


@pytest.mark.parametrize("name", sorted(TOOLS))
def test_a_tool_whose_packages_are_not_installed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda library: None)
    with pytest.raises(InputError, match=f"--log {name} needs .*{name}"):
        check_tool(name, "--log")


def test_a_folder_is_no_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tensorboardX_of_mine").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(TOOLS, "mine", ("tensorboardX_of_mine",))
    with pytest.raises(InputError, match="--log mine needs tensorboardX_of_mine, which is not installed"):
        check_tool("mine", "--log")


def test_a_sweep_is_refused_before_frames_are_looked_for(tmp_path: Path) -> None:
    from sweeper.runs.checks import check_sweep

    with pytest.raises(InputError, match="--log must be one of"):
        check_sweep(make_spec(tmp_path / "no such folder", "quick", log=("neptune",)))


# --------------------------------------------------------------------------- TensorBoard


def events(folder: Path) -> Iterator[Any]:
    """Events of TensorBoard's files: records of length, checksum, event, checksum."""
    from tensorboardX.proto.event_pb2 import Event

    for path in sorted(folder.glob("events.*")):
        data = path.read_bytes()
        while data:
            (length,) = struct.unpack("<Q", data[:8])
            yield Event.FromString(data[12 : 12 + length])
            data = data[16 + length :]


def shown(folder: RunFolder, name: str) -> list[tuple[int, str, float | str]]:
    """Scalars and texts of an entry, with their steps."""
    found: list[tuple[int, str, float | str]] = []
    for event in events(folder.logs / "tensorboard" / name):
        for value in event.summary.value:
            if value.WhichOneof("value") == "simple_value":
                found.append((event.step, value.tag, value.simple_value))
            elif value.WhichOneof("value") == "tensor":
                found.append((event.step, value.tag, value.tensor.string_val[0].decode()))
    return found


def hyperparameters(folder: RunFolder, name: str) -> tuple[dict[str, Any], int]:
    """What TensorBoard's table says of an entry: its parameters, and the number of its status."""
    from google.protobuf.json_format import MessageToDict
    from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData

    found: dict[str, Any] = {}
    for event in events(folder.logs / "tensorboard" / name):
        for value in event.summary.value:
            if value.tag.startswith("_hparams_"):
                data = HParamsPluginData.FromString(value.metadata.plugin_data.content)
                found[value.tag] = data
    start, end = found["_hparams_/session_start_info"], found["_hparams_/session_end_info"]
    parameters = {k: MessageToDict(v) for k, v in start.session_start_info.hparams.items()}
    return parameters, end.session_end_info.status


def test_tensorboard_shows_each_rung_of_each_trial(folder: RunFolder) -> None:
    (folder.logs / "tensorboard" / "of an earlier start").mkdir(parents=True)
    write_journal(folder.journal, LATE)
    keep_ensemble(folder, 6, 8)
    said = export_run(folder, "tensorboard")
    assert said.startswith("6 entries in ")
    assert f"tensorboard --logdir {folder.logs / 'tensorboard'}" in said
    names = sorted(path.name for path in (folder.logs / "tensorboard").iterdir())
    assert names == ["ensemble", *(f"glcm+rf-#{n}" for n in range(4, 9))]
    found = shown(folder, "glcm+rf-#6")
    assert [(step, v) for step, tag, v in found if tag == "accuracy"] == [
        (1, pytest.approx(0.6)), (2, pytest.approx(0.7)), (3, pytest.approx(0.85))
    ]  # fmt: skip
    assert [step for step, tag, _ in found if tag == "budget"] == [1, 2, 3]
    assert (3, "test_accuracy", 0.875) in found
    assert (3, "status/text_summary", "done") in found
    lost = shown(folder, "glcm+rf-#5")
    assert (0, "status/text_summary", "failed") in lost
    assert (0, "error/text_summary", "ValueError: too few rows") in lost
    assert "accuracy" not in [tag for _, tag, _ in lost]
    parameters, success = hyperparameters(folder, "glcm+rf-#4")
    assert parameters["classifier.n_trees"] == 304
    assert parameters["featurizer.distance"] == "[1, 2]"
    assert hyperparameters(folder, "glcm+rf-#5")[1] != success


def test_tensorboard_gets_the_same_step_by_step_and_again(folder: RunFolder) -> None:
    exporter = open_exporter("tensorboard", folder)
    for records, ended in ((EARLY, False), (EARLY, False), ([*EARLY, *LATE], False), ([*EARLY, *LATE], True)):
        for entry in by_key(results_of(records), ended=ended).values():
            exporter.send(entry)
    names = sorted(path.name for path in (folder.logs / "tensorboard").iterdir())
    in_steps = {name: shown(folder, name) for name in names}
    assert all(len(found) == len(set(found)) for found in in_steps.values())
    write_journal(folder.journal, LATE)
    export_run(folder, "tensorboard")
    assert {name: shown(folder, name) for name in names} == in_steps


def test_tensorboard_after_an_entry_that_could_not_be_written(folder: RunFolder) -> None:
    exporter = open_exporter("tensorboard", folder)
    entry = by_key(results_of(EARLY), ended=False)["trial-6"]
    obstacle = folder.logs / "tensorboard" / "glcm+rf-#6"
    obstacle.touch()
    with pytest.raises(OSError, match="#6"):
        exporter.send(entry)
    obstacle.unlink()
    exporter.send(entry)
    assert [step for step, tag, _ in shown(folder, "glcm+rf-#6") if tag == "accuracy"] == [1, 2]


# --------------------------------------------------------------------------- MLflow


@pytest.fixture(autouse=True)
def mlflow_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database as MLflow makes it, which takes it seconds."""
    import mlflow

    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    mlflow.MlflowClient(tracking_uri=f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def database(folder: RunFolder, empty_database: Path) -> None:
    """The database of the run folder is there, and empty."""
    (folder.logs / "mlflow").mkdir(parents=True)
    shutil.copy(empty_database, folder.logs / "mlflow")


def mlflow_runs(uri: str, experiment: str = "first") -> dict[str, Any]:
    """Everything that MLflow keeps of each run, by its name; names must be unlike."""
    import mlflow

    client = mlflow.MlflowClient(tracking_uri=uri)
    found = client.search_runs([client.get_experiment_by_name(experiment).experiment_id])
    runs = {}
    for run in found:
        history = {
            name: [(m.step, m.value, m.timestamp) for m in client.get_metric_history(run.info.run_id, name)]
            for name in run.data.metrics
        }
        runs[run.info.run_name] = {
            "id": run.info.run_id, "status": run.info.status, "end": run.info.end_time, "history": history,
            "params": run.data.params, "tags": run.data.tags,
        }  # fmt: skip
    assert len(runs) == len(found)
    return runs


def local(folder: RunFolder) -> str:
    return f"sqlite:///{folder.logs / 'mlflow' / 'mlflow.db'}"


def accuracies(run: dict[str, Any]) -> list[tuple[int, float]]:
    return [(step, value) for step, value, _ in run["history"].get("accuracy", [])]


def outcome(run: dict[str, Any]) -> tuple[str, str, str]:
    tags = run["tags"]
    return run["status"], tags.get("sweeper.status", ""), tags.get("sweeper.error", "")


def check_all_is_there(runs: dict[str, Any]) -> None:
    """MLflow has what EARLY and LATE say, once."""
    assert sorted(runs) == [f"glcm+rf #{n}" for n in range(4, 9)]
    assert {name: outcome(run) for name, run in runs.items()} == {
        "glcm+rf #4": ("FINISHED", "stopped", ""),
        "glcm+rf #5": ("FAILED", "failed", "ValueError: too few rows"),
        "glcm+rf #6": ("FINISHED", "done", ""),
        "glcm+rf #7": ("FINISHED", "stopped", ""),
        "glcm+rf #8": ("FINISHED", "done", "test split: MemoryError"),
    }
    assert accuracies(runs["glcm+rf #4"]) == [(1, 0.5), (2, 0.75)]
    assert [step for step, _ in accuracies(runs["glcm+rf #6"])] == [1, 2, 3]
    assert [v[:2] for v in runs["glcm+rf #6"]["history"]["budget"]] == [(1, LOW), (2, MIDDLE), (3, FULL)]
    assert [v[:2] for v in runs["glcm+rf #6"]["history"]["test_accuracy"]] == [(3, 0.875)]
    assert accuracies(runs["glcm+rf #5"]) == accuracies(runs["glcm+rf #7"]) == []
    assert all(run["params"]["featurizer.distance"] == "[1, 2]" for run in runs.values())
    assert runs["glcm+rf #4"]["params"]["classifier.n_trees"] == "304"


@pytest.mark.usefixtures("database")
def test_mlflow_has_a_run_for_each_trial(folder: RunFolder) -> None:
    write_journal(folder.journal, LATE)
    assert export_run(folder, "mlflow") == f"5 entries in experiment first at {local(folder)}"
    runs = mlflow_runs(local(folder))
    check_all_is_there(runs)
    export_run(folder, "mlflow")
    assert mlflow_runs(local(folder)) == runs


@pytest.mark.usefixtures("database")
def test_mlflow_of_a_sweep_that_goes_on(folder: RunFolder) -> None:
    """It ended, was exported, and is resumed: what is there stays, and the rest is added."""
    export_run(folder, "mlflow")
    before = mlflow_runs(local(folder))
    assert outcome(before["glcm+rf #6"]) == ("FINISHED", "stopped", "")
    resumed = open_exporter("mlflow", folder)
    for entry in by_key(results_of(EARLY), ended=False).values():
        resumed.send(entry)
    assert mlflow_runs(local(folder)) == before
    for records, ended in ((EARLY, False), ([*EARLY, *LATE], False), ([*EARLY, *LATE], True)):
        for entry in by_key(results_of(records), ended=ended).values():
            resumed.send(entry)
    after = mlflow_runs(local(folder))
    check_all_is_there(after)
    assert after["glcm+rf #5"] == before["glcm+rf #5"]
    assert {name: after[name]["id"] for name in before} == {name: run["id"] for name, run in before.items()}


@pytest.mark.usefixtures("database")
def test_mlflow_keeps_the_latest_ensemble(folder: RunFolder) -> None:
    keep_ensemble(folder, 6)
    export_run(folder, "mlflow")
    assert accuracies(mlflow_runs(local(folder))["ensemble"]) == [(3, 0.6)]
    keep_ensemble(folder, 4, 6)
    export_run(folder, "mlflow")
    runs = mlflow_runs(local(folder))
    assert accuracies(runs["ensemble"]) == [(3, 0.7)]
    assert '"trial": 4' in runs["ensemble"]["params"]["members"]
    assert len(runs) == 5


def test_sweeps_of_one_name_are_told_apart(
    tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(empty_database, tmp_path / "shared.db")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'shared.db'}")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "ours")
    for parent in ("mine", "yours"):
        export_run(made_folder(tmp_path / parent / "first"), "mlflow")
    import mlflow

    client = mlflow.MlflowClient()
    found = client.search_runs([client.get_experiment_by_name("ours").experiment_id])
    assert Counter(run.info.run_name for run in found) == {f"glcm+rf #{n}": 2 for n in range(4, 8)}


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("arrives", [True, False])
@pytest.mark.parametrize("call", ["create_run", "log_batch", "set_terminated"])
def test_mlflow_after_an_answer_that_got_lost(
    folder: RunFolder, call: str, arrives: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the request arrived or not, nothing is missing in the end and nothing is there twice."""
    import mlflow

    write_journal(folder.journal, LATE)
    real, calls = getattr(mlflow.MlflowClient, call), []

    def breaks(self: Any, *args: Any, **kwargs: Any) -> Any:
        calls.append(call)
        if len(calls) != 3:
            return real(self, *args, **kwargs)
        if arrives:
            real(self, *args, **kwargs)
        raise ConnectionError("the line is dead")

    monkeypatch.setattr(mlflow.MlflowClient, call, breaks)
    exporter = open_exporter("mlflow", folder)
    late = by_key(results_of(EARLY, LATE), ended=True).values()
    with pytest.raises(SweeperError, match="the line is dead"):
        for entry in late:
            exporter.send(entry)
    for entry in late:
        exporter.send(entry)
    check_all_is_there(mlflow_runs(local(folder)))


def test_mlflow_after_its_database_was_left_half_made(folder: RunFolder) -> None:
    """A process that was killed while it made the database leaves nothing that the next one stumbles over."""
    (folder.logs / "mlflow").mkdir(parents=True)
    (folder.logs / "mlflow" / "mlflow.partial").write_bytes(b"half of a database")
    export_run(folder, "mlflow")
    assert len(mlflow_runs(local(folder))) == 4
    assert [path.name for path in (folder.logs / "mlflow").iterdir()] == ["mlflow.db"]


# --------------------------------------------------------------------------- servers that do not answer


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_server_that_is_down_costs_a_note(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://user:secret@127.0.0.1:{port}")
    notes: list[str] = []
    with Exports(("mlflow",), folder, LADDER, notes.append) as exports:
        while not notes:
            started = time.monotonic()
            exports.feed(results_of(EARLY), FOLDS)
            assert time.monotonic() - started < 1
            time.sleep(0.1)
        for _ in range(5):
            exports.feed(results_of(EARLY), FOLDS)
            time.sleep(0.1)
        assert len(notes) == 1
        assert notes[0].startswith(f"note: logging to mlflow fails for now (http://127.0.0.1:{port} does not")
        exports.close(results_of(EARLY, LATE), FOLDS)
    assert len(notes) == 2
    assert f"sweeper log {folder.path} --to mlflow" in notes[1]
    assert "secret" not in "".join(notes)
    with pytest.raises(SweeperError, match="run the same command again to send the rest"):
        export_run(folder, "mlflow")


def test_a_server_that_hangs_is_not_waited_for(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "600")
        notes: list[str] = []
        with Exports(("mlflow",), folder, LADDER, notes.append) as exports:
            exports.feed(results_of(EARLY), FOLDS)
            silent.accept()
            started = time.monotonic()
            exports.close(results_of(EARLY), FOLDS, patience_s=1.0)
            assert time.monotonic() - started < 5
        assert len(notes) == 1
        assert "no answer for 1 s" in notes[0]


def test_one_tool_does_not_hold_up_another(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "600")
        with Exports(("mlflow", "tensorboard"), folder, LADDER, lambda note: None) as exports:
            exports.feed(results_of(EARLY), FOLDS)
            exports.close(results_of(EARLY, LATE), FOLDS, patience_s=2.0)
    assert (3, "status/text_summary", "done") in shown(folder, "glcm+rf-#6")


def start_server(port: int, database: Path) -> subprocess.Popen[bytes]:
    """MLflow's own server."""
    address = ("--backend-store-uri", f"sqlite:///{database}", "--port", str(port), "--workers", "1")
    server = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "server", *address],
        env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 180
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2)
            return server
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            assert server.poll() is None and time.monotonic() < deadline
            time.sleep(0.2)


@pytest.mark.slow
def test_a_server_that_comes_goes_and_comes_back(
    folder: RunFolder, tmp_path: Path, empty_database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real one: nothing is lost, and nothing is there twice."""
    pytest.importorskip("flask_cors")
    port = free_port()
    uri = f"http://127.0.0.1:{port}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    notes: list[str] = []
    with Exports(("mlflow",), folder, LADDER, notes.append) as exports:
        while not notes:
            exports.feed(results_of(EARLY), FOLDS)
            time.sleep(0.1)
        server = start_server(port, Path(shutil.copy(empty_database, tmp_path / "server.db")))
        try:
            exports.feed(results_of(EARLY), FOLDS)
            wait_until(lambda: len(mlflow_runs(uri)) == 4 and mlflow_runs(uri)["glcm+rf #5"]["end"])
            os.killpg(server.pid, signal.SIGSTOP)
            exports.feed(results_of(EARLY, LATE), FOLDS)
            time.sleep(3)
            os.killpg(server.pid, signal.SIGCONT)
            exports.close(results_of(EARLY, LATE), FOLDS)
            runs = mlflow_runs(uri)
            check_all_is_there(runs)
            assert len(notes) == 1
            write_journal(folder.journal, LATE)
            export_run(folder, "mlflow")
            assert mlflow_runs(uri) == runs
        finally:
            os.killpg(server.pid, signal.SIGCONT)
            os.killpg(server.pid, signal.SIGTERM)
            server.wait(60)
    assert not (folder.logs / "mlflow").exists()


def wait_until(true: Callable[[], Any], timeout_s: float = 60) -> None:
    from mlflow.exceptions import MlflowException

    deadline = time.monotonic() + timeout_s
    while True:
        try:
            if true():
                return
        except (MlflowException, AttributeError):  # no answer yet, or no experiment
            pass
        assert time.monotonic() < deadline
        time.sleep(0.2)


# --------------------------------------------------------------------------- Weights & Biases


def wandb_records(path: Path) -> Iterator[Any]:
    """Records of a file of Weights & Biases: a log of LevelDB's form, blocks of 32 KiB, after 7 bytes."""
    from wandb.proto.wandb_internal_pb2 import Record as WandbRecord

    data, place, whole = path.read_bytes(), 7, b""
    while place < len(data):
        if (left := -place % 32768) < 7:  # too little is left of the block for a head
            place += left
            continue
        _, size, part = struct.unpack("<IHB", data[place : place + 7])
        whole += data[place + 7 : place + 7 + size]
        place += 7 + size
        if part in (1, 4):  # all of a record, or the last part of one
            yield WandbRecord.FromString(whole)
            whole = b""


def decoded(items: Any) -> dict[str, Any]:
    """Items of a record, by their name."""
    return {item.key or item.nested_key[0]: msgspec.json.decode(item.value_json) for item in items}


def wandb_runs(folder: RunFolder) -> dict[str, dict[str, Any]]:
    """What the files of offline runs hold, by the name of the run; one file a run."""
    runs: dict[str, dict[str, Any]] = {}
    for path in (folder.logs / "wandb").glob("offline-run-*/run-*.wandb"):
        run: dict[str, Any] = {"history": [], "summary": {}, "config": {}, "file": path.parent.name}
        for record in wandb_records(path):
            if record.HasField("run"):
                made = record.run
                run |= {"id": made.run_id, "name": made.display_name, "project": made.project}
                run["config"] |= decoded(made.config.update)
            elif record.HasField("history"):
                row = decoded(record.history.item)
                run["history"].append((record.history.step.num, row.get("accuracy")))
            elif record.HasField("summary"):
                run["summary"] |= decoded(record.summary.update)
            elif record.HasField("exit"):
                run["exit"] = record.exit.exit_code
        assert run["name"] not in runs
        runs[run["name"]] = run
    return runs


@pytest.fixture
def log_to_wandb(run_cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[RunFolder], str]:
    """`sweeper log RUN --to wandb` on a machine that nobody logged in from."""
    pytest.importorskip("wandb")
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("WANDB_MODE", "offline")

    def run(folder: RunFolder, status: int = 0) -> str:
        done = run_cli("log", folder.path, "--to", "wandb")
        assert done.returncode == status, done.stderr
        return done.stdout + done.stderr

    return run


def test_wandb_offline_keeps_a_run_for_each_trial(folder: RunFolder, log_to_wandb: Any) -> None:
    write_journal(folder.journal, LATE)
    keep_ensemble(folder, 6, 8)
    assert f"6 entries in {folder.logs / 'wandb'}; send it with: wandb sync " in log_to_wandb(folder)
    runs = wandb_runs(folder)
    assert sorted(runs) == ["ensemble", *(f"glcm+rf #{n}" for n in range(4, 9))]
    assert {run["project"] for run in runs.values()} == {"first"}
    best = runs["glcm+rf #6"]
    assert best["history"] == [(1, 0.6), (2, pytest.approx(0.7)), (3, pytest.approx(0.85))]
    assert best["summary"]["test_accuracy"] == 0.875
    assert best["config"]["classifier.n_trees"] == 306
    assert {name: (run["exit"], run["summary"]["status"]) for name, run in runs.items()} == {
        "glcm+rf #4": (0, "stopped"), "glcm+rf #5": (1, "failed"), "glcm+rf #6": (0, "done"),
        "glcm+rf #7": (0, "stopped"), "glcm+rf #8": (0, "done"), "ensemble": (0, "done"),
    }  # fmt: skip
    assert runs["glcm+rf #5"]["summary"]["error"] == "ValueError: too few rows"


def test_wandb_offline_of_a_sweep_that_goes_on(folder: RunFolder, log_to_wandb: Any) -> None:
    keep_ensemble(folder, 6)
    log_to_wandb(folder)
    before = wandb_runs(folder)
    log_to_wandb(folder)
    assert wandb_runs(folder) == before  # in the same files
    write_journal(folder.journal, LATE)
    keep_ensemble(folder, 4, 6)
    log_to_wandb(folder)
    after = wandb_runs(folder)
    assert after["glcm+rf #5"] == before["glcm+rf #5"]
    assert [step for step, _ in after["glcm+rf #6"]["history"]] == [1, 2, 3]
    assert after["ensemble"]["summary"]["accuracy"] == pytest.approx(0.7)
    assert {name: after[name]["id"] for name in before} == {name: run["id"] for name, run in before.items()}


@pytest.mark.slow
def test_wandb_online_of_a_sweep_that_goes_on(
    folder: RunFolder, log_to_wandb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs are resumed under their ids; also where the run folder no longer says what was sent."""
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    keep_ensemble(folder, 6)
    with wandb_server() as (address, kept):
        monkeypatch.setenv("WANDB_BASE_URL", address)
        assert "5 entries in project first at" in log_to_wandb(folder)
        write_journal(folder.journal, LATE)
        keep_ensemble(folder, 4, 6)
        log_to_wandb(folder)
        starts = {run.name: run.starts for run in kept.values()}
        log_to_wandb(folder)
        assert {run.name: run.starts for run in kept.values()} == starts
        (sent,) = (folder.logs / "wandb").glob("sent-*.jsonl")
        sent.unlink()
        log_to_wandb(folder)
    runs = {run.name: run for run in kept.values()}
    assert len(runs) == len(kept) == 6
    assert [row["_step"] for row in runs["glcm+rf #6"].history] == [1, 2, 3]
    assert [row["accuracy"] for row in runs["glcm+rf #4"].history] == [0.5, 0.75]
    assert runs["glcm+rf #6"].summary["test_accuracy"] == 0.875
    assert runs["ensemble"].summary["accuracy"] == pytest.approx(0.7)
    assert {name: (run.exit, run.summary["status"]) for name, run in runs.items()} == {
        "glcm+rf #4": (0, "stopped"), "glcm+rf #5": (1, "failed"), "glcm+rf #6": (0, "done"),
        "glcm+rf #7": (0, "stopped"), "glcm+rf #8": (0, "done"), "ensemble": (0, "done"),
    }  # fmt: skip


def test_wandb_without_a_key(folder: RunFolder, log_to_wandb: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_MODE")
    assert "--to wandb needs an API key: run `wandb login`" in log_to_wandb(folder, status=2)


@pytest.mark.slow
def test_wandb_that_does_not_answer(
    folder: RunFolder, log_to_wandb: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{free_port()}")
    assert "--to wandb: not everything was sent" in log_to_wandb(folder, status=1)


# --------------------------------------------------------------------------- the verb


def test_the_verb_wants_a_folder_with_a_sweep(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, said in (
        (["s3://bucket/run", "--to", "mlflow"], "RUN must be a folder, got s3://bucket/run"),
        ([str(tmp_path), "--to", "tensorboard"], "no sweep here"),
        ([str(tmp_path), "--to", "neptune"], "--to must be one of mlflow, tensorboard, wandb, got 'neptune'"),
    ):
        assert main(["log", *arguments]) == 2
        assert said in capsys.readouterr().err


@pytest.mark.usefixtures("database")
def test_a_sweep_that_runs_is_logged_as_far_as_it_is(folder: RunFolder) -> None:
    folder.claim(make_spec("frames", "quick", folds=FOLDS, log=("tensorboard",)))
    journal = Journal(folder.journal)
    try:
        with pytest.raises(InputError, match="running and logs to tensorboard itself"):
            export_run(folder, "tensorboard")
        export_run(folder, "mlflow")
    finally:
        journal.close()
    runs = mlflow_runs(local(folder))
    assert outcome(runs["glcm+rf #4"]) == ("RUNNING", "", "")
    assert outcome(runs["glcm+rf #5"])[0] == "FAILED"


# --------------------------------------------------------------------------- a whole sweep


@pytest.mark.long
def test_a_sweep_is_logged_while_it_runs(run_cli: Cli, tiny_space: Path, tmp_path: Path) -> None:
    """It is interrupted once something was logged, and resumed; both tools say what the leaderboard says."""
    data, folder = tmp_path / "frames", RunFolder(tmp_path / "first")
    write_textures(data / "train")
    write_textures(data / "test", per_class=3, seed=1)
    sweep = (
        "run", data, "--space", tiny_space, "--folds", 3, "--seed", 5, "--test-top", 2, "--out", folder.path,
        "--log", "mlflow", "--log", "tensorboard",
    )  # fmt: skip
    process = subprocess.Popen([sys.executable, "-m", "sweeper", *map(str, sweep), "--trials", "40"])
    try:
        wait_until(lambda: any((folder.logs / "tensorboard").glob("*/events.*")), timeout_s=240)
        assert is_open(folder.journal)  # the search goes on
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 130
    finally:
        process.kill()
    done = run_cli(*sweep, "--trials", 12)
    assert done.returncode == 0, done.stderr
    assert "note:" not in done.stderr
    runs = mlflow_runs(local(folder))
    compare_with_leaderboard(folder, runs)
    done = run_cli("log", folder.path, "--to", "mlflow")
    assert done.returncode == 0, done.stderr
    assert mlflow_runs(local(folder)) == runs


def compare_with_leaderboard(folder: RunFolder, runs: dict[str, Any]) -> None:
    board = pd.read_csv(folder.leaderboard)
    names = [
        "ensemble" if row.trial < 0 else f"{row.featurizer}+{row.classifier} #{row.trial}"
        for row in board.itertuples()
    ]
    assert set(names) <= runs.keys()
    unranked = [run for name, run in runs.items() if name not in names]  # interrupted, and left behind
    assert all(not run["history"] and outcome(run)[1] == "stopped" for run in unranked)
    records = [record for _, record in read_journal(folder.journal)]
    folds = Counter((r.pipeline, r.budget) for r in records if isinstance(r, Evaluation) and r.fold != TEST)
    rungs = Counter(id_ for (id_, _), count in folds.items() if count == folder.folds())
    for name, (_, row) in zip(names, board.iterrows(), strict=True):
        run = runs[name]
        assert outcome(run)[1] == row.status
        assert run["history"]["budget"][-1][1] == pytest.approx(row.budget)
        for metric in METRICS:
            assert run["history"][metric][-1][1] == pytest.approx(row[metric], rel=1e-9)
        if name != "ensemble":
            assert len(run["history"]["budget"]) == rungs[run["tags"]["sweeper.pipeline"]]
        tested = run["history"].get("test_accuracy", [])
        assert [v for _, v, _ in tested] == ([] if pd.isna(row.test_accuracy) else [row.test_accuracy])
        told = shown(folder, name.replace(" ", "-"))
        assert [v for _, tag, v in told if tag == "accuracy"] == pytest.approx(
            [v for _, v, _ in run["history"]["accuracy"]]
        )
        assert [v for _, tag, v in told if tag == "status/text_summary"][-1] == row.status
