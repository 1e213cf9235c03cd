"""Checks of classifiers, with tiny parameters on Gaussian classes."""

from __future__ import annotations

import contextlib
import os
import pickle
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.api import CLASS_WEIGHT, Build, Classifier, Estimator
from sweeper.space.file import parse_space
from sweeper.testing.checks import (
    Check,
    default_params,
    expect,
    expect_declared,
    expect_equal,
    expect_sound_axes,
    global_seed,
)

_TINY: dict[str, Any] = {"n_trees": 12, "min_child_samples": 3, "num_leaves": 7}
"""Parameters that plugins may have, at values that make them quick."""

Data = tuple[NDArray[np.float64], NDArray[np.int64]]

# --------------------------------------------------------------------------- what is tried


def blobs(n_classes: int, n: int, d: int, apart: float, seed: int = 0) -> Data:
    """Return Gaussian classes of equal size on the corners of a simplex, `apart` standard deviations out."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % n_classes
    x = rng.normal(size=(n, d))
    x[np.arange(n), y % d] += apart * (1 + y // d)
    return x, y


def build(
    classifier: Classifier,
    n_classes: int,
    *,
    seed: int = 1,
    budget: float = 1.0,
    threads: int = 1,
    **params: Any,
) -> Estimator:
    """Return an unfitted estimator with tiny parameters; `params` that it does not have are left out."""
    values = {a.name: a.default for a in classifier.axes if a.name != CLASS_WEIGHT.name}
    values |= {k: v for k, v in (_TINY | params).items() if k in values}
    return classifier.build(Build(values, budget, n_classes, seed, threads))


def fitted_scores(
    estimator: Estimator, data: Data, weights: NDArray[np.float64] | None = None
) -> NDArray[np.float64]:
    """Fit on some rows and return their scores."""
    x, y = data
    estimator.fit(x, y, np.ones(len(y)) if weights is None else weights)
    return estimator.scores(x)


def _accuracy(scores: NDArray[np.float64], y: NDArray[np.int64]) -> float:
    return float((scores.argmax(axis=1) == y).mean())


@contextlib.contextmanager
def _elsewhere() -> Iterator[tuple[Path, Path]]:
    """Work in an empty folder, with what is printed, also by native code, in a file; give both."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder, tempfile.NamedTemporaryFile("a") as printed:
        sys.stdout.flush()
        sys.stderr.flush()
        kept = [os.dup(1), os.dup(2)]
        os.chdir(folder)
        try:
            for stream in (1, 2):
                os.dup2(printed.fileno(), stream)
            with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
                yield Path(folder), Path(printed.name)
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for stream, copy in zip((1, 2), kept, strict=True):
                os.dup2(copy, stream)
                os.close(copy)
            os.chdir(before)


# --------------------------------------------------------------------------- checks


def check_it_declares_what_a_sweep_asks(classifier: Classifier) -> None:
    """Check version, source, budget and axes, class weights among them; a network's head has none."""
    expect_declared(classifier.name, classifier.version, classifier.source)
    budgets = ("trees", "rows", "epochs")
    expect(
        classifier.budget in budgets, f"budget must be one of {', '.join(budgets)}, got {classifier.budget!r}"
    )
    expect(classifier.is_head or CLASS_WEIGHT in classifier.axes, "its axes must have CLASS_WEIGHT")
    expect_sound_axes(classifier.name, classifier.axes)


def check_a_space_may_leave_all_to_the_defaults(classifier: Classifier) -> None:
    """Check that a search space that only names it has one choice: the defaults."""
    featurizer = "lenet" if classifier.is_head else "histogram"
    written = {"featurizers": [featurizer], "reducers": ["none"], "classifiers": [classifier.name]}
    space = parse_space(written, default_name="conformance")
    found = [pipeline.classifier_params for pipeline in space.grid()]
    expect_equal(found, [default_params(classifier.axes)], "parameters")


def check_it_scores_every_class_and_learns(classifier: Classifier) -> None:
    """Check shape, type and accuracy on new rows of two, three and five classes that are far apart."""
    for n_classes in (2, 3, 5):
        train, (x, y) = blobs(n_classes, 150, 8, 5.0), blobs(n_classes, 150, 8, 5.0, seed=9)
        estimator = build(classifier, n_classes)
        fitted_scores(estimator, train)
        scores = estimator.scores(x)
        expect_equal((scores.shape, str(scores.dtype)), ((150, n_classes), "float64"), "scores")
        expect(bool(np.isfinite(scores).all()), "scores are not finite")
        accuracy = _accuracy(scores, y)
        expect(
            accuracy > 0.85, f"{n_classes} classes far apart: accuracy {accuracy:.2f}, at least 0.85 asked"
        )


def check_the_same_seed_gives_the_same_scores_on_any_number_of_threads(classifier: Classifier) -> None:
    """Check that a fit is repeatable, on one thread and on two."""
    data = blobs(3, 300, 12, 1.0)
    random: dict[str, Any] = {"subsample": 0.6, "colsample": 0.6, "n_trees": 5}
    one = fitted_scores(build(classifier, 3, **random), data)
    again = fitted_scores(build(classifier, 3, **random), data)
    two = fitted_scores(build(classifier, 3, threads=2, **random), data)
    expect(bool(np.array_equal(one, again)), "the same seed gives other scores")
    expect(bool(np.array_equal(one, two)), "two threads give other scores than one")


def check_the_global_random_state_has_no_influence(classifier: Classifier) -> None:
    """Check that a fit draws from its own seed alone."""
    data = blobs(3, 90, 6, 1.0)
    scores = []
    for seed in (1, 2):
        with global_seed(seed):
            scores.append(fitted_scores(build(classifier, 3, subsample=0.6), data))
    expect(bool(np.array_equal(scores[0], scores[1])), "scores depend on numpy's global generator")


def check_sample_weights_matter(classifier: Classifier) -> None:
    """Check that a class whose rows weigh more is predicted more often."""
    x, y = blobs(3, 300, 6, 0.7)
    limits = {"min_samples_leaf": 15}
    even = fitted_scores(build(classifier, 3, **limits), (x, y)).argmax(axis=1)
    weights = np.where(y == 2, 20.0, 1.0)
    favoured = fitted_scores(build(classifier, 3, **limits), (x, y), weights).argmax(axis=1)
    before, after = int((even == 2).sum()), int((favoured == 2).sum())
    expect(after > 1.3 * before, f"a class of weight 20 is predicted {after} times, {before} without weights")


def check_one_feature_is_enough(classifier: Classifier) -> None:
    """Check two classes that one feature separates."""
    x, y = blobs(2, 80, 1, 0.0)
    x[:, 0] += 6 * y
    scores = fitted_scores(build(classifier, 2), (x, y))
    expect_equal(scores.shape, (80, 2), "shape of the scores")
    expect(_accuracy(scores, y) > 0.95, f"accuracy {_accuracy(scores, y):.2f} on a separable feature")


def check_a_constant_feature_does_no_harm(classifier: Classifier) -> None:
    """Check classes far apart beside a feature that never changes."""
    x, y = blobs(3, 90, 4, 5.0)
    x[:, 3] = 7.0
    accuracy = _accuracy(fitted_scores(build(classifier, 3), (x, y)), y)
    expect(accuracy > 0.85, f"accuracy {accuracy:.2f} beside a constant feature")


def check_a_budget_of_trees_buys_the_first_trees(classifier: Classifier) -> None:
    """Check that a share of the budget gives the first part of the larger model, or nothing is scaled."""
    train, (x, _) = blobs(3, 120, 6, 1.0), blobs(3, 120, 6, 1.0, seed=9)

    def scores(n_trees: int, budget: float) -> NDArray[np.float64]:
        estimator = build(classifier, 3, n_trees=n_trees, budget=budget)
        fitted_scores(estimator, train)
        return estimator.scores(x)

    full, part = scores(20, 1.0), scores(20, 0.25)
    if classifier.budget == "trees":
        expect(not np.array_equal(full, part), "a quarter of the budget gives the full model")
        expect(bool(np.array_equal(part, scores(5, 1.0))), "a quarter of 20 trees is not a model of 5")
    else:
        expect(bool(np.array_equal(full, part)), "the model depends on a budget that buys training rows")


def check_a_fitted_estimator_pickles(classifier: Classifier) -> None:
    """Check that a copy that was pickled scores alike."""
    x, y = blobs(3, 90, 6, 1.0)
    estimator = build(classifier, 3)
    scores = fitted_scores(estimator, (x, y))
    copy: Estimator = pickle.loads(pickle.dumps(estimator))
    expect(bool(np.array_equal(copy.scores(x), scores)), "a pickled copy gives other scores")


def check_it_is_quiet_and_leaves_no_files(classifier: Classifier) -> None:
    """Check that a fit prints nothing, warns of nothing and writes nothing into the current folder."""
    with _elsewhere() as (folder, printed), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fitted_scores(build(classifier, 3), blobs(3, 60, 4, 2.0))
        sys.stdout.flush()
        sys.stderr.flush()
        text = printed.read_text(errors="replace").strip()
        left = sorted(path.name for path in folder.iterdir())
    expect(text == "", f"it printed {text[:100]!r}")
    expect_equal([str(w.message) for w in caught], [], "warnings")
    expect_equal(left, [], "files in the current folder")


def classifier_checks(classifier: Classifier) -> tuple[Check, ...]:
    """Return all checks of a :class:`Classifier`; a network's head has nothing to fit, and so only two."""
    declared: tuple[Check, ...] = (
        check_it_declares_what_a_sweep_asks,
        check_a_space_may_leave_all_to_the_defaults,
    )
    if classifier.is_head:
        return declared
    return (
        *declared,
        check_it_scores_every_class_and_learns,
        check_the_same_seed_gives_the_same_scores_on_any_number_of_threads,
        check_the_global_random_state_has_no_influence,
        check_sample_weights_matter,
        check_one_feature_is_enough,
        check_a_constant_feature_does_no_harm,
        check_a_budget_of_trees_buys_the_first_trees,
        check_a_fitted_estimator_pickles,
        check_it_is_quiet_and_leaves_no_files,
    )
