"""Training: recipe, checkpoints, several processes, early stopping, model files, extraction.

Most of it on a network of a few hundred weights; ``python -m tests.networks.test_fit`` trains it in a
process of its own, alone or as one of several.
"""

from __future__ import annotations

import json
import math
import os
import pickle
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from sweeper import plugins
from sweeper.api import Network, NetworkBuild, NetworkModule, PreparedFrame, recipe, size, training_set
from sweeper.errors import DivergedError, OutOfMemoryError
from sweeper.networks import _checkpoint
from sweeper.networks.devices import Device, memory_advice
from sweeper.networks.extract import default_batch_size, extract
from sweeper.networks.fit import Fit, TrainingData
from sweeper.networks.inputs import Inputs, write_inputs
from sweeper.networks.model import ModelInfo, load_model, model_path, read_info, save_weights
from sweeper.networks.schedule import learning_rate
from sweeper.networks.training import train as train_fit
from tests.conftest import REPOSITORY

torch.set_num_threads(1)

SIZE = 16
CPU = Device()


class Tiny(torch.nn.Module):  # type: ignore[misc]
    """Two convolutions, dropout, a head; batch norm where it is asked for."""

    def __init__(self, n_classes: int, norm: bool) -> None:
        super().__init__()
        self.register_buffer("pixel_mean", torch.zeros(1, SIZE, SIZE))
        self.first = torch.nn.Conv2d(1, 6, 3, stride=2, padding=1)
        self.second = torch.nn.Conv2d(6, 8, 3, stride=2, padding=1)
        self.norm = torch.nn.BatchNorm1d(8) if norm else torch.nn.Identity()
        self.dropout = torch.nn.Dropout(0.2)
        self.head = torch.nn.Linear(8, n_classes)

    def maps(self, x: Any) -> Any:
        return torch.relu(self.second(torch.relu(self.first(x - self.pixel_mean))))

    def read(self, maps: Any) -> tuple[Any, Any]:
        features = self.norm(maps.mean(dim=(2, 3)))
        return features, self.head(self.dropout(features))

    def forward(self, x: Any) -> tuple[Any, Any]:
        return self.read(self.maps(x))


def build(given: NetworkBuild) -> NetworkModule:
    module: NetworkModule = Tiny(given.n_classes, given.params.get("norm", False))
    if given.weights is not None:
        module.load_state_dict(torch.load(given.weights, weights_only=True))  # type: ignore[attr-defined]
    return module


TINY = Network(
    name="tiny",
    version=3,
    source="these tests",
    axes=(training_set(), size(SIZE, 4)),
    recipe=recipe(epochs=4, batch_size=8, learning_rate=0.05, momentum=0.9, weight_decay=1e-4),
    width=lambda params: 8,
    build=build,
)
NORMED = replace(TINY, name="normed", build=lambda b: build(replace(b, params={**b.params, "norm": True})))
NETWORKS = {
    "tiny": TINY,
    "normed": NORMED,
    "dry": replace(TINY, name="dry", build=lambda b: without_dropout(build(b))),
    "centred": replace(TINY, name="centred", pixel_mean=True),
}
FIND = plugins.featurizer


def without_dropout(module: Any) -> Any:
    module.dropout = torch.nn.Identity()
    return module


def find(name: str) -> Any:
    return NETWORKS[name] if name in NETWORKS else FIND(name)


@pytest.fixture(autouse=True)
def _networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "featurizer", find)


def textures(n: int, seed: int = 0) -> tuple[list[PreparedFrame], NDArray[np.int64]]:
    """Frames of two classes that differ in grain."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n, dtype=np.int64) % 2
    frames = []
    for label in labels:
        image = rng.random((SIZE, SIZE))
        if label:
            image = np.kron(image[::4, ::4], np.ones((4, 4)))
        image = image.astype(np.float32)
        frames.append(PreparedFrame(image, image, np.ones(image.shape, bool), 256))
    return frames, labels


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Inputs, NDArray[np.int64]]:
    """Inputs of 90 frames in two files, and their labels."""
    folder = tmp_path_factory.mktemp("inputs")
    frames, labels = textures(90)
    write_inputs(folder / "0.npy", frames[:64], 64, SIZE)
    write_inputs(folder / "1.npy", frames[64:], 26, SIZE)
    return Inputs((str(folder / "0.npy"), str(folder / "1.npy")), (64, 26)), labels


Data = tuple[Inputs, NDArray[np.int64]]


@dataclass(frozen=True, eq=False)
class Given:
    """A fit with its data."""

    fit: Fit
    data: TrainingData


def fit_of(data: Data, folder: Path, network: str = "tiny", **params: Any) -> Given:
    inputs, labels = data
    rows = np.arange(42)  # five batches of 8, and one of 2
    return Given(Fit(network, params, ("a", "b"), 7, folder), TrainingData(inputs, labels, rows))


def changed(job: Given, **changes: Any) -> Given:
    of_data = {f.name for f in fields(TrainingData)}
    data = replace(job.data, **{k: v for k, v in changes.items() if k in of_data})
    return Given(replace(job.fit, **{k: v for k, v in changes.items() if k not in of_data}), data)


def train(job: Given, epochs: int, device: Device, on_epoch: Any = None) -> Path:
    return train_fit(job.fit, job.data, epochs, device, on_epoch)


def weights(path: Path) -> dict[str, Any]:
    state: dict[str, Any] = load_model(path)[0].state_dict()  # type: ignore[attr-defined]
    return state


def same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def curve(path: Path, name: str = "loss") -> list[float]:
    return [epoch[name] for epoch in read_info(path).history]


# --------------------------------------------------------------------------- the recipe


def by_hand(fit: Fit, steps: int, **options: Any) -> dict[str, Any]:
    """Plain SGD, written out, on the first batches of the first epoch."""
    seed = int(np.random.SeedSequence((fit.fit.seed,)).generate_state(1, np.uint64)[0] >> 1)
    torch.manual_seed(seed)
    module: Any = without_dropout(Tiny(2, norm=False))
    order = np.random.default_rng([fit.fit.seed, 1]).permutation(len(fit.data.rows))
    velocity = {name: torch.zeros_like(p) for name, p in module.named_parameters()}
    for step in range(steps):
        at = fit.data.rows[order[step * 8 : step * 8 + 8]]
        x = torch.from_numpy(fit.data.inputs.batch(at).astype(np.float32))
        log_p = torch.log_softmax(module(x)[1], dim=1)
        target = torch.nn.functional.one_hot(torch.from_numpy(fit.data.labels[at]), 2).float()
        smoothing = options.get("smoothing", 0.0)
        loss = -((target * (1 - smoothing) + smoothing / 2) * log_p).sum(dim=1).mean()
        module.zero_grad()
        loss.backward()
        gradients = {name: p.grad for name, p in module.named_parameters()}
        if "clip" in options:
            norm = math.sqrt(sum(float((g**2).sum()) for g in gradients.values()))
            gradients = {n: g * min(1.0, options["clip"] / (norm + 1e-6)) for n, g in gradients.items()}
        rate = 0.05 / (1 + options.get("decay", 0.0) * step)
        with torch.no_grad():
            for name, p in module.named_parameters():
                velocity[name] = 0.9 * velocity[name] + gradients[name] + 1e-4 * p
                p -= rate * velocity[name]
    state: dict[str, Any] = module.state_dict()
    return state


@pytest.mark.parametrize(
    ("params", "options"),
    [
        ({}, {}),
        ({"decay": 0.5}, {"decay": 0.5}),
        ({"label_smoothing": 0.3}, {"smoothing": 0.3}),
        ({"clip_norm": 0.05}, {"clip": 0.05}),
    ],
)
def test_one_epoch_is_sgd_as_written_out(
    data: Data, tmp_path: Path, params: dict[str, Any], options: dict[str, Any]
) -> None:
    fit = changed(fit_of(data, tmp_path, "dry", **params), rows=np.arange(2, 34))
    found = weights(train(fit, 1, CPU))
    expected = by_hand(fit, 4, **options)
    plain = by_hand(fit, 4)
    for name in expected:
        torch.testing.assert_close(found[name], expected[name], rtol=2e-5, atol=2e-6)
    if options:  # it makes a difference at all
        assert not torch.allclose(found["head.weight"], plain["head.weight"], rtol=1e-3)


FULL: dict[str, Any] = {
    "learning_rate": 0.1, "decay": 0.01, "epochs": 20, "warmup_epochs": 0, "schedule": "time",
}  # fmt: skip


def test_schedules() -> None:
    def rates(steps: list[int], **changes: Any) -> list[float]:
        return [learning_rate(step, 5, {**FULL, **changes}) for step in steps]

    assert rates([0, 1, 100]) == pytest.approx([0.1, 0.1 / 1.01, 0.05])
    assert rates([0, 49, 50, 99, 100], schedule="step") == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001])
    assert rates([0, 99, 10**6], schedule="constant") == [0.1] * 3
    assert rates([0, 25, 50, 100], schedule="cosine") == pytest.approx(
        [0.1, 0.05 * (1 + math.sqrt(0.5)), 0.05, 0.0]
    )


def test_warm_up_rises_linearly_and_the_cosine_starts_after_it() -> None:
    for schedule in ("cosine", "constant"):
        params = {**FULL, "schedule": schedule, "warmup_epochs": 2}
        rising = [learning_rate(step, 5, params) for step in range(10)]
        assert rising == pytest.approx([0.01 * (step + 1) for step in range(10)])
    middle = learning_rate(10 + 45, 5, {**FULL, "schedule": "cosine", "warmup_epochs": 2})
    assert middle == pytest.approx(0.05)
    endless = learning_rate(99, 5, {**FULL, "schedule": "cosine", "warmup_epochs": 40})
    assert endless == pytest.approx(0.05)


def test_what_is_reported_is_what_happened(data: Data, tmp_path: Path) -> None:
    epochs: list[dict[str, float]] = []
    path = train(fit_of(data, tmp_path, decay=0.1), 3, CPU, epochs.append)
    assert [e["epoch"] for e in epochs] == [1, 2, 3]
    assert all(set(e) == {"epoch", "loss", "accuracy", "learning_rate", "seconds"} for e in epochs)
    assert [e["learning_rate"] for e in epochs] == pytest.approx([0.05 / (1 + 0.1 * s) for s in (5, 11, 17)])
    assert epochs[0]["loss"] == pytest.approx(math.log(2), rel=0.3)
    info = read_info(path)
    assert list(info.history) == epochs
    assert path == model_path(tmp_path, 3)


def test_every_frame_is_learnt_from_once_an_epoch(data: Data, tmp_path: Path) -> None:
    from sweeper.networks._loading import ShuffledBatches

    orders = []
    for epoch in (1, 2):
        parts = []
        for rank in range(3):
            batches = ShuffledBatches(50, 8, rank, 3, seed=1)
            batches.epoch = epoch
            parts.append(list(batches))
        assert batches.sizes() == [8] * 6  # the 2 that are left over are too few for three ranks
        assert [sum(len(p[i]) for p in parts) for i in range(6)] == [8] * 6
        orders.append(np.concatenate([p[i] for i in range(6) for p in parts]).tolist())
        assert len(set(orders[-1])) == 48
    assert orders[0] != orders[1]
    assert ShuffledBatches(17, 8, 0, 1, 0).sizes() == [8, 8]
    assert ShuffledBatches(18, 8, 0, 1, 0).sizes() == [8, 8, 2]
    assert ShuffledBatches(1, 8, 0, 1, 0).sizes() == [1]
    assert ShuffledBatches(3, 1, 0, 1, 0).sizes() == [1, 1, 1]


def test_batch_norm_does_not_meet_a_single_frame(data: Data, tmp_path: Path) -> None:
    fit = changed(fit_of(data, tmp_path, "normed"), rows=np.arange(17))
    assert np.isfinite(curve(train(fit, 1, CPU))).all()


# --------------------------------------------------------------------------- does it learn


def test_it_learns_and_does_not_learn_from_permuted_labels(data: Data, tmp_path: Path) -> None:
    inputs, labels = data
    held_out = np.arange(42, 90)

    def accuracy(name: str, labels: NDArray[np.int64]) -> float:
        fit = changed(fit_of(data, tmp_path / name, epochs=25), labels=labels)
        module, _ = load_model(train(fit, 25, CPU))
        logits = extract(module, inputs, held_out, CPU)[1]
        return float((logits.argmax(axis=1) == labels[held_out]).mean())

    assert accuracy("as they are", labels) > 0.95
    assert 0.25 < accuracy("permuted", np.random.default_rng(3).permutation(labels)) < 0.75


# --------------------------------------------------------------------------- checkpoints


@pytest.mark.parametrize("network", ["tiny", "normed"])
def test_training_in_rungs_is_training_at_once(data: Data, tmp_path: Path, network: str) -> None:
    reported: list[float] = []
    for schedule in ("cosine", "time"):
        params = {"schedule": schedule, "warmup_epochs": 1, "training_set": "augmented"}
        at_once = train(fit_of(data, tmp_path / schedule / "once", network, **params), 4, CPU)
        fit = fit_of(data, tmp_path / schedule / "rungs", network, **params)
        reported.clear()
        for epochs in (2, 2, 4):
            torch.manual_seed(epochs)  # what the caller's generator is at has no influence
            path = train(fit, epochs, CPU, lambda e: reported.append(e["epoch"]))
        assert same(weights(path), weights(at_once))
        assert reported == [1, 2, 3, 4]
        assert curve(path) == curve(at_once)
        assert not same(weights(model_path(fit.fit.folder, 2)), weights(path))


def test_the_seed_decides(data: Data, tmp_path: Path) -> None:
    fit = fit_of(data, tmp_path / "a")
    one = weights(train(fit, 1, CPU))
    again = weights(train(changed(fit, folder=tmp_path / "b"), 1, CPU))
    other = weights(train(changed(fit, folder=tmp_path / "c", seed=8), 1, CPU))
    assert same(one, again)
    assert not same(one, other)


def test_the_callers_random_numbers_are_left_alone(data: Data, tmp_path: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    load_model(train(fit_of(data, tmp_path), 1, CPU))
    assert torch.equal(torch.rand(3), expected)


def test_snapshots_are_written_in_passing_and_are_what_training_to_them_gives(
    data: Data, tmp_path: Path
) -> None:
    fit = changed(fit_of(data, tmp_path / "a"), snapshots=(1, 3, 9))
    train(fit, 4, CPU)
    assert sorted(p.name for p in fit.fit.folder.glob("*.safetensors")) == [
        f"model-{epochs}.safetensors" for epochs in (1, 3, 4)
    ]
    alone = train(fit_of(data, tmp_path / "b"), 3, CPU)
    assert same(weights(model_path(fit.fit.folder, 3)), weights(alone))
    assert curve(model_path(fit.fit.folder, 3)) == curve(alone)


def test_an_earlier_epoch_is_trained_for_again_without_loss_of_the_later_one(
    data: Data, tmp_path: Path
) -> None:
    fit = fit_of(data, tmp_path / "a")
    train(fit, 3, CPU)
    before = (fit.fit.folder / "checkpoint.pt").read_bytes()
    early = train(fit, 1, CPU)
    assert same(weights(early), weights(train(fit_of(data, tmp_path / "b"), 1, CPU)))
    assert (fit.fit.folder / "checkpoint.pt").read_bytes() == before
    assert sorted(p.name for p in fit.fit.folder.iterdir()) == [
        "checkpoint.pt", "model-1.safetensors", "model-3.safetensors",
    ]  # fmt: skip


def test_a_model_that_is_missing_is_written_from_the_checkpoint(data: Data, tmp_path: Path) -> None:
    fit = fit_of(data, tmp_path)
    path = train(fit, 2, CPU)
    expected = weights(path)
    path.unlink()
    reported: list[Any] = []
    train(fit, 2, CPU, reported.append)
    assert same(weights(path), expected)
    assert not reported


@pytest.mark.parametrize("damage", ["truncated", "a byte", "empty", "text", "another fit"])
def test_a_damaged_checkpoint_is_discarded(data: Data, tmp_path: Path, damage: str) -> None:
    fit = fit_of(data, tmp_path / "a")
    train(fit, 2, CPU)
    expected = weights(train(changed(fit, folder=tmp_path / "b"), 3, CPU))
    checkpoint = fit.fit.folder / "checkpoint.pt"
    content = bytearray(checkpoint.read_bytes())
    if damage == "truncated":
        content = content[: len(content) // 2]
    elif damage == "a byte":
        content[content.index(_some_weight(checkpoint))] ^= 1
    elif damage == "another fit":
        train(changed(fit, folder=tmp_path / "c", seed=99), 2, CPU)
        content = bytearray((tmp_path / "c" / "checkpoint.pt").read_bytes())
    else:
        content = bytearray(b"" if damage == "empty" else b"no checkpoint")
    checkpoint.write_bytes(content)
    reported: list[float] = []
    assert same(weights(train(fit, 3, CPU, lambda e: reported.append(e["epoch"]))), expected)
    assert reported == [1, 2, 3]


def _some_weight(checkpoint: Path) -> bytes:
    state = torch.load(checkpoint, weights_only=True)["state"]["model"]
    return bytes(state["second.weight"].permute(0, 2, 3, 1).contiguous().numpy().tobytes()[:16])


def test_a_training_that_is_killed_goes_on_from_its_checkpoint(data: Data, tmp_path: Path) -> None:
    fit = fit_of(data, tmp_path / "killed", epochs=400)
    process = start([(fit, 400)], tmp_path)
    checkpoint = fit.fit.folder / "checkpoint.pt"
    deadline = time.monotonic() + 60
    done = 0
    while done < 3 and time.monotonic() < deadline:
        time.sleep(0.02)
        found = _checkpoint.load(checkpoint, _key_of(checkpoint))
        done = 0 if found is None else found.epoch
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=20)
    assert done >= 3
    assert not model_path(fit.fit.folder, 400).exists()
    found = _checkpoint.load(checkpoint, _key_of(checkpoint))
    assert found is not None
    reported: list[float] = []
    target = found.epoch + 2
    path = train(fit, target, CPU, lambda e: reported.append(e["epoch"]))
    assert reported == [found.epoch + 1, found.epoch + 2]  # nothing done was done again
    undisturbed = train(fit_of(data, tmp_path / "undisturbed", epochs=400), target, CPU)
    assert same(weights(path), weights(undisturbed))
    assert not list(fit.fit.folder.glob(".*"))


def _key_of(checkpoint: Path) -> str:
    try:
        return str(torch.load(checkpoint, weights_only=True)["key"])
    except Exception:
        return ""


# --------------------------------------------------------------------------- early stopping


def test_patience_stops_and_keeps_the_best(data: Data, tmp_path: Path) -> None:
    # Labels without meaning: the held-out loss rises as soon as the network learns them by heart.
    labels = np.random.default_rng(1).integers(0, 2, 90)
    params = {"patience": 3, "epochs": 200, "learning_rate": 0.3}
    fit = changed(fit_of(data, tmp_path / "a", **params), labels=labels, snapshots=(150,))
    epochs: list[dict[str, float]] = []
    path = train(fit, 200, CPU, epochs.append)
    losses = [e["held_out_loss"] for e in epochs]
    best = int(np.argmin(losses)) + 1
    assert len(epochs) == best + 3 < 200
    plain = changed(fit, folder=tmp_path / "b", snapshots=(best,))
    train(plain, best, CPU)
    assert same(weights(path), weights(model_path(plain.fit.folder, best)))
    assert same(weights(model_path(fit.fit.folder, 150)), weights(path))  # it would have stopped as well
    assert train(fit, 180, CPU, epochs.append) == model_path(fit.fit.folder, 180)
    assert len(epochs) == best + 3
    assert same(weights(model_path(fit.fit.folder, 180)), weights(path))


def test_held_out_frames_are_not_learnt_from(data: Data, tmp_path: Path) -> None:
    labels = data[1]
    seen: list[int] = []
    read = Inputs.batch

    def batch(self: Inputs, rows: NDArray[np.int64], turns: Any = None) -> Any:
        seen.extend(rows.tolist())
        return read(self, rows, turns)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Inputs, "batch", batch)
        train(fit_of(data, tmp_path, patience=2, training_set="augmented", batch_size=256), 1, CPU)
    learnt, watched = set(seen[: 4 * 38]), set(seen[4 * 38 :])
    assert len(seen) == 4 * 38 + 4
    assert len(learnt) == 38
    assert len(watched) == 4
    assert not learnt & watched
    assert np.bincount(labels[list(watched)]).tolist() == [2, 2]


# --------------------------------------------------------------------------- the mean of the pixels


@pytest.mark.parametrize("kind", ["unbalanced", "augmented"])
def test_the_mean_of_the_training_frames_is_put_in(data: Data, tmp_path: Path, kind: str) -> None:
    fit = fit_of(data, tmp_path, "centred", training_set=kind)
    found = weights(train(fit, 1, CPU))["pixel_mean"]
    images = fit.data.inputs.batch(fit.data.rows).astype(np.float64)[:, 0]
    mean = images.mean(axis=0)
    if kind == "augmented":  # 21 of each class: balanced as it is
        mean = sum(np.rot90(mean, k) for k in range(4)) / 4
    np.testing.assert_allclose(found[0], mean, atol=1e-6)
    assert not weights(train(fit_of(data, tmp_path / "tiny"), 1, CPU))["pixel_mean"].any()


# --------------------------------------------------------------------------- pretrained weights


def test_pretrained_weights_are_where_it_starts(data: Data, tmp_path: Path) -> None:
    torch.save(Tiny(2, norm=False).state_dict(), tmp_path / "weights.pt")
    given = torch.load(tmp_path / "weights.pt", weights_only=True)
    fit = fit_of(data, tmp_path / "a", training_set="pretrained")
    fit = changed(fit, weights=str(tmp_path / "weights.pt"))
    path = train(fit, 0, CPU)
    assert same(weights(path), given)
    info = read_info(path)
    assert (info.epochs, info.history, dict(info.params)) == (
        0, (), {"training_set": "pretrained", "size": SIZE},
    )  # fmt: skip
    with pytest.raises(ValueError, match="epochs must be 0 with training_set pretrained, got 2"):
        train(fit, 2, CPU)
    tuned = changed(fit, params={"learning_rate": 1e-6}, folder=tmp_path / "b")
    for name, tensor in weights(train(tuned, 1, CPU)).items():
        torch.testing.assert_close(tensor, given[name], atol=1e-4, rtol=0)


# --------------------------------------------------------------------------- what goes wrong


def test_a_diverged_loss_names_the_epoch(data: Data, tmp_path: Path) -> None:
    fit = fit_of(data, tmp_path, learning_rate=100.0, momentum=1.0, epochs=50)
    reported: list[float] = []
    with pytest.raises(DivergedError, match=r"not finite at epoch \d+: learning_rate 100 is too") as raised:
        train(fit, 50, CPU, lambda e: reported.append(e["epoch"]))
    assert f"epoch {len(reported) + 1}:" in str(raised.value)
    assert not list(tmp_path.glob("*.safetensors"))
    assert str(pickle.loads(pickle.dumps(raised.value))) == str(raised.value)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried"),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    ],
)
def test_out_of_memory_names_what_to_lower(error: Exception) -> None:
    device = Device("cuda" if isinstance(error, torch.OutOfMemoryError) else "cpu")
    where = "GPU" if device.kind == "cuda" else "main"
    message = f"resnet50: out of {where} memory with batch_size 64 and size 512: lower one of them"
    with pytest.raises(OutOfMemoryError, match=message), memory_advice(device, "resnet50", 64, 512):
        raise error
    with pytest.raises(RuntimeError, match="something else"), memory_advice(device, "resnet50", 64, 512):
        raise RuntimeError("something else")


def test_an_allocation_that_fails_in_training_becomes_advice(
    data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def greedy(self: Tiny, x: Any) -> Any:
        return torch.empty(1 << 60)

    monkeypatch.setattr(Tiny, "maps", greedy)
    with pytest.raises(OutOfMemoryError, match="tiny: out of main memory with batch_size 8 and size 16"):
        train(fit_of(data, tmp_path), 1, CPU)


def test_a_full_disk_is_an_error_that_names_the_checkpoint(data: Data, tmp_path: Path) -> None:
    train(fit_of(data, tmp_path), 1, CPU)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
        with pytest.raises(OSError, match=r"checkpoint\.pt: File too large"):
            train(fit_of(data, tmp_path), 2, CPU)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    reported: list[float] = []
    train(fit_of(data, tmp_path), 2, CPU, lambda e: reported.append(e["epoch"]))
    assert reported == [2]
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize(
    ("params", "epochs", "message"),
    [
        ({"learning_rte": 1}, 1, "tiny: parameter must be one of training_set, .*'learning_rte'"),
        ({"momentum": 2.0}, 1, "tiny: momentum must be a number from 0 to 1, got 2.0"),
        ({}, 5, "epochs must be from 0 to the full number, 4, got 5"),
        ({"training_set": "pretrained", "momentum": 0.5}, 0, "tiny: parameter must be one of"),
    ],
)
def test_wrong_parameters_are_refused(
    data: Data, tmp_path: Path, params: dict[str, Any], epochs: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        train(fit_of(data, tmp_path, **params), epochs, CPU)


def test_a_featurizer_that_is_no_network_is_refused(data: Data, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="glcm is a featurizer that is not trained"):
        train(fit_of(data, tmp_path, "glcm"), 1, CPU)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused(data: Data, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="device cuda:0: this process sees 0 GPUs"):
        train(fit_of(data, tmp_path), 1, Device("cuda"))


# --------------------------------------------------------------------------- several processes


Job = tuple[Given, int]


def start(jobs: list[Job], folder: Path, rank: int = 0, world: int = 1) -> subprocess.Popen[str]:
    """Train, one after another, in a process of its own."""
    path = folder / f"jobs-{rank}.pickle"
    path.write_bytes(pickle.dumps((jobs, rank, world, str(folder / "rendezvous"))))
    return subprocess.Popen(
        [sys.executable, "-m", "tests.networks.test_fit", str(path)],
        cwd=REPOSITORY,
        env={**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def together(data: Data, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What two processes gave, for each job: its folder and what each rank reported, or its error."""
    root = tmp_path_factory.mktemp("together")
    meaningless = np.random.default_rng(1).integers(0, 2, 90)
    stops = changed(fit_of(data, root / "once", "normed", **STOPS), labels=meaningless)
    jobs = {
        "early": (fit_of(data, root / "dry", "dry", **SEVERAL), 2),
        "late": (fit_of(data, root / "dry", "dry", **SEVERAL), 4),
        "once": (stops, 100),
        "rung": (changed(stops, folder=root / "rungs"), 1),
        "rungs": (changed(stops, folder=root / "rungs"), 100),
        "centred": (fit_of(data, root / "centred", "centred"), 0),
        "diverged": (fit_of(data, root / "diverged", **DIVERGES), 50),
        "small batch": (fit_of(data, root / "small", batch_size=1), 1),
    }
    processes = [start(list(jobs.values()), root, rank, 2) for rank in range(2)]
    outputs = [process.communicate(timeout=180) for process in processes]
    for output, errors in outputs:
        assert output.strip(), errors
    reported = [json.loads(output.splitlines()[-1]) for output, _ in outputs]
    return {
        name: (fit.fit.folder, ranks)
        for (name, (fit, _)), ranks in zip(jobs.items(), zip(*reported, strict=True), strict=True)
    }


SEVERAL = {"clip_norm": 0.5, "label_smoothing": 0.1, "patience": 3, "training_set": "balanced"}
STOPS = {"patience": 1, "epochs": 100, "learning_rate": 0.3}
DIVERGES = {"learning_rate": 100.0, "momentum": 1.0, "epochs": 50}


def test_two_processes_train_what_one_trains(data: Data, tmp_path: Path, together: dict[str, Any]) -> None:
    alone = train(fit_of(data, tmp_path, "dry", **SEVERAL), 4, CPU)
    folder, late = together["late"]
    early = together["early"][1]
    for ranks in (early, late):
        without_times = [[{**e, "seconds": 0} for e in epochs] for epochs in ranks]
        assert without_times[0] == without_times[1]  # every rank reports, and the same
    assert [e["epoch"] for e in early[0] + late[0]] == [1, 2, 3, 4]
    path = model_path(folder, 4)
    for name in ("loss", "held_out_loss"):
        assert curve(path, name) == pytest.approx(curve(alone, name), rel=1e-4)
    for name, tensor in weights(alone).items():
        torch.testing.assert_close(weights(path)[name], tensor, rtol=1e-3, atol=1e-5)


def test_several_processes_give_the_same_each_time_and_stop_together(together: dict[str, Any]) -> None:
    folder, once = together["once"]
    assert len(once[0]) == len(once[1]) < 100
    again = model_path(together["rungs"][0], 100)
    assert len(together["rung"][1][0]) == 1
    assert same(weights(model_path(folder, 100)), weights(again))


def test_several_processes_share_the_mean(data: Data, tmp_path: Path, together: dict[str, Any]) -> None:
    alone = weights(train(fit_of(data, tmp_path, "centred"), 0, CPU))["pixel_mean"]
    shared = weights(model_path(together["centred"][0], 0))["pixel_mean"]
    torch.testing.assert_close(shared, alone)


def test_several_processes_fail_together(together: dict[str, Any]) -> None:
    for name, message in (
        ("diverged", "not finite at epoch"),
        ("small batch", "batch_size must be at least the number of workers, 2, got 1"),
    ):
        errors = together[name][1]
        assert errors[0] == errors[1]
        assert message in errors[0]["error"]


# --------------------------------------------------------------------------- loaders, model, extraction


def test_other_processes_may_read_the_inputs(data: Data, tmp_path: Path) -> None:
    one = train(fit_of(data, tmp_path / "a", patience=2), 3, CPU)
    two = train(fit_of(data, tmp_path / "b", patience=2), 3, Device(loaders=2))
    assert same(weights(one), weights(two))


def test_a_model_comes_back_as_it_was(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = Tiny(3, norm=False)
    params = {"training_set": "unbalanced", "size": SIZE, "clip_norm": None, "momentum": 0.9}
    info = ModelInfo(
        "tiny", 3, params, 3, ("a", "b", "ç"), 2, {"scale": "log1p"}, ({"epoch": 1, "loss": 2.5},)
    )
    path = tmp_path / "folder" / "model.safetensors"
    save_weights(path, module.state_dict(), info)
    loaded, found = load_model(path)
    assert found == info
    assert same(loaded.state_dict(), module.state_dict())  # type: ignore[attr-defined]
    assert not loaded.training  # type: ignore[attr-defined]
    x = torch.rand(2, 1, SIZE, SIZE)
    assert torch.equal(loaded(x)[1], module.eval()(x)[1])  # type: ignore[operator]
    assert [p.name for p in path.parent.iterdir()] == ["model.safetensors"]


def test_model_files_that_are_none_are_named(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    info = ModelInfo("tiny", 3, {"training_set": "unbalanced", "size": SIZE}, 2)
    save_weights(path, Tiny(2, norm=False).state_dict(), info)
    whole = path.read_bytes()
    for content in (whole[:-7], whole[:30], b"", b"text"):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"model\.safetensors: not a model file, or damaged"):
            load_model(path)
    save_weights(path, Tiny(5, norm=False).state_dict(), info)
    with pytest.raises(ValueError, match=r"model\.safetensors: damaged, or not the weights of tiny: .*head"):
        load_model(path)
    save_weights(path, Tiny(2, norm=False).state_dict(), replace(info, version=2))
    with pytest.raises(ValueError, match=r"tiny must be of version 3, the file's is 2"):
        load_model(path)
    with pytest.raises(OSError, match="absent"):
        load_model(tmp_path / "absent.safetensors")


def test_features_are_those_of_the_module_whatever_the_batch(data: Data) -> None:
    torch.manual_seed(1)
    module = Tiny(2, norm=True).train()
    inputs, _ = data
    rows = np.array([80, 3, 64, 17, 3])
    with torch.inference_mode():
        module.eval()
        x = torch.from_numpy(inputs.batch(rows).astype(np.float32))
        expected = [part.numpy() for part in module(x)]
    module.train()
    for batch_size in (None, 1, 2, 5):
        found = extract(module, inputs, rows, CPU, batch_size)  # type: ignore[arg-type]
        for got, want in zip(found, expected, strict=True):
            assert got.dtype == np.float32
            np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
    assert [part.shape for part in found] == [(5, 8), (5, 2)]


def test_features_that_are_not_finite_are_refused(data: Data) -> None:
    module = Tiny(2, norm=False)
    with torch.no_grad():
        module.first.weight.fill_(float("inf"))
    with pytest.raises(DivergedError, match="features of 2 frames are not finite, the first is row 5"):
        extract(module, data[0], np.array([5, 6]), CPU)  # type: ignore[arg-type]


def test_batches_suit_the_size_of_the_input() -> None:
    sizes = [default_batch_size(s, CPU) for s in (64, 224, 299, 512, 4096)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == 64
    assert sizes[-1] == 1
    assert default_batch_size(224, Device("cuda")) == 256


def _child(path: str) -> None:
    """What ``start`` runs: the last line that it prints is what was reported, for each job."""
    plugins.featurizer = find
    jobs, rank, world, rendezvous = pickle.loads(Path(path).read_bytes())
    if world > 1:
        torch.distributed.init_process_group(
            "gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=world
        )
    results: list[Any] = []
    for fit, epochs in jobs:
        reported: list[Any] = []
        try:
            train(fit, epochs, CPU, reported.append)
            results.append(reported)
        except (DivergedError, ValueError) as error:
            results.append({"error": str(error)})
    print(json.dumps(results))
    if world > 1:
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    # Pickled by the test as classes of tests.networks.test_fit, not of __main__.
    from tests.networks.test_fit import _child as child

    child(sys.argv[1])
