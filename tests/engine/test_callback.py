"""What Tune keeps of trials that have ended; interrupts that get lost."""

from __future__ import annotations

import pickle
import signal
from typing import Any

import pytest
from ray.tune.execution.placement_groups import PlacementGroupFactory
from ray.tune.experiment import Trial

from sweeper.engine import cluster
from sweeper.engine.tune.callback import forget

RESOURCES = PlacementGroupFactory([{"CPU": 0, "trial_slot": 1}])


@pytest.fixture
def ended() -> Any:
    """A trial of Tune's own that has reported and ended."""
    trial = Trial("SweepTrial", config={"trial": 3}, trial_id="a_00003", stub=True)
    trial.placement_group_factory = PlacementGroupFactory([{"CPU": 0, "trial_slot": 1}])
    result = {f"number {i}": float(i) for i in range(20)}
    for step in (1, 2):
        trial.update_last_result(
            {**result, "training_iteration": step, "done": step == 2, "trial_id": "a_00003"}
        )
    trial.set_status(Trial.TERMINATED)
    return trial


def test_a_trial_that_ended_keeps_little(ended: Any) -> None:
    before = len(pickle.dumps(ended.run_metadata.__dict__))
    assert "number 7" in ended.run_metadata.metric_analysis
    forget(ended, RESOURCES)
    assert len(pickle.dumps(ended.run_metadata.__dict__)) < before / 4
    assert ended.metric_analysis == ended.metric_n_steps == {}
    assert ended.placement_group_factory is RESOURCES


def test_tune_can_still_ask_a_forgotten_trial(ended: Any) -> None:
    """The end of a search goes over all trials: their status, last result and state as JSON."""
    forget(ended, RESOURCES)
    assert ended.is_finished() and ended.has_reported_at_least_once
    assert ended.last_result == {"trial_id": "a_00003", "training_iteration": 2, "done": True}
    assert ended.checkpoint is None
    assert ended.get_json_state() == ("{}", "{}")
    assert ended.config == {"trial": 3}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_that_gets_lost_comes_back() -> None:
    """Python drops what is raised inside a destructor: the next look at it raises again."""

    class Dies:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGINT)

    # Where a script started the tests in its background, SIGINT is ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with cluster._interruptible():
            cluster.check_interrupted()
            Dies()
            with pytest.raises(KeyboardInterrupt):
                cluster.check_interrupted()
        with cluster._interruptible():
            cluster.check_interrupted()
    finally:
        signal.signal(signal.SIGINT, before)
