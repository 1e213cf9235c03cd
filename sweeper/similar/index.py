"""An index of feature vectors: nearest neighbours, exact for few frames, approximate for many.

The library is usearch: a memory-mapped HNSW graph (Malkov and Yashunin, IEEE Trans. Pattern Anal. Mach.
Intell. 42 (2020) 824).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.api import Params
from sweeper.atomic import atomically
from sweeper.data.splits import Rows
from sweeper.evaluate.reducers import FittedReducer, fit_reducer

INDEX_VERSION = 1
"""Raise it when the same features give another index."""

EXACT_ROWS = 20_000
"""Up to so many frames every distance is computed; the graph is for more."""

FIT_ROWS = 50_000
"""Most frames that a reducer is fitted on: drawn from all of them where there are more."""

_CONNECTIVITY, _EXPANSION_ADD, _EXPANSION_SEARCH = 16, 128, 256
_ONE_THREAD_ROWS = 100_000  # threads that add at once make a graph that is another each time
_QUERIES_AT_ONCE = 2048

Chunks = Callable[[], Iterator[tuple[Rows, NDArray[np.float64]]]]
"""Gives rows of the data set, (n,), and their features, (n, d), piece by piece, as often as it is called."""


@dataclass(frozen=True, eq=False)
class FrameIndex:
    """Reduced features of frames, and where the nearest are.

    Attributes
    ----------
    rows : int64, (n,)
        Row of the data set at each position, ascending.
    reducer : FittedReducer
        From features to what distances are taken of.
    graph : usearch.index.Index
    """

    rows: Rows
    reducer: FittedReducer
    graph: Any

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def exact(self) -> bool:
        """Whether every distance is computed."""
        return len(self) <= EXACT_ROWS

    def vectors(self, positions: Rows) -> NDArray[np.float32]:
        """Reduced features at some positions, (n, k)."""
        return np.asarray(self.graph.get(positions.astype(np.uint64)), dtype=np.float32)

    def reduced(self, x: NDArray[np.float64]) -> NDArray[np.float32]:
        """Features (n, d) of other frames as the index holds them, (n, k)."""
        return self.reducer.transform(x).astype(np.float32)

    def nearest(
        self, vectors: NDArray[np.float32], k: int, owner: Rows | None = None, own: Rows | None = None
    ) -> tuple[Rows, NDArray[np.float64]]:
        """Nearest frames of some vectors.

        Parameters
        ----------
        vectors : float32, (q, k)
        k : int
        owner : int64, (n,), optional
            Who each position belongs to.
        own : int64, (q,), optional
            Owner whose positions are left out for each vector.

        Returns
        -------
        positions : int64, (q, k)
            Nearest first, equally near ones by position; −1 where there are no more.
        distances : float64, (q, k)
            Euclidean; infinite where there are no more.
        """
        found = np.full((len(vectors), k), -1, dtype=np.int64)
        distances = np.full((len(vectors), k), np.inf)
        asked = min(len(self), k if owner is None else 2 * k + 1)
        left = np.arange(len(vectors))
        while len(left):
            short = []
            for start in range(0, len(left), _QUERIES_AT_ONCE):
                part = left[start : start + _QUERIES_AT_ONCE]
                near, far = self._search(vectors[part], asked)
                allowed = near >= 0
                if owner is not None and own is not None:
                    allowed &= owner[near] != own[part, None]
                first = np.argsort(~allowed, axis=1, kind="stable")[:, :k]
                there = np.take_along_axis(allowed, first, axis=1)
                width = first.shape[1]
                found[part, :width] = np.where(there, np.take_along_axis(near, first, axis=1), -1)
                distances[part, :width] = np.where(there, np.take_along_axis(far, first, axis=1), np.inf)
                short.append(part[there.sum(axis=1) < k])
            left = np.concatenate(short) if asked < len(self) else left[:0]
            asked = min(len(self), 4 * asked)
        return found, distances

    def _search(self, vectors: NDArray[np.float32], k: int) -> tuple[Rows, NDArray[np.float64]]:
        """Positions and distances, (q, k) each; −1 where the graph led to fewer."""
        matches = self.graph.search(vectors, k, exact=self.exact or k > len(self) // 4, threads=0)
        near = np.asarray(matches.keys).astype(np.int64).reshape(len(vectors), -1)
        squared = np.asarray(matches.distances, dtype=np.float64).reshape(near.shape)
        counts = np.broadcast_to(np.asarray(getattr(matches, "counts", k)), len(vectors))
        missing = np.arange(near.shape[1]) >= counts[:, None]
        near, squared = np.where(missing, -1, near), np.where(missing, np.inf, squared)
        order = np.lexsort((near, squared), axis=-1)
        distances = np.sqrt(np.maximum(np.take_along_axis(squared, order, axis=-1), 0))
        return np.take_along_axis(near, order, axis=-1), distances


def open_index(
    folder: Path | None,
    key: str,
    chunks: Chunks,
    rows: Rows,
    reducer: str,
    params: Params,
    seed: int,
    widths: Sequence[int] = (),
) -> FrameIndex:
    """The index under a key: as it was kept, or built and kept.

    Parameters
    ----------
    folder : Path or None
        Where indexes are kept; one that cannot be written to keeps none.
    key : str
        Names all that the index depends on.
    chunks : callable
    rows : int64, (n,)
        Rows that the chunks give in all, ascending.
    reducer, params, seed, widths
        As :func:`sweeper.evaluate.reducers.fit_reducer` takes them. It is fitted on all frames, on
        :data:`FIT_ROWS` drawn from them where there are more.
    """
    if folder is not None and (kept := _load(folder / key)) is not None:
        return kept
    fitted = fit_reducer(reducer, params, _sample(chunks, rows, seed), seed, widths)
    index = FrameIndex(rows, fitted, _graph(chunks, rows, fitted))
    if folder is not None:
        try:
            _save(folder / key, index)
        except OSError:  # a run folder that others own is still good to look into
            return index
        return _load(folder / key) or index
    return index


def _sample(chunks: Chunks, rows: Rows, seed: int) -> NDArray[np.float64]:
    """Features of all rows, or of so many as reducers are fitted on."""
    chosen = rows
    if len(rows) > FIT_ROWS:
        chosen = np.sort(np.random.default_rng(seed).choice(rows, FIT_ROWS, replace=False))
    return np.concatenate([x[np.isin(part, chosen)] for part, x in chunks()])


def _graph(chunks: Chunks, rows: Rows, reducer: FittedReducer) -> Any:
    from usearch.index import Index

    graph = None
    threads = 1 if len(rows) <= _ONE_THREAD_ROWS else (os.cpu_count() or 1)
    for part, x in chunks():
        vectors = reducer.transform(x).astype(np.float32)
        if graph is None:
            graph = Index(
                ndim=vectors.shape[1],
                metric="l2sq",
                dtype="f32",
                connectivity=_CONNECTIVITY,
                expansion_add=_EXPANSION_ADD,
                expansion_search=_EXPANSION_SEARCH,
            )
        graph.add(np.searchsorted(rows, part).astype(np.uint64), vectors, threads=threads)
    assert graph is not None and len(graph) == len(rows)
    return graph


# --------------------------------------------------------------------------- files


def _save(stem: Path, index: FrameIndex) -> None:
    """Write the graph, then what says that it is whole."""
    with atomically(stem.with_suffix(".usearch")) as partial:
        index.graph.save(str(partial))
    size = stem.with_suffix(".usearch").stat().st_size
    arrays = {name: getattr(index.reducer, name) for name in ("shift", "scale", "projection")}
    with atomically(stem.with_suffix(".npz")) as partial, partial.open("wb") as file:
        given = {name: array for name, array in arrays.items() if array is not None}
        np.savez(file, rows=index.rows, size=np.int64(size), **given)


def _load(stem: Path) -> FrameIndex | None:
    """A kept index, memory-mapped; None when it is missing or not whole."""
    from usearch.index import Index

    graph = stem.with_suffix(".usearch")
    try:
        with np.load(stem.with_suffix(".npz"), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        rows, size = arrays.pop("rows"), int(arrays.pop("size"))
        if graph.stat().st_size != size:
            return None
        mapped = Index.restore(str(graph), view=True)
    except (OSError, ValueError, KeyError, RuntimeError):
        return None
    if mapped is None or len(mapped) != len(rows):
        return None
    mapped.expansion_search = _EXPANSION_SEARCH  # not kept in the file
    return FrameIndex(rows, FittedReducer(**arrays), mapped)
