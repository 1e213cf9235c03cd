"""Computes what labels buy, from the blocks of a run: nothing but reducers and classifiers is fitted again.

In each fold some of the training frames are drawn, as many of each class, and the pipeline is fitted on them
and on all that helps; it is scored on the frames that the fold holds out. The sizes of a draw contain each
other, and draws are repeated. Intervals are by bootstrap over groups of held-out frames, and no narrower than
Wilson's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sweeper import plugins
from sweeper.api import PRETRAINED
from sweeper.data.splits import Rows, Split
from sweeper.errors import InputError
from sweeper.evaluate.folds import fit_pipeline, native_threads
from sweeper.evaluate.statistics import accuracy_intervals
from sweeper.features.representation import Words, representation
from sweeper.labels import MORE, LabelCurve, Point
from sweeper.pipeline import Pipeline
from sweeper.runs.data import RunData, run_data
from sweeper.runs.folder import RunFolder
from sweeper.runs.leaderboard import build_leaderboard
from sweeper.similar.features import Features, features_of

_SIZES = (0, 1, 3, 10, 30, 100, 300, 1000)
_RESAMPLED = 2000
_EDGES = (0.025, 0.975)

Matrix = NDArray[np.float64]
Done = Callable[[int, int], None]
"""Takes the number of fits that are done, and of all."""


@dataclass(frozen=True)
class Chosen:
    """The pipeline whose curve is asked for, by its trial."""

    trial: int
    pipeline: Pipeline


def chosen_pipeline(folder: RunFolder, trial: int | None = None) -> Chosen:
    """Return a pipeline by its trial; by default the best whose features need no fit.

    Raises
    ------
    InputError
        No such trial at the full budget, or one whose features were fitted on training frames.
    """
    results, spec = folder.results(), folder.load_spec()
    board = build_leaderboard(results, metric=spec.metric, folds=folder.folds())
    done = board[(board["status"] == "done") & (board["trial"] >= 0)]["trial"].tolist()
    if trial is not None and trial not in done:
        raise InputError(f"--trial must be a trial of this run at the full budget, got {trial}")
    for number in done if trial is None else [trial]:
        pipeline = results.pipeline(int(number))
        if not _is_fitted(pipeline):
            return Chosen(int(number), pipeline)
    if trial is not None:
        raise InputError(
            f"--trial {trial}: must have no trained network and no bag of visual words: these would be "
            "fitted anew for every draw"
        )
    raise InputError(
        f"{folder.path}: must hold a pipeline at the full budget without trained networks and bags of visual "
        "words"
    )


def _is_fitted(pipeline: Pipeline) -> bool:
    """Return whether the features of a pipeline depend on training frames."""
    trained = [
        c.params["training_set"] != PRETRAINED for c in pipeline.features if "training_set" in c.params
    ]
    return any(trained) or any(isinstance(representation(s, 0), Words) for s in pipeline.singles)


def label_curve(
    folder: RunFolder, chosen: Chosen, draws: int = 5, threads: int = 1, done: Done | None = None
) -> LabelCurve:
    """Return the learning curve of a pipeline of a run.

    Parameters
    ----------
    folder : RunFolder
    chosen : Chosen
    draws : int
        How often frames are drawn for each size and fold.
    threads : int
        Native threads of a fit.
    done : callable, optional
        Told of each fit.

    Raises
    ------
    InputError
        The data set is not there or changed, blocks are missing, or there are too few frames.
    """
    data = run_data(folder)
    features = features_of(folder, data, chosen.pipeline)
    x = feature_matrix(features, len(data.dataset))
    seed = folder.load_spec().seed
    sizes = _sizes(data)
    if len(sizes) < 2:
        raise InputError(f"{folder.path}: must have two labelled training frames of a class in every fold")
    right = np.zeros((len(data.dataset), len(sizes)))
    counts = np.zeros((len(data.dataset), len(sizes)))
    frames = np.zeros((len(data.splits), len(sizes)))
    total = sum(len(_repeats(size, draws)) for size in sizes) * len(data.splits)
    fits = 0
    for fold, split in enumerate(data.splits):
        own = split.train[data.dataset.own[split.train]]
        helping = np.setdiff1d(split.train, own)
        for draw in range(draws):
            orders = _orders(data, own, [seed, fold, draw])
            for column, size in enumerate(sizes):
                if draw not in _repeats(size, draws):
                    continue
                drawn = np.concatenate([rows[:size] for rows in orders])
                train = np.sort(np.concatenate([helping, drawn]))
                given = _given(chosen.pipeline, x, data, train, split, features.widths, seed, threads)
                right[split.validation, column] += given == data.dataset.labels[split.validation]
                counts[split.validation, column] += 1
                frames[fold, column] = len(drawn)
                fits += 1
                if done is not None:
                    done(fits, total)
    held = np.flatnonzero(counts[:, 0])
    share = right[held] / counts[held]
    groups = held if data.dataset.groups is None else data.dataset.groups[held]
    return _curve(chosen, data, draws, sizes, frames.mean(axis=0), share, groups, seed)


def feature_matrix(features: Features, n: int) -> Matrix:
    """Return the features of all rows of a data set, (n, columns), NaN in those that have none."""
    x = np.full((n, len(features.columns)), np.nan)
    for rows, values in features.chunks():
        x[rows] = values
    return x


def _sizes(data: RunData) -> list[int | None]:
    """Return numbers of frames a class that some class has more of in every fold, and None for all of them.

    None at all are enough only where what helps has every class.
    """
    dataset, n = data.dataset, len(data.dataset.classes)
    most, covered = [], True
    for split in data.splits:
        own = dataset.own[split.train]
        most.append(np.bincount(dataset.labels[split.train[own]], minlength=n).max())
        covered &= bool(np.bincount(dataset.labels[split.train[~own]], minlength=n).all())
    return [*(k for k in _SIZES if k < min(most) and (k > 0 or covered)), None]


def _repeats(size: int | None, draws: int) -> range:
    """Return the draws of a size: one where there is nothing to draw."""
    return range(1 if size in (0, None) else draws)


def _orders(data: RunData, own: Rows, seed: list[int]) -> list[Rows]:
    """Return the training rows of each class, in the order in which they are drawn."""
    labels = data.dataset.labels[own]
    return [
        np.random.default_rng([*seed, c]).permutation(own[labels == c]) for c in np.unique(labels).tolist()
    ]


def _given(
    pipeline: Pipeline,
    x: Matrix,
    data: RunData,
    train: Rows,
    split: Split,
    widths: Sequence[int],
    seed: int,
    threads: int,
) -> Rows:
    """Return the classes that the held-out frames of a fold are given after a fit on some rows."""
    with native_threads(threads):
        fitted = fit_pipeline(
            pipeline,
            x,
            data.dataset.labels,
            train,
            n_classes=len(data.dataset.classes),
            budget=1.0,
            seed=seed,
            threads=threads,
            classifier=plugins.classifier(pipeline.classifier),
            widths=widths,
            helping=data.dataset.helping,
        )
        return np.asarray(fitted.scores(x[split.validation]).argmax(axis=1))


# --------------------------------------------------------------------------- the curve


def _curve(
    chosen: Chosen,
    data: RunData,
    draws: int,
    sizes: Sequence[int | None],
    frames: Matrix,
    share: Matrix,
    groups: Rows,
    seed: int,
) -> LabelCurve:
    """Return the curve from how often each held-out frame was right, (frames, sizes)."""
    names, unit = np.unique(groups, return_inverse=True)
    sums = np.zeros((len(names), len(sizes)))
    np.add.at(sums, unit, share)
    number = np.bincount(unit).astype(np.float64)
    accuracy = share.mean(axis=0)
    low, high = np.quantile(_resampled(sums, number, seed), _EDGES, axis=0)
    few = np.full(len(sizes), float(len(names)))
    least, most = accuracy_intervals(accuracy[:, None], few, few)
    n_own = int(np.count_nonzero(data.dataset.own & (data.dataset.split != "test")))
    # A frame more that the last labels put right, and one that they put wrong: where few frames agree by
    # chance, an interval by them alone would have no width.
    turned = np.zeros((2, len(sizes)))
    turned[[0, 1], [-1, -2]] = 1.0
    turned[1, :-1] = 1.0
    resampled = _resampled(np.vstack([sums, turned]), np.append(number, [1.0, 1.0]), seed)
    gains = _gain(np.vstack([accuracy, resampled]), frames, n_own)
    points = [
        Point(size, round(float(n), 1), *(round(float(v), 6) for v in values))
        for size, n, *values in zip(
            sizes, frames, accuracy, np.minimum(low, least), np.maximum(high, most), strict=True
        )
    ]
    gain_low, gain_high = np.quantile(gains[1:], _EDGES).tolist()
    return LabelCurve(
        chosen.trial,
        chosen.pipeline.name,
        n_own,
        0 if data.dataset.helping is None else int(data.dataset.helping.sum()),
        len(names),
        len(data.splits),
        draws,
        tuple(points),
        *(round(float(v), 6) for v in (gains[0], gain_low, gain_high)),
    )


def _resampled(sums: Matrix, number: NDArray[np.float64], seed: int) -> Matrix:
    """Return means (resamples, sizes) of units drawn anew, from sums (units, sizes) and sizes (units,)."""
    n = len(number)
    drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=_RESAMPLED)
    return np.asarray((drawn @ sums) / (drawn @ number)[:, None])


def _gain(accuracy: Matrix, frames: Matrix, n: int) -> NDArray[np.float64]:
    """Return what more frames add to each of several curves (curves, sizes), (curves,), beyond `n` frames.

    The accuracy is taken to rise with the logarithm of the number of frames, by a line through the points
    with a quarter of the frames or more, the last two at least.
    """
    some = frames >= frames[-1] / 4
    some[-2:] = True
    z = np.log1p(frames[some])
    z = z - z.mean()
    slope = (accuracy[:, some] * z).sum(axis=1) / (z**2).sum()
    gain = np.minimum(slope * (np.log1p(n + MORE) - np.log1p(n)), 1 - accuracy[:, -1])
    return np.asarray(gain)
