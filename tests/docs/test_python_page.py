"""The page on Python: every snippet of it runs, one after the other, and prints what the page says."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import ray

import sweeper
from sweeper import plugins
from tests.conftest import REPOSITORY
from tests.plugins import outside

PAGE = REPOSITORY / "docs" / "python.md"
SNIPPET = re.compile(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def somewhere(textures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A current folder with what the page speaks of."""
    (tmp_path / "frames").symlink_to(textures)
    outside.write(tmp_path / "my_plugins")
    monkeypatch.setenv(plugins.VARIABLE, "")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.long
def test_every_snippet_runs_and_prints_what_the_page_says(somewhere: Path) -> None:
    snippets = SNIPPET.findall(PAGE.read_text())
    assert len(snippets) == PAGE.read_text().count("```python\n") >= 8
    assert sum(bool(said) for _, said in snippets) == PAGE.read_text().count("```text\n") >= 3
    names: dict[str, Any] = {}
    ray.init(
        num_cpus=2, include_dashboard=False, log_to_driver=False
    )  # one Ray for most of them: it is quick
    try:
        for code, said in snippets:
            if "ray.init(" in code:
                ray.shutdown()
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(compile(code, str(PAGE), "exec"), names)
            assert not said or printed.getvalue() == said
    finally:
        ray.shutdown()
    check_outcomes(names)


def check_outcomes(names: dict[str, Any]) -> None:
    """Check what the page promises of the objects that its snippets made."""
    first = sweeper.open_run("runs/first")
    assert (first.leaderboard().trial >= 0).sum() == 8
    assert first.status().evaluations_failed == 0
    mine = sweeper.open_run("runs/mine").leaderboard()
    assert {*mine.featurizer} <= {"rings", "histogram", "ensemble"}
    assert {"rings", "logistic"} <= {*mine.featurizer, *mine.classifier}
    assert isinstance(names["board"], pd.DataFrame)
    assert {"path", "label", "predicted"} <= {*names["wrong"].columns}
    assert len(names["features"]) == 36
    assert names["page"] == Path("runs/first/report.html")
    assert names["page"].exists()
