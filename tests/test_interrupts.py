"""Interrupts that get lost or come in numbers."""

from __future__ import annotations

import signal

import pytest

from sweeper import interrupts


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_that_gets_lost_comes_back() -> None:
    """Python drops what is raised inside a destructor: the next look at it raises again."""

    class Dies:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGINT)

    # Where a script started the tests in its background, SIGINT is ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with interrupts.interruptible():
            interrupts.check_interrupted()
            Dies()
            with pytest.raises(KeyboardInterrupt):
                interrupts.check_interrupted()
        with interrupts.interruptible():
            interrupts.check_interrupted()
    finally:
        signal.signal(signal.SIGINT, before)
