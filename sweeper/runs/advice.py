"""Advice on the next sweep, learnt from one: whether its time was enough, and what was never worth it.

All of it is a function of the journal's records and of the size of the space. Time is that of the fits and
their predictions, in the order in which the journal got them, whatever the number of cores.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from sweeper.evaluate.gain import CONFIDENCE, LEAST_SCORES, Gain, gain_of_more
from sweeper.evaluate.metrics import TITLES, WORST_DOMAIN
from sweeper.evaluate.statistics import holm, p_values, standard_error
from sweeper.pipeline import names_of
from sweeper.runs.folder import RunFolder
from sweeper.runs.results import VALUES, CompleteRows, Results, mean_of_folds
from sweeper.runs.spec import SweepSpec

LEAST_TRIED = 8
"""Trials that a part of the space needs before it is judged; those that were stopped early count."""
ALPHA = 0.05

ENOUGH, PROBABLY, SHORT, COMPLETE, UNKNOWN = (
    "enough",
    "probably enough",
    "too short",
    "complete",
    "cannot tell",
)
"""What is said of the time. As much again would add less than the standard error of the best score; would
probably, and would probably not; every pipeline was tried; too few pipelines reached the full budget."""
METADATA = "header"
"""The featurizer that sees no pixel."""
ABOUT_METADATA = (
    "the best pipeline tells classes by what files say of how frames were taken, and sees no pixel: it tells "
    "beamtimes apart rather than what they show, and goes wrong on frames that were taken otherwise"
)
NEVER, KEEP, BEST, FEW = "never worth it", "not told apart", "in the best", "cannot tell"
"""What is said of a part: surely worse than the best, not surely, in it; not tried often
enough, or never to the full budget."""


@dataclass(frozen=True)
class Step:
    """The best score so far, from a trial on.

    Attributes
    ----------
    seconds : float
        Of fits and predictions until then.
    trial : int
    score : float
    """

    seconds: float
    trial: int
    score: float


@dataclass(frozen=True)
class Part:
    """A featurizer, reducer or classifier of the space, and what became of the pipelines with it.

    Attributes
    ----------
    slot, name : str
    tried, finished : int
        Trials with a score, and those of them at the full budget.
    best : float or None
        Best score at the full budget.
    trial : int or None
        The trial that has it.
    p : float or None
        Of the hypothesis that this trial and the best of all score alike, adjusted for the number of parts
        that were compared; None where they were not.
    verdict : str
        :data:`NEVER`, :data:`KEEP`, :data:`BEST` or :data:`FEW`.
    """

    slot: str
    name: str
    tried: int
    finished: int
    best: float | None
    trial: int | None
    p: float | None
    verdict: str


@dataclass(frozen=True)
class Advice:
    """Advice on the next sweep, learnt from one.

    Attributes
    ----------
    metric : str
    time : str
        :data:`ENOUGH`, :data:`PROBABLY`, :data:`SHORT`, :data:`COMPLETE` or :data:`UNKNOWN`.
    finished : int
        Pipelines at the full budget.
    seconds : float
        Of all fits and predictions of the search.
    course : tuple of Step
        The any-time curve: a step for each improvement.
    standard_error : float or None
        Of the best score; None before there is one.
    gain : Gain or None
        What as much time again would add to the best score; None where nobody can tell.
    parts : tuple of Part
        Those of slots that have several.
    metadata_alone : bool
        Whether the best pipeline sees what files say of how frames were taken, and no pixel.
    """

    metric: str
    time: str
    finished: int
    seconds: float
    course: tuple[Step, ...]
    standard_error: float | None
    gain: Gain | None
    parts: tuple[Part, ...]
    metadata_alone: bool = False

    @property
    def lines(self) -> list[str]:
        """Everything in at most three lines; none before a pipeline has a score."""
        if not self.course and self.time == UNKNOWN:
            return []
        told = [f"note: {ABOUT_METADATA}"] if self.metadata_alone else []
        return [*told, f"time: {self.about_time}", *self._about_parts()]

    @property
    def about_time(self) -> str:
        """Whether the time was enough, in a sentence without its end."""
        if not self.course:
            return f"{self.time}; no pipeline has reached the full budget yet"
        if self.time == COMPLETE:
            return "enough; every pipeline of the space was tried"
        if self.gain is None or self.standard_error is None:
            return (
                f"{self.time} whether it was enough; {self.finished} pipelines have reached the full budget, "
                f"and that takes {LEAST_SCORES}"
            )
        found = f"the best came after {self.course[-1].seconds / self.seconds:.0%} of it"
        low, high = _short(self.gain.low), _short(self.gain.high)
        return (
            f"{self.time} ({found}); as much again would add about {_short(self.gain.expected)} to "
            f"{TITLES[self.metric]} ({CONFIDENCE:.0%}: {low} to {high}), "
            f"{'more' if self.time == SHORT else 'less'} than its standard error, {self.standard_error:.4f}"
        )

    def _about_parts(self) -> list[str]:
        never = [part for part in self.parts if part.verdict == NEVER]
        named = [f"{p.slot} {p.name} (at best {p.best:.4f}, p {_probability(p.p)})" for p in never]
        return [f"never worth it: {', '.join(named)}"] if named else []


def _short(value: float) -> str:
    text = f"{value:.4f}"
    return "0" if float(text) == 0 else text


def _probability(p: float | None) -> str:
    return "< 0.001" if p is not None and p < 0.001 else f"{p:.3f}"


def advise(results: Results, spec: SweepSpec, folds: int | None) -> Advice:
    """Return what a sweep teaches, from its records.

    Parameters
    ----------
    results : Results
        What the journal says; an ensemble among the records has no part in it.
    spec : SweepSpec
    folds : int or None
        Folds of the sweep; None takes as many as the records name.
    """
    every = results.rungs(folds)
    trials = {owner: trial for owner, trial in results.owners.items() if trial >= 0}
    every = _select(every, np.isin(every.owner, [*(trials.keys() - results.failed.keys())]))
    full = _select(every, every.budget >= 1.0)
    scores = _scores(full, spec.metric)
    full, scores = _select(full, np.isfinite(scores)), scores[np.isfinite(scores)]
    trial = np.array([trials[owner] for owner in full.owner.tolist()], dtype=np.int64)
    when, seconds = _finished(results, full.owner, set(trials))
    course = tuple(_course(when, trial, scores))
    if not course:
        return Advice(spec.metric, SHORT if len(every.owner) else UNKNOWN, 0, seconds, (), None, None, ())
    best = _best(scores, trial)
    error = _error(full, best, spec.metric)
    left = _size(spec) - len(trials)
    gain = _gain(scores, when, seconds, left) if left > 0 else None
    return Advice(
        metric=spec.metric,
        time=COMPLETE if left <= 0 else _verdict(gain, error),
        finished=len(scores),
        seconds=seconds,
        course=course,
        standard_error=error,
        gain=gain,
        parts=tuple(_parts(results, every, full, scores, trial, best, spec.metric)),
        metadata_alone=results.pipeline(int(trial[best])).featurizer == METADATA,
    )


def _select(rows: CompleteRows, kept: NDArray[np.bool_]) -> CompleteRows:
    return CompleteRows(rows.owner[kept], rows.budget[kept], rows.values[kept])


def _scores(rows: CompleteRows, metric: str) -> NDArray[np.float64]:
    """Score of each row, as the leaderboard ranks it, (rows,)."""
    values = rows.values[:, :, VALUES.index(metric)]
    mean = values.min(axis=1, initial=np.inf) if metric == WORST_DOMAIN else mean_of_folds(values)
    return np.asarray(mean.round(12), dtype=np.float64)


def _best(scores: NDArray[np.float64], trial: NDArray[np.int64]) -> int:
    """Return the row that the leaderboard has first."""
    return int(np.lexsort((trial, -scores))[0])


def _error(full: CompleteRows, best: int, metric: str) -> float:
    values = full.values[best, :, VALUES.index(metric)]
    n_train, n_validation = full.values[best, :, -2:].mean(axis=0)
    return standard_error(values[np.isfinite(values)], float(n_train), float(n_validation))


def _size(spec: SweepSpec) -> float:
    try:
        return spec.search_space.size
    except ValueError:  # a plugin of the run is not here
        return float("inf")


# --------------------------------------------------------------------------- time


def _finished(
    results: Results, owners: NDArray[np.int64], ours: set[int]
) -> tuple[NDArray[np.float64], float]:
    """Return after how many seconds each pipeline had its full budget, (rows,), and the seconds of all."""
    owner, budget, _, values = results.columns()
    fit, predict, n = (values[:, VALUES.index(c)] for c in ("fit_s", "predict_ms_per_frame", "n_validation"))
    spent = np.where(np.isin(owner, [*ours]), fit + predict * n / 1e3, 0.0)
    passed = np.cumsum(spent)
    last: dict[int, float] = {}
    full = np.flatnonzero(budget >= 1.0)
    for who, seconds in zip(owner[full].tolist(), passed[full].tolist(), strict=True):
        last[who] = seconds
    return np.array([last[o] for o in owners.tolist()]), float(passed[-1]) if len(passed) else 0.0


def _course(
    when: NDArray[np.float64], trial: NDArray[np.int64], scores: NDArray[np.float64]
) -> Iterator[Step]:
    """Yield a step for each improvement."""
    highest = -np.inf
    for row in np.lexsort((trial, when)).tolist():
        if scores[row] > highest:
            highest = float(scores[row])
            yield Step(round(float(when[row]), 6), int(trial[row]), highest)


def _gain(scores: NDArray[np.float64], when: NDArray[np.float64], seconds: float, left: float) -> Gain | None:
    """Judge by the pipelines that ended in the second half of the time; by the last ones if those are few."""
    late = int((when > (0.5 + 1e-9) * seconds).sum())  # sums of seconds are not exact
    order = np.argsort(when, kind="stable")
    lately = scores[order[-max(late, LEAST_SCORES) :]]
    more = max(2 * late, 1)
    return gain_of_more(lately, float(scores.max()), int(min(more, left)))


def _verdict(gain: Gain | None, error: float) -> str:
    if gain is None:
        return UNKNOWN
    if gain.high < error or gain.high == 0:
        return ENOUGH
    return SHORT if gain.expected >= error else PROBABLY


# --------------------------------------------------------------------------- parts


def _parts(
    results: Results,
    every: CompleteRows,
    full: CompleteRows,
    scores: NDArray[np.float64],
    trial: NDArray[np.int64],
    best: int,
    metric: str,
) -> list[Part]:
    """Return the parts of slots that have several, by slot and best score."""
    of = {owner: _named(msgspec.json.decode(results.text(owner))) for owner in set(every.owner.tolist())}
    tried = _rows(of, every.owner)
    finished = _rows(of, full.owner)
    several = [key for key in tried if sum(slot == key[0] for slot, _ in tried) > 1]
    of_best = of[int(full.owner[best])]
    found: dict[tuple[str, str], Part] = {}
    compared: dict[tuple[str, str], int] = {}
    for slot, name in several:
        rows = finished.get((slot, name), np.zeros(0, dtype=np.int64))
        owners = len(set(every.owner[tried[slot, name]].tolist()))
        top = int(rows[_best(scores[rows], trial[rows])]) if len(rows) else None
        verdict = BEST if (slot, name) in of_best else FEW
        if verdict == FEW and owners >= LEAST_TRIED and top is not None:
            verdict, compared[slot, name] = KEEP, top
        score, number = (None, None) if top is None else (float(scores[top]), int(trial[top]))
        found[slot, name] = Part(slot, name, owners, len(rows), score, number, None, verdict)
    for key, p in _adjusted(full, compared, best, metric).items():
        found[key] = replace(found[key], p=p, verdict=NEVER if p < ALPHA else KEEP)
    order = ("featurizer", "reducer", "classifier")
    return sorted(found.values(), key=lambda p: (order.index(p.slot), -(p.best or -np.inf), p.name))


def _named(pipeline: Mapping[str, Any]) -> frozenset[tuple[str, str]]:
    """Return the slots and names of the parts of a pipeline."""
    featurizers = [("featurizer", name) for name in names_of(pipeline["featurizer"])]
    return frozenset([*featurizers, ("reducer", pipeline["reducer"]), ("classifier", pipeline["classifier"])])


def _rows(
    of: Mapping[int, frozenset[tuple[str, str]]], owners: NDArray[np.int64]
) -> dict[tuple[str, str], NDArray[np.int64]]:
    """Return the rows of the pipelines with each part."""
    rows: dict[tuple[str, str], list[int]] = {}
    for row, owner in enumerate(owners.tolist()):
        for part in of[owner]:
            rows.setdefault(part, []).append(row)
    return {part: np.array(found, dtype=np.int64) for part, found in rows.items()}


def _adjusted(
    full: CompleteRows, compared: Mapping[tuple[str, str], int], best: int, metric: str
) -> dict[tuple[str, str], float]:
    """Return p of the best pipeline of each part against the best of all, adjusted for their number."""
    if not compared:
        return {}
    rows = np.array([*compared.values()], dtype=np.int64)
    values, sizes = full.values[:, :, VALUES.index(metric)], mean_of_folds(full.values[rows][:, :, -2:])
    p = p_values(values[rows], values[best], sizes[:, 0], sizes[:, 1])
    told = np.isfinite(p)
    keys = [key for key, known in zip(compared, told, strict=True) if known]
    return dict(zip(keys, holm(p[told].tolist()), strict=True))


def advice_of(folder: RunFolder) -> Advice:
    """Return what the sweep in a folder teaches."""
    return advise(folder.results(), folder.load_spec(), folder.folds())
