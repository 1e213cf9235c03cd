"""Pipelines of a run fitted anew on all of its training frames, the test split left out.

A representation that was fitted on frames set apart is fitted on these again. Seeds are those by which the
sweep scored the test split: a pipeline that has a test score is exported as it was when it was scored.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper import plugins
from sweeper.api import PRETRAINED
from sweeper.data.prepared import FrameRef, raw_frames
from sweeper.data.splits import Rows, rows_of_test
from sweeper.evaluate.folds import fit_pipeline
from sweeper.features import keys
from sweeper.features.representation import Descriptors, NetworkFeatures, Words, representation, side_by_side
from sweeper.pipeline import Pipeline, canonical_json
from sweeper.runs.data import RunData
from sweeper.runs.spec import SweepSpec
from sweeper.sorter.model import Part
from sweeper.sorter.strangers import count_statistics

Note = Callable[[str], None]
"""Takes a line that says what is being done."""

Matrix = NDArray[np.float64]
Kind = Descriptors | Words | NetworkFeatures


@dataclass(frozen=True, eq=False)
class Refit:
    """Pipelines after their fit, and what they saw of the training frames.

    Attributes
    ----------
    parts : list of Part
    rows : int64, (n,)
        Rows of the data set that classifiers were fitted on.
    sizes : int64, (n, 2)
        Heights and widths.
    statistics : float64, (n, 9)
    features : float64, (n, d)
        Of the first part.
    """

    parts: list[Part]
    rows: Rows
    sizes: NDArray[np.int64]
    statistics: Matrix
    features: Matrix


def training_rows(data: RunData) -> Rows:
    """Return the rows that classifiers are fitted on: neither the test split nor those set apart."""
    rows = np.setdiff1d(np.arange(len(data.dataset)), rows_of_test(data.dataset.split))
    return rows if data.apart is None else np.setdiff1d(rows, data.apart)


def refit(
    pipelines: Sequence[Pipeline],
    weights: Sequence[float],
    sharpness: Sequence[float],
    data: RunData,
    spec: SweepSpec,
    note: Note,
) -> Refit:
    """Fit pipelines on all training frames of a run.

    Parameters
    ----------
    pipelines : sequence of Pipeline
        The heaviest first.
    weights, sharpness : sequence of float
        Of each in the ensemble.
    data : RunData
    spec : SweepSpec
    note : callable
    """
    rows = training_rows(data)
    frames = _Frames(data, spec, rows, note)
    parts = []
    for pipeline, weight, sharp in zip(pipelines, weights, sharpness, strict=True):
        each = [frames.features(single) for single in pipeline.singles]
        note(f"fitting {pipeline.name} on {len(rows)} frames")
        fitted = fit_pipeline(
            pipeline,
            side_by_side([x for _, x in each]),
            data.dataset.labels[frames.read],
            np.searchsorted(frames.read, rows),
            n_classes=len(data.dataset.classes),
            budget=1.0,
            seed=spec.seed,
            threads=1,
            classifier=plugins.classifier(pipeline.classifier),
            widths=[x.shape[1] for _, x in each],
        )
        parts.append(Part(pipeline, tuple(kind for kind, _ in each), fitted, weight, sharp))
    of_rows = np.searchsorted(frames.read, rows)
    features = side_by_side([frames.features(single)[1] for single in pipelines[0].singles])
    sizes, statistics = frames.statistics(pipelines[0])
    return Refit(parts, rows, sizes[of_rows], statistics[of_rows], features[of_rows])


class _Frames:
    """Features of the frames that pipelines are fitted on; what several need is computed once."""

    def __init__(self, data: RunData, spec: SweepSpec, rows: Rows, note: Note) -> None:
        self._data, self._spec, self._note = data, spec, note
        self.fitted = rows if data.apart is None else data.apart
        self.read = np.union1d(rows, self.fitted)
        self._known: dict[str, tuple[Kind, Matrix]] = {}
        self._seen: dict[str, tuple[NDArray[np.int64], Matrix]] = {}

    @property
    def refs(self) -> list[FrameRef]:
        """Where the frames are."""
        return [self._data.dataset.ref(row) for row in self.read.tolist()]

    def statistics(self, pipeline: Pipeline) -> tuple[NDArray[np.int64], Matrix]:
        """Return sizes and count statistics of the frames that are read."""
        return self._seen[canonical_json(pipeline.intensity)]

    def features(self, pipeline: Pipeline) -> tuple[Kind, Matrix]:
        """Return the fitted representation of a pipeline with a single featurizer, and the features."""
        kind: Kind = representation(pipeline, len(self._data.dataset.classes))
        head = isinstance(kind, NetworkFeatures) and kind.n_logits
        key = f"{head} {pipeline.representation}"
        if key not in self._known:
            self._note(f"computing {pipeline.featurizer} of {len(self.read)} frames")
            self._known[key] = self._computed(pipeline, kind)
        return self._known[key]

    def _computed(self, pipeline: Pipeline, kind: Kind) -> tuple[Kind, Matrix]:
        found: list[Any] = []
        sizes, statistics = [], []
        with tempfile.TemporaryDirectory(prefix="sweeper-") as folder:
            for raw in raw_frames(self.refs):
                frame = raw.prepared(pipeline.intensity)
                sizes.append(raw.counts.shape)
                statistics.append(count_statistics(frame))
                match kind:
                    case Descriptors():
                        found.append(kind.compute([frame])[0])
                    case Words():
                        found.append(kind.featurizer.compute(frame, kind.blocks)[0])
                    case NetworkFeatures():
                        found.append(_input(frame, int(kind.params["size"])))
            self._seen[canonical_json(pipeline.intensity)] = (np.array(sizes), np.array(statistics))
            match kind:
                case Descriptors():
                    return kind, np.array(found).reshape(len(found), len(kind.columns))
                case Words():
                    return self._words(kind, found)
                case NetworkFeatures():
                    return self._network(pipeline, kind, found, Path(folder))

    def _words(self, kind: Words, descriptors: list[NDArray[np.uint8]]) -> tuple[Kind, Matrix]:
        data = self._data
        fitted_on = keys.fit_key(
            data.digests, data.dataset.labels, data.dataset.groups, self.fitted, self._spec.seed
        )
        train = [descriptors[i] for i in np.searchsorted(self.read, self.fitted).tolist()]
        kind = kind.fitted(train, keys.codebook_seed(fitted_on))
        return kind, kind.encode(descriptors)

    def _network(
        self, pipeline: Pipeline, kind: NetworkFeatures, found: list[Any], folder: Path
    ) -> tuple[Kind, Matrix]:
        import torch

        from sweeper.networks.devices import Device
        from sweeper.networks.extract import extract
        from sweeper.networks.fit import Fit, TrainingData
        from sweeper.networks.inputs import Inputs
        from sweeper.networks.model import load_model, untrained
        from sweeper.networks.training import train
        from sweeper.networks.weights import find_weights

        path = folder / "inputs.npy"
        np.save(path, np.array(found))
        inputs = Inputs((str(path),), (len(found),))
        dataset, network, params = self._data.dataset, kind.network, kind.params
        weights = None
        if params.get("weights") == "imagenet":
            weights = find_weights(network, self._spec.weights)
        seed, n_classes = self._spec.seed, len(dataset.classes)
        module: Any
        if params["training_set"] == PRETRAINED:
            module = untrained(network, params, n_classes, seed, weights)
        else:
            self._note(f"training {network.name} on {len(self.fitted)} frames")
            fit = Fit(
                network.name, params, dataset.classes, seed, folder, weights, intensity=pipeline.intensity
            )
            groups = None if dataset.groups is None else dataset.groups[self.read]
            train_rows = np.searchsorted(self.read, self.fitted)
            training = TrainingData(inputs, dataset.labels[self.read], train_rows, groups)
            module = load_model(train(fit, training, int(params["epochs"]), Device()))[0]
        features, logits = extract(module, inputs, np.arange(len(found)), Device())
        # Extraction left it in another memory layout, in which sums are rounded otherwise.
        module = module.to(memory_format=torch.contiguous_format)
        x = (logits if kind.n_logits else features).astype(np.float64)
        return replace(kind, module=module), x


def _input(frame: Any, size: int) -> NDArray[np.float16]:
    from sweeper.networks.inputs import input_array

    return input_array(frame, size)
