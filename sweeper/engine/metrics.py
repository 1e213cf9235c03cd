"""Watching a sweep from outside: metrics for Prometheus, Ray's dashboard, logs that other tools read."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ray.util import metrics as ray_metrics

from sweeper.engine.private.core import dashboard_url
from sweeper.engine.tune.trial import FAILED_SCORE
from sweeper.errors import InputError
from sweeper.pipeline import Pipeline
from sweeper.runs.progress import Progress, State

LOGGERS = {"mlflow": ("mlflow", "sqlalchemy", "alembic"), "tensorboard": ("tensorboardX",)}
"""What :func:`log_callbacks` writes for, and the packages that each needs (mlflow-skinny will do)."""


@dataclass(frozen=True)
class Metric:
    """One metric; Ray puts ``ray_`` before its name, and ``_total`` after a counter's.

    Attributes
    ----------
    name : str
    text : str
        What it says, with its unit.
    values : callable
        Progress state to a mapping from the value of `label` to a number; the key is empty where there
        is no label. What is not known yet is left out.
    label : str
        A label besides ``run``; empty where there is none.
    counts : bool
        A counter: it only grows, and starts from zero again when an actor was restarted.
    """

    name: str
    text: str
    values: Callable[[State], dict[str, float]]
    label: str = ""
    counts: bool = False

    @property
    def scraped_name(self) -> str:
        """Name in Prometheus."""
        return f"ray_{self.name}{'_total' if self.counts else ''}"


def _plain(field: str) -> Callable[[State], dict[str, float]]:
    return lambda state: {"": float(getattr(state, field))}


def _trials(state: State) -> dict[str, float]:
    return {
        "running": float(max(0, state.trials - state.trials_ended)),
        "ended": float(max(0, state.trials_ended - state.trials_failed)),
        "failed": float(state.trials_failed),
    }


def _waiting(state: State) -> dict[str, float]:
    return {} if state.trials_total is None else {"": float(max(0, state.trials_total - state.trials))}


def _best(state: State) -> dict[str, float]:
    return {} if state.best is None else {state.metric: state.best}


METRICS = (
    Metric("sweeper_trials", "Trials: running (or at a rung), ended, failed", _trials, label="state"),
    Metric("sweeper_trials_waiting", "Queue: trials that have not started", _waiting),
    Metric("sweeper_best_score", "Best score at the full budget", _best, label="metric"),
    Metric("sweeper_budget_spent", "Budget spent, in full fits", _plain("budget_spent")),
    Metric("sweeper_evaluations_computed", "Evaluations computed", _plain("evaluations"), counts=True),
    Metric("sweeper_evaluations_known", "Evaluations from the journal", _plain("evaluations_known")),
    Metric("sweeper_blocks_computed", "Blocks computed", _plain("blocks_computed"), counts=True),
    Metric("sweeper_blocks_reused", "Blocks that were there", _plain("blocks_reused"), counts=True),
    Metric("sweeper_frames_featurized", "Frames featurized", _plain("frames_featurized"), counts=True),
    Metric(
        "sweeper_shards_waiting",
        "Queue: shards of frames to featurize",
        lambda state: {"": float(max(0, state.shards_total - state.shards_done))},
    ),
    Metric("sweeper_bytes_held", "Blocks in the object store, bytes", _plain("bytes_held")),
    Metric("sweeper_networks_training", "Networks in training", _plain("fits_running")),
    Metric("sweeper_network_epochs", "Epochs that networks were trained for", _plain("epochs"), counts=True),
)
"""All metrics of a sweep."""


class SweepMetrics:
    """Metrics of one sweep, at the port of every node where Ray exports metrics.

    Parameters
    ----------
    run : str
        Name of the run, the label that tells sweeps apart.
    """

    def __init__(self, run: str) -> None:
        self._run = run
        self._counted: dict[str, float] = {}
        self._instruments: dict[str, Any] = {}
        for metric in METRICS:
            make = ray_metrics.Counter if metric.counts else ray_metrics.Gauge
            labels = ("run", metric.label) if metric.label else ("run",)
            self._instruments[metric.name] = make(metric.name, description=metric.text, tag_keys=labels)

    def update(self, state: State) -> None:
        """Say what the progress display says."""
        for metric in METRICS:
            for label, value in metric.values(state).items():
                tags = {"run": self._run, **({metric.label: label} if metric.label else {})}
                if metric.counts:
                    self._count(metric.name, value, tags)
                else:
                    self._instruments[metric.name].set(value, tags=tags)

    def _count(self, name: str, value: float, tags: dict[str, str]) -> None:
        """Add what is new; an actor that was restarted counts from zero."""
        before = self._counted.get(name, 0.0)
        grown = value - before if value >= before else value
        self._counted[name] = value
        if grown > 0:
            self._instruments[name].inc(grown, tags=tags)


def dashboard_line() -> str:
    """Where Ray's dashboard is, and how to get in; empty when it does not run."""
    address = dashboard_url()
    if not address:
        return ""
    url = address if "://" in address else f"http://{address}"
    return f"dashboard: {url} (if it asks for a token: `ray get-auth-token` prints it)"


def announce_dashboard(progress: Progress) -> None:
    """Say where the dashboard is, when it runs."""
    if line := dashboard_line():
        progress.note(line)


def check_logger(name: str) -> None:
    """Check what ``--log`` names, before compute is spent.

    Raises
    ------
    ValueError
        There is no such logger, or its library is not installed.
    """
    if name not in LOGGERS:
        raise InputError(f"--log must be one of {', '.join(LOGGERS)}, got {name!r}")
    if missing := [package for package in LOGGERS[name] if find_spec(package) is None]:
        remedy = " (pip install 'sweeper[mlflow]')" if name == "mlflow" else ""
        raise InputError(f"--log {name} needs packages that are not installed: {', '.join(missing)}{remedy}")


def log_callbacks(names: tuple[str, ...], folder: Path, run: str) -> list[Any]:
    """Callbacks of Ray Tune that log every rung of every trial for other tools.

    What an earlier start of the same sweep logged is removed: a search that goes on replays its trials
    from the journal, so everything is logged again.

    Parameters
    ----------
    names : tuple of str
        Some of :data:`LOGGERS`.
    folder : Path
        The logs' folder; one folder for each logger is made in it.
    run : str
        Name of the sweep there.

    Raises
    ------
    ValueError
        See :func:`check_logger`.
    """
    callbacks: list[Any] = []
    for name in names:
        check_logger(name)
        target = (folder / name).resolve()
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        callbacks.append(_mlflow(target, run) if name == "mlflow" else _tensorboard(target))
    return callbacks


def _label(trial: Any) -> str:
    return f"{_pipeline(trial).name} #{trial.config['trial']}"


def _pipeline(trial: Any) -> Pipeline:
    return Pipeline.from_dict(json.loads(trial.config["pipeline"]))


def _parameters(trial: Any) -> dict[str, Any]:
    """What a trial's pipeline is, flat: ``featurizer.distance``, ``classifier.n_trees``, ..."""
    flat: dict[str, Any] = {"trial": trial.config["trial"]}
    for name, value in _pipeline(trial).to_dict().items():
        if isinstance(value, dict):
            part = name.removesuffix("_params")
            flat |= {f"{part}.{key}": _plain_value(v) for key, v in value.items()}
        else:
            flat[name] = _plain_value(value)
    return flat


def _plain_value(value: Any) -> str | int | float | bool:
    return value if isinstance(value, str | int | float) else json.dumps(value)


def _rung(result: dict[str, Any]) -> dict[str, float]:
    """What is logged of a rung; a failed one has no score."""
    logged = {"training_iteration": result["training_iteration"], "budget": result["budget"]}
    if result["ended"] is not None or result["score"] == FAILED_SCORE:
        return logged
    return {**logged, "score": result["score"]}


def _tensorboard(folder: Path) -> Any:
    from ray.tune.logger.tensorboardx import TBXLoggerCallback

    class TensorBoard(TBXLoggerCallback):  # type: ignore[misc]
        """Event files in one folder a trial, outside Tune's own, which is removed."""

        def log_trial_start(self, trial: Any) -> None:
            if trial in self._trial_writer:
                return  # it went on after a pause; files are named by the second
            target = folder / _label(trial).replace(" ", "-")
            self._trial_writer[trial] = self._summary_writer_cls(str(target), flush_secs=30)
            self._trial_result[trial] = {}

        def log_trial_result(self, iteration: int, trial: Any, result: dict[str, Any]) -> None:
            super().log_trial_result(iteration, trial, _rung(result))

        def _try_log_hparams(self, trial: Any, result: dict[str, Any]) -> None:
            from tensorboardX.summary import hparams  # type: ignore[import-untyped]

            for summary in hparams(hparam_dict=_parameters(trial), metric_dict=result):
                self._trial_writer[trial].file_writer.add_summary(summary)

    return TensorBoard()


def _mlflow(folder: Path, run: str) -> Any:
    from ray.air.integrations.mlflow import MLflowLoggerCallback

    class MLflow(MLflowLoggerCallback):  # type: ignore[misc]
        """One run a trial, with the pipeline's parameters."""

        def log_trial_start(self, trial: Any) -> None:
            if trial in self._trial_runs:
                return  # it went on after a pause
            label = _label(trial)
            started = self.mlflow_util.start_run(tags={**self.tags, "trial_name": label}, run_name=label)
            self._trial_runs[trial] = started.info.run_id
            self.mlflow_util.log_params(run_id=started.info.run_id, params_to_log=_parameters(trial))

        def log_trial_result(self, iteration: int, trial: Any, result: dict[str, Any]) -> None:
            super().log_trial_result(iteration, trial, _rung(result))

    return MLflow(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}", experiment_name=run)
