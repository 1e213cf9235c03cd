"""What `make bench` says of figures that got worse."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.conftest import REPOSITORY


@pytest.fixture
def compare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, with a file of results of its own."""
    spec = importlib.util.spec_from_file_location("compare", REPOSITORY / "benchmarks" / "compare.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "compare", module)
    spec.loader.exec_module(module)
    results = tmp_path / "RESULTS.md"
    results.write_text(f"# Results\n\n{module._BEGIN}\n\n## More\n")
    monkeypatch.setattr(module, "RESULTS", results)
    return module


def ran(folder: Path, **figures: float) -> str:
    folder.mkdir()
    (folder / "a.json").write_text(json.dumps({"glcm_speedup": 10.0, "unknown": 3, **figures}))
    return str(folder)


@pytest.mark.parametrize(
    ("figures", "worse"),
    [
        ({"p99_ms": 20.0}, ""),
        ({"p99_ms": 23.9}, ""),  # the noise is what two runs lay apart: 20 %
        ({"p99_ms": 24.1}, "p99_ms"),
        ({"p99_ms": 2.0}, ""),
        ({"p99_ms": 20.0, "glcm_speedup": 9.5}, ""),  # never less than 10 %
        ({"p99_ms": 20.0, "glcm_speedup": 8.9}, "glcm_speedup"),
        ({"p99_ms": 20.0, "glcm_speedup": 80.0}, ""),
        ({"p99_ms": 20.0, "score_difference": 1e-6}, "score_difference"),
        ({}, "p99_ms"),  # no longer measured
    ],
)
def test_what_is_worse_by_more_than_its_noise_is_said(
    compare: ModuleType,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    figures: dict[str, Any],
    worse: str,
) -> None:
    runs = [ran(tmp_path / name, p99_ms=p99, score_difference=0) for name, p99 in (("a", 18.0), ("b", 22.0))]
    assert compare.main([*runs, "--record"]) == 0
    assert compare.main([ran(tmp_path / "now", **{"score_difference": 0, **figures})]) == bool(worse)
    said = capsys.readouterr().out
    assert ("worse by more than its noise: " + worse in said) == bool(worse)


def test_recording_again_keeps_the_rest_of_the_page(compare: ModuleType, tmp_path: Path) -> None:
    for name in ("a", "b"):
        assert compare.main([ran(tmp_path / name), "--record"]) == 0
    text = compare.RESULTS.read_text()
    assert text.startswith("# Results\n") and text.endswith("\n\n## More\n")
    assert text.count("| `glcm_speedup` | higher | 10 | 10 % |") == 1
