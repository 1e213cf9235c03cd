"""Plugins from outside in a sweep: on this machine, and on a cluster that knows nothing of their folder."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd
import pytest

from sweeper import plugins
from sweeper.runs.journal import read_journal
from tests.conftest import REPOSITORY
from tests.engine.test_growing_cluster import ENVIRONMENT, Join, cluster, free_port, node  # noqa: F401
from tests.plugins import outside

pytestmark = pytest.mark.slow


def sweep(folder: Path, textures: Path, run: Path, *options: object) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable, "-m", "sweeper", "run", textures, "--space", "mine", "--search", "backwards",
        "--folds", 2, "--out", run, *options,
    ]  # fmt: skip
    return subprocess.run(
        [*map(str, command)],
        env={**os.environ, **ENVIRONMENT, plugins.VARIABLE: str(folder)},
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=400,
    )


def board_of(run: Path) -> pd.DataFrame:
    board = pd.read_csv(run / "leaderboard.csv")
    assert len(board[board.featurizer != "ensemble"]) == 9
    assert set(board.status) == {"done"}
    assert {"rings", "histogram"} <= set(board.featurizer)
    assert {"logistic", "rf"} <= set(board.classifier)
    return board


def keys(run: Path) -> dict[str, set[str]]:
    """Keys of evaluations by featurizer, and of all that use the logistic regression."""
    found: dict[str, set[str]] = {"rings": set(), "histogram": set(), "logistic": set()}
    for record in read_journal(run / "journal.jsonl"):
        if "key" in record:
            found[record["pipeline"]["featurizer"]].add(record["key"])
            if record["pipeline"]["classifier"] == "logistic":
                found["logistic"].add(record["key"])
    return found


def test_plugins_from_outside_take_part_and_an_edit_is_computed_again(textures: Path, tmp_path: Path) -> None:
    folder, run = outside.write(tmp_path / "mine", nested=True), tmp_path / "run"
    done = sweep(folder, textures, run)
    assert done.returncode == 0, done.stderr
    board_of(run)
    before = keys(run)
    helper = folder / "featurizers" / "_rings.py"
    helper.write_text(outside.RINGS_HELPER.replace("rings * radius", "0.99 * rings * radius"))
    edited = sweep(folder, textures, run)
    assert edited.returncode == 0, edited.stderr
    after = keys(run)
    assert len(after["rings"]) == 2 * len(before["rings"])
    assert after["histogram"] == before["histogram"]


def test_plugins_from_outside_travel_to_a_cluster(
    textures: Path,
    tmp_path: Path,
    cluster: tuple[str, Join],  # noqa: F811
) -> None:
    """Its nodes were started without the folder; their workers find copies of it, and nothing else."""
    address, _ = cluster
    folder, run = outside.write(tmp_path / "mine"), tmp_path / "run"
    done = sweep(folder, textures, run, "--address", address)
    assert done.returncode == 0, done.stderr
    there = board_of(run)
    alone = tmp_path / "alone"
    assert sweep(folder, textures, alone).returncode == 0
    scores = ["trial", "featurizer", "classifier", "accuracy", "kappa"]
    pd.testing.assert_frame_equal(there[scores], board_of(alone)[scores])
    assert keys(run) == keys(alone)


def test_a_plugin_that_is_broken_ends_the_command_before_anything_is_computed(
    run_cli: Callable[..., subprocess.CompletedProcess[str]],
    textures: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = outside.write(tmp_path / "mine")
    (folder / "logistic.py").write_text("import nowhere_to_be_found\nCLASSIFIER = 1\n")
    monkeypatch.setenv(plugins.VARIABLE, str(folder))
    done = run_cli("run", textures, "--space", "mine", "--out", tmp_path / "run")
    assert done.returncode == 2
    assert f"{folder / 'logistic.py'} needs nowhere_to_be_found, which is not installed" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.long
def test_plugins_from_outside_travel_with_a_job(
    textures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sent to the head's dashboard: the job and its workers know the plugins by their copies alone."""
    first = str(Path(sys.executable).parent)  # a job runs the python that is first on the head's path
    monkeypatch.setitem(ENVIRONMENT, "PATH", os.pathsep.join([first, os.environ["PATH"]]))
    folder, run, port = outside.write(tmp_path / "mine"), tmp_path / "run", free_port()
    options = (
        "--head", f"--port={free_port()}", "--include-dashboard=true", f"--dashboard-port={port}",
        f"--dashboard-agent-listen-port={free_port()}",
    )  # fmt: skip
    with TemporaryDirectory(prefix="sw", dir="/tmp") as scratch, node(scratch, *options):
        command = [
            sys.executable, "-m", "sweeper", "submit", textures, "--space", "mine", "--search", "backwards",
            "--folds", 2, "--out", run, "--address", f"http://127.0.0.1:{port}",
        ]  # fmt: skip
        environment = {**os.environ, **ENVIRONMENT, plugins.VARIABLE: str(folder)}
        until = time.monotonic() + 120
        while True:
            done = subprocess.run(
                [*map(str, command)],
                env=environment,
                cwd=REPOSITORY,
                capture_output=True,
                text=True,
                timeout=400,
            )
            if "takes no jobs yet" not in done.stderr or time.monotonic() > until:
                break
        assert done.returncode == 0, done.stdout + done.stderr
    board_of(run)
