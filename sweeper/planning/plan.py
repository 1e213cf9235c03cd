"""The cost of a sweep: the grid is counted, the blocks are listed, and a few frames and fits are timed."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from sweeper import plugins
from sweeper.data.dataset import Dataset
from sweeper.data.frames import invalid_pixels
from sweeper.data.prepared import inspect_refs, raw_frame
from sweeper.data.splits import rows_of_test
from sweeper.evaluate.ensembles import STEPS
from sweeper.features.representation import representation
from sweeper.pipeline import Pipeline
from sweeper.planning import Plan
from sweeper.planning.networks import network_costs
from sweeper.planning.values import (
    Choices,
    FeatureCost,
    FeaturizerCost,
    Grid,
    NetworkCosts,
    SearchCost,
)
from sweeper.runs.checks import check_sweep, local_cpus
from sweeper.runs.spec import DEFAULT_TRIALS, RERUN_TOP, SweepSpec
from sweeper.runs.warm_start import best_of, first_pipelines
from sweeper.search.brackets import Ladder
from sweeper.space.needs import wanted_blocks
from sweeper.space.parts import SLOTS, Part
from sweeper.space.space import Space

_FRAMES = 5
_FITS = 13
_OVERHEAD_S = 0.03
"""Overhead of an evaluation beside its fit (benchmarks/overhead.py)."""
_ROWS = 2000
_MOST_TRIALS = 10_000
"""Trials that are counted where time alone ends a sweep."""


def plan(spec: SweepSpec) -> Plan:
    """Return what a sweep will cost. A few frames are read, a few classifiers fitted; nothing is written.

    Raises
    ------
    ValueError
        As the sweep itself would, for whatever can be checked without reading all frames.
    """
    checked = check_sweep(spec)
    space, dataset = checked.space, checked.dataset
    folds, apart = checked.splits, checked.apart
    n = len(dataset)
    n_train = len(folds[0].train) if apart is None else len(apart)
    features = _features(dataset, space, wanted_blocks(space))
    networks = NetworkCosts(
        networks=network_costs(space, len(dataset.classes), n_train),
        fits=len(folds) if apart is None else 1,
        train_frames=n_train,
        input_bytes=_input_bytes(space, n),
    )
    return Plan(
        frames=n,
        classes=dataset.class_counts(),
        unreadable=tuple(dataset.quarantined),
        notes=(*checked.notes, *_beginning(spec, space), *_invalid_pixels(dataset)),
        sweep=spec.summary,
        cpus=local_cpus(spec.cpus),
        grid=_grid(space),
        features=features,
        networks=networks,
        search=_search(
            spec,
            space,
            [len(fold.train) for fold in folds],
            [cost.fit_s for cost in networks.networks if cost.epochs],
            features.intensities * features.cpu_s,
            tested=len(rows_of_test(dataset.split)) > 0,
        ),
    )


def _beginning(spec: SweepSpec, space: Space) -> list[str]:
    """Return what the search begins with, if it is another run's."""
    if spec.warm_start is None:
        return []
    known = spec.warm_start
    return [first_pipelines(best_of(known, space) if isinstance(known, str) else known, space)[1]]


def _invalid_pixels(dataset: Dataset) -> list[str]:
    """Return how many pixels of a few frames are invalid, where it is not by their counts alone."""
    lines = invalid_pixels(inspect_refs([dataset.ref(row) for row in _few(dataset)], "masked"))
    return [f"{line} (of {len(_few(dataset))} frames)" for line in lines]


def _few(dataset: Dataset) -> list[int]:
    rows: list[int] = np.linspace(0, len(dataset) - 1, min(_FRAMES, len(dataset))).astype(int).tolist()
    return rows


def _grid(space: Space) -> Grid:
    slots = {slot: tuple(map(_choices, space.parts[slot])) for slot in SLOTS}
    return Grid(space.name, space.scale, slots, space.most, space.representations, space.size)


def _choices(part: Part) -> Choices:
    return Choices(part.label, part.size, {name: d.size for name, d in part.domains.items() if d.size > 1})


def _features(dataset: Any, space: Space, wanted: dict[str, list[dict[str, Any]]]) -> FeatureCost:
    read_ms, compute_ms = _time_frames(dataset, space, wanted)
    featurizers = tuple(
        FeaturizerCost(
            name,
            len(blocks),
            next(part.size for part in space.parts["featurizer"] if part.name == name),
            plugins.texture(name).codebook is not None,
            compute_ms[name],
        )
        for name, blocks in wanted.items()
    )
    cpu_s = len(dataset) * (read_ms + sum(compute_ms.values())) / 1e3
    return FeatureCost(space.slot_size("intensity"), read_ms, featurizers, cpu_s)


def _input_bytes(space: Space, n: int) -> float:
    """Return the bytes of networks' inputs: every size for every setting of intensity, 16 bits a pixel."""
    domains = [part.domains["size"] for part in space.parts["featurizer"] if "size" in part.domains]
    sizes = {size for domain in domains for size in map(int, domain.grid())}
    return 2 * n * sum(size**2 for size in sizes) * space.slot_size("intensity")


def _time_frames(
    dataset: Any, space: Space, wanted: dict[str, list[dict[str, Any]]]
) -> tuple[float, dict[str, float]]:
    """Return the milliseconds a frame takes to read and to featurize: the median over a few frames."""
    intensity = space.parts["intensity"][0].sample(np.random.default_rng(0))
    rows = _few(dataset)
    prepare_ms: list[float] = []
    compute_ms: dict[str, list[float]] = {name: [] for name in wanted}
    for row in [rows[0], *rows]:  # the first once more: kernels are compiled then
        start = time.perf_counter()
        frame = raw_frame(dataset.ref(row)).prepared(intensity)
        prepare_ms.append(1e3 * (time.perf_counter() - start))
        for name, blocks in wanted.items():
            start = time.perf_counter()
            plugins.texture(name).compute(frame, blocks)
            compute_ms[name].append(1e3 * (time.perf_counter() - start))
    return _median(prepare_ms), {name: _median(times) for name, times in compute_ms.items()}


def _median(times: list[float]) -> float:
    return float(np.median(times[1:]))


def _search(
    spec: SweepSpec,
    space: Space,
    train_rows: Sequence[int],
    network_fits_s: Sequence[float],
    features_cpu_s: float,
    *,
    tested: bool,
) -> SearchCost:
    """Return what the search costs, from a few fits on random numbers.

    `train_rows` has the training rows of each fold, `network_fits_s` the seconds of a full fit of each
    network that is trained, which is what a head costs; `tested` says whether there is a test split.
    """
    folds = len(train_rows)
    fit_s = _time_fits(space, train_rows[0], int(max(2, space_classes(space))), network_fits_s)
    limit, default = spec.trial_limit(space), int(min(DEFAULT_TRIALS, space.size))
    in_time = limit is None and not network_fits_s  # what networks cost depends on how many are chosen
    if in_time:
        left_s = local_cpus(spec.cpus) * (spec.time_budget_s or 0.0) - features_cpu_s
        limit = _trials_in(left_s, spec.ladder, folds, fit_s, int(min(_MOST_TRIALS, space.size)))
    trials = limit or default
    budget, rungs = (
        sum(column) for column in zip(*(_expected(spec.ladder, t) for t in range(trials)), strict=True)
    )
    evaluations = rungs * folds
    closing = min(trials, RERUN_TOP) * spec.reruns * folds
    if tested and spec.test_top:
        closing += min(trials, spec.test_top + STEPS)  # the best, and members of the ensemble
    return SearchCost(
        search=spec.search,
        trials=trials,
        folds=folds,
        evaluations=evaluations,
        full_budgets=budget * folds,
        fit_s=fit_s,
        cpu_s=budget * folds * fit_s + evaluations * _OVERHEAD_S,
        closing_fits=closing,
        closing_cpu_s=closing * (fit_s + _OVERHEAD_S),
        codebooks=_has_codebooks(space),
        in_time=in_time,
    )


def _trials_in(cpu_s: float, ladder: Ladder, folds: int, fit_s: float, most: int) -> int:
    """Return the trials that so many seconds of one core are enough for: one at least, and at most `most`."""
    for trial in range(most):
        budget, rungs = _expected(ladder, trial)
        cpu_s -= folds * (budget * fit_s + rungs * _OVERHEAD_S)
        if cpu_s < 0:
            return max(1, trial)
    return most


def _has_codebooks(space: Space) -> bool:
    return any(plugins.texture(name).codebook is not None for name in wanted_blocks(space))


def _expected(ladder: Ladder, trial: int) -> tuple[float, float]:
    """Return the budget that a trial spends and the rungs it climbs on average: one in η is promoted."""
    reach = [ladder.reduction_factor**-i for i in range(len(ladder.bracket_of(trial).steps))]
    steps = ladder.bracket_of(trial).steps
    return sum(ladder.fraction(s) * p for s, p in zip(steps, reach, strict=True)), sum(reach)


def space_classes(space: Space) -> int:
    """Return the number of classes that lists of class weights are for; 2 where there is no list."""
    weights = [
        len(v)
        for part in space.parts["classifier"]
        for v in (part.domains["class_weight"].grid() if "class_weight" in part.domains else ())
        if isinstance(v, tuple)
    ]
    return max(weights, default=2)


def _time_fits(space: Space, rows: int, n_classes: int, network_fits_s: Sequence[float]) -> float:
    """Return the mean seconds of a few fits of each classifier; a head takes those of its network."""
    from sweeper.evaluate.folds import fit_and_score

    rng = np.random.default_rng(0)
    n = min(rows, _ROWS)
    y = np.arange(n) % n_classes
    means: list[float] = []
    for part in space.parts["classifier"]:
        if part.head:
            means += network_fits_s
            continue
        for draw, pipeline in enumerate(_draws(space, part, rng)):
            width = _width(pipeline)
            x = rng.normal(size=(n, width)) + y[:, None] * 0.5
            started = time.perf_counter()
            fit_and_score(
                pipeline, x, y, np.arange(n), np.arange(min(n, 200)), n_classes=n_classes, budget=1.0,
                seed=0, threads=1, classifier=plugins.classifier(part.name),
            )  # fmt: skip
            if draw:  # the first loads the library
                means.append((time.perf_counter() - started) * rows / n)
    return float(np.mean(means))


def _draws(space: Space, part: Part, rng: np.random.Generator) -> Iterable[Pipeline]:
    for _ in range(_FITS):
        pipeline = space.sample(rng)
        params = {**part.sample(rng), "class_weight": None}
        yield replace(pipeline, classifier=part.name, classifier_params=params)


def _width(pipeline: Pipeline) -> int:
    return sum(min(1000, len(representation(single, 2).columns)) for single in pipeline.singles)
