"""Similarity search: distances and precision against brute force, and the command on a real sweep."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sweeper.cli import main
from sweeper.evaluate.reducers import fit_reducer
from sweeper.similar import Search, draw_retrieval, similarity_precision
from sweeper.similar.features import joined
from sweeper.similar.index import EXACT_ROWS, FrameIndex, open_index
from sweeper.similar.precision import precision_at
from tests.conftest import write_textures

Cli = Callable[..., subprocess.CompletedProcess[str]]

CLASSES = ("coarse", "fine", "medium")


def index_of(x: NDArray[np.float64], folder: Path | None = None, reducer: str = "standard") -> FrameIndex:
    """An index of rows 3, 5, 7, ... that arrive in three pieces."""
    rows = 3 + 2 * np.arange(len(x))

    def chunks() -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64]]]:
        for part in np.array_split(np.arange(len(x)), 3):
            if len(part):
                yield rows[part], x[part]

    return open_index(folder, "key", chunks, rows, reducer, {}, seed=0)


def brute_force(
    x: NDArray[np.float64], query: int, k: int, owner: NDArray[np.int64]
) -> tuple[list[int], list[float]]:
    """Nearest positions of other owners, by distance and then position."""
    z = fit_reducer("standard", {}, x, 0).transform(x).astype(np.float32).astype(np.float64)
    distance = np.sqrt(((z - z[query]) ** 2).sum(axis=1))
    allowed = [i for i in np.lexsort((np.arange(len(x)), distance)) if owner[i] != owner[query]][:k]
    return allowed, distance[allowed].tolist()


# --------------------------------------------------------------------------- index


@settings(deadline=None, max_examples=40)
@given(
    n=st.integers(2, 40), d=st.integers(1, 5), k=st.integers(1, 12), owners=st.integers(1, 40),
    seed=st.integers(0, 10**6),
)  # fmt: skip
def test_small_indexes_are_exact(n: int, d: int, k: int, owners: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, owner = rng.normal(size=(n, d)), rng.integers(owners, size=n)
    index = index_of(x)
    assert index.exact
    queries = np.arange(n)
    near, far = index.nearest(index.vectors(queries), k, owner, owner)
    assert near.shape == far.shape == (n, k)
    for query in range(n):
        expected, distance = brute_force(x, query, k, owner)
        found = near[query][near[query] >= 0].tolist()
        assert found == expected
        np.testing.assert_allclose(far[query, : len(found)], distance, rtol=1e-4, atol=1e-5)
        assert np.isinf(far[query, len(found) :]).all()


def test_large_indexes_find_nearly_all_and_are_the_same_each_time() -> None:
    rng = np.random.default_rng(0)
    n = EXACT_ROWS + 1000
    centres = rng.normal(size=(30, 8)) * 3
    x = centres[rng.integers(30, size=n)] + rng.normal(size=(n, 8))
    index, again = index_of(x), index_of(x)
    assert not index.exact
    queries = np.arange(0, n, 300)
    near, far = index.nearest(index.vectors(queries), 10, np.arange(n), queries)
    np.testing.assert_array_equal(near, again.nearest(again.vectors(queries), 10, np.arange(n), queries)[0])
    share = []
    for row, query in enumerate(queries.tolist()):
        expected, _ = brute_force(x, query, 10, np.arange(n))
        share.append(len(set(expected) & set(near[row].tolist())) / 10)
    assert np.mean(share) > 0.98
    assert (np.diff(far, axis=1) >= 0).all()


def test_an_index_is_kept_and_read_again(tmp_path: Path) -> None:
    x = np.random.default_rng(1).normal(size=(50, 4))
    first = index_of(x, tmp_path)
    files = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert set(files) == {"key.npz", "key.usearch"}
    second = index_of(x, tmp_path)
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == files
    np.testing.assert_array_equal(first.rows, second.rows)
    every = np.arange(50)
    np.testing.assert_array_equal(first.vectors(every), second.vectors(every))
    np.testing.assert_array_equal(first.reduced(x), second.reduced(x))


@pytest.mark.parametrize("damage", ["cut", "no graph", "no arrays", "not arrays"])
def test_a_damaged_index_is_built_again(tmp_path: Path, damage: str) -> None:
    x = np.random.default_rng(1).normal(size=(50, 4))
    index_of(x, tmp_path)
    graph, arrays = tmp_path / "key.usearch", tmp_path / "key.npz"
    whole = graph.stat().st_size
    if damage == "cut":
        graph.write_bytes(graph.read_bytes()[: whole // 2])
    elif damage == "not arrays":
        arrays.write_bytes(b"no zip")
    else:
        (graph if damage == "no graph" else arrays).unlink()
    index = index_of(x, tmp_path)
    assert len(index) == 50
    assert graph.stat().st_size == whole and arrays.exists()


def test_the_reducer_is_fitted_on_all_frames_and_distances_are_of_what_it_gives() -> None:
    x = np.random.default_rng(2).normal(size=(30, 6)) * [1, 10, 100, 1, 1, 1] + 5
    index = index_of(x, reducer="pca")
    z = fit_reducer("pca", {}, x, 0).transform(x)
    np.testing.assert_allclose(index.vectors(np.arange(30)), z, rtol=1e-4, atol=1e-5)
    _, far = index.nearest(index.reduced(x[:1]), 30)
    np.testing.assert_allclose(far[0], np.sort(np.linalg.norm(z - z[0], axis=1)), rtol=1e-4, atol=1e-3)


# --------------------------------------------------------------------------- precision


@settings(deadline=None, max_examples=30)
@given(n=st.integers(3, 40), groups=st.integers(2, 12), seed=st.integers(0, 10**6))
def test_precision_is_that_of_brute_force(n: int, groups: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    x, labels, owner = rng.normal(size=(n, 3)), rng.integers(3, size=n), rng.integers(groups, size=n)
    queries = np.flatnonzero(rng.random(n) < 0.7)
    if not len(queries):
        return
    value, count = precision_at(index_of(x), labels, queries, 5, owner, 3)
    shares: dict[int, list[float]] = {0: [], 1: [], 2: []}
    for query in queries.tolist():
        found, _ = brute_force(x, query, 5, owner)
        if found:
            shares[labels[query]].append(float(np.mean(labels[found] == labels[query])))
    for c, expected in shares.items():
        assert count[c] == len(expected)
        assert np.isnan(value[c]) if not expected else value[c] == pytest.approx(np.mean(expected))


def test_features_that_tell_nothing_are_at_chance_and_perfect_ones_at_one() -> None:
    rng = np.random.default_rng(3)
    labels = np.repeat([0, 1, 2], [50, 100, 250])
    every = np.arange(400)
    nothing, _ = precision_at(index_of(rng.normal(size=(400, 4))), labels, every, 10, every, 3)
    np.testing.assert_allclose(nothing, [0.125, 0.25, 0.625], atol=0.06)
    apart = rng.normal(size=(400, 4)) + 50 * labels[:, None]
    perfect, count = precision_at(index_of(apart), labels, every, 10, every, 3)
    assert perfect.tolist() == [1, 1, 1] and count.tolist() == [50, 100, 250]


def test_a_series_of_exposures_does_not_find_itself() -> None:
    """Eight exposures of a sample look alike; samples of a class do not."""
    rng = np.random.default_rng(4)
    sample = np.repeat(np.arange(60), 8)
    labels = (np.arange(60) % 3)[sample]
    x = rng.normal(size=(60, 5))[sample] + 0.01 * rng.normal(size=(480, 5))
    every = np.arange(480)
    index = index_of(x)
    alone, _ = precision_at(index, labels, every, 7, every, 3)
    apart, _ = precision_at(index, labels, every, 7, sample, 3)
    assert alone.min() == 1.0
    assert apart.mean() == pytest.approx(1 / 3, abs=0.12)


# --------------------------------------------------------------------------- a sweep

SPACE = """
featurizers:
  glcm: {angle_deg: [[0, 90]]}
  sift: {clusters: [8]}
reducers:
  none:
  pca: {components: 4}
classifiers:
  rf: {n_trees: [9]}
"""
REPRESENTATIONS = ("glcm", "sift")


@pytest.fixture(scope="module")
def run(run_cli: Cli, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep over textures; 36 frames in groups of three, folder `data` beside it.

    Networks are looked into in ``test_network_sweep``, which has a sweep with some.
    """
    folder = tmp_path_factory.mktemp("similar")
    data = write_textures(folder / "data")
    with (data / "frames.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["path", "label", "group"])
        table.writerows((f"{c}/{i:03}.tif", c, f"{c}-{i // 3}") for c in CLASSES for i in range(12))
    (folder / "space.yaml").write_text(SPACE)
    done = run_cli(
        "run", data / "frames.csv", "--space", folder / "space.yaml", "--out", folder / "run", "--folds", 2,
        "--search", "grid",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder / "run"


@pytest.mark.slow
@pytest.mark.parametrize("representation", REPRESENTATIONS)
def test_a_copy_of_a_frame_is_featurized_as_the_frame_was(
    run: Path, tmp_path: Path, representation: str
) -> None:
    """The engine's blocks and what is computed here agree, for whatever kind of representation."""
    search = Search(run, representation=representation)
    frame = search.examples(per_class=1)[1].query
    copy = shutil.copy(frame.path, tmp_path / "unknown.tif")
    by_copy, by_frame = search.find(str(copy)), search.find(frame.path)
    assert by_copy.label is None and by_frame.label == "fine"
    first, *rest = by_copy.frames
    assert (first.frame, first.path) == (frame.name, frame.path)
    assert first.distance < 1e-3 * rest[-1].distance
    assert [f.frame for f in rest] == [f.frame for f in by_frame.frames[:-1]]
    assert [f.rank for f in by_frame.frames] == list(range(1, 11))
    assert frame.name not in [f.frame for f in by_frame.frames]
    assert by_frame.frames == Search(run, representation=representation).find(frame.name).frames


@pytest.mark.slow
@pytest.mark.parametrize("representation", REPRESENTATIONS)
def test_every_frame_is_searched_with_for_precision(run: Path, representation: str) -> None:
    precision = similarity_precision(run, representation)
    assert [c.label for c in precision.classes] == list(CLASSES)
    assert precision.without_groups
    assert sum(c.queries for c in precision.classes) == 36
    assert precision.fold is None
    assert all(0 <= c.precision <= 1 and c.chance == pytest.approx(1 / 3) for c in precision.classes)
    if representation == "glcm":
        assert precision.mean > 0.6  # nine frames of a class are in other groups: 0.9 is the most


@pytest.mark.slow
def test_the_figure_shows_every_class_and_its_neighbours(run: Path, tmp_path: Path) -> None:
    import cv2

    for name in ("figure.png", "figure.pdf"):
        draw_retrieval(run, tmp_path / name, "glcm", per_class=1)
    assert (tmp_path / "figure.pdf").read_bytes().startswith(b"%PDF")
    picture = cv2.imread(str(tmp_path / "figure.png"))
    assert picture is not None
    green = (picture == [0x73, 0x9E, 0x00]).all(axis=2)
    found = Search(run, representation="glcm").examples(per_class=1)
    same = sum(f.label == one.label for one in found for f in one.frames)
    area = 132**2 - 122**2
    assert green.sum() == pytest.approx(same * area + 14 * 14, rel=0.06)


@pytest.mark.slow
def test_the_command_as_people_run_it(run: Path, run_cli: Cli, tmp_path: Path) -> None:
    done = run_cli(
        "similar", run, "fine/002.tif", "--top", 3, "--representation", "glcm", "--csv", tmp_path / "a.csv",
        "--out", tmp_path / "pictures", "--precision",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "representation: glcm angle_deg=0,90" in done.stdout
    assert "frame: fine/002.tif, class fine" in done.stdout
    assert "precision@3" in done.stdout and "own group left out" in done.stdout
    table = pd.read_csv(tmp_path / "a.csv")
    assert table.columns.tolist() == ["rank", "frame", "label", "distance", "path", "index"]
    assert table["rank"].tolist() == [1, 2, 3] and table.distance.is_monotonic_increasing
    assert (tmp_path / "pictures" / "similar.png").stat().st_size > 10_000
    kept = sorted((run / "similar").iterdir())
    assert {path.suffix for path in kept} == {".npz", ".usearch"}


@pytest.mark.slow
def test_frames_of_the_own_group_can_be_left_out(run: Path) -> None:
    search = Search(run, representation="glcm")
    names = [f.frame for f in search.find("fine/004.tif", 35).frames]
    apart = [f.frame for f in search.find("fine/004.tif", 35, other_groups=True).frames]
    assert len(names) == 35 and len(apart) == 33
    assert [name for name in names if name not in ("fine/003.tif", "fine/005.tif")] == apart


@pytest.mark.slow
def test_a_representation_is_chosen_by_rank_or_by_words(run: Path) -> None:
    board = pd.read_csv(run / "leaderboard.csv")
    for row in board[board.featurizer != "ensemble"].itertuples():
        assert Search(run, rank=int(str(row.rank))).representation.startswith(str(row.featurizer))
    best = board[board.featurizer != "ensemble"].featurizer.iloc[0]
    assert Search(run).representation.startswith(best)


@pytest.mark.slow
def test_a_run_at_a_url(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(run, tmp_path / "there", ignore=shutil.ignore_patterns("similar"))
    frame = shutil.copy(run.parent / "data" / "fine" / "002.tif", tmp_path / "x.tif")
    for words in REPRESENTATIONS:
        said = []
        for place in (run, f"file://{tmp_path / 'there'}"):
            assert main(["similar", str(place), str(frame), "--representation", words]) == 0
            said.append(capsys.readouterr().out)
        assert said[0] == said[1]
    assert not (tmp_path / "there" / "similar").exists()


BAD = [
    (["nothing.tif"], "nothing.tif: no such file, and no frame of the run is called so; "),
    (["fine/002.tif#7"], "fine/002.tif#7: this frame of the file is none of the run's"),
    (["."], "a frame must be a file, this is a folder"),
    ([], "FRAME must be given, or --precision"),
    (["--precision", "--out", "x"], "--out is for the frames found: FRAME must be given"),
    (["fine/002.tif", "--rank", "99"], "--rank must be that of a pipeline, 1 to "),
    (["fine/002.tif", "--representation", "glmc"], "--representation must be one of the leaderboard, "),
    (["fine/002.tif", "--representation", "glcm", "--rank", "1"], "two ways to choose one row"),
    (["fine/002.tif", "--top", "0"], "must be a whole number of at least 1, got '0'"),
    (["fine/002.tif", "--csv", "no/folder/x.csv"], "--csv no/folder/x.csv: its folder must exist"),
    (["fine/002.tif", "--out", "{data}/new"], "must not be inside the folder of frames"),
    (["fine/002.tif", "--out", "pyproject.toml"], "--out pyproject.toml: must be a folder"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("arguments", "said"), BAD)
def test_bad_input_is_said_in_one_line(
    run: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    arguments = [argument.format(data=run.parent / "data") for argument in arguments]
    assert main(["similar", str(run), *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("sweeper: ") and error.count("\n") == 1
    assert said in error


@pytest.mark.slow
def test_what_is_missing_from_a_run_is_said(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "copy", ignore=shutil.ignore_patterns("similar")))
    for path in (copy / "features").glob("glcm-*"):
        path.write_bytes(path.read_bytes()[:-100])
    frame = "fine/002.tif"
    assert main(["similar", str(copy), frame, "--representation", "glcm"]) == 2
    assert "the blocks of glcm must be here, some are missing or damaged" in capsys.readouterr().err
    environment = json.loads((copy / "environment.json").read_text())
    (copy / "environment.json").write_text(json.dumps({**environment, "dataset_digest": "0" * 32}))
    assert main(["similar", str(copy), frame]) == 2
    assert "the data set must be as the sweep saw it" in capsys.readouterr().err
    assert main(["similar", str(tmp_path), frame]) == 2
    assert "no sweep here" in capsys.readouterr().err


# --------------------------------------------------------------------------- several featurizers


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 10**6), streams=st.integers(1, 3))
def test_rows_that_all_streams_have_are_joined_however_they_are_cut(seed: int, streams: int) -> None:
    rng = np.random.default_rng(seed)
    rows = [np.flatnonzero(rng.random(30) < 0.8) for _ in range(streams)]
    values = [rng.normal(size=(30, width)) for width in range(1, streams + 1)]

    def pieces(part: int) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64]]]:
        cuts = np.sort(rng.integers(0, len(rows[part]) + 1, 3))
        for piece in np.split(rows[part], cuts):
            if len(piece):
                yield piece, values[part][piece]

    found = list(joined([pieces(part) for part in range(streams)]))
    common = [r for r in range(30) if all(r in part for part in rows)]
    assert [row for piece, _ in found for row in piece.tolist()] == common
    if common:
        np.testing.assert_array_equal(np.concatenate([x for _, x in found]), np.hstack(values)[common])
