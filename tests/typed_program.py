"""A program that uses Sweeper, for ``make check``: right uses have the types they say, wrong ones are told.

mypy reads it, nobody runs it; an expected error that mypy does not see is one too.
"""

from __future__ import annotations

from pathlib import Path
from typing import assert_type

import numpy as np

import sweeper

board = sweeper.run("frames", space="quick", out=Path("run"), trials=3)
best: float = board["accuracy"].max()
plan = sweeper.plan(frames=np.zeros((3, 8, 8)), labels=["a", "b", "a"], space={"featurizers": {}})
pipelines: float = plan.grid.pipelines
opened = sweeper.open_run("s3://bucket/run")
trial: int = opened.best.trial
columns: list[str] = list(opened.features(trial).columns)
try:
    opened.predictions(trial, test=True)
except sweeper.InputError as error:
    status: int = error.exit_status
assert_type(opened.report(), Path)
opened.leaderboard(top="three")  # type: ignore[arg-type]
sweeper.plan("frames", space="quick", trails=3)  # type: ignore[call-arg]
sweeper.run("frames", space="quick", out="run", folds="three")  # type: ignore[arg-type]
sweeper.stop  # type: ignore[attr-defined]  # noqa: B018
