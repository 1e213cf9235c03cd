"""Searches beyond the checks that all of them pass (``tests/testing``): brackets, proposals, BOHB's model."""

from __future__ import annotations

import numpy as np
import pytest

from sweeper import plugins
from sweeper.api import FAILED_SCORE, Observation, Pipeline, Proposer
from sweeper.errors import InputError
from sweeper.search.brackets import Ladder
from sweeper.search.gp import expected_improvement
from sweeper.space.file import load_space, parse_space
from sweeper.space.space import Space


def test_brackets_are_those_of_the_paper() -> None:
    """Li et al. 2017, Table 1 (R = 81, η = 3): n and r of each bracket's first rung."""
    ladder = Ladder(3, 5)
    first = [ladder.bracket_of(t) for t in (0, 81, 81 + 34, 81 + 34 + 15, 81 + 34 + 15 + 8)]
    assert [b.size for b in first] == [81, 34, 15, 8, 5]
    assert [b.steps[0] for b in first] == [1, 3, 9, 27, 81]
    assert all(b.steps[-1] == ladder.max_steps == 81 for b in first)


@pytest.mark.parametrize(("eta", "rungs"), [(2, 1), (2, 4), (3, 3), (4, 2)])
def test_every_trial_is_in_exactly_one_bracket(eta: int, rungs: int) -> None:
    ladder = Ladder(eta, rungs)
    end = 0
    for trial in range(100):
        bracket = ladder.bracket_of(trial)
        if trial == end:
            assert bracket.first == trial
            end = bracket.first + bracket.size
        assert bracket.first <= trial < bracket.first + bracket.size


@pytest.mark.parametrize(("eta", "rungs"), [(3, 4), (2, 5), (7, 3), (3, 7), (9, 4)])
def test_tune_has_the_same_brackets(eta: int, rungs: int) -> None:
    """Tune's own number of first steps is one short for some of these, by rounding."""
    schedulers = pytest.importorskip("sweeper.engine.tune.schedulers")
    ladder = Ladder(eta, rungs)
    tune = schedulers.SynchronousHyperBand(None, ladder, 1, time_attr="steps", metric="m", mode="max")
    trial = 0
    for s in reversed(range(rungs)):
        bracket = ladder.bracket_of(trial)
        assert (tune._get_n0(s), tune._get_r0(s)) == (bracket.size, bracket.steps[0])
        trial += bracket.size


def finite_space_where_choices_add_up() -> Space:
    """Return a space of 2,400 pipelines."""
    return parse_space(
        {
            "featurizers": {
                "glcm": {"distance": {"subsets": [1, 2, 4]}, "angle_deg": {"subsets": [0, 90]}},
                "lbp": {"points": [8, 16, 24], "radius": [1, 2, 3]},
            },
            "classifiers": {
                "rf": {"max_features": ["sqrt", 0.25, 0.5, 0.75], "max_depth": ["none", 2, 4, 6, 8, 10]},
                "svm": {"C": [1, 2, 4, 8, 16, 32, 64, 128], "gamma": [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6]},
            },
        },
        default_name="adds up",
    )


def added_up(pipeline: Pipeline, *, classifiers: bool = True) -> float:
    """Return a score that is a sum of what each choice is worth, at most 0.9."""
    features, classifier = pipeline.featurizer_params, pipeline.classifier_params
    score = 0.3
    if pipeline.featurizer == "glcm":
        score += 0.2 + 0.05 * (2 in features["distance"]) - 0.05 * (4 in features["distance"])
        score += 0.05 * (90 in features["angle_deg"])
    if classifiers and pipeline.classifier == "svm":
        score += 0.1 - 0.03 * abs(np.log2(classifier["C"]) - 5) - 0.1 * abs(classifier["gamma"] - 0.2)
    return float(score)


def make_proposer(search: str, space: Space, seed: int) -> Proposer:
    return plugins.search(search).proposer(space, seed)


def played(search: str, space: Space, trials: int) -> list[str]:
    """Ids proposed when every trial has a score at two budgets, some of them failed."""
    proposer, rng = make_proposer(search, space, 7), np.random.default_rng(3)
    seen: list[Observation] = []
    ids: list[str] = []
    for trial in range(trials):
        pipeline = proposer.propose(trial, set(ids), list(seen))
        assert pipeline is not None
        ids.append(pipeline.id)
        score = FAILED_SCORE if trial % 11 == 0 else float(rng.random()) + (pipeline.classifier == "svm")
        seen += [Observation(trial, pipeline, budget, score) for budget in (1 / 9, 1.0)]
    return ids


def test_bohb_learns_what_is_good() -> None:
    """On a space where one featurizer and classifier win, the model proposes them more often than chance."""
    space = load_space("diffranet")
    proposer = make_proposer("bohb", space, 0)
    rng = np.random.default_rng(0)
    seen = []
    for trial in range(60):
        pipeline = space.sample(rng)
        score = (pipeline.featurizer == "lbp") + 0.5 * (pipeline.classifier == "svm")
        seen.append(Observation(trial, pipeline, 1.0, score))
    proposals = [proposer.propose(60 + i, set(), seen) for i in range(40)]
    hits = sum(p is not None and p.featurizer == "lbp" and p.classifier == "svm" for p in proposals)
    assert hits > 0.35 * 40  # chance is one in six, a third of all proposals is random by design


def test_the_gaussian_process_finds_the_best_where_choices_add_up() -> None:
    """Of 2,400 pipelines the best is among the first 60: chance would have it there in one case of forty."""
    space = finite_space_where_choices_add_up()
    best = max(map(added_up, space.grid()))
    for seed in range(3):
        proposer, seen, ids = make_proposer("gp", space, seed), list[Observation](), set[str]()
        for trial in range(60):
            pipeline = proposer.propose(trial, ids, seen[: trial - trial % 8])
            assert pipeline is not None
            ids.add(pipeline.id)
            seen.append(Observation(trial, pipeline, 1.0, added_up(pipeline)))
        assert max(o.score for o in seen) == best


def test_seconds_make_it_prefer_what_is_quick() -> None:
    """Two classifiers that are equally good, one of which takes a hundred times as long."""
    space = finite_space_where_choices_add_up()
    rng = np.random.default_rng(0)
    drawn = list({p.id: p for p in (space.sample(rng) for _ in range(40))}.values())

    def proposed(slow: str | None) -> list[str]:
        proposer = make_proposer("gp_per_second", space, 0)
        seen = [
            Observation(i, p, 1.0, added_up(p, classifiers=False), 100.0 if p.classifier == slow else 1.0)
            for i, p in enumerate(drawn)
        ]
        taken = {p.id for p in [*drawn, *space.known()]}
        found = [proposer.propose(40 + i, taken, seen) for i in range(20)]
        return [p.classifier for p in found if p is not None]

    assert proposed("rf").count("rf") <= 2
    assert proposed("svm").count("svm") <= 2


def test_a_failure_is_as_bad_as_the_worst_and_no_model_is_needed_while_all_fail() -> None:
    space = finite_space_where_choices_add_up()
    rng = np.random.default_rng(1)
    failed = [Observation(i, space.sample(rng), 1.0, FAILED_SCORE, 0.0) for i in range(20)]
    assert make_proposer("gp_per_second", space, 0).propose(20, set(), failed) is not None
    scored = [Observation(20 + i, space.sample(rng), 1.0, 0.5, 1.0) for i in range(8)]
    assert make_proposer("gp_per_second", space, 0).propose(28, set(), [*failed, *scored]) is not None


def test_expected_improvement_is_that_of_a_normal_variable() -> None:
    """Held to four million draws of each."""
    mean, deviation, best = np.array([0.2, 0.5, -1.0]), np.array([0.1, 0.3, 0.7]), 0.4
    draws = np.random.default_rng(0).standard_normal(4_000_000)
    by_draws = [
        float(np.maximum(m + s * draws - best, 0).mean()) for m, s in zip(mean, deviation, strict=True)
    ]
    np.testing.assert_allclose(expected_improvement(mean, deviation, best), by_draws, rtol=0.01)


def test_unknown_search_suggests_the_nearest() -> None:
    with pytest.raises(InputError, match="did you mean 'bohb'"):
        plugins.search("bohbb")


@pytest.mark.parametrize("group", [1, 5])
def test_trials_that_are_not_halved_form_groups(group: int) -> None:
    ladder = Ladder(3, 1, group)
    for trial in range(17):
        bracket = ladder.bracket_of(trial)
        assert (bracket.number, bracket.first, bracket.size) == (trial // group, trial - trial % group, group)
        assert bracket.steps == (1,)


PROPOSED = {
    "asha": ["14b3f5fe", "1bc800ec", "b796979f", "4dba543d", "5211ec4c"],
    "bohb": ["14b3f5fe", "1bc800ec", "1d70b879", "c71b6a98", "427b98d2"],
    "gp": ["a7eef470", "d572b3e2", "833ea9ed", "6973a609", "52439b0e"],
    "gp_per_second": ["a7eef470", "d572b3e2", "833ea9ed", "6973a609", "52439b0e"],
    "grid": ["43786827", "c126ac05", "4dc990dd", "dccaa93c", "692d6643"],
    "hyperband": ["14b3f5fe", "1bc800ec", "b796979f", "4dba543d", "5211ec4c"],
    "random": ["14b3f5fe", "1bc800ec", "b796979f", "4dba543d", "5211ec4c"],
}
"""Beginnings of the ids of trials 0, 1, 30, 59 and 89 with seed 7, recorded once."""


@pytest.mark.parametrize("search", sorted(PROPOSED))
def test_proposals_stay_what_they_were(search: str) -> None:
    """A sweep that resumes replays its search: other proposals for the same seed would tear it apart."""
    ids = played(search, load_space("diffranet"), 90)
    assert [ids[trial][:8] for trial in (0, 1, 30, 59, 89)] == PROPOSED[search]
