"""The names of all that stands in a run folder."""

from __future__ import annotations

SPEC = "sweep.yaml"
ENVIRONMENT = "environment.json"
JOURNAL = "journal.jsonl"
FRAMES = "frames.parquet"
LEADERBOARD = "leaderboard.csv"
ENSEMBLE = "ensemble.json"
SESSIONS = "sessions.jsonl"
QUARANTINE = "quarantine.csv"
BAD_FRAMES = "bad_frames.csv"
REPORT = "report.html"
TARGET = "target.json"
"""How far the frames of the target are from the training frames."""
LABELS = "labels.json"
"""What more labels would buy."""

FILES = (
    SPEC, ENVIRONMENT, FRAMES, LEADERBOARD, QUARANTINE, BAD_FRAMES, REPORT, SESSIONS, ENSEMBLE, TARGET,
    LABELS,
)  # fmt: skip
"""Files right in a run folder, the journal aside, which is sent as it grows."""

ARRAYS = "arrays"
FEATURES = "features"
NETWORKS = "networks"
PREDICTIONS = "predictions"
LOGS = "logs"
SIMILAR = "similar"
BEST_NETWORKS = f"{NETWORKS}/best.json"
"""Which model files belong to the best trial of each network."""
