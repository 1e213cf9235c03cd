"""Sending the entries of a sweep: beside it while it runs, or of a run folder at once."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

from sweeper.errors import InputError, SweeperError, described
from sweeper.runs.ensemble import results_with_ensemble
from sweeper.runs.exports.entries import Entry, entries
from sweeper.runs.exports.tools import Exporter, open_exporter
from sweeper.runs.folder import RunFolder
from sweeper.runs.journal import is_open
from sweeper.runs.results import Results
from sweeper.search.brackets import Ladder

PATIENCE_S = 60.0
"""At the end of a sweep a tool may take this long for one entry, or to start."""

_MOST_TEXT = 300


class Exports:
    """Sends what a sweep's journal says to tools while it runs, each in a thread of its own.

    A tool that does not answer, or raises, costs the sweep nothing but a note; what it did not take is sent
    with the next results. Leaving the context ends the threads and waits for none.

    Parameters
    ----------
    tools : sequence of str
        Names that :func:`sweeper.runs.exports.tools.check_tool` accepted.
    folder : RunFolder
    ladder : Ladder
        Of the sweep.
    note : callable
        Takes what a person should read.
    """

    def __init__(
        self, tools: Sequence[str], folder: RunFolder, ladder: Ladder, note: Callable[[str], None]
    ) -> None:
        self._senders = [_Sender(tool, folder, ladder) for tool in tools]
        self._note = note
        self._noted: set[str] = set()

    def __getstate__(self) -> dict[str, Any]:
        """Tune pickles its callbacks on the way and never reads them back; threads cannot be pickled."""
        return {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        for sender in self._senders:
            sender.give(None)

    def feed(self, results: Results, folds: int) -> None:
        """Give the tools the results so far; does not wait for them."""
        for sender in self._senders:
            sender.give(_Given(results, folds, ended=False))
            if sender.problem and sender.tool not in self._noted:
                self._noted.add(sender.tool)
                self._note(
                    f"note: logging to {sender.tool} fails for now ({sender.problem}); "
                    "the sweep goes on and will try again"
                )

    def close(self, results: Results, folds: int, patience_s: float = PATIENCE_S) -> None:
        """Give the tools the last results and wait until they have them, as long as they get on."""
        for sender in self._senders:
            sender.give(_Given(results, folds, ended=True))
        for sender in self._senders:
            if problem := sender.wait(patience_s):
                self._note(
                    f"note: not everything was logged to {sender.tool} ({problem}); "
                    f"send the rest later: sweeper log {sender.run} --to {sender.tool}"
                )


@dataclass(frozen=True)
class _Given:
    """A delivery for a sender: results, and whether they are the last."""

    results: Results
    folds: int
    ended: bool


class _Sender:
    """Sends results to one tool, the latest of those that came in while it was busy.

    Attributes
    ----------
    tool : str
    run : Path
    problem : str
        Why the tool did not take the last results; empty when it did.
    """

    def __init__(self, tool: str, folder: RunFolder, ladder: Ladder) -> None:
        self.tool, self.run, self.problem = tool, folder.path, ""
        self._folder, self._ladder = folder, ladder
        self._waiting: queue.Queue[_Given | None] = queue.Queue(maxsize=1)
        self._sent: dict[str, Entry] = {}
        self._moved = time.monotonic()
        self._thread = threading.Thread(target=self._work, name=f"log-{tool}", daemon=True)
        self._thread.start()

    def give(self, given: _Given | None) -> None:
        """Take results in place of those that wait; None ends the thread."""
        with suppress(queue.Empty):
            self._waiting.get_nowait()
        self._waiting.put(given)

    def wait(self, patience_s: float) -> str:
        """Wait for the end; returns why the tool does not have everything, empty when it does."""
        self._moved = time.monotonic()
        while self._thread.is_alive():
            self._thread.join(0.1)
            if time.monotonic() - self._moved > patience_s:
                return f"no answer for {patience_s:.0f} s"
        return self.problem

    def _work(self) -> None:
        exporter: Exporter | None = None
        while (given := self._waiting.get()) is not None:
            try:
                exporter = exporter or open_exporter(self.tool, self._folder)
                for entry in entries(given.results, self._ladder, given.folds, ended=given.ended):
                    self._moved = time.monotonic()
                    if self._sent.get(entry.key) != entry:
                        exporter.send(entry)
                        self._sent[entry.key] = entry
                self.problem = ""
            except Exception as error:
                self.problem = described(error)[:_MOST_TEXT]
            if given.ended:
                return


def export_run(folder: RunFolder, tool: str, on_entry: Callable[[int, int], None] | None = None) -> str:
    """Send the entries of a run that a tool does not have yet; returns where to look at them.

    Parameters
    ----------
    folder : RunFolder
    tool : str
        A name that :func:`sweeper.runs.exports.tools.check_tool` accepted.
    on_entry : callable, optional
        Called with the number of entries that the tool has, and that of all.

    Raises
    ------
    InputError
        There is no sweep, or it runs and logs to the tool itself.
    SweeperError
        The tool does not take them.
    """
    spec, runs = folder.load_spec(), is_open(folder.journal)
    if runs and tool in spec.log:
        raise InputError(f"{folder.path}: this sweep is running and logs to {tool} itself")
    folds = folder.folds()
    results = folder.results() if runs else results_with_ensemble(folder, spec.metric, folds)
    made = entries(results, spec.ladder, folds, ended=not runs)
    try:
        exporter = open_exporter(tool, folder)
        for number, entry in enumerate(made, 1):
            exporter.send(entry)
            if on_entry is not None:
                on_entry(number, len(made))
    except Exception as error:
        problem = described(error)[:_MOST_TEXT]
        raise SweeperError(
            f"--to {tool}: not everything was sent ({problem}); run the same command again to send the rest"
        ) from error
    return f"{len(made)} entries in {exporter.place}"
