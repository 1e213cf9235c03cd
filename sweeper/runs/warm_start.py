"""What a sweep begins with: the best pipelines of another run, as far as they are in its own space.

They are taken from that run once, when the sweep begins, and stand in the sweep's own spec from then on: it
is resumed without the other run, whatever becomes of that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sweeper.errors import InputError
from sweeper.pipeline import Pipeline
from sweeper.runs.folder import RunFolder
from sweeper.runs.leaderboard import build_leaderboard
from sweeper.runs.place import place_of, reading, shown
from sweeper.runs.spec import SweepSpec, begins_alike
from sweeper.space.space import Space

MOST = 10
"""Pipelines that a sweep begins with, at most."""


def resolved(spec: SweepSpec, folder: RunFolder, *, helped: bool = False) -> SweepSpec:
    """Return a spec that holds the pipelines of the run that it names.

    A sweep that `folder` holds already has them in its spec. `helped` says whether some frames only help.

    Raises
    ------
    InputError
        As :func:`best_of`.
    """
    if spec.warm_start is None or isinstance(spec.warm_start, Mapping):
        return spec
    if folder.spec.exists() and folder.journal.exists():
        begun = folder.load_spec().warm_start
        if isinstance(begun, Mapping) and begins_alike(begun, spec.warm_start):
            return replace(spec, warm_start=begun)
    space = spec.search_space.with_own_weights(helped=helped)
    return replace(spec, warm_start=best_of(spec.warm_start, space))


def best_of(run: str, space: Space) -> dict[str, Any]:
    """Return the best pipelines of a run that are in a space, as a spec holds them.

    The best with each set of featurizers and each classifier come first, so that they differ, then the rest.

    Raises
    ------
    InputError
        There is no run, none of its pipelines has reached the full budget, or none is in the space.
    """
    place = place_of(run, "--warm-start")
    with reading(place) as path:
        folder = RunFolder(path)
        if not folder.spec.exists():
            raise InputError(f"--warm-start {shown(place)}: no sweep here")
        finished = list(_finished(folder))
        classes = folder.read_environment().get("classes")
    if not finished:
        raise InputError(
            f"--warm-start {shown(place)}: none of its pipelines has reached the full budget yet"
        )
    here = _for_classes(space, classes)
    found: dict[str, Pipeline] = {}
    left_out = 0
    for pipeline in finished:
        own = here.own(pipeline)
        left_out += own is None
        if own is not None:
            found.setdefault(own.id, own)
        if len(found) == MOST:
            break
    if not found:
        raise InputError(
            f"--warm-start {shown(place)}: none of its {len(finished)} finished pipelines is in the space "
            f"{space.name}"
        )
    return {
        "run": shown(place),
        "pipelines": [pipeline.to_dict() for pipeline in found.values()],
        "left_out": left_out,
    }


def _finished(folder: RunFolder) -> Iterator[Pipeline]:
    """Yield the pipelines at the full budget: the best of each kind, then the others, each by rank."""
    results = folder.results()
    board = build_leaderboard(results, metric=folder.load_spec().metric, folds=folder.folds())
    done = board[(board["status"] == "done") & (board["trial"] >= 0)]
    again = done.duplicated(["featurizer", "classifier"])
    for trial in [*done["trial"][~again], *done["trial"][again]]:
        yield results.pipeline(int(trial))


def _for_classes(space: Space, classes: Sequence[str] | None) -> Space:
    """Return the space as it is for the classes of the other run: lists of class weights in their order."""
    try:
        return space.for_classes(tuple(map(str, classes))) if classes else space
    except InputError:  # it has lists of weights alone, for another number of classes
        return space


def first_pipelines(warm_start: Mapping[str, Any], space: Space) -> tuple[tuple[Pipeline, ...], str]:
    """Return the pipelines that a sweep over a space begins with, and a line about them.

    Parameters
    ----------
    warm_start : mapping
        What :func:`best_of` gives.
    space : Space
        As it is for the classes of the data set.
    """
    written = [Pipeline.from_dict(dict(pipeline)) for pipeline in warm_start["pipelines"]]
    first = tuple(own for pipeline in written if (own := space.own(pipeline)) is not None)
    left_out = int(warm_start.get("left_out", 0)) + len(written) - len(first)
    best = f"the best {len(first)} pipelines" if len(first) > 1 else f"{len(first)} pipeline"
    others = f"; {left_out} others of its best are not in this space" if left_out else ""
    return first, f"the sweep begins with {best} of {warm_start['run']}{others}"
