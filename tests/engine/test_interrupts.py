"""Interrupts that get lost while Ray runs."""

from __future__ import annotations

import signal

import pytest

from sweeper.engine import cluster


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_that_gets_lost_comes_back() -> None:
    """Python drops what is raised inside a destructor: the next look at it raises again."""

    class Dies:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGINT)

    # Where a script started the tests in its background, SIGINT is ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with cluster._interruptible():
            cluster.check_interrupted()
            Dies()
            with pytest.raises(KeyboardInterrupt):
                cluster.check_interrupted()
        with cluster._interruptible():
            cluster.check_interrupted()
    finally:
        signal.signal(signal.SIGINT, before)
