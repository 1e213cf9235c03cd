"""What a person sees while a sweep runs."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TextIO

import pytest
from ray import cloudpickle

from sweeper.runs.progress import Progress, clock
from tests.conftest import REPOSITORY


@pytest.fixture
def terminal() -> Iterator[tuple[TextIO, int]]:
    """A stream that is a terminal, and the descriptor that reads what it shows."""
    ours, theirs = pty.openpty()
    with open(theirs, "w", encoding="utf-8") as stream:  # noqa: PTH123 - a descriptor, not a path
        yield stream, ours
    os.close(ours)


def shown(descriptor: int, wanted: str) -> bool:
    """Whether the terminal shows a text within some seconds."""
    os.set_blocking(descriptor, False)
    seen, until = "", time.monotonic() + 10
    while wanted not in seen and time.monotonic() < until:
        try:
            seen += os.read(descriptor, 65536).decode(errors="replace")
        except BlockingIOError:
            time.sleep(0.05)
    return wanted in seen


def test_tune_can_pickle_a_display_in_a_terminal(terminal: tuple[TextIO, int]) -> None:
    """Tune pickles its callbacks, which hold the display; a terminal and its thread cannot be."""
    with pytest.raises(Exception, match="tty"):
        cloudpickle.dumps(terminal[0])
    progress = Progress(terminal[0])
    try:
        assert cloudpickle.dumps(progress)
    finally:
        progress.close()


def test_the_clock_goes_on_while_nothing_is_reported(terminal: tuple[TextIO, int]) -> None:
    """Starting Ray blocks for seconds: a display that stands still looks as if it hung."""
    progress = Progress(terminal[0])
    try:
        progress.stage("starting Ray")
        assert shown(terminal[1], "starting Ray")
        assert shown(terminal[1], "0:01")
    finally:
        progress.close()


def test_plain_lines_where_there_is_no_terminal() -> None:
    stream = io.StringIO()
    progress = Progress(stream)
    progress.stage("featurizing")
    progress.state.shards_total, progress.state.shards_done = 4, 1
    progress.show()  # a moment later: not worth a line
    progress.restage("featurizing still")
    progress.stage("search bohb over quick")
    progress.state.shards_done = 4
    progress.state.trials, progress.state.trials_ended, progress.state.trials_failed = 9, 7, 1
    progress.state.trials_total, progress.state.best, progress.state.best_name = 60, 0.96667, "glcm+rf #3"
    progress.show(force=True)
    progress.note("a note")
    progress.close()
    assert stream.getvalue().splitlines() == [
        "featurizing: 0:00 elapsed",
        "search bohb over quick: features of 25% of the frames, 0:00 elapsed",
        "search bohb over quick: 7 of 60 trials finished (1 failed), best accuracy 0.9667 by glcm+rf #3, "
        "0:00 elapsed, about 0:00 left",
        "a note",
    ]


def line_after(seconds: float, searched: float, **state: object) -> str:
    """What is said `seconds` after the start, `searched` of them in the search."""
    stream = io.StringIO()
    progress = Progress(stream)
    progress.state = replace(progress.state, **state)  # type: ignore[arg-type]
    progress.stage("search")
    now = time.monotonic()
    progress._started, progress._search_started = now - seconds, now - searched
    progress.show(force=True)
    return stream.getvalue().splitlines()[-1]


def test_time_left() -> None:
    assert "left" not in line_after(50, 20)
    assert "left" not in line_after(50, 20, trials_total=60)
    assert "about 0:40 left" in line_after(50.5, 20, trials_total=60, trials_ended=20)
    assert "about 0:09 left" in line_after(50.5, 20, time_budget_s=60.0)
    # whichever is sooner, of the trials and of the whole time
    assert "about 0:09 left" in line_after(50.5, 20, time_budget_s=60.0, trials_total=60, trials_ended=20)
    assert "about 0:40 left" in line_after(50.5, 20, time_budget_s=600.0, trials_total=60, trials_ended=20)
    assert "about 0:00 left" in line_after(99, 20, time_budget_s=60.0)
    assert "left" not in line_after(50.5, 20, time_budget_s=60.0, trials_total=60, trials_ended=60)


def read_all(descriptor: int) -> str:
    """What a process shows until it closes its terminal."""
    seen = b""
    while True:
        try:
            part = os.read(descriptor, 65536)
        except OSError:  # Linux: the other end is closed
            part = b""
        if not part:
            return seen.decode()
        seen += part


def test_a_sweep_in_a_terminal(textures: Path, tiny_space: Path, tmp_path: Path) -> None:
    """From the live table to the leaderboard, as a person sees it; pipes take other ways through the code."""
    ours, theirs = pty.openpty()
    options = ["--trials", "4", "--folds", "2", "--search", "random", "--out", str(tmp_path / "run")]
    process = subprocess.Popen(
        [sys.executable, "-m", "sweeper", "run", str(textures), "--space", str(tiny_space), *options],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=REPOSITORY,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "120", "LINES": "40"},
    )
    os.close(theirs)
    text = read_all(ours)
    os.close(ours)
    assert process.wait() == 0, text
    for shown_live in ("starting Ray", "search random over tiny", "trials finished"):
        assert shown_live in text
    result = text.rpartition("rank")[2]  # after the live table is gone
    assert "4 trials in" in result
    assert f"leaderboard: {tmp_path / 'run' / 'leaderboard.csv'}" in result.replace("\r\n", "")
    assert "│" not in result


def test_clock() -> None:
    assert [clock(s) for s in (0.9, 65, 3600, 7384)] == ["0:00", "1:05", "1:00:00", "2:03:04"]


def test_a_terminal_that_is_gone_ends_no_sweep() -> None:
    reader, writer = os.pipe()
    with open(writer, "w", encoding="utf-8") as stream:  # noqa: PTH123 - a descriptor, not a path
        progress = Progress(stream)
        progress.stage("one")
        os.close(reader)
        with pytest.raises(BrokenPipeError):
            print("x", file=stream, flush=True)
        progress.stage("two")
        progress.note("three")
        progress.close()
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def test_a_stream_that_is_closed_ends_no_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    progress = Progress(stream)
    stream.close()
    progress.stage("one")
    progress.close()
    monkeypatch.setattr("sys.stderr", None)
    progress = Progress()
    progress.stage("one")
    progress.close()
