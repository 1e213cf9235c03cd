"""What goes wrong in a task or an actor, as the driver sees it: our own errors, each as itself."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.exceptions import ObjectStoreFullError, OutOfDiskError, RayTaskError

from sweeper.engine.causes import cause_of
from sweeper.engine.ledger import Ledger, LedgerActor
from sweeper.engine.search import open_journal
from sweeper.engine.tune.trial import FAILED_SCORE, SweepTrial
from sweeper.errors import (
    BadFramesError,
    DeadlineError,
    DivergedError,
    FaultError,
    FrameError,
    InputError,
    JournalError,
    NoRoomError,
    UnequalNodeError,
)
from sweeper.runs.records import Evaluation, Trial
from tests.conftest import full_disk
from tests.runs.made_records import (
    made_epoch,
    made_evaluation,
    made_failure,
    made_fit,
    made_pipeline,
    made_score,
)
from tests.runs.test_journal import OLD_LINE

pytestmark = pytest.mark.usefixtures("local_ray")

OURS = [
    JournalError("run/journal.jsonl: No space left on device; nothing recorded is lost"),
    UnequalNodeError("node 10.0.0.2: tifffile must be 2026.3.3, it is 2020.1.1"),
    DeadlineError(),
    DivergedError("loss is not finite at epoch 3"),
    InputError("seed must be a number, got 'x'"),
    FrameError("frame.tif", "cannot be read"),
    BadFramesError("frames", [("frame.tif", "cannot be read"), ("b.tif", "no pixels")]),
    NoRoomError(),
    FaultError("Traceback (most recent call last):\n  ..."),
]


@ray.remote
def fails(error: Exception) -> None:
    raise error


@ray.remote(num_cpus=0)
class Failing:
    def fail(self, error: Exception) -> None:
        raise error


@cache
def failing() -> Any:
    """One actor for all tests: each is a process to start."""
    return Failing.remote()


def raised(error: Exception, by: str) -> Exception:
    """The error as `ray.get` raises it."""
    ref = fails.remote(error) if by == "task" else failing().fail.remote(error)
    with pytest.raises(RayTaskError) as found:
        ray.get(ref)
    return found.value


@pytest.mark.parametrize("by", ["task", "actor"])
@pytest.mark.parametrize("error", OURS, ids=lambda error: type(error).__name__)
def test_an_error_arrives_as_itself(error: Exception, by: str) -> None:
    cause = cause_of(raised(error, by))
    assert type(cause) is type(error)
    assert str(cause) == str(error)
    assert vars(cause) == vars(error)


@pytest.mark.parametrize("error", [OutOfDiskError("full"), ObjectStoreFullError("full")])
def test_a_full_store_is_said_in_our_words(error: Exception) -> None:
    for found in (error, raised(error, "task")):
        assert isinstance(cause_of(found), NoRoomError)


def test_an_error_that_is_no_tasks_is_its_own_cause() -> None:
    error = ValueError("no")
    assert cause_of(error) is error


# --------------------------------------------------------------------------- the journal's writer

PIPELINE = made_pipeline()


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Callable[[], Any]]:
    """Starts ledgers of one run folder, and ends them."""
    started = []

    def start() -> Any:
        ledger = LedgerActor.remote(tmp_path / "journal.jsonl", tmp_path / "predictions", "accuracy", 2)
        started.append(ledger)
        return ledger

    yield start
    for actor in started:
        ray.kill(actor)


def test_the_ledger_records_and_finds_again(tmp_path: Path, ledger: Callable[[], Any]) -> None:
    first, second = (made_evaluation(PIPELINE, fold) for fold in (0, 1))
    fit = made_fit("lenet", {"size": 32})
    writer = ledger()
    assert open_journal(writer) == 0
    assert ray.get(writer.append_trial.remote(Trial.of(0, PIPELINE)))
    assert not ray.get(writer.append_trial.remote(Trial.of(0, made_pipeline("lbp"))))
    for record in (first, first):
        ray.get(writer.append.remote(record, None))
    for training in (fit, made_epoch(fit, 1), made_epoch(fit, 1), fit):
        ray.get(writer.append_training.remote(training))
    assert ray.get(writer.lookup.remote([first.key, second.key])) == [first, None]
    assert ray.get(writer.counts.remote()) == (1, 0, 1)
    ray.get(writer.close.remote())
    again = ledger()
    assert open_journal(again) == 0
    assert ray.get(again.lookup.remote([first.key])) == [first]
    assert ray.get(again.counts.remote()) == (0, 1, 0)
    ray.get(again.close.remote())


def test_why_a_fit_failed_is_kept_until_it_does_not(ledger: Callable[[], Any]) -> None:
    writer = ledger()
    assert ray.get(writer.failure.remote("key")) is None
    ray.get(writer.fail.remote("key", DivergedError("loss is not finite")))
    assert isinstance(ray.get(writer.failure.remote("key")), DivergedError)
    ray.get(writer.fail.remote("key", None))
    assert ray.get(writer.failure.remote("key")) is None


def test_a_journal_of_another_format_is_wrong_input(tmp_path: Path, ledger: Callable[[], Any]) -> None:
    """A sweep asks before it starts Ray; another one may have come in between."""
    path = tmp_path / "journal.jsonl"
    path.write_bytes(OLD_LINE)
    with pytest.raises(InputError) as refused:
        open_journal(ledger())
    assert type(refused.value) is InputError
    assert str(refused.value).startswith(f"{path}: must be a journal of format ")
    assert path.read_bytes() == OLD_LINE


class LedgerOnAFullDisk(Ledger):
    """There is no room for the first line of the journal."""

    def open(self) -> int:
        with full_disk(10):
            return super().open()


def test_a_journal_that_cannot_be_begun_is_said_in_a_line(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    writer = ray.remote(num_cpus=0)(LedgerOnAFullDisk).remote(path, tmp_path / "predictions", "accuracy", 2)
    with pytest.raises(JournalError) as failed:
        open_journal(writer)
    assert type(failed.value) is JournalError
    assert str(failed.value) == f"{path}: File too large; nothing recorded is lost"
    assert path.read_bytes() == b""


# --------------------------------------------------------------------------- a trial's result


class Asked:
    """An evaluator that answers what it is told to."""

    def __init__(self, answer: Callable[[], list[Evaluation]]) -> None:
        self.answer = answer

    def evaluate(self, *arguments: object) -> list[Evaluation]:
        return self.answer()


def step(answer: Callable[[], list[Evaluation]], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The result of a trial's first rung, as it reaches the driver: pickled."""
    monkeypatch.setattr(SweepTrial, "_get_evaluator", lambda self: Asked(answer))
    sweep = {"max_steps": 9, "folds": 2, "metric": "kappa", "ledger": "none"}
    trial = SweepTrial(
        {
            "trial": 4,
            "pipeline": json.dumps(PIPELINE.to_dict()),
            "steps": [3, 9],
            "sweep": json.dumps(sweep),
        }
    )
    result = trial.step()
    assert (result["trial"], result["name"], result["steps"], result["budget"]) == (4, "glcm+rf", 3, 1 / 3)
    found: dict[str, Any] = pickle.loads(pickle.dumps(result))
    return found


def raising(error: Exception) -> Callable[[], list[Evaluation]]:
    def answer() -> list[Evaluation]:
        raise error

    return answer


@pytest.mark.parametrize("by", ["itself", "task", "actor"])
@pytest.mark.parametrize("error", OURS[:3], ids=lambda error: type(error).__name__)
def test_what_ends_a_sweep_is_the_result_of_its_trial(
    error: Exception, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a task or an actor it comes without Ray's traceback: a person reads it."""
    result = step(raising(error if by == "itself" else raised(error, by)), monkeypatch)
    assert type(result["ended"]) is type(error)
    assert str(result["ended"]) == str(error)
    assert result["score"] == FAILED_SCORE


@pytest.mark.parametrize("by", ["itself", "task", "actor"])
@pytest.mark.parametrize("error", [ValueError("a mistake"), AssertionError()], ids=lambda e: type(e).__name__)
def test_a_mistake_of_ours_is_a_fault_with_its_traceback(
    error: Exception, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = step(raising(error if by == "itself" else raised(error, by)), monkeypatch)["ended"]
    assert isinstance(ended, FaultError)
    assert str(ended).startswith("Traceback")
    assert type(error).__name__ in str(ended)


def test_folds_that_were_evaluated_give_a_score(monkeypatch: pytest.MonkeyPatch) -> None:
    scored = [made_evaluation(PIPELINE, fold, accuracy) for fold, accuracy in enumerate((0.5, 0.8))]
    result = step(lambda: scored, monkeypatch)
    assert result["ended"] is None
    assert result["score"] == pytest.approx(0.65 - 0.04)  # kappa
    failed = made_evaluation(PIPELINE, 1, made_failure())
    assert step(lambda: [scored[0], failed], monkeypatch)["score"] == FAILED_SCORE
    undefined = made_evaluation(PIPELINE, 1, made_score(None))
    assert step(lambda: [scored[0], undefined], monkeypatch)["score"] == pytest.approx(0.46)
    assert step(lambda: [undefined], monkeypatch)["score"] == FAILED_SCORE
