"""Conformance checks: what every plugin must do, for its author to run.

``sweeper check-plugin FILE`` runs them, and so do Sweeper's own tests on the plugins that come with it. A
check is a function of one plugin that raises :class:`CheckFailed`; each module here lists those of its kind.
"""

from sweeper.testing.checks import Check as Check
from sweeper.testing.checks import CheckFailed as CheckFailed
from sweeper.testing.checks import Outcome as Outcome
from sweeper.testing.checks import outcome_of as outcome_of
