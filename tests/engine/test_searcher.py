"""Ray Tune's Searcher around a proposer: which trials may start, and what a search that learns is shown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from sweeper.api import Observation, Pipeline
from sweeper.engine.tune.searcher import SweepSearcher
from sweeper.search.brackets import Ladder
from sweeper.testing.searches import finite_space


class Seeing:
    """Walks a grid, and keeps the numbers of the trials whose results it was shown."""

    def __init__(self) -> None:
        self.grid = finite_space().grid()
        self.seen: list[list[int]] = []
        self.seconds: list[float | None] = []

    def propose(self, trial: int, taken: set[str], observations: Sequence[Observation]) -> Pipeline | None:
        self.seen.append([observation.trial for observation in observations])
        self.seconds = [observation.seconds for observation in observations]
        return next(self.grid)


def searcher_of(
    proposer: Seeing, *, learns: bool, counts_seconds: bool = False, group: int = 3
) -> SweepSearcher:
    return SweepSearcher(
        proposer,
        Ladder(3, 1, group),
        12,
        learns=learns,
        counts_seconds=counts_seconds,
        sweep={},
        on_trial=lambda number, pipeline: None,
    )


def end(searcher: Any, trial: int) -> None:
    searcher.on_trial_complete(str(trial), {"steps": 1, "score": 0.5, "seconds": 2.5 + trial, "ended": None})


def test_a_search_that_learns_waits_for_the_group_before_the_previous_one() -> None:
    proposer = Seeing()
    searcher = searcher_of(proposer, learns=True)
    for trial in range(6):
        assert searcher.suggest(str(trial))["trial"] == trial
    assert searcher.suggest("6") is None
    for trial in (1, 0, 4, 5):
        end(searcher, trial)
        assert searcher.suggest("6") is None, "trial 2 has not ended"
    end(searcher, 2)
    assert searcher.suggest("6")["trial"] == 6
    assert proposer.seen == [[], [], [], [], [], [], [0, 1, 2]]


@pytest.mark.parametrize(("counts", "seconds"), [(False, [None] * 3), (True, [2.5, 3.5, 4.5])])
def test_only_a_search_that_counts_seconds_is_shown_them(counts: bool, seconds: list[float | None]) -> None:
    proposer = Seeing()
    searcher = searcher_of(proposer, learns=True, counts_seconds=counts)
    for trial in range(6):
        searcher.suggest(str(trial))
        end(searcher, trial)
    searcher.suggest("6")
    assert proposer.seconds == seconds


@pytest.mark.parametrize("group", [1, 3])
def test_a_search_that_does_not_learn_never_waits_and_is_shown_nothing(group: int) -> None:
    proposer = Seeing()
    searcher = searcher_of(proposer, learns=False, group=group)
    assert [searcher.suggest(str(trial))["trial"] for trial in range(12)] == list(range(12))
    assert proposer.seen == [[]] * 12
    assert searcher.finished
