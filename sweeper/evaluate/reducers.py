"""Fits on features inside a fold: scaler, PCA, FastICA.

Every fit sees training rows alone and comes out as one affine map, small to store and quick to apply. Of
features side by side, each representation's columns have a fit of their own, because a few directions of all
columns are those of the widest representation (benchmarks/combine.py).
The codebook, which turns ragged descriptors into rows, comes from :mod:`sweeper.features.codebook`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.api import Axis, Interval, Params


@dataclass(frozen=True)
class FittedReducer:
    """An affine map: ``((x - shift) / scale) @ projection``.

    Attributes
    ----------
    shift, scale : float64, (d,) or None
        None leaves the features as they are.
    projection : float64, (d, k) or None
        None keeps all features.
    """

    shift: NDArray[np.float64] | None = None
    scale: NDArray[np.float64] | None = None
    projection: NDArray[np.float64] | None = None

    def transform(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Features (n, d) to features (n, k), float64."""
        if self.shift is not None and self.scale is not None:
            x = (x - self.shift) / self.scale
        return x if self.projection is None else x @ self.projection


@dataclass(frozen=True)
class Reducer:
    """A family of reducers.

    Attributes
    ----------
    name : str
    version : int
        Raise it when the same rows give another map.
    source : str
        Paper or equation.
    axes : tuple of Axis
    fit : callable
        ``fit(params, x_train, seed)``, x_train (n, d) finite, to a :class:`FittedReducer`.
    """

    name: str
    version: int
    source: str
    axes: tuple[Axis, ...]
    fit: Callable[[Params, NDArray[np.float64], int], FittedReducer]


def _moments(x: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of each column, (d,) and (d,); 1 for a column that is constant."""
    shift = x.mean(axis=0)
    scale = x.std(axis=0)
    # The mean of equal numbers is not always that number: the rounding must not become a feature.
    constant = (x == x[0]).all(axis=0) | (scale <= 10 * np.finfo(np.float64).eps * np.abs(shift))
    shift = np.where((x == x[0]).all(axis=0), x[0], shift)
    return shift, np.where(constant, 1.0, scale)


def _fit_none(params: Params, x_train: NDArray[np.float64], seed: int) -> FittedReducer:
    return FittedReducer()


def _fit_standard(params: Params, x_train: NDArray[np.float64], seed: int) -> FittedReducer:
    shift, scale = _moments(x_train)
    return FittedReducer(shift, scale)


def _fit_pca(params: Params, x_train: NDArray[np.float64], seed: int) -> FittedReducer:
    from sklearn.decomposition import PCA

    shift, scale = _moments(x_train)
    components = min(params["components"], *x_train.shape)
    z = (x_train - shift) / scale
    if not z.any():
        return FittedReducer(shift, scale, np.eye(z.shape[1], 1))
    # The solver for wide tables draws random numbers, hence the seed.
    pca = PCA(components, random_state=seed).fit(z)
    return FittedReducer(shift, scale, np.ascontiguousarray(pca.components_.T))


def _fit_fastica(params: Params, x_train: NDArray[np.float64], seed: int) -> FittedReducer:
    from sklearn.decomposition import FastICA

    shift, scale = _moments(x_train)
    z = (x_train - shift) / scale
    # Whitening divides by the singular values: directions without variance are left out first.
    _, singular, axes = np.linalg.svd(z, full_matrices=False)  # (r,), (r, d)
    rank = int((singular > singular[0] * max(z.shape) * np.finfo(np.float64).eps).sum())
    if rank == 0:
        return FittedReducer(shift, scale, np.eye(z.shape[1], 1))
    kept = axes[: min(params["components"], rank)].T  # (d, k)
    ica = FastICA(kept.shape[1], whiten="unit-variance", random_state=seed).fit(z @ kept)
    return FittedReducer(shift, scale, kept @ ica.components_.T)


def _components(doc: str) -> tuple[Axis, ...]:
    return (Axis("components", Interval(1, 1000, integer=True), default=5, doc=doc),)


REDUCERS: Mapping[str, Reducer] = {
    reducer.name: reducer
    for reducer in (
        Reducer("none", 1, "the features as they are", (), _fit_none),
        Reducer("standard", 1, "zero mean and unit variance of each feature", (), _fit_standard),
        Reducer(
            "pca",
            1,
            "Hotelling, J. Educ. Psychol. 24 (1933) 417; of standardised features, not whitened",
            _components("directions of largest variance; at most the training rows and the features"),
            _fit_pca,
        ),
        Reducer(
            "fastica",
            1,
            "Hyvärinen and Oja, Neural Networks 13 (2000) 411; of standardised features, unit variance",
            _components("independent components; at most the rank of the training rows"),
            _fit_fastica,
        ),
    )
}
"""Reducers by name."""


def fit_reducer(
    name: str, params: Params, x_train: NDArray[np.float64], seed: int, widths: Sequence[int] = ()
) -> FittedReducer:
    """Fit a reducer on training rows.

    Parameters
    ----------
    name : str
        One of :data:`REDUCERS`.
    params : mapping
        Value of each axis; axes left out take their default.
    x_train : float64, (n, d)
        Finite features. PCA and FastICA standardise them first; more components than the data have
        are cut to what there is; a table of constants becomes zeros.
    seed : int
        0 to 2³² − 1.
    widths : sequence of int
        Columns of each representation, where several stand side by side: each has a fit of its own.

    Raises
    ------
    ValueError
        Unknown name, unknown parameter or value outside its axis.
    """
    if name not in REDUCERS:
        raise ValueError(f"reducer must be one of {', '.join(REDUCERS)}, got {name!r}")
    reducer = REDUCERS[name]
    values: dict[str, Any] = {axis.name: axis.default for axis in reducer.axes} | dict(params)
    unknown = sorted(set(values) - {axis.name for axis in reducer.axes})
    if unknown:
        raise ValueError(f"{name}: unknown parameter {unknown[0]!r}")
    for axis in reducer.axes:
        axis.check(name, values[axis.name])
    if len(widths) < 2:
        return reducer.fit(values, x_train, seed)
    parts = np.split(x_train, np.cumsum(widths)[:-1], axis=1)
    return _side_by_side([reducer.fit(values, part, seed) for part in parts])


def _side_by_side(fitted: Sequence[FittedReducer]) -> FittedReducer:
    """Return maps of neighbouring columns as one map of all of them."""
    shifts, scales, projections = (
        [value for one in fitted if (value := getattr(one, name)) is not None]
        for name in ("shift", "scale", "projection")
    )
    return FittedReducer(
        np.concatenate(shifts) if shifts else None,
        np.concatenate(scales) if scales else None,
        _block_diagonal(projections) if projections else None,
    )


def _block_diagonal(blocks: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    whole = np.zeros(np.sum([block.shape for block in blocks], axis=0))
    row = column = 0
    for block in blocks:
        whole[row : row + block.shape[0], column : column + block.shape[1]] = block
        row, column = row + block.shape[0], column + block.shape[1]
    return whole
