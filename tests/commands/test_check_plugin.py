"""``sweeper check-plugin``: the checks on a plugin of one's own."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from sweeper import plugins
from tests.conftest import REPOSITORY
from tests.plugins import outside

Cli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(autouse=True)
def _none_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(plugins.VARIABLE, "")


@pytest.mark.parametrize(
    ("file", "label"),
    [
        ("featurizers/rings.py", "featurizer rings"),
        ("classifiers/logistic.py", "classifier logistic"),
        ("search_spaces/mine.yaml", "space mine"),
    ],
)
def test_a_good_plugin_passes_every_check(run_cli: Cli, tmp_path: Path, file: str, label: str) -> None:
    done = run_cli("check-plugin", outside.write(tmp_path, nested=True) / file)
    assert done.returncode == 0, done.stdout + done.stderr
    first, *lines, last = done.stdout.splitlines()
    assert first == label
    assert all(line.startswith("  ok      ") for line in lines)
    assert last == f"all {len(lines)} checks passed"
    assert len(lines) >= 4
    assert done.stderr == ""


def test_a_failed_check_is_shown_with_its_reason(run_cli: Cli, tmp_path: Path) -> None:
    outside.write(tmp_path)
    path = tmp_path / "rings.py"
    path.write_text(
        outside.RINGS.replace('"""Mean intensity in rings around the centre of the frame."""', "import cv2")
    )
    done = run_cli("check-plugin", path)
    assert done.returncode == 2
    lines = done.stdout.splitlines()
    assert "  failed  it is documented: rings.py needs a docstring" in lines
    assert any(
        line.startswith("  failed  importing it loads no library: rings.py imports cv2") for line in lines
    )
    assert "  ok      it tells frames apart" in lines
    assert done.stderr.strip() == f"sweeper: {path}: 2 of 12 checks failed"


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("lost.py", None, "no such file"),
        ("notes.py", "x = 1\n", "no plugin"),
        ("notes.txt", "x", "no plugin"),
        ("broken.py", "import nowhere_to_be_found\nSEARCH = 1\n", "needs nowhere_to_be_found, which is not"),
        ("glcm.py", "FEATURIZER = 1\n", "is there twice"),
    ],
)
def test_a_file_that_is_no_plugin_is_refused_in_one_line(
    run_cli: Cli, tmp_path: Path, name: str, text: str | None, said: str
) -> None:
    path = tmp_path / name
    if text is not None:
        path.write_text(text)
    done = run_cli("check-plugin", path)
    assert done.returncode == 2
    (line,) = done.stderr.strip().splitlines()
    assert str(path) in line
    assert said in line


def test_plugins_of_the_installation_can_be_checked_too(run_cli: Cli) -> None:
    done = run_cli("check-plugin", REPOSITORY / "sweeper" / "search" / "random.py")
    assert done.returncode == 0, done.stderr
    assert "  ok      the same seed proposes the same" in done.stdout
