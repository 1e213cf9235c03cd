"""Features of the frames of a run, from its blocks, and of any other frame, made the same way.

What is fitted is taken from one fold: bags of visual words and networks of different folds are different
spaces, between which distances mean nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sweeper import plugins
from sweeper.api import PRETRAINED, Network, PreparedFrame
from sweeper.data.splits import Rows
from sweeper.errors import InputError
from sweeper.features import blocks as block_files
from sweeper.features import keys
from sweeper.features.names import block_name
from sweeper.features.representation import Descriptors, NetworkFeatures, Words, representation
from sweeper.pipeline import Pipeline, digest
from sweeper.runs.contents import FEATURES, FRAMES, NETWORKS
from sweeper.runs.data import RunData, run_data
from sweeper.runs.folder import RunFolder
from sweeper.runs.frame_list import FrameList
from sweeper.similar.index import Chunks

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Features:
    """Features of a representation, or of several side by side.

    Attributes
    ----------
    key : str
        Names the content.
    rows : int64, (n,)
        Rows of the data set that have features, ascending.
    unseen : int64, (m,)
        Those of them whose labels had no part in making the features: all, or the frames that a trained
        network was not fitted on.
    fold : int or None
        Fold whose fit they come from; None where nothing was fitted on a fold.
    columns : list of str
        Name of each feature, see :mod:`sweeper.features.names`.
    widths : tuple of int
        Number of columns of each featurizer.
    chunks : callable
        See :data:`sweeper.similar.index.Chunks`.
    compute : callable
        Features, float64, (d,), of another frame.
    """

    key: str
    rows: Rows
    unseen: Rows
    fold: int | None
    columns: list[str]
    widths: tuple[int, ...]
    chunks: Chunks
    compute: Callable[[PreparedFrame], NDArray[np.float64]]


def features_of(folder: RunFolder, data: RunData, pipeline: Pipeline) -> Features:
    """Return the features of the representation of a pipeline, for all frames for which the run has them.

    Raises
    ------
    InputError
        Blocks that are not there, or damaged.
    """
    parts = [_single(folder, data, single) for single in pipeline.singles]
    return parts[0] if len(parts) == 1 else _together(parts)


def _together(parts: list[Features]) -> Features:
    """Return features side by side, for the rows that all of them have."""

    def chunks() -> Iterator[tuple[Rows, NDArray[np.float64]]]:
        return joined([part.chunks() for part in parts])

    def compute(frame: PreparedFrame) -> NDArray[np.float64]:
        return np.concatenate([part.compute(frame) for part in parts])

    return Features(
        digest([part.key for part in parts]),
        reduce(np.intersect1d, (part.rows for part in parts)),
        reduce(np.intersect1d, (part.unseen for part in parts)),
        next((part.fold for part in parts if part.fold is not None), None),
        [column for part in parts for column in part.columns],
        tuple(len(part.columns) for part in parts),
        chunks,
        compute,
    )


def joined(
    streams: Sequence[Iterator[tuple[Rows, NDArray[np.float64]]]],
) -> Iterator[tuple[Rows, NDArray[np.float64]]]:
    """Yield the rows that all streams have, with their features side by side, piece by piece.

    Rows rise within each stream; its pieces may be cut anywhere.
    """
    held = [next(stream, None) for stream in streams]
    while all(piece is not None and len(piece[0]) for piece in held):
        pieces = [piece for piece in held if piece is not None]
        last = min(rows[-1] for rows, _ in pieces)
        common = reduce(np.intersect1d, (rows[rows <= last] for rows, _ in pieces))
        if len(common):
            yield common, np.hstack([x[np.searchsorted(rows, common)] for rows, x in pieces])
        held = [
            next(stream, None) if rows[-1] == last else (rows[rows > last], x[rows > last])
            for stream, (rows, x) in zip(streams, pieces, strict=True)
        ]


def _single(folder: RunFolder, data: RunData, pipeline: Pipeline) -> Features:
    """Features of a single featurizer."""
    spec = folder.load_spec()
    place = Path(spec.features) if spec.features else folder.features
    kind = representation(pipeline, 0)
    match kind:
        case NetworkFeatures():
            return _network(folder, place, data, pipeline, kind)
        case Words():
            return _words(place, data, pipeline, kind, spec.seed)
        case Descriptors():
            return _descriptors(place, data, pipeline, kind)


def feature_table(folder: RunFolder, pipeline: Pipeline) -> pd.DataFrame:
    """Return the features of :func:`features_of` as a table.

    Returns
    -------
    pandas.DataFrame
        float64, a column a feature. Rows are named by their frames, as reports name them, in the order of
        the data set.
    """
    import pandas as pd

    data = run_data(folder)
    features = features_of(folder, data, pipeline)
    chunks = list(features.chunks())
    rows = np.concatenate([rows for rows, _ in chunks])
    order = np.argsort(rows, kind="stable")
    values = np.concatenate([values for _, values in chunks])[order]
    names = FrameList(data.dataset.paths.tolist(), data.dataset.index.tolist()).names(rows[order].tolist())
    return pd.DataFrame(values, index=pd.Index(names, name="frame"), columns=features.columns)


def needed_files(folder: RunFolder, pipeline: Pipeline) -> list[str]:
    """Patterns of the files of a run that :func:`features_of` may read, beside spec and journal."""
    blocks = [f"{FEATURES}/{single.featurizer.replace(':', '-')}-*.parquet" for single in pipeline.singles]
    fits = sorted({fit for single in pipeline.singles for fit in _fits(folder, single).values()})
    return [FRAMES, *blocks, *(f"{NETWORKS}/{fit}/*" for fit in fits)]


def _missing(place: Path, pipeline: Pipeline) -> InputError:
    return InputError(
        f"{place}: the blocks of {pipeline.featurizer} must be here, some are missing or damaged"
    )


def _loaded(place: Path, name: str, pipeline: Pipeline) -> NDArray[np.uint8]:
    data = block_files.load_verified(place / name)
    if data is None:
        raise _missing(place, pipeline)
    return data


# --------------------------------------------------------------------------- descriptors


def _shard_files(place: Path, data: RunData, pipeline: Pipeline, names: set[str]) -> list[list[Path]]:
    """Block files of each shard that hold blocks of these names."""
    featurizer, intensity = pipeline.featurizer, pipeline.intensity
    shards = []
    for shard in keys.shard_digests(data.digests):
        files, lacking = [], set(names)
        for path in sorted(place.glob(f"{keys.shard_prefix(featurizer, intensity, shard)}-*.parquet")):
            info = block_files.read_info(path)
            if info is not None and lacking & set(info.blocks):
                files.append(path)
                lacking -= set(info.blocks)
        if lacking:
            raise _missing(place, pipeline)
        shards.append(files)
    return shards


def _descriptors(place: Path, data: RunData, pipeline: Pipeline, kind: Descriptors) -> Features:
    shards = _shard_files(place, data, pipeline, kind.block_names)
    rows = np.arange(len(data.dataset))

    def chunks() -> Iterator[tuple[Rows, NDArray[np.float64]]]:
        for files, shard in zip(shards, keys.shards_of(len(rows)), strict=True):
            found = [_loaded(place, path.name, pipeline) for path in files]
            yield rows[shard.start : shard.stop], kind.read([len(found)], found, len(shard))

    def compute(frame: PreparedFrame) -> NDArray[np.float64]:
        return np.asarray(kind.compute([frame])[0])

    family = keys.family_key(pipeline.featurizer, pipeline.intensity)
    key = digest([family, keys.shard_digests(data.digests), kind.columns])
    return Features(key, rows, rows, None, kind.columns, (len(kind.columns),), chunks, compute)


# --------------------------------------------------------------------------- bags of visual words


def _words(place: Path, data: RunData, pipeline: Pipeline, kind: Words, seed: int) -> Features:
    """Words of the first fold that has them: they saw its training frames, but no labels."""
    name, params = pipeline.featurizer, pipeline.featurizer_params
    shards = keys.shard_digests(data.digests)
    labels, groups = data.dataset.labels, data.dataset.groups
    for fold in range(len(data.splits)):
        fitted_on = keys.fit_key(data.digests, labels, groups, data.fitted(fold), seed)
        key = keys.codebook_key(name, params, pipeline.intensity, shards, fitted_on)
        if (place / keys.codebook_file(name, key)).exists():
            break
    else:
        raise _missing(place, pipeline)
    rows = np.arange(len(data.dataset))

    def chunks() -> Iterator[tuple[Rows, NDArray[np.float64]]]:
        file = _loaded(place, keys.codebook_file(name, key), pipeline)
        yield rows, kind.read([1], [file], len(rows))

    def compute(frame: PreparedFrame) -> NDArray[np.float64]:
        files = _shard_files(place, data, pipeline, kind.block_names)
        found = [[_loaded(place, path.name, pipeline) for path in paths] for paths in files]
        block = block_name(name, kind.blocks[0])
        every = block_files.read_descriptors(found, block, kind.featurizer.descriptor_width)
        # The same codebook again: it is not kept.
        fitted = kind.fitted([every[i] for i in data.fitted(fold)], keys.codebook_seed(fitted_on))
        return np.asarray(fitted.compute([frame])[0])

    return Features(key, rows, rows, fold, kind.columns, (len(kind.columns),), chunks, compute)


# --------------------------------------------------------------------------- networks


def _fits(folder: RunFolder, pipeline: Pipeline) -> dict[int, str]:
    """Key of the fit of each fold that the journal has of a network."""
    fits = folder.results().fits_of(pipeline)
    return {fit.fold: fit.key for fit in fits if isinstance(fit.fold, int)}


def _network(
    folder: RunFolder, place: Path, data: RunData, pipeline: Pipeline, kind: NetworkFeatures
) -> Features:
    """A network as the first fold that has its features fitted it; a pretrained one is the same in all.

    The rows are those that the fold reads: all but the test split's; where a network was only asked with
    its own head, the validation frames.
    """
    network, params = kind.network, pipeline.featurizer_params
    trained = params["training_set"] != PRETRAINED
    weights = None if trained else _weights(folder, network, pipeline)
    epochs = int(params["epochs"]) if trained else 0
    for fold, fit in _candidates(folder, data, pipeline, weights):
        validation = data.splits[fold].validation
        read = np.sort(np.concatenate([data.splits[fold].train, validation]))
        for rows in (read, validation):
            key = keys.network_block_key(fit, epochs, keys.read_key(data.digests, rows))
            if files := _parts(place, network.name, key):
                break
        else:
            continue
        break
    else:
        raise _missing(place, pipeline)
    columns = kind.columns

    def chunks() -> Iterator[tuple[Rows, NDArray[np.float64]]]:
        for name in files:
            yield block_files.read_sparse(_loaded(place, name, pipeline), columns)

    @cache
    def module() -> Any:
        return _module(folder, pipeline, fit, weights, len(data.dataset.classes))

    def compute(frame: PreparedFrame) -> NDArray[np.float64]:
        return np.asarray(replace(kind, module=module()).compute([frame])[0])

    unseen = np.setdiff1d(rows, data.fitted(fold)) if trained else rows
    return Features(key, rows, unseen, fold if trained else None, columns, (len(columns),), chunks, compute)


def _weights(folder: RunFolder, network: Network, pipeline: Pipeline) -> str | None:
    """File of the pretrained weights that a network began with."""
    if pipeline.featurizer_params.get("weights") != "imagenet":
        return None
    from sweeper.networks.weights import find_weights

    return find_weights(network, folder.load_spec().weights)


def _candidates(
    folder: RunFolder, data: RunData, pipeline: Pipeline, weights: str | None
) -> list[tuple[int, str]]:
    """Folds and the keys of their fits."""
    if pipeline.featurizer_params["training_set"] != PRETRAINED:
        return sorted(_fits(folder, pipeline).items())
    from sweeper.networks.weights import weights_digest

    key = keys.network_key(
        pipeline.featurizer,
        pipeline.featurizer_params,
        pipeline.intensity,
        weights_digest=None if weights is None else weights_digest(weights),
        seed=folder.load_spec().seed,
        n_classes=len(data.dataset.classes),
        fitted_on=[],
    )
    return [(fold, key) for fold in range(len(data.splits))]


def _parts(place: Path, featurizer: str, key: str) -> list[str]:
    """Names of the files of a network's block that are there, in order."""
    names: list[str] = []
    while (place / (name := keys.network_file(featurizer, key, len(names)))).exists():
        names.append(name)
    return names


def _module(folder: RunFolder, pipeline: Pipeline, fit: str, weights: str | None, n_classes: int) -> Any:
    """The network itself; of trained ones a run keeps those of the best trial of each architecture."""
    from sweeper.networks.model import load_model, model_path, untrained

    params = pipeline.featurizer_params
    if params["training_set"] != PRETRAINED:
        path = model_path(folder.networks / fit, int(params["epochs"]))
        if not path.exists():
            raise InputError(
                f"{path}: this network was not kept (a run keeps the best of each architecture): FRAME must "
                "be one of the run's own, or --representation another"
            )
        return load_model(path)[0]
    network, seed = plugins.network(pipeline.featurizer), folder.load_spec().seed
    return untrained(network, params, n_classes, seed, weights)
