"""Machines that join while a sweep runs: they take part, unless they run something else.

Both are on this machine: Ray does not mind.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import pytest

from sweeper.engine.nodes import package_versions
from sweeper.runs.records import Scored
from tests.conftest import REPOSITORY
from tests.engine.test_sweep import evaluations, scores

pytestmark = pytest.mark.slow

Join = Callable[..., psutil.Process]
SPACE = """
name: slow
source: a space whose fits take a while, for tests
featurizers:
  glcm: {distance: {subsets: [1, 2]}, angle_deg: [[0, 90]]}
reducers: [standard]
classifiers:
  rf: {n_trees: [300, 600], max_depth: [none, 4, 8], max_features: [sqrt, 0.5]}
"""


@pytest.fixture
def cluster() -> Iterator[tuple[str, Join]]:
    """Address of a head with one core, and what joins a node with another core."""
    with TemporaryDirectory(prefix="sw", dir="/tmp") as folder, ExitStack() as nodes:
        address = f"127.0.0.1:{free_port()}"
        port = address.split(":")[1]
        nodes.enter_context(node(folder, "--head", f"--port={port}", "--include-dashboard=false"))

        def join(path: str = "") -> psutil.Process:
            return nodes.enter_context(node(folder, f"--address={address}", path=path))

        yield address, join


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


ENVIRONMENT = {**os.environ, "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}


@contextmanager
def node(folder: str, *options: str, path: str = "") -> Iterator[psutil.Process]:
    """A node of Ray by its process; `path` says where its Python looks before it looks elsewhere."""
    command = [
        str(Path(sys.executable).with_name("ray")), "start", "--block", "--num-cpus=1", *options,
        '--resources={"trial_slot": 2}', f"--temp-dir={folder}", "--object-store-memory=100000000",
    ]  # fmt: skip
    environment = {**ENVIRONMENT, "PYTHONPATH": os.pathsep.join(filter(None, (path, str(REPOSITORY))))}
    with Path(folder, f"node-{uuid.uuid4().hex}.log").open("w+") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            until = time.monotonic() + 120
            while "Ray runtime started" not in Path(log.name).read_text():
                assert process.poll() is None and time.monotonic() < until, Path(log.name).read_text()
                time.sleep(0.2)
            yield psutil.Process(process.pid)
        finally:
            process.terminate()
            process.wait(timeout=60)


def works(joined: psutil.Process) -> bool:
    """Whether an evaluation runs on a node: Ray names processes by their tasks."""
    for process in joined.children(recursive=True):
        with suppress(psutil.Error):
            if any("trial glcm+rf" in argument for argument in process.cmdline()):
                return True
    return False


@contextmanager
def running_sweep(address: str, textures: Path, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A sweep on a cluster, once it has a few evaluations."""
    (folder / "slow.yaml").write_text(SPACE)
    run = folder / "run"
    command = [
        sys.executable, "-m", "sweeper", "run", str(textures), "--space", str(folder / "slow.yaml"),
        "--search", "bohb", "--trials", "12", "--folds", "3", "--address", address, "--out", str(run),
    ]  # fmt: skip
    with subprocess.Popen(
        command, env=ENVIRONMENT, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as sweep:
        try:
            until = time.monotonic() + 240
            while len(evaluations(run) if (run / "journal.jsonl").exists() else ()) < 4:
                assert sweep.poll() is None and time.monotonic() < until, sweep.communicate()[0]
                time.sleep(0.2)
            yield sweep
        finally:
            sweep.terminate()


@pytest.mark.long
def test_a_machine_that_joins_takes_part(
    cluster: tuple[str, Join], textures: Path, tmp_path: Path, run_cli: Callable[..., object]
) -> None:
    address, join = cluster
    with running_sweep(address, textures, tmp_path) as sweep:
        joined = join()
        while sweep.poll() is None and not works(joined):
            time.sleep(0.2)
        assert sweep.poll() is None, "it ended before the second machine had work"
        said, _ = sweep.communicate(timeout=400)
    assert sweep.returncode == 0, said
    alone = tmp_path / "alone"
    run_cli(
        "run", textures, "--space", tmp_path / "slow.yaml", "--search", "bohb", "--trials", 12, "--folds", 3,
        "--out", alone,
    )  # fmt: skip
    assert scores(tmp_path / "run").equals(scores(alone))


@pytest.mark.long
def test_a_machine_that_joins_with_other_versions_ends_the_sweep_and_computes_nothing(
    cluster: tuple[str, Join], textures: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    metadata = other / "tifffile-2020.1.1.dist-info" / "METADATA"
    metadata.parent.mkdir(parents=True)
    metadata.write_text("Name: tifffile\nVersion: 2020.1.1\n")
    address, join = cluster
    with running_sweep(address, textures, tmp_path) as sweep:
        join(str(other))
        said, _ = sweep.communicate(timeout=400)
    assert sweep.returncode == 1, said
    mine = package_versions()["tifffile"]
    assert f": tifffile must be {mine}, as where the sweep was started, it is 2020.1.1" in said
    assert "Traceback" not in said
    assert {type(record.outcome) for record in evaluations(tmp_path / "run")} == {Scored}
