"""Signals in any number and at any moment: a line, the status that README gives, nothing else."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sweeper import interrupts
from sweeper.interrupts import MESSAGE

SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


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
        assert not interrupts.was_interrupted()
        with interrupts.interruptible():
            interrupts.check_interrupted()
    finally:
        signal.signal(signal.SIGINT, before)


# --------------------------------------------------------------------------- a command that waits


def heeding(*ignored: signal.Signals) -> Callable[[], None]:
    """Return what makes a child heed every signal but some, whoever started the tests."""

    def set_up() -> None:
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN if number in ignored else signal.SIG_DFL)

    return set_up


class Waiting:
    """``sweeper status`` in the middle of reading a spec that does not come."""

    def __init__(self, folder: Path, *ignored: signal.Signals, stderr: int = subprocess.PIPE) -> None:
        fifo = folder / "sweep.yaml"
        os.mkfifo(fifo)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "sweeper", "status", str(folder)],
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            preexec_fn=heeding(*ignored),
        )
        self._end = os.open(fifo, os.O_WRONLY)  # waits until it reads

    def ended(self) -> tuple[int, str]:
        """Return the exit status and what it said."""
        _, err = self.process.communicate(timeout=120)
        os.close(self._end)
        return self.process.returncode, err or ""


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_a_command_in_order(number: signal.Signals, tmp_path: Path) -> None:
    waiting = Waiting(tmp_path)
    waiting.process.send_signal(number)
    assert waiting.ended() == (130, f"{MESSAGE}\n")


def test_many_signals_are_one(tmp_path: Path) -> None:
    waiting = Waiting(tmp_path)
    for number in [*SIGNALS, *SIGNALS, *SIGNALS]:
        waiting.process.send_signal(number)
        time.sleep(0.005)
    assert waiting.ended() == (130, f"{MESSAGE}\n")


def test_what_nohup_ignores_stays_ignored(tmp_path: Path) -> None:
    waiting = Waiting(tmp_path, signal.SIGHUP)
    waiting.process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        waiting.process.wait(0.3)
    waiting.process.send_signal(signal.SIGTERM)
    assert waiting.ended() == (130, f"{MESSAGE}\n")


def test_a_terminal_that_is_gone_changes_no_exit_status(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    waiting = Waiting(tmp_path, stderr=writer)
    os.close(reader)
    os.close(writer)
    waiting.process.send_signal(signal.SIGHUP)
    assert waiting.ended()[0] == 130


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("after_s", [0.1, 0.2, 0.4])
def test_a_signal_while_a_command_starts(number: signal.Signals, after_s: float) -> None:
    """Until its own code runs Python's habits hold; the signal ends the process then too."""
    command = [sys.executable, "-m", "sweeper", "list", "searches"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heeding()
    ) as process:
        time.sleep(after_s)
        process.send_signal(number)
        _, err = process.communicate(timeout=120)
    # Python itself ends by SIGINT, 130 to a shell, where the interrupt came while it ran a text as code.
    assert process.returncode in (0, 130, -number, -signal.SIGINT) or "init_import_site" in err, err
    if process.returncode == 130:
        assert err == f"{MESSAGE}\n"
    assert "fault in Sweeper" not in err


# --------------------------------------------------------------------------- while it ends


def program(code: str) -> subprocess.CompletedProcess[str]:
    """Run a program as the ``status`` command."""
    head = (
        "import os, signal, sys, time\n"
        "from sweeper import cli, interrupts\n"
        "from sweeper.commands import status\n"
        "def kill(number): os.kill(os.getpid(), number)\n"
    )
    tail = "\nstatus._status = run\nsys.argv = ['sweeper', 'status', 'x']\nsys.exit(cli.script())\n"
    return subprocess.run(
        [sys.executable, "-c", head + code + tail],
        capture_output=True,
        text=True,
        timeout=120,
        preexec_fn=heeding(),
    )


def test_what_fails_after_a_signal_failed_because_of_it() -> None:
    done = program(
        "def run(args):\n"
        "    try: kill(signal.SIGTERM); time.sleep(9)\n"
        "    except KeyboardInterrupt: raise RuntimeError('the raylet died')\n"
    )
    assert (done.returncode, done.stderr) == (130, f"{MESSAGE}\n")


def test_ending_is_not_disturbed() -> None:
    done = program(
        "def run(args):\n"
        "    try: kill(signal.SIGINT); time.sleep(9)\n"
        "    finally:\n"
        "        with interrupts.undisturbed():\n"
        "            interrupts._IN_ONE_GO_S = 0\n"
        "            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP): kill(number)\n"
        "            print('ended')\n"
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "ended\n", f"{MESSAGE}\n")


def test_a_signal_once_the_work_is_done_changes_nothing() -> None:
    done = program(
        "import atexit\n"
        "def run(args):\n"
        "    atexit.register(lambda: [kill(number) for number in (signal.SIGINT, signal.SIGTERM)])\n"
        "    with interrupts.undisturbed(): kill(signal.SIGTERM)\n"
        "    return 0\n"
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_ending_may_take_only_so_long() -> None:
    done = program(
        "interrupts._PATIENCE_S = 0.1\n"
        "def run(args):\n"
        "    try: kill(signal.SIGINT); time.sleep(9)\n"
        "    finally:\n"
        "        with interrupts.undisturbed():\n"
        "            kill(signal.SIGINT); time.sleep(30); print('ended')\n"
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", f"{MESSAGE}\n")
