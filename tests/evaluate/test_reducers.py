"""Reducers against linear algebra, the codebook against brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sweeper.evaluate.reducers import REDUCERS, fit_reducer
from sweeper.features.codebook import (
    DESCRIPTORS_AT_MOST,
    encode,
    fit_codebook,
    nearest_centres,
    sample_descriptors,
)


def table(n: int = 60, d: int = 8, seed: int = 0) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) * 10 ** rng.uniform(-3, 5, size=d) + 100


def params(name: str, components: int) -> dict[str, int]:
    return {"components": components} if REDUCERS[name].axes else {}


# --------------------------------------------------------------------------- features to features


def test_none_leaves_features_alone() -> None:
    x = table()
    np.testing.assert_array_equal(fit_reducer("none", {}, x, 0).transform(x), x)


def test_standard_matches_its_definition_on_rows_not_fitted() -> None:
    x = table()
    z = fit_reducer("standard", {}, x[:40], 0).transform(x)
    np.testing.assert_allclose(z, (x - x[:40].mean(axis=0)) / x[:40].std(axis=0), rtol=1e-12)


def test_pca_matches_the_singular_value_decomposition() -> None:
    x = table()
    z = (x - x.mean(axis=0)) / x.std(axis=0)
    _, _, axes = np.linalg.svd(z, full_matrices=False)
    ours = fit_reducer("pca", {"components": 3}, x, 0).transform(x)
    np.testing.assert_allclose(np.abs(ours), np.abs(z @ axes[:3].T), rtol=1e-6, atol=1e-8)


def test_pca_of_a_wide_table_is_seeded() -> None:
    x = np.random.default_rng(0).normal(size=(600, 700))
    one, again = (fit_reducer("pca", {"components": 4}, x, 3).transform(x) for _ in range(2))
    np.testing.assert_array_equal(one, again)


def test_fastica_finds_mixed_sources() -> None:
    rng = np.random.default_rng(0)
    sources = np.column_stack([np.sign(rng.normal(size=2000)), rng.uniform(-1, 1, size=2000)])
    found = fit_reducer("fastica", {"components": 2}, sources @ [[1.0, 0.6], [0.5, 1.0]], 0).transform(
        sources @ [[1.0, 0.6], [0.5, 1.0]]
    )
    match = np.abs(np.corrcoef(found.T, sources.T)[:2, 2:])
    assert match.max(axis=0).min() > 0.99
    np.testing.assert_allclose(found.std(axis=0), 1, rtol=1e-6)


@pytest.mark.filterwarnings("ignore:FastICA did not converge")
@pytest.mark.parametrize("name", ["pca", "fastica"])
def test_more_components_than_there_are_get_cut(name: str) -> None:
    x = table(n=40, d=6)
    assert fit_reducer(name, {"components": 50}, x, 0).transform(x).shape == (40, 6)
    assert fit_reducer(name, {"components": 50}, x[:4], 0).transform(x).shape[1] <= 4


@pytest.mark.filterwarnings("ignore:FastICA did not converge")
@pytest.mark.parametrize("name", REDUCERS)
def test_constant_and_repeated_columns(name: str) -> None:
    x = table()
    x = np.column_stack([x, np.full(len(x), 0.1), np.full(len(x), 1e9), x[:, 0], x[:, 0]])
    reduced = fit_reducer(name, params(name, 20), x, 0).transform(x)
    assert np.isfinite(reduced).all()
    assert np.abs(reduced).max() < (1e12 if name == "none" else 100)
    if name == "standard":
        assert (reduced[:, 8:10] == 0).all()


@pytest.mark.parametrize("name", [n for n in REDUCERS if n != "none"])
def test_a_table_of_constants_becomes_zeros(name: str, recwarn: pytest.WarningsRecorder) -> None:
    x = np.full((10, 3), 0.1)
    reduced = fit_reducer(name, params(name, 2), x, 0).transform(x)
    assert reduced.shape[1] >= 1
    assert (reduced == 0).all()
    assert not recwarn


@pytest.mark.parametrize("name", REDUCERS)
def test_rows_outside_the_fit_have_no_influence(name: str) -> None:
    x = table()
    other = x.copy()
    other[40:] *= -7
    one = fit_reducer(name, params(name, 3), x[:40], 5).transform(x[:40])
    np.testing.assert_array_equal(one, fit_reducer(name, params(name, 3), other[:40], 5).transform(x[:40]))


def test_bad_names_and_values_are_named() -> None:
    x = table()
    with pytest.raises(ValueError, match="reducer must be one of none, standard, pca, fastica, got 'umap'"):
        fit_reducer("umap", {}, x, 0)
    with pytest.raises(ValueError, match="pca: components must be a whole number from 1 to 1000, got 0"):
        fit_reducer("pca", {"components": 0}, x, 0)
    with pytest.raises(ValueError, match="standard: unknown parameter 'components'"):
        fit_reducer("standard", {"components": 3}, x, 0)


# --------------------------------------------------------------------------- codebook


def descriptors(n: int, seed: int = 0, width: int = 128) -> NDArray[np.uint8]:
    """Like SIFT's: norm near 512, mostly small values."""
    rng = np.random.default_rng(seed)
    raw = rng.gamma(0.5, size=(20, width))[rng.integers(20, size=n)] * rng.gamma(4, 0.25, size=(n, width))
    return np.rint(512 * raw / np.linalg.norm(raw, axis=1, keepdims=True)).clip(0, 255).astype(np.uint8)


def squared_distances(x: NDArray[np.uint8], centres: NDArray[np.float32]) -> NDArray[np.float64]:
    return np.square(x.astype(np.float64)[:, None] - centres.astype(np.float64)[None]).sum(axis=2)


@pytest.mark.parametrize("clusters", [1, 7, 30])
def test_nearest_centres_are_those_of_brute_force(clusters: int) -> None:
    x = descriptors(400)
    centres = fit_codebook(x, clusters, 0)
    np.testing.assert_array_equal(nearest_centres(x, centres), squared_distances(x, centres).argmin(axis=1))


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10_000), st.integers(1, 40), st.integers(1, 12))
def test_nearest_of_any_bytes_and_ties(seed: int, n: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 3, size=(n, 4)).astype(np.uint8)
    centres = rng.integers(0, 3, size=(k, 4)).astype(np.float32)
    np.testing.assert_array_equal(nearest_centres(x, centres), squared_distances(x, centres).argmin(axis=1))


def test_a_codebook_is_a_fixed_point_of_k_means_or_near_it() -> None:
    x = descriptors(3000)
    centres = fit_codebook(x, 20, 0)
    nearest = squared_distances(x, centres).argmin(axis=1)
    spread = np.square(x - centres[nearest]).sum(axis=1).mean()
    again = np.stack([x[nearest == c].mean(axis=0) for c in range(20)])
    better = squared_distances(x, again.astype(np.float32)).min(axis=1).mean()
    assert better > 0.995 * spread


def test_a_codebook_is_as_good_as_scikit_learns() -> None:
    from sklearn.cluster import KMeans

    x = descriptors(2000)
    reference = np.mean(
        [KMeans(40, n_init=1, random_state=s).fit(x.astype(float)).inertia_ for s in range(3)]
    )
    ours = np.mean([squared_distances(x, fit_codebook(x, 40, s)).min(axis=1).sum() for s in range(3)])
    assert ours < 1.02 * reference


def test_many_clusters_start_from_distinct_descriptors() -> None:
    x = descriptors(4000)
    centres = fit_codebook(x, 600, 0)
    assert centres.shape == (600, 128)
    assert centres.dtype == np.float32
    assert len(np.unique(nearest_centres(x, centres))) > 550


def test_the_seed_decides() -> None:
    x = descriptors(1500)
    np.testing.assert_array_equal(fit_codebook(x, 12, 4), fit_codebook(x, 12, 4))
    assert not np.array_equal(fit_codebook(x, 12, 4), fit_codebook(x, 12, 5))
    np.testing.assert_array_equal(fit_codebook(x, 12, 2**40), fit_codebook(x, 12, 2**40))


def test_fewer_distinct_descriptors_than_clusters() -> None:
    x = np.repeat(descriptors(6), 10, axis=0)
    centres = fit_codebook(x, 25, 0)
    np.testing.assert_array_equal(centres, np.unique(x, axis=0).astype(np.float32))
    histograms = encode([x[:10], x[10:30]], centres, 25)
    assert histograms.shape == (2, 25)
    assert (histograms[:, 6:] == 0).all()
    assert sorted(histograms[0])[-1] == 1.0
    assert sorted(histograms[1])[-2:] == [0.5, 0.5]


def test_no_descriptors_at_all() -> None:
    nothing = np.zeros((0, 128), dtype=np.uint8)
    centres = fit_codebook(sample_descriptors([nothing, nothing], 10, 0), 10, 0)
    assert centres.shape == (0, 128)
    np.testing.assert_array_equal(encode([nothing, descriptors(3)], centres, 10), np.zeros((2, 10)))


def test_histograms_count_words() -> None:
    x = descriptors(300)
    centres = fit_codebook(x, 10, 0)
    frames = [x[:100], x[:0], x[100:101], x[101:300]]
    histograms = encode(frames, centres, 12)
    nearest = squared_distances(x, centres).argmin(axis=1)
    np.testing.assert_allclose(histograms[0, :10], np.bincount(nearest[:100], minlength=10) / 100)
    np.testing.assert_allclose(histograms[3, :10], np.bincount(nearest[101:], minlength=10) / 199)
    assert (histograms[1] == 0).all()
    np.testing.assert_allclose(histograms.sum(axis=1), [1, 0, 1, 1])


def test_a_frame_has_the_same_row_alone_and_among_others() -> None:
    x = descriptors(2000)
    centres = fit_codebook(x, 50, 0)
    frames = np.split(x, 20)
    together = encode(frames, centres, 50)
    alone = np.concatenate([encode([frame], centres, 50) for frame in frames])
    np.testing.assert_array_equal(together, alone)


def test_sampling_keeps_order_limit_and_seed() -> None:
    counts = np.random.default_rng(0).integers(0, 4000, size=60)
    frames, start = [], 0
    for count in counts:  # each descriptor spells its own number
        number = np.arange(start, start + count, dtype=np.uint32)
        frames.append(number.view(np.uint8).reshape(-1, 4))
        start += count
    assert start > DESCRIPTORS_AT_MOST
    drawn = sample_descriptors(frames, 10, 3)
    number = drawn.copy().view(np.uint32).ravel()
    assert len(number) == DESCRIPTORS_AT_MOST
    assert (np.diff(number.astype(np.int64)) > 0).all()
    np.testing.assert_array_equal(drawn, sample_descriptors(frames, 10, 3))
    assert len(sample_descriptors(frames, 5500, 3)) == min(start, 20 * 5500)
    few = sample_descriptors(frames[:3], 10, 3)
    np.testing.assert_array_equal(few, np.concatenate(frames[:3]))


def test_clusters_below_one_are_refused() -> None:
    with pytest.raises(ValueError, match="clusters must be at least 1, got 0"):
        fit_codebook(descriptors(10), 0, 0)


def test_representations_side_by_side_are_reduced_each_by_its_own_fit() -> None:
    rng = np.random.default_rng(0)
    wide, narrow = rng.normal(size=(40, 30)), rng.normal(5, 3, size=(40, 2))
    x = np.hstack([wide, narrow])
    for name, params in (
        ("none", {}),
        ("standard", {}),
        ("pca", {"components": 3}),
        ("fastica", {"components": 2}),
    ):
        whole = fit_reducer(name, params, x, 7, widths=(30, 2))
        parts = [fit_reducer(name, params, part, 7) for part in (wide, narrow)]
        expected = np.hstack([one.transform(part) for one, part in zip(parts, (wide, narrow), strict=True)])
        np.testing.assert_allclose(whole.transform(x), expected, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(
        fit_reducer("pca", {"components": 3}, wide, 7, widths=(30,)).transform(wide),
        fit_reducer("pca", {"components": 3}, wide, 7).transform(wide),
    )
