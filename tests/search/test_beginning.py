"""A search that begins with known pipelines: any of the plugins goes on after them."""

from __future__ import annotations

import pytest

from sweeper import plugins
from sweeper.api import Observation, Pipeline
from sweeper.search.beginning import Beginning
from sweeper.testing.searches import finite_space, small_space


def proposed(name: str, first: list[Pipeline], trials: int, seed: int = 3) -> list[Pipeline]:
    """What a search proposes that begins with some pipelines, every trial scored by its number."""
    search, space = plugins.search(name), finite_space()
    proposer = Beginning(first, search.proposer(space, seed))
    found: list[Pipeline] = []
    seen: list[Observation] = []
    for trial in range(trials):
        known = seen[: trial // 5 * 5] if search.learns else []
        pipeline = proposer.propose(trial, {p.id for p in found}, known)
        assert pipeline is not None
        seen.append(Observation(trial, pipeline, 1.0, trial / 100))
        found.append(pipeline)
    return found


@pytest.mark.parametrize("name", plugins.search_names())
def test_it_begins_with_them_and_goes_on(name: str) -> None:
    first = list(finite_space().grid())[200::9][::-1]
    found = proposed(name, first, 30)
    assert found[: len(first)] == first
    assert len({pipeline.id for pipeline in found}) == 30
    assert found == proposed(name, first, 30)


@pytest.mark.parametrize("name", plugins.search_names())
def test_without_any_it_is_the_search_itself(name: str) -> None:
    search, space = plugins.search(name), finite_space()
    proposer = search.proposer(space, 3)
    taken: set[str] = set()
    for pipeline in proposed(name, [], 9):
        own = proposer.propose(len(taken), set(taken), [])
        assert own is not None
        if search.learns and len(taken) >= 5:
            break
        assert own == pipeline
        taken.add(own.id)


@pytest.mark.parametrize("name", plugins.search_names())
def test_the_rest_of_a_small_space_is_tried_once(name: str) -> None:
    space = small_space()
    whole = list(space.grid())
    proposer = Beginning(whole[5:9], plugins.search(name).proposer(space, 1))
    taken: list[str] = []
    while (pipeline := proposer.propose(len(taken), set(taken), [])) is not None:
        taken.append(pipeline.id)
    assert sorted(taken) == sorted(pipeline.id for pipeline in whole)
    assert taken[:4] == [pipeline.id for pipeline in whole[5:9]]
