"""Watching from outside: metrics and the dashboard."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from sweeper.engine.metrics import METRICS, SweepMetrics
from sweeper.runs.progress import State
from tests.conftest import REPOSITORY


class Instrument:
    """Keeps what it is given, as a gauge or a counter does."""

    def __init__(self) -> None:
        self.values: dict[tuple[tuple[str, str], ...], float] = {}

    def set(self, value: float, tags: dict[str, str]) -> None:
        self.values[tuple(sorted(tags.items()))] = value

    def inc(self, value: float, tags: dict[str, str]) -> None:
        assert value > 0
        key = tuple(sorted(tags.items()))
        self.values[key] = self.values.get(key, 0.0) + value


@pytest.fixture
def metrics() -> tuple[SweepMetrics, Callable[[str], dict[str, float]]]:
    """Metrics of a run ``first``, and what one of them says, by its label."""
    made = SweepMetrics("first")
    instruments = {metric.name: Instrument() for metric in METRICS}
    made._instruments = dict(instruments)

    def said(name: str) -> dict[str, float]:
        found = {}
        for tags, value in instruments[f"sweeper_{name}"].values.items():
            labels = dict(tags)
            assert labels.pop("run") == "first"
            found["".join(labels.values())] = value
        return found

    return made, said


def test_metrics_say_what_the_display_says(metrics: Any) -> None:
    made, said = metrics
    state = State(
        trials=9, trials_ended=5, trials_total=20, trials_failed=2, best=0.75, metric="kappa",
        evaluations=31, evaluations_known=4, blocks_computed=7, blocks_reused=3, shards_done=1,
        shards_total=4, frames_featurized=64, bytes_held=1000, fits_running=2, epochs=12, budget_spent=2.5,
    )  # fmt: skip
    made.update(state)
    assert said("trials") == {"running": 4, "ended": 3, "failed": 2}
    assert said("trials_waiting") == {"": 11}
    assert said("best_score") == {"kappa": 0.75}
    assert said("budget_spent") == {"": 2.5}
    assert said("evaluations_computed") == {"": 31}
    assert said("evaluations_known") == {"": 4}
    assert said("blocks_computed") == {"": 7}
    assert said("blocks_reused") == {"": 3}
    assert said("frames_featurized") == {"": 64}
    assert said("shards_waiting") == {"": 3}
    assert said("bytes_held") == {"": 1000}
    assert said("networks_training") == {"": 2}
    assert said("network_epochs") == {"": 12}


@pytest.mark.parametrize("name", ["Résultats", "实验", "a b%20", "\udcff"])
def test_labels_of_runs_are_ascii(name: str) -> None:
    """As Ray wants them."""
    metrics = SweepMetrics(name)
    instruments = {metric.name: Instrument() for metric in METRICS}
    metrics._instruments = dict(instruments)
    metrics.update(State())
    runs = {dict(tags)["run"] for made in instruments.values() for tags in made.values}
    assert len(runs) == 1 and runs.pop().isascii()


def test_what_is_not_known_is_not_said(metrics: Any) -> None:
    made, said = metrics
    made.update(State())
    assert said("best_score") == {}
    assert said("trials_waiting") == {}
    assert said("blocks_computed") == {}


def test_counters_go_on_when_an_actor_was_restarted(metrics: Any) -> None:
    """The feature store counts from zero again after its process was killed; Prometheus sees no step back."""
    made, said = metrics
    for blocks, total in ((5, 5), (5, 5), (8, 8), (0, 8), (2, 10)):
        made.update(State(blocks_computed=blocks))
        assert said("blocks_computed") == {"": total}


def test_names_are_unlike_and_prometheus_can_read_them() -> None:
    names = [metric.scraped_name for metric in METRICS]
    assert len(set(names)) == len(names)
    for metric in METRICS:
        assert re.fullmatch(r"ray_sweeper_[a-z_]+", metric.scraped_name)
        assert metric.scraped_name.endswith("_total") == metric.counts
        assert metric.text


# --------------------------------------------------------------------------- a real Prometheus

TOKEN = "0123456789abcdef" * 4


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder whose path leaves room for Ray's sockets."""
    folder = Path(tempfile.mkdtemp(prefix="sw-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def prometheus(folder: Path, ray_folder: Path) -> Iterator[str]:
    """Prometheus with the project's config, but for the folder of Ray's files and a shorter interval."""
    config = yaml.safe_load((REPOSITORY / "cluster_configs" / "prometheus.yml").read_text())
    config["global"]["scrape_interval"] = "1s"
    discovery = config["scrape_configs"][0]["file_sd_configs"][0]
    (file,) = discovery["files"]
    discovery.update(files=[str(ray_folder / "ray" / Path(file).name)], refresh_interval="1s")
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    address = f"127.0.0.1:{free_port()}"
    options = ["--config.file=prometheus.yml", "--storage.tsdb.path=data", f"--web.listen-address={address}"]
    with (folder / "prometheus.log").open("w") as log:
        process = subprocess.Popen(["prometheus", *options], cwd=folder, stdout=log, stderr=log)
        try:
            yield f"http://{address}"
        finally:
            process.terminate()
            process.wait(timeout=30)


def fetch(url: str, *, token: str = "") -> Any:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as answer:
        return json.load(answer)


def asked(server: str, query: str) -> dict[str, float]:
    """An instant query: the label besides ``run`` to a value."""
    found = fetch(f"{server}/api/v1/query?{urllib.parse.urlencode({'query': query})}")["data"]["result"]
    return {
        "".join(v for k, v in series["metric"].items() if k in ("state", "metric")): float(series["value"][1])
        for series in found
    }


@pytest.mark.long
@pytest.mark.skipif(shutil.which("prometheus") is None, reason="Prometheus is not installed")
def test_prometheus_scrapes_a_sweep_and_the_dashboard_names_its_tasks(
    textures: Path, tmp_path: Path, short_folder: Path
) -> None:
    run = tmp_path / "first"
    options = ["--space", "quick", "--trials", "60", "--folds", "3", "--dashboard", "--out", str(run)]
    environment = {
        **os.environ,
        "RAY_TMPDIR": str(short_folder),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": TOKEN,
        "RAY_metrics_report_interval_ms": "500",
    }
    seen: dict[str, dict[str, float]] = {}
    rates: list[float] = []
    tasks: set[str] = set()
    with prometheus(tmp_path, short_folder) as server, (tmp_path / "sweep.log").open("w+") as log:
        command = [sys.executable, "-m", "sweeper", "run", str(textures), *options]
        sweep = subprocess.Popen(command, cwd=REPOSITORY, env=environment, stdout=log, stderr=log)
        try:
            until = time.monotonic() + 240
            while sweep.poll() is None and time.monotonic() < until:
                time.sleep(0.5)
                for metric in METRICS:
                    try:
                        values = asked(server, f'{metric.scraped_name}{{run="first"}}')
                    except urllib.error.URLError:
                        break  # Prometheus is not up yet
                    seen[metric.name] = values or seen.get(metric.name, {})
                else:
                    rates += asked(server, "sum(rate(ray_sweeper_evaluations_computed_total[10s]))").values()
                found = re.search(r"^dashboard: (http://127\.0\.0\.1:\d+)", log_text(log), re.MULTILINE)
                if found and not tasks_are_enough(tasks):
                    tasks |= task_names(found[1])
        finally:
            sweep.terminate()
            sweep.wait(timeout=60)
        said = log_text(log)
    assert sweep.returncode == 0, said
    assert seen["sweeper_trials"].keys() == {"running", "ended", "failed"}
    assert seen["sweeper_trials"]["ended"] > 5
    assert seen["sweeper_trials"]["failed"] == 0
    assert 0 <= seen["sweeper_trials_waiting"][""] < 60
    assert 0 < seen["sweeper_best_score"]["accuracy"] <= 1
    assert seen["sweeper_budget_spent"][""] > 1
    assert seen["sweeper_evaluations_computed"][""] > 30
    assert max(rates) > 1
    assert seen["sweeper_evaluations_known"] == {"": 0}
    assert seen["sweeper_blocks_computed"] == {"": 23}
    assert seen["sweeper_frames_featurized"] == {"": 36}
    assert seen["sweeper_shards_waiting"] == {"": 0}
    held = sum(path.stat().st_size for path in (run / "features").glob("*.parquet"))
    assert 0.9 * held <= seen["sweeper_bytes_held"][""] <= 1.2 * held
    assert tasks_are_enough(tasks), tasks


def log_text(log: Any) -> str:
    return Path(log.name).read_text()


def task_names(dashboard: str) -> set[str]:
    """Names of tasks as the dashboard's own interface lists them; without the token nobody gets them."""
    url = f"{dashboard}/api/v0/tasks?limit=10000"
    try:
        listed = fetch(url, token=TOKEN)
    except (urllib.error.URLError, TimeoutError):
        return set()  # it ends with the sweep
    with pytest.raises(urllib.error.HTTPError, match="401"):
        fetch(url)
    return {task["name"] for task in listed["data"]["result"]["result"]}


def tasks_are_enough(tasks: set[str]) -> bool:
    """Whether a person can tell what blocks and trials were computed."""
    block = any(re.fullmatch(r"block [a-z+]*glcm[a-z+]* shard 0", name) for name in tasks)
    trial = any(re.fullmatch(r"trial glcm\+\w+ #\d+ rung \d fold \d", name) for name in tasks)
    return block and trial
