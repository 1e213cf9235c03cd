"""The networks' layers: shapes, taps, topologies, sizes, and that they learn, with tiny inputs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import softmax
from sweeper.featurizers._topologies import TOPOLOGIES

from sweeper import plugins
from sweeper.api import Build, Network, NetworkBuild, NetworkFamily
from sweeper.networks.weights import check_size

WIDTHS = {
    "lenet": 192,
    "vgg16": 4096,
    "vgg19": 4096,
    "resnet50": 2048,
    "xception": 2048,
    "inception_resnet_v2": 1536,
    "deepfreak": 2048,
    "timm:convnext_atto": 320,
}
"""As camSortXS, section 3.1.2, and the papers of the others give them."""

N_CLASSES = 3


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def network_of(name: str) -> Network:
    network = plugins.featurizer(name)
    assert isinstance(network, Network)
    return network


def least_size(network: Network) -> int:
    legal: Any = next(axis.legal for axis in network.axes if axis.name == "size")
    return int(legal.low)


def params_of(network: Network, **chosen: Any) -> dict[str, Any]:
    return {axis.name: axis.default for axis in network.axes} | chosen


def build(name: str, seed: int = 0, n_classes: int = N_CLASSES, **chosen: Any) -> Any:
    torch.manual_seed(seed)
    network = network_of(name)
    return network.build(NetworkBuild(params_of(network, **chosen), n_classes))


def frames(size: int, n: int = 4, seed: int = 0) -> torch.Tensor:
    return torch.rand(n, 1, size, size, generator=torch.Generator().manual_seed(seed))


def sums(module: Any) -> dict[str, float]:
    return {name: float(value.sum()) for name, value in module.state_dict().items()}


# --------------------------------------------------------------------------- every network


@dataclass
class Built:
    network: Network
    size: int
    module: Any
    at_start: dict[str, float]


@pytest.fixture(scope="module", params=sorted(WIDTHS))
def built(request: pytest.FixtureRequest) -> Built:
    network = network_of(request.param)
    size = least_size(network)
    module = build(request.param, size=size)
    return Built(network, size, module, sums(module))


def rectified(layer: str) -> Callable[[Any], tuple[Any, Callable[[Any], Any]]]:
    return lambda module: (module.get_submodule(layer), lambda out: out.clamp(min=0).flatten(1))


def averaged(layer: str) -> Callable[[Any], tuple[Any, Callable[[Any], Any]]]:
    return lambda module: (module.get_submodule(layer), lambda out: out.mean((2, 3)))


def as_it_is(layer: str) -> Callable[[Any], tuple[Any, Callable[[Any], Any]]]:
    return lambda module: (module.get_submodule(layer), lambda out: out)


TAPS = {
    "lenet": rectified("hidden"),
    "vgg16": rectified("model.pre_logits.fc2"),
    "vgg19": rectified("model.pre_logits.fc2"),
    "resnet50": averaged("model.layer4.2"),
    "xception": averaged("model.act4"),
    "inception_resnet_v2": averaged("model.conv2d_7b"),
    "deepfreak": averaged("layer4.2"),
    "timm:convnext_atto": as_it_is("model.head.flatten"),
}
"""The layer that each network's features come from, and what is still done to its output."""


class TestEveryNetwork:
    """Run in this order on one module each: the large ones are built as seldom as can be."""

    def test_maps_features_and_logits(self, built: Built) -> None:
        name, width = built.network.name, WIDTHS[built.network.name]
        x = frames(built.size, n=2)
        with torch.no_grad():
            module = built.module.eval()
            maps = module.maps(x)
            features, logits = module.read(maps)
            assert module.has_maps
            assert maps.ndim == 4
            assert maps.shape[0] == 2
            assert features.shape == (2, width)
            assert logits.shape == (2, N_CLASSES)
            assert built.network.width(params_of(built.network)) == width, name
            for ours, forward in zip((features, logits), module(x), strict=True):
                torch.testing.assert_close(ours, forward, rtol=0, atol=0)
            assert (features[0] != features[1]).any(), "features must see the frame"

    def test_features_are_the_documented_layer(self, built: Built) -> None:
        layer, finish = TAPS[built.network.name](built.module)
        seen: list[Any] = []
        hook = layer.register_forward_hook(lambda _m, _i, out: seen.append(out.clone()))
        with torch.no_grad():
            features, _ = built.module.eval()(frames(built.size, n=2))
        hook.remove()
        torch.testing.assert_close(features, finish(seen[0]))

    def test_the_same_seed_gives_the_same_network(self, built: Built) -> None:
        name = built.network.name
        assert sums(build(name, size=built.size)) == built.at_start
        other = sums(build(name, seed=1, size=built.size))
        assert {k for k in other if other[k] != built.at_start[k]} >= {
            k for k in other if k.endswith("head.weight") or k == "fc.weight"
        }

    def test_one_step_lowers_the_loss(self, built: Built) -> None:
        module, x, y = built.module.train(), frames(built.size), torch.tensor([0, 1, 2, 0])

        def loss() -> Any:
            torch.manual_seed(3)  # the same neurons dropped before and after the step
            return torch.nn.functional.cross_entropy(module(x)[1], y)

        loss_before = loss()
        loss_before.backward()
        before = loss_before.item()
        assert all(p.grad is not None for p in module.parameters()), "every layer takes part"
        # As long as should take a hundredth off the loss, were it a plane.
        squared = sum(float(p.grad.double().square().sum()) for p in module.parameters())
        torch.optim.SGD(module.parameters(), lr=0.01 * before / squared).step()
        module.zero_grad(set_to_none=True)
        with torch.no_grad():
            after = loss().item()
        assert 0.97 * before < after < 0.997 * before

    def test_its_state_makes_the_same_network_elsewhere(self, built: Built) -> None:
        with torch.device("meta"):
            other = build(built.network.name, size=built.size)
        other.load_state_dict(built.module.state_dict(), assign=True)
        x = frames(built.size, n=2, seed=8)
        with torch.no_grad():
            for ours, theirs in zip(built.module.eval()(x), other.eval()(x), strict=True):
                torch.testing.assert_close(ours, theirs, rtol=0, atol=0)

    def test_takes_its_least_and_its_default_size(self, built: Built) -> None:
        check_size(built.network, params_of(built.network, size=built.size))
        check_size(built.network, params_of(built.network))


@pytest.mark.parametrize(("name", "least"), [("vgg16", 32), ("vgg19", 32), ("inception_resnet_v2", 75)])
def test_a_size_below_the_least_fails(name: str, least: int) -> None:
    network = network_of(name)
    assert least_size(network) == least
    with pytest.raises(ValueError, match=f"^{name}: size must be .*, such as .*, got {least - 1}: "):
        check_size(network, params_of(network, size=least - 1))


@pytest.mark.parametrize("name", sorted(WIDTHS))
def test_declares_its_training(name: str) -> None:
    network = network_of(name)
    recipe = {axis.name: axis.default for axis in network.recipe}
    choices: Any = next(axis.legal for axis in network.axes if axis.name == "training_set")
    assert recipe["epochs"] == 50
    if name == "lenet":
        assert (recipe["learning_rate"], recipe["decay"], recipe["batch_size"]) == (1e-3, 1e-4, 64)
    elif name == "deepfreak":
        rate = recipe["learning_rate"], recipe["schedule"], recipe["batch_size"]
        assert rate == (0.1, "step", 8)
        assert (recipe["momentum"], recipe["weight_decay"]) == (0.9, 1e-5)
    else:
        assert (recipe["learning_rate"], recipe["decay"], recipe["batch_size"]) == (1e-4, 1e-5, 32)
    assert ("pretrained" in choices) == (network.pretrained is not None)
    assert ("weights" in {axis.name for axis in network.axes}) == (network.pretrained is not None)


def test_sizes_are_the_papers() -> None:
    sizes = {name: params_of(network_of(name))["size"] for name in WIDTHS if name != "lenet"}
    assert sizes == {
        "vgg16": 224,
        "vgg19": 224,
        "resnet50": 224,
        "xception": 299,
        "inception_resnet_v2": 299,
        "deepfreak": 512,
        "timm:convnext_atto": 224,
    }


# --------------------------------------------------------------------------- LeNet and DeepFreak


def test_lenet_has_the_papers_layers() -> None:
    """camSortXS, section 3.1.2: the parameters of each layer, counted by hand at 256 pixels."""
    with torch.device("meta"):
        module = build("lenet", n_classes=4)
    count = sum(p.numel() for p in module.parameters())
    convolutions = (9 * 1 * 64 + 64) + (9 * 64 * 64 + 64) + (9 * 64 * 48 + 48)
    norms = 2 * (64 + 64 + 48)
    dense = (32 * 32 * 48 * 192 + 192) + (192 * 64 + 64) + (64 * 4 + 4)
    assert count == convolutions + norms + dense
    assert [m.p for m in module.modules() if isinstance(m, torch.nn.Dropout)] == [0.5]


TABLE_8 = """
64 7 2 3 2 7 1 1,2,2,2 | 64 7 2 3 2 9 2 1,2,2,2 | 64 7 2 3 2 13 2 1,2,2,2 | 64 7 2 3 2 7 1 2,2,2,2
64 7 4 3 2 7 1 1,2,2,2 | 64 7 2 3 2 7 2 2,2,2,2 | 64 7 2 3 2 15 2 1,2,2,2 | 64 7 2 3 2 8 1 2,2,2,2
64 7 2 3 2 7 1 1,2,3,3 | 8 7 2 3 2 7 1 1,2,2,2  | 8 7 2 3 2 7 2 1,2,2,2   | 64 7 2 3 2 9 2 1,2,2,3
16 7 2 3 2 9 2 1,2,2,2 | 16 7 2 3 2 7 2 1,2,2,2
"""
"""Default, 1, 2, ... 13: filters, first convolution, first pool, second pool, block strides."""


def test_topologies_are_table_8() -> None:
    columns = [c.split() for c in re.split(r"[|\n]", TABLE_8.strip())]
    assert len(columns) == len(TOPOLOGIES) == 14
    for column, t in zip(columns, TOPOLOGIES, strict=True):
        numbers = (t.filters, t.conv_kernel, t.conv_stride, t.pool_kernel, t.pool_stride)
        pool = (t.last_pool_kernel, t.last_pool_stride)
        assert [*map(str, (*numbers, *pool)), ",".join(map(str, t.block_strides))] == column


# Maps at 512 pixels, from 512 / 2 / 2 = 128 (64 with a first stride of 4) through the block strides; then
# (maps - kernel) // stride + 1 positions of the second pool.
POOLED = {
    0: (16, 10), 1: (16, 4), 2: (16, 2), 3: (8, 2), 4: (8, 2), 5: (8, 1), 6: (16, 1), 7: (8, 1), 8: (8, 2),
    9: (16, 10), 10: (16, 5), 11: (11, 2), 12: (16, 4), 13: (16, 5),
}  # fmt: skip


@pytest.mark.parametrize("topology", range(14))
def test_topology(topology: int) -> None:
    network, filters = network_of("deepfreak"), {9: 8, 10: 8, 12: 16, 13: 16}.get(topology, 64)
    assert network.width({"topology": topology}) == 32 * filters
    maps_size, pooled = POOLED[topology]
    with torch.device("meta"):
        module = build("deepfreak", topology=topology)
        maps = module.maps(torch.zeros(2, 1, 512, 512))
        features, logits = module.read(maps)
    assert maps.shape == (2, 32 * filters, maps_size, maps_size)
    assert features.shape == (2, 32 * filters)
    assert logits.shape == (2, N_CLASSES)
    assert module.fc.in_features == 32 * filters * pooled**2
    small = build("deepfreak", topology=topology, size=64).eval()
    with torch.no_grad():
        features, logits = small(frames(64, n=2))
    assert features.shape == (2, 32 * filters)
    assert bool(torch.isfinite(logits).all())


def test_the_second_pool_scales_with_the_input() -> None:
    """Kernel 15 for 512 pixels: 8 of 8 positions at 256, 4 (for 3.75) of 4 at 128, and 1 of 1 at 32."""
    with torch.device("meta"):
        kernels = [build("deepfreak", topology=6, size=s).avgpool.kernel_size for s in (512, 256, 128, 32)]
    assert kernels == [15, 8, 4, 1]


@pytest.fixture(scope="module")
def default_topology() -> Any:
    return build("deepfreak", topology=0, size=64)


def test_the_default_topology_is_torchvisions_resnet50(default_topology: Any) -> None:
    from torchvision.models import resnet50

    torch.manual_seed(5)
    theirs = resnet50(num_classes=N_CLASSES)
    for layer in theirs.modules():  # a batch norm that does something
        if isinstance(layer, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(layer.weight, 0.5, 1.5)
            torch.nn.init.normal_(layer.bias, std=0.1)
            torch.nn.init.normal_(layer.running_mean, std=0.1)
            torch.nn.init.uniform_(layer.running_var, 0.5, 1.5)
    state = {k: v for k, v in theirs.state_dict().items() if not k.startswith("fc.")}
    state["conv1.weight"] = state["conv1.weight"].sum(1, keepdim=True)  # as a tripled grey frame sees it
    own = {k: v.shape for k, v in default_topology.state_dict().items()}
    assert {k: v.shape for k, v in state.items()} == {
        k: v for k, v in own.items() if not k.startswith(("fc.", "pixel_mean"))
    }
    default_topology.load_state_dict(state, strict=False)
    x = frames(64, n=2)
    stem = torch.nn.Sequential(theirs.conv1, theirs.bn1, theirs.relu, theirs.maxpool)
    stages = torch.nn.Sequential(stem, theirs.layer1, theirs.layer2, theirs.layer3, theirs.layer4).eval()
    with torch.no_grad():
        expected, found = stages(x.expand(2, 3, 64, 64)), default_topology.eval().maps(x)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


def test_deepfreak_subtracts_the_pixel_mean(default_topology: Any) -> None:
    assert network_of("deepfreak").pixel_mean
    x, mean = frames(64, n=2), frames(64, n=1, seed=4)[0]
    with torch.no_grad():
        default_topology.eval().pixel_mean.zero_()
        expected = default_topology(x - mean)[1]
        default_topology.pixel_mean.copy_(mean)
        found = default_topology(x)[1]
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    torch.testing.assert_close(default_topology.state_dict()["pixel_mean"], mean, rtol=0, atol=0)


# --------------------------------------------------------------------------- timm's models


@pytest.mark.parametrize(
    ("variant", "size", "maps_shape"),
    [
        ("swin_tiny_patch4_window7_224", 64, (2, 768, 2, 2)),  # channels last inside
        ("gmlp_ti16_224", 48, (2, 128, 3, 3)),  # tokens of a grid
        ("vit_tiny_patch16_224", 48, None),  # a class token: no maps
    ],
)
def test_layouts_of_maps(variant: str, size: int, maps_shape: tuple[int, ...] | None) -> None:
    module = build(f"timm:{variant}", size=size).eval()
    x = frames(size, n=2)
    with torch.no_grad():
        maps = module.maps(x)
        features, _ = module.read(maps)
        # The network without a classifier gives what the classifier would read.
        expected = module.model((x - module.mean) / module.std)
    torch.testing.assert_close(features, expected, rtol=0, atol=0)
    assert module.has_maps == (maps_shape is not None)
    if maps_shape is not None:
        assert maps.shape == maps_shape


def test_the_grid_of_tokens_has_rows_and_columns_in_place() -> None:
    """What changes at the frame's top right shows there: with the layers that mix tokens made idle."""
    module = build("timm:gmlp_ti16_224", size=48).eval()
    module.model.blocks, module.model.norm = torch.nn.Identity(), torch.nn.Identity()
    x = torch.zeros(1, 1, 48, 48)
    x[0, 0, 2, 40] = 1
    with torch.no_grad():
        changed = (module.maps(x) - module.maps(torch.zeros_like(x))).abs().sum(1)[0] > 0
    assert changed.nonzero().tolist() == [[0, 2]]


def test_width_is_what_the_classifier_reads() -> None:
    """mobilenetv3 widens its pooled maps before the classifier: 288 maps, 1024 features."""
    name = "timm:mobilenetv3_small_050"
    module = build(name, size=32).eval()
    with torch.no_grad():
        maps = module.maps(frames(32, n=1))
        features, _ = module.read(maps)
    assert (maps.shape[1], features.shape[1]) == (288, 1024)
    assert network_of(name).width({}) == 1024


def test_a_model_without_weights_trains_from_scratch() -> None:
    network = network_of("timm:mixer_s32_224")
    assert network.pretrained is None
    assert set(params_of(network)) == {"training_set", "size"}


def test_the_tag_of_the_weights_is_resolved() -> None:
    assert network_of("timm:convnext_atto").pretrained == "convnext_atto.d2_in1k"
    assert network_of("timm:resnet50.a1_in1k").pretrained == "resnet50.a1_in1k"
    family = plugins.family("timm")
    assert isinstance(family, NetworkFamily)
    assert f"timm:{family.example}" in WIDTHS


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("convnext_atom", "unknown timm model 'convnext_atom'; did you mean 'convnext_atto'?"),
        ("convnext_atto.d3_in1k", "weights of a timm model .*; did you mean 'convnext_atto.d2_in1k'?"),
        ("mixer_s32_224.in1k", "weights of a timm model .*; timm has none for mixer_s32_224"),
        ("", "timm is a family of networks: name one, such as timm:convnext_atto"),
    ],
)
def test_unknown_names_are_refused_with_the_nearest(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("?", r"\?")):
        plugins.featurizer(f"timm:{name}")


@pytest.mark.filterwarnings("ignore:CSATv2 is designed for 3-channel")
def test_sizes_that_layers_cannot_take_are_refused() -> None:
    vit, csat = network_of("timm:vit_tiny_patch16_224"), network_of("timm:csatv2")
    check_size(vit, params_of(vit, size=96))
    with pytest.raises(ValueError, match=r"^timm:vit_tiny_patch16_224: size must be a multiple .* 16 .*100$"):
        check_size(vit, params_of(vit, size=100))
    with pytest.raises(ValueError, match=r"^timm:csatv2: its layers cannot take one channel: "):
        check_size(csat, params_of(csat))


# --------------------------------------------------------------------------- the head as a classifier


def test_the_head_gives_the_softmax_of_logits() -> None:
    head = plugins.classifier("head")
    assert head.budget == "epochs"
    estimator = head.build(Build({}, 1.0, 4, 0, 1))
    logits = np.random.default_rng(0).normal(0, 300, (50, 4))
    estimator.fit(logits, np.zeros(50, np.int64), np.ones(50))
    np.testing.assert_allclose(estimator.scores(logits), softmax(logits, axis=1), rtol=1e-12)
