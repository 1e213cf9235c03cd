"""Spaces whose featurizers stand side by side: what may be written, counted, drawn, and seen as vectors."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import numpy as np
import pytest

from sweeper import plugins
from sweeper.api import Observation
from sweeper.errors import InputError
from sweeper.pipeline import Pipeline
from sweeper.space.file import load_space, parse_space
from sweeper.space.space import Space
from sweeper.space.study import read_study

FEATURIZERS: dict[str, Any] = {
    "glcm": {"distance": {"subsets": [1, 2]}, "angle_deg": [[0, 90]]},
    "lbp": {"points": [8, 16]},
    "histogram": None,
}


def space(most: int = 3, featurizers: Any = None, **changes: Any) -> Space:
    written = {"featurizers": featurizers or FEATURIZERS, "classifiers": {"rf": {"n_trees": [9, 18]}}}
    return parse_space({**written, "combine": {"most": most}, **changes}, default_name="combined")


@pytest.mark.parametrize(
    ("most", "representations"),
    [(1, 3 + 2 + 1), (2, 6 + 3 * 2 + 3 * 1 + 2 * 1), (3, 6 + 11 + 3 * 2 * 1), (9, 6 + 11 + 6)],
)
def test_a_space_counts_the_sets_that_it_walks(most: int, representations: int) -> None:
    combined = space(most)
    walked = list(combined.grid())
    assert combined.representations == representations
    assert len({p.id for p in walked}) == len(walked) == combined.size == 2 * representations
    sizes = [len(p.features) for p in walked]
    assert sizes == sorted(sizes) and sizes[-1] == min(most, 3)
    assert all(p.featurizer in ("glcm+lbp+histogram", "lbp+histogram", "glcm+histogram", "glcm+lbp")
               for p in walked if len(p.features) > 1)  # fmt: skip


def test_without_combining_a_space_is_what_it_was() -> None:
    alone = parse_space(
        {"featurizers": FEATURIZERS, "classifiers": {"rf": {"n_trees": [9, 18]}}}, default_name="alone"
    )
    once, rng, other = space(1), np.random.default_rng(4), np.random.default_rng(4)
    assert [p.id for p in alone.grid()] == [p.id for p in once.grid()]
    assert [alone.sample(rng).id for _ in range(20)] == [once.sample(other).id for _ in range(20)]
    assert alone.encoding().variables == once.encoding().variables
    assert alone.encoding().path_length == once.encoding().path_length


def test_one_two_and_three_are_drawn_equally_often() -> None:
    rng = np.random.default_rng(0)
    drawn = [space().sample(rng) for _ in range(600)]
    counts = Counter(len(p.features) for p in drawn)
    assert all(150 < counts[size] < 250 for size in (1, 2, 3))
    pairs = Counter(p.featurizer for p in drawn if len(p.features) == 2)
    assert len(pairs) == 3 and all(count > 40 for count in pairs.values())


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (3, r"combine must be written as {most: 3}, got 3"),
        ({"most": 2, "least": 1}, "combine must be written as {most: 3}"),
        ({"most": 0}, "combine: most must be a whole number of at least 1, got 0"),
        ({"most": True}, "combine: most must be a whole number of at least 1, got True"),
        ({"most": [2]}, r"combine: most must be a whole number of at least 1, got \[2\]"),
    ],
)
def test_how_many_may_combine_is_checked(written: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        space(combine=written)


def test_set_says_how_many_combine() -> None:
    assert parse_space(read_study("networks").space, default_name="x").most == 1
    changed = read_study("networks", settings=["combine.most=2"]).space
    assert parse_space(changed, default_name="x").most == 2


def test_a_head_has_nothing_beside_its_network() -> None:
    networks = {"glcm": None, "lenet": {"training_set": ["unbalanced", "augmented"]}}
    combined = space(2, networks, classifiers=["rf", "head"], reducers=["none"])
    walked = list(combined.grid())
    assert len(walked) == combined.size == (1 + 2 + 2) + 2
    assert {p.featurizer for p in walked if p.classifier == "head"} == {"lenet"}
    assert "glcm+lenet" in {p.featurizer for p in walked}


def test_a_featurizer_does_not_stand_beside_itself() -> None:
    """A network that is searched trained and pretrained is two alternatives of one featurizer."""
    networks = {"glcm": None, "resnet50": {"training_set": ["unbalanced", "pretrained"]}}
    combined = space(2, networks, classifiers=["rf"])
    walked = list(combined.grid())
    assert len(walked) == combined.size == 1 + 2 + 2
    rng, encoding = np.random.default_rng(1), combined.encoding()
    for _ in range(30):
        pipeline = combined.sample(rng)
        assert len({choice.name for choice in pipeline.features}) == len(pipeline.features)
        assert encoding.decode(np.nan_to_num(encoding.encode(pipeline))) == pipeline


# --------------------------------------------------------------------------- as vectors


def test_every_pipeline_comes_back_from_its_vector() -> None:
    combined = space()
    encoding = combined.encoding()
    for pipeline in combined.grid():
        vector = encoding.encode(pipeline)
        active = encoding.active(np.nan_to_num(vector))
        assert active is not None and (active == ~np.isnan(vector)).all()
        assert encoding.decode(np.nan_to_num(vector)) == pipeline


def test_sets_that_share_featurizers_are_neighbours() -> None:
    combined = space()
    encoding = combined.encoding()
    first: dict[str, Pipeline] = {}
    for pipeline in combined.grid():
        first.setdefault(pipeline.featurizer, pipeline)
    there = [i for i, v in enumerate(encoding.variables) if v.name.count(".") == 1]
    assert [encoding.variables[i].name for i in there] == [f"featurizer.{name}" for name in FEATURIZERS]
    for one, other in itertools.combinations(first.values(), 2):
        differing = (encoding.encode(one)[there] != encoding.encode(other)[there]).sum()
        assert differing == len(set(one.featurizer.split("+")) ^ set(other.featurizer.split("+")))


def test_variables_of_a_featurizer_exist_where_it_is() -> None:
    found = {v.name: (v.levels, v.condition) for v in space().encoding().variables}
    assert found == {
        "featurizer.glcm": (2, None),
        "featurizer.glcm.distance.1": (2, ("featurizer.glcm", 1)),
        "featurizer.glcm.distance.2": (2, ("featurizer.glcm", 1)),
        "featurizer.lbp": (2, None),
        "featurizer.lbp.points": (2, ("featurizer.lbp", 1)),
        "featurizer.histogram": (2, None),
        "classifier.rf.n_trees": (2, None),
    }
    assert space().encoding().path_length == 3 + 2 + 1  # which of three, distances and points, trees
    assert space(2).encoding().path_length == 2 + 2 + 1


def test_no_featurizer_and_too_many_are_no_pipelines() -> None:
    combined = space(2)
    encoding = combined.encoding()
    for there in (0.0, 1.0):
        vector = np.ones(len(encoding.variables))
        vector[[i for i, v in enumerate(encoding.variables) if v.name.count(".") == 1]] = there
        assert encoding.active(vector) is None
        assert encoding.decode(vector) is None


def test_bohb_learns_which_featurizers_are_good_whatever_stands_beside_them() -> None:
    combined = load_space("quick")
    assert combined.most == 3
    proposer = plugins.search("bohb").proposer(combined, 0)
    rng = np.random.default_rng(0)
    seen = []
    for trial in range(60):
        pipeline = combined.sample(rng)
        names = set(pipeline.featurizer.split("+"))
        seen.append(Observation(trial, pipeline, 1.0, ("glcm" in names) - 0.5 * ("lbp" in names)))
    proposals = [proposer.propose(60 + i, set(), seen) for i in range(40)]
    hits = sum(p is not None and p.featurizer in ("glcm", "glcm+histogram") for p in proposals)
    assert hits > 0.5 * 40  # chance is two in nine, a third of all proposals is random by design
