"""Proposals: brackets, the encoding that models see, and what each search proposes."""

from __future__ import annotations

import numpy as np
import pytest
import yaml

from sweeper import plugins
from sweeper.api import Observation, Proposer
from sweeper.search.brackets import Ladder
from sweeper.space.file import load_space, parse_space
from sweeper.space.space import Space
from tests.conftest import TINY_SPACE


@pytest.fixture(scope="module")
def tiny() -> Space:
    return parse_space(yaml.safe_load(TINY_SPACE), default_name="tiny")


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


@pytest.mark.parametrize("name", ["diffranet", "quick"])
def test_encoding_round_trips(name: str) -> None:
    space = load_space(name)
    encoding = space.encoding()
    rng = np.random.default_rng(1)
    for _ in range(300):
        pipeline = space.sample(rng)
        vector = encoding.encode(pipeline)
        active = encoding.active(np.nan_to_num(vector))
        assert active is not None
        assert (active == ~np.isnan(vector)).all()
        assert encoding.decode(np.nan_to_num(vector)) == pipeline


def test_an_empty_subset_is_no_pipeline() -> None:
    space = load_space("diffranet")
    encoding = space.encoding()
    vector = np.nan_to_num(encoding.encode(next(space.grid())))
    for i, variable in enumerate(encoding.variables):
        if variable.axis == "distance":
            vector[i] = 0
    assert encoding.active(vector) is None
    assert encoding.decode(vector) is None


def make_proposer(search: str, space: Space, seed: int) -> Proposer:
    return plugins.search(search).proposer(space, seed)


def play(search: str, space: Space, seed: int, trials: int) -> list[str]:
    """Ids proposed when a pipeline's score is how little its forest is like a stump."""
    proposer = make_proposer(search, space, seed)
    seen: list[Observation] = []
    ids: list[str] = []
    for trial in range(trials):
        pipeline = proposer.propose(trial, set(ids), list(seen))
        assert pipeline is not None
        ids.append(pipeline.id)
        score = (pipeline.featurizer == "glcm") + 0.5 * (pipeline.classifier == "rf")
        seen.append(Observation(trial, pipeline, 1.0, score))
    return ids


@pytest.mark.parametrize("search", plugins.search_names())
def test_the_same_seed_proposes_the_same_and_nothing_twice(search: str, tiny: Space) -> None:
    np.random.seed(5)  # noqa: NPY002 - the global state must not matter
    first = play(search, tiny, 3, 35)
    np.random.seed(6)  # noqa: NPY002
    assert play(search, tiny, 3, 35) == first
    assert len(set(first)) == 35


@pytest.mark.parametrize("search", plugins.search_names())
def test_an_exhausted_space_ends_the_search(search: str, tiny: Space) -> None:
    taken = {pipeline.id for pipeline in tiny.grid()}
    assert make_proposer(search, tiny, 0).propose(len(taken), taken, []) is None


def test_seeds_differ(tiny: Space) -> None:
    assert play("random", tiny, 1, 20) != play("random", tiny, 2, 20)


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


def test_bohb_leaves_numpys_global_generator_alone() -> None:
    space = load_space("quick")
    seen = [Observation(i, p, 1.0, float(i)) for i, p in zip(range(60), space.grid(), strict=False)]
    proposer = make_proposer("bohb", space, 0)
    np.random.seed(1)  # noqa: NPY002
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    proposer.propose(60, set(), seen)
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002


def test_unknown_search_suggests_the_nearest(tiny: Space) -> None:
    with pytest.raises(ValueError, match="did you mean 'bohb'"):
        make_proposer("bohbb", tiny, 0)
