"""The current folder: a user's own files there are never imported, whatever their names."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

COMMANDS = {
    "module": (sys.executable, "-m", "sweeper"),
    "script": (str(Path(sys.executable).with_name("sweeper")),),
}
FILES = (
    "random.py", "numpy.py", "pandas.py", "sklearn.py", "yaml.py", "rich.py", "errors.py", "plugins.py",
    "classifiers/__init__.py", "classifiers/rf.py", "featurizers/__init__.py", "featurizers/glcm.py",
    "search_spaces/__init__.py", "search_spaces/quick.yaml",
)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder full of traps: each file that is imported says so in ``ran``."""
    folder = tmp_path / "here"
    for name in FILES:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"open({str(tmp_path / 'ran')!r}, 'a').write({name + ' '!r})\n")
    return folder


def sweeper(kind: str, folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONSAFEPATH")}
    return subprocess.run(
        [*COMMANDS[kind], *map(str, arguments)],
        cwd=folder,
        env={**environment, "COLUMNS": "160"},
        capture_output=True,
        text=True,
        timeout=240,
    )


def test_the_traps_work(folder: Path) -> None:
    """Else the tests below hold for the wrong reason."""
    subprocess.run([sys.executable, "-c", "import random, numpy, classifiers.rf"], cwd=folder, check=True)
    assert (folder.parent / "ran").read_text().split() == [
        "random.py", "numpy.py", "classifiers/__init__.py", "classifiers/rf.py"
    ]  # fmt: skip


@pytest.mark.parametrize("kind", sorted(COMMANDS))
@pytest.mark.parametrize(
    ("what", "name"), [("classifiers", "rf"), ("featurizers", "glcm"), ("spaces", "quick")]
)
def test_listing_imports_nothing_of_the_current_folder(folder: Path, kind: str, what: str, name: str) -> None:
    done = sweeper(kind, folder, "list", what)
    assert done.returncode == 0, done.stderr
    assert any(line.startswith(name) for line in done.stdout.splitlines())
    assert not (folder.parent / "ran").exists()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["script", pytest.param("module", marks=pytest.mark.long)])
def test_a_sweep_imports_nothing_of_the_current_folder(
    folder: Path, kind: str, textures: Path, tiny_space: Path
) -> None:
    """In workers neither, to whose import path Ray adds the driver's folder unless it is told not to."""
    done = sweeper(
        kind, folder, "run", textures, "--space", tiny_space, "--trials", 3, "--folds", 2, "--out", "run"
    )
    assert done.returncode == 0, done.stderr
    assert not (folder.parent / "ran").exists()
    board = pd.read_csv(folder / "run" / "leaderboard.csv")
    assert "failed" not in set(board.status)
