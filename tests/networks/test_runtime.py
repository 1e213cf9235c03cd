"""Networks on ONNX Runtime: what PyTorch reads, or PyTorch itself with a word why."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from sweeper import plugins
from sweeper.api import NetworkBuild
from sweeper.networks import runtime
from sweeper.networks.runtime import Reader, SlowNetworkWarning, difference, read_eagerly


def built(name: str, size: int) -> Any:
    """A network as after training: batch norms have seen something."""
    network = plugins.network(name)
    params = {axis.name: axis.default for axis in network.axes} | {"size": size, "weights": "random"}
    torch.manual_seed(1)
    module: Any = network.build(NetworkBuild(params, 3))
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.running_mean.uniform_(-0.1, 0.1)
            layer.running_var.uniform_(0.5, 1.5)
    return module.eval()


def frame(size: int, seed: int = 5) -> Any:
    return np.random.default_rng(seed).random((1, 1, size, size), dtype=np.float32)


@pytest.mark.parametrize(
    ("name", "size"), [("lenet", 40), ("resnet50", 64), ("timm:tf_efficientnet_lite0", 64)]
)
def test_features_are_those_of_pytorch(name: str, size: int) -> None:
    module = built(name, size)
    reader = Reader(module, size, name)
    assert reader.library.startswith("ONNX Runtime 1")
    for seed in range(3):
        found, wanted = reader(frame(size, seed)), read_eagerly(module, frame(size, seed))
        assert [part.shape for part in found] == [part.shape for part in wanted]
        assert 0 < difference(found, wanted) < 1e-5


def test_each_number_of_threads_has_its_session() -> None:
    reader, before = Reader(built("lenet", 32), 32, "lenet"), torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            assert len(reader(frame(32))[0]) == 1
    finally:
        torch.set_num_threads(before)
    assert {1, 2} <= reader._sessions.keys()


class _Odd(nn.Module):  # type: ignore[misc]
    """A network of one layer that does something on the way."""

    def __init__(self, what: Any) -> None:
        super().__init__()
        self.layer, self.what = nn.Linear(16, 3), what

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = self.what(x.flatten(1))
        return features, self.layer(features)


def _by_a_choice(x: torch.Tensor) -> torch.Tensor:
    """A choice that is made once, for the empty frame that is traced."""
    return 2 * x if float(x.sum()) == 0 else 3 * x


def _by_eigenvalues(x: torch.Tensor) -> torch.Tensor:
    values: torch.Tensor = torch.linalg.eigvals(x.reshape(4, 4)).real
    return values.repeat(4)[None]


@pytest.mark.parametrize(
    ("what", "said"),
    [
        (_by_a_choice, "ONNX Runtime differs from it by 0.3 of the largest value"),
        (_by_eigenvalues, r"it cannot be converted \(\w+\)"),
    ],
)
def test_what_a_graph_does_not_do_is_left_to_pytorch(what: Any, said: str) -> None:
    module = _Odd(what).eval()
    reader = Reader(module, 4, "m.sweeper: odd")
    with pytest.warns(SlowNetworkWarning, match=f"m.sweeper: odd is read by PyTorch, several.*: {said}"):
        found = reader(frame(4))
    assert difference(found, read_eagerly(module, frame(4))) == 0
    assert reader.library == f"PyTorch {torch.__version__}"
    reader(frame(4))  # said once


def test_without_the_library_pytorch_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "LIBRARIES", ("onnxruntime_that_nobody_has",))
    module = built("lenet", 32)
    with pytest.warns(SlowNetworkWarning, match="ONNX Runtime needs onnxruntime_that_nobody_has, which is"):
        found = Reader(module, 32, "lenet")(frame(32))
    for part, wanted in zip(found, read_eagerly(module, frame(32)), strict=True):
        assert part.tobytes() == wanted.tobytes()


def test_difference_is_a_share_of_the_largest_value_and_never_nan() -> None:
    ones = np.ones((1, 2), np.float32)
    assert difference((ones, 3 * ones), (2 * ones, 4 * ones)) == 0.5
    assert difference((ones, ones * np.nan), (ones, ones)) == np.inf
    assert difference((0 * ones, ones), (0 * ones, ones)) == 0
