"""The settings of a sweep as keywords, for type checkers and editors; their defaults, help and checks are in
:mod:`sweeper.runs.spec`."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import TypedDict


class Settings(TypedDict, total=False):
    """Settings that :func:`sweeper.run` and :func:`sweeper.plan` take beside data, space and mask.

    ``docs/settings.md`` says what each does. A time is text with a unit or a number of seconds.
    """

    search: str
    trials: int | None
    time_budget: str | float | None
    time_budget_s: float | None
    metric: str
    class_costs: dict[str, float] | None
    folds: int
    repeats: int
    warm_start: str | PathLike[str] | None
    seed: int
    reduction_factor: int
    rungs: int
    cpus: int | None
    object_store_gb: float | None
    address: str | None
    ignore_file_mask: bool
    dataset: str | None
    scan_grid: bool
    skip_bad: bool
    drop_duplicates: bool
    group_by: str | None
    helping: str | PathLike[str] | None
    target: str | PathLike[str] | None
    hold_out: str | None
    allow_outside: bool
    trial_time_limit: str | float
    trial_time_limit_s: float
    trial_memory_limit_gb: float | None
    features: str | PathLike[str] | None
    representation_share: float | None
    weights: str | PathLike[str] | None
    train_workers: int
    train_cpus: float | None
    train_gpus: float | None
    train_compile: bool
    test_top: int
    reruns: int
    log: Sequence[str]
