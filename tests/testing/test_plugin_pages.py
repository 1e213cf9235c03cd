"""The pages that say how to add a plugin: every file on them works as it is printed."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from sweeper import plugins
from sweeper.space.file import load_space
from sweeper.testing.plugin import outcomes
from tests.conftest import REPOSITORY

SAVED = re.compile(r"ave this as `([^`]+)`.*?\n\n```(?:python|yaml)\n(.*?)```", re.DOTALL)
CHECKED = re.compile(r"^```text\n(\w+ \w+\n  ok .*?)```", re.DOTALL | re.MULTILINE)
PAGES = {
    "add_a_featurizer.md": {
        "my_plugins/radial_profile.py",
        "test_radial_profile.py",
        "my_plugins/profiles.yaml",
    },
    "add_a_network.md": {"my_plugins/allconv.py", "test_allconv.py", "my_plugins/convolutions.yaml"},
    "add_a_classifier.md": {"my_plugins/logistic.py", "my_plugins/lines.yaml"},
    "add_a_search.md": {"my_plugins/evolution.py"},
}


@pytest.fixture(autouse=True)
def _none_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(plugins.VARIABLE, "")


def saved(page: str, folder: Path) -> list[Path]:
    """Save the files of a page in a folder, as a reader would."""
    found = dict(SAVED.findall((REPOSITORY / "docs" / page).read_text()))
    assert set(found) == PAGES[page]
    for name, text in found.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return [folder / name for name in found]


@pytest.mark.parametrize("page", sorted(PAGES))
def test_the_files_of_a_page_work(page: str, tmp_path: Path) -> None:
    files = saved(page, tmp_path)
    plugins.add_folder(tmp_path / "my_plugins")
    for path in files:
        if path.name.startswith("test_"):
            command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(path)]
            done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
            assert done.returncode == 0, done.stdout
        elif path.suffix == ".yaml":
            assert load_space(path.stem).size > 1
        else:
            found = [outcome for _, outcome in outcomes(path)]
            assert [outcome for outcome in found if outcome.reason] == []
            for printed in CHECKED.findall((REPOSITORY / "docs" / page).read_text()):
                lines = [line.removeprefix("  ok").strip() for line in printed.splitlines()[1:-1]]
                assert lines == [outcome.name for outcome in found]
                assert printed.splitlines()[-1] == f"all {len(found)} checks passed"


def test_the_pages_are_typed(tmp_path: Path) -> None:
    for page in PAGES:
        saved(page, tmp_path)
    files = sorted(str(path) for path in (tmp_path / "my_plugins").glob("*.py"))
    command = [sys.executable, "-m", "mypy", *files]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.long
def test_the_search_of_its_page_runs_a_sweep(
    run_cli: Callable[..., subprocess.CompletedProcess[str]], textures: Path, tiny_space: Path, tmp_path: Path
) -> None:
    saved("add_a_search.md", tmp_path)
    plugins.add_folder(tmp_path / "my_plugins")
    run = tmp_path / "run"
    options = ("--search", "evolution", "--trials", 26, "--folds", 2, "--seed", 1, "--out", run)
    done = run_cli("run", textures, "--space", tiny_space, *options)
    assert done.returncode == 0, done.stderr
    board = pd.read_csv(run / "leaderboard.csv")
    trials = board[board.featurizer != "ensemble"]
    assert len(trials) == 26
    assert set(trials.status) == {"done"}
