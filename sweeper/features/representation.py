"""The one way from frames to the features of a pipeline.

There are three kinds of representations, told apart here: descriptors, which need no fit; bags of visual
words, whose codebook was fitted on training frames; and features of a network. Each knows its columns, reads
them from block files, and computes them from prepared frames once it has what was fitted. A pipeline has one
or several, whose columns stand side by side.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper import plugins
from sweeper.api import Featurizer, Network, NetworkModule, Params, PreparedFrame
from sweeper.data.intensity import INTENSITY_VERSION
from sweeper.features import blocks as block_files
from sweeper.features import codebook
from sweeper.features.names import block_name
from sweeper.networks.fit import FIT_VERSION
from sweeper.networks.inputs import INPUT_VERSION, input_array
from sweeper.networks.runtime import Reader, read_eagerly
from sweeper.pipeline import Pipeline

Bytes = NDArray[np.uint8]
Matrix = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Representation(ABC):
    """A featurizer with its parameters chosen.

    Attributes
    ----------
    params : mapping
        Value of each of the featurizer's axes.
    """

    params: Params

    @property
    @abstractmethod
    def columns(self) -> list[str]:
        """Names of the features, in order."""

    @property
    @abstractmethod
    def versions(self) -> list[int | str]:
        """Return versions, and digests of code from outside, on which the features depend."""

    @abstractmethod
    def read(self, layout: Sequence[int], files: Sequence[Bytes], n_rows: int) -> Matrix:
        """Read the features of all rows of a data set, float64, (n_rows, columns), from block files.

        Parameters
        ----------
        layout : sequence of int
            Number of files of each shard.
        files : sequence of uint8
            Parquet files, shard after shard.
        n_rows : int
        """

    @abstractmethod
    def compute(self, frames: Iterable[PreparedFrame]) -> Matrix:
        """Compute the features of prepared frames, float64, (frames, columns)."""


@dataclass(frozen=True, eq=False)
class _OfBlocks(Representation):
    """A representation whose blocks a featurizer computes from a frame alone."""

    featurizer: Featurizer

    @property
    def versions(self) -> list[int | str]:
        return [plugins.code_digest("featurizer", self.featurizer.name), INTENSITY_VERSION]

    @cached_property
    def blocks(self) -> list[dict[str, Any]]:
        """Parameters of the blocks that it is made of, in the order of its axes."""
        axes = self.featurizer.axes
        return block_files.block_grid(
            {a.name: self.params[a.name] if a.many else (self.params[a.name],) for a in axes}
        )

    @property
    def block_names(self) -> set[str]:
        """Names of those blocks."""
        return {block_name(self.featurizer.name, block) for block in self.blocks}

    def read(self, layout: Sequence[int], files: Sequence[Bytes], n_rows: int) -> Matrix:
        return block_files.read_matrix(block_files.by_shard(layout, files), self.columns)


@dataclass(frozen=True, eq=False)
class Descriptors(_OfBlocks):
    """Blocks side by side."""

    @cached_property
    def columns(self) -> list[str]:
        return [name for block in self.blocks for name in block_files.block_columns(self.featurizer, block)]

    def compute(self, frames: Iterable[PreparedFrame]) -> Matrix:
        rows = [np.concatenate(self.featurizer.compute(frame, self.blocks)) for frame in frames]
        return np.array(rows, dtype=np.float64).reshape(len(rows), len(self.columns))


@dataclass(frozen=True, eq=False)
class Words(_OfBlocks):
    """A bag of visual words over the descriptors of one block.

    Attributes
    ----------
    centres : float32, (k, width), or None
        The codebook; None before it was fitted.
    """

    centres: NDArray[np.float32] | None = None

    @property
    def versions(self) -> list[int | str]:
        return [*super().versions, codebook.CODEBOOK_VERSION]

    @property
    def clusters(self) -> int:
        """Number of visual words."""
        assert self.featurizer.codebook is not None
        return int(self.params[self.featurizer.codebook.name])

    @cached_property
    def columns(self) -> list[str]:
        return block_files.codebook_columns(self.featurizer, self.clusters)

    def fitted(self, descriptors: Sequence[NDArray[np.uint8]], seed: int) -> Words:
        """Return the same with a codebook fitted on the descriptors of training frames."""
        sample = codebook.sample_descriptors(descriptors, self.clusters, seed)
        return replace(self, centres=codebook.fit_codebook(sample, self.clusters, seed))

    def encode(self, descriptors: Sequence[NDArray[np.uint8]]) -> Matrix:
        """Return how often each word stands in the descriptors of each frame, (frames, clusters)."""
        assert self.centres is not None, "a codebook is fitted before frames are encoded"
        return codebook.encode(descriptors, self.centres, self.clusters)

    def compute(self, frames: Iterable[PreparedFrame]) -> Matrix:
        return self.encode([self.featurizer.compute(frame, self.blocks)[0] for frame in frames])


@dataclass(frozen=True, eq=False)
class NetworkFeatures(Representation):
    """A network's view of a frame: the features before its head, or the logits of the head.

    Attributes
    ----------
    network : Network
    n_logits : int
        Classes of the network's own head, where that classifies; 0 where its features are read.
    module : NetworkModule or None
        With its weights; None before they are there.
    reader : Reader or None
        What reads the module on single frames; None: PyTorch.
    """

    network: Network
    n_logits: int = 0
    module: NetworkModule | None = None
    reader: Reader | None = None

    @property
    def versions(self) -> list[int | str]:
        code = plugins.code_digest("featurizer", self.network.name)
        return [code, INTENSITY_VERSION, FIT_VERSION, INPUT_VERSION]

    @cached_property
    def columns(self) -> list[str]:
        if self.n_logits:
            return block_files.logit_columns(self.network, self.params, self.n_logits)
        return block_files.network_columns(self.network, self.params)

    def read(self, layout: Sequence[int], files: Sequence[Bytes], n_rows: int) -> Matrix:
        """As :meth:`Representation.read`; NaN in rows that the network was not read on."""
        return block_files.read_rows(files, self.columns, n_rows)

    def compute(self, frames: Iterable[PreparedFrame]) -> Matrix:
        assert self.module is not None, "a network has its weights before frames are read by it"
        read = self.reader or partial(read_eagerly, self.module)
        size = int(self.params["size"])
        rows = []
        for frame in frames:
            x = input_array(frame, size).astype(np.float32)[None, None]
            rows.append(read(x)[bool(self.n_logits)][0].astype(np.float64))
        features = np.array(rows).reshape(len(rows), len(self.columns))
        if not np.isfinite(features).all():
            raise ValueError(f"features must be finite, {int((~np.isfinite(features)).sum())} are not")
        return features


Kind = Descriptors | Words | NetworkFeatures
"""One of the three kinds of representations."""


def representation(pipeline: Pipeline, n_classes: int) -> Kind:
    """Return the representation of a pipeline with a single featurizer, without what is fitted.

    Parameters
    ----------
    pipeline : Pipeline
        One of the :attr:`~sweeper.pipeline.Pipeline.singles` of a pipeline.
    n_classes : int
        Of the data set: what a network's own head gives.
    """
    plugin, params = plugins.featurizer(pipeline.featurizer), pipeline.featurizer_params
    if isinstance(plugin, Network):
        head = plugins.classifier(pipeline.classifier).is_head
        return NetworkFeatures(params, plugin, n_classes if head else 0)
    return of_featurizer(plugin, params)


def side_by_side(features: Sequence[Matrix]) -> Matrix:
    """Return the features of several representations as one table, float64, (n, columns of all)."""
    return features[0] if len(features) == 1 else np.concatenate(features, axis=1)


def of_featurizer(featurizer: Featurizer, params: Params) -> Descriptors | Words:
    """Return the representation that a featurizer gives with these parameters, without a codebook's fit."""
    return (Descriptors if featurizer.codebook is None else Words)(params, featurizer)
