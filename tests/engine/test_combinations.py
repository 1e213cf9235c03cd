"""A sweep whose featurizers stand side by side, and all that takes its pipelines: one grid, from all sides.

A texture descriptor, a histogram, a bag of visual words and a network, up to three of them together.
"""

from __future__ import annotations

import itertools
import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

import sweeper
from sweeper import plugins
from sweeper.data.prepared import raw_frame
from sweeper.evaluate.folds import fit_and_score
from sweeper.explain import explain
from sweeper.pipeline import Pipeline
from sweeper.report import write_report
from sweeper.runs.curves import learning_curves
from sweeper.runs.data import run_data
from sweeper.runs.folder import RunFolder
from sweeper.runs.records import Scored
from sweeper.similar import Search
from sweeper.similar.features import Features, feature_table, features_of

Cli = Callable[..., subprocess.CompletedProcess[str]]

SPACE = """
featurizers:
  glcm: {distance: {subsets: [1, 2]}, angle_deg: [[0, 90]]}
  histogram:
  sift: {clusters: 8}
  lenet: {size: 32, batch_size: 8, learning_rate: 0.003, momentum: 0.9, epochs: 2}
combine: {most: 3}
reducers:
  pca: {components: 3}
classifiers:
  rf: {n_trees: 15}
"""
NAMES = ("glcm", "histogram", "sift", "lenet")
SETS = {"+".join(s) for k in (1, 2, 3) for s in itertools.combinations(NAMES, k)}
PIPELINES = (3 + 1 + 1 + 1) + (3 * 3 + 3) + (3 * 3 + 1)


@pytest.fixture(scope="module")
def arguments(textures: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[object, ...]:
    folder = tmp_path_factory.mktemp("combined")
    (folder / "space.yaml").write_text(SPACE)
    space = ("--space", folder / "space.yaml", "--search", "grid", "--folds", 2, "--seed", 3)
    return (textures, *space, "--out", folder / "run")


@pytest.fixture(scope="module")
def run(run_here: Cli, arguments: tuple[object, ...]) -> Path:
    done = run_here("run", *arguments)
    assert done.returncode == 0, done.stderr
    return Path(str(arguments[-1]))


@pytest.fixture(scope="module")
def board(run: Path) -> pd.DataFrame:
    board = pd.read_csv(run / "leaderboard.csv")
    return board[board.featurizer != "ensemble"]


def pipelines(run: Path) -> dict[int, Pipeline]:
    results = RunFolder(run).results()
    return {trial: results.pipeline(trial) for trial in results.trials}


def a_trial(run: Path, featurizer: str) -> int:
    return next(trial for trial, pipeline in pipelines(run).items() if pipeline.featurizer == featurizer)


def matrix(features: Features) -> NDArray[np.float64]:
    """Features of all frames."""
    rows, values = zip(*features.chunks(), strict=True)
    assert np.concatenate(rows).tolist() == list(range(36))
    return np.concatenate(values)


def test_every_set_stands_on_the_leaderboard(run: Path, board: pd.DataFrame) -> None:
    assert len(board) == PIPELINES
    assert set(board.featurizer) == SETS
    assert (board.status == "done").all()
    opened = sweeper.open_run(run)
    assert len(opened.leaderboard(best_per="featurizer")) == len(SETS) + 1  # and the ensemble
    assert {p.featurizer for p in pipelines(run).values()} == SETS


def test_blocks_codebooks_and_networks_are_made_once_for_all_sets(run: Path) -> None:
    session = json.loads(RunFolder(run).sessions.read_text().splitlines()[0])
    glcm, histogram, sift, per_fold = 2 * 2, 1, 1, 2 * 2  # a codebook and a network in each of two folds
    assert session["blocks_computed"] == glcm + histogram + sift + per_fold


def test_running_again_computes_nothing(run_here: Cli, arguments: tuple[object, ...], run: Path) -> None:
    before = (run / "leaderboard.csv").read_bytes()
    done = run_here("run", *arguments)
    assert done.returncode == 0, done.stderr
    assert f"0 evaluations computed, {2 * PIPELINES} from the journal" in done.stdout
    assert (run / "leaderboard.csv").read_bytes() == before


def test_scores_are_those_of_the_columns_side_by_side(run: Path) -> None:
    """Every pipeline again from its blocks, read and fitted without the engine."""
    folder = RunFolder(run)
    data, results, seed = run_data(folder), folder.results(), folder.load_spec().seed
    split = data.splits[0]
    for trial, pipeline in pipelines(run).items():
        features = features_of(folder, data, pipeline)
        x = matrix(features)
        assert x.shape == (36, sum(features.widths))
        again = fit_and_score(
            pipeline, x, data.dataset.labels, split.train, split.validation, n_classes=3, budget=1.0,
            seed=seed, threads=1, classifier=plugins.classifier("rf"), widths=features.widths,
        )  # fmt: skip
        outcome = next(e.outcome for e in results.evaluations(trial) if e.fold == 0)
        assert isinstance(outcome, Scored)
        assert again.confusion == outcome.confusion
        assert again.metrics == outcome.metrics


def test_features_of_another_frame_are_those_of_all_featurizers(run: Path, board: pd.DataFrame) -> None:
    folder, data = RunFolder(run), run_data(RunFolder(run))
    kept = json.loads(folder.best_networks.read_text())["trials"]
    assert [entry["featurizer"] for entry in kept] == ["lenet"]
    with_network = board[board.featurizer.str.contains("lenet")].iloc[0]
    assert kept[0]["trial"] == with_network.trial
    for trial in (a_trial(run, "glcm+histogram+sift"), int(with_network.trial)):
        pipeline = pipelines(run)[trial]
        features = features_of(folder, data, pipeline)
        x = matrix(features)
        frame = raw_frame(data.dataset.ref(5)).prepared(pipeline.intensity)
        np.testing.assert_allclose(features.compute(frame), x[5], rtol=1e-4, atol=1e-5)
        table = feature_table(folder, pipeline)
        assert list(table.columns) == features.columns
        assert len(set(features.columns)) == len(features.columns)


def test_a_set_can_be_searched_for_similar_frames(run: Path) -> None:
    search = Search(run, representation="glcm+sift", keep=False)
    assert search.representation.split()[0] == "glcm+sift"
    found = search.find("coarse/000.tif", top=3)
    assert len(found.frames) == 3
    assert "coarse/000.tif" not in [frame.frame for frame in found.frames]
    with_network = Search(run, representation="glcm+lenet", keep=False).precision(k=3)
    assert with_network.fold == 0 and sum(c.queries for c in with_network.classes) == 18


def test_its_network_is_explained(run: Path, textures: Path, tmp_path: Path) -> None:
    explained = explain(run, [textures / "fine" / "003.tif"], tmp_path / "out")
    assert len(explained.rows) == 1
    assert (tmp_path / "out" / explained.rows[0].png).exists()


def test_its_network_has_a_learning_curve(run: Path, board: pd.DataFrame) -> None:
    results = RunFolder(run).results()
    curves = learning_curves(results, trial=a_trial(run, "glcm+lenet"))
    assert set(curves.fold) == {"0", "1"} and set(curves.epoch) == {1, 2}
    best = board[board.featurizer.str.contains("lenet")].accuracy.max()
    assert curves.score.tolist() == pytest.approx([best] * len(curves))


def test_a_report_shows_the_sets(run: Path, tmp_path: Path) -> None:
    html, _ = write_report(run, "run", tmp_path / "report.html")
    assert "glcm+histogram+sift" in html.read_text()


def test_a_plan_counts_the_sets(run: Path, textures: Path) -> None:
    planned = sweeper.plan(textures, space=str(run.parent / "space.yaml"), folds=2)
    assert planned.grid.pipelines == planned.grid.representations == PIPELINES
    assert f"  up to 3 featurizers side by side: {PIPELINES} representations" in str(planned).splitlines()
    assert {f.name: f.blocks for f in planned.features.featurizers} == {"glcm": 4, "histogram": 1, "sift": 1}
