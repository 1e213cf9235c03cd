"""The spec of a sweep: what `sweeper run` was asked for, checked once, and kept in ``sweep.yaml``."""

from __future__ import annotations

import dataclasses
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from sweeper import plugins
from sweeper.api import Interval, OneOf
from sweeper.data.format import Reading
from sweeper.errors import InputError
from sweeper.evaluate.metrics import RANKED_BY
from sweeper.plugins import is_space_file
from sweeper.runs.contents import ARRAYS
from sweeper.runs.presets import PRESET, Preset, preset_called
from sweeper.runs.settings import (
    Above,
    Beginning,
    Costs,
    Duration,
    FilePath,
    Names,
    SearchName,
    Setting,
    SpaceMapping,
    Switch,
    Text,
    duration_text,
    from_written,
    setting,
    settings_of,
)
from sweeper.search.brackets import Ladder
from sweeper.space.file import parse_space
from sweeper.space.space import Space
from sweeper.space.study import SCALES, SWEEP, Study, plain, read_study
from sweeper.yamlfile import read_yaml

RERUN_TOP = 3
"""Pipelines that are run again, as many as in DiffraNet's Figure 3."""
DEFAULT_TRIALS = 60
"""Trials of a sweep that was given neither a number nor a time."""


@dataclass(frozen=True)
class SweepSpec:
    """Everything that decides what a sweep computes, and how far it goes.

    A spec is complete: its paths are absolute, and its space is the mapping itself, so that what runs is what
    the spec says, whatever happens meanwhile to the files that it came from. :func:`make_spec` and
    :func:`load_spec` make one from what a person writes. Each setting is declared here and nowhere else;
    ``docs/settings.md`` lists them.
    """

    data: str = setting(
        legal=FilePath(),
        help="folder of classes, CSV or Parquet manifest",
        group="data",
        metavar="DATA",
        positional=True,
    )
    space: dict[str, Any] = setting(  # noqa: RUF009  a field
        legal=SpaceMapping(),
        help="search space: a name that 'sweeper list spaces' shows, or the path of a YAML file; required "
        "unless a spec file names it or a preset brings one",
        group="search",
        metavar="SPACE",
    )
    search: str = setting(
        "bohb",
        legal=SearchName(),
        help="how pipelines are chosen",
        group="search",
        metavar="SEARCH",
    )
    trials: int | None = setting(
        None,
        legal=Interval(1, math.inf, integer=True),
        help="most pipelines to try",
        group="search",
        metavar="N",
        unset=f"{DEFAULT_TRIALS}; the whole grid with --search grid; no limit with --time-budget",
        resumable=True,
    )
    time_budget_s: float | None = setting(
        None,
        legal=Duration(),
        help="end the sweep after this long, such as 90s, 10m or 1.5h",
        group="search",
        metavar="T",
        unset="no limit",
        resumable=True,
    )
    metric: str = setting(
        "accuracy",
        legal=OneOf(*RANKED_BY),
        help="score that ranks the pipelines, and that the search maximises; those of domains need "
        "--hold-out domain",
        group="evaluation",
        metavar="METRIC",
    )
    class_costs: dict[str, float] | None = setting(  # noqa: RUF009  a field
        None,
        legal=Costs(),
        help="what it costs to miss a frame of a class: an exported model gives each frame the class that "
        "costs least",
        group="evaluation",
        metavar="CLASS=COST,...",
        unset="1 for every class",
        resumable=True,
    )
    folds: int = setting(
        5,
        legal=Interval(2, math.inf, integer=True),
        help="folds of the stratified cross-validation",
        group="evaluation",
        metavar="K",
    )
    repeats: int = setting(
        1,
        legal=Interval(1, 10, integer=True),
        help="how often the cross-validation is repeated, each time with the frames shuffled anew",
        group="evaluation",
        metavar="R",
    )
    warm_start: str | dict[str, Any] | None = setting(  # noqa: RUF009  a field
        None,
        legal=Beginning(),
        help="begin with the best pipelines of a finished run, over other or more frames",
        group="search",
        metavar="RUN",
        unset="none",
    )
    seed: int = setting(
        0,
        legal=Interval(0, math.inf, integer=True),
        help="seed of all that is random: the same seed gives the same leaderboard",
        group="search",
        metavar="SEED",
    )
    reduction_factor: int = setting(
        3,
        legal=Interval(2, 10, integer=True),
        help="HyperBand's eta: one pipeline in ETA goes on to the next larger budget",
        group="search",
        metavar="ETA",
    )
    rungs: int = setting(
        3,
        legal=Interval(1, 8, integer=True),
        help="number of budgets of a search that stops early: 1/ETA^(N-1) of the full one, ..., 1/ETA, all",
        group="search",
        metavar="N",
    )
    cpus: int | None = setting(
        None,
        legal=Interval(1, 4096, integer=True),
        help="CPU cores to use on this machine",
        group="resources",
        metavar="N",
        unset="all",
        resumable=True,
    )
    object_store_gb: float | None = setting(
        None,
        legal=Above(),
        help="memory for features in Ray's object store, where Ray is started here; what does not fit is "
        "spilled to disk",
        group="resources",
        metavar="GB",
        unset="Ray's, 30 % of the memory",
        resumable=True,
    )
    address: str | None = setting(
        None,
        legal=Text(),
        help="Ray cluster to join",
        group="resources",
        metavar="ADDR",
        unset="start Ray on this machine",
        resumable=True,
    )
    mask: str | None = setting(
        None,
        legal=FilePath(),
        help="mask of the detector: pixels that are not zero in it are invalid",
        group="data",
        metavar="FILE",
        unset="none",
    )
    ignore_file_mask: bool = setting(
        False,
        legal=Switch(),
        help="take pixels for valid that a file's own mask, or the limits in its header, call invalid",
        group="data",
    )
    dataset: str | None = setting(
        None,
        legal=Text(),
        help="path of the dataset in HDF5 files that holds the frames; * stands for any name in it",
        group="data",
        metavar="PATH",
        unset="the detector's, as far as a file says which that is",
    )
    scan_grid: bool = setting(
        False,
        legal=Switch(),
        help="let all axes of an HDF5 dataset but the last two count frames; otherwise the third from the "
        "end, "
        "where there are four or more, counts panels of one frame",
        group="data",
    )
    skip_bad: bool = setting(
        False,
        legal=Switch(),
        help="leave unreadable frames out and list them in quarantine.csv, instead of refusing to start",
        group="data",
        resumable=True,
    )
    drop_duplicates: bool = setting(
        False,
        legal=Switch(),
        help="of frames that are equal in every pixel keep one, and none where their labels differ; those "
        "left out are listed in quarantine.csv",
        group="data",
    )
    group_by: str | None = setting(
        None,
        legal=OneOf("file", "folder"),
        help="keep frames of one file, or of one folder, on one side of every split",
        group="data",
        metavar="WHAT",
        unset="the manifest's column group, if it has one",
    )
    helping: str | None = setting(
        None,
        legal=FilePath(),
        help="labelled frames that help where yours are few, simulated or of other instruments: they are "
        "training frames in every fold, never scored; what yours count beside them is searched",
        group="data",
        metavar="DATA",
        unset="none",
    )
    target: str | None = setting(
        None,
        legal=FilePath(),
        help="unlabelled frames of the instrument that the sweep is for: at its end it says how many of them "
        "are unlike any training frame",
        group="data",
        metavar="FRAMES",
        unset="none",
        resumable=True,
    )
    hold_out: str | None = setting(
        None,
        legal=OneOf("domain"),
        help="let every fold leave out whole domains: instruments, beamtimes, simulators (column domain of a "
        "manifest); at most as many folds as there are domains",
        group="evaluation",
        metavar="WHAT",
        unset="frames, or groups, of every domain in every fold",
    )
    allow_outside: bool = setting(
        False,
        legal=Switch(),
        help="let a manifest name files outside its own folder",
        group="data",
        resumable=True,
    )
    trial_time_limit_s: float = setting(
        600.0,
        legal=Duration(),
        help="longest time that one fit with its predictions may take",
        group="resources",
        metavar="T",
    )
    trial_memory_limit_gb: float | None = setting(
        None,
        legal=Above(),
        help="most memory that one fit may take",
        group="resources",
        metavar="GB",
        unset="an even share of the machine's memory",
    )
    features: str | None = setting(
        None,
        legal=FilePath(),
        help="folder that features are kept in; sweeps over the same frames may share one",
        group="output",
        metavar="DIR",
        unset="RUN/features",
        resumable=True,
    )
    representation_share: float | None = setting(
        None,
        legal=Above(0, 1),
        help="share of the training frames that is set apart to fit networks and codebooks, 0.5 in "
        "camSortXS's protocol; classifiers are cross-validated on the rest",
        group="evaluation",
        metavar="SHARE",
        unset="fit them on the training frames of each fold",
    )
    weights: str | None = setting(
        None,
        legal=FilePath(),
        help="folder of pretrained weights, one file a model; what is not there is downloaded",
        group="networks",
        metavar="DIR",
        unset="download all from timm's hub",
        resumable=True,
    )
    train_workers: int = setting(
        1,
        legal=Interval(1, 1024, integer=True),
        help="processes that train one network together, each on a device of its own",
        group="networks",
        metavar="N",
    )
    train_cpus: float | None = setting(
        None,
        legal=Above(),
        help="CPU cores of each of these processes",
        group="networks",
        metavar="N",
        unset="1; with a GPU its share of the cores, at most 8",
        resumable=True,
    )
    train_gpus: float | None = setting(
        None,
        legal=Interval(0, 1024),
        help="GPUs of each of these processes: with 0.5 two networks share one, with 0 none is used",
        group="networks",
        metavar="N",
        unset="1 where there is one",
        resumable=True,
    )
    train_compile: bool = setting(
        False,
        legal=Switch(),
        help="compile networks with torch.compile before they are trained",
        group="networks",
    )
    test_top: int = setting(
        10,
        legal=Interval(0, math.inf, integer=True),
        help="how many of the best pipelines are scored on the test split, where there is one, beside the "
        "members of the ensemble; 0: none at all",
        group="evaluation",
        metavar="N",
        resumable=True,
    )
    reruns: int = setting(
        0,
        legal=Interval(0, 100, integer=True),
        help=f"how often the best {RERUN_TOP} pipelines are run again, each time with another seed",
        group="evaluation",
        metavar="N",
        resumable=True,
    )
    log: tuple[str, ...] = setting(
        (),
        legal=Names(),
        help="log every trial to mlflow, tensorboard or wandb; may be given several times",
        group="output",
        metavar="TOOL",
        unset="none",
        resumable=True,
    )

    def __post_init__(self) -> None:
        for name, declared in SETTINGS.items():
            value = getattr(self, name)
            declared.check(value)
            if isinstance(declared.legal, FilePath) and value is not None and declared.legal.on_disk(value):
                object.__setattr__(self, name, os.path.abspath(value))  # noqa: PTH100  links keep their names
        if isinstance(self.warm_start, Mapping):
            object.__setattr__(self, "warm_start", plain(self.warm_start, "warm_start"))
        object.__setattr__(self, "log", tuple(dict.fromkeys(self.log)))
        space = {key: value for key, value in plain(self.space).items() if key not in (SWEEP, SCALES)}
        object.__setattr__(self, "space", {"name": "space", **space})

    @property
    def reading(self) -> Reading:
        """How files are read."""
        return Reading(self.dataset, self.scan_grid, not self.ignore_file_mask, self._reads_header)

    @property
    def _reads_header(self) -> bool:
        """Whether a featurizer of the space looks at what files say of how frames were taken."""
        for name in map(str, self.space.get("featurizers") or ()):
            try:
                if getattr(plugins.featurizer(name), "reads_header", False):
                    return True
            except InputError:  # a plugin of the run that is not here
                continue
        return False

    @property
    def arrays(self) -> str | None:
        """Digest of the arrays in memory that the data set was written from; None for files of a person's."""
        return _arrays(self.data)

    @property
    def space_name(self) -> str:
        """Name of the search space."""
        return str(self.space["name"])

    @cached_property
    def search_space(self) -> Space:
        """The search space, checked against the plugins it names; ValueError where it does not agree."""
        return parse_space(self.space, default_name=self.space_name)

    @property
    def ladder(self) -> Ladder:
        """Rungs and brackets; searches that do not stop early have one rung, the full budget."""
        search = plugins.search(self.search)
        if search.early_stopping == "none":
            return Ladder(self.reduction_factor, 1, search.group)
        return Ladder(self.reduction_factor, self.rungs)

    def trial_limit(self, space: Space) -> int | None:
        """Return the most trials of a sweep over `space`; None where time alone ends it."""
        if self.trials is not None:
            return int(min(self.trials, space.size))
        if plugins.search(self.search).exhaustive:
            return int(space.size)
        return None if self.time_budget_s else int(min(DEFAULT_TRIALS, space.size))

    @property
    def summary(self) -> str:
        """What decides most of a sweep's cost and of its result, in one line."""
        combine = self.space.get("combine") or {}
        most = combine.get("most", 1) if isinstance(combine, Mapping) else 1
        ends = [
            *([f"{self.trials} trials"] if self.trials else []),
            *([f"time budget {duration_text(self.time_budget_s)}"] if self.time_budget_s else []),
        ]
        folds = f"{self.folds} folds" + (f", {self.repeats} times" if self.repeats > 1 else "")
        beside = f"up to {most} featurizers a pipeline" if most != 1 else "one featurizer a pipeline"
        return ", ".join([f"space {self.space_name}", beside, f"search {self.search}", *ends, folds])

    def resolved(self) -> dict[str, Any]:
        """Return the spec as ``sweep.yaml`` keeps it, in the order of the settings."""
        return {**dataclasses.asdict(self), "log": list(self.log)}

    def difference(self, other: SweepSpec) -> str | None:
        """Return how two specs differ in what they compute: the first setting, and both values; or None."""
        for name, declared in SETTINGS.items():
            mine, theirs = getattr(self, name), getattr(other, name)
            if declared.resumable or _same(declared, mine, theirs):
                continue
            if name == "warm_start":
                return "it begins with other pipelines, see --warm-start"
            if name == "space":
                return "its space is another, or was edited since"
            if name == "data" and _arrays(mine) and _arrays(theirs):
                return "its arrays are others: frames, labels, groups, split or mask differ"
            return f"its {name} is {theirs}, not {mine}"
        return None


SETTINGS: Mapping[str, Setting] = settings_of(SweepSpec)
"""Every setting of a sweep, in the order of ``sweep.yaml``."""
_ASKED = {name: declared for name, declared in SETTINGS.items() if name not in ("data", "space")}
_PATHS = [name for name, declared in SETTINGS.items() if isinstance(declared.legal, FilePath)]


def _same(declared: Setting, mine: Any, theirs: Any) -> bool:
    """Whether two values mean the same; of a path also where one goes by a link, or a run has moved."""
    if isinstance(declared.legal, Beginning):
        return begins_alike(mine, theirs)
    if isinstance(declared.legal, FilePath) and None not in (mine, theirs):
        if _arrays(mine) is not None and _arrays(mine) == _arrays(theirs):
            return True
        mine, theirs = os.path.realpath(mine), os.path.realpath(theirs)
    return bool(mine == theirs)


def begins_alike(mine: str | Mapping[str, Any] | None, theirs: str | Mapping[str, Any] | None) -> bool:
    """Return whether two sweeps begin with the same pipelines, or where one only names a run, with its."""
    if mine is None or theirs is None:
        return mine is theirs
    if isinstance(mine, Mapping) and isinstance(theirs, Mapping):
        return bool(mine["pipelines"] == theirs["pipelines"])
    return _run_of(mine) == _run_of(theirs)


def _run_of(warm_start: str | Mapping[str, Any]) -> str:
    """Return the run that a sweep begins with, as a spec names it: without credentials."""
    run = warm_start if isinstance(warm_start, str) else str(warm_start["run"])
    if "://" not in run:
        return os.path.realpath(run)
    from sweeper.runs.mirror.urls import shown

    return shown(run)


def _arrays(data: str) -> str | None:
    """Return the digest of the arrays that a data set in a run folder was written from; None for others."""
    folder = Path(data).parent
    ours = folder.parent.name == ARRAYS and re.fullmatch("[0-9a-f]{20}", folder.name)
    return folder.name if ours else None


def spec_of(
    data: str | Path,
    space: str | Path | Mapping[str, Any] | None,
    *,
    required: str = "space",
    preset: str | None = None,
    settings: Sequence[str] = (),
    **given: Any,
) -> SweepSpec:
    """Make the spec that a person asks for: by a YAML file of settings, or by data and a space or a preset.

    Parameters
    ----------
    data : str or Path
        A path that ends in ``.yaml`` or ``.yml`` is a file of settings.
    space
        See :func:`make_spec`; may be None where the file of settings names it, or where a preset does.
    required : str
        What `space` is called where it is missing.
    preset : str, optional
        Gives values to what is not given: one of :data:`sweeper.runs.presets.PRESETS`.
    settings
        See :func:`make_spec`.
    **given
        See :func:`load_spec` and :func:`make_spec`.
    """
    if str(data).endswith((".yaml", ".yml")):
        named = given if space is None else {**given, "space": space}
        return load_spec(Path(data), preset=preset, settings=settings, **named)
    chosen = None if preset is None else preset_called(preset)
    if space is None and chosen is None:
        raise InputError(
            f"{required} is required ('sweeper list spaces' shows what there is, 'sweeper list presets' what "
            "brings its own)"
        )
    return make_spec(data, space, preset=chosen, settings=settings, **given)


def make_spec(
    data: str | Path,
    space: str | Path | Mapping[str, Any] | None,
    *,
    scale: str | None = None,
    settings: Sequence[str] = (),
    elsewhere: bool = False,
    preset: Preset | None = None,
    **given: Any,
) -> SweepSpec:
    """Make the spec of a sweep over a space, which is read here; what is not given is as the space says.

    Parameters
    ----------
    data : str or Path
        Folder of classes, or manifest.
    space : str, Path or mapping
        Name or path of a search space, or the space itself as its YAML holds it. None: that of the preset.
    scale, settings
        Changes of the space, see :func:`sweeper.space.study.read_study`.
    elsewhere : bool
        The sweep will run on other machines: relative paths, which are taken from the current folder
        otherwise, are refused.
    preset : Preset, optional
        Gives values to what is not given; they win over what the space says about its sweep.
    **given
        Settings, by the names of the fields of :class:`SweepSpec`; times also as ``time_budget="10m"``.

    Raises
    ------
    ValueError
        An unknown setting (the nearest is suggested), a bad value, no such space or scale, a space that does
        not agree with the plugins that are here: the message names the space's file.
    """
    values = {"data": data, **from_written(given, _ASKED)}
    if elsewhere:
        _refuse_relative(values)
    return _checked(*_spec(values, _study(space, scale, settings, preset), preset))


def load_spec(
    path: Path,
    *,
    scale: str | None = None,
    settings: Sequence[str] = (),
    elsewhere: bool = False,
    preset: str | None = None,
    **changes: Any,
) -> SweepSpec:
    """Make a spec from a YAML file of settings; relative paths in it are taken from its folder.

    Parameters
    ----------
    path : Path
    scale, settings, elsewhere
        See :func:`make_spec`.
    preset : str, optional
        Takes the place of the one that the file names. What the file says in full wins over it.
    **changes
        Settings that take the place of those in the file, as for :func:`make_spec`; `space` among them.

    Raises
    ------
    ValueError
        The file cannot be read or has an unknown key, or as for :func:`make_spec`; names the file.
    """
    written, named = _read_settings(path)
    try:
        wanted = named if preset is None else preset
        chosen = None if wanted is None else preset_called(wanted)
        changed = from_written(changes, SETTINGS)
        if elsewhere:
            _refuse_relative({**written, **changed})
        values = {**_beside(path.parent, written), **changed}
        if "space" not in values and chosen is None:
            raise InputError("space is missing")
        study = _study(values.pop("space", None), scale, settings, chosen)
        return _checked(*_spec(values, study, chosen))
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None


def read_spec(path: Path) -> SweepSpec:
    """Read the ``sweep.yaml`` of a run; its space and search need not be known here."""
    values = _beside(path.parent, _read_settings(path)[0])
    try:
        if "space" not in values:
            raise InputError("space is missing")
        return _spec(values, read_study(values.pop("space")))[0]
    except ValueError as error:
        raise InputError(f"{path}: {error}") from None


def _study(
    space: str | Path | Mapping[str, Any] | None,
    scale: str | None,
    settings: Sequence[str],
    preset: Preset | None,
) -> Study:
    """Read the space of a sweep; where none is named, that of a preset with its changes."""
    if space is None and preset is not None:
        space, settings = preset.space, (*preset.changes, *settings)
    assert space is not None
    return read_study(space, scale, settings)


def _spec(given: Mapping[str, Any], study: Study, preset: Preset | None = None) -> tuple[SweepSpec, Study]:
    """Return the spec of a sweep over a study: what is given, else what a preset says, else the study."""
    try:
        own = from_written(study.sweep, _ASKED)
    except ValueError as error:
        raise study.located(InputError(f"{SWEEP} of the space: {error}")) from None
    chosen = {} if preset is None else preset.settings
    return SweepSpec(space=study.space, **{**own, **chosen, **given}), study


def _checked(spec: SweepSpec, study: Study) -> SweepSpec:
    """Return a spec whose space and search agree with the plugins that are here."""
    plugins.search(spec.search)
    try:
        spec.search_space  # noqa: B018  read and kept
    except ValueError as error:
        raise study.located(error) from None
    return spec


def _read_settings(path: Path) -> tuple[dict[str, Any], Any]:
    """Return the settings that a YAML file holds, by field name, and the preset that it names, if any."""
    data = read_yaml(path)
    if not isinstance(data, dict):
        raise InputError(f"{path}: a spec is a mapping with at least data and space (or {PRESET})")
    try:
        preset = data.pop(PRESET, None)
        values = from_written(data, SETTINGS, "key", [PRESET])
    except ValueError as error:
        if {"featurizers", "classifiers"} & set(data):
            raise InputError(f"{path}: this is a search space, not a spec; give it with --space") from None
        raise InputError(f"{path}: {error}") from None
    if "data" not in values:
        raise InputError(f"{path}: data is missing")
    return values, preset


def _beside(folder: Path, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values of a spec file with its relative paths taken from a folder."""
    space = values.get("space")
    names = [*_PATHS, *(["space"] if isinstance(space, str) and is_space_file(space) else [])]
    paths: dict[str, Any] = {name: values.get(name) for name in names}
    relative = {n: path for n, path in paths.items() if path in FilePath() and _on_disk(n, path)}
    return {**values, **{n: str(folder / path) for n, path in relative.items()}}


def _on_disk(name: str, value: Any) -> bool:
    """Return whether the value of a setting is a path, which may be relative."""
    legal = SETTINGS[name].legal
    return not isinstance(legal, FilePath) or legal.on_disk(value)


def _refuse_relative(values: Mapping[str, Any]) -> None:
    for name in _PATHS:
        value = values.get(name)
        if value is None or value not in SETTINGS[name].legal or not _on_disk(name, value):
            continue
        if not Path(value).is_absolute():
            raise InputError(
                f"{name} must be an absolute path of the cluster's, got {str(value)!r}: data are not sent"
            )
