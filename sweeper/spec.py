"""The spec of a sweep: what `sweeper run` was asked for, checked once, and kept in ``sweep.yaml``."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweeper.plugins import nearest
from sweeper.search import SEARCHES
from sweeper.search.brackets import Ladder
from sweeper.space import Space, load_space, parse_space

_METRICS = ("accuracy", "recall_macro", "precision_weighted", "f1_macro", "kappa", "mcc", "auc_ovr")
_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_FREE = ("trials", "time_budget_s", "cpus", "address", "features", "test_top")
"""Settings that may change when a sweep goes on: they decide how far it goes, not what it computes."""


def parse_duration(text: str | float, name: str = "--time-budget") -> float:
    """Seconds from ``90``, ``90s``, ``10m`` or ``1.5h``; ValueError names the rule and the value."""
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([a-z]*)\s*", str(text))
    if match is None or match[2] not in _UNITS or float(match[1]) <= 0:
        raise ValueError(f"{name} must be a time above zero such as 90s, 10m or 1.5h, got {text!r}")
    return float(match[1]) * _UNITS[match[2]]


@dataclass(frozen=True)
class SweepSpec:
    """Everything that decides what a sweep computes, and how far it goes.

    Attributes
    ----------
    data : str
        Folder or manifest.
    space : str or mapping
        Name or path of a search space, or the space itself as its YAML holds it.
    search : str
        bohb, hyperband, asha, random or grid.
    trials : int or None
        Most trials; None: 60, or as many as a time budget allows, or the whole grid.
    time_budget_s : float or None
        Wall-clock time after which the sweep ends.
    metric : str
        What the leaderboard and the search go by.
    folds, repeats : int
        Stratified k-fold cross-validation, repeated with other shuffles.
    seed : int
    reduction_factor, rungs : int
        HyperBand's η and number of budgets.
    cpus : int or None
        Cores to use; None: all.
    address : str or None
        A Ray cluster to join; None starts Ray here.
    mask : str or None
        Mask file: nonzero pixels are invalid.
    skip_bad : bool
        Leave unreadable frames out (quarantine.csv) instead of refusing to start.
    allow_outside : bool
        A manifest may point outside its own folder.
    trial_time_limit_s : float
        One fit and its predictions may take this long.
    trial_memory_limit_gb : float or None
        One fit may allocate this much; None: an even share of the machine's memory.
    features : str or None
        Folder of blocks; None: RUN/features. Sweeps over the same frames may share one.
    test_top : int
        Best pipelines that are scored on the test split, when there is one.
    """

    data: str
    space: str | dict[str, Any]
    search: str = "bohb"
    trials: int | None = None
    time_budget_s: float | None = None
    metric: str = "accuracy"
    folds: int = 5
    repeats: int = 1
    seed: int = 0
    reduction_factor: int = 3
    rungs: int = 3
    cpus: int | None = None
    address: str | None = None
    mask: str | None = None
    skip_bad: bool = False
    allow_outside: bool = False
    trial_time_limit_s: float = 600.0
    trial_memory_limit_gb: float | None = None
    features: str | None = None
    test_top: int = 10

    def __post_init__(self) -> None:
        _one_of("search", self.search, SEARCHES)
        _one_of("metric", self.metric, _METRICS)
        _whole("trials", self.trials, 1)
        _whole("folds", self.folds, 2)
        _whole("repeats", self.repeats, 1, 10)
        _whole("seed", self.seed, 0)
        _whole("reduction_factor", self.reduction_factor, 2, 10)
        _whole("rungs", self.rungs, 1, 8)
        _whole("cpus", self.cpus, 1)
        _whole("test_top", self.test_top, 0)
        for name in ("time_budget_s", "trial_time_limit_s", "trial_memory_limit_gb"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, int | float) and value > 0):
                raise ValueError(f"{name} must be above zero, got {value!r}")

    def load_space(self) -> Space:
        """The search space, checked."""
        if isinstance(self.space, dict):
            return parse_space(self.space, default_name="space")
        return load_space(self.space)

    @property
    def ladder(self) -> Ladder:
        """Rungs and brackets; searches that do not stop early have one rung, the full budget."""
        return Ladder(
            self.reduction_factor, self.rungs if self.search in ("bohb", "hyperband", "asha") else 1
        )

    def resolved(self) -> dict[str, Any]:
        """The spec as ``sweep.yaml`` keeps it: absolute paths, the space written out."""
        import yaml

        from sweeper.plugins import space_path

        data = dataclasses.asdict(self)
        for name in ("data", "mask", "features"):
            if data[name] is not None:
                data[name] = str(Path(data[name]).resolve())
        if isinstance(self.space, str):
            path = space_path(self.space)
            data["space"] = {"name": path.stem, **yaml.safe_load(path.read_text())}
        return data

    def difference(self, other: SweepSpec) -> str | None:
        """First setting, of those that decide what is computed, in which two resolved specs differ."""
        mine, theirs = self.resolved(), other.resolved()
        return next((k for k in mine if k not in _FREE and mine[k] != theirs[k]), None)


def _one_of(name: str, value: object, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"unknown {name} {value!r}; {nearest(str(value), known)}")


def _whole(name: str, value: object, low: int, high: int | None = None) -> None:
    if value is None:
        return
    good = isinstance(value, int) and not isinstance(value, bool) and value >= low
    if not good or (high is not None and value > high):  # type: ignore[operator]
        bounds = f"at least {low}" if high is None else f"from {low} to {high}"
        raise ValueError(f"{name} must be a whole number {bounds}, got {value!r}")


def load_spec(path: Path) -> SweepSpec:
    """Read a spec from YAML; ValueError names an unknown key and suggests the nearest."""
    import yaml

    try:
        data = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    if not isinstance(data, dict):
        raise ValueError(f"{path}: a spec is a mapping with at least data and space")
    known = [f.name for f in dataclasses.fields(SweepSpec)]
    if "time_budget" in data:
        data["time_budget_s"] = parse_duration(data.pop("time_budget"), "time_budget")
    for key in data:
        if key not in known:
            raise ValueError(f"{path}: unknown key {key!r}; {nearest(str(key), known)}")
    for key in ("data", "space"):
        if key not in data:
            raise ValueError(f"{path}: {key} is missing")
    if not Path(data["data"]).is_absolute():
        data["data"] = str(path.parent / data["data"])
    return SweepSpec(**data)
