"""Promises on the frames that a sorter accepts and on those that it keeps, and what they cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from sweeper.errors import InputError
from sweeper.evaluate.conformal import NEVER, error_threshold, recall_threshold
from sweeper.evaluate.costs import check_costs, costs_of, decide, mean_cost
from sweeper.plugins import nearest


@dataclass(frozen=True, eq=False)
class Calibration:
    """Predictions of frames that the predictor was not fitted on.

    Attributes
    ----------
    probabilities : float64, (n, n_classes)
        Calibrated, by a map that was fitted on other frames.
    labels : int64, (n,)
    groups : int64, (n,)
        Frames of equal number belong together: each group counts the same.
    of_domains : bool
        Whether the groups are domains that the predictor was not fitted on: what is promised then is of
        domains that it has never seen.
    costs : float64, (n_classes,), or None
        What it costs to miss a frame of each class; None: 1.
    """

    probabilities: NDArray[np.float64]
    labels: NDArray[np.int64]
    groups: NDArray[np.int64]
    of_domains: bool = False
    costs: NDArray[np.float64] | None = None

    @property
    def units(self) -> str:
        """What a promise counts."""
        return "domains" if self.of_domains else "groups"

    @property
    def predicted(self) -> NDArray[np.int64]:
        """Classes that frames are given, (n,)."""
        n_classes = self.probabilities.shape[1]
        return decide(self.probabilities, np.ones(n_classes) if self.costs is None else self.costs)

    @property
    def confidence(self) -> NDArray[np.float64]:
        """Probability of the class that a frame is given, (n,)."""
        return np.asarray(np.take_along_axis(self.probabilities, self.predicted[:, None], axis=1)[:, 0])

    @property
    def right(self) -> NDArray[np.bool_]:
        """Whether that class is the true one, (n,)."""
        return np.asarray(self.predicted == self.labels)


@dataclass(frozen=True)
class Promise:
    """The promise asked of a sorter.

    Attributes
    ----------
    error_rate : float or None
        Largest share of all frames that may be accepted with a wrong class; None: frames are not refused for
        want of confidence.
    by_class : bool
        Whether that holds of the frames that look like each class, not only of all of them together.
    never_miss : tuple of str
        Classes of which frames must not be lost; empty: frames are not marked to be kept or thrown away.
    recall : float
        Least share of the frames of these classes, taken together, that are kept.
    class_costs : tuple of (str, float)
        What it costs to miss a frame of a class, 1 where it is not named: a frame is given the class that
        costs least.
    """

    error_rate: float | None = None
    by_class: bool = False
    never_miss: tuple[str, ...] = ()
    recall: float = 0.999
    class_costs: tuple[tuple[str, float], ...] = ()

    def costs(self, classes: Sequence[str]) -> NDArray[np.float64]:
        """Return what it costs to miss a frame of each class, (n_classes,)."""
        return costs_of(dict(self.class_costs), classes)

    def check(self, classes: Sequence[str]) -> None:
        """Raise InputError for a share outside (0, 1), or a class that the model does not know."""
        if self.error_rate is not None and not 0 < self.error_rate < 1:
            raise InputError(f"error rate must be above 0 and below 1, got {self.error_rate:g}")
        if not 0 < self.recall < 1:
            raise InputError(f"recall must be above 0 and below 1, got {self.recall:g}")
        if self.by_class and self.error_rate is None:
            raise InputError("by class needs an error rate, such as 0.02")
        for name in self.never_miss:
            if name not in classes:
                raise InputError(f"never miss: unknown class {name!r}; {nearest(name, classes)}")
        if len(set(self.never_miss)) == len(classes):
            raise InputError("never miss must leave a class out: otherwise every frame is kept")
        check_costs(dict(self.class_costs), classes)


@dataclass(frozen=True, eq=False)
class Thresholds:
    """A promise, found for a model.

    Attributes
    ----------
    accept : float64, (n_classes,)
        Least probability at which a frame is accepted as each class.
    hits : bool, (n_classes,)
        The classes that are not to be missed.
    keep : float
        Least probability of being one of these at which a frame is kept.
    costs : float64, (n_classes,)
        What it costs to miss a frame of each class.
    notes : tuple of str
        What the promise costs, in words.
    decision : str
        What frames cost on average, in words; empty where classes have no costs.
    """

    accept: NDArray[np.float64]
    hits: NDArray[np.bool_]
    keep: float
    costs: NDArray[np.float64]
    notes: tuple[str, ...] = ()
    decision: str = ""

    def decide(self, probabilities: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the class that each frame is given, (n,)."""
        return decide(probabilities, self.costs)

    def keeps(self, probabilities: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return which frames are kept, (n,)."""
        return np.asarray(probabilities[:, self.hits].sum(axis=1) >= self.keep)

    def accepts(self, probabilities: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Return which frames are accepted, (n,)."""
        given = self.decide(probabilities)
        return np.asarray(probabilities[np.arange(len(given)), given] >= self.accept[given])


def thresholds(promise: Promise, calibration: Calibration, classes: Sequence[str]) -> Thresholds:
    """Find the thresholds that keep a promise, and say what they cost."""
    promise.check(classes)
    calibration = replace(calibration, costs=promise.costs(classes))
    hits = np.isin(np.array(classes, dtype=object), promise.never_miss)
    found = Thresholds(np.zeros(len(classes)), hits, 0.0, promise.costs(classes))
    notes = []
    if promise.class_costs:
        found = replace(found, decision=_cost_note(promise, found, calibration))
    if promise.error_rate is not None:
        found = replace(found, accept=_accept(promise, calibration, len(classes)))
        notes.append(_accept_note(promise, found, calibration, classes))
    if promise.never_miss:
        rows = hits[calibration.labels]
        score = calibration.probabilities[:, hits].sum(axis=1)
        found = replace(found, keep=recall_threshold(score[rows], calibration.groups[rows], promise.recall))
        notes.append(_keep_note(promise, found, calibration, rows))
    return replace(found, notes=tuple(notes))


def _cost_note(promise: Promise, found: Thresholds, calibration: Calibration) -> str:
    names = ", ".join(f"{name} costs {cost:g}" for name, cost in promise.class_costs)
    probable = calibration.probabilities.argmax(axis=1)
    by_cost, by_class = (
        mean_cost(given, calibration.labels, found.costs) for given in (calibration.predicted, probable)
    )
    return (
        f"a missed frame of {names}, any other 1: each is given the class that costs least, {by_cost:.3g} a "
        f"frame on average; its most probable class would cost {by_class:.3g}"
    )


def _accept(promise: Promise, calibration: Calibration, n_classes: int) -> NDArray[np.float64]:
    assert promise.error_rate is not None
    confidence, right, groups = calibration.confidence, calibration.right, calibration.groups
    if not promise.by_class:
        return np.full(n_classes, error_threshold(confidence, right, groups, promise.error_rate))
    of_class = [calibration.predicted == c for c in range(n_classes)]
    found = [error_threshold(confidence[m], right[m], groups[m], promise.error_rate) for m in of_class]
    return np.array(found)


def _accept_note(
    promise: Promise, found: Thresholds, calibration: Calibration, classes: Sequence[str]
) -> str:
    rate = promise.error_rate
    assert rate is not None
    accepted = found.accepts(calibration.probabilities)
    share = float(accepted.mean())
    text = f"at most {100 * rate:.3g} % of {'the frames of each class' if promise.by_class else 'all frames'}"
    text += " of a domain that it has never seen" if calibration.of_domains else ""
    text += f" are accepted with a wrong class: {100 * share:.3g} % of frames like the training frames are "
    text += "accepted"
    never = [name for name, least in zip(classes, found.accept, strict=True) if least == NEVER]
    if never:
        what = ", ".join(never) if promise.by_class else "any class"
        text += (
            f"; none as {what}: that needs {int(np.ceil(1 / rate)) - 1} {calibration.units} of "
            "calibration frames at least"
        )
    return text


def _keep_note(promise: Promise, found: Thresholds, calibration: Calibration, rows: NDArray[np.bool_]) -> str:
    kept = found.keeps(calibration.probabilities)
    names = ", ".join(promise.never_miss)
    unseen = " of a domain that it has never seen" if calibration.of_domains else ""
    text = (
        f"at least {100 * promise.recall:.5g} % of {names}{unseen} are kept: {100 * kept.mean():.3g} % of "
        f"all frames are kept, {100 * rows.mean():.3g} % are {names}"
    )
    if found.keep == 0.0:
        needed = int(np.ceil(1 / (1 - promise.recall) - 1e-9)) - 1
        text += (
            f"; every frame is kept: to promise more needs {needed} {calibration.units} of calibration "
            "frames of them"
        )
    return text
