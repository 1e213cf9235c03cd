"""The accuracy of pipelines on instruments that they were not trained on.

Simulated frames come in families of instruments, and each family is held out in turn: pipelines are chosen by
the mean and the worst accuracy over families, without a real frame. ``--real`` then trains on all simulated
frames and tests on real ones, averaged over their instruments, with a bootstrap over instruments for the
interval. Each such look belongs into RESULTS.md: a number that was looked at often is worth less.

Two tasks: ``scattering`` (SAXS, WAXS, GISAXS, GIWAXS) and ``hits`` (crystal or none). Families of scattering
frames are by five factors: the detector, the part of it that is read, where the beam is, the source, the size
of the frame. All frames with one value of one factor are held out at a time. Those of hits are by how photons
become counts.

    python benchmarks/transfer.py [--quick] [--task TASK] [--seeds S ...] [--real FOLDER ...]
        [--keep DIR] [--json FILE]

A FOLDER has a ``manifest.csv`` whose labels are those of a task; ``crystal`` and ``blank`` are those of hits.
"""

from __future__ import annotations

import argparse
import csv
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from numpy.typing import NDArray

from sweeper import plugins
from sweeper.data.dataset import load_dataset
from sweeper.data.intensity import prepare
from sweeper.data.prepared import FrameRef, raw_frame
from sweeper.evaluate.folds import fit_pipeline
from sweeper.features.representation import of_featurizer
from sweeper.pipeline import FeaturizerChoice, Pipeline
from sweeper.simulate.camera import Camera, digitise
from sweeper.simulate.classes import draw_exposure
from sweeper.simulate.diffraction import expected_photons
from sweeper.simulate.scattering.frame import FRAMES_PER_SESSION, simulate_frame
from sweeper.simulate.structure import LYSOZYME_CELL

CLASSIFIERS: dict[str, dict[str, dict[str, Any]]] = {
    "scattering": {
        "et": {"n_trees": 100},
        "lightgbm": {
            "n_trees": 300, "learning_rate": 0.05, "num_leaves": 15, "subsample": 0.7, "colsample": 0.3
        },
    },
    "hits": {"et": {"n_trees": 100}},
}  # fmt: skip
"""With their parameters, for each task."""

_PATTERNS = {"crystal": ("weak", "good", "strong"), "none": ("blank", "no-crystal")}
_BOOTSTRAPS = 2000
_CHUNK = 10
_LABELS, _DOMAINS = "labels", "domains"
_BETWEEN = "; "  # families of a frame
TASKS = {"scattering": ("SAXS", "WAXS", "GISAXS", "GIWAXS"), "hits": ("crystal", "none")}
Results = dict[tuple[str, str], list[tuple[float, float, NDArray[np.float64]]]]
"""For features and classifier: mean and worst family, and real instruments, of each seed."""


@dataclass(frozen=True)
class Frame:
    """Counts, their mask, the class, and the instrument or the families that it belongs to, one a factor."""

    counts: NDArray[Any]
    mask: NDArray[np.bool_] | None
    label: str
    domain: str


@dataclass(frozen=True)
class Features:
    """A featurizer with its parameters and the settings of intensities."""

    featurizer: str
    params: dict[str, Any]
    intensity: dict[str, Any]

    def of(self, frames: Iterable[Frame]) -> NDArray[np.float64]:
        """Return the features of frames, (frames, columns)."""
        plugin = plugins.featurizer(self.featurizer)
        params = {axis.name: axis.default for axis in plugin.axes} | self.params
        return of_featurizer(plugin, params).compute(
            prepare(frame.counts, self.intensity, frame.mask) for frame in frames
        )


_GLCM = {"distance": (1, 4), "angle_deg": (0, 45, 90, 135)}
_LBP = {"points": 8, "radius": 1}
REPRESENTATIONS = {
    "glcm": Features("glcm", _GLCM, {}),
    "glcm at 256": Features("glcm", _GLCM, {"resample": 256}),
    "glcm at 512": Features("glcm", _GLCM, {"resample": 512}),
    "lbp": Features("lbp", _LBP, {}),
    "lbp at 256": Features("lbp", _LBP, {"resample": 256}),
    "symmetry": Features("symmetry", {"grid": 48}, {}),
    "peaks": Features("peaks", {"snr": (6,)}, {}),
    "peaks at 512": Features("peaks", {"snr": (6,)}, {"resample": 512}),
    "peaks, 5 8 20": Features("peaks", {"snr": (5, 8, 20)}, {}),
    "peaks, hot pixels kept": Features("peaks", {"snr": (6,)}, {"hot_pixels": "keep"}),
}

RECIPES: dict[str, tuple[tuple[str, ...], ...]] = {
    "scattering": (
        ("symmetry",),
        ("symmetry", "peaks at 512"),
        ("peaks at 512",),
        ("glcm at 256",),
    ),
    "hits": (
        ("glcm",),
        ("glcm at 512",),
        ("peaks",),
        ("peaks, 5 8 20",),
        ("peaks, hot pixels kept",),
        ("peaks", "glcm at 512"),
    ),
}
"""Representations side by side, for each task."""


# --------------------------------------------------------------------------- simulated families


SIZES = (192, 256, 384)
"""Pixels along the longer edge of scattering frames, in turn."""

_PLACES = {"middle": "middle", "usual": "middle", "outside": "outside", "beside": "outside",
           "below": "outside", "arm": "outside"}  # fmt: skip


def scattering_frames(per_class: int, seed: int) -> Iterator[Callable[[], list[Frame]]]:
    """Yield what draws ten frames each of four techniques."""
    for label in TASKS["scattering"]:
        for first in range(0, per_class, _CHUNK):
            yield partial(_scattering, label, range(first, min(first + _CHUNK, per_class)), seed)


def _scattering(label: str, indices: range, seed: int) -> list[Frame]:
    frames = []
    for index in indices:
        size = SIZES[index // FRAMES_PER_SESSION % len(SIZES)]
        counts, drawn = simulate_frame(label, index, seed, size)
        factors = (
            str(drawn["domain"]).split(", ")[0],
            str(drawn["part"]),
            _PLACES.get(drawn["place"], "aside"),
            "synchrotron" if drawn["synchrotron"] else "laboratory",
            f"{size} px",
        )
        frames.append(Frame(counts, None, label, _BETWEEN.join(factors)))
    return frames


def _integrating(photons: NDArray[np.float64], rng: np.random.Generator) -> NDArray[Any]:
    return digitise(photons, Camera(), int(rng.integers(1000)), rng)


def _counting(photons: NDArray[np.float64], rng: np.random.Generator) -> NDArray[Any]:
    """Count photons without a pedestal, in modules with gaps between them."""
    counts = rng.poisson(photons).astype(np.int32)
    step = len(counts) // 3
    counts[step : step + 17] = -1
    counts[:, step : step + 7] = -1
    return counts


def _sparse(photons: NDArray[np.float64], rng: np.random.Generator) -> NDArray[Any]:
    """Count hardly a photon in most pixels, as fine slices and weak pulses do."""
    level = np.exp(rng.uniform(np.log(0.003), np.log(0.1)))
    return rng.poisson(level * photons).astype(np.uint32)


def _pulsed(photons: NDArray[np.float64], rng: np.random.Generator) -> NDArray[Any]:
    """Return corrected energies in real numbers, noise about zero included."""
    level = np.exp(rng.uniform(np.log(0.02), np.log(0.5)))
    counts = 8.0 * (rng.poisson(level * photons) + rng.normal(0, 0.2, photons.shape))
    return counts.astype(np.float32)


def _pictures(photons: NDArray[np.float64], rng: np.random.Generator) -> NDArray[Any]:
    """Return eight bits, as frames that were made for viewing."""
    counts = rng.poisson(photons)
    return np.minimum(counts * (200.0 / np.percentile(counts, 99.9)), 255).astype(np.uint8)


FAMILIES: dict[str, tuple[int, Callable[[NDArray[np.float64], np.random.Generator], NDArray[Any]]]] = {
    "integrating": (512, _integrating),
    "counting": (512, _counting),
    "sparse": (640, _sparse),
    "pulsed": (384, _pulsed),
    "pictures": (256, _pictures),
}
"""Of the hits: pixels along an edge, and how expected photons become counts."""


def hits_frames(per_class: int, seed: int) -> Iterator[Callable[[], list[Frame]]]:
    """Yield what draws stills of one family, with a crystal or none equally often."""
    for family in FAMILIES:
        for label in _PATTERNS:
            yield partial(_stills, family, label, per_class, seed)


def _stills(family: str, label: str, number: int, seed: int) -> list[Frame]:
    size, record = FAMILIES[family]
    f, c = list(FAMILIES).index(family), list(_PATTERNS).index(label)
    frames = []
    for index in range(number):
        rng = np.random.default_rng([seed, f, c, index])
        pattern = _PATTERNS[label][index % len(_PATTERNS[label])]
        bragg, background = expected_photons(draw_exposure(pattern, rng, LYSOZYME_CELL), seed + f, size)
        if not background.any():  # a closed shutter, which some detectors fill with noise
            background += np.exp(rng.uniform(np.log(1e-3), np.log(1.0)))
        frames.append(Frame(record(bragg + background, rng), None, label, family))
    return frames


# --------------------------------------------------------------------------- real frames


def real_frames(folders: Sequence[Path], labels: Sequence[str]) -> Iterator[Callable[[], list[Frame]]]:
    """Yield what reads each frame of manifests whose class is one of `labels`; a blank has no crystal."""
    for folder in folders:
        manifest = folder / "manifest.csv"
        with manifest.open(newline="") as file:
            instrument = {row["path"]: _instrument(row) for row in csv.DictReader(file)}
        data = load_dataset(manifest)
        for row in range(len(data)):
            label = data.classes[data.labels[row]]
            label = "none" if label == "blank" else label
            if label in labels:
                yield partial(_read, data.ref(row), label, instrument[data.files[data.file[row]]])


def _read(ref: FrameRef, label: str, instrument: str) -> list[Frame]:
    raw = raw_frame(ref)
    return [Frame(raw.counts, raw.mask, label, instrument)]


def _instrument(row: dict[str, str]) -> str:
    """Name the instrument of a row: its repository and the size of its frames, else its group."""
    return f"{row['source_repo']} {row['shape']}" if "source_repo" in row else row["group"]


# --------------------------------------------------------------------------- scores


def predict(
    classifier: str,
    params: dict[str, Any],
    x: NDArray[np.float64],
    y: NDArray[np.int64],
    train: NDArray[np.int64],
    test: NDArray[np.int64],
    seed: int,
) -> NDArray[np.int64]:
    """Fit on some rows and return the classes predicted for others."""
    pipeline = Pipeline({}, (FeaturizerChoice("features", {}),), "standard", {}, classifier, params)
    fitted = fit_pipeline(
        pipeline, x, y, train, n_classes=int(y.max()) + 1, budget=1.0, seed=seed, threads=1,
        classifier=plugins.classifier(classifier),
    )  # fmt: skip
    return fitted.scores(x[test]).argmax(axis=1)


def families(domains: Sequence[str]) -> Iterator[tuple[int, NDArray[np.bool_]]]:
    """Yield the number of a factor and the rows of one family, for each family of each factor."""
    factors = np.array([domain.split(_BETWEEN) for domain in domains])  # (frames, factors)
    for factor, values in enumerate(factors.T):
        for family in np.unique(values):
            yield factor, values == family


def held_out(
    classifier: str,
    params: dict[str, Any],
    x: NDArray[np.float64],
    y: NDArray[np.int64],
    domains: Sequence[str],
    seed: int,
) -> tuple[float, float]:
    """Return mean and worst accuracy over families, each predicted by a fit on all the others.

    The mean is over the families of a factor, then over factors.
    """
    found: dict[int, list[float]] = {}
    for factor, held in families(domains):
        train, test = np.flatnonzero(~held), np.flatnonzero(held)
        right = predict(classifier, params, x, y, train, test, seed) == y[test]
        found.setdefault(factor, []).append(float(right.mean()))
    means = [float(np.mean(accuracies)) for accuracies in found.values()]
    return float(np.mean(means)), min(min(accuracies) for accuracies in found.values())


def once(kept: Path | None, name: str, compute: Callable[[], tuple[float, float]]) -> tuple[float, float]:
    """Return what is computed; what was `kept` under a name before is read instead."""
    if kept is None:
        return compute()
    file = kept.with_name(f"{kept.name}-accuracies.json")
    known = json.loads(file.read_text()) if file.exists() else {}
    if name not in known:
        known[name] = compute()
        file.write_text(json.dumps(known))
    mean, worst = known[name]
    return mean, worst


def interval(accuracies: NDArray[np.float64]) -> tuple[float, float]:
    """Return the 95 % interval of the mean over instruments, by a bootstrap over them."""
    rng = np.random.default_rng(0)
    drawn = rng.choice(accuracies, (_BOOTSTRAPS, len(accuracies))).mean(axis=1)
    low, high = np.percentile(drawn, (2.5, 97.5))
    return float(low), float(high)


@dataclass(frozen=True)
class Described:
    """Frames as features: each representation by name, (frames, columns), labels and domains."""

    blocks: dict[str, NDArray[np.float64]]
    labels: list[str]
    domains: list[str]


def describe(
    draws: Iterable[Callable[[], list[Frame]]], names: Sequence[str], kept: Path | None
) -> Described:
    """Compute the features of frames part by part; parts that are `kept` from before are read."""
    parts = []
    for number, draw in enumerate(draws):
        file = None if kept is None else kept.with_name(f"{kept.name}-{number}.npz")
        if file is not None and file.exists():
            with np.load(file) as stored:
                part = dict(stored)
        else:
            frames = draw()
            part = {name: REPRESENTATIONS[name].of(frames) for name in names}
            part[_LABELS] = np.array([frame.label for frame in frames])
            part[_DOMAINS] = np.array([frame.domain for frame in frames])
            if file is not None:
                np.savez(file, **part)
        parts.append(part)
    whole = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    labels, domains = whole.pop(_LABELS).tolist(), whole.pop(_DOMAINS).tolist()
    return Described(whole, labels, domains)


def measure(
    task: str, per_class: int, seeds: Sequence[int], real: Sequence[Path], keep: Path | None
) -> Results:
    """Return for each recipe and classifier the accuracies of each seed, and those on real instruments."""
    names = sorted({name for recipe in RECIPES[task] for name in recipe})
    results: Results = {}
    tests = None
    if real:
        kept = None if keep is None else keep / f"{task}-real"
        tests = describe(real_frames(real, TASKS[task]), names, kept)
        print(f"{len(tests.labels)} real frames of {len(set(tests.domains))} instruments", flush=True)
    for seed in seeds:
        simulate = {"scattering": scattering_frames, "hits": hits_frames}[task]
        kept = None if keep is None else keep / f"{task}-{per_class}-{seed}"
        known = describe(simulate(per_class, seed), names, kept)
        number = len(list(families(known.domains)))
        print(f"{task}, seed {seed}: {len(known.labels)} frames of {number} families", flush=True)
        order, y = np.unique(known.labels, return_inverse=True)
        for recipe in RECIPES[task]:
            x = np.hstack([known.blocks[name] for name in recipe])
            for classifier, params in CLASSIFIERS[task].items():
                name = f"{' + '.join(recipe)}, {classifier}"
                mean, worst = once(
                    kept, name, partial(held_out, classifier, params, x, y, known.domains, seed)
                )
                outside = np.zeros(0)
                if tests is not None:
                    both = np.vstack([x, np.hstack([tests.blocks[name] for name in recipe])])
                    rows = np.arange(len(both))
                    found = predict(classifier, params, both, y, rows[: len(x)], rows[len(x) :], seed)
                    where = np.unique(tests.domains, return_inverse=True)[1]
                    right = order[found] == np.array(tests.labels)
                    outside = np.bincount(where, right) / np.bincount(where)
                results.setdefault((" + ".join(recipe), classifier), []).append((mean, worst, outside))
    return results


def show(task: str, results: Results) -> dict[str, float]:
    """Print the table of a task; return its figures: those of the best by the families alone."""
    print(f"\n{task}: accuracy over simulated families that were held out, and on real instruments")
    print(f"{'features':40}{'classifier':12}{'mean':>8}{'worst':>8}{'real':>8}  95 % interval")
    rows = []
    for (recipe, classifier), seeds in results.items():
        mean, worst = (float(np.mean([run[i] for run in seeds])) for i in (0, 1))
        outside = np.mean([run[2] for run in seeds], axis=0)
        rows.append((mean, worst, recipe, classifier, outside))
    rows.sort(key=lambda row: row[:2], reverse=True)
    for mean, worst, recipe, classifier, outside in rows:
        text = ""
        if outside.size:
            low, high = interval(outside)
            text = f"{outside.mean():8.3f}  {low:.3f} to {high:.3f}"
        print(f"{recipe:40}{classifier:12}{mean:8.3f}{worst:8.3f}{text}")
    mean, worst, _, _, outside = rows[0]
    figures = {f"{task}_families_mean": mean, f"{task}_families_worst": worst}
    return figures | ({f"{task}_real": float(outside.mean())} if outside.size else {})


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print the tables, write the figures."""
    parser = argparse.ArgumentParser(description="Accuracy on instruments that were never seen.")
    parser.add_argument("--quick", action="store_true", help="few frames and one seed")
    parser.add_argument("--task", choices=tuple(RECIPES), help="one task alone")
    parser.add_argument(
        "--seeds",
        type=int,
        nargs="+",
        default=[1, 2, 3],
        metavar="S",
        help="of the simulators (default: 1 2 3)",
    )
    parser.add_argument(
        "--real", type=Path, nargs="+", default=[], metavar="FOLDER", help="look at real frames as well"
    )
    parser.add_argument(
        "--keep",
        type=Path,
        metavar="DIR",
        help="keep features and accuracies there, so that a run that was cut off goes on",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    options = parser.parse_args(arguments)
    per_class = {"scattering": 12, "hits": 4} if options.quick else {"scattering": 1000, "hits": 10}
    seeds = options.seeds[:1] if options.quick else options.seeds
    if options.keep is not None:
        options.keep.mkdir(parents=True, exist_ok=True)
    figures: dict[str, float] = {}
    for task in (options.task,) if options.task else tuple(RECIPES):
        figures |= show(task, measure(task, per_class[task], seeds, options.real, options.keep))
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
