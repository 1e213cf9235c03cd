"""Blocks as Parquet: which blocks a representation needs, how they are written, how they are read.

A file holds one shard of frames (consecutive rows of the data set) and any number of blocks of one
featurizer at one setting of intensities. Reading takes the columns that a representation asks for and
leaves the rest alone.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.api import Featurizer, Network, Params
from sweeper.atomic import atomically
from sweeper.features.names import block_name, column_name

_METADATA = b"sweeper"
_ROW = "row"
_SEAL_BYTES = 16


def block_grid(axes_values: Mapping[str, Iterable[Any]]) -> list[dict[str, Any]]:
    """Parameters of every block in a grid: each combination of single values."""
    return [
        dict(zip(axes_values, values, strict=True)) for values in itertools.product(*axes_values.values())
    ]


def block_columns(featurizer: Featurizer, block: Params) -> list[str]:
    """Names of the columns of one block of features."""
    return [column_name(featurizer.name, column, block) for column in featurizer.columns(block)]


def codebook_columns(featurizer: Featurizer, clusters: int) -> list[str]:
    """Names of the columns that a codebook gives: one a visual word."""
    axis = featurizer.codebook
    assert axis is not None
    return [column_name(featurizer.name, f"word{i}", {axis.name: clusters}) for i in range(clusters)]


def network_columns(network: Network, params: Params) -> list[str]:
    """Names of the columns that hold a network's features."""
    return [column_name(network.name, f"f{i}", params) for i in range(network.width(params))]


def logit_columns(network: Network, params: Params, n_classes: int) -> list[str]:
    """Names of the columns that hold what a network's own head gives, one a class."""
    return [column_name(network.name, f"logit{i}", params) for i in range(n_classes)]


def shard_size(n_frames: int) -> int:
    """Frames in a shard: a power of two, 16 to 4096, near a 64th of the data set."""
    return min(4096, max(16, 1 << max(0, (n_frames // 64 - 1).bit_length())))


# --------------------------------------------------------------------------- writing


@dataclass(frozen=True)
class BlockInfo:
    """A block file's description of itself.

    Attributes
    ----------
    blocks : tuple of str
        Names of the blocks in it.
    rows : int
    prepare_ms, compute_ms : float
        Time a frame took: reading and intensities; all blocks of the file.
    fit_s : float
        Time it took to train the network that gave the block; 0 for other blocks.
    """

    blocks: tuple[str, ...]
    rows: int
    prepare_ms: float
    compute_ms: float
    fit_s: float = 0.0


def dense_table(
    featurizer: Featurizer, blocks: Sequence[Params], rows: Sequence[Sequence[NDArray[Any]]]
) -> Any:
    """Arrow table from what ``compute`` gave: ``rows[frame][block]`` is one row of that block."""
    import pyarrow as pa

    columns: dict[str, Any] = {}
    for position, block in enumerate(blocks):
        if featurizer.codebook is not None:
            columns[block_name(featurizer.name, block)] = _ragged([frame[position] for frame in rows])
            continue
        values = np.array([frame[position] for frame in rows], dtype=np.float64)  # (frames, columns)
        names = featurizer.columns(block)
        if values.shape != (len(rows), len(names)):
            raise ValueError(
                f"{block_name(featurizer.name, block)}: a row must have {len(names)} values, "
                f"got shape {values.shape}"
            )
        for j, name in enumerate(names):
            columns[column_name(featurizer.name, name, block)] = pa.array(values[:, j])
    return pa.table(columns)


def network_table(
    network: Network,
    params: Params,
    rows: NDArray[np.int64],
    features: NDArray[np.float32],
    logits: NDArray[np.float32],
) -> Any:
    """Arrow table of some rows of the data set: features (n, width) and logits (n, n_classes) as float32.

    Column ``row`` holds the row numbers: a network is read on the rows that a fold needs.
    """
    import pyarrow as pa

    names = [*network_columns(network, params), *logit_columns(network, params, logits.shape[1])]
    values = np.concatenate([features, logits], axis=1).astype(np.float32)  # (n, width + n_classes)
    columns = {name: np.ascontiguousarray(values[:, j]) for j, name in enumerate(names)}
    return pa.table({_ROW: rows.astype(np.int64), **columns})


def _ragged(descriptors: Sequence[NDArray[np.uint8]]) -> Any:
    """Descriptors of each frame as one list column of bytes."""
    import pyarrow as pa

    lengths = [d.size for d in descriptors]
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64), type=pa.int64())
    flat = np.concatenate([np.asarray(d, dtype=np.uint8).ravel() for d in descriptors])
    return pa.LargeListArray.from_arrays(offsets, pa.array(flat, type=pa.uint8()))


def to_parquet(table: Any, info: BlockInfo) -> NDArray[np.uint8]:
    """The table as the bytes of a Parquet file with a digest that :func:`load_verified` checks, uint8."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    metadata = {_METADATA: json.dumps(info.__dict__).encode()}
    sink = pa.BufferOutputStream()
    # Descriptors shrink by a quarter; columns of doubles do not, and are read far more often.
    ragged = any(pa.types.is_large_list(field.type) for field in table.schema)
    pq.write_table(
        table.replace_schema_metadata(metadata),
        sink,
        compression="zstd" if ragged else "none",
        use_dictionary=False,
        write_statistics=False,
    )
    return _sealed(np.frombuffer(sink.getvalue(), dtype=np.uint8))


def _footer_start(data: NDArray[np.uint8]) -> int:
    """Where the footer of a Parquet file begins: its length stands before the last four bytes."""
    return len(data) - 8 - int.from_bytes(data[-8:-4].tobytes(), "little")


def _digest(*parts: NDArray[np.uint8]) -> NDArray[np.uint8]:
    hasher = hashlib.blake2b(digest_size=_SEAL_BYTES)
    for part in parts:
        hasher.update(np.ascontiguousarray(part).data)
    return np.frombuffer(hasher.digest(), dtype=np.uint8)


def _sealed(data: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A Parquet file with a digest of all of it before its footer, where readers do not look.

    Parquet's own checksums leave the headers of pages and the footer out.
    """
    start = _footer_start(data)
    return np.concatenate([data[:start], _digest(data), data[start:]])


def _is_whole(data: NDArray[np.uint8]) -> bool:
    """Whether the bytes are those that :func:`_sealed` gave."""
    seal = (_footer_start(data) if len(data) > 8 else 0) - _SEAL_BYTES
    if seal < 0:
        return False
    pages, found, footer = np.split(data, [seal, seal + _SEAL_BYTES])
    return np.array_equal(found, _digest(pages, footer))


def write_atomically(path: Path, data: NDArray[np.uint8]) -> None:
    """Write bytes so that `path` is whole or absent, whatever happens in between."""
    with atomically(path) as partial:
        partial.write_bytes(data.data)


# --------------------------------------------------------------------------- reading


def _open(data: NDArray[np.uint8]) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    return pq.ParquetFile(pa.BufferReader(pa.py_buffer(data)))


def block_info(data: NDArray[np.uint8]) -> BlockInfo:
    """Return the description that the file in these bytes holds of itself."""
    return _info(_open(data).schema_arrow)


def _info(schema: Any) -> BlockInfo:
    info = json.loads(schema.metadata[_METADATA])
    return BlockInfo(**{**info, "blocks": tuple(info["blocks"])})


def read_info(path: Path) -> BlockInfo | None:
    """The same from a file's footer; None when there is none to be read.

    Of a damaged file it may be wrong: :func:`load_verified` tells.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return _info(pq.read_schema(path))
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError):
        return None


def load_verified(path: Path) -> NDArray[np.uint8] | None:
    """Bytes of a block file that is as it was written; None when it is missing or damaged."""
    try:
        data = np.fromfile(path, dtype=np.uint8)
    except OSError:
        return None
    return data if _is_whole(data) else None


def by_shard(layout: Sequence[int], files: Sequence[NDArray[np.uint8]]) -> list[Sequence[NDArray[np.uint8]]]:
    """Group a flat list of files: `layout` says how many each shard has."""
    ends = np.cumsum(layout)
    return [files[end - count : end] for end, count in zip(ends, layout, strict=True)]


def read_matrix(shards: Sequence[Sequence[NDArray[np.uint8]]], columns: Sequence[str]) -> NDArray[np.float64]:
    """Columns of all frames, float64, (frames, columns): each shard is one or more files."""
    return np.concatenate([_read_shard(files, columns) for files in shards])


def _read_shard(files: Sequence[NDArray[np.uint8]], columns: Sequence[str]) -> NDArray[np.float64]:
    found: dict[str, Any] = {}
    for data in files:
        file = _open(data)
        names = set(file.schema_arrow.names)  # pyarrow builds the schema anew each time it is asked
        here = [c for c in columns if c not in found and c in names]
        if here:
            table = file.read(columns=here, use_threads=False)
            found.update({name: table.column(name).to_numpy() for name in here})
    return np.column_stack([found[c] for c in columns])


def read_rows(files: Sequence[NDArray[np.uint8]], columns: Sequence[str], n: int) -> NDArray[np.float64]:
    """Columns of a network's block, float64, (n, columns): NaN in rows that it does not hold."""
    matrix = np.full((n, len(columns)), np.nan)
    for data in files:
        rows, values = read_sparse(data, columns)
        matrix[rows] = values
    return matrix


def read_sparse(
    data: NDArray[np.uint8], columns: Sequence[str]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Rows of the data set, (n,), and columns, float64, (n, columns), of one file of a network's block."""
    table = _open(data).read(columns=[_ROW, *columns], use_threads=False)
    values = np.column_stack([table.column(name).to_numpy() for name in columns])
    return table.column(_ROW).to_numpy(), values.astype(np.float64)


def read_descriptors(
    shards: Sequence[Sequence[NDArray[np.uint8]]], column: str, width: int
) -> list[NDArray[np.uint8]]:
    """Descriptors of all frames: one uint8 array (keypoints, width) a frame."""
    frames: list[NDArray[np.uint8]] = []
    for files in shards:
        file = next(f for f in map(_open, files) if column in f.schema_arrow.names)
        for chunk in file.read(columns=[column], use_threads=False).column(column).chunks:
            values, offsets = chunk.values.to_numpy(), chunk.offsets.to_numpy()
            frames += [values[a:b].reshape(-1, width) for a, b in itertools.pairwise(offsets)]
    return frames
