"""Conformance checks: what every plugin must do, for its author to run; each names the rule that was broken.

``sweeper check-plugin FILE`` runs them, and so do Sweeper's own tests on the plugins that come with it. A
check is a function of one plugin that raises CheckFailedError; each module here lists those of its kind.
"""
