"""Names of blocks: digests of all that they depend on. The engine writes by them, others read by them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper import plugins
from sweeper.api import Params
from sweeper.data.intensity import INTENSITY_VERSION
from sweeper.data.splits import Fold, Rows, fold_digest
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


@dataclass(frozen=True)
class Contents:
    """The distinct contents of shards: what is kept by its digest exists once, however many shards hold it.

    Attributes
    ----------
    digests : tuple of str
        Distinct, in the order in which they first appear.
    shards : tuple of int
        First shard with each of them.
    of : tuple of int
        Position in `digests` of each shard's content, one a shard.
    """

    digests: tuple[str, ...]
    shards: tuple[int, ...]
    of: tuple[int, ...]

    @classmethod
    def by(cls, digests: Sequence[str]) -> Contents:
        """Return the distinct contents of shards with these digests."""
        first: dict[str, int] = {}
        for shard, content in enumerate(digests):
            first.setdefault(content, shard)
        position = {content: i for i, content in enumerate(first)}
        return cls(tuple(first), tuple(first.values()), tuple(position[content] for content in digests))


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


@dataclass(frozen=True)
class FoldRows:
    """Rows of a fold, and digests of what stands in them.

    Attributes
    ----------
    fit : int64, (n,)
        What representations are fitted on.
    fit_key : str
        Digest of those frames, their labels and groups, and the seed.
    read : int64, (n,)
        What a classifier is fitted and scored on.
    read_key : str
    scored : int64, (n,)
        What a network's own head is scored on.
    scored_key : str
    seed : int
        Of what is fitted.
    rerun : bool
        See :class:`~sweeper.data.splits.Fold`.
    """

    fit: NDArray[np.int64]
    fit_key: str
    read: NDArray[np.int64]
    read_key: str
    scored: NDArray[np.int64]
    scored_key: str
    seed: int
    rerun: bool = False


def fold_rows(
    folds: Mapping[int | str, Fold],
    frame_digests: Sequence[str],
    labels: NDArray[np.int64],
    groups: NDArray[np.int64] | None,
    apart: Rows | None,
) -> dict[int | str, FoldRows]:
    """Return the rows of each fold with digests of what stands in them.

    Parameters
    ----------
    folds : mapping
        By name; a fold comes before its reruns.
    frame_digests : sequence of str, (n_frames,)
    labels, groups : int64, (n_frames,)
    apart : int64, (n,), or None
        Rows that representations are fitted on in every fold; None: each fold's training rows.
    """
    rows: dict[int | str, FoldRows] = {}
    for name, fold in folds.items():
        train, validation = fold.split.train, fold.split.validation
        fit = train if apart is None else apart
        fitted_on = fit_key(frame_digests, labels, groups, fit, fold.seed)
        if fold.rerun:  # the rows of a fold that is there already
            rows[name] = replace(rows[fold.number], fit_key=fitted_on, seed=fold.seed, rerun=True)
            continue
        read = np.sort(np.concatenate([train, validation]))
        read_keys = [read_key(frame_digests, r) for r in (read, validation)]
        rows[name] = FoldRows(fit, fitted_on, read, read_keys[0], validation, read_keys[1], fold.seed)
    return rows


# --------------------------------------------------------------------------- blocks


def family_key(featurizer: str, intensity: Params) -> str:
    """Blocks of one featurizer at one setting of intensities."""
    code = plugins.code_digest("featurizer", featurizer)
    return digest([featurizer, code, INTENSITY_VERSION, _sorted(intensity)])


def shard_prefix(featurizer: str, intensity: Params, shard_digest: str) -> str:
    """Return the first part of the names of one shard's block files."""
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
