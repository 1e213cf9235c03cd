"""Networks in the feature store, without Ray: what fits are keyed by, what is kept, where workers fit."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sweeper.api import PreparedFrame
from sweeper.data.prepared import FrameRef
from sweeper.engine.files import FileActors
from sweeper.engine.network_blocks import NetworkBlocks, NetworkSettings
from sweeper.engine.resources import Resources, workers_at_once
from sweeper.engine.tasks import networks as network_tasks
from sweeper.engine.tasks.networks import prepare_inputs
from sweeper.features.keys import FoldRows
from sweeper.networks.inputs import Inputs
from sweeper.networks.model import model_path
from sweeper.pipeline import Pipeline
from sweeper.space.file import parse_space
from sweeper.space.space import Space

ROWS = np.arange(4)
FOLD = FoldRows(ROWS, "fitted", ROWS, "read", ROWS, "scored", 0)


def space(classifier: str = "head", **lenet: Any) -> Space:
    data = {"featurizers": {"lenet": lenet}, "reducers": ["none"], "classifiers": [classifier]}
    return parse_space(data, default_name="test")


def pipeline(classifier: str = "head", **lenet: Any) -> Pipeline:
    return next(space(classifier, **lenet).grid())


def settings(folder: Path) -> NetworkSettings:
    return NetworkSettings(
        features=folder / "features",
        networks=folder / "networks",
        labels=np.array([0, 1, 0, 1]),
        groups=None,
        classes=("a", "b"),
        seed=0,
        weights={},
        resources=Resources(1, 1.0, 0.0, compile=False, slots=1),
        fractions=(),
        ledger=None,
    )


def blocks(of: NetworkSettings, fold: FoldRows = FOLD) -> NetworkBlocks:
    return NetworkBlocks(of, [], [], {0: fold}, FileActors([], None), {})


def test_a_fit_is_keyed_by_all_that_it_depends_on(tmp_path: Path) -> None:
    base = settings(tmp_path)
    lenet = pipeline(size=32)
    key = blocks(base).fit(lenet, 0).key
    others = [
        blocks(base, replace(FOLD, seed=1)).fit(lenet, 0),
        blocks(replace(base, classes=("a", "b", "c"))).fit(lenet, 0),
        blocks(replace(base, resources=replace(base.resources, workers=2))).fit(lenet, 0),
        blocks(base, replace(FOLD, fit_key="others")).fit(lenet, 0),
        blocks(base).fit(pipeline(size=48), 0),
        blocks(base).fit(pipeline(size=32, patience=2), 0),
        blocks(base).fit(replace(lenet, intensity={**lenet.intensity, "bin": 2}), 0),
    ]
    assert len({key, *(fit.key for fit in others)}) == 1 + len(others)
    same = [
        blocks(base, replace(FOLD, read_key="others", scored_key="others")).fit(lenet, 0),
        blocks(replace(base, resources=replace(base.resources, slots=4))).fit(lenet, 0),
        blocks(replace(base, fractions=(0.5, 1.0))).fit(pipeline("rf", size=32), 0),
    ]
    assert {fit.key for fit in same} == {key}


def test_a_pretrained_network_is_the_same_whatever_the_seed_of_a_rerun(tmp_path: Path) -> None:
    base = replace(settings(tmp_path), weights={"resnet50": ("file", "digest")})
    data = {
        "featurizers": {"resnet50": {"training_set": "pretrained"}},
        "reducers": ["none"],
        "classifiers": ["rf"],
    }
    pretrained = next(parse_space(data, default_name="test").grid())
    again = replace(FOLD, seed=1, rerun=True)
    assert blocks(base).fit(pretrained, 0).key == blocks(base, again).fit(pretrained, 0).key


def test_checkpoints_of_fits_that_the_time_ended_stay(tmp_path: Path) -> None:
    base = settings(tmp_path)
    best, second = (pipeline(size=32, learning_rate=rate) for rate in (0.01, 0.02))
    store = blocks(base)
    for folder, file in (("unfinished", "checkpoint.pt"), ("second", "model-50.safetensors")):
        (base.networks / folder).mkdir(parents=True)
        (base.networks / folder / file).touch()
    model = model_path(store.fit(best, 0).folder, 50)
    model.parent.mkdir()
    model.touch()
    entry = {"trial": 7, "featurizer": "lenet", "score": 0.9}
    store.keep([{**entry, "pipeline": best.to_dict()}])
    assert second != best
    assert {p.name for p in base.networks.iterdir()} == {"best.json", "unfinished", model.parent.name}
    (listed,) = json.loads((base.networks / "best.json").read_text())["trials"]
    assert listed == {**entry, "models": [f"{model.parent.name}/{model.name}"]}


@pytest.mark.parametrize("left", [0, 40, 200])
def test_inputs_that_were_cut_short_are_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: int
) -> None:
    image = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    frame = PreparedFrame(image, image, np.ones((8, 8), dtype=bool), 8)
    monkeypatch.setattr(network_tasks, "prepared_frames", lambda frames, intensity, reader: iter([frame] * 2))
    path = tmp_path / "inputs.npy"
    frames = [FrameRef("a", 0, None), FrameRef("b", 0, None)]
    first = prepare_inputs(frames, {}, 8, path)
    whole = path.read_bytes()
    assert prepare_inputs(frames, {}, 8, path) == first
    path.write_bytes(whole[:left])
    prepare_inputs(frames, {}, 8, path)
    assert path.read_bytes() == whole
    assert Inputs((str(path),), (2,)).size == 8


@pytest.mark.parametrize(
    ("nodes", "cpus", "gpus", "workers"),
    [
        ([{"CPU": 2.0}], 1.0, 0.0, 2),
        ([{"CPU": 4.0}] * 10, 8.0, 0.0, 0),  # 40 cores, and no machine with 8
        ([{"CPU": 4.0, "GPU": 1.0}, {"CPU": 64.0}], 4.0, 1.0, 1),
        ([{"CPU": 16.0, "GPU": 1.0}], 1.0, 0.1, 10),
        ([{"CPU": 8.0, "GPU": 4.0}, {}], 4.0, 1.0, 2),
    ],
)
def test_a_worker_takes_its_share_of_one_machine(
    nodes: list[dict[str, float]], cpus: float, gpus: float, workers: int
) -> None:
    assert workers_at_once(nodes, cpus, gpus) == workers


@pytest.mark.parametrize(
    ("featurizers", "classifiers", "says"),
    [
        ({"resnet50": {"training_set": "pretrained", "epochs": 5}}, ["rf"], "epochs must be left out"),
        ({"lenet": {}}, {"head": {"class_weight": "balanced"}}, "'class_weight'; it has none"),
        ({"resnet50": {"training_set": "pretrained"}}, ["head"], "classifier head is that of a network"),
    ],
)
def test_what_networks_do_not_take_is_refused(featurizers: Any, classifiers: Any, says: str) -> None:
    data = {"featurizers": featurizers, "reducers": ["none"], "classifiers": classifiers}
    with pytest.raises(ValueError, match=says):
        parse_space(data, default_name="test")
