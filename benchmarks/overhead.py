"""Ray's overhead a trial: a sweep whose evaluations are next to nothing, with journal and leaderboard.

Forty-eight frames of 32 × 32, one tree of depth 2 on seven histogram features, one split as given, random
search. ``seconds_per_trial`` is the wall time from the begin of the search, actors not yet started, to the
journal's last evaluation, divided by the trials: the evaluation itself (shown beside it) is in it. The
same objective through Ray Tune's defaults (a function, a fresh actor a trial, default loggers) gives
``tune_default_seconds_per_trial``.

    python benchmarks/overhead.py [--quick] [--json FILE] [--trials N]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from _meter import measure
from _ours import Growth, stages, sweep

from sweeper.runs.results import VALUES, Results

CLASSES, FRAMES_A_CLASS, SIZE_PX = 3, 16, 32
TIMEOUT_S = 600.0

SPACE = """
name: next-to-nothing
source: one tree of depth 2; the parameter that differs between trials costs nothing
featurizers: {histogram: }
reducers: [standard]
classifiers:
  rf: {n_trees: 1, max_depth: 2, min_samples_leaf: {low: 1, high: 1000}}
"""


@dataclass(frozen=True)
class Ours:
    """Times of a sweep in seconds.

    Attributes
    ----------
    first_s, last_s : float
        From the begin of the search to the journal's first and last evaluation.
    evaluation_s : float
        Mean time of fit and predictions.
    cpu_s : float
        CPU seconds of all processes from the first to the last evaluation.
    """

    trials: int
    first_s: float
    last_s: float
    evaluation_s: float
    cpu_s: float


def write_frames(root: Path, seed: int) -> Path:
    """Poisson noise of three strengths, half for training: ``root/{train,val}/<class>/*.tif``."""
    import tifffile

    rng = np.random.default_rng(seed)
    for c in range(CLASSES):
        for i in range(FRAMES_A_CLASS):
            folder = root / ("train" if i % 2 else "val") / f"class{c}"
            folder.mkdir(parents=True, exist_ok=True)
            counts = rng.poisson(20 * 3**c, (SIZE_PX, SIZE_PX)).astype(np.uint16)
            tifffile.imwrite(folder / f"{i:02}.tif", counts)
    return root


def ours(trials: int, scratch: Path) -> Ours:
    """Run the sweep."""
    space, out = scratch / "space.yaml", scratch / "run"
    space.write_text(SPACE)
    growth = Growth(out / "journal.jsonl")
    options = ("--space", space, "--search", "random", "--trials", trials, "--seed", 1)
    usage = sweep(write_frames(scratch / "frames", 1), out, options, timeout_s=TIMEOUT_S, on_sample=growth)
    results = Results.read(out / "journal.jsonl")
    if results.outcomes != {"done": trials}:
        raise RuntimeError(f"evaluations must be {trials}, all done, they are {dict(results.outcomes)}")
    begin_s = next(stage.start_s for stage in stages(usage) if stage.name == "search")
    first_s, last_s = next(t for t, n in growth.seen if n > 0), growth.seen[-1][0]
    values = results.columns()[-1]
    fit_s, predict_ms, n = (
        values[:, VALUES.index(name)] for name in ("fit_s", "predict_ms_per_frame", "n_validation")
    )
    return Ours(
        trials,
        first_s - begin_s,
        last_s - begin_s,
        float(np.mean(fit_s + predict_ms * n / 1e3)),
        usage.cpu_until(last_s) - usage.cpu_until(first_s),
    )


def tune_default(trials: int, scratch: Path) -> float:
    """Wall seconds of all trials through Ray Tune's defaults."""
    answer = scratch / "default.json"
    script = Path(__file__).with_name("_tune_default.py")
    measure([sys.executable, str(script), str(trials), str(answer)], timeout_s=TIMEOUT_S)
    return float(json.loads(answer.read_text())["wall_s"])


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the table, write the figures."""
    parser = argparse.ArgumentParser(description="What Ray costs a trial.")
    parser.add_argument("--quick", action="store_true", help="60 trials, 6 through Tune's defaults")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    parser.add_argument("--trials", type=int, metavar="N", help="trials of the sweep (200)")
    options = parser.parse_args(arguments)
    trials = options.trials or (60 if options.quick else 200)
    default_trials = 6 if options.quick else 20
    with tempfile.TemporaryDirectory(prefix="sweeper-benchmark-") as name:
        sweep_times = ours(trials, Path(name))
        default_s = tune_default(default_trials, Path(name))
    figures = {
        "seconds_per_trial": sweep_times.last_s / trials,
        "tune_default_seconds_per_trial": default_s / default_trials,
    }
    steady_s = (sweep_times.last_s - sweep_times.first_s) / (trials - 1)
    print(f"ours: {trials} trials, journal and leaderboard on")
    print(f"  {'until the first evaluation is there':44}{sweep_times.first_s:9.3f} s")
    print(f"  {'from the first to the last, a trial':44}{steady_s:9.4f} s")
    print(f"  {'  the fit and its predictions, of that':44}{sweep_times.evaluation_s:9.4f} s")
    print(f"  {'  CPU time of all processes':44}{sweep_times.cpu_s / (trials - 1):9.4f} s")
    print(f"Ray Tune's defaults: {default_trials} trials in {default_s:.1f} s\n")
    for key, value in figures.items():
        print(f"{key:34}{value:9.4f}")
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
