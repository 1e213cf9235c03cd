"""Names of blocks: digests of all that they depend on. The engine writes by them, others read by them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper import plugins
from sweeper.api import Params
from sweeper.data.intensity import INTENSITY_VERSION
from sweeper.data.splits import Rows, fold_digest
from sweeper.features.blocks import shard_size
from sweeper.features.codebook import CODEBOOK_VERSION
from sweeper.networks.fit import FIT_VERSION
from sweeper.networks.inputs import INPUT_VERSION
from sweeper.pipeline import digest


def _sorted(params: Params) -> dict[str, Any]:
    return dict(sorted(params.items()))


# --------------------------------------------------------------------------- what stands in rows


def shards_of(n_frames: int) -> list[range]:
    """Rows of each shard: consecutive frames, cut by the number of frames alone."""
    size = shard_size(n_frames)
    return [range(start, min(start + size, n_frames)) for start in range(0, n_frames, size)]


def shard_digests(frame_digests: Sequence[str]) -> tuple[str, ...]:
    """Digest of the frames of each shard."""
    return tuple(digest([frame_digests[i] for i in rows]) for rows in shards_of(len(frame_digests)))


def fit_key(
    frame_digests: Sequence[str],
    labels: NDArray[np.int64],
    groups: NDArray[np.int64] | None,
    rows: Rows,
    seed: int,
) -> str:
    """Digest of what a representation is fitted on: frames, their labels and groups, and the seed."""
    grouped = None if groups is None else groups[rows].tolist()
    return digest([fold_digest(frame_digests, rows), labels[rows].tolist(), grouped, seed])


def read_key(frame_digests: Sequence[str], rows: Rows) -> str:
    """Digest of the rows that a network is read on."""
    return digest([fold_digest(frame_digests, rows), rows.tolist()])


# --------------------------------------------------------------------------- blocks


def family_key(featurizer: str, intensity: Params) -> str:
    """Blocks of one featurizer at one setting of intensities."""
    code = plugins.code_digest("featurizer", featurizer)
    return digest([featurizer, code, INTENSITY_VERSION, _sorted(intensity)])


def shard_prefix(featurizer: str, intensity: Params, shard_digest: str) -> str:
    """What the names of the block files of one shard begin with."""
    return f"{featurizer}-{digest([family_key(featurizer, intensity), shard_digest])}"


def codebook_key(
    featurizer: str, params: Params, intensity: Params, shards: Sequence[str], fitted_on: str
) -> str:
    """A bag of visual words, by the digests of the shards and the key of the rows that it was fitted on."""
    family = family_key(featurizer, intensity)
    return digest([family, CODEBOOK_VERSION, list(shards), _sorted(params), fitted_on])


def codebook_seed(fitted_on: str) -> int:
    """Seed of the fit of a bag of visual words."""
    return int(fitted_on, 16) % 2**31


def codebook_file(featurizer: str, key: str) -> str:
    """Name of its block file."""
    return f"{featurizer}-codebook-{key}.parquet"


def network_key(
    featurizer: str,
    params: Params,
    intensity: Params,
    *,
    weights_digest: str | None,
    seed: int,
    n_classes: int,
    fitted_on: Sequence[Any],
) -> str:
    """A fit of a network; `fitted_on` is empty where there is none."""
    return digest(
        [
            featurizer,
            plugins.code_digest("featurizer", featurizer),
            [FIT_VERSION, INPUT_VERSION, INTENSITY_VERSION],
            _sorted(intensity),
            _sorted(params),
            weights_digest,
            seed,
            n_classes,
            list(fitted_on),
        ]
    )


def network_block_key(fit: str, epochs: int, read: str) -> str:
    """Features of a network after so many epochs of a fit, on rows by their :func:`read_key`."""
    return digest([fit, epochs, read])


def network_file(featurizer: str, key: str, part: int) -> str:
    """Name of one of the block files of such features."""
    return f"{featurizer.replace(':', '-')}-network-{key}-{part}.parquet"
