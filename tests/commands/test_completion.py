"""``sweeper completion``: what shells complete."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from sweeper import plugins
from sweeper.cli import main
from sweeper.commands.completion import SHELLS
from sweeper.evaluate.metrics import RANKED_BY
from sweeper.plugins import search_names

ASK = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMPREPLY=()
_shtab_sweeper sweeper "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def script(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    assert main(["completion", "bash"]) == 0
    path = tmp_path / "sweeper.bash"
    path.write_text(capsys.readouterr().out)
    return path


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
@pytest.mark.parametrize(
    ("words", "completed"),
    [
        (["le"], ["leaderboard"]),
        (["run", "--sea"], ["--search"]),
        (["run", "--search", ""], list(search_names())),
        (["plan", "frames", "--metric", ""], list(RANKED_BY)),
        (["submit", "frames", "--space", ""], list(plugins.space_names())),
        (["run", "frames", "--preset", "b"], ["balanced", "best"]),
        (["list", "fea"], ["featurizers"]),
        (["leaderboard", "--best-per", "c"], ["classifier"]),
        (["simulate", "d"], ["diffraction"]),
        (["leaderboard", "r"], ["run"]),  # a folder, not the file beside it
        (["run", "rea"], ["readme.csv"]),
    ],
)
def test_bash_completes(words: list[str], completed: list[str], script: Path, tmp_path: Path) -> None:
    folder = tmp_path / "work"
    (folder / "run").mkdir(parents=True)
    (folder / "readme.csv").write_text("")
    done = subprocess.run(
        ["bash", "-c", ASK, "bash", str(script), "sweeper", *words],
        capture_output=True,
        text=True,
        timeout=30,
        cwd=folder,
    )
    assert done.stdout.split() == completed, done.stderr


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_has_every_option(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    for text in ("leaderboard", "time-budget", "best-per", "diffranet", "precision_weighted"):
        assert text in script


def test_no_other_shell(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "cmd"]) == 2
    assert "invalid choice: 'cmd'" in capsys.readouterr().err
