"""HyperBand: random draws, halved in brackets of budgets."""

from __future__ import annotations

from sweeper.api import Search

from .random import RandomProposer

SEARCH = Search(
    name="hyperband",
    version=1,
    source="Li et al., JMLR 18 (2018) 185, Algorithm 1",
    proposer=RandomProposer,
    doc="tries pipelines at random, and stops poor ones early",
    early_stopping="synchronous",
)
"""Proposes as random search does; each bracket of trials is halved once all of its trials are there."""
