"""Watching a sweep from outside: metrics for Prometheus, and Ray's dashboard."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ray.util import metrics as ray_metrics

from sweeper.engine.private.core import dashboard_url
from sweeper.runs.progress import Progress, State


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
        Name of the run, the label that tells sweeps apart; Ray's labels are ASCII, so other characters are
        escaped.
    """

    def __init__(self, run: str) -> None:
        self._run = run.encode("ascii", "backslashreplace").decode()
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
