"""What a sweep will cost: the grid counted, the blocks listed, a few frames and fits timed."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from sweeper import plugins
from sweeper.api import Featurizer
from sweeper.data.splits import test_rows
from sweeper.errors import InputError
from sweeper.features.blocks import representation_columns
from sweeper.pipeline import Pipeline
from sweeper.planning.networks import NetworkCost, network_costs
from sweeper.runs.spec import DEFAULT_TRIALS, RERUN_TOP, SweepSpec
from sweeper.search.brackets import Ladder
from sweeper.space.parts import SLOTS, Part
from sweeper.space.space import Space

_FRAMES = 5
_FITS = 13
_OVERHEAD_S = 0.03
"""What an evaluation takes beside its fit (benchmarks/overhead.py)."""
_ROWS = 2000


def plan(spec: SweepSpec) -> str:
    """Describe a sweep; reads a few frames and fits a few classifiers on random numbers, writes nothing.

    Raises
    ------
    ValueError
        As the sweep itself would, for whatever can be checked without reading all frames.
    """
    from sweeper.engine.cluster import local_cpus
    from sweeper.engine.sweep import check, wanted_blocks
    from sweeper.runs.data import sweep_splits

    space, dataset = check(spec)
    cpus = local_cpus(spec.cpus)
    n = len(dataset)
    folds, apart = sweep_splits(spec, dataset)
    n_train = len(folds[0].train) if apart is None else len(apart)
    lines = [
        f"{n} frames, {len(dataset.classes)} classes: "
        + ", ".join(f"{name} {count}" for name, count in dataset.class_counts().items()),
        *_unreadable(dataset.quarantined),
        "",
        f"grid of space {space.name}: {_count(space.size)} pipelines",
        *([f"scale {space.scale}"] if space.scale else []),
        *_arithmetic(space),
        "",
    ]
    wanted = wanted_blocks(space)
    prepare_ms, compute_ms = _time_frames(dataset, space, wanted)
    per_intensity = prepare_ms + sum(compute_ms.values())
    intensities = space.slot_size("intensity")
    settings = "1 setting" if intensities == 1 else f"{_count(intensities)} settings"
    lines.append(f"blocks, computed once each ({n} frames, {settings} of intensities):")
    for name, blocks in wanted.items():
        lines.append(
            f"  {name}: {_blocks(plugins.texture(name), blocks, space)}; {compute_ms[name]:.1f} ms a frame"
        )
    features_s = n * per_intensity / 1e3
    lines.append(f"  reading and intensities: {prepare_ms:.1f} ms a frame")
    lines.append(
        f"  all of it: {_time(features_s)} of one core, about {_time(features_s / cpus)} on {cpus}"
        + (" for each setting" if intensities > 1 else "")
    )
    costs = network_costs(space, len(dataset.classes))
    lines += _network_lines(costs, space, n_train, len(folds) if apart is None else 1)
    if costs:
        lines.append(f"  their inputs on disk: {_input_bytes(space, n) / 2**30:.2f} GiB")
    tested = len(test_rows(dataset.split)) > 0
    fits_s = [c.fit_s(n_train) for c in costs if c.epochs]
    lines += ["", *_search_lines(spec, space, folds, cpus, fits_s, tested=tested)]
    return "\n".join(lines)


def _network_lines(costs: list[NetworkCost], space: Space, n_train: int, folds: int) -> list[str]:
    """What fits of networks cost that are made once, however many classifiers use them."""
    if not costs:
        return []
    times = "once" if folds == 1 else f"once for each of {folds} folds"
    lines = ["", f"networks, each choice trained {times} on {n_train} frames (times are of one core here):"]
    for cost in costs:
        part = next(p for p in space.parts["featurizer"] if p.label == cost.label)
        trained = f"{cost.epochs} epochs {_time(cost.fit_s(n_train))}; " if cost.epochs else "not trained; "
        lines.append(
            f"  {cost.label}: {_count(part.size)} choice{'' if part.size == 1 else 's'}; {trained}"
            f"features {1e3 * cost.read_s:.0f} ms a frame"
        )
    return lines


def _input_bytes(space: Space, n: int) -> float:
    """Bytes of the inputs of networks: each size once for each setting of intensities, 16 bits a pixel."""
    domains = [part.domains["size"] for part in space.parts["featurizer"] if "size" in part.domains]
    sizes = {size for domain in domains for size in map(int, domain.grid())}
    return 2 * n * sum(size**2 for size in sizes) * space.slot_size("intensity")


def _unreadable(files: Sequence[tuple[str, str]]) -> list[str]:
    if not files:
        return []
    name, reason = files[0]
    return [
        f"not counted: {len(files)} file{'' if len(files) == 1 else 's'} that cannot be opened, the first "
        f"{name} ({reason}); a sweep lists all of them and stops, or leaves them out with --skip-bad"
    ]


def _count(size: float) -> str:
    return "infinitely many" if math.isinf(size) else f"{int(size):,}"


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _arithmetic(space: Space) -> list[str]:
    """How the size of the grid comes about, slot by slot."""
    lines = []
    for slot in SLOTS:
        parts = space.parts[slot]
        for part in parts:
            owner = slot if slot == "intensity" else f"{slot} {part.name}"
            lines.append(f"  {owner}: {_part_arithmetic(part)}")
        if len(parts) > 1:
            terms = " + ".join(_count(part.size) for part in parts)
            lines.append(f"  {slot}s: {terms} = {_count(space.slot_size(slot))}")
    factors = " x ".join(_count(space.slot_size(slot)) for slot in SLOTS)
    product = math.prod(space.slot_size(slot) for slot in SLOTS)
    lines.append(f"  {factors} = {_count(product)}")
    if space.size < product:
        fit = f"  {_count(space.size)} of them are pipelines"
        lines.append(f"{fit}: a head goes with a network that is trained, and reducer none")
    return lines


def _part_arithmetic(part: Part) -> str:
    factors = [f"{_count(d.size)} {name}" for name, d in part.domains.items() if d.size > 1]
    if len(factors) > 1:
        return f"{' x '.join(factors)} = {_count(part.size)}"
    return factors[0] if factors else "1"


def _blocks(featurizer: Featurizer, blocks: list[dict[str, Any]], space: Space) -> str:
    part = next(p for p in space.parts["featurizer"] if p.name == featurizer.name)
    text = f"{len(blocks)} block{'s' if len(blocks) > 1 else ''}"
    if featurizer.codebook is not None:
        return f"{text} of descriptors, and {_count(part.size)} codebooks a fold"
    return f"{text} for {_count(part.size)} representation{'' if part.size == 1 else 's'}"


def _time_frames(
    dataset: Any, space: Space, wanted: dict[str, list[dict[str, Any]]]
) -> tuple[float, dict[str, float]]:
    """Milliseconds a frame: reading with intensities, and each featurizer; median over a few frames."""
    from sweeper.data.frames import read_frame
    from sweeper.data.intensity import load_mask, prepare
    from sweeper.errors import FrameError

    intensity = space.parts["intensity"][0].sample(np.random.default_rng(0))
    rows = np.linspace(0, len(dataset) - 1, min(_FRAMES, len(dataset))).astype(int)
    prepare_ms: list[float] = []
    compute_ms: dict[str, list[float]] = {name: [] for name in wanted}
    for row in [rows[0], *rows]:  # the first once more: kernels are compiled then
        mask_file = None if dataset.masks is None else dataset.masks[row]
        mask = None if mask_file is None else load_mask(mask_file)
        start = time.perf_counter()
        try:
            frame = prepare(read_frame(dataset.paths[row], int(dataset.index[row])), intensity, mask)
        except FrameError as error:
            raise InputError(str(error)) from None
        except ValueError as error:
            raise InputError(f"{dataset.names[row]}: {error}") from None
        prepare_ms.append(1e3 * (time.perf_counter() - start))
        for name, blocks in wanted.items():
            start = time.perf_counter()
            plugins.texture(name).compute(frame, blocks)
            compute_ms[name].append(1e3 * (time.perf_counter() - start))
    return _median(prepare_ms), {name: _median(times) for name, times in compute_ms.items()}


def _median(times: list[float]) -> float:
    return float(np.median(times[1:]))


def _search_lines(
    spec: SweepSpec, space: Space, folds: list[Any], cpus: int, network_fits_s: list[float], *, tested: bool
) -> list[str]:
    """Evaluations of the search and what they will cost, from a few fits on random numbers.

    `network_fits_s` has the seconds of a full fit of each network that is trained: what a head costs;
    `tested` says whether there is a test split.
    """
    trials = spec.trial_limit(space) or int(min(DEFAULT_TRIALS, space.size))
    ladder = spec.ladder
    budget, rungs = (
        sum(column) for column in zip(*(_expected(ladder, t) for t in range(trials)), strict=True)
    )
    evaluations = rungs * len(folds)
    fit_s = _time_fits(space, len(folds[0].train), int(max(2, space_classes(space))), network_fits_s)
    total = budget * len(folds) * fit_s + evaluations * _OVERHEAD_S
    closing = min(trials, RERUN_TOP) * spec.reruns * len(folds)
    closing += min(trials, spec.test_top) if tested else 0
    closing_s = closing * (fit_s + _OVERHEAD_S)
    return [
        f"search {spec.search}: {trials} trials, {len(folds)} folds: about {evaluations:.0f} evaluations, "
        f"{budget * len(folds):.0f} full budgets in all",
        f"  one fit at full budget: about {fit_s:.2f} s; the search: about {_time(total)} of one core, "
        f"{_time(total / cpus)} on {cpus}",
        *(
            [
                f"after it, the best on the test split and with other seeds: at most {closing} full fits, "
                f"about {_time(closing_s)} of one core, {_time(closing_s / cpus)} on {cpus}"
            ]
            if closing
            else []
        ),
        *(
            ["  codebooks come on top: minutes each for thousands of clusters"]
            if _has_codebooks(space)
            else []
        ),
    ]


def _has_codebooks(space: Space) -> bool:
    found = [plugins.featurizer(part.name) for part in space.parts["featurizer"]]
    return any(isinstance(f, Featurizer) and f.codebook is not None for f in found)


def _expected(ladder: Ladder, trial: int) -> tuple[float, float]:
    """Budget that a trial spends and rungs that it climbs on average: one in η goes on to each next rung."""
    reach = [ladder.reduction_factor**-i for i in range(len(ladder.bracket_of(trial).steps))]
    steps = ladder.bracket_of(trial).steps
    return sum(ladder.fraction(s) * p for s, p in zip(steps, reach, strict=True)), sum(reach)


def space_classes(space: Space) -> int:
    """Number of classes that lists of class weights were cut to; 2 where there is none."""
    weights = [
        len(v)
        for part in space.parts["classifier"]
        for v in (part.domains["class_weight"].grid() if "class_weight" in part.domains else ())
        if isinstance(v, tuple)
    ]
    return max(weights, default=2)


def _time_fits(space: Space, rows: int, n_classes: int, network_fits_s: list[float]) -> float:
    """Mean seconds of a few fits of each classifier on random features; a head takes its network's."""
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
        yield Pipeline(
            pipeline.intensity, pipeline.featurizer, pipeline.featurizer_params, pipeline.reducer,
            pipeline.reducer_params, part.name, params,
        )  # fmt: skip


def _width(pipeline: Pipeline) -> int:
    featurizer = plugins.featurizer(pipeline.featurizer)
    return min(1000, len(representation_columns(featurizer, pipeline.featurizer_params)))
