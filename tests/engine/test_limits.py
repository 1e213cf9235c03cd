"""Limits on time and memory that hold, in a process of their own."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time

import pytest

from tests.conftest import REPOSITORY

SETUP = """
import faulthandler, resource, signal, time
from sweeper.engine import limits as module
from sweeper.engine.limits import limits
from sweeper.errors import TimeLimitError
MB = 2**20
def state():
    timer = signal.getitimer(signal.ITIMER_REAL)
    return resource.getrlimit(resource.RLIMIT_DATA), signal.getsignal(signal.SIGALRM), timer
"""


def run(code: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", SETUP + textwrap.dedent(code)],
        capture_output=True,
        text=True,
        timeout=timeout,
        cwd=REPOSITORY,
    )


def test_time_ends_python_code_and_everything_is_as_before() -> None:
    done = run("""
        before = state()
        started = time.monotonic()
        try:
            with limits(0.3, 500 * MB):
                while True:
                    sum(range(1000))
        except TimeLimitError:
            print("ended after", time.monotonic() - started)
        assert state() == before, state()
        with limits(30, 500 * MB):  # once more, and in time
            pass
        assert state() == before, state()
        time.sleep(0.5)
        print("alive")
    """)
    assert done.returncode == 0, done.stderr
    first, last = done.stdout.splitlines()
    assert 0.3 <= float(first.split()[-1]) < 5
    assert last == "alive"


def test_time_ends_native_code_that_lets_signals_through() -> None:
    done = run("""
        try:
            with limits(0.3, 500 * MB):
                time.sleep(30)
        except TimeLimitError:
            print("ended")
    """)
    assert done.stdout == "ended\n", done.stderr


def test_native_code_that_holds_the_interpreter_is_ended_with_its_process() -> None:
    started = time.monotonic()
    done = run("""
        module.GRACE_S = 0.5
        with limits(0.3, 500 * MB):
            sum(range(10**13))  # one call into C, for days: no signal handler runs
        print("never")
    """)
    assert time.monotonic() - started < 50
    assert done.returncode != 0
    assert "never" not in done.stdout


def test_a_process_that_was_in_time_is_not_ended_later() -> None:
    done = run("""
        module.GRACE_S = 0.0
        with limits(0.2, 500 * MB):
            pass
        time.sleep(1)
        print("alive")
    """)
    assert done.stdout == "alive\n", done.stderr


def test_memory_raises_and_is_there_again_afterwards() -> None:
    done = run("""
        import numpy as np
        before = state()
        try:
            with limits(60, 100 * MB):
                small = np.ones(20 * MB, dtype=np.uint8)
                print("small")
                np.ones(400 * MB, dtype=np.uint8)
                print("never")
        except MemoryError:
            print("refused")
        assert state() == before, state()
        np.ones(400 * MB, dtype=np.uint8)
        try:
            with limits(60, 100 * MB):
                held = [bytearray(MB) for _ in range(1000)]
        except MemoryError:
            print("refused again")
    """)
    assert done.stdout.splitlines() == ["small", "refused", "refused again"], done.stderr


def test_a_limit_that_was_there_before_stays() -> None:
    done = run("""
        import numpy as np
        here = module._data_bytes()
        resource.setrlimit(resource.RLIMIT_DATA, (here + 150 * MB, resource.RLIM_INFINITY))
        before = state()
        try:
            with limits(60, 10_000 * MB):
                np.ones(400 * MB, dtype=np.uint8)
        except MemoryError:
            print("refused")
        assert state() == before, state()
    """)
    assert done.stdout == "refused\n", done.stderr


@pytest.mark.parametrize("error", ["ValueError('x')", "KeyboardInterrupt()", "MemoryError()"])
def test_errors_of_the_fit_pass_through(error: str) -> None:
    done = run(f"""
        before = state()
        try:
            with limits(60, 500 * MB):
                raise {error}
        except BaseException as caught:
            print(repr(caught))
        assert state() == before, state()
    """)
    assert done.stdout.strip() == error, done.stderr


def test_alarms_at_any_moment_leave_nothing_behind() -> None:
    """The alarm may come while the block is being left: then, too, everything is taken back."""
    done = run("""
        before = state()
        ended = 0
        for i in range(1500):
            try:
                with limits(1e-6 * (1 + i % 300), 500 * MB):
                    for _ in range(i % 7):
                        pass
            except TimeLimitError:
                ended += 1
            assert state() == before, (i, state())
        print(0 < ended)
    """)
    assert done.stdout == "True\n", done.stderr
