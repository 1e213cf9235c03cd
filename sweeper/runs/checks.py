"""Checks of a sweep before any pixel is read."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweeper import plugins
from sweeper.data.dataset import Dataset, load_dataset
from sweeper.data.listing import MISSING
from sweeper.data.series import series_note
from sweeper.data.splits import Rows, Split
from sweeper.errors import BadFramesError, InputError
from sweeper.evaluate.costs import check_costs
from sweeper.evaluate.metrics import DOMAIN_METRICS
from sweeper.runs.data import sweep_splits
from sweeper.runs.exports.tools import check_tool
from sweeper.runs.place import Place, place_of, shown
from sweeper.runs.spec import SweepSpec
from sweeper.space.needs import check_sizes
from sweeper.space.space import Space


@dataclass(frozen=True, eq=False)
class Checked:
    """A checked sweep, as far as it is known without reading pixels.

    Attributes
    ----------
    space : Space
        As it is for the classes of the data set.
    dataset : Dataset
        Files that cannot be opened are in its `quarantined`: the sweep reports them together with frames
        whose pixels are bad.
    splits : list of Split
        Folds, unless bad frames are left out.
    apart : int64, (n,), or None
        Rows set apart for representations.
    notes : tuple of str
        What a person should know about the data before anything is spent on them, a line each.
    """

    space: Space
    dataset: Dataset
    splits: list[Split]
    apart: Rows | None
    notes: tuple[str, ...]


def check_sweep(spec: SweepSpec) -> Checked:
    """Check a sweep without reading pixels.

    Raises
    ------
    InputError
        Names file or parameter, rule and value.
    """
    for tool in spec.log:
        check_tool(tool, "--log")
    check_domains(spec)
    space = spec.search_space
    if plugins.search(spec.search).exhaustive and space.size == float("inf"):
        raise InputError(
            f"search {spec.search}: space {space.name} has a range (low, high); a grid needs lists"
        )
    plugins.check_installed("search", [spec.search])
    for kind in ("featurizer", "classifier"):
        plugins.check_installed(kind, [part.name for part in space.parts[kind]])
    check_sizes(space)
    dataset = _load(spec)
    check_costs(spec.class_costs or {}, dataset.classes)
    splits, apart = sweep_splits(spec, dataset)
    # Frames that were given as arrays share a file because we wrote them into one.
    series = None if spec.arrays else series_note(dataset, splits, apart)
    notes = (*dataset.notes, *([series] if series else []))
    space = space.for_classes(dataset.classes).with_own_weights(helped=dataset.helping is not None)
    if dataset.helping is not None:
        notes = (*notes, *_without_weights(space))
    return Checked(space, dataset, splits, apart, notes)


def _without_weights(space: Space) -> list[str]:
    """Return a line on what gives frames of one's own no more weight than those that help, if anything."""
    networks = [part.name for part in space.parts["featurizer"] if part.head]
    heads = [part.name for part in space.parts["classifier"] if part.head]
    alike = ", ".join(dict.fromkeys([*networks, *heads]))
    return [f"{alike}: cannot weigh your own frames, which count like those that help"] if alike else []


def check_domains(spec: SweepSpec) -> None:
    """Check that what a sweep asks of domains goes together; InputError where it does not."""
    if spec.metric in DOMAIN_METRICS and spec.hold_out is None:
        raise InputError(f"metric {spec.metric} needs --hold-out domain")
    if spec.hold_out is not None and spec.group_by is not None:
        raise InputError(
            f"--group-by {spec.group_by}: --hold-out {spec.hold_out} keeps whole domains together, leave the "
            "option out"
        )


def check_place(spec: SweepSpec, out: Place) -> None:
    """Check that a sweep can write where it is to run.

    Raises
    ------
    InputError
        It logs and `out` is a URL, or it would begin with what stands in `out` itself.
    """
    if isinstance(spec.warm_start, str) and _same_place(place_of(spec.warm_start, "--warm-start"), out):
        raise InputError(f"--warm-start {shown(out)}: is the run folder itself, see --out")
    if spec.log and isinstance(out, str):
        raise InputError(f"--log writes into the run folder: --out must be a folder, got {shown(out)}")


def _same_place(one: Place, other: Place) -> bool:
    if isinstance(one, Path) and isinstance(other, Path):
        return one.resolve() == other.resolve()
    return type(one) is type(other) and shown(one) == shown(other)


def _load(spec: SweepSpec) -> Dataset:
    options: dict[str, Any] = {
        "mask": spec.mask,
        "allow_outside": spec.allow_outside,
        "group_by": spec.group_by,
        "hold_out": spec.hold_out,
        "helping": spec.helping,
        "reading": spec.reading,
    }
    try:
        return load_dataset(spec.data, **options)
    except BadFramesError as bad:
        if not spec.skip_bad and any(reason.startswith(MISSING) for _, reason in bad.problems):
            raise  # a wrong manifest, not bad frames: no need to read what is there
        try:
            return load_dataset(spec.data, skip_bad=True, **options)
        except ValueError:
            raise bad from None


def local_cpus(cpus: int | None) -> int:
    """Return the cores to use here: what was asked for, or those this process may run on."""
    return cpus if cpus is not None else len(os.sched_getaffinity(0))
