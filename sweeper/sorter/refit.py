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
from sweeper.data.prepared import raw_frames
from sweeper.data.splits import Rows, rows_of_test
from sweeper.evaluate.folds import fit_pipeline
from sweeper.features import keys
from sweeper.features.representation import (
    Descriptors,
    Kind,
    NetworkFeatures,
    Words,
    representation,
    side_by_side,
)
from sweeper.networks.inputs import Inputs, input_array
from sweeper.pipeline import Pipeline, canonical_json
from sweeper.runs.data import RunData
from sweeper.runs.spec import SweepSpec
from sweeper.sorter.model import Part
from sweeper.sorter.strangers import count_statistics

Note = Callable[[str], None]
"""Takes a line that says what is being done."""

Matrix = NDArray[np.float64]


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
    frames = _Frames(pipelines, data, spec, rows, note)
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
            helping=None if data.dataset.helping is None else data.dataset.helping[frames.read],
        )
        parts.append(Part(pipeline, tuple(kind for kind, _ in each), fitted, weight, sharp))
    of_rows = np.searchsorted(frames.read, rows)
    features = side_by_side([frames.features(single)[1] for single in pipelines[0].singles])
    return Refit(parts, rows, frames.sizes[of_rows], frames.statistics[of_rows], features[of_rows])


class _Frames:
    """The frames that pipelines are fitted on, and their features.

    Each frame is read once, and prepared once for each choice of intensity settings; what several pipelines
    need is computed and fitted once.

    Attributes
    ----------
    fitted : int64, (n,)
        Rows of the data set that representations are fitted on.
    read : int64, (n_read,)
        These, and those that classifiers are fitted on.
    sizes : int64, (n_read, 2)
    statistics : float64, (n_read, 9)
        Of the counts as the first pipeline's settings prepare them.
    """

    def __init__(
        self, pipelines: Sequence[Pipeline], data: RunData, spec: SweepSpec, rows: Rows, note: Note
    ) -> None:
        self._data, self._spec, self._note = data, spec, note
        self.fitted = rows if data.apart is None else data.apart
        self.read = np.union1d(rows, self.fitted)
        self._networks: dict[str, tuple[Any, Matrix, Matrix]] = {}
        self._known: dict[str, tuple[Kind, Matrix]] = {}
        singles = [single for pipeline in pipelines for single in pipeline.singles]
        with tempfile.TemporaryDirectory(prefix="sweeper-") as folder:
            found = self._look_at_frames(singles, Path(folder))
            for single in singles:
                kind = self._kind(single)
                if (key := _key(single, kind)) not in self._known:
                    self._known[key] = self._fit(single, kind, found[single.representation], Path(folder))

    def features(self, pipeline: Pipeline) -> tuple[Kind, Matrix]:
        """Return the fitted representation of a pipeline with a single featurizer, and the features."""
        return self._known[_key(pipeline, self._kind(pipeline))]

    def _kind(self, pipeline: Pipeline) -> Kind:
        return representation(pipeline, len(self._data.dataset.classes))

    def _look_at_frames(self, singles: Sequence[Pipeline], folder: Path) -> dict[str, Any]:
        """Return what each representation takes of the frames; inputs of networks are files in a folder."""
        n = len(self.read)
        names = " and ".join(dict.fromkeys(single.featurizer for single in singles))
        self._note(f"computing {names} of {n} frames")
        wanted: dict[str, dict[str, tuple[Pipeline, Kind]]] = {}
        found: dict[str, Any] = {}
        for single in singles:
            kind, name = self._kind(single), single.representation
            wanted.setdefault(canonical_json(single.intensity), {})[name] = single, kind
            if name not in found:
                found[name] = []
                if isinstance(kind, NetworkFeatures):
                    size, path = int(kind.params["size"]), folder / f"{len(found)}.npy"
                    found[name] = np.lib.format.open_memmap(path, "w+", np.float16, (n, size, size))
        sizes: list[tuple[int, ...]] = []
        statistics: list[NDArray[np.float64]] = []
        refs = [self._data.dataset.ref(row) for row in self.read.tolist()]
        for row, raw in enumerate(raw_frames(refs)):
            sizes.append(raw.counts.shape)
            for number, alike in enumerate(wanted.values()):
                intensity = next(iter(alike.values()))[0].intensity
                frame = raw.prepared(intensity)
                if number == 0:
                    statistics.append(count_statistics(frame))
                for name, (_, kind) in alike.items():
                    match kind:
                        case Descriptors():
                            found[name].append(kind.compute([frame])[0])
                        case Words():
                            found[name].append(kind.featurizer.compute(frame, kind.blocks)[0])
                        case NetworkFeatures():
                            found[name][row] = input_array(frame, int(kind.params["size"]))
        self.sizes, self.statistics = np.array(sizes), np.array(statistics)
        return found

    def _fit(self, pipeline: Pipeline, kind: Kind, found: Any, folder: Path) -> tuple[Kind, Matrix]:
        match kind:
            case Descriptors():
                return kind, np.array(found).reshape(len(found), len(kind.columns))
            case Words():
                return self._words(kind, found)
            case NetworkFeatures():
                name = pipeline.representation
                if name not in self._networks:
                    self._networks[name] = self._network(pipeline, kind, found, folder)
                module, features, logits = self._networks[name]
                return replace(kind, module=module), logits if kind.n_logits else features

    def _words(self, kind: Words, descriptors: list[NDArray[np.uint8]]) -> tuple[Kind, Matrix]:
        data = self._data
        fitted_on = keys.fit_key(
            data.digests, data.dataset.labels, data.dataset.groups, self.fitted, self._spec.seed
        )
        train = [descriptors[i] for i in np.searchsorted(self.read, self.fitted).tolist()]
        kind = kind.fitted(train, keys.codebook_seed(fitted_on))
        return kind, kind.encode(descriptors)

    def _network(
        self, pipeline: Pipeline, kind: NetworkFeatures, found: Any, folder: Path
    ) -> tuple[Any, Matrix, Matrix]:
        """Return a network with its weights, and the features and logits that it gives of mapped inputs."""
        import torch

        from sweeper.networks.devices import Device
        from sweeper.networks.extract import extract
        from sweeper.networks.fit import Fit, TrainingData
        from sweeper.networks.model import load_model, untrained
        from sweeper.networks.training import train
        from sweeper.networks.weights import find_weights

        found.flush()
        inputs = Inputs((str(found.filename),), (len(found),))
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
            own = folder / f"fit{len(self._networks)}"
            own.mkdir()
            fit = Fit(network.name, params, dataset.classes, seed, own, weights, intensity=pipeline.intensity)
            groups = None if dataset.groups is None else dataset.groups[self.read]
            train_rows = np.searchsorted(self.read, self.fitted)
            training = TrainingData(inputs, dataset.labels[self.read], train_rows, groups)
            module = load_model(train(fit, training, int(params["epochs"]), Device()))[0]
        features, logits = extract(module, inputs, np.arange(len(found)), Device())
        # Extraction left it in another memory layout, in which sums are rounded otherwise.
        module = module.to(memory_format=torch.contiguous_format)
        return module, features.astype(np.float64), logits.astype(np.float64)


def _key(pipeline: Pipeline, kind: Kind) -> str:
    """Return text that pipelines with a single featurizer share which have the same features."""
    return f"{isinstance(kind, NetworkFeatures) and kind.n_logits} {pipeline.representation}"
