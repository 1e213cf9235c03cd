"""A Ray of the engine's own for tests of what runs on it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from sweeper.engine.cluster import connected


@pytest.fixture(scope="module")
def local_ray() -> Iterator[None]:
    """Ray with two cores in this process, as a sweep starts it."""
    before = dict(os.environ)
    with connected(None, 2):
        yield
    os.environ.clear()
    os.environ.update(before)
