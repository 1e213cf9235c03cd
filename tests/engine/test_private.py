"""What is not Ray's public API does what the engine relies on: run this before another Ray is allowed in."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import ray
from ray import tune
from ray.tune.error import TuneError
from ray.tune.execution import class_cache
from ray.tune.execution.placement_groups import PlacementGroupFactory
from ray.tune.experiment import Trial
from ray.tune.schedulers import HyperBandForBOHB

from sweeper.engine.cluster import trial_resources
from sweeper.engine.private import CHECKED_ON
from sweeper.engine.private.core import bytes_held, dashboard_url, on_loopback
from sweeper.engine.private.tune import (
    SynchronousHyperBand,
    forget,
    nothing_sent_to_trials,
    trial_environment,
)
from sweeper.engine.tune.searcher import SweepSearcher
from sweeper.engine.tune.trial import SweepTrial
from sweeper.pipeline import Pipeline
from sweeper.runs.records import Evaluation
from sweeper.search.brackets import Ladder
from tests.conftest import REPOSITORY
from tests.runs.made_records import made_evaluation, made_pipeline

pytestmark = [pytest.mark.usefixtures("local_ray"), pytest.mark.slow]


def test_the_version_is_the_one_that_was_checked() -> None:
    assert ray.__version__ == CHECKED_ON


# --------------------------------------------------------------------------- cluster and object store


def test_ray_listens_on_the_loopback_address_alone() -> None:
    """For all processes of a sweep: test_security.py."""
    assert [node["NodeManagerAddress"] for node in ray.nodes()] == ["127.0.0.1"]
    assert ray.util.get_node_ip_address() == "127.0.0.1"


def test_the_switch_is_as_it_was_after_the_block() -> None:
    from ray._private import ray_constants

    before = ray_constants.ENABLE_RAY_CLUSTER
    assert before  # else the block changes nothing
    with pytest.raises(KeyError), on_loopback():
        assert not ray_constants.ENABLE_RAY_CLUSTER
        raise KeyError
    assert ray_constants.ENABLE_RAY_CLUSTER is before


def test_without_a_dashboard_its_address_is_empty() -> None:
    assert dashboard_url() == ""


STARTS = """
import os, subprocess, sys, urllib.request
import ray
from sweeper.engine.private.core import dashboard_url, on_loopback

with on_loopback():
    if sys.argv[1:]:
        ray.init(address=sys.argv[1], log_to_driver=False)
        print("joined", dashboard_url())
        sys.exit()
    context = ray.init(address="local", num_cpus=1, include_dashboard=True, log_to_driver=False)
print("started", dashboard_url())
print("given", context.dashboard_url, flush=True)
subprocess.run([sys.executable, __file__, context.address_info["address"]], check=True)
with urllib.request.urlopen(f"http://{dashboard_url()}/api/version", timeout=30) as answer:
    print("version", answer.read().decode())
"""


def test_the_address_of_the_dashboard_is_known_also_to_a_process_that_joins(tmp_path: Path) -> None:
    script = tmp_path / "starts.py"
    script.write_text(STARTS)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    done = subprocess.run(
        [sys.executable, str(script)],
        capture_output=True,
        text=True,
        timeout=120,
        env={**environment, "PYTHONPATH": str(REPOSITORY), "RAY_AUTH_MODE": "disabled"},
    )
    assert done.returncode == 0, done.stderr
    said = dict(line.split(" ", 1) for line in done.stdout.splitlines())
    assert said["started"] == said["given"] == said["joined"]
    assert json.loads(said["version"])["ray_version"] == CHECKED_ON


@ray.remote
def make(size: int, wait_for: Path | None = None) -> np.ndarray[Any, Any]:
    while wait_for is not None and not wait_for.exists():
        pass
    return np.zeros(size, dtype=np.uint8)


def test_the_size_of_objects_is_known_here_once_they_are_there(tmp_path: Path) -> None:
    assert bytes_held([]) == 0
    sizes = [3_000_000, 5_000_000]
    refs = [ray.put(np.zeros(sizes[0], dtype=np.uint8)), make.remote(sizes[1])]
    ray.wait(refs, num_returns=2)
    assert sum(sizes) <= bytes_held(refs) < sum(sizes) + 10_000
    coming = make.remote(sizes[0], tmp_path / "go")
    assert bytes_held([*refs, coming]) == bytes_held(refs)  # nobody waits for it
    (tmp_path / "go").touch()
    ray.wait([coming])
    assert bytes_held([*refs, coming]) > bytes_held(refs) + sizes[0]


# --------------------------------------------------------------------------- Tune's trials

SLOT = {"CPU": 0, "trial_slot": 1}


@pytest.fixture
def ended() -> Any:
    """A trial of Tune's own that has reported and ended."""
    trial = Trial("SweepTrial", config={"trial": 3}, trial_id="a_00003", stub=True)
    trial.placement_group_factory = PlacementGroupFactory([SLOT])
    result = {f"number {i}": float(i) for i in range(20)}
    for step in (1, 2):
        trial.update_last_result(
            {**result, "training_iteration": step, "done": step == 2, "trial_id": "a_00003"}
        )
    trial.set_status(Trial.TERMINATED)
    return trial


def test_what_is_forgotten_is_where_tune_keeps_it(ended: Any) -> None:
    """Setting an attribute that Tune does not have would free nothing, and say nothing."""
    kept = ended.run_metadata
    assert {"last_result", "metric_analysis", "metric_n_steps", "checkpoint_manager"} <= set(dir(kept))
    assert "number 7" in kept.metric_analysis and "number 7" in kept.metric_n_steps
    assert hasattr(kept, "_cached_json")
    assert kept.checkpoint_manager.checkpoint_config is not None
    assert {"_default_result_or_future", "_state_json", "placement_group_factory"} <= set(vars(ended))


def test_a_trial_that_ended_keeps_little(ended: Any) -> None:
    resources = PlacementGroupFactory([SLOT])
    before = len(pickle.dumps(ended.run_metadata.__dict__))
    forget(ended, resources)
    assert len(pickle.dumps(ended.run_metadata.__dict__)) < before / 4
    assert ended.metric_analysis == ended.metric_n_steps == {}
    assert ended.placement_group_factory is resources


def test_tune_can_still_ask_a_forgotten_trial(ended: Any) -> None:
    """The end of a search goes over all trials: their status, last result and state as JSON."""
    forget(ended, PlacementGroupFactory([SLOT]))
    assert ended.is_finished() and ended.has_reported_at_least_once
    assert ended.last_result == {"trial_id": "a_00003", "training_iteration": 2, "done": True}
    assert ended.checkpoint is None
    assert ended.get_json_state() == ("{}", "{}")
    assert ended.config == {"trial": 3}


# --------------------------------------------------------------------------- Tune's workers


@ray.remote
def process() -> int:
    return os.getpid()


@ray.remote(num_cpus=0)
class LikeATrial:
    def process_of_a_task(self) -> int:
        found: int = ray.get(process.remote())
        return found


def test_trials_have_no_environment_of_their_own_in_a_ray_that_was_started_here() -> None:
    """That Tune gives them what this says is seen below; a worker without one serves whoever needs it."""
    assert trial_environment() == {"env_vars": {}}
    trial = LikeATrial.options(runtime_env=trial_environment()).remote()
    theirs = ray.get(trial.process_of_a_task.remote())
    assert theirs in {ray.get(process.remote()) for _ in range(3)}


def test_elsewhere_tasks_in_the_environment_of_trials_share_their_workers() -> None:
    environment = {"env_vars": {"PL_DISABLE_FORK": "1"}}
    trial = LikeATrial.options(runtime_env=environment).remote()
    theirs = ray.get(trial.process_of_a_task.remote())
    assert theirs in {ray.get(process.options(runtime_env=environment).remote()) for _ in range(3)}
    assert ray.get(process.remote()) != theirs


def test_tunes_environment_is_as_it_was_after_the_block() -> None:
    before = set(class_cache.ENV_VARS_TO_PROPAGATE), dict(class_cache.DEFAULT_ENV_VARS)
    class_cache.DEFAULT_ENV_VARS["PL_DISABLE_FORK"] = "1"
    class_cache.ENV_VARS_TO_PROPAGATE.add("PATH")
    try:
        assert trial_environment() == {"env_vars": {"PL_DISABLE_FORK": "1", "PATH": os.environ["PATH"]}}
        with pytest.raises(KeyError), nothing_sent_to_trials():
            assert trial_environment() == {"env_vars": {}}
            raise KeyError
        assert trial_environment()["env_vars"].keys() == {"PL_DISABLE_FORK", "PATH"}
    finally:
        class_cache.DEFAULT_ENV_VARS.clear()
        class_cache.ENV_VARS_TO_PROPAGATE.clear()
        class_cache.ENV_VARS_TO_PROPAGATE.update(before[0])
        class_cache.DEFAULT_ENV_VARS.update(before[1])


def test_without_a_dashboard_none_of_its_services_runs() -> None:
    import psutil

    commands = [" ".join(p.cmdline()) for p in psutil.Process().children(recursive=True)]
    assert any("gcs_server" in command for command in commands)
    for service in ("monitor.py", "log_monitor.py", "dashboard/dashboard.py"):
        assert not any(service in command for command in commands)


# --------------------------------------------------------------------------- Tune's HyperBand

LADDER = Ladder(3, 3)
KEPT = ("trial", "steps", "score", "ended", "pid", "environment")


class Proposer:
    """Proposes one pipeline after the other; the parameter ``n`` is the number of the trial."""

    def propose(self, trial: int, taken: object, observations: object) -> Pipeline:
        return made_pipeline(classifier_params={"n": trial})


class Scores:
    """An evaluator to which later trials are better; the process that it runs in may be ended once."""

    def __init__(self, fatal: Path) -> None:
        self.fatal = fatal

    def evaluate(self, pipeline: Pipeline, budget: float, folds: object, label: str) -> list[Evaluation]:
        number = pipeline.classifier_params["n"]
        if number == 4 and self.fatal.exists():
            self.fatal.unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        return [made_evaluation(pipeline, 0, number / 100, budget=budget)]


class QuickTrial(SweepTrial):
    def _get_evaluator(self) -> Any:
        return Scores(Path(self._sweep["ledger"]))

    def step(self) -> dict[str, Any]:
        environment = dict(ray.get_runtime_context().runtime_env)
        return {**super().step(), "environment": {"env_vars": dict(environment.get("env_vars", {}))}}


@dataclass
class Follow(tune.Callback):  # type: ignore[misc]
    """What a search did, seen from the driver; trials that ended are forgotten, as in a sweep."""

    results: list[dict[str, Any]] = field(default_factory=list)
    ended: list[Any] = field(default_factory=list)

    def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: Any, **info: Any) -> None:
        self.results.append({key: result[key] for key in KEPT})

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        self.ended.append(trial)

    def on_step_end(self, iteration: int, trials: Any, **info: Any) -> None:
        while self.ended:
            trial = self.ended.pop()
            forget(trial, trial.placement_group_factory)


class Watched(SynchronousHyperBand):
    """Notes how many actors Tune would keep, before and after each trial is added."""

    def on_trial_add(self, tune_controller: Any, trial: Trial) -> None:
        cache = tune_controller.stop_trial.__self__._actor_cache
        before = cache.total_max_objects
        super().on_trial_add(tune_controller, trial)
        self.kept = [*getattr(self, "kept", []), cache.total_max_objects - before]


def search(
    scheduler: type[SynchronousHyperBand], folder: Path, trials: int
) -> tuple[Any, list[dict[str, Any]], TuneError | None]:
    """Run a search on Tune as the engine does, without frames; gives scheduler, results and why it ended."""
    sweep = {"max_steps": LADDER.max_steps, "folds": 1, "metric": "accuracy", "ledger": str(folder / "fatal")}
    searcher = SweepSearcher(
        Proposer(), LADDER, trials, learns=False, sweep=sweep, on_trial=lambda number, pipeline: None
    )
    resources, slots = trial_resources()
    used = scheduler(searcher, LADDER, slots, time_attr="steps", metric="score", mode="max")
    follow = Follow()
    tuner = tune.Tuner(
        tune.with_resources(QuickTrial, tune.PlacementGroupFactory([resources])),
        tune_config=tune.TuneConfig(
            search_alg=searcher, scheduler=used, num_samples=trials, reuse_actors=True
        ),
        run_config=tune.RunConfig(
            name="search",
            storage_path=str(folder),
            verbose=0,
            callbacks=[follow],
            failure_config=tune.FailureConfig(max_failures=3),
        ),
    )
    try:
        tuner.fit()
    except TuneError as error:
        return used, follow.results, error
    return used, follow.results, None


def test_brackets_do_not_depend_on_timing_nor_on_a_process_that_dies(tmp_path: Path) -> None:
    """Of brackets of 9, 5, 3 and the first five of 9 a third goes on from each rung: the last, here."""
    (tmp_path / "fatal").touch()
    scheduler, results, error = search(Watched, tmp_path, 22)
    assert error is None
    assert not (tmp_path / "fatal").exists()
    rungs = {1: [*range(9), *range(17, 22)], 3: [6, 7, 8, *range(9, 14), 19, 20, 21]}
    rungs[9] = [8, 12, 13, 14, 15, 16, 21]
    found = {(result["trial"], result["steps"]) for result in results}
    assert found == {(trial, steps) for steps, trials in rungs.items() for trial in trials}
    assert all(result["ended"] is None for result in results)
    assert scheduler.lost_count == ""
    _, slots = trial_resources()
    assert scheduler.kept == [slots] + [0] * (len(scheduler.kept) - 1)
    assert len({result["pid"] for result in results}) < 22 / 2  # actors are used again
    assert all(result["environment"] == trial_environment() for result in results)


def test_what_tunes_part_stumbles_over_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tune ends the search with an error that holds no more than text."""
    calls = []

    def stumbles(self: Any, *arguments: object) -> str:
        calls.append(arguments)
        if len(calls) > 2:
            raise AssertionError("Current band\nis filled!")
        return str(HyperBandForBOHB.PAUSE)

    monkeypatch.setattr(HyperBandForBOHB, "on_trial_result", stumbles)
    scheduler, _, error = search(SynchronousHyperBand, tmp_path, 9)
    assert isinstance(error, TuneError)
    assert scheduler.lost_count == "AssertionError Current band is filled!"


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("on_trial_result", (None, None, {})),
        ("on_trial_complete", (None, None, {})),
        ("on_trial_remove", (None, None)),
        ("choose_trial_to_run", (None,)),
    ],
)
def test_every_call_of_tunes_is_watched(
    name: str, arguments: tuple[Any, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumbles(*_: object, **__: object) -> None:
        raise AssertionError(name)

    monkeypatch.setattr(HyperBandForBOHB, name, stumbles)
    scheduler = SynchronousHyperBand(None, LADDER, 1, time_attr="steps", metric="score", mode="max")
    for _ in range(2):
        with pytest.raises(AssertionError):
            getattr(scheduler, name)(*arguments)
    assert scheduler.lost_count == f"AssertionError {name}"
    scheduler.on_trial_error(None, None)  # keeps the place of the trial, whatever it is


def test_a_trial_that_is_put_back_keeps_its_place() -> None:
    class Controller:
        _actor_cache = SimpleNamespace(increase_max=lambda resources, by: None)

        def stop_trial(self, trial: Trial) -> None:
            raise AssertionError

    searcher = SweepSearcher(
        Proposer(), LADDER, 22, learns=False, sweep={}, on_trial=lambda number, pipeline: None
    )
    scheduler = SynchronousHyperBand(searcher, LADDER, 1, time_attr="steps", metric="score", mode="max")
    trials = [Trial("QuickTrial", config={"trial": n}, trial_id=f"a_{n:05}", stub=True) for n in range(22)]
    for trial in [*trials[:6], *trials[:3], *trials[6:], *trials]:
        scheduler.on_trial_add(Controller(), trial)
    brackets = {id(bracket): bracket for bracket, _ in scheduler._trial_info.values()}
    assert [len(b._all_trials) for b in brackets.values()] == [9, 5, 3, 5]
    assert [b._n0 for b in brackets.values()] == [9, 5, 3, 9]
