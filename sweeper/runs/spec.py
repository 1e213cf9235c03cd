"""The spec of a sweep: what `sweeper run` was asked for, checked once, and kept in ``sweep.yaml``."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweeper import plugins
from sweeper.errors import InputError
from sweeper.plugins import is_space_file, nearest
from sweeper.search.brackets import Ladder
from sweeper.space.file import load_space, parse_space
from sweeper.space.space import Space
from sweeper.space.study import SWEEP, as_study, written_out
from sweeper.yamlfile import read_yaml

_METRICS = ("accuracy", "recall_macro", "precision_weighted", "f1_macro", "kappa", "mcc", "auc_ovr")
_UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}
_MOST_S = 1e8
RERUN_TOP = 3
"""Pipelines that are run again, as many as in DiffraNet's Figure 3."""
DEFAULT_TRIALS = 60
"""Trials of a sweep that was given neither a number nor a time."""
_FREE = (
    "trials", "time_budget_s", "cpus", "object_store_gb", "address", "features", "test_top", "reruns",
    "train_cpus", "train_gpus", "weights", "log", "skip_bad", "allow_outside",
)  # fmt: skip
"""Settings that may change when a sweep goes on: they decide how far it goes, not what it computes.

The last two decide which frames take part: the digest of the data set tells when that changed. Other
weights are another evaluation.
"""


def parse_duration(text: str | float, name: str = "--time-budget") -> float:
    """Seconds from ``90``, ``90s``, ``10m`` or ``1.5h``; ValueError names the rule and the value."""
    match = re.fullmatch(r"\s*([0-9]*\.?[0-9]+)\s*([a-z]*)\s*", str(text))
    seconds = 0.0 if match is None else float(match[1]) * _UNITS.get(match[2], 0.0)
    if not 0 < seconds <= _MOST_S:
        raise InputError(
            f"{name} must be a time above zero and below three years, such as 90s, 10m or 1.5h, got {text!r}"
        )
    return seconds


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
        Name of a search: bohb, hyperband, asha, random, grid, or that of a plugin.
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
    object_store_gb : float or None
        Memory for blocks in Ray's object store, when Ray is started here; what does not fit is spilled
        to disk. None: Ray's default, 30 % of the memory.
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
    representation_share : float or None
        Share of the training rows that is set apart: representations (networks, codebooks) are fitted on
        it, classifiers cross-validated on the rest; camSortXS's protocol with 0.5. None: representations
        are fitted on the training rows of each fold.
    weights : str or None
        Folder of pretrained weights, files named by model; what is not there comes from timm's hub.
    train_workers : int
        Processes, each with a device of its own, that train one network together.
    train_cpus : float or None
        Cores of each; None: one, or its share of the cores where it has a GPU.
    train_gpus : float or None
        GPUs of each, also a fraction; None: one where there is one.
    train_compile : bool
        Use torch.compile.
    test_top : int
        Best pipelines that are scored on the test split, when there is one.
    reruns : int
        How often the :data:`RERUN_TOP` best pipelines are run again at the end, each time with another
        seed: what of a score is the seed's.
    log : tuple of str
        Other tools that every trial is logged for, in RUN/logs: mlflow, tensorboard.
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
    object_store_gb: float | None = None
    address: str | None = None
    mask: str | None = None
    skip_bad: bool = False
    allow_outside: bool = False
    trial_time_limit_s: float = 600.0
    trial_memory_limit_gb: float | None = None
    features: str | None = None
    representation_share: float | None = None
    weights: str | None = None
    train_workers: int = 1
    train_cpus: float | None = None
    train_gpus: float | None = None
    train_compile: bool = False
    test_top: int = 10
    reruns: int = 0
    log: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _text("data", self.data)
        if not isinstance(self.space, dict):
            _text("space", self.space)
        for name in ("address", "mask", "features", "weights"):
            if getattr(self, name) is not None:
                _text(name, getattr(self, name))
        for name in ("skip_bad", "allow_outside", "train_compile"):
            if not isinstance(getattr(self, name), bool):
                raise InputError(f"{name} must be true or false, got {getattr(self, name)!r}")
        _one_of("search", self.search, plugins.search_names())
        _one_of("metric", self.metric, _METRICS)
        _whole("trials", self.trials, 1, optional=True)
        _whole("folds", self.folds, 2)
        _whole("repeats", self.repeats, 1, 10)
        _whole("seed", self.seed, 0)
        _whole("reduction_factor", self.reduction_factor, 2, 10)
        _whole("rungs", self.rungs, 1, 8)
        _whole("cpus", self.cpus, 1, 4096, optional=True)
        _whole("test_top", self.test_top, 0)
        _whole("reruns", self.reruns, 0, 100)
        object.__setattr__(self, "log", _names("log", self.log))
        _share("representation_share", self.representation_share)
        _whole("train_workers", self.train_workers, 1, 1024)
        _above_zero("train_cpus", self.train_cpus, optional=True)
        if self.train_gpus != 0:  # 0: on cores, although there are GPUs
            _above_zero("train_gpus", self.train_gpus, optional=True)
        _above_zero("time_budget_s", self.time_budget_s, optional=True)
        _above_zero("trial_time_limit_s", self.trial_time_limit_s)
        _above_zero("object_store_gb", self.object_store_gb, optional=True)
        _above_zero("trial_memory_limit_gb", self.trial_memory_limit_gb, optional=True)

    def load_space(self) -> Space:
        """The search space, checked."""
        if isinstance(self.space, dict):
            return parse_space(self.space, default_name="space")
        return load_space(self.space)

    @property
    def ladder(self) -> Ladder:
        """Rungs and brackets; searches that do not stop early have one rung, the full budget."""
        search = plugins.search(self.search)
        if search.early_stopping == "none":
            return Ladder(self.reduction_factor, 1, search.group)
        return Ladder(self.reduction_factor, self.rungs)

    def trial_limit(self, space: Space) -> int | None:
        """Most trials of a sweep over `space`; None where time alone ends it."""
        if self.trials is not None:
            return int(min(self.trials, space.size))
        if plugins.search(self.search).exhaustive:
            return int(space.size)
        return None if self.time_budget_s else int(min(DEFAULT_TRIALS, space.size))

    def resolved(self) -> dict[str, Any]:
        """The spec as ``sweep.yaml`` keeps it: absolute paths, the space written out."""
        data = {**dataclasses.asdict(self), "log": list(self.log)}
        for name in ("data", "mask", "features", "weights"):
            if data[name] is not None:
                data[name] = str(Path(data[name]).resolve())
        if isinstance(self.space, str):
            data["space"] = written_out(self.space)
        return data

    def difference(self, other: SweepSpec) -> str | None:
        """First setting, of those that decide what is computed, in which two specs differ, and how."""
        mine, theirs = self.resolved(), other.resolved()
        name = next((k for k in mine if k not in _FREE and mine[k] != theirs[k]), None)
        if name is None or name == "space":
            return None if name is None else "its space is another, or was edited since"
        return f"its {name} is {theirs[name]}, not {mine[name]}"


def _one_of(name: str, value: object, known: tuple[str, ...]) -> None:
    if value not in known:
        raise InputError(f"unknown {name} {value!r}; {nearest(str(value), known)}")


def _text(name: str, value: object) -> None:
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"{name} must be text that is not empty, got {value!r}")


def _names(name: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list | tuple) or not all(isinstance(text, str) for text in value):
        raise InputError(f"{name} must be a list of names, got {value!r}")
    return tuple(dict.fromkeys(value))


def _above_zero(name: str, value: object, *, optional: bool = False) -> None:
    if value is None and optional:
        return
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 < value <= _MOST_S:  # type: ignore[operator]
        raise InputError(f"{name} must be a number above zero and at most {_MOST_S:g}, got {value!r}")


def _share(name: str, value: object) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if value is not None and not (number and 0 < value < 1):  # type: ignore[operator]
        raise InputError(f"{name} must be a number above 0 and below 1, got {value!r}")


def _whole(name: str, value: object, low: int, high: int | None = None, *, optional: bool = False) -> None:
    if value is None and optional:
        return
    good = isinstance(value, int) and not isinstance(value, bool) and value >= low
    if not good or (high is not None and value > high):  # type: ignore[operator]
        bounds = f"of at least {low}" if high is None else f"from {low} to {high}"
        raise InputError(f"{name} must be a whole number {bounds}, got {value!r}")


def make_spec(
    data: str,
    space: str | dict[str, Any],
    *,
    scale: str | None = None,
    settings: Sequence[str] = (),
    **given: Any,
) -> SweepSpec:
    """The spec of a sweep over a space: what is not given is as the space says, if it says so.

    Parameters
    ----------
    data, space
        See :class:`SweepSpec`.
    scale, settings
        Changes of the space, see :func:`sweeper.space.study.as_study`.
    **given
        Fields of :class:`SweepSpec`.

    Raises
    ------
    ValueError
        A bad value, no such space or scale; of a space's own settings the message names the space.
    """
    if not isinstance(space, dict):
        _text("space", space)
    study, sweep = as_study(space, scale, settings)
    known = [f.name for f in dataclasses.fields(SweepSpec) if f.name not in ("data", "space")]
    for key in sweep:
        if key not in known:
            raise InputError(f"{SWEEP} of the space: unknown setting {key!r}; {nearest(str(key), known)}")
    return SweepSpec(data, study, **{**sweep, **given})


def load_spec(
    path: Path, *, scale: str | None = None, settings: Sequence[str] = (), **changes: Any
) -> SweepSpec:
    """Read a spec from YAML; paths in it are relative to its folder.

    Parameters
    ----------
    path : Path
    scale, settings
        Changes of the space, see :func:`sweeper.space.study.as_study`.
    **changes
        Fields of :class:`SweepSpec` that take the place of those in the file.

    Raises
    ------
    ValueError
        The file cannot be read, an unknown key (the nearest is suggested), a bad value.
    """
    data = read_yaml(path)
    if not isinstance(data, dict):
        raise InputError(f"{path}: a spec is a mapping with at least data and space")
    known = [f.name for f in dataclasses.fields(SweepSpec)]
    for written in ("time_budget", "trial_time_limit"):
        if written in data and f"{written}_s" in data:
            raise InputError(f"{path}: {written} and {written}_s are the same setting, give one of them")
        if (value := data.pop(written, None)) is not None:
            data[f"{written}_s"] = parse_duration(value, f"{path}: {written}")
    for key in data:
        if key not in known:
            if {"featurizers", "classifiers"} & set(data):
                raise InputError(f"{path}: this is a search space, not a spec; give it with --space")
            raise InputError(f"{path}: unknown key {key!r}; {nearest(str(key), known)}")
    for key in ("data", "space"):
        if key not in data:
            raise InputError(f"{path}: {key} is missing")
    data |= _beside(path.parent, data)
    try:
        return make_spec(**{**data, **changes}, scale=scale, settings=settings)
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None


def _beside(folder: Path, written: dict[str, Any]) -> dict[str, str]:
    """Paths of a spec, those that are relative taken from its own folder."""
    names = ["data", "mask", "features", "weights"]
    if isinstance(written["space"], str) and is_space_file(written["space"]):
        names.append("space")
    paths = {name: written.get(name) for name in names}
    return {
        name: str(folder / path) for name, path in paths.items() if isinstance(path, str) and path.strip()
    }
