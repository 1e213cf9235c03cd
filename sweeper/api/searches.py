"""Searches: what to try next."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from sweeper.pipeline import Pipeline

FAILED_SCORE = -2.0
"""Score of a failed evaluation: below every metric, and finite, so that nothing ever compares NaN."""
_ATTEMPTS = 200
"""Draws before a small space is walked for what is left."""
_WALK_LIMIT = 100_000
"""Spaces larger than this are never exhausted by draws, so they are not walked."""


@dataclass(frozen=True)
class Observation:
    """The score of a trial at one budget.

    Attributes
    ----------
    trial : int
    pipeline : Pipeline
    budget : float
        Share of the full budget, in (0, 1].
    score : float
        Higher is better; :data:`FAILED_SCORE` for a failed evaluation.
    seconds : float or None
        What its folds took to fit and to score, as the journal has it; None unless the search counts them.
    """

    trial: int
    pipeline: Pipeline
    budget: float
    score: float
    seconds: float | None = None


@dataclass(frozen=True)
class Variable:
    """One coordinate of pipelines as vectors.

    Attributes
    ----------
    name : str
        Unique: ``featurizer.glcm.distance.2``.
    levels : int
        Number of categories, whose values are 0, 1, ...; 0 for an ordered variable, in [0, 1].
    condition : tuple of str and int, or None
        Another variable and its category with which alone this one exists; None: it always exists.
    """

    name: str
    levels: int
    condition: tuple[str, int] | None = None


class Encoding(Protocol):
    """Translates between the pipelines of a space and vectors, for searches that model a space.

    A subset axis becomes one yes/no variable for each value; an ordered list of numbers becomes its rank;
    other lists become categories. Axes with a single value have no variable. Where featurizers stand side by
    side, each has a yes/no variable of its own.
    """

    @property
    def variables(self) -> Sequence[Variable]:
        """The coordinates, (d,)."""
        ...

    @property
    def path_length(self) -> int:
        """Most choices that one pipeline takes: the dimension of the space as a person counts it."""
        ...

    def encode(self, pipeline: Pipeline) -> NDArray[np.float64]:
        """Return the vector of a pipeline, (d,), NaN where a variable does not exist for it."""
        ...

    def decode(self, vector: NDArray[np.float64]) -> Pipeline | None:
        """Return the pipeline at a point without NaN, or None where there is none; see :meth:`active`."""
        ...

    def active(self, vector: NDArray[np.float64]) -> NDArray[np.bool_] | None:
        """Return which variables exist at a point, (d,); None where it is no pipeline.

        Points with an empty subset, with no featurizer or too many, or with parts that do not fit together,
        are no pipelines.
        """
        ...


class SearchSpace(Protocol):
    """The space that a search proposes from."""

    @property
    def size(self) -> float:
        """Number of pipelines; infinite when a parameter is continuous."""
        ...

    def sample(self, rng: np.random.Generator) -> Pipeline:
        """Draw a pipeline: plugins uniformly first, then each of their parameters."""
        ...

    def grid(self) -> Iterator[Pipeline]:
        """Yield every pipeline of a finite space, in the order the space is written."""
        ...

    def known(self) -> Sequence[Pipeline]:
        """Return a few pipelines that do well on most data sets, to begin with; there may be none."""
        ...

    def encoding(self) -> Encoding:
        """Return the translation between pipelines and vectors."""
        ...


class Proposer(Protocol):
    """Says which pipeline a trial evaluates."""

    def propose(self, trial: int, taken: set[str], observations: Sequence[Observation]) -> Pipeline | None:
        """Return the pipeline of trial `trial`, or None when the space is exhausted.

        Parameters
        ----------
        trial : int
            Trials are asked for in order: from 0, or from a later one where the sweep begins with pipelines
            of another (``--warm-start``).
        taken : set of str
            Ids of the pipelines of the trials before this one: none of them is proposed again.
        observations : sequence of Observation
            In the order of trials, then budgets. Empty for a search that does not learn; for one that
            does, the complete results of all groups of trials before the previous one.
        """
        ...


@dataclass(frozen=True)
class Search:
    """A strategy that decides what to try next.

    A sweep replays a search from its journal, so proposals must be a pure function of the space, the seed,
    the trial's number, the ids taken and the observations.

    Attributes
    ----------
    name : str
        The file's name: lower case letters, digits and underscores.
    version : int
        Raise it when the same seed and results give other proposals.
    source : str
        Paper, section or algorithm.
    doc : str
        One line for ``sweeper list``: what it does.
    proposer : callable
        ``proposer(space, seed)``: a :class:`SearchSpace` and a seed to a :class:`Proposer`.
    early_stopping : {"none", "synchronous", "asynchronous"}
        Whether trials climb a ladder of budgets and may stop below the full one: in HyperBand's brackets,
        halved once all of their trials are there, or as results come in (ASHA).
    learns : bool
        Whether it looks at observations.
    counts_seconds : bool
        Whether it looks at their seconds, too: a sweep that resumes proposes the same, one that begins anew
        with the same seed need not.
    group : int
        Trials that start without waiting for each other's results, in a search that learns and does not
        stop early; one that stops synchronously learns from whole brackets.
    exhaustive : bool
        Whether it walks a finite space to its end, unless a number of trials is asked for.
    requires : tuple of str
        Import names of the libraries it needs beyond Sweeper's own: `list`, `plan` and `run` name one
        that is not installed.
    """

    name: str
    version: int
    source: str
    doc: str
    proposer: Callable[[SearchSpace, int], Proposer]
    early_stopping: Literal["none", "synchronous", "asynchronous"] = "none"
    learns: bool = False
    counts_seconds: bool = False
    group: int = 8
    exhaustive: bool = False
    requires: tuple[str, ...] = ()


def draw_new(space: SearchSpace, rng: np.random.Generator, taken: set[str]) -> Pipeline | None:
    """Draw a pipeline that is not in `taken`, or None when none is left."""
    for _ in range(_ATTEMPTS):
        pipeline = space.sample(rng)
        if pipeline.id not in taken:
            return pipeline
    if space.size > _WALK_LIMIT:
        return None
    left = [pipeline for pipeline in space.grid() if pipeline.id not in taken]
    return left[int(rng.integers(len(left)))] if left else None
