"""From frames to features: the same numbers computed from frames as read back from block files."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sweeper import plugins
from sweeper.api import Axis, Featurizer, Interval, OneOf, PreparedFrame
from sweeper.data.intensity import prepare
from sweeper.features import blocks as block_files
from sweeper.features.blocks import BlockInfo
from sweeper.features.codebook import encode, fit_codebook
from sweeper.features.names import block_name
from sweeper.features.representation import Descriptors, NetworkFeatures, Words, representation
from sweeper.networks.inputs import input_array
from sweeper.networks.model import untrained
from sweeper.pipeline import FeaturizerChoice, Pipeline

DENSE = Featurizer(
    name="dense",
    version=4,
    source="a table for tests",
    axes=(
        Axis("width", Interval(1, 9, integer=True), default=(1,), many=True),
        Axis("kind", OneOf("a", "b"), default="a"),
    ),
    columns=lambda params: tuple(f"c{i}" for i in range(params["width"])),
    compute=lambda frame, wanted: [],
)
GLCM = {"distance": (1, 2, 4, 5, 8), "angle_deg": (0, 45, 90, 135)}


def pipeline(featurizer: str, classifier: str = "rf", **params: Any) -> Pipeline:
    plugin = plugins.featurizer(featurizer)
    axes = plugin.all_axes
    defaults = {a.name: a.default for a in axes}
    return Pipeline({}, (FeaturizerChoice(featurizer, {**defaults, **params}),), "none", {}, classifier, {})


@pytest.fixture(scope="module")
def frames() -> list[PreparedFrame]:
    rng = np.random.default_rng(0)
    spots = [rng.poisson(20 + 200 * (rng.random((64, 64)) < 0.02)) for _ in range(6)]
    return [prepare(counts.astype(np.uint16), {}) for counts in spots]


def block_file(featurizer: Featurizer, wanted: list[dict[str, Any]], frames: list[PreparedFrame]) -> Any:
    """Bytes of a block file, as a sweep writes it."""
    rows = [featurizer.compute(frame, wanted) for frame in frames]
    names = tuple(block_name(featurizer.name, block) for block in wanted)
    table = block_files.dense_table(featurizer, wanted, rows)
    return block_files.to_parquet(table, BlockInfo(names, len(frames), 1.0, 1.0))


def test_descriptors_are_made_of_the_blocks_of_their_choices() -> None:
    kind = Descriptors({"width": (1, 3), "kind": "b"}, DENSE)
    assert kind.blocks == [{"width": 1, "kind": "b"}, {"width": 3, "kind": "b"}]
    assert kind.block_names == {"dense[width=1,kind=b]", "dense[width=3,kind=b]"}
    assert kind.columns == [
        "dense.c0[width=1,kind=b]",
        *(f"dense.c{i}[width=3,kind=b]" for i in range(3)),
    ]
    glcm = representation(pipeline("glcm", **GLCM), 2)
    assert glcm.versions[0] == plugins.code_digest("featurizer", "glcm")


def test_glcm_has_twenty_blocks_of_seven_columns() -> None:
    kind = representation(pipeline("glcm", **GLCM), 2)
    assert isinstance(kind, Descriptors)
    assert len(kind.blocks) == 20
    assert len(kind.columns) == len(set(kind.columns)) == 140
    assert "glcm.contrast[distance=2,angle_deg=45]" in kind.columns


def test_descriptors_computed_are_those_read(frames: list[PreparedFrame]) -> None:
    """Of a file with all blocks the few that a pipeline asks for, in its order."""
    every = representation(pipeline("glcm", **GLCM), 2)
    some = representation(pipeline("glcm", distance=(4, 2), angle_deg=(90,)), 2)
    assert isinstance(every, Descriptors) and isinstance(some, Descriptors)
    files = [block_file(every.featurizer, every.blocks, part) for part in (frames[:4], frames[4:])]
    np.testing.assert_array_equal(some.read([1, 1], files, len(frames)), some.compute(frames))
    assert some.compute([]).shape == (0, 14)


def test_words_are_counted_in_the_codebook_of_the_training_frames(frames: list[PreparedFrame]) -> None:
    kind = representation(pipeline("sift", clusters=3), 2)
    assert isinstance(kind, Words)
    assert kind.clusters == 3
    assert kind.columns == [f"sift.word{i}[clusters=3]" for i in range(3)]
    descriptors = [kind.featurizer.compute(frame, kind.blocks)[0] for frame in frames]
    fitted = kind.fitted(descriptors[:4], seed=5)
    expected = encode(descriptors, fit_codebook(np.concatenate(descriptors[:4]), 3, 5), 3)
    np.testing.assert_array_equal(fitted.compute(frames), expected)
    with pytest.raises(AssertionError, match="fitted before"):
        kind.compute(frames)


def test_a_network_gives_features_or_what_its_own_head_says(frames: list[PreparedFrame]) -> None:
    choice = {"size": 32, "training_set": "unbalanced"}
    features = representation(pipeline("lenet", **choice), 3)
    logits = representation(pipeline("lenet", "head", **choice), 3)
    assert isinstance(features, NetworkFeatures) and isinstance(logits, NetworkFeatures)
    assert (features.n_logits, logits.n_logits) == (0, 3)
    assert len(logits.columns) == 3
    module: Any = untrained(features.network, features.params, 3, seed=1, weights=None)
    computed = replace(features, module=module).compute(frames)
    assert computed.shape == (len(frames), len(features.columns))
    import torch

    x = torch.from_numpy(np.array([input_array(f, 32) for f in frames], dtype=np.float32))[:, None]
    with torch.inference_mode():
        expected = module(x)
    np.testing.assert_allclose(computed, expected[0].numpy(), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        replace(logits, module=module).compute(frames), expected[1].numpy(), rtol=1e-5, atol=1e-6
    )
    with pytest.raises(AssertionError, match="weights before"):
        features.compute(frames)


def test_features_that_are_not_finite_are_refused(frames: list[PreparedFrame]) -> None:
    kind = representation(pipeline("lenet", size=32, training_set="unbalanced"), 2)
    assert isinstance(kind, NetworkFeatures)
    module: Any = untrained(kind.network, kind.params, 2, seed=1, weights=None)
    for parameter in module.parameters():
        parameter.data.fill_(float("nan"))
    with pytest.raises(ValueError, match="features must be finite"):
        replace(kind, module=module).compute(frames[:1])


def test_versions_name_all_that_decides_the_features() -> None:
    texture = representation(pipeline("glcm", **GLCM), 2)
    words = representation(pipeline("sift", clusters=3), 2)
    network = representation(pipeline("lenet", size=32), 2)
    assert len(texture.versions) == 2
    assert len(words.versions) == 3
    assert len(network.versions) == 4
