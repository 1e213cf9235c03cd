"""Plugins from outside, in tests that leave none behind."""

from __future__ import annotations

import pytest

from sweeper import plugins


@pytest.fixture(autouse=True)
def _none_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(plugins.VARIABLE, "")
