"""Whether features side by side are better, with which reducer, and with one intensity or one for each.

The frames of a labelled folder are halved many times, groups whole. On one half everything is chosen, by
cross-validation within it, the other half is scored once. Three questions, each answered with the mean
accuracy over the halves and the standard error of the paired differences:

- ``gain_pair``, ``gain_triple``: the best of up to two or three representations side by side, less the best
  single one;
- ``pca_each_gain``: PCA of each representation's columns, less PCA of all columns together, with the number
  of components chosen; ``pca_wide_gain``: PCA of the wide ones and the others only standardised, less PCA of
  each; ``standard`` acts column by column, and is the same for all together and for each;
- ``own_intensity_gain``: each representation at its own setting of the intensities, less one setting for all.

    python benchmarks/combine.py FRAMES [--quick] [--json FILE] [--halves N] [--weights FOLDER]

With ``--weights``, features of a pretrained network (tf_efficientnet_lite0) are among the representations.
"""

# ruff: noqa: E402

from __future__ import annotations

import os

for _variable in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_variable] = "1"  # before numpy is imported

import argparse
import itertools
import json
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from numpy.typing import NDArray

from sweeper import plugins
from sweeper.api import Build
from sweeper.data.dataset import Dataset, load_dataset
from sweeper.data.intensity import resolve
from sweeper.data.prepared import raw_frame
from sweeper.data.splits import Rows, make_splits
from sweeper.evaluate.reducers import FittedReducer, fit_reducer
from sweeper.features.representation import NetworkFeatures, Words, of_featurizer

Matrix = NDArray[np.float64]

INTENSITIES: dict[str, dict[str, Any]] = {
    "log1p": {},
    "log1p, 32 levels": {"levels": 32},
    "linear": {"scale": "linear"},
    "log1p, binned by 2": {"bin": 2},
}
"""Settings that a representation may have; the first is the default."""

TEXTURES: dict[str, dict[str, Any]] = {
    "glcm": {"distance": (1, 2, 4, 8), "angle_deg": (0, 45, 90, 135)},
    "lbp": {"points": 8, "radius": 1},
    "histogram": {},
    "symmetry": {"grid": 48},
    "sift": {"clusters": 100},
}
NETWORK = "timm:tf_efficientnet_lite0"
CLASSIFIERS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("svm", {"C": 8, "gamma": 0}),
    ("svm", {"C": 128, "gamma": 0.0078125}),
    ("et", {"n_trees": 50}),
)
COMPONENTS = (5, 20, 50)
INNER_FOLDS = 3
WIDE = 64
MOST = 3
TRIPLE = ("glcm", "lbp", "histogram")
"""Featurizers put side by side at one intensity, and each at its own."""


@dataclass(frozen=True)
class Half:
    """A training half with its inner folds, and the half that is scored."""

    train: Rows
    test: Rows
    inner: tuple[tuple[Rows, Rows], ...]

    @property
    def splits(self) -> list[tuple[Rows, Rows]]:
        """Inner folds, then the halves themselves."""
        return [*self.inner, (self.train, self.test)]


# --------------------------------------------------------------------------- features


class Source:
    """Features of all frames: a matrix of a representation, or one a split where it has a codebook."""

    def __init__(self, name: str, splits: Sequence[tuple[Rows, Rows]], made: Matrix | list[Any], seed: int):
        self.name, self._made, self._seed = name, made, seed
        self._of_split: dict[int, Matrix] = {}
        if isinstance(made, list):
            words = of_featurizer(plugins.texture(name), TEXTURES[name])
            assert isinstance(words, Words)
            for i, (train, _) in enumerate(splits):
                self._of_split[i] = words.fitted([made[r] for r in train], seed).encode(made)

    def of(self, split: int) -> Matrix:
        """Return the features as a split sees them."""
        return self._of_split[split] if isinstance(self._made, list) else self._made


def textures(data: Dataset, intensity: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Compute matrices, and descriptors of what has a codebook, of all frames at one intensity."""
    kinds = {name: of_featurizer(plugins.texture(name), TEXTURES[name]) for name in names}
    found: dict[str, list[Any]] = {name: [] for name in names}
    for row in range(len(data)):
        frame = raw_frame(data.ref(row)).prepared(resolve(intensity))
        for name, kind in kinds.items():
            blocks = kind.featurizer.compute(frame, kind.blocks)
            found[name].append(blocks[0] if isinstance(kind, Words) else np.concatenate(blocks))
    return {n: v if isinstance(kinds[n], Words) else np.array(v) for n, v in found.items()}


def network(data: Dataset, weights: str) -> Matrix:
    """Compute features of a pretrained network of all frames."""
    from sweeper.networks.model import untrained
    from sweeper.networks.weights import find_weights

    plugin = plugins.network(NETWORK)
    params = {axis.name: axis.default for axis in plugin.axes} | {"training_set": "pretrained"}
    module = untrained(plugin, params, len(data.classes), 0, find_weights(plugin, weights)).eval()
    kind = replace(NetworkFeatures(params, plugin), module=module)
    return kind.compute(raw_frame(data.ref(row)).prepared(resolve({})) for row in range(len(data)))


# --------------------------------------------------------------------------- scores


@dataclass(frozen=True)
class Reducer:
    """A reducer of features: PCA to so many components, standardised only where there are none.

    Attributes
    ----------
    each : bool
        One fit for each representation instead of one for all columns.
    wide : bool
        Representations with up to :data:`WIDE` columns are only standardised.
    """

    components: int = 0
    each: bool = False
    wide: bool = False

    def fit(self, x: Matrix, seed: int) -> FittedReducer:
        """Fit on training rows."""
        if not self.components or (self.wide and x.shape[1] <= WIDE):
            return fit_reducer("standard", {}, x, seed)
        return fit_reducer("pca", {"components": self.components}, x, seed)


def fit_score(
    parts: Sequence[Matrix],
    labels: Rows,
    split: tuple[Rows, Rows],
    reducer: Reducer,
    classifier: tuple[str, dict[str, Any]],
    seed: int,
) -> float:
    """Return the accuracy of a classifier on a split, with reducers fitted on its training rows."""
    train, test = split
    groups = parts if reducer.each else [np.hstack(parts)]
    fitted = [reducer.fit(x[train], seed) for x in groups]
    x_train, x_test = (
        np.hstack([f.transform(x[rows]) for f, x in zip(fitted, groups, strict=True)])
        for rows in (train, test)
    )
    plugin = plugins.classifier(classifier[0])
    values = {axis.name: axis.default for axis in plugin.axes} | classifier[1]
    values.pop("class_weight")
    estimator = plugin.build(Build(values, 1.0, int(labels.max()) + 1, seed, 1))
    estimator.fit(x_train, labels[train], np.ones(len(train)))
    return float((estimator.scores(x_test).argmax(axis=1) == labels[test]).mean())


Candidate = tuple[tuple[Source, ...], Reducer, tuple[str, dict[str, Any]]]


class Scores:
    """Scores of candidates on the splits of one half, each computed once."""

    def __init__(self, half: Half, labels: Rows, seed: int) -> None:
        self._half, self._labels, self._seed = half, labels, seed
        self._known: dict[str, tuple[float, float]] = {}

    def of(self, candidate: Candidate) -> tuple[float, float]:
        """Return the mean over the inner folds, and the score on the other half."""
        sources, reducer, classifier = candidate
        key = repr([[id(s) for s in sources], reducer, classifier])
        if key not in self._known:
            scores = [
                fit_score([s.of(i) for s in sources], self._labels, split, reducer, classifier, self._seed)
                for i, split in enumerate(self._half.splits)
            ]
            self._known[key] = (float(np.mean(scores[:-1])), scores[-1])
        return self._known[key]

    def best(self, candidates: Iterable[Candidate]) -> float:
        """Return the score on the other half of the candidate that is best on the inner folds."""
        return max((self.of(c) for c in candidates), key=lambda pair: pair[0])[1]


def subsets(sources: Sequence[Source], least: int, most: int) -> list[tuple[Source, ...]]:
    return [s for k in range(least, most + 1) for s in itertools.combinations(sources, k)]


def standard(choices: Iterable[tuple[Source, ...]], classifiers: Any = CLASSIFIERS) -> list[Candidate]:
    return [(s, Reducer(), c) for s in choices for c in classifiers]


def reduced(choices: Sequence[tuple[Source, ...]], *, each: bool, wide: bool = False) -> list[Candidate]:
    """PCA of all columns or of each one's, with every number of components."""
    return [(s, Reducer(k, each, wide), c) for s in choices for k in COMPONENTS for c in CLASSIFIERS]


# --------------------------------------------------------------------------- the benchmark


def halves(data: Dataset, n: int) -> list[Half]:
    """Cut the frames into halves, and each training half into inner folds."""
    found = []
    for seed in range(n):
        first = make_splits(data.labels, data.classes, groups=data.groups, folds=2, seed=seed)[0]
        groups = None if data.groups is None else data.groups[first.train]
        inner = make_splits(
            data.labels[first.train], data.classes, groups=groups, folds=INNER_FOLDS, seed=seed
        )
        folds = tuple((first.train[s.train], first.train[s.validation]) for s in inner)
        found.append(Half(first.train, first.validation, folds))
    return found


def run(data: Dataset, n_halves: int, weights: str | None) -> dict[str, list[float]]:
    """Return the score of each way to choose, one a half."""
    started = time.perf_counter()
    default = next(iter(INTENSITIES))
    at = {
        name: textures(data, chosen, TEXTURES if name == default else TRIPLE)
        for name, chosen in INTENSITIES.items()
    }
    wide = {} if weights is None else {NETWORK: network(data, weights)}
    print(f"features of {len(data)} frames: {time.perf_counter() - started:.0f} s", flush=True)
    found: dict[str, list[float]] = {}
    for seed, half in enumerate(halves(data, n_halves)):
        scores = Scores(half, data.labels, seed)
        made = {**at[default], **wide}
        sources = [Source(name, half.splits, values, seed) for name, values in made.items()]
        both = [s for s in subsets(sources, 2, 2) if {x.name for x in s} & {"sift", NETWORK}]
        of_setting = {
            setting: {n: Source(n, half.splits, values[n], seed) for n in TRIPLE}
            for setting, values in at.items()
        }
        once = [tuple(of_setting[s][n] for n in TRIPLE) for s in of_setting]
        own = [
            tuple(of_setting[s][n] for s, n in zip(settings, TRIPLE, strict=True))
            for settings in itertools.product(of_setting, repeat=len(TRIPLE))
        ]
        ways: dict[str, list[Candidate]] = {
            "single": standard(subsets(sources, 1, 1)),
            "pair": standard(subsets(sources, 1, 2)),
            "triple": standard(subsets(sources, 1, MOST)),
            "wide, standard": standard(both),
            "wide, pca of all": reduced(both, each=False),
            "wide, pca of each": reduced(both, each=True),
            "wide, pca of the wide one": reduced(both, each=True, wide=True),
            "triple at one intensity": standard(once, CLASSIFIERS[:2]),
            "triple, each at its own": standard(own, CLASSIFIERS[:2]),
            "triple at the default": standard(once[:1], CLASSIFIERS[:2]),
        }
        for name, candidates in ways.items():
            found.setdefault(name, []).append(scores.best(candidates))
        line = ", ".join(f"{name} {values[-1]:.4f}" for name, values in found.items())
        print(f"half {seed}, {time.perf_counter() - started:.0f} s: {line}", flush=True)
    return found


COMPARED = {
    "gain_pair": ("pair", "single"),
    "gain_triple": ("triple", "single"),
    "pca_each_gain": ("wide, pca of each", "wide, pca of all"),
    "pca_wide_gain": ("wide, pca of the wide one", "wide, pca of each"),
    "own_intensity_gain": ("triple, each at its own", "triple at one intensity"),
    "one_intensity_gain": ("triple at one intensity", "triple at the default"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("frames", help="folder of classes, or manifest")
    parser.add_argument("--quick", action="store_true", help="two halves")
    parser.add_argument("--halves", type=int, default=10)
    parser.add_argument("--weights", help="folder of pretrained weights")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args(arguments)
    found = run(load_dataset(options.frames), 2 if options.quick else options.halves, options.weights)
    figures: dict[str, float] = {}
    for name, values in found.items():
        print(f"{name:28} {np.mean(values):.4f}")
        figures[name.replace(",", "").replace(" ", "_")] = float(np.mean(values))
    for name, (ours, theirs) in COMPARED.items():
        difference = np.array(found[ours]) - np.array(found[theirs])
        error = difference.std(ddof=1) / np.sqrt(len(difference))
        print(f"{name:28} {difference.mean():+.4f} ± {error:.4f}")
        figures[name], figures[f"{name}_se"] = float(difference.mean()), float(error)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
