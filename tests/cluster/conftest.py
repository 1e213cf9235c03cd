"""Tests on test hosts: left out unless SWEEPER_CLUSTER=1, which `make test-cluster` sets."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.cluster.hosts import missing


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is in this folder; say why it is left out."""
    here = Path(__file__).parent
    ours = [item for item in items if here in item.path.parents]
    if not ours:
        return
    why = missing() if os.environ.get("SWEEPER_CLUSTER") == "1" else "make test-cluster runs it"
    for item in ours:
        item.add_marker(pytest.mark.cluster)
        item.add_marker(pytest.mark.slow)
        if why:
            item.add_marker(pytest.mark.skip(reason=why))
