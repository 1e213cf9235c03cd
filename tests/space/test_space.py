"""Search spaces: what may be written, how it is counted, sampled and walked."""

from __future__ import annotations

import math

import numpy as np
import pytest
import yaml

from sweeper import plugins
from sweeper.space.domains import Between, Subsets
from sweeper.space.file import load_space, parse_space
from sweeper.space.space import OWN_WEIGHTS
from tests.conftest import TINY_SPACE


def tiny(**changes: object) -> dict[str, object]:
    return {**yaml.safe_load(TINY_SPACE), **changes}


def test_diffranet_is_table_7() -> None:
    space = load_space("diffranet")
    glcm, lbp, sift = (2**5 - 1) * (2**4 - 1), 4 * 3, 8
    forest, svm = 3 * 4 * 7 * 5, 12 * 11 * 5
    assert space.slot_size("featurizer") == glcm + lbp + sift == 485
    assert space.slot_size("classifier") == forest + svm == 1080
    assert space.size == 523_800
    c = space.parts["classifier"][1].domains
    assert sorted(c["C"].grid()) == sorted([1.0, *(2.0**x for x in range(-5, 16, 2))])
    assert sorted(c["gamma"].grid()) == sorted([0.0, *(2.0**x for x in range(-15, 4, 2))])


def test_class_weights_go_by_class_order_and_leave_with_another_number_of_classes() -> None:
    space = load_space("diffranet")
    classes = ("blank", "good", "no-crystal", "strong", "weak")
    weights = list(space.for_classes(classes).parts["classifier"][0].domains["class_weight"].grid())
    assert weights[2] == (0.35, 0.1, 0.35, 0.1, 0.1)  # no-crystal keeps its weight, wherever it stands
    others = ("a", "b", "c", "d", "e")
    assert (0.35, 0.35, 0.1, 0.1, 0.1) in space.for_classes(others).parts["classifier"][0].domains[
        "class_weight"
    ].grid()
    three = space.for_classes(("a", "b", "c"))
    assert list(three.parts["classifier"][1].domains["class_weight"].grid()) == [None, "balanced"]
    assert three.size == 485 * (3 * 4 * 7 * 2 + 12 * 11 * 2)


@pytest.mark.parametrize("name", plugins.space_names())
def test_every_space_loads_samples_and_round_trips(name: str) -> None:
    space = load_space(name)
    assert space.source
    rng = np.random.default_rng(0)
    for _ in range(50):
        pipeline = space.sample(rng)
        assert type(pipeline).from_dict(pipeline.to_dict()) == pipeline


def test_grid_walks_every_pipeline_once() -> None:
    space = parse_space(tiny(), default_name="tiny")
    ids = [pipeline.id for pipeline in space.grid()]
    assert len(ids) == len(set(ids)) == space.size == (3 + 1) * (4 + 6)


def test_sampling_a_subset_is_uniform_over_non_empty_ones() -> None:
    domain = Subsets((1, 2, 4))
    rng = np.random.default_rng(0)
    counts: dict[tuple[int, ...], int] = {}
    for _ in range(7000):
        value = domain.sample(rng)
        counts[value] = counts.get(value, 0) + 1
    assert set(counts) == set(domain.grid())
    assert all(800 < n < 1200 for n in counts.values())


def test_ranges_map_onto_the_unit_interval_and_back() -> None:
    for domain in (Between(0.001, 10.0, log=True), Between(-3.0, 5.0)):
        for u in np.linspace(0, 1, 11):
            assert domain.to_unit(domain.from_unit(float(u))) == pytest.approx(u)
    assert Between(1, 9, integer=True).from_unit(0.5) == 5


def test_a_range_makes_the_space_infinite() -> None:
    space = parse_space(
        tiny(classifiers={"svm": {"C": {"low": 0.1, "high": 100, "log": True}}}), default_name="x"
    )
    assert math.isinf(space.size)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"featurizers": {"glmc": None}}, "unknown featurizer 'glmc'; did you mean 'glcm'?"),
        ({"classifiers": {"forest": None}}, "unknown classifier 'forest'"),
        ({"reducers": ["pcca"]}, "unknown reducer 'pcca'; did you mean 'pca'?"),
        ({"featurizers": {"glcm": {"distances": [1]}}}, "did you mean 'distance'?"),
        ({"featurizers": {"glcm": {"distance": [0]}}}, "glcm: distance must be"),
        ({"featurizers": {"lbp": {"radius": [0]}}}, "lbp: radius = 0 is refused"),
        ({"featurizers": {"glcm": {"distance": {"subsets": [1, 1]}}}}, "lists a value twice"),
        ({"featurizers": {"lbp": {"points": {"subsets": [8]}}}}, "takes one value"),
        ({"classifiers": {"rf": {"n_trees": [0]}}}, "rf: n_trees must be"),
        ({"classifiers": {"rf": {"n_trees": []}}}, "at least one value"),
        ({"classifiers": {"rf": {"class_weight": [[0.5, -1]]}}}, "class_weight must be"),
        ({"classifiers": {"svm": {"C": {"low": 5, "high": 1}}}}, "low < high"),
        ({"featurizers": {}}, "featurizers must name at least one"),
        ({"intensity": {"levls": 8}}, "did you mean 'levels'?"),
        ({"intensity": {"levels": [1]}}, "intensity: levels must be"),
        ({"featurisers": {}}, "did you mean 'featurizers'?"),
    ],
)
def test_a_bad_space_is_refused_with_parameter_rule_and_value(changes: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=r"\A[^\n]*\Z") as raised:
        parse_space(tiny(**changes), default_name="tiny")
    assert said in str(raised.value)


def test_unknown_space_suggests_the_nearest() -> None:
    with pytest.raises(ValueError, match="did you mean 'diffranet'"):
        load_space("difranet")


def test_resampling_stands_in_a_pipeline_only_where_the_space_names_it() -> None:
    """Spaces that do not name it keep the identity of every representation."""
    plain = {"featurizers": {"histogram": {}}, "classifiers": {"rf": {"n_trees": 100}}}
    named = {**plain, "intensity": {"resample": ["none", 256]}}
    spaces = [parse_space(data, default_name="x") for data in (plain, named)]
    assert [{p.intensity.get("resample", "absent") for p in s.grid()} for s in spaces] == [
        {"absent"},
        {None, 256},
    ]


def test_what_a_frame_of_ones_own_counts_is_searched_where_others_help() -> None:
    written = tiny(classifiers={"rf": {"own_weight": [2, 5]}, "svm": {"C": [1, 8]}})
    space = parse_space(written, default_name="tiny")
    helped, plain = space.with_own_weights(helped=True), space.with_own_weights(helped=False)
    assert helped.size / plain.size == (2 + 2 * 5) / (1 + 2)
    weights = {p.classifier: set() for p in helped.grid()}
    for pipeline in helped.grid():
        weights[pipeline.classifier].add(pipeline.classifier_params["own_weight"])
    assert weights == {"rf": {2, 5}, "svm": set(OWN_WEIGHTS)}
    assert not any("own_weight" in p.classifier_params for p in plain.grid())
    assert parse_space(tiny(), default_name="tiny").with_own_weights(helped=False) == parse_space(
        tiny(), default_name="tiny"
    )
    with pytest.raises(ValueError, match="rf: own_weight must be a number from 0"):
        parse_space(tiny(classifiers={"rf": {"own_weight": [0]}}), default_name="tiny")


def test_the_head_of_a_network_cannot_weigh() -> None:
    written = {"featurizers": ["lenet"], "reducers": ["none"], "classifiers": ["head", "svm"]}
    space = parse_space(written, default_name="s").with_own_weights(helped=True)
    assert {p.classifier: "own_weight" in p.classifier_params for p in space.grid()} == {
        "head": False,
        "svm": True,
    }
    with pytest.raises(ValueError, match="head: unknown parameter 'own_weight'"):
        parse_space({**written, "classifiers": {"head": {"own_weight": [1]}}}, default_name="s")
