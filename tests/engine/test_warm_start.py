"""Sweeps that begin with what another found."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from sweeper.runs.folder import RunFolder
from sweeper.runs.records import Scored
from sweeper.runs.spec import make_spec
from tests.runs.made_records import Records, made_trial, write_journal

Cli = Callable[..., subprocess.CompletedProcess[str]]
SETTINGS = ("--folds", 2, "--seed", 5)


@dataclass(frozen=True)
class Warm:
    """A sweep that began with the best of another run.

    Attributes
    ----------
    run, other : Path
        Their folders. The other's journal is made up.
    expected : list of str
        Ids of the pipelines that it should begin with.
    said : str
        What it printed.
    """

    run: Path
    other: Path
    expected: list[str]
    said: str


def swept(run_cli: Cli, *arguments: object) -> str:
    done = run_cli("run", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def pipelines(run: Path) -> list[str]:
    """Ids of the pipelines of the trials, in their order."""
    results = RunFolder(run).results()
    return [results.pipeline(trial).id for trial in sorted(results.trials)]


@pytest.fixture(scope="module")
def warm(run_cli: Cli, textures: Path, tiny_space: Path, tmp_path_factory: pytest.TempPathFactory) -> Warm:
    root = tmp_path_factory.mktemp("warm")
    other = RunFolder(root / "first")
    other.path.mkdir()
    spec = make_spec("/other/frames", tiny_space)
    other.claim(spec)
    # Of one kind each, and so in the order of their scores; those between did not reach the full budget.
    first = [
        next(p for p in spec.search_space.grid() if p.name == name) for name in ("histogram+svm", "glcm+rf")
    ]
    records: Records = made_trial(0, first[1], 0.7, 0.7) + made_trial(1, first[0], 0.9, 0.9)
    for number, pipeline in enumerate(list(spec.search_space.grid())[1:9], 2):
        records += made_trial(number, pipeline, 1.0, 1.0, budget=1 / 9)
    write_journal(other.journal, records)
    said = swept(
        run_cli, textures, "--space", tiny_space, "--out", root / "second", "--trials", 5, *SETTINGS,
        "--warm-start", other.path,
    )  # fmt: skip
    return Warm(root / "second", other.path, [pipeline.id for pipeline in first], said)


def test_its_first_trials_are_the_best_of_the_other(warm: Warm) -> None:
    tried = pipelines(warm.run)
    assert tried[:2] == warm.expected
    assert len(set(tried)) == len(tried) == 5
    note = f"the sweep begins with the best 2 pipelines of {warm.other}"
    assert f"note: {note}\n" in warm.said
    assert note in RunFolder(warm.run).read_environment()["notes"]


def test_they_are_evaluated_on_the_frames_of_the_sweep(warm: Warm) -> None:
    results = RunFolder(warm.run).results()
    outcomes = [record.outcome for record in results.evaluations(0, 1 / 9)]
    assert [outcome.n_validation for outcome in outcomes if isinstance(outcome, Scored)] == [18, 18]


def test_the_same_command_goes_on_when_the_other_is_gone(
    warm: Warm, run_cli: Cli, textures: Path, tiny_space: Path, tmp_path: Path
) -> None:
    run = tmp_path / "copy"
    shutil.copytree(warm.run, run)
    gone = warm.other.rename(warm.other.with_name("gone"))
    try:
        said = swept(
            run_cli, textures, "--space", tiny_space, "--out", run, "--trials", 7, *SETTINGS,
            "--warm-start", warm.other,
        )  # fmt: skip
    finally:
        gone.rename(warm.other)
    assert pipelines(run)[:5] == pipelines(warm.run)
    assert len(pipelines(run)) == 7
    assert " 0 from the journal" not in said
