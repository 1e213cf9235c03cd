"""Pipelines as vectors, which searches model."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sweeper.space.file import load_space, parse_space
from sweeper.space.space import Space
from sweeper.testing.searches import endless_space


@pytest.mark.parametrize("name", ["diffranet", "quick", "networks"])
def test_a_pipeline_comes_back_from_its_vector(name: str) -> None:
    space = load_space(name)
    encoding = space.encoding()
    rng = np.random.default_rng(1)
    for _ in range(300):
        pipeline = space.sample(rng)
        vector = encoding.encode(pipeline)
        active = encoding.active(np.nan_to_num(vector))
        assert active is not None
        assert (active == ~np.isnan(vector)).all()
        assert encoding.decode(np.nan_to_num(vector)) == pipeline


def test_continuous_parameters_come_back_up_to_rounding() -> None:
    space = endless_space()
    encoding, rng = space.encoding(), np.random.default_rng(2)
    for _ in range(100):
        pipeline = space.sample(rng)
        again = encoding.decode(np.nan_to_num(encoding.encode(pipeline)))
        assert again is not None
        assert (again.featurizer, again.classifier) == (pipeline.featurizer, pipeline.classifier)
        for name, value in pipeline.classifier_params.items():
            other = again.classifier_params[name]
            assert other == value or math.isclose(other, value, rel_tol=1e-9)


def test_an_empty_subset_is_no_pipeline() -> None:
    space = load_space("diffranet")
    encoding = space.encoding()
    vector = np.nan_to_num(encoding.encode(next(space.grid())))
    distances = [
        i for i, v in enumerate(encoding.variables) if v.name.startswith("featurizer.glcm.distance.")
    ]
    assert len(distances) == 5
    vector[distances] = 0
    assert encoding.active(vector) is None
    assert encoding.decode(vector) is None


def small() -> Space:
    written = {
        "featurizers": {"glcm": {"distance": {"subsets": [1, 2]}}, "histogram": None},
        "classifiers": {"rf": {"n_trees": [10, 30, 90], "class_weight": ["none", "balanced"]}},
    }
    return parse_space(written, default_name="small")


def test_variables_say_what_they_depend_on() -> None:
    found = {v.name: (v.levels, v.condition) for v in small().encoding().variables}
    assert found == {
        "featurizer": (2, None),
        "featurizer.glcm.distance.1": (2, ("featurizer", 0)),
        "featurizer.glcm.distance.2": (2, ("featurizer", 0)),
        "classifier.rf.n_trees": (0, None),
        "classifier.rf.class_weight": (2, None),
    }


def test_the_dimension_is_the_number_of_choices_a_person_counts() -> None:
    assert small().encoding().path_length == 4  # featurizer, distances, trees, weights
    single = parse_space({"featurizers": ["histogram"], "classifiers": ["rf"]}, default_name="single")
    encoding = single.encoding()
    assert encoding.path_length == 1
    assert encoding.variables == ()
    pipeline = next(single.grid())
    assert encoding.encode(pipeline).shape == (0,)
    assert encoding.decode(encoding.encode(pipeline)) == pipeline
