"""A sweep with shared features against the paper's way, on the same pipelines and the same frames.

A fixed list of pipelines drawn from ``search_spaces/diffranet.yaml``, each fitted once at full budget on
the training part and scored on the validation part of simulated frames, as given (four to one).

- ours: ``sweeper run --search random``, from an empty run folder to the leaderboard;
- the paper's way: every trial reads, prepares and extracts anew, with scikit-image, OpenCV and
  scikit-learn, in one process (``_plain.py``).

CPU seconds are those of all processes, Ray's daemons included (``_meter.py``); kernels were compiled
before. ``cpu_seconds_ratio`` is of everything from start to end, ``feature_cpu_seconds_ratio`` of reading,
preparing and extracting alone (codebooks are fits, and in neither), ``wall_ratio`` of wall time: ours uses
all cores, the paper's way one. ``score_difference`` is the largest difference of the validation accuracy of
any pipeline.

    python benchmarks/sweep.py [--quick] [--json FILE] [--pipelines N] [--per-class N] [--size PX]
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from _meter import Usage, measure
from _ours import Stage, stages, sweep

from sweeper import plugins
from sweeper.data.dataset import Dataset, load_dataset
from sweeper.data.frames import inspect_frames, read_frame
from sweeper.data.intensity import prepare
from sweeper.data.splits import Split, make_splits
from sweeper.features import keys
from sweeper.features.representation import Descriptors
from sweeper.pipeline import Pipeline
from sweeper.runs.results import VALUES, Results
from sweeper.search.random import RandomProposer
from sweeper.simulate.diffraction import write_diffraction
from sweeper.space.file import load_space

SPACE = "diffranet"
VALIDATION_EVERY = 5
ONE_THREAD = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL", "NUMBA")}


@dataclass(frozen=True)
class Settings:
    """Size of the benchmark."""

    pipelines: int
    per_class: int
    size_px: int
    seed: int = 1


FULL = Settings(pipelines=100, per_class=100, size_px=512)
QUICK = Settings(pipelines=20, per_class=10, size_px=256)


@dataclass(frozen=True)
class Result:
    """Both sides: accuracy by id of the pipeline, and what they took."""

    ours: Usage
    our_stages: list[Stage]
    our_scores: dict[str, float]
    plain: Usage
    plain_cpu_s: dict[str, float]
    plain_scores: dict[str, float]

    def figures(self) -> dict[str, float]:
        """The figures that are followed over time."""
        extraction = sum(s for name, s in self.plain_cpu_s.items() if name.startswith(("read", "extract")))
        featurize = next(stage.cpu_s for stage in self.our_stages if stage.name == "featurize")
        return {
            "cpu_seconds_ratio": self.plain.cpu_s / self.ours.cpu_s,
            "feature_cpu_seconds_ratio": extraction / featurize,
            "wall_ratio": self.plain.wall_s / self.ours.wall_s,
            "score_difference": max(abs(self.our_scores[i] - s) for i, s in self.plain_scores.items()),
        }


def write_frames(folder: Path, settings: Settings) -> Path:
    """Simulate frames; returns a manifest with every fifth frame of a class in the validation part."""
    drawn = write_diffraction(folder, settings.per_class, settings.size_px, settings.seed)
    with drawn.open(newline="") as file:
        rows = list(csv.DictReader(file))
    manifest = folder / "split.csv"
    with manifest.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "label", "split"))
        for row in rows:
            held_out = int(row["index"]) % VALIDATION_EVERY == 0
            writer.writerow((row["path"], row["label"], "val" if held_out else "train"))
    return manifest


def compile_kernels(dataset: Dataset) -> None:
    """Have every kernel compiled and kept on disk: that is done once an installation, not once a sweep."""
    frame = prepare(read_frame(dataset.paths[0], 0), {})
    for part in load_space(SPACE).parts["featurizer"]:
        featurizer = plugins.featurizer(part.name)
        blocks = Descriptors({axis.name: axis.default for axis in featurizer.axes}, featurizer).blocks
        featurizer.compute(frame, blocks)


def draw_pipelines(dataset: Dataset, settings: Settings) -> list[Pipeline]:
    """The fixed list: what a random search with this seed tries."""
    proposer = RandomProposer(load_space(SPACE).for_classes(dataset.classes), settings.seed)
    drawn: list[Pipeline] = []
    for trial in range(settings.pipelines):
        pipeline = proposer.propose(trial, {p.id for p in drawn}, [])
        assert pipeline is not None, "the space has millions of pipelines"
        drawn.append(pipeline)
    return drawn


def plain_job(dataset: Dataset, pipelines: Sequence[Pipeline], settings: Settings) -> dict[str, Any]:
    """Return the job of ``_plain.py``, with the seeds that the sweep's fits have."""
    (split,) = make_splits(dataset.labels, dataset.classes, split=dataset.split, seed=settings.seed)
    return {
        "paths": list(dataset.paths),
        "labels": dataset.labels.tolist(),
        "train": split.train.tolist(),
        "validation": split.validation.tolist(),
        "pipelines": [pipeline.to_dict() for pipeline in pipelines],
        "codebook_seed": codebook_seed(dataset, split, settings.seed),
        "classifier_seed": int(np.random.SeedSequence(settings.seed).generate_state(2)[1] >> 1),
    }


def codebook_seed(dataset: Dataset, split: Split, seed: int) -> int:
    """Return the engine's seed of the k-means, which goes by the training frames."""
    digests = [inspect_frames(path, [0])[0].digest for path in dataset.paths]
    return keys.codebook_seed(keys.fit_key(digests, dataset.labels, dataset.groups, split.train, seed))


def run_ours(
    manifest: Path, out: Path, pipelines: Sequence[Pipeline], seed: int
) -> tuple[Usage, dict[str, float]]:
    """The sweep, and the accuracy of each pipeline from its journal."""
    options = ("--space", SPACE, "--search", "random", "--trials", len(pipelines), "--seed", seed)
    usage = sweep(manifest, out, options)
    results = Results.read(out / "journal.jsonl")
    for owner, failure in results.failed.items():
        raise RuntimeError(f"{results.pipeline(results.owners[owner]).name}: {failure.error}")
    owners, _, _, values = results.columns()
    trials = [results.owners[owner] for owner in owners.tolist()]
    accuracies = values[:, VALUES.index("accuracy")].tolist()
    scores = {results.pipeline(trial).id: score for trial, score in zip(trials, accuracies, strict=True)}
    if set(scores) != {pipeline.id for pipeline in pipelines}:
        raise RuntimeError("the sweep tried other pipelines than the fixed list")
    return usage, scores


def run_plain(job: dict[str, Any], scratch: Path) -> tuple[Usage, dict[str, Any]]:
    """The paper's way; says now and then how far it is."""
    question, answer = scratch / "job.json", scratch / "result.json"
    question.write_text(json.dumps(job))
    script = Path(__file__).with_name("_plain.py")
    usage = measure(
        [sys.executable, str(script), str(question), str(answer)], environment=ONE_THREAD, on_line=_tell
    )
    return usage, json.loads(answer.read_text())


def _tell(line: str) -> None:
    if line.startswith("plain: ") and line.split()[1].endswith("0"):
        print(line, flush=True)


def benchmark(settings: Settings) -> Result:
    """Run both sides on the same frames."""
    with tempfile.TemporaryDirectory(prefix="sweeper-benchmark-") as name:
        scratch = Path(name)
        print(f"simulating {5 * settings.per_class} frames", flush=True)
        manifest = write_frames(scratch / "frames", settings)
        dataset = load_dataset(manifest)
        pipelines = draw_pipelines(dataset, settings)
        job = plain_job(dataset, pipelines, settings)
        compile_kernels(dataset)
        print("running the sweep", flush=True)
        ours, our_scores = run_ours(manifest, scratch / "run", pipelines, settings.seed)
        print(f"ours: {ours.cpu_s:.1f} CPU s, {ours.wall_s:.1f} s; running the paper's way", flush=True)
        plain, answer = run_plain(job, scratch)
    plain_scores = dict(zip((p.id for p in pipelines), answer["scores"], strict=True))
    return Result(ours, stages(ours), our_scores, plain, answer["cpu_s"], plain_scores)


def show(settings: Settings, result: Result) -> None:
    """Print where the time went on both sides, and the figures."""
    print(
        f"\n{settings.pipelines} pipelines of {SPACE}, {5 * settings.per_class} frames of "
        f"{settings.size_px} × {settings.size_px}, seed {settings.seed}"
    )
    print(f"\n{'ours':28}{'CPU s':>10}{'wall s':>10}")
    for stage in result.our_stages:
        print(f"  {stage.name:26}{stage.cpu_s:10.1f}{stage.wall_s:10.1f}")
    print(f"  {'all':26}{result.ours.cpu_s:10.1f}{result.ours.wall_s:10.1f}")
    print("  by process: " + ", ".join(f"{n} {s:.1f}" for n, s in list(result.ours.by_name.items())[:8]))
    print(f"\n{'the paper’s way':28}{'CPU s':>10}{'wall s':>10}")
    for name, cpu_s in sorted(result.plain_cpu_s.items()):
        print(f"  {name:26}{cpu_s:10.1f}")
    print(f"  {'all':26}{result.plain.cpu_s:10.1f}{result.plain.wall_s:10.1f}\n")
    for name, value in result.figures().items():
        print(f"{name:28}{value:10.3g}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the tables, write the figures; exit with status 1 where scores differ."""
    parser = argparse.ArgumentParser(description="A sweep with shared features against the paper's way.")
    parser.add_argument("--quick", action="store_true", help="20 pipelines, 50 frames of 256 × 256")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    parser.add_argument("--pipelines", type=int, metavar="N", help="length of the list (100)")
    parser.add_argument("--per-class", type=int, metavar="N", help="frames of each of five classes (100)")
    parser.add_argument("--size", type=int, metavar="PX", help="width and height of a frame (512)")
    options = parser.parse_args(arguments)
    base = QUICK if options.quick else FULL
    settings = Settings(
        options.pipelines or base.pipelines,
        options.per_class or base.per_class,
        options.size or base.size_px,
    )
    result = benchmark(settings)
    show(settings, result)
    if options.json is not None:
        options.json.write_text(json.dumps(result.figures(), indent=2) + "\n")
    if result.figures()["score_difference"] > 0:
        sys.exit("the two ways do not give the same scores")


if __name__ == "__main__":
    main()
