"""Bayesian optimisation by a Gaussian process, by expected improvement per second."""

from __future__ import annotations

from sweeper.api import Search

from .gp import GaussianProcessProposer

SEARCH = Search(
    name="gp_per_second",
    version=1,
    source="Snoek, Larochelle and Adams, NeurIPS 2012, section 3.2",
    doc="as gp, but learns what each choice costs, too, and prefers what is quick; the leaderboard depends "
    "on timing",
    proposer=GaussianProcessProposer,
    learns=True,
    counts_seconds=True,
)
"""Proposes as ``gp`` does, with what fits took among the observations."""
