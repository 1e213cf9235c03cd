"""Searches beyond the checks that all of them pass (``tests/testing``): brackets, proposals, BOHB's model."""

from __future__ import annotations

import numpy as np
import pytest

from sweeper import plugins
from sweeper.api import FAILED_SCORE, Observation, Proposer
from sweeper.errors import InputError
from sweeper.search.brackets import Ladder
from sweeper.space.file import load_space
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
