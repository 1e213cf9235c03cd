"""The wheel that people install: what it holds, and that it works by itself, away from the clone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from tests.conftest import REPOSITORY

pytestmark = pytest.mark.slow

SOURCES = (
    "sweeper", "featurizers", "classifiers", "search_spaces",
    "pyproject.toml", "setup.py", "README.md", "LICENSE",
)  # fmt: skip


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy: building leaves folders beside the sources."""
    root = tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        source, target = REPOSITORY / name, root / "source" / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", "*.nbi", "*.nbc"))
        else:
            target.parent.mkdir(exist_ok=True)
            shutil.copy(source, target)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    built = subprocess.run(
        [*command, "--wheel-dir", str(root), str(root / "source")], capture_output=True, text=True
    )
    assert built.returncode == 0, built.stdout + built.stderr
    (found,) = root.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The ``bin`` of an environment with the wheel, that finds all libraries in this one."""
    root = tmp_path_factory.mktemp("installed")
    venv.create(root, with_pip=False)
    site = next(root.glob("lib/python*/site-packages"))
    # A folder that a .pth file names is searched, but not what its own .pth files name: no editable install.
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    command = [sys.executable, "-m", "pip", "--python", str(root / "bin" / "python"), "install", "--quiet"]
    done = subprocess.run(
        [*command, "--no-deps", "--ignore-installed", str(wheel)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return root / "bin"


def run(command: Path | str, *arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "SWEEPER", "VIRTUAL"))}
    return subprocess.run(
        [str(command), *map(str, arguments)],
        cwd=cwd,
        env={**environment, "COLUMNS": "160"},
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_it_claims_one_name_and_holds_what_is_not_python(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.partition("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"sweeper"}
    inside = set(names)
    wanted = [f"sweeper/search_spaces/{p.name}" for p in (REPOSITORY / "search_spaces").glob("*.yaml")]
    for folder in ("featurizers", "classifiers"):
        wanted += [f"sweeper/{folder}/{p.name}" for p in (REPOSITORY / folder).glob("*.py")]
    wanted += [
        "sweeper/py.typed",
        "sweeper/report/page.html",
        "sweeper/report/page.css",
        "sweeper/report/page.js",
    ]
    assert len(wanted) > 40
    assert set(wanted) <= inside
    assert not {name for name in names if "__pycache__" in name or name.endswith(".pyc")}


def test_it_is_the_one_that_runs(installed: Path, tmp_path: Path) -> None:
    code = "import sweeper, sweeper.featurizers as f; print(sweeper.__file__); print(f.__path__[0])"
    done = run(installed / "python", "-c", code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert all(Path(line).is_relative_to(installed.parent) for line in done.stdout.splitlines())


def test_it_lists_its_plugins_from_any_folder(installed: Path, tmp_path: Path) -> None:
    for folder in ("classifiers", "featurizers", "sweeper_of_mine"):
        (tmp_path / folder).mkdir()
    for command in ((installed / "sweeper",), (installed / "python", "-m", "sweeper")):
        done = run(*command, "list", "featurizers", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert {"glcm", "lbp", "histogram"} <= set(done.stdout.splitlines())


def test_it_sweeps_in_a_folder_of_the_users_own(
    installed: Path, tmp_path: Path, textures: Path, tiny_space: Path
) -> None:
    (tmp_path / "classifiers").mkdir()
    done = run(
        installed / "sweeper", "run", textures, "--space", tiny_space, "--trials", 3, "--folds", 2,
        "--out", "first", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    board = pd.read_csv(tmp_path / "first" / "leaderboard.csv")
    assert len(board) >= 3
    assert "failed" not in set(board.status)
    report = run(installed / "sweeper", "report", "first", cwd=tmp_path)
    assert report.returncode == 0, report.stderr
