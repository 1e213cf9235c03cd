"""Blocks as Parquet: round trips, projections, damage that is noticed, files that are whole or absent."""

from __future__ import annotations

import dataclasses
import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweeper.api import Axis, Featurizer, Interval, OneOf, Params
from sweeper.features import blocks
from sweeper.features.blocks import BlockInfo


def _columns(params: Params) -> tuple[str, ...]:
    return tuple(f"c{i}" for i in range(params["width"]))


DENSE = Featurizer(
    name="dense",
    version=1,
    source="a table for tests",
    axes=(
        Axis("width", Interval(1, 9, integer=True), default=(1,), many=True),
        Axis("kind", OneOf("a", "b"), default="a"),
    ),
    columns=_columns,
    compute=lambda frame, wanted: [],
)
RAGGED = dataclasses.replace(
    DENSE,
    name="ragged",
    axes=(Axis("scale", OneOf(1, 2), default=1),),
    codebook=Axis("clusters", Interval(2, 5000, integer=True), default=10),
    descriptor_width=4,
)
WIDE = [{"width": 2, "kind": "a"}, {"width": 3, "kind": "b"}]


def dense_file(values: np.ndarray, block_list: list[dict[str, Any]] = WIDE) -> np.ndarray:
    """Bytes of a file with these blocks, their columns side by side in `values`, (frames, columns)."""
    widths = [b["width"] for b in block_list]
    cuts = np.cumsum(widths)[:-1]
    rows = [np.split(row, cuts) for row in values]
    names = tuple(blocks.block_name(DENSE.name, b) for b in block_list)
    table = blocks.dense_table(DENSE, block_list, rows)
    return blocks.to_parquet(table, BlockInfo(names, len(values), 1.25, 2.5))


@pytest.fixture(scope="module")
def values() -> np.ndarray:
    rng = np.random.default_rng(0)
    table = rng.normal(size=(16, 5)) * 10.0 ** rng.integers(-300, 300, size=(16, 5))
    table[3] = [np.nan, np.inf, -np.inf, -0.0, 5e-324]
    return table


COLUMNS = [
    "dense.c0[width=2,kind=a]", "dense.c1[width=2,kind=a]",
    "dense.c0[width=3,kind=b]", "dense.c1[width=3,kind=b]", "dense.c2[width=3,kind=b]",
]  # fmt: skip


def test_numbers_come_back_bit_for_bit(values: np.ndarray) -> None:
    data = dense_file(values)
    assert data.dtype == np.uint8
    back = blocks.read_matrix([[data]], COLUMNS)
    assert back.tobytes() == values.tobytes()
    assert blocks.block_info(data) == BlockInfo(
        ("dense[width=2,kind=a]", "dense[width=3,kind=b]"), 16, 1.25, 2.5
    )


@given(st.lists(st.sampled_from(range(5)), min_size=1, max_size=8), st.integers(1, 15))
@settings(deadline=None, max_examples=30)
def test_any_columns_in_any_order_from_any_shards(chosen: list[int], cut: int) -> None:
    table = np.arange(80, dtype=np.float64).reshape(16, 5)
    shards = [
        [dense_file(table[:cut])],
        [dense_file(table[cut:, :2], WIDE[:1]), dense_file(table[cut:, 2:], WIDE[1:])],
    ]
    back = blocks.read_matrix(shards, [COLUMNS[i] for i in chosen])
    assert np.array_equal(back, table[:, chosen])


def test_only_what_is_asked_for_is_read(values: np.ndarray) -> None:
    """Pages of other columns may be rubbish: nobody looks at them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    data = dense_file(values).copy()
    group = pq.ParquetFile(pa.BufferReader(pa.py_buffer(data))).metadata.row_group(0)
    for i in (0, 1, 3, 4):
        column = group.column(i)
        data[column.data_page_offset : column.data_page_offset + column.total_compressed_size] = 0xFF
    assert blocks.read_matrix([[data]], COLUMNS[2:3]).tobytes() == values[:, 2:3].tobytes()
    with pytest.raises((OSError, pa.ArrowException)):
        blocks.read_matrix([[data]], COLUMNS[:1])


def ragged_file(frames: list[np.ndarray]) -> np.ndarray:
    table = blocks.dense_table(RAGGED, [{"scale": 2}], [[frame] for frame in frames])
    return blocks.to_parquet(table, BlockInfo(("ragged[scale=2]",), len(frames), 0.0, 0.0))


@given(st.lists(st.integers(0, 5), min_size=1, max_size=12), st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=30)
def test_descriptors_come_back_frame_by_frame(lengths: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    frames = [rng.integers(0, 256, size=(n, 4), dtype=np.uint8) for n in lengths]
    half = len(frames) // 2
    shards = [[ragged_file(part)] for part in (frames[:half], frames[half:]) if part]
    back = blocks.read_descriptors(shards, "ragged[scale=2]", 4)
    assert len(back) == len(frames)
    for there, here in zip(back, frames, strict=True):
        assert there.dtype == np.uint8
        assert np.array_equal(there, here)


def test_a_row_of_another_width_is_refused() -> None:
    with pytest.raises(ValueError, match=r"dense\[width=2,kind=a\]: a row must have 2 values"):
        blocks.dense_table(DENSE, WIDE[:1], [[np.zeros(3)], [np.zeros(3)]])


# --------------------------------------------------------------------------- shards


@given(st.integers(1, 10**8))
def test_shards(n: int) -> None:
    size = blocks.shard_size(n)
    assert 16 <= size <= 4096
    assert size & (size - 1) == 0
    assert size <= blocks.shard_size(n + 1)
    if 16 < size < 4096:  # between 32 and 64 shards, or a few more
        assert 32 <= n / size <= 66


# --------------------------------------------------------------------------- damage


def test_a_whole_file_is_loaded(values: np.ndarray, tmp_path: Path) -> None:
    path = tmp_path / "block.parquet"
    data = dense_file(values)
    blocks.write_atomically(path, data)
    loaded = blocks.load_verified(path)
    assert loaded is not None
    assert np.array_equal(loaded, data)
    assert blocks.read_info(path) == blocks.block_info(data)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert blocks.load_verified(tmp_path / "none.parquet") is None
    assert blocks.read_info(tmp_path / "none.parquet") is None


@given(st.floats(0, 1, exclude_max=True))
@settings(deadline=None, max_examples=40)
def test_a_truncated_file_is_noticed(tmp_path_factory: pytest.TempPathFactory, share: float) -> None:
    data = dense_file(np.arange(80, dtype=np.float64).reshape(16, 5))
    path = tmp_path_factory.mktemp("cut") / "block.parquet"
    data[: int(share * len(data))].tofile(path)
    assert blocks.load_verified(path) is None


@pytest.mark.parametrize("kind", ["dense", "ragged"])
def test_a_flipped_bit_is_noticed_wherever_it_is(kind: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    if kind == "dense":
        data = dense_file(rng.normal(size=(6, 2)), WIDE[:1])
    else:
        data = ragged_file([rng.integers(0, 256, size=(n, 4), dtype=np.uint8) for n in range(6)])
    path = tmp_path / "block.parquet"
    for position in range(len(data)):
        flipped = data.copy()
        flipped[position] ^= 1 << rng.integers(8)
        flipped.tofile(path)
        assert blocks.load_verified(path) is None, position


def test_other_readers_of_parquet_do_not_mind_the_seal(values: np.ndarray, tmp_path: Path) -> None:
    import pandas as pd
    import pyarrow.dataset as ds

    path = tmp_path / "block.parquet"
    blocks.write_atomically(path, dense_file(values))
    assert pd.read_parquet(path)[COLUMNS].to_numpy().tobytes() == values.tobytes()
    assert ds.dataset(path).to_table().num_rows == len(values)


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1PAR1", b"x" * 500])
def test_what_is_no_parquet(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "block.parquet"
    path.write_bytes(content)
    assert blocks.load_verified(path) is None
    assert blocks.read_info(path) is None


def test_parquet_of_others(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "block.parquet"
    pq.write_table(pa.table({"a": [1.0]}), path)
    assert blocks.load_verified(path) is None
    assert blocks.read_info(path) is None


# --------------------------------------------------------------------------- writing


def test_writing_makes_the_folder_and_replaces(tmp_path: Path) -> None:
    path = tmp_path / "features" / "block.parquet"
    for content in (b"old", b"new content"):
        blocks.write_atomically(path, np.frombuffer(content, dtype=np.uint8))
        assert path.read_bytes() == content
    assert [p.name for p in path.parent.iterdir()] == ["block.parquet"]


@pytest.mark.parametrize("fails", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_file(
    fails: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "block.parquet"
    path.write_bytes(b"old")

    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(*((os, "fsync") if fails == "fsync" else (Path, "replace")), full)
    with pytest.raises(OSError, match=f"{path}: No space left on device"):
        blocks.write_atomically(path, np.zeros(9, dtype=np.uint8))
    assert [p.name for p in tmp_path.iterdir()] == ["block.parquet"]
    assert path.read_bytes() == b"old"


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        blocks.write_atomically(tmp_path / "file" / "block.parquet", np.zeros(9, dtype=np.uint8))
