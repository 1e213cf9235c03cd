"""A sweep from frames to leaderboard, stage after stage."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sweeper.data.dataset import Dataset
from sweeper.data.formats import split_location
from sweeper.engine import nodes
from sweeper.engine.cluster import connected, is_shared
from sweeper.engine.files import start_file_actors
from sweeper.engine.inputs import environment, examine
from sweeper.engine.private.tune import trial_environment
from sweeper.engine.resources import training_resources
from sweeper.engine.search import Sweep, run_search
from sweeper.errors import InputError, StoppedError
from sweeper.pipeline import Pipeline
from sweeper.runs.checks import Checked, check_sweep
from sweeper.runs.ensemble import results_with_ensemble
from sweeper.runs.exports.sending import Exports
from sweeper.runs.folder import RunFolder
from sweeper.runs.leaderboard import write_leaderboard
from sweeper.runs.progress import Progress
from sweeper.runs.spec import SweepSpec
from sweeper.runs.warm_start import first_pipelines, resolved
from sweeper.sorter.target import check_target, look_at_target
from sweeper.space.needs import find_all_weights, searched_networks
from sweeper.space.space import Space

_CLOSING_S = 3.0
"""Time that ending takes: trials wound up, the leaderboard written, Ray shut down."""


def run_sweep(spec: SweepSpec, out: Path, progress: Progress, *, dashboard: bool = False) -> Any:
    """Run or resume the sweep of `spec` in the folder `out`.

    Returns
    -------
    pandas.DataFrame
        The leaderboard, also written to ``leaderboard.csv``.

    Raises
    ------
    InputError
        Bad input, before compute is spent.
    StoppedError
        The disk is full or the folder is gone; running the same command again resumes the sweep.
    """
    started = time.monotonic()
    deadline = float("inf")
    if spec.time_budget_s:
        deadline = started + spec.time_budget_s - min(_CLOSING_S, 0.05 * spec.time_budget_s)
    checked = check_sweep(spec)
    if spec.target is not None:
        check_target(spec.target)
    weights = find_all_weights(checked.space, spec.weights)
    folder = RunFolder(out)
    with folder.held(spec):
        spec = resolved(spec, folder, helped=checked.dataset.helping is not None)
        folder.claim(spec)
        return _run(spec, checked, weights, folder, progress, deadline, dashboard=dashboard)


def _run(
    spec: SweepSpec,
    checked: Checked,
    weights: dict[str, tuple[str, str]],
    folder: RunFolder,
    progress: Progress,
    deadline: float,
    *,
    dashboard: bool,
) -> Any:
    """Run the sweep in a folder that is its own."""
    space, dataset = checked.space, checked.dataset
    first, notes = _beginning(spec, checked)
    for note in notes:
        progress.note(f"note: {note}")
    progress.state.metric, progress.state.time_budget_s = spec.metric, spec.time_budget_s
    shared = is_shared(spec.address)
    with Exports(spec.log, folder, spec.ladder, progress.note) as exports:
        progress.stage("joining Ray" if shared else "starting Ray")
        with connected(
            spec.address,
            spec.cpus,
            folds=len(checked.splits),
            object_store_gb=spec.object_store_gb,
            dashboard=dashboard,
        ) as cpus:
            resources = training_resources(spec, trains=bool(searched_networks(space)))
            files = start_file_actors(_samples_of(dataset) if shared else None)
            if shared:
                _check_nodes(spec, space, folder)
            inputs = examine(spec, dataset, folder, space, progress, files)
            digest = inputs.dataset.digest(inputs.frame_digests)
            folder.check_dataset(digest)
            folder.write_environment(environment(inputs, notes, digest, cpus))
            sweep = Sweep(
                spec,
                space,
                first,
                inputs,
                digest,
                weights,
                resources,
                files,
                folder,
                progress,
                exports,
                deadline,
            )
            try:
                run_search(sweep)
            finally:
                folder.add_session(progress.session())
        folds = len(inputs.splits)
        results = results_with_ensemble(folder, spec.metric, folds)
        board = write_leaderboard(results, folder.leaderboard, metric=spec.metric, folds=folds)
        _look_at_target(spec, folder, progress)
        if spec.log:
            progress.stage(f"logging to {', '.join(spec.log)}")
        exports.close(results, folds)
    return board


def _look_at_target(spec: SweepSpec, folder: RunFolder, progress: Progress) -> None:
    """Keep how far the frames of the target are from the training frames, where the spec names some."""
    folder.target.unlink(missing_ok=True)
    if spec.target is None:
        return
    progress.stage("looking at the target's frames")
    try:
        look_at_target(folder).write(folder.target)
    except InputError as error:
        progress.note(f"note: nothing can be said of the target: {error}")
    except OSError as error:
        raise StoppedError(f"{error}; nothing recorded is lost") from None


def _beginning(spec: SweepSpec, checked: Checked) -> tuple[tuple[Pipeline, ...], tuple[str, ...]]:
    """Return the pipelines that the search begins with, and all that a person should know before it."""
    if not isinstance(spec.warm_start, Mapping):
        return (), checked.notes
    first, note = first_pipelines(spec.warm_start, checked.space)
    return first, (*checked.notes, note)


def _samples_of(dataset: Dataset) -> tuple[tuple[str, str], ...]:
    """Files by which a node can tell whether it sees the data set, with their stamps here."""
    paths = [str(split_location(dataset.paths[row])[0].resolve()) for row in (0, len(dataset) - 1)]
    return tuple((path, nodes.stamp(path)) for path in paths)


def _check_nodes(spec: SweepSpec, space: Space, folder: RunFolder) -> None:
    """Ask the nodes of a cluster, before anything is spent.

    Raises
    ------
    InputError
        A node runs other code or versions; networks are searched and a node does not see the run folder,
        where they keep their inputs and checkpoints.
    """
    folders = [folder.path, *([Path(spec.features)] if spec.features else [])]
    markers = [nodes.marker(path.resolve()) for path in folders]
    try:
        found = nodes.probe([str(path) for path in markers], trial_environment())
    finally:
        for path in markers:
            path.unlink(missing_ok=True)
    for path in markers if searched_networks(space) else ():
        if unseeing := nodes.unseeing(found, str(path)):
            raise InputError(
                f"{path.parent}: networks need a folder that every node sees, {', '.join(unseeing)} does not"
            )
