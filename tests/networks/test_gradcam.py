"""Grad-CAM against pytorch-grad-cam on the same weights, and what it does with frames that show nothing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from pytorch_grad_cam import GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import nn

from sweeper import plugins
from sweeper.api import Network, NetworkBuild
from sweeper.networks.gradcam import grad_cam

N_CLASSES = 4
SIZES = {
    "lenet": 64,
    "deepfreak": 96,
    "vgg16": 64,
    "vgg19": 64,
    "resnet50": 96,
    "xception": 96,
    "inception_resnet_v2": 139,
    "timm:convnext_atto": 96,
    "timm:swin_tiny_patch4_window7_224": 224,
}
"""Inputs that leave at least 2 × 2 positions; Swin's maps have their channels last."""


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def build(name: str, size: int) -> Any:
    network = plugins.featurizer(name)
    assert isinstance(network, Network)
    params = {axis.name: axis.default for axis in network.axes} | {"size": size}
    torch.manual_seed(3)
    module: Any = network.build(NetworkBuild(params, N_CLASSES))
    module.train()
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):  # as after training: else maps of deep networks vanish
            layer.momentum, layer.eps = 1.0, 1e-8
        if isinstance(layer, nn.Dropout):
            layer.eval()
    with torch.no_grad():
        module(frames(4, size))
    return module.eval()


def frames(n: int, size: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(5)
    coarse = torch.rand(n, 1, 6, 6, generator=generator)
    return nn.functional.interpolate(coarse, size=(size, size), mode="bicubic").clamp(0, 1)


class Whole(nn.Module):
    """A network as the reference wants it: one output, and the maps as the output of a layer."""

    def __init__(self, module: Any) -> None:
        super().__init__()
        self.module = module
        self.tap = nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.module.read(self.tap(self.module.maps(x)).clone())[1]
        return logits


def reference(module: Any, x: torch.Tensor, classes: NDArray[np.int64]) -> NDArray[np.float32]:
    whole = Whole(module)
    with GradCAM(model=whole, target_layers=[whole.tap]) as cam:
        return np.asarray(cam(input_tensor=x, targets=[ClassifierOutputTarget(c) for c in classes]))


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.long) if n == "vgg19" else n for n in SIZES]
)
def test_equals_pytorch_grad_cam(name: str) -> None:
    x = frames(3, SIZES[name])
    module = build(name, SIZES[name])
    with torch.no_grad():
        expected = module(x)[1].numpy()
    heat, logits = grad_cam(module, x)
    predicted = expected.argmax(axis=1)
    assert heat.dtype == np.float32
    assert heat.shape == (3, SIZES[name], SIZES[name])
    np.testing.assert_allclose(logits, expected, atol=1e-5)
    np.testing.assert_allclose(heat, reference(module, x, predicted), atol=1e-4)
    asked = np.array([2, 0, 2])
    of_asked, same_logits = grad_cam(module, x, asked)
    np.testing.assert_allclose(of_asked, reference(module, x, asked), atol=1e-4)
    np.testing.assert_array_equal(same_logits, logits)
    assert np.ptp(np.concatenate([heat, of_asked])) > 0.9  # else zeros were compared with zeros
    assert np.abs(of_asked - heat).max() > 0.1


def test_equals_pytorch_grad_cam_at_a_layer_that_it_knows() -> None:
    """As above with the layer of the network itself: what the module says are its maps are those."""
    x = frames(2, 96)
    module = build("deepfreak", 96)
    heat, logits = grad_cam(module, x)

    class Logits(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = module

        def forward(self, x: torch.Tensor) -> Any:
            return self.module(x)[1]

    with GradCAM(model=Logits(), target_layers=[module.layer4[-1]]) as cam:
        expected = cam(input_tensor=x, targets=[ClassifierOutputTarget(c) for c in logits.argmax(axis=1)])
    np.testing.assert_allclose(heat, expected, atol=1e-4)


class Linear(nn.Module):
    """Two maps, the input's even and odd pixels' sums; logits are weighted means of them."""

    def __init__(self, weights: list[list[float]]) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.tensor(weights))  # (n_classes, 2)
        self.dropout = nn.Dropout(0.5)

    def maps(self, x: torch.Tensor) -> torch.Tensor:
        pooled = nn.functional.avg_pool2d(x, 4)
        return torch.cat([pooled, 1 - pooled], dim=1)

    def read(self, maps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        maps = maps.mul_(1)  # a network may work in place on its maps
        features = self.dropout(maps).mean(dim=(2, 3))
        return features, features @ self.weights.T


def spot(size: int = 32) -> torch.Tensor:
    x = torch.zeros(1, 1, size, size)
    x[:, :, 8:12, 20:24] = 1
    return x


def test_evidence_by_hand() -> None:
    """Class 0 goes by the spot: one bin of maps is warm; class 1 by its absence: one bin is cold."""
    module = Linear([[1.0, 0.0], [0.0, 1.0]])
    of_spot, logits = grad_cam(module, spot(), 0)
    assert logits.argmax(axis=1).tolist() == [1]  # most of the frame is empty
    assert np.unravel_index(of_spot[0].argmax(), of_spot[0].shape)[0] in range(8, 12)
    assert of_spot[0, 9:11, 21:23].min() > 0.7
    assert of_spot[0, :4].max() == 0
    of_rest, _ = grad_cam(module, spot())
    np.testing.assert_allclose(of_rest, 1 - of_spot, atol=1e-6)


@pytest.mark.parametrize(
    ("weights", "x"),
    [
        pytest.param([[-1.0, -1.0], [-2.0, -1.0]], spot(), id="only evidence against"),
        pytest.param([[1.0, 0.5], [0.0, 0.0]], torch.full((1, 1, 32, 32), 0.3), id="the same everywhere"),
        pytest.param([[0.0, 0.0], [0.0, 0.0]], spot(), id="no gradient"),
    ],
)
def test_no_evidence_gives_zeros(weights: list[list[float]], x: torch.Tensor) -> None:
    heat, _ = grad_cam(Linear(weights), x)
    np.testing.assert_array_equal(heat, np.zeros((1, 32, 32)))


def test_frames_do_not_influence_each_other() -> None:
    module = build("lenet", 32)
    x = frames(20, 32)  # more than one batch
    heat, logits = grad_cam(module, x)
    for i in (0, 15, 16, 19):
        alone, its_logits = grad_cam(module, x[i : i + 1])
        np.testing.assert_allclose(heat[i], alone[0], atol=1e-5)
        np.testing.assert_allclose(logits[i], its_logits[0], atol=1e-5)


def test_a_module_in_training_gives_the_same_and_stays_in_training() -> None:
    module = build("lenet", 32)
    x = frames(4, 32)
    expected, _ = grad_cam(module, x)
    module.train()
    state = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    with torch.no_grad():  # as callers do who only want to look
        heat, _ = grad_cam(module, x)
    np.testing.assert_array_equal(heat, expected)
    assert module.training
    assert all(torch.equal(tensor, state[name]) for name, tensor in module.state_dict().items())
    assert all(p.grad is None for p in module.parameters())


def test_tokens_are_no_maps() -> None:
    module = build("timm:vit_tiny_patch16_224", 224)
    with pytest.raises(ValueError, match=r"needs a network whose last feature maps.*class token"):
        grad_cam(module, frames(1, 224))


def test_one_position_says_nothing() -> None:
    with pytest.raises(ValueError, match="at its input size this one's are 1 x 1"):
        grad_cam(build("resnet50", 32), frames(1, 32))


@pytest.mark.parametrize("target", [-1, N_CLASSES, np.array([0, N_CLASSES])])
def test_target_must_be_a_class(target: int | NDArray[np.int64]) -> None:
    with pytest.raises(ValueError, match=f"target must be a class from 0 to {N_CLASSES - 1}"):
        grad_cam(build("lenet", 32), frames(2, 32), target)
