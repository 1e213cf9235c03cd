"""Checks of searches, on small spaces with made-up scores."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

import numpy as np

from sweeper.api import FAILED_SCORE, Observation, Pipeline, Search
from sweeper.errors import CheckFailedError, InputError
from sweeper.space.file import parse_space
from sweeper.space.space import Space
from sweeper.testing.checks import Check, expect, expect_declared, expect_equal, global_seed

_SEED, _TRIALS = 3, 35
_GROUP = 5
"""Trials whose results are handed over together, as a sweep hands over those of whole brackets."""
_STOPS = ("none", "synchronous", "asynchronous")

# --------------------------------------------------------------------------- what is tried


def finite_space() -> Space:
    """Return a space of 240 pipelines, with a subset, ordered values and categories."""
    return _space(
        {
            "featurizers": {
                "glcm": {"distance": {"subsets": [1, 2, 4]}, "angle_deg": [[0, 90]]},
                "histogram": None,
            },
            "classifiers": {
                "rf": {"n_trees": [9, 18, 27], "max_depth": ["none", 4, 8]},
                "svm": {"C": [1, 8, 32, 64, 128, 256, 512], "gamma": [0, 0.1, 0.2]},
            },
        }
    )


def small_space() -> Space:
    """Return a space of 14 pipelines."""
    return _space(
        {
            "featurizers": {"glcm": {"distance": {"subsets": [1, 2, 4]}}},
            "classifiers": {"rf": {"max_depth": ["none", 4]}},
        }
    )


def endless_space() -> Space:
    """Return a space with continuous parameters, linear and logarithmic, that only some pipelines have."""
    return _space(
        {
            "featurizers": {"lbp": {"points": [8, 16], "radius": [1, 2, 3]}, "histogram": None},
            "reducers": {"standard": None, "none": None},
            "classifiers": {
                "svm": {"C": {"low": 0.1, "high": 1000, "log": True}},
                "lightgbm": {"learning_rate": {"low": 0.01, "high": 0.3}},
            },
            "intensity": {"bin": [1, 2]},
        }
    )


def _space(written: dict[str, Any]) -> Space:
    return parse_space(written, default_name="conformance")


def _score(pipeline: Pipeline, trial: int, failures: bool) -> float:
    if failures and trial % 4 == 1:
        return FAILED_SCORE
    return (pipeline.featurizer == "glcm") + 0.5 * (pipeline.classifier == "rf") + 0.001 * trial


def play(
    search: Search, space: Space, seed: int, trials: int, *, failures: bool = False
) -> Iterator[Pipeline]:
    """Yield what a search proposes, with the observations that a sweep would hand it; end where it ends."""
    proposer = search.proposer(space, seed)
    taken: set[str] = set()
    seen: list[Observation] = []
    handed: list[Observation] = []
    for trial in range(trials):
        if search.learns and trial % _GROUP == 0:
            handed = list(seen)
        pipeline = proposer.propose(trial, taken, handed)
        if pipeline is None:
            return
        yield pipeline
        taken = taken | {pipeline.id}
        budgets = (1.0,) if search.early_stopping == "none" else (1 / 9, 1.0)
        for budget in budgets[: 1 + (trial % 3 == 0)]:
            seen.append(Observation(trial, pipeline, budget, _score(pipeline, trial, failures)))


def _ids(search: Search, space: Space, seed: int, trials: int, *, failures: bool = False) -> list[str]:
    return [pipeline.id for pipeline in play(search, space, seed, trials, failures=failures)]


@lru_cache(maxsize=8)
def _played(search: Search, *, endless: bool) -> tuple[Pipeline, ...]:
    """Return the proposals that several checks look at, played once."""
    return tuple(play(search, endless_space() if endless else finite_space(), _SEED, _TRIALS))


def _kinds(search: Search) -> tuple[bool, ...]:
    """Return for which spaces a search is tried: the finite one, and the endless one where it can be."""
    return (False,) if search.exhaustive else (False, True)


# --------------------------------------------------------------------------- checks


def check_it_declares_what_a_sweep_asks(search: Search) -> None:
    """Check version, source, how it stops early, and its group."""
    expect_declared(search.name, search.version, search.source)
    expect(
        search.early_stopping in _STOPS,
        f"early_stopping must be one of {', '.join(_STOPS)}, got {search.early_stopping!r}",
    )
    for name in ("learns", "exhaustive"):
        value = getattr(search, name)
        expect(isinstance(value, bool), f"{name} must be true or false, got {value!r}")
    group = search.group
    expect(isinstance(group, int) and group >= 1, f"group must be a whole number above 0, got {group!r}")


def check_the_same_seed_proposes_the_same(search: Search) -> None:
    """Check that a search started again, as a sweep that resumes does, proposes the same pipelines."""
    for endless in _kinds(search):
        first = [pipeline.id for pipeline in _played(search, endless=endless)]
        again = _ids(search, endless_space() if endless else finite_space(), _SEED, _TRIALS)
        trial = next((i for i, (a, b) in enumerate(zip(first, again, strict=False)) if a != b), None)
        expect(trial is None, f"trial {trial} is another pipeline the second time")
        expect_equal(len(again), len(first), "number of proposals the second time")


def check_the_global_random_state_has_no_influence_and_is_left_alone(search: Search) -> None:
    """Check that numpy's global generator neither decides proposals nor is changed by them."""
    first = [pipeline.id for pipeline in _played(search, endless=False)]
    with global_seed(1):
        before = _position()
        again = _ids(search, finite_space(), _SEED, _TRIALS)
        after = _position()
    expect(after == before, "it draws from numpy's global generator, or seeds it")
    expect(again == first, "proposals depend on numpy's global generator")


def _position() -> tuple[bytes, int]:
    state: Any = np.random.get_state()  # noqa: NPY002
    return state[1].tobytes(), state[2]


def check_nothing_is_proposed_twice(search: Search) -> None:
    """Check that all proposals of a search differ."""
    for endless in _kinds(search):
        ids = [pipeline.id for pipeline in _played(search, endless=endless)]
        expect(len(set(ids)) == len(ids), "a pipeline is proposed twice")
        expect_equal(len(ids), _TRIALS, "number of proposals from a space that has more")


def check_pipelines_that_are_taken_are_not_proposed(search: Search) -> None:
    """Check that ids in `taken` are respected, even those that the search did not propose itself."""
    space = small_space()
    taken = {pipeline.id for number, pipeline in enumerate(space.grid()) if number % 2 == 0}
    given = set(taken)
    proposer = search.proposer(space, 5)
    for trial in range(int(space.size) - len(taken)):
        pipeline = proposer.propose(trial, given, [])
        if pipeline is None:
            raise CheckFailedError(f"trial {trial}: nothing is proposed although pipelines are left")
        expect(pipeline.id not in taken, f"trial {trial}: a pipeline that is taken is proposed")
        expect(given == taken, "it changes the set of ids that it is given")
        taken = taken | {pipeline.id}
        given = set(taken)


def check_it_goes_on_after_pipelines_that_another_chose(search: Search) -> None:
    """Check that a sweep may begin with pipelines of another run: they are taken, and then scored."""
    space = finite_space()
    first = list(space.grid())[7::60]
    proposed = [_after(search, space, first) for _ in range(2)]
    expect(proposed[0] == proposed[1], "proposals after pipelines that another chose differ the second time")
    expect_equal(len({*proposed[0], *(p.id for p in first)}), 9 + len(first), "pipelines that differ")


def _after(search: Search, space: Space, first: list[Pipeline]) -> list[str]:
    """Return the ids of nine pipelines that a search proposes after some that it did not."""
    proposer = search.proposer(space, _SEED)
    seen = [Observation(trial, pipeline, 1.0, trial / 10) for trial, pipeline in enumerate(first)]
    taken, ids = {pipeline.id for pipeline in first}, []
    for trial in range(len(first), len(first) + 9):
        pipeline = proposer.propose(trial, set(taken), seen if search.learns else [])
        if pipeline is None:
            raise CheckFailedError(f"trial {trial}: nothing is proposed although pipelines are left")
        ids.append(pipeline.id)
        taken.add(pipeline.id)
    return ids


def check_a_small_space_is_exhausted(search: Search) -> None:
    """Check that every pipeline of a finite space is proposed, and then None."""
    space = small_space()
    ids = _ids(search, space, 1, int(space.size) + 5)
    expect_equal(len(ids), int(space.size), "number of proposals from a finite space")
    expect(
        set(ids) == {pipeline.id for pipeline in space.grid()}, "a pipeline of the space is never proposed"
    )


def check_pipelines_are_of_the_space(search: Search) -> None:
    """Check that every proposal is legal: its parts fit together and its values are those of the space."""
    legal = {pipeline.id for pipeline in finite_space().grid()}
    for trial, pipeline in enumerate(_played(search, endless=False)):
        expect(pipeline.id in legal, f"trial {trial}: {pipeline.to_dict()} is not in the space")
    if search.exhaustive:
        return
    space = endless_space()
    for trial, pipeline in enumerate(_played(search, endless=True)):
        expect(_is_in(space, pipeline), f"trial {trial}: {pipeline.to_dict()} is not in the space")


def _is_in(space: Space, pipeline: Pipeline) -> bool:
    """Return whether a pipeline comes back from its vector, up to rounding of continuous values."""
    encoding = space.encoding()
    try:
        vector = encoding.encode(pipeline)
    except (StopIteration, KeyError, ValueError):  # no such part, parameter or value
        return False
    known = vector[~np.isnan(vector)]
    levels = np.array([v.levels for v in encoding.variables])[~np.isnan(vector)]
    inside = np.where(levels > 0, known < np.maximum(levels, 1), known <= 1 + 1e-9) & (known >= -1e-9)
    return bool(inside.all()) and encoding.active(np.nan_to_num(vector)) is not None


def check_failures_are_survived(search: Search) -> None:
    """Check that a search goes on, deterministically, when many of its trials fail."""
    first, again = (_ids(search, finite_space(), 2, _TRIALS, failures=True) for _ in range(2))
    expect_equal(len(first), _TRIALS, "number of proposals where every fourth trial fails")
    expect(first == again, "proposals differ the second time where trials fail")
    if search.learns:
        space = finite_space()
        failed = [
            Observation(trial, pipeline, 1.0, FAILED_SCORE)
            for trial, pipeline in zip(range(30), space.grid(), strict=False)
        ]
        taken = {observation.pipeline.id for observation in failed}
        pipeline = search.proposer(space, 2).propose(30, taken, failed)
        expect(pipeline is not None, "nothing is proposed where all trials failed")


def check_a_space_of_one_pipeline_is_enough(search: Search) -> None:
    """Check that the only pipeline of a space is proposed, and then None."""
    space = _space({"featurizers": ["histogram"], "classifiers": ["rf"]})
    expect_equal(_ids(search, space, 0, 3), [next(space.grid()).id], "proposals")


def check_other_seeds_propose_other_pipelines(search: Search) -> None:
    """Check that the seed matters, unless the search walks the whole space anyway."""
    if not search.exhaustive:
        first = [pipeline.id for pipeline in _played(search, endless=False)]
        other = _ids(search, finite_space(), _SEED + 1, _TRIALS)
        expect(first != other, "two seeds give the same proposals")


def check_an_endless_space_is_walked_or_refused(search: Search) -> None:
    """Check that a space with continuous parameters gives pipelines, unless the search walks whole spaces."""
    space = endless_space()
    try:
        count = len(_ids(search, space, 0, 3))
    except InputError:
        count = 0 if search.exhaustive else -1
    expect(count == (0 if search.exhaustive else 3), "a space with continuous parameters gives no pipelines")


def search_checks() -> tuple[Check, ...]:
    """Return all checks of a :class:`Search`."""
    return (
        check_it_declares_what_a_sweep_asks,
        check_the_same_seed_proposes_the_same,
        check_the_global_random_state_has_no_influence_and_is_left_alone,
        check_nothing_is_proposed_twice,
        check_pipelines_that_are_taken_are_not_proposed,
        check_it_goes_on_after_pipelines_that_another_chose,
        check_a_small_space_is_exhausted,
        check_pipelines_are_of_the_space,
        check_failures_are_survived,
        check_a_space_of_one_pipeline_is_enough,
        check_other_seeds_propose_other_pipelines,
        check_an_endless_space_is_walked_or_refused,
    )
