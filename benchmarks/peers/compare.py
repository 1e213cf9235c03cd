"""Sweeper beside what people would take instead: the same frames and seconds, a test half that nobody sees.

Three data sets (simulated diffraction, simulated scattering, scikit-learn's digits) are halved, groups
whole. Sweeper is given the frames and the time, ``sweeper run FRAMES --preset balanced --time-budget T``, and
what it ranks first by cross-validation is scored on the test half. The others are given features: the union
of all that the preset's space can compute, whose computation is not counted in their time.

- ``plain``: a script of thirty lines: SVM and extra trees on the standardised union, the better by
  cross-validation (``_plain.py``);
- ``autogluon``, ``flaml``: with their own time limit, in an environment of their own (``_autogluon.py``,
  ``_flaml.py``).

    python benchmarks/peers/compare.py --time-budget 300 --python autogluon=VENV/bin/python ...
        [--sets S ...] [--json FILE]
"""

from __future__ import annotations

import argparse
import csv
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "search"))

import numpy as np
from _frames import write_frames
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.proportion import proportion_confint

from sweeper import open_run
from sweeper.data.dataset import load_dataset
from sweeper.data.prepared import prepared_frames
from sweeper.data.splits import make_splits
from sweeper.features.representation import representation, side_by_side
from sweeper.space.file import load_space

HERE = Path(__file__).resolve().parent
SETS = ("diffraction", "scattering", "digits")
SPACE = "quick"
SEED = 1


@dataclass(frozen=True)
class Row:
    """The result of one of them on one data set.

    Attributes
    ----------
    accuracy, low, high : float
        On the test half, with the 95 % interval (Wilson).
    kappa : float
    seconds : float
        Wall time from start to end.
    """

    data: str
    name: str
    accuracy: float
    low: float
    high: float
    kappa: float
    seconds: float


def halved(data: str, folder: Path) -> Path:
    """Write the frames of a data set and a manifest that holds half of them back as the test split."""
    dataset = load_dataset(write_frames(data, folder))
    (split, *_) = make_splits(dataset.labels, dataset.classes, groups=dataset.groups, folds=2, seed=SEED)
    test = set(split.validation.tolist())
    manifest = folder / "halved.csv"
    with manifest.open("w", newline="") as file:
        writer = csv.writer(file)
        grouped = dataset.groups is not None
        writer.writerow(("path", "label", "split", *["group"] * grouped))
        for row, path in enumerate(dataset.paths):
            part, label = "test" if row in test else "train", dataset.classes[dataset.labels[row]]
            group = [f"g{dataset.groups[row]}"] if dataset.groups is not None else []
            writer.writerow((Path(path).relative_to(folder), label, part, *group))
    return manifest


def union(manifest: Path, out: Path) -> None:
    """Compute every feature that the space can, for the peers."""
    dataset = load_dataset(manifest)
    space = load_space(SPACE)
    frames = list(prepared_frames([dataset.ref(row) for row in range(len(dataset))], {}))
    widest: dict[str, Any] = {}
    for pipeline in space.grid():
        for single in pipeline.singles:
            kind = representation(single, len(dataset.classes))
            for name in kind.columns:
                if not any(name in known.columns for known in widest.values()):
                    widest[single.representation] = kind
                    break
    columns: dict[str, Any] = {}
    for kind in widest.values():
        columns |= dict(zip(kind.columns, kind.compute(frames).T, strict=True))
    test = np.array([mark == "test" for mark in dataset.split])  # type: ignore[union-attr]
    np.savez(out, x=side_by_side([np.column_stack(list(columns.values()))]), y=dataset.labels, test=test)


def by_peer(name: str, python: str, features: Path, budget_s: float, scratch: Path) -> tuple[Any, float]:
    """Run a peer in its own environment; returns predictions of the test rows and its seconds."""
    out = scratch / f"{name}.json"
    command = [python, str(HERE / f"_{name}.py"), str(features), str(out), str(budget_s)]
    started = time.monotonic()
    subprocess.run(command, check=True, cwd=scratch, stdout=subprocess.DEVNULL)
    return np.array(json.loads(out.read_text())), time.monotonic() - started


def by_us(manifest: Path, run: Path, budget_s: float) -> tuple[str, float, float, float]:
    """Run the preset; returns its first row, that row's accuracy and kappa on the test half, and seconds."""
    command = [sys.executable, "-m", "sweeper", "run", str(manifest), "--preset", "balanced",
               "--time-budget", f"{budget_s:g}s", "--seed", str(SEED), "--out", str(run)]  # fmt: skip
    started = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    seconds = time.monotonic() - started
    opened = open_run(run)
    board = opened.leaderboard()
    first = board[board["test_accuracy"].notna()].iloc[0]  # a short budget may end before the best is scored
    kappa = float("nan")  # of the ensemble no predictions are kept
    if first["trial"] >= 0:
        found = opened.predictions(int(first["trial"]), test=True)
        kappa = float(cohen_kappa_score(found["label"], found["predicted"]))
    what = f"{first['featurizer']}+{first['classifier']}"
    return what, float(first["test_accuracy"]), kappa, seconds


def main(arguments: Sequence[str] | None = None) -> None:
    """Run all of them on all sets, print a table."""
    parser = argparse.ArgumentParser(description="Sweeper beside what people would take instead.")
    parser.add_argument("--time-budget", type=float, default=300, metavar="SECONDS")
    parser.add_argument("--sets", nargs="+", choices=SETS, default=SETS)
    parser.add_argument("--python", nargs="*", default=[], metavar="PEER=PYTHON", help="a peer's environment")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows to FILE")
    options = parser.parse_args(arguments)
    pythons = {"plain": sys.executable} | dict(pair.split("=", 1) for pair in options.python)
    rows = []
    with tempfile.TemporaryDirectory(prefix="sweeper-peers-") as name:
        for data in options.sets:
            scratch = Path(name) / data
            manifest = halved(data, scratch / "frames")
            union(manifest, scratch / "features.npz")
            made = np.load(scratch / "features.npz")
            truth = made["y"][made["test"]]
            what, accuracy, kappa, seconds = by_us(manifest, scratch / "run", options.time_budget)
            rows.append(Row(data, "sweeper", accuracy, *_interval(accuracy, len(truth)), kappa, seconds))
            print(f"{rows[-1]}  {what}", flush=True)
            for peer, python in pythons.items():
                found, seconds = by_peer(peer, python, scratch / "features.npz", options.time_budget, scratch)
                accuracy = float((found == truth).mean())
                kappa = float(cohen_kappa_score(truth, found))
                rows.append(Row(data, peer, accuracy, *_interval(accuracy, len(truth)), kappa, seconds))
                print(rows[-1], flush=True)
    print("\n| data | | accuracy | 95 % | κ | seconds |\n| --- | --- | ---: | --- | ---: | ---: |")
    for row in rows:
        print(
            f"| {row.data} | {row.name} | {row.accuracy:.3f} | {row.low:.3f} to {row.high:.3f} "
            f"| {row.kappa:.3f} | {row.seconds:.0f} |"
        )
    if options.json is not None:
        options.json.write_text(json.dumps([vars(row) for row in rows], indent=2) + "\n")


def _interval(accuracy: float, n: int) -> tuple[float, float]:
    low, high = proportion_confint(round(accuracy * n), n, method="wilson")
    return float(low), float(high)


if __name__ == "__main__":
    main()
