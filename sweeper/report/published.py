"""What the two papers printed, as data."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from sweeper.yamlfile import read_yaml

STUDIES = {"camsortxs": "camsortxs", "diffranet": "diffranet", "deepfreak": "diffranet"}
"""Name of a search space to the paper that it is of."""


@cache
def published(paper: str) -> dict[str, Any]:
    """Numbers of a paper, ``camsortxs`` or ``diffranet``, as ``published.yaml`` has them."""
    found: dict[str, Any] = read_yaml(Path(__file__).with_name("published.yaml"))[paper]
    return found
