"""One sweep at a time in a run folder, from its first moment on."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sweeper.errors import InputError
from sweeper.runs.lock import NAME, locked

HOLD = """
import sys
from pathlib import Path
from sweeper.runs.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def holder(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Give another process that holds the lock."""
    command = [sys.executable, "-c", HOLD, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_the_second_is_told_who_holds_it(tmp_path: Path) -> None:
    with (
        holder(tmp_path) as process,
        pytest.raises(
            InputError, match=rf"another sweep is running in this folder \(process {process.pid} on"
        ),
        locked(tmp_path),
    ):
        raise AssertionError


def test_a_process_that_dies_lets_go(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        with locked(tmp_path):
            assert (tmp_path / NAME).read_text().startswith(f"process {os.getpid()} on ")


def test_two_in_one_process(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(InputError, match="another sweep"), locked(tmp_path):
        raise AssertionError
    with locked(tmp_path):
        pass


def test_children_do_not_hold_it(tmp_path: Path) -> None:
    with locked(tmp_path):
        child = subprocess.Popen(["sleep", "60"])
    try:
        with locked(tmp_path):
            pass
    finally:
        child.kill()
        child.wait()


def test_a_look_at_the_lock_is_waited_for(tmp_path: Path) -> None:
    with locked(tmp_path):
        pass
    looker = subprocess.Popen(["flock", "--shared", tmp_path / NAME, "sleep", "0.3"])
    try:
        with locked(tmp_path):
            pass
    finally:
        looker.wait()


def test_a_file_system_without_locks_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(fd: int, operation: int) -> None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))

    monkeypatch.setattr(fcntl, "flock", unknown)
    with pytest.raises(InputError, match="has no file locks"), locked(tmp_path):
        raise AssertionError
