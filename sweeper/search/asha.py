"""ASHA: random draws, promoted to larger budgets as results come in."""

from __future__ import annotations

from sweeper.api import Search

from .random import RandomProposer

SEARCH = Search(
    name="asha",
    version=1,
    source="Li et al., MLSys 2020, Algorithm 2",
    proposer=RandomProposer,
    doc="tries pipelines at random, and stops poor ones early without waiting for others; the leaderboard "
    "depends on timing",
    early_stopping="asynchronous",
)
"""Proposes as random search does. Which trials are promoted depends on the order in which they end."""
