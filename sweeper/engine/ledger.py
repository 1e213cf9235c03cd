"""The journal's one writer, an actor on the driver's machine."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import ray

from sweeper.atomic import remove_partial
from sweeper.errors import JournalError
from sweeper.runs.journal import Journal
from sweeper.runs.predictions import PredictionFiles
from sweeper.runs.records import Epoch, Evaluation, NetworkFit, Trial


class Ledger:
    """Actor around :class:`sweeper.runs.journal.Journal`, with counts for the progress display.

    It keeps predictions too, see :class:`sweeper.runs.predictions.PredictionFiles`.
    """

    def __init__(self, path: Path, predictions: Path, metric: str, folds: int) -> None:
        self._path = path
        self._predictions_folder = predictions
        self._metric, self._folds = metric, folds
        self._context: Any = None
        self._store_settings: Any = None
        self._started: dict[str, float] = {}
        self._epochs = 0
        self._failures: dict[str, Exception | None] = {}
        self._deadline = float("inf")

    def open(self) -> int:
        """Open the journal, before anything is asked of it; returns the number of unreadable lines.

        Raises
        ------
        InputError
            Another sweep has it open, or it is of another format.
        JournalError
            It cannot be written.
        """
        self._journal = Journal(self._path)
        remove_partial(self._predictions_folder)
        self._predictions = PredictionFiles(self._predictions_folder, self._metric, self._folds)
        self._predictions.resume({key: self._journal.get(key) for key in self._predictions.found()})
        self._known_at_start = len(self._journal)
        return self._journal.unreadable_lines

    def set_context(self, context: Any) -> None:
        """Keep what evaluators need to know; trials ask for it once a process."""
        self._context = context

    def context(self) -> Any:
        """Return the context that :meth:`set_context` was given."""
        return self._context

    def set_store_settings(self, settings: Any) -> None:
        """Keep what the feature store is made with, in the one actor that is never restarted."""
        self._store_settings = settings

    def store_settings(self) -> Any:
        """Return the settings that :meth:`set_store_settings` was given."""
        return self._store_settings

    def end_in(self, seconds: float) -> None:
        """Say how long the sweep may go on from now; infinity without a time budget."""
        self._deadline = time.monotonic() + seconds

    def left_s(self) -> float:
        """Seconds until the sweep ends: clocks of machines may differ, and jump; this one does neither."""
        return self._deadline - time.monotonic()

    def lookup(self, keys: list[str]) -> list[Evaluation | None]:
        """Return the evaluations under some keys, None where there is none."""
        return [self._journal.get(key) for key in keys]

    def start(self, key: str) -> None:
        """Note that an evaluation starts now."""
        self._started[key] = time.monotonic()

    def ran_s(self, key: str) -> float:
        """Seconds since an evaluation started; 0 when it has not."""
        started = self._started.get(key)
        return 0.0 if started is None else time.monotonic() - started

    def append(self, record: Evaluation, predictions: bytes | None) -> None:
        """Record an evaluation, its predictions first: they are there when the journal has it.

        Raises
        ------
        JournalError
            One of them cannot be written.
        """
        self._started.pop(record.key, None)
        if record.key in self._journal:
            return
        if not record.rerun:
            try:
                self._predictions.add(record, predictions)
            except OSError as error:
                raise JournalError(f"{error.strerror}; nothing recorded is lost") from error
        self._journal.append(record)

    def append_training(self, record: NetworkFit | Epoch) -> None:
        """Record a fit of a network, or one epoch of it, once: epochs may be trained again after a loss."""
        if not self._journal.has_training(record):
            self._epochs += isinstance(record, Epoch)
            self._journal.append(record)

    def fail(self, key: str, error: Exception | None) -> None:
        """Keep why a fit of a network failed: its workers have no other way to say it. None: it did not."""
        self._failures[key] = error

    def failure(self, key: str) -> Exception | None:
        """Return why a fit failed; None when it did not."""
        return self._failures.get(key)

    def append_trial(self, record: Trial) -> bool:
        """Record what a trial is, once; False when the journal says that it is another pipeline."""
        known = self._journal.trial(record.trial)
        if known is None:
            self._journal.append(record)
        return known is None or known.id == record.id

    def counts(self) -> tuple[int, int, int]:
        """Evaluations computed since the start, and known before; epochs of networks since the start."""
        return len(self._journal) - self._known_at_start, self._known_at_start, self._epochs

    def close(self) -> None:
        """Put everything on disk and let go of the file."""
        self._journal.close()


LedgerActor = ray.remote(num_cpus=0)(Ledger)
