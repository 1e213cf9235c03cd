"""The page of file formats says what the code says."""

from __future__ import annotations

from sweeper.commands.formats_page import page
from sweeper.data.formats import formats
from tests.conftest import REPOSITORY


def test_the_page_of_formats_is_current() -> None:
    assert (REPOSITORY / "docs/formats.md").read_text(encoding="utf-8") == page(), "run make docs"


def test_the_page_has_a_row_for_each_format_with_all_its_suffixes() -> None:
    rows = [line for line in page().splitlines() if line.startswith("| **")]
    assert len(rows) == len(formats())
    for row, format in zip(rows, formats(), strict=True):
        assert row.count(" | ") == 5
        assert all(f"`{suffix}`" in row for suffix in format.suffixes)
