"""Make the tables that searches are compared on: every pipeline × fold × budget of three tasks.

- ``diffraction``: a cut of DiffraNet's Table 7 on simulated stills, at two settings of the intensities;
- ``scattering``: up to three featurizers side by side on simulated frames of four techniques;
- ``digits``: the handwritten digits that come with scikit-learn.

Fits and scores are the engine's own (``fit_pipeline``, the same seeds). One fit of a forest or a booster
tells what its first trees alone would have scored; a sample of these is fitted on its own and must be equal.
Its cost is that fit's, by its share of the trees. Costs are user CPU seconds of one thread.

    python benchmarks/search/make_tables.py [--tasks T ...] [--out FOLDER] [--quick]
"""

# ruff: noqa: E402

from __future__ import annotations

import os

for _variable in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_variable] = "1"  # before numpy is imported

import argparse
import hashlib
import platform
import resource
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
from _frames import write_frames
from _table import BUDGETS, FOLDER, TASKS, FeatureCosts, Table, codebook_name, intensity_name, space_of
from numpy.typing import NDArray

from sweeper import plugins
from sweeper.api import scaled_count
from sweeper.data.dataset import load_dataset
from sweeper.data.prepared import raw_frame
from sweeper.data.splits import make_splits
from sweeper.evaluate.folds import fit_pipeline, native_threads
from sweeper.features.names import block_name
from sweeper.features.representation import Words, representation, side_by_side
from sweeper.pipeline import Pipeline, canonical_json

Matrix = NDArray[np.float64]
FOLDS = 3
SEED = 1
CHECKED = 40
"""Entries taken from a larger fit that are fitted on their own."""


@dataclass(frozen=True)
class Frames:
    """Labelled frames, as counted.

    Attributes
    ----------
    raw : list of RawFrame
    labels : int64, (n,)
    classes : tuple of str
    groups : int64, (n,), or None
    read_s : float
        CPU seconds to read all of them.
    """

    raw: list[Any]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    groups: NDArray[np.int64] | None
    read_s: float


class Clock:
    """User CPU seconds of this process, which what else runs on the machine disturbs least."""

    seconds = 0.0


@contextmanager
def timed() -> Iterator[Clock]:
    """Measure what happens inside."""
    clock, began = Clock(), resource.getrusage(resource.RUSAGE_SELF).ru_utime
    yield clock
    clock.seconds = resource.getrusage(resource.RUSAGE_SELF).ru_utime - began


def frames_of(task: str, scratch: Path, per_class: int) -> Frames:
    """Read the frames of a task."""
    data = load_dataset(write_frames(task, scratch, per_class))
    with timed() as clock:
        raw = [raw_frame(data.ref(row)) for row in range(len(data))]
    return Frames(raw, data.labels, data.classes, data.groups, clock.seconds)


# --------------------------------------------------------------------------- features


class Features:
    """Blocks of all frames at each setting of the intensities, computed once each, with their costs."""

    def __init__(self, frames: Frames, splits: Sequence[Any], pipelines: Sequence[Pipeline]) -> None:
        self.costs = FeatureCosts()
        self._frames, self._splits = frames, splits
        self._blocks: dict[str, list[Any]] = {}
        self._words: dict[tuple[str, int], Matrix] = {}
        for at in {intensity_name(p): p.intensity for p in pipelines}.values():
            self._compute(at, [p for p in pipelines if p.intensity == at])

    def _compute(self, intensity: dict[str, Any], pipelines: Sequence[Pipeline]) -> None:
        """Compute every block that any pipeline needs, each on its own so that it is timed on its own."""
        at = intensity_name(pipelines[0])
        wanted: dict[str, tuple[Any, dict[str, Any]]] = {}
        for single in {
            canonical_json(s.to_dict()["featurizer_params"]) + s.featurizer: s
            for p in pipelines
            for s in p.singles
        }.values():
            kind: Any = representation(single, len(self._frames.classes))
            for block in kind.blocks:
                wanted[block_name(single.featurizer, block)] = (kind.featurizer, block)
        with timed() as clock:
            prepared = [raw.prepared(intensity) for raw in self._frames.raw]
        self.costs.reading[at] = self._frames.read_s + clock.seconds
        for name, (featurizer, block) in wanted.items():
            featurizer.compute(prepared[0], [block])  # compiled before the clock runs
            with timed() as clock:
                computed = [featurizer.compute(frame, [block])[0] for frame in prepared]
            self._blocks[f"{at} {name}"] = computed
            self.costs.blocks[f"{at} {name}"] = clock.seconds

    def of(self, pipeline: Pipeline, fold: int) -> tuple[Matrix, list[int]]:
        """Return the features of all frames as a fold sees them, and the columns of each featurizer."""
        parts = [self._single(single, fold) for single in pipeline.singles]
        return side_by_side(parts), [part.shape[1] for part in parts]

    def _single(self, single: Pipeline, fold: int) -> Matrix:
        kind: Any = representation(single, len(self._frames.classes))
        at = intensity_name(single)
        blocks = [self._blocks[f"{at} {block_name(single.featurizer, block)}"] for block in kind.blocks]
        if not isinstance(kind, Words):
            return np.concatenate([np.array(rows, dtype=np.float64) for rows in blocks], axis=1)
        key = codebook_name(single), fold
        if key not in self._words:
            train = self._splits[fold].train
            with timed() as clock, native_threads(1):
                words = kind.fitted([blocks[0][row] for row in train], SEED)
                self._words[key] = words.encode(blocks[0])
            self.costs.codebooks[f"{key[0]} {fold}"] = clock.seconds
        return self._words[key]


# --------------------------------------------------------------------------- fits


def _without_trees(pipeline: Pipeline) -> str:
    params = {k: v for k, v in pipeline.classifier_params.items() if k != "n_trees"}
    return replace(pipeline, classifier_params=params).id


def _prefixes(estimator: Any, x: Matrix, counts: Sequence[int], n_classes: int) -> dict[int, Matrix]:
    """Return the scores of the first trees of a forest or a booster, for each number of trees."""
    if hasattr(estimator, "model"):
        from classifiers._boosting import two_columns

        return {n: two_columns(estimator.model.predict(x, num_iteration=n, num_threads=1)) for n in counts}
    rows, total, found = np.asarray(x, dtype=np.float32), np.zeros((len(x), n_classes)), {}
    for n, tree in enumerate(estimator.estimator.estimators_, start=1):
        total += tree.tree_.predict(rows)
        if n in counts:
            found[n] = total / n
    return found


def tabulate(task: str, per_class: int = 0, keep: int = 1) -> Table:
    """Evaluate every pipeline of a task's space on every fold at every budget.

    Parameters
    ----------
    task : str
    per_class : int
        Frames of each class; 0: as many as the tables have.
    keep : int
        Every so many-th representation only: the others score 0. For a quick try.
    """
    with tempfile.TemporaryDirectory(prefix="sweeper-tabulate-") as scratch:
        frames = frames_of(task, Path(scratch) / task, per_class)
    splits = make_splits(frames.labels, frames.classes, groups=frames.groups, folds=FOLDS, seed=SEED)
    pipelines = list(space_of(task).grid())
    features = Features(frames, splits, pipelines)
    shape = (len(pipelines), len(BUDGETS), FOLDS)
    scores, fit_s = np.zeros(shape), np.zeros(shape)
    families: dict[str, list[int]] = defaultdict(list)
    for i, pipeline in enumerate(pipelines):
        trees = plugins.classifier(pipeline.classifier).budget == "trees"
        families[_without_trees(pipeline) if trees else pipeline.id].append(i)
    began, n_classes = time.monotonic(), len(frames.classes)
    shared: list[tuple[int, int, int]] = []

    def fit(pipeline: Pipeline, fold: int, budget: float, x: Matrix, widths: list[int]) -> Any:
        return fit_pipeline(
            pipeline, x, frames.labels, splits[fold].train, n_classes=n_classes, budget=budget, seed=SEED,
            threads=1, classifier=plugins.classifier(pipeline.classifier), widths=widths,
        )  # fmt: skip

    def accuracy(predicted: Matrix, fold: int) -> float:
        return float((predicted.argmax(axis=1) == frames.labels[splits[fold].validation]).mean())

    for done, family in enumerate(families.values()):
        if done % 100 == 0:
            print(
                f"{task}: {done} of {len(families)} fits a fold, {time.monotonic() - began:.0f} s", flush=True
            )
        if done % keep:
            continue
        for fold in range(FOLDS):
            first = pipelines[family[0]]
            x, widths = features.of(first, fold)
            validation = x[splits[fold].validation]
            with native_threads(1):
                if plugins.classifier(first.classifier).budget == "trees":
                    largest = max(family, key=lambda i: pipelines[i].classifier_params["n_trees"])
                    n_trees = pipelines[largest].classifier_params["n_trees"]
                    counts = {
                        (i, b): scaled_count(pipelines[i].classifier_params["n_trees"], budget)
                        for i in family
                        for b, budget in enumerate(BUDGETS)
                    }
                    with timed() as clock:
                        fitted = fit(pipelines[largest], fold, 1.0, x, widths)
                        fitted.scores(validation)
                    found = _prefixes(
                        fitted.estimator,
                        fitted.reducer.transform(validation),
                        sorted(set(counts.values())),
                        n_classes,
                    )
                    for (i, b), n in counts.items():
                        scores[i, b, fold] = accuracy(found[n], fold)
                        fit_s[i, b, fold] = clock.seconds * n / n_trees
                        shared.append((i, b, fold))
                else:
                    for b, budget in enumerate(BUDGETS):
                        with timed() as clock:
                            predicted = fit(first, fold, budget, x, widths).scores(validation)
                        scores[family[0], b, fold] = accuracy(predicted, fold)
                        fit_s[family[0], b, fold] = clock.seconds
    for at in np.random.default_rng(0).permutation(len(shared))[:CHECKED].tolist():
        i, b, fold = shared[at]
        x, widths = features.of(pipelines[i], fold)
        alone = fit(pipelines[i], fold, BUDGETS[b], x, widths).scores(x[splits[fold].validation])
        if accuracy(alone, fold) != scores[i, b, fold]:
            raise RuntimeError(f"{pipelines[i].name} at {BUDGETS[b]}: the larger fit gives another score")
    facts = {
        "frames": len(frames.labels),
        "classes": len(frames.classes),
        "folds": FOLDS,
        "seed": SEED,
        "machine": platform.processor() or platform.machine(),
        "python": platform.python_version(),
    }
    return Table(task, pipelines, scores, fit_s, features.costs, facts)


def main(arguments: Sequence[str] | None = None) -> None:
    """Make tables and say what their checksums are."""
    parser = argparse.ArgumentParser(description="Make the tables that searches are compared on.")
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS)
    parser.add_argument("--out", type=Path, default=FOLDER, metavar="FOLDER", help="here by default")
    parser.add_argument("--quick", action="store_true", help="few frames, one family of fits in twenty")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    for task in options.tasks:
        table = tabulate(task, *((10, 20) if options.quick else ()))
        path = options.out / f"{task}.parquet"
        table.write(path)
        print(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}", flush=True)


if __name__ == "__main__":
    main()
