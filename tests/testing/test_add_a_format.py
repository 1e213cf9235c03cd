"""The example of ``docs/add_a_format.md`` works as the page says."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sweeper.data import formats
from sweeper.data.dataset import load_dataset
from sweeper.data.frames import is_frame_file
from tests.conftest import REPOSITORY

BLOCKS = re.findall(r"```python\n(.*?)```", (REPOSITORY / "docs/add_a_format.md").read_text(), re.DOTALL)


def forget() -> None:
    formats.formats.cache_clear()
    formats._owners.cache_clear()


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """What the page's test module defines, with the page's format among the others."""
    folder = tmp_path / "formats"
    folder.mkdir()
    (folder / "fits.py").write_text(BLOCKS[0])
    monkeypatch.setattr(formats, "__path__", [*formats.__path__, str(folder)])
    forget()
    module: dict[str, Any] = {}
    try:
        exec(compile(BLOCKS[1], "test_fits.py", "exec"), module)
        yield module
    finally:
        monkeypatch.undo()
        sys.modules.pop("sweeper.data.formats.fits", None)
        forget()


def test_the_page_has_a_format_and_its_test() -> None:
    assert len(BLOCKS) == 2


def test_the_example_passes_its_own_test(example: dict[str, Any], tmp_path: Path) -> None:
    tests = [name for name in example if name.startswith("test_")]
    assert len(tests) == 2
    for name in tests:
        (tmp_path / name).mkdir()
        example[name](tmp_path / name)


def test_the_example_is_found_by_its_file_alone(example: dict[str, Any], tmp_path: Path) -> None:
    names = [format.name for format in formats.formats()]
    assert "fits" in names
    assert names == sorted(names)
    assert is_frame_file("a.FITS.gz")
    for label in ("a", "b"):
        (tmp_path / "data" / label).mkdir(parents=True)
        example["write"](tmp_path / "data" / label / "1.fts", np.ones((2, 4, 5), np.int32))
    assert len(load_dataset(tmp_path / "data")) == 4
