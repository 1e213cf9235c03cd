"""MLflow: one run an entry, at ``MLFLOW_TRACKING_URI`` or in a database in the run folder."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

from sweeper.errors import SweeperError
from sweeper.runs.exports.entries import Entry, Rung, Sent, Status
from sweeper.runs.folder import RunFolder
from sweeper.runs.mirror import shown

SWEEP, KEY, PIPELINE, STATUS, ERROR = (
    f"sweeper.{name}" for name in ("sweep", "entry", "pipeline", "status", "error")
)
"""Tags of a run: what it is the entry of, and what came of that."""

_PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "10"}
"""MLflow's own settings keep trying for minutes; what was not sent is sent with the next results anyway."""

_CLOSED = ("FINISHED", "FAILED")


@dataclass
class _Run:
    """A run that MLflow has, and what it has of its entry."""

    id: str
    has_parameters: bool
    sent: Sent


class MLflow:
    """Sends entries to MLflow; what is there already is found by its tags.

    Parameters
    ----------
    folder : RunFolder
        Its name names the experiment, unless ``MLFLOW_EXPERIMENT_NAME`` does.
    sweep : str
        Id of the sweep.
    """

    def __init__(self, folder: RunFolder, sweep: str) -> None:
        local = (folder.logs / "mlflow").resolve()
        self._uri = os.environ.get("MLFLOW_TRACKING_URI", "")
        self._artifacts: str | None = None
        if not self._uri:
            _make_database(local / "mlflow.db")
            self._uri, self._artifacts = f"sqlite:///{local / 'mlflow.db'}", (local / "artifacts").as_uri()
        self._experiment = os.environ.get("MLFLOW_EXPERIMENT_NAME") or folder.name
        self._sweep = sweep
        self._experiment_id = ""
        self._runs: dict[str, _Run] | None = None
        self._client: MlflowClient | None = None
        self.place = f"experiment {self._experiment} at {shown(self._uri)}"

    def send(self, entry: Entry) -> None:
        """Send what MLflow does not have yet of an entry.

        Raises
        ------
        SweeperError
            MLflow does not answer, or refuses.
        """
        with _impatient():
            try:
                self._send(entry)
            except Exception as error:
                self._runs = None  # what arrived is read again before the next entry
                raise SweeperError(self._reason(error)) from error

    def _reason(self, error: BaseException) -> str:
        """Return why MLflow did not take an entry, without credentials."""
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, requests.ConnectionError | requests.Timeout):
                return f"{shown(self._uri)} does not answer"
            cause = cause.__cause__ or cause.__context__
        return str(error).replace(self._uri, shown(self._uri))

    def _send(self, entry: Entry) -> None:
        self._client = client = self._client or MlflowClient(self._uri)
        self._runs = runs = self._runs if self._runs is not None else self._read(client)
        run = runs.get(entry.key)
        if run is not None and run.sent.pipeline != entry.pipeline.id:  # the ensemble of fewer trials
            client.delete_run(run.id)
            run = None
        if run is None:
            run = runs[entry.key] = self._create(client, entry)
        news = entry.since(run.sent)
        parameters = [] if run.has_parameters else [Param(k, str(v)) for k, v in entry.parameters.items()]
        if not news and not parameters:
            return
        metrics = _metrics(news.rungs)
        if news.test_accuracy is not None:
            step = entry.rungs[-1].step if entry.rungs else 0
            metrics.append(Metric("test_accuracy", news.test_accuracy, _now_ms(), step))
        tags = [RunTag(STATUS, entry.status), RunTag(ERROR, entry.error)] if news.ended else []
        client.log_batch(run.id, metrics, parameters, tags)
        if news.ended:
            client.set_terminated(run.id, "FAILED" if entry.status == Status.FAILED else "FINISHED")
        run.has_parameters, run.sent = True, news.sent

    def _create(self, client: MlflowClient, entry: Entry) -> _Run:
        tags = {SWEEP: self._sweep, KEY: entry.key, PIPELINE: entry.pipeline.id}
        run = client.create_run(self._experiment_id, tags=tags, run_name=entry.name)
        return _Run(run.info.run_id, False, Sent(entry.pipeline.id))

    def _read(self, client: MlflowClient) -> dict[str, _Run]:
        """Return the runs of this sweep that MLflow has, by the key of their entry."""
        if not self._experiment_id:
            experiment = client.get_experiment_by_name(self._experiment)
            self._experiment_id = (
                client.create_experiment(self._experiment, artifact_location=self._artifacts)
                if experiment is None
                else experiment.experiment_id
            )
        runs: dict[str, _Run] = {}
        token = None
        while True:
            page = client.search_runs(
                [self._experiment_id],
                filter_string=f"tags.`{SWEEP}` = '{self._sweep}'",
                order_by=["attributes.start_time ASC"],
                page_token=token,
            )
            for run in page:
                runs.setdefault(run.data.tags[KEY], _known(run))
            token = page.token
            if not token:
                return runs


def _make_database(path: Path) -> None:
    """Make a database unless it is there, whole or not at all: MLflow cannot go on with a part of one."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    partial.unlink(missing_ok=True)
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)  # tells of every step
    MlflowClient(f"sqlite:///{partial}").search_experiments(max_results=1)
    partial.replace(path)


def _known(run: Any) -> _Run:
    tags, metrics = run.data.tags, run.data.metrics
    ended = run.info.status in _CLOSED
    sent = Sent(
        tags[PIPELINE],
        metrics.get("budget", 0.0),
        tags.get(STATUS, "") if ended else "",
        tags.get(ERROR, "") if ended else "",
        metrics.get("test_accuracy"),
    )
    return _Run(run.info.run_id, bool(run.data.params), sent)


def _metrics(rungs: tuple[Rung, ...]) -> list[Metric]:
    return [Metric(name, v, _now_ms(), rung.step) for rung in rungs for name, v in rung.values.items()]


def _now_ms() -> int:
    return int(time.time() * 1000)


@contextmanager
def _impatient() -> Iterator[None]:
    """Have MLflow give up soon, unless the environment says how long it may take."""
    ours = {name: value for name, value in _PATIENCE.items() if name not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)
