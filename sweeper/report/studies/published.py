"""Figures that the two papers print, as data, and the section that sets them beside a run."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from sweeper.report.content import Block, Section, Text
from sweeper.yamlfile import read_yaml

STUDIES = {"camsortxs": "camsortxs", "diffranet": "diffranet", "deepfreak": "diffranet"}
"""Name of a search space to the paper that it is of."""


def study_section(paper: str, n_frames: int | None, parts: list[Block], note: str = "") -> Section:
    """The section of a paper's tables and figures; empty without any."""
    numbers = published(paper)
    title = f"{numbers['short']}'s tables and figures"
    if not parts:
        return Section("study", title)
    intro = Text(
        f"{numbers['citation']}. Numbers in the paper's columns are as printed, on {numbers['frames']}; this "
        f"run had {n_frames or 0:,} frames of its own.{note}",
        "note",
    )
    return Section("study", title, [intro, *parts], "Paper")


@cache
def published(paper: str) -> dict[str, Any]:
    """Numbers of a paper, ``camsortxs`` or ``diffranet``, as ``published.yaml`` has them."""
    found: dict[str, Any] = read_yaml(Path(__file__).with_name("published.yaml"))[paper]
    return found
