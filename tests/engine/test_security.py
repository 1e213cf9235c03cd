"""Nothing that a user is handed can run code here, and nothing listens for strangers."""

from __future__ import annotations

import ast
import os
import pickle
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import torch

from sweeper.data.frames import open_frames
from sweeper.errors import FrameError
from sweeper.networks import model
from sweeper.networks._checkpoint import load as load_checkpoint
from tests.conftest import REPOSITORY
from tests.engine.test_sweep import evaluations

Cli = Callable[..., subprocess.CompletedProcess[str]]
PACKAGES = ("sweeper", "featurizers", "classifiers", "search_spaces")
OWN_BYTES = {("sweeper/testing/classifiers.py", "pickle.loads")}
"""Calls that unpickle what the line before pickled: a check that estimators can be."""


class Exploit:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_the_exploit_works(tmp_path: Path) -> None:
    pickle.loads(pickle.dumps(Exploit(tmp_path / "ran")))
    assert (tmp_path / "ran").exists()


# --------------------------------------------------------------------------- what is loaded


def calls() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Every call in the project: where, the function's last two names, constant keyword arguments."""
    for package in PACKAGES:
        for path in (REPOSITORY / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Call):
                    name = ".".join(ast.unparse(node.func).split(".")[-2:])
                    known = {
                        k.arg: k.value.value
                        for k in node.keywords
                        if k.arg is not None and isinstance(k.value, ast.Constant)
                    }
                    yield f"{path.relative_to(REPOSITORY)}:{node.lineno}", name, known


FORBIDDEN = {
    "pickle.load", "pickle.loads", "cloudpickle.load", "cloudpickle.loads", "joblib.load", "dill.load",
    "dill.loads", "marshal.load", "marshal.loads", "pd.read_pickle", "pandas.read_pickle", "eval", "exec",
    "os.system", "os.popen", "yaml.unsafe_load", "yaml.full_load", "torch.jit.load",
}  # fmt: skip
NEEDED = {
    "np.load": ("allow_pickle", False),
    "numpy.load": ("allow_pickle", False),
    "torch.load": ("weights_only", True),
    "models.load_state_dict": ("weights_only", True),
}


def test_no_call_unpickles_or_runs_text() -> None:
    found = list(calls())
    assert len(found) > 1000
    forbidden = [(where, name) for where, name, _ in found if name in FORBIDDEN]
    assert {(where.partition(":")[0], name) for where, name in forbidden} == OWN_BYTES
    assert len(forbidden) == len(OWN_BYTES)
    for where, name, known in found:
        if name in NEEDED:
            argument, value = NEEDED[name]
            assert known.get(argument) is value, (where, name)
        assert not (name.startswith("subprocess.") and known.get("shell")), where


YAML = "!!python/object/apply:pathlib.Path.touch [!!python/object/apply:pathlib.Path ['{}']]"


@pytest.mark.parametrize("kind", ["spec", "space", "run"])
def test_yaml_runs_nothing(kind: str, run_cli: Cli, textures: Path, tmp_path: Path) -> None:
    ran, run = tmp_path / "ran", tmp_path / "run"
    bad = tmp_path / "bad.yaml"
    text = YAML.format(ran)
    if kind == "spec":
        bad.write_text(f"data: {textures}\nspace: {text}\n")
        done = run_cli("run", bad, "--out", run)
    elif kind == "space":
        bad.write_text(f"name: {text}\nfeaturizers: {{histogram: }}\nclassifiers: {{rf: }}\n")
        done = run_cli("run", textures, "--space", bad, "--out", run)
    else:
        run.mkdir()
        (run / "sweep.yaml").write_text(f"data: {text}\n")
        done = run_cli("leaderboard", run)
    assert done.returncode == 2
    assert "not valid YAML: could not determine a constructor" in done.stderr
    assert not ran.exists()


def test_a_frame_of_pickled_objects_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "frame.npy"
    np.save(path, np.array([[Exploit(tmp_path / "ran")]], dtype=object), allow_pickle=True)
    with pytest.raises(FrameError), open_frames(path) as file:
        file.read(0)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("zipped", [True, False])
def test_a_checkpoint_of_pickled_objects_is_none(tmp_path: Path, zipped: bool) -> None:
    path = tmp_path / "checkpoint.pt"
    exploit = {"key": "k", "more": Exploit(tmp_path / "ran")}
    torch.save(exploit, path, _use_new_zipfile_serialization=zipped)
    assert zipfile.is_zipfile(path) is zipped
    assert load_checkpoint(path, "k") is None
    assert not (tmp_path / "ran").exists()


def test_a_model_of_pickled_objects_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model-3.safetensors"
    torch.save({"state": Exploit(tmp_path / "ran")}, path)
    with pytest.raises(ValueError, match=r"model-3\.safetensors"):
        model.load_model(path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.slow
def test_pretrained_weights_of_pickled_objects_are_refused(
    run_cli: Cli, textures: Path, tmp_path: Path
) -> None:
    weights = tmp_path / "weights"
    weights.mkdir()
    torch.save({"conv1.weight": Exploit(tmp_path / "ran")}, weights / "resnet50.pth")
    space = tmp_path / "space.yaml"
    space.write_text("featurizers: {resnet50: {weights: [imagenet]}}\nclassifiers: {rf: }\n")
    done = run_cli("run", textures, "--space", space, "--weights", weights, "--out", tmp_path / "run")
    assert done.returncode == 2, done.stderr
    assert "resnet50.pth" in done.stderr
    assert not (tmp_path / "ran").exists()


# --------------------------------------------------------------------------- what a data set reaches


def test_a_manifest_reaches_what_is_outside_only_when_allowed(run_cli: Cli, tmp_path: Path) -> None:
    for name in ("inside", "outside"):
        (tmp_path / name).mkdir()
        for i in range(6):
            np.save(tmp_path / name / f"{i}.npy", np.random.default_rng(i).poisson(9, (32, 32)))
    rows = [f"{folder}/{i}.npy,{'ab'[i % 2]}" for folder in (".", "../outside") for i in range(6)]
    manifest = tmp_path / "inside" / "manifest.csv"
    manifest.write_text("\n".join(["path,label", *rows]) + "\n")
    refused = run_cli("plan", manifest, "--space", "quick")
    assert refused.returncode == 2
    assert "--allow-outside" in refused.stderr
    assert run_cli("plan", manifest, "--space", "quick", "--allow-outside").returncode == 0


# --------------------------------------------------------------------------- what listens


@pytest.mark.slow
def test_nothing_listens_for_other_machines(textures: Path, tiny_space: Path, tmp_path: Path) -> None:
    """With the dashboard, of all processes of a sweep, for as long as it runs."""
    command = [
        sys.executable, "-m", "sweeper", "run", str(textures), "--space", str(tiny_space), "--trials", "9",
        "--folds", "2", "--dashboard", "--out", str(tmp_path / "run"),
    ]  # fmt: skip
    sweep = subprocess.Popen(command, cwd=REPOSITORY, stderr=subprocess.PIPE, env={**os.environ})
    seen: set[str] = set()
    names: set[str] = set()
    while sweep.poll() is None:
        for process in [psutil.Process(sweep.pid), *children(sweep.pid)]:
            try:
                listening = [c for c in process.net_connections("inet") if c.status == psutil.CONN_LISTEN]
                names |= {process.name()} if listening else set()
            except psutil.Error:
                continue
            seen |= {connection.laddr.ip for connection in listening}
        time.sleep(0.3)
    assert sweep.returncode == 0, sweep.stderr.read().decode() if sweep.stderr else ""
    assert {"raylet", "gcs_server"} <= names
    assert seen <= {"127.0.0.1", "::1", "::ffff:127.0.0.1"}, seen
    assert evaluations(tmp_path / "run")


def children(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
