"""Pipelines of one space in another: those that it has too, as it writes them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sweeper.pipeline import FeaturizerChoice
from sweeper.space.file import load_space, parse_space
from sweeper.space.space import Space

WRITTEN: dict[str, Any] = {
    "featurizers": {
        "glcm": {"distance": {"subsets": [1, 2, 4]}},
        "lbp": {"radius": [1, 2]},
        "histogram": None,
    },
    "combine": {"most": 2},
    "reducers": {"standard": None, "pca": {"components": [3, 5]}},
    "classifiers": {
        "svm": {"C": {"low": 1, "high": 100, "log": True}, "gamma": [0, 0.5]},
        "rf": {"max_depth": ["none", 4], "n_trees": {"low": 9, "high": 18}},
    },
}


def space_of(**changes: Any) -> Space:
    return parse_space({**WRITTEN, **changes}, default_name="s")


@pytest.mark.parametrize("name", ["quick", "diffranet", "networks", "deepfreak", "camsortxs", "thorough", ""])
def test_a_space_has_what_is_drawn_from_it_as_it_is(name: str) -> None:
    space = load_space(name) if name else space_of()
    rng = np.random.default_rng(0)
    for _ in range(60):
        pipeline = space.sample(rng)
        own = space.own(pipeline)
        assert own == pipeline
        assert own is not None
        assert own.id == pipeline.id


def test_every_pipeline_of_a_grid_is_in_it() -> None:
    space = load_space("hits")
    assert all(space.own(pipeline) == pipeline for pipeline in space.grid())


@pytest.mark.parametrize(
    "changes",
    [
        {"featurizers": {"lbp": {"radius": [1, 2]}, "histogram": None}},
        {"featurizers": {**WRITTEN["featurizers"], "glcm": {"distance": {"subsets": [1, 4]}}}},
        {"featurizers": {**WRITTEN["featurizers"], "glcm": {"distance": [[1], [2]]}}},
        {"combine": {"most": 1}},
        {"reducers": ["standard"]},
        {"reducers": {"pca": {"components": [4]}}},
        {"classifiers": ["rf"]},
        {"classifiers": {"svm": {"C": {"low": 20, "high": 30}, "gamma": [0, 0.5]}}},
        {"classifiers": {"svm": {"C": [9], "gamma": [0, 0.5]}}},
        {"classifiers": {"svm": {"C": [10]}}},
        {"intensity": {"bin": 2}},
    ],
)
def test_another_space_does_not_have_it(changes: dict[str, Any]) -> None:
    fixed = {
        "featurizers": {**WRITTEN["featurizers"], "glcm": {"distance": [[1, 2]]}},
        "reducers": {"pca": {"components": 5}},
        "classifiers": {"svm": {"C": 10, "gamma": 0.5}},
    }
    wanted = [pipeline for pipeline in space_of(**fixed).grid() if pipeline.featurizer == "glcm+lbp"]
    assert wanted
    assert all(space_of().own(pipeline) is not None for pipeline in wanted)
    assert all(space_of(**changes).own(pipeline) is None for pipeline in wanted)


def test_it_comes_back_as_the_space_writes_it() -> None:
    """So that a search that proposes it again sees that it is taken."""
    space = space_of(classifiers={"svm": {"C": [1, 8], "gamma": [0]}}, reducers=["standard"])
    pipeline = next(p for p in space.grid() if p.featurizer == "glcm+lbp")
    glcm, lbp = pipeline.features
    other = replace(
        pipeline,
        features=(lbp, FeaturizerChoice("glcm", {**glcm.params, "distance": glcm.params["distance"][::-1]})),
        classifier_params={**pipeline.classifier_params, "C": float(pipeline.classifier_params["C"])},
    )
    assert other.id != pipeline.id
    own = space.own(other)
    assert own is not None
    assert own.id == pipeline.id


def test_true_is_not_one() -> None:
    space = space_of(classifiers={"svm": {"C": [1], "gamma": [0]}}, combine={"most": 1})
    pipeline = next(space.grid())
    assert space.own(replace(pipeline, classifier_params={**pipeline.classifier_params, "C": True})) is None


def test_a_featurizer_twice_is_no_pipeline() -> None:
    space = space_of()
    pipeline = next(p for p in space_of(classifiers=["svm"]).grid() if p.featurizer == "histogram")
    pipeline = replace(pipeline, classifier_params={**pipeline.classifier_params, "C": 3.0, "gamma": 0})
    assert space.own(pipeline) is not None
    assert space.own(replace(pipeline, features=pipeline.features * 2)) is None


def test_a_weight_of_ones_own_frames_comes_and_goes_with_frames_that_help() -> None:
    plain, helped = space_of(), space_of().with_own_weights(helped=True)
    pipeline = plain.sample(np.random.default_rng(0))
    there = helped.own(pipeline)
    assert there is not None and there.classifier_params.pop("own_weight") == 1.0
    heavy = replace(pipeline, classifier_params={**pipeline.classifier_params, "own_weight": 10})
    assert helped.own(heavy) == heavy
    assert plain.own(heavy) == plain.own(pipeline)
