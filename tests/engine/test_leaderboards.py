"""Whole sweeps over simulated frames give the leaderboards that earlier code gave."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.engine.leaderboards import check_unchanged

Cli = Callable[..., subprocess.CompletedProcess[str]]


def sweep(run_cli: Cli, data: Path, out: Path, *options: object) -> None:
    done = run_cli("run", data, "--out", out, *options, timeout=900)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def demo_frames(run_cli: Cli, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The frames of ``make demo``."""
    frames = tmp_path_factory.mktemp("demo") / "frames"
    done = run_cli("simulate", "diffraction", frames, "--per-class", 60, "--size", 256, "--seed", 1)
    assert done.returncode == 0, done.stderr
    return frames


ALONE = ("--set", "combine.most=1")


@pytest.mark.long
@pytest.mark.parametrize(("name", "space"), [("demo", ("quick", *ALONE)), ("diffranet", ("diffranet",))])
def test_sweeps_over_simulated_frames(
    run_cli: Cli, demo_frames: Path, tmp_path: Path, name: str, space: tuple[str, ...]
) -> None:
    sweep(run_cli, demo_frames, tmp_path / "run", "--space", *space, "--trials", 60, "--seed", 1)
    check_unchanged(tmp_path / "run", name)
