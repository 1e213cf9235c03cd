"""Leaderboards that must not change, and the comparison with them; see ``README.md``."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

TIMINGS = ["featurize_ms_per_frame", "fit_s", "predict_ms_per_frame"]


def check_unchanged(run: Path, name: str) -> None:
    """Compare the leaderboard of a run, all but timings, with the one that is kept under a name.

    Columns that it has besides are new since.
    """
    kept = pd.read_csv(Path(__file__).parent / f"{name}.csv")
    board = pd.read_csv(run / "leaderboard.csv")[list(kept.columns)]
    pd.testing.assert_frame_equal(board, kept, check_exact=True)
