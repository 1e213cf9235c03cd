"""The trivial objective through Ray Tune as it comes: a function, a fresh actor a trial, default loggers.

python benchmarks/_tune_default.py TRIALS RESULT.json
"""

from __future__ import annotations

import json
import logging
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import ray
from ray import tune

CLASSES, FRAMES_A_CLASS, FEATURES = 3, 16, 7


def objective(config: dict[str, Any]) -> None:
    """Fit one tree of depth 2 on a handful of rows, and report its accuracy."""
    from sklearn.ensemble import RandomForestClassifier

    rng = np.random.default_rng(0)
    y = np.repeat(np.arange(CLASSES), FRAMES_A_CLASS)
    x = rng.normal(size=(len(y), FEATURES)) + y[:, None]
    forest = RandomForestClassifier(1, max_depth=2, min_samples_leaf=config["min_samples_leaf"])
    tune.report({"score": float((forest.fit(x[::2], y[::2]).predict(x[1::2]) == y[1::2]).mean())})


def main() -> None:
    """Run the trials; write the wall time of ``Tuner.fit``."""
    trials = int(sys.argv[1])
    ray.init(address="local", log_to_driver=False, logging_level=logging.ERROR)
    with tempfile.TemporaryDirectory(prefix="sweeper-tune-default-") as scratch:
        tuner = tune.Tuner(
            objective,
            param_space={"min_samples_leaf": tune.randint(1, 1000)},
            tune_config=tune.TuneConfig(num_samples=trials),
            run_config=tune.RunConfig(storage_path=scratch, verbose=0),
        )
        started = time.perf_counter()
        results = tuner.fit()
        wall_s = time.perf_counter() - started
        if results.errors or len(results) != trials:
            raise RuntimeError(f"{len(results.errors)} of {len(results)} trials failed")
    ray.shutdown()
    Path(sys.argv[2]).write_text(json.dumps({"wall_s": wall_s}))


if __name__ == "__main__":
    main()
