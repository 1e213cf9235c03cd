"""Pretrained weights: found where they may lie, loaded as timm means them, refused when they are others."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file

from sweeper import plugins
from sweeper.api import Network, NetworkBuild
from sweeper.networks import weights as weights_module
from sweeper.networks.weights import check_weights, find_weights, weights_digest

RESNET = "timm:resnet18"
VIT = "timm:vit_tiny_patch16_224"
ARCHITECTURES = {RESNET: "resnet18", VIT: "vit_tiny_patch16_224"}
CLOSED = "http://127.0.0.1:9"  # the discard port: nothing listens

State = dict[str, torch.Tensor]


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


def params_of(network: Network, **chosen: Any) -> dict[str, Any]:
    return {axis.name: axis.default for axis in network.axes} | chosen


def loaded(name: str, path: Path | str, size: int) -> Any:
    network = network_of(name)
    return network.build(NetworkBuild(params_of(network, size=size), 2, str(path))).eval()


@pytest.fixture(scope="module")
def originals() -> dict[str, Any]:
    """Three-channel models of timm with weights and statistics that stand for pretrained ones."""
    torch.manual_seed(11)
    models = {}
    for name, architecture in ARCHITECTURES.items():
        model = timm.create_model(architecture, pretrained=False)
        for layer in model.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                torch.nn.init.uniform_(layer.weight, 0.5, 1.5)
                torch.nn.init.normal_(layer.running_mean, std=0.2)
                torch.nn.init.uniform_(layer.running_var, 0.5, 1.5)
        models[name] = model.eval()
    return models


def state_of(model: Any) -> State:
    return {k: v.clone() for k, v in model.state_dict().items()}


@pytest.fixture(scope="module")
def files(originals: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("weights")
    paths = {name: folder / f"{ARCHITECTURES[name]}.safetensors" for name in ARCHITECTURES}
    for name, path in paths.items():
        save_file(state_of(originals[name]), path)
    return paths


def tripled(x: torch.Tensor, mean: Any, std: Any) -> torch.Tensor:
    """A grey frame in three channels, each normalised with its own mean and deviation."""
    mean, std = (torch.tensor(v).expand(3).reshape(1, 3, 1, 1) for v in (mean, std))
    return (x.expand(-1, 3, -1, -1) - mean) / std


def frames(size: int) -> torch.Tensor:
    return torch.rand(2, 1, size, size, generator=torch.Generator().manual_seed(2))


def features_of(module: Any, x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return module(x)[0]  # type: ignore[no-any-return]


def assert_alike(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))


# --------------------------------------------------------------------------- loading


def test_one_channel_sees_what_three_saw_of_a_grey_frame(
    originals: dict[str, Any], files: dict[str, Path]
) -> None:
    """ViT's weights expect 0.5 and 0.5 of each channel; ResNet's channels differ, and get the mean."""
    x = frames(224)
    with torch.no_grad():
        vit = originals[VIT]
        expected = vit.forward_head(vit.forward_features(tripled(x, 0.5, 0.5)), pre_logits=True)
        assert_alike(features_of(loaded(VIT, files[VIT], 224), x), expected)
        resnet, mean = originals[RESNET], (0.485 + 0.456 + 0.406) / 3
        y = tripled(x, mean, (0.229 + 0.224 + 0.225) / 3)
        expected = resnet.forward_head(resnet.forward_features(y), pre_logits=True)
        assert_alike(features_of(loaded(RESNET, files[RESNET], 224), x), expected)


def test_position_embeddings_are_resampled_to_the_size(files: dict[str, Path]) -> None:
    x = frames(64)
    overlay = {"file": str(files[VIT])}
    reference = timm.create_model(
        ARCHITECTURES[VIT], pretrained=True, img_size=64, pretrained_cfg_overlay=overlay
    )
    with torch.no_grad():
        maps = reference.eval().forward_features(tripled(x, 0.5, 0.5))
        expected = reference.forward_head(maps, pre_logits=True)
    network = network_of(VIT)
    check_weights(network, params_of(network, size=64), str(files[VIT]))
    assert_alike(features_of(loaded(VIT, files[VIT], 64), x), expected)


def without_head(state: State) -> State:
    return {k: v for k, v in state.items() if not k.startswith("fc.")}


def other_head(state: State) -> State:
    return state | {"fc.weight": torch.ones(5, 512), "fc.bias": torch.ones(5)}


def one_channel(state: State) -> State:
    return state | {"conv1.weight": state["conv1.weight"].sum(1, keepdim=True)}


WRAPPINGS: dict[str, Callable[[State], Any]] = {
    "plain.pth": lambda state: state,
    "state_dict.pth": lambda state: {"epoch": 3, "state_dict": state},
    "model.bin": lambda state: {"model": state},
    "of several devices.pt": lambda state: {f"module.{k}": v for k, v in state.items()},
    "without classifier.pth": without_head,
    "other classes.pth": other_head,
    "one channel.pth": one_channel,
}


@pytest.mark.parametrize("wrapping", WRAPPINGS)
def test_files_of_many_kinds_give_the_same_network(
    wrapping: str, originals: dict[str, Any], files: dict[str, Path], tmp_path: Path, caplog: Any
) -> None:
    torch.save(WRAPPINGS[wrapping](state_of(originals[RESNET])), tmp_path / wrapping)
    network = network_of(RESNET)
    check_weights(network, params_of(network, size=64), str(tmp_path / wrapping))
    found = loaded(RESNET, tmp_path / wrapping, 64)
    expected = loaded(RESNET, files[RESNET], 64)
    assert found.state_dict().keys() == expected.state_dict().keys()
    for name, value in expected.model.state_dict().items():
        assert torch.equal(found.model.state_dict()[name], value), name
    assert not [r for r in caplog.records if r.levelname in {"WARNING", "ERROR"}]


def test_the_head_starts_from_the_seed_alone(files: dict[str, Path]) -> None:
    """Neither the weights nor how timm builds a model has a say in how a head starts."""
    heads = []
    for seed in (4, 4, 5):
        torch.manual_seed(seed)
        heads.append(loaded(RESNET, files[RESNET], 64).head.weight)
    assert torch.equal(heads[0], heads[1])
    assert not torch.equal(heads[0], heads[2])


# --------------------------------------------------------------------------- files that do not fit


def renamed(state: State) -> State:
    return {k.replace("layer4.1.bn2", "layer4.1.norm"): v for k, v in state.items()}


def reshaped(state: State) -> State:
    return state | {"layer1.0.conv1.weight": torch.zeros(64, 64, 1, 1)}


def four_channels(state: State) -> State:
    return state | {"conv1.weight": torch.zeros(64, 4, 7, 7)}


def deeper(state: State) -> State:
    return without_head(timm.create_model("resnet34", pretrained=False).state_dict())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            renamed,
            r"5 of its 120 layers missing \(layer4.1.bn2.weight, .*, ... 2 more\); "
            r"5 of the file's 120 unknown \(layer4.1.norm.bias, .*\)",
        ),
        (
            reshaped,
            r"1 of another shape \(layer1.0.conv1.weight \(64, 64, 1, 1\) for \(64, 64, 3, 3\)\)",
        ),
        (four_channels, r"1 of another shape \(conv1.weight \(64, 4, 7, 7\) for \(64, 1, 7, 7\)\)"),
        (deeper, r"96 of the file's 216 unknown \(layer1.2.bn1.bias, .*\)"),
    ],
)
def test_weights_of_other_layers_are_refused(
    change: Callable[[State], State], message: str, originals: dict[str, Any], tmp_path: Path
) -> None:
    path = tmp_path / "other.safetensors"
    save_file(change(state_of(originals[RESNET])), path)
    network = network_of(RESNET)
    named = rf"weights {path}: not those of resnet18.a1_in1k: {message}$"
    with pytest.raises(ValueError, match=rf"^{RESNET}: {named}"):
        check_weights(network, params_of(network, size=64), str(path))
    with pytest.raises(ValueError, match=f"^{named}"):  # and nobody can skip the check
        loaded(RESNET, path, 64)


def test_a_conversion_that_leaves_layers_out_is_refused(tmp_path: Path) -> None:
    """timm pairs a file of NextViT's authors with its own layers by order alone, as far as it goes."""
    path = tmp_path / "short.safetensors"
    save_file({"a.weight": torch.zeros(3)}, path)
    network = network_of("timm:nextvit_small")
    with pytest.raises(ValueError, match=r"not those of nextvit_small.*: \d+ of its \d+ layers missing"):
        check_weights(network, params_of(network), str(path))


@pytest.mark.parametrize(
    ("name", "content"),
    [("text.pth", b"not weights"), ("text.safetensors", b"not weights"), ("empty.pt", b"")],
)
def test_unreadable_files_are_refused(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    network = network_of(RESNET)
    message = rf"^{RESNET}: weights {tmp_path / name}: must be a file of safetensors or PyTorch"
    with pytest.raises(ValueError, match=message):
        check_weights(network, params_of(network, size=64), str(tmp_path / name))


@pytest.mark.parametrize("suffix", ["safetensors", "pth"])
def test_a_file_that_is_cut_is_refused(suffix: str, originals: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / f"cut.{suffix}"
    state = state_of(originals[RESNET])
    save_file(state, path) if suffix == "safetensors" else torch.save(state, path)
    path.write_bytes(path.read_bytes()[:-100_000])
    network = network_of(RESNET)
    with pytest.raises(ValueError, match="must be a file of safetensors or PyTorch"):
        check_weights(network, params_of(network, size=64), str(path))


# --------------------------------------------------------------------------- finding files


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """Empty caches of their own, and a hub at an address; gives the hub's cache folder."""
    from huggingface_hub import constants

    def at(address: str) -> Path:
        cache = tmp_path / "hub cache"
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
        monkeypatch.setattr(constants, "ENDPOINT", address)
        template = address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "torch cache"))
        return cache

    return at


def test_a_folder_is_searched_first_for_the_most_exact_name(
    hub: Callable[[str], Path], tmp_path: Path
) -> None:
    hub(CLOSED)
    folder, network = tmp_path / "mine", network_of("xception")
    folder.mkdir()
    names = (
        "xception-43020ad28.pth",
        "xception.pt",
        "legacy_xception.bin",
        "legacy_xception.tf_in1k.pth",
        "legacy_xception.tf_in1k.safetensors",
    )
    for name in names:
        (folder / name).touch()
        assert find_weights(network, str(folder)) == str(folder / name)


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"^--weights {tmp_path}/no: no such folder$"):
        find_weights(network_of(RESNET), str(tmp_path / "no"))


def test_a_network_without_pretrained_weights_is_refused() -> None:
    with pytest.raises(ValueError, match=r"^lenet: weights must be random: it has no pretrained weights$"):
        find_weights(network_of("lenet"), None)


def test_nothing_to_be_had_says_what_to_do(
    hub: Callable[[str], Path], tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: Any
) -> None:
    hub(CLOSED)
    folder = tmp_path / "mine"
    folder.mkdir()
    started = time.monotonic()
    with pytest.raises(ValueError) as found:
        find_weights(network_of(RESNET), str(folder))
    assert time.monotonic() - started < 10
    assert str(found.value) == (
        f"timm:resnet18: pretrained weights resnet18.a1_in1k are not in --weights {folder}, the cache or to "
        f"be had from the hub: download {CLOSED}/timm/resnet18.a1_in1k/resolve/main/model.safetensors as "
        "resnet18.a1_in1k.safetensors into a folder and give it as --weights DIR, or choose weights: random"
    )
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


def test_weights_at_a_url_alone_are_named(
    hub: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    hub(CLOSED)
    asked: list[str] = []
    monkeypatch.setattr(weights_module, "_reachable", asked.append)
    with pytest.raises(ValueError, match=r"download https://.*/xception-43020ad28.pth as legacy_xception"):
        find_weights(network_of("xception"), None)
    assert asked == [timm.get_pretrained_cfg("legacy_xception").url]


def test_what_timm_downloaded_before_is_found(hub: Callable[[str], Path], tmp_path: Path) -> None:
    repository = hub(CLOSED) / "models--timm--resnet18.a1_in1k"
    commit = "0" * 40
    file = repository / "snapshots" / commit / "model.safetensors"
    for path, text in ((repository / "refs" / "main", commit), (file, "weights")):
        path.parent.mkdir(parents=True)
        path.write_text(text)
    assert find_weights(network_of(RESNET), None) == str(file)
    old = tmp_path / "torch cache" / "checkpoints" / "xception-43020ad28.pth"
    old.parent.mkdir(parents=True)
    old.write_text("weights")
    assert find_weights(network_of("xception"), None) == str(old)


class Hub(BaseHTTPRequestHandler):
    """The least of a hub: one repository with a PyTorch file and no safetensors."""

    PATH = "/timm/resnet18.a1_in1k/resolve/main/pytorch_model.bin"
    CONTENT = b"the weights"

    def do_HEAD(self) -> None:
        self.send_response(200 if self.path == self.PATH else 404)
        self.send_header("X-Repo-Commit", "1" * 40)
        self.send_header("ETag", '"etag"')
        self.send_header("Content-Length", str(len(self.CONTENT) if self.path == self.PATH else 0))
        self.end_headers()

    def do_GET(self) -> None:
        self.do_HEAD()
        if self.path == self.PATH:
            self.wfile.write(self.CONTENT)

    def log_message(self, *arguments: object) -> None:
        pass


def test_weights_come_from_the_hub(hub: Callable[[str], Path]) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        cache = hub(f"http://127.0.0.1:{server.server_port}")
        path = Path(find_weights(network_of(RESNET), None))
    finally:
        server.shutdown()
        server.server_close()
    assert path.is_relative_to(cache)
    assert path.read_bytes() == Hub.CONTENT
    assert find_weights(network_of(RESNET), None) == str(path), "and are kept"


def test_the_digest_is_of_the_content(tmp_path: Path) -> None:
    for name, content in (("a", b"one"), ("b", b"one"), ("c", b"two")):
        (tmp_path / name).write_bytes(content)
    digests = [weights_digest(str(tmp_path / name)) for name in "abc"]
    assert digests[0] == digests[1] == hashlib.blake2b(b"one", digest_size=16).hexdigest()
    assert digests[2] != digests[0]
