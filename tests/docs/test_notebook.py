"""The notebook: it runs from start to end, prints what it is saved with, and shows how far a sweep is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from tests.conftest import REPOSITORY

NOTEBOOK = REPOSITORY / "docs" / "first_sweep.ipynb"


class Watched(NotebookClient):
    """Runs a notebook, and keeps the HTML of everything that it showed on the way."""

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self.shown: list[str] = []

    def process_message(self, msg: Any, cell: Any, cell_index: int) -> Any:
        self.shown.append(msg["content"].get("data", {}).get("text/html", ""))
        return super().process_message(msg, cell, cell_index)


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Watched:
    folder = tmp_path_factory.mktemp("notebook")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = Watched(notebook, timeout=300, resources={"metadata": {"path": str(folder)}})
    client.execute()
    return client


def kinds(notebook: Any) -> list[list[tuple[str, list[str]]]]:
    """Of each cell the kinds of its outputs."""
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    return [[(out.output_type, sorted(out.get("data", ()))) for out in cell.outputs] for cell in cells]


def tables(notebook: Any) -> list[str]:
    """The tables in its outputs, as text."""
    outputs = [out for cell in notebook.cells for out in cell.get("outputs", ())]
    data = [out.get("data", {}) for out in outputs]
    return [one["text/plain"] for one in data if "<table" in one.get("text/html", "")]


@pytest.mark.long
def test_it_prints_what_it_is_saved_with(watched: Watched) -> None:
    saved = nbformat.read(NOTEBOOK, as_version=4)
    assert kinds(watched.nb) == kinds(saved)
    assert tables(watched.nb) == tables(saved)
    assert len(tables(saved)) >= 3


@pytest.mark.long
def test_it_shows_how_far_the_sweep_is_and_then_the_leaderboard(watched: Watched) -> None:
    bars = [
        float(share) for html in watched.shown for share in re.findall(r'<progress value="([\d.]+)"', html)
    ]
    assert bars == sorted(bars)
    assert any(0 < share < 1 for share in bars)
    [cell] = [cell for cell in watched.nb.cells if "sweeper.run(" in cell.source]
    progress, board = (out.data for out in cell.outputs)
    assert "12 of 12 trials finished" in progress["text/plain"]
    assert "<progress" not in progress["text/html"]
    assert "<table" in board["text/html"]


def test_nothing_of_this_machine_is_saved() -> None:
    text = Path(NOTEBOOK).read_text()
    assert str(Path.home()) not in text
    assert "/tmp" not in text
