"""The searches that are compared: our own, and what other libraries propose, on the same tables."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
from _replay import CORES, FULL, Account, Contender, asha, brackets, flat
from _table import Table, space_of

from sweeper.api import Observation, Pipeline, draw_new
from sweeper.search.bohb import BohbProposer
from sweeper.search.brackets import Ladder
from sweeper.search.gp import SEARCH as GP
from sweeper.search.gp import GaussianProcessProposer
from sweeper.search.random import RandomProposer


def _random(account: Account, seed: int) -> Iterator[None]:
    return flat(RandomProposer(space_of(account.table.task), seed), account)


def _hyperband(account: Account, seed: int) -> Iterator[None]:
    return brackets(RandomProposer(space_of(account.table.task), seed), account, learns=False)


def _asha(account: Account, seed: int) -> Iterator[None]:
    return asha(RandomProposer(space_of(account.table.task), seed), account)


def _bohb(account: Account, seed: int) -> Iterator[None]:
    return brackets(BohbProposer(space_of(account.table.task), seed), account, learns=True)


def _gp(account: Account, seed: int, *, counts_seconds: bool = False) -> Iterator[None]:
    proposer = GaussianProcessProposer(space_of(account.table.task), seed)
    return brackets(
        proposer, account, learns=True, ladder=Ladder(3, 1, GP.group), counts_seconds=counts_seconds
    )


class _Hpbandster:
    """hpbandster's own densities, with its imputation of what does not exist, over the same variables."""

    def __init__(self, table: Table, seed: int) -> None:
        self._space, self._seed = space_of(table.task), seed
        self._bohb = BohbProposer(self._space, seed)
        self._vectors, self._generator = self._bohb._vectors, self._bohb._generator
        self._told = 0

    def propose(self, trial: int, taken: set[str], observations: Sequence[Observation]) -> Pipeline | None:
        rng = np.random.default_rng((self._seed, trial))
        for seen in observations[self._told :]:
            self._tell(seen)
        self._told = len(observations)
        for _ in range(20):
            try:
                pipeline = self._bohb._suggest(int(rng.integers(2**31)))
            except Exception:  # its kernels divide by zero where the data show one level only
                break
            if pipeline is not None and pipeline.id not in taken:
                return pipeline
        return draw_new(self._space, rng, taken)

    def _tell(self, seen: Observation) -> None:
        vector = self._vectors.encode(seen.pipeline)
        config = {
            name: (int(x) if levels else float(x))
            for name, x, levels in zip(
                list(self._vectors.configspace), vector, self._vectors.levels, strict=True
            )
            if not np.isnan(x)
        }
        job = type(
            "Job",
            (),
            {
                "result": {"loss": -seen.score},
                "kwargs": {"budget": seen.budget, "config": config},
                "exception": None,
            },
        )()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._generator.new_result(job)


def _hpbandster(account: Account, seed: int) -> Iterator[None]:
    return brackets(_Hpbandster(account.table, seed), account, learns=True)


def _tpe(account: Account, seed: int) -> Iterator[None]:
    """Optuna's TPE at the full budget, which may propose a pipeline again."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    space = space_of(account.table.task)
    encoding = space.encoding()
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    while True:
        trial = study.ask()
        values: dict[str, float] = {}
        for variable in encoding.variables:
            if variable.condition is not None and values.get(variable.condition[0]) != variable.condition[1]:
                continue
            values[variable.name] = (
                trial.suggest_categorical(variable.name, list(range(variable.levels)))
                if variable.levels
                else trial.suggest_float(variable.name, 0.0, 1.0)
            )
        point = np.array([values.get(v.name, 0.0) for v in encoding.variables])
        pipeline = encoding.decode(point)
        if pipeline is None:
            study.tell(trial, 0.0)  # so that it learns where there are no pipelines
            account.seconds += account.propose_s / CORES
            yield
            continue
        study.tell(trial, account.score(account.proposed(pipeline), FULL, again=True))
        yield


SEARCHES: dict[str, tuple[Any, float]] = {
    "random": (_random, 0.0002),
    "hyperband": (_hyperband, 0.0002),
    "asha": (_asha, 0.0002),
    "bohb": (_bohb, 0.037),
    "hpbandster": (_hpbandster, 0.037),
    "tpe": (_tpe, 0.004),
    "gp": (_gp, 0.032),
    "gp_per_second": (partial(_gp, counts_seconds=True), 0.034),
}
"""Searches with the CPU seconds of a proposal: about what was measured in the space ``scattering``."""


def contenders() -> list[Contender]:
    """Return every search, each with and without the block cache."""
    found = [
        Contender(name if cached else f"{name}, no cache", play, cached, propose_s)
        for name, (play, propose_s) in SEARCHES.items()
        for cached in (True, False)
    ]
    play, propose_s = SEARCHES["random"]
    return [
        *found,
        Contender("random × 2", play, True, propose_s, 0.5),
        Contender("random × 2, no cache", play, False, propose_s, 0.5),
    ]
