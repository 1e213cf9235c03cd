"""The cost of frames: featurizing on one core and on two, and the parts of a sweep as frames grow."""

from __future__ import annotations

import json
import math
import multiprocessing
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import numpy as np
from _ours import stages, sweep
from _scale_engine import engine
from _scale_sweeps import driver_bytes, write_noise

from sweeper.engine.limits import Limits
from sweeper.engine.tasks.blocks import featurize
from sweeper.evaluate.folds import fit_and_score
from sweeper.features.blocks import block_info, load_verified, read_matrix
from sweeper.features.keys import shards_of
from sweeper.features.representation import Descriptors
from sweeper.pipeline import FeaturizerChoice, Pipeline
from sweeper.plugins import classifier, texture
from sweeper.runs.checks import check_sweep
from sweeper.runs.spec import SweepSpec
from sweeper.space.needs import wanted_blocks

CLASSES = 2
COST_LEVELS = 16
"""Grey levels of small frames: at 256 a co-occurrence matrix has 16 times as many entries as they pixels."""
_LIMITS = Limits(600.0, 8 * 2**30)
TEXTURES = {
    "glcm": {"distance": [[1, 2, 4, 5, 8]], "angle_deg": [[0, 45, 90, 135]]},
    "lbp": {"points": [8, 16], "radius": [1, 2, 3]},
}


def _space(classifiers: dict[str, object], levels: int = 256) -> dict[str, object]:
    return {
        "name": "scaling",
        "source": "blocks of DiffraNet's size, a few classifiers",
        "intensity": {"levels": [levels]},
        "featurizers": TEXTURES,
        "reducers": ["standard"],
        "classifiers": classifiers,
    }


# --------------------------------------------------------------------------- one core and two


@dataclass(frozen=True)
class Cores:
    """Seconds to featurize the same frames.

    Attributes
    ----------
    ours : list of (float, float)
        Through the engine with one and with two declared cores, a pair a repeat.
    plain : list of (float, float)
        The same function in one and in two plain processes: what the machine gives.
    """

    ours: list[tuple[float, float]]
    plain: list[tuple[float, float]]


def measure_cores(scratch: Path, frames: int, size_px: int, repeats: int) -> Cores:
    """Arms in turn, each in a folder of its own; processes and kernels are warm when the clock starts."""
    data = write_noise(scratch / "frames", CLASSES, frames // CLASSES, size_px, 1)
    ours, plain = [], []
    for repeat in range(repeats):
        ours.append(
            (_ours(data, scratch / f"{repeat}-1", 1), _ours(data, scratch / f"{repeat}-2", 2)),
        )
        plain.append((_plain(data, 1), _plain(data, 2)))
    return Cores(ours, plain)


def _ours(data: Path, out: Path, cpus: int) -> float:
    spec = SweepSpec(data=str(data), space=_space({"rf": None}), search="random", seed=1, cpus=cpus)
    with engine(spec, out) as ready:
        import ray

        from sweeper.engine.scan import frame_refs
        from sweeper.engine.tasks.blocks import featurize_task

        refs = tuple(frame_refs(ready.sweep.inputs.dataset)[:16])
        jobs = {"glcm": [{"distance": 1, "angle_deg": 0}], "lbp": [{"points": 8, "radius": 1}]}
        intensity = next(ready.sweep.space.parts["intensity"][0].grid())
        for _ in range(2):  # a second time: the first may have run all on one worker
            ray.wait(
                [featurize_task.remote(refs, intensity, jobs, _LIMITS) for _ in range(2 * cpus)],
                num_returns=2 * cpus,
            )
        return ready.featurize()


def _plain(data: Path, processes: int) -> float:
    """Wall seconds of all shards through :func:`sweeper.engine.tasks.blocks.featurize` in plain processes."""
    from sweeper.engine.scan import frame_refs

    spec = SweepSpec(data=str(data), space=_space({"rf": None}), search="random", seed=1)
    checked = check_sweep(spec)
    refs, jobs = frame_refs(checked.dataset), wanted_blocks(checked.space)
    intensity = next(checked.space.parts["intensity"][0].grid())
    shards = [tuple(refs[i] for i in rows) for rows in shards_of(len(refs))]
    context = multiprocessing.get_context("spawn")
    with context.Pool(processes) as pool:
        warm = [(shards[0][:2], intensity, jobs, _LIMITS)] * (4 * processes)
        pool.starmap(featurize, warm, chunksize=1)
        started = time.perf_counter()
        pool.starmap(_no_answer, [(shard, intensity, jobs, _LIMITS) for shard in shards], chunksize=1)
        return time.perf_counter() - started


def _no_answer(*arguments: object) -> None:
    featurize(*arguments)  # type: ignore[arg-type]


# --------------------------------------------------------------------------- a sweep as frames grow


@dataclass(frozen=True)
class Cost:
    """The times that the parts of a sweep took, for a number of frames.

    Attributes
    ----------
    frames : int
    stages : dict
        CPU seconds of each stage of a sweep of `trials` trials, all processes.
    wall_s : float
    block_bytes : int
        Size of all block files.
    cache_bytes : int
        Size of ``frames.parquet``.
    matrix_s, matrix_bytes : float, int
        Reading the largest representation's matrix in one process, and its size.
    driver_bytes : int
        Private memory of the driver at its highest.
    fit_s : dict
        Fit and predictions of one fold on four fifths of the frames, one thread, by classifier.
    """

    frames: int
    stages: dict[str, float]
    wall_s: float
    block_bytes: int
    cache_bytes: int
    matrix_s: float
    matrix_bytes: int
    driver_bytes: int
    fit_s: dict[str, float]


FITS: dict[str, dict[str, object]] = {"rf": {"n_trees": 100}, "lightgbm": {"n_trees": 100}, "svm": {"C": 8.0}}


def measure_cost(scratch: Path, frames: int, size_px: int, trials: int, timeout_s: float) -> Cost:
    """Run a sweep over noise, then read its blocks and fit by hand, in an empty folder."""
    data = write_noise(scratch / "frames", CLASSES, frames // CLASSES, size_px, 1)
    space, out = scratch / "space.yaml", scratch / "run"
    forests = {"n_trees": [20], "max_depth": list(range(1, trials + 1))}
    space.write_text(json.dumps(_space({"rf": forests}, COST_LEVELS)))
    options = ("--space", space, "--search", "random", "--trials", trials, "--seed", 1)
    driver: list[int] = []
    usage = sweep(data, out, options, timeout_s=timeout_s, on_sample=lambda _: driver.append(driver_bytes()))
    files = [load_verified(path) for path in sorted((out / "features").glob("*.parquet"))]
    matrix_s, x = _read([[f] for f in files if f is not None and block_info(f).blocks[0].startswith("glcm")])
    return Cost(
        frames,
        {stage.name: stage.cpu_s for stage in stages(usage)},
        usage.wall_s,
        sum(f.nbytes for f in files if f is not None),
        (out / "frames.parquet").stat().st_size,
        matrix_s,
        x.nbytes,
        max(driver),
        {name: _fit(x, name, params) for name, params in FITS.items()},
    )


def _read(shards: Sequence[Sequence[np.ndarray]]) -> tuple[float, np.ndarray]:
    glcm = texture("glcm")
    columns = Descriptors({"distance": (1, 2, 4, 5, 8), "angle_deg": (0, 45, 90, 135)}, glcm).columns
    read_matrix(shards[:1], columns)  # loads Parquet
    return _timed(lambda: read_matrix(shards, columns))


def _timed(work: Callable[[], np.ndarray]) -> tuple[float, np.ndarray]:
    started = time.process_time()
    answer = work()
    return time.process_time() - started, answer


def _fit(x: np.ndarray, name: str, chosen: dict[str, object]) -> float:
    """CPU seconds of one fold. Labels follow a feature, with noise: chance would grow other trees."""
    rng = np.random.default_rng(1)
    spread = x[:, 0].std() or 1.0
    y = (x[:, 0] + rng.normal(0, spread, len(x)) > np.median(x[:, 0])).astype(np.int64)
    rows = rng.permutation(len(x))
    cut = len(x) * 4 // 5
    plugin = classifier(name)
    params = {axis.name: axis.default for axis in plugin.axes} | chosen
    pipeline = Pipeline({}, (FeaturizerChoice("glcm", {}),), "standard", {}, name, params)
    started = time.process_time()
    fit_and_score(
        pipeline, x, y, rows[:cut], rows[cut:], n_classes=CLASSES, budget=1.0, seed=1, threads=1,
        classifier=plugin,
    )  # fmt: skip
    return time.process_time() - started


@dataclass(frozen=True)
class Term:
    """One part of the cost: measured at two sizes, the power it grows with, and calculated for a third."""

    name: str
    small: float
    large: float
    power: float
    calculated: float


def calculated(small: Cost, large: Cost, frames: float) -> list[Term]:
    """Terms of the cost: of fits the power goes on, all else goes on along a line."""
    lines = {
        "check frames, CPU s": [c.stages["check frames"] for c in (small, large)],
        "featurize, CPU s": [c.stages["featurize"] for c in (small, large)],
        "blocks, MB": [c.block_bytes / 1e6 for c in (small, large)],
        "frames.parquet, MB": [c.cache_bytes / 1e6 for c in (small, large)],
        "matrix of GLCM, MB": [c.matrix_bytes / 1e6 for c in (small, large)],
        "driver's memory, MB": [c.driver_bytes / 1e6 for c in (small, large)],
        "reading it, CPU s": [c.matrix_s for c in (small, large)],
    }
    fits = {f"fit of {name}, CPU s": [c.fit_s[name] for c in (small, large)] for name in FITS}
    terms = []
    for name, (a, b) in (lines | fits).items():
        power = math.log(b / a) / math.log(large.frames / small.frames)
        slope = (b - a) / (large.frames - small.frames)
        line = b + slope * (frames - large.frames)
        terms.append(Term(name, a, b, power, b * (frames / large.frames) ** power if name in fits else line))
    return terms


def efficiency(pairs: Sequence[tuple[float, float]]) -> float:
    """Median over pairs of the time on one core over twice the time on two."""
    return float(median(one / (2 * two) for one, two in pairs))
