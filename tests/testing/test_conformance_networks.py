"""Conformance: every network passes every check, at the least size that it takes and on one core.

A new file in ``featurizers/`` that holds a network is held to these without a line of test code. That its
layers are those of its paper is tested in ``test_networks_architectures``.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from sweeper import plugins
from sweeper.api import PRETRAINED, Interval, Network, NetworkBuild
from sweeper.features.blocks import (
    BlockInfo,
    block_info,
    logit_columns,
    network_table,
    read_rows,
    representation_columns,
    to_parquet,
)
from sweeper.features.names import block_name, column_name, parse_column
from sweeper.space.file import parse_space
from tests.testing.test_conformance import assert_axes_are_sound, default_params

torch = pytest.importorskip("torch")

CLASSES = 3
NETWORKS = [n for n in plugins.featurizer_examples() if isinstance(plugins.featurizer(n), Network)]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def network_of(name: str) -> Network:
    network = plugins.featurizer(name)
    assert isinstance(network, Network)
    return network


def small_params(network: Network) -> dict[str, Any]:
    """Defaults, at the least size, and without pretrained weights."""
    size = next(axis for axis in network.axes if axis.name == "size").legal
    assert isinstance(size, Interval)
    params = default_params(network.all_axes) | {"size": max(64, int(size.low))}
    return params | ({"weights": "random"} if "weights" in params else {})


@functools.lru_cache(maxsize=1)
def built(name: str) -> Any:
    """One network at a time: some have more than a hundred million weights."""
    network = network_of(name)
    torch.manual_seed(0)
    return network.build(NetworkBuild(small_params(network), CLASSES)).eval()  # type: ignore[attr-defined]


def frames(name: str, n: int, seed: int = 0) -> Any:
    size = small_params(network_of(name))["size"]
    return torch.rand(n, 1, size, size, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("name", NETWORKS)
class TestEveryNetwork:
    def test_declares_what_a_sweep_asks(self, name: str) -> None:
        network = network_of(name)
        assert network.name == name
        assert network.version >= 1
        assert network.source.strip()
        names = [axis.name for axis in network.axes]
        assert {"training_set", "size"} <= set(names)
        assert ("weights" in names) == (network.pretrained is not None)
        assert_axes_are_sound(name, network.all_axes)

    def test_a_space_may_leave_all_to_the_defaults(self, name: str) -> None:
        network = network_of(name)
        space = parse_space({"featurizers": [name], "classifiers": ["rf"]}, default_name="conformance")
        assert [p.featurizer_params for p in space.grid()] == [default_params(network.all_axes)]

    def test_without_training_it_has_no_recipe(self, name: str) -> None:
        network = network_of(name)
        if network.pretrained is None:
            with pytest.raises(ValueError, match="training_set must be one of"):
                parse_space(
                    {"featurizers": {name: {"training_set": PRETRAINED}}, "classifiers": ["rf"]},
                    default_name="conformance",
                )
            return
        written = {name: {"training_set": ["unbalanced", PRETRAINED], "learning_rate": [0.001, 0.01]}}
        space = parse_space({"featurizers": written, "classifiers": ["rf"]}, default_name="conformance")
        found = [p.featurizer_params for p in space.grid()]
        assert len(found) == space.size == 3  # the learning rate means nothing to the one not trained
        assert [set(p) for p in found if p["training_set"] == PRETRAINED] == [{a.name for a in network.axes}]

    def test_column_names_are_unique_and_parse_back(self, name: str) -> None:
        network = network_of(name)
        params = small_params(network)
        names = [*representation_columns(network, params), *logit_columns(network, params, CLASSES)]
        assert len(set(names)) == len(names) == network.width(params) + CLASSES
        for column in (names[0], names[-1]):
            assert parse_column(column)[2] == params
            assert column_name(*parse_column(column)) == column

    def test_reading_maps_is_the_whole_network(self, name: str) -> None:
        module, x = built(name), frames(name, 2)
        with torch.inference_mode():
            maps = module.maps(x)
            features, logits = module.read(maps)
            whole = module(x)
        assert maps.ndim == 4
        assert features.shape == (2, network_of(name).width(small_params(network_of(name))))
        assert logits.shape == (2, CLASSES)
        assert torch.isfinite(features).all()
        for a, b in zip(whole, (features, logits), strict=True):
            torch.testing.assert_close(a, b)

    def test_a_frame_does_not_depend_on_those_beside_it(self, name: str) -> None:
        module, x = built(name), frames(name, 3)
        with torch.inference_mode():
            together = module(x)[0]
            alone = torch.cat([module(x[i : i + 1])[0] for i in range(3)])
        torch.testing.assert_close(together, alone, rtol=1e-3, atol=1e-4)

    def test_tells_frames_apart(self, name: str) -> None:
        with torch.inference_mode():
            a, b = built(name)(frames(name, 2))[0]
        assert not torch.equal(a, b)

    def test_the_seed_decides_the_weights(self, name: str) -> None:
        network, first = network_of(name), {k: v.clone() for k, v in built(name).state_dict().items()}
        for seed, same in ((0, True), (1, False)):
            torch.manual_seed(seed)
            other: Any = network.build(NetworkBuild(small_params(network), CLASSES))
            equal = [torch.equal(v, first[k]) for k, v in other.state_dict().items()]
            assert all(equal) == same
            del other

    def test_rows_come_back_from_a_block_file(self, name: str) -> None:
        network = network_of(name)
        params = small_params(network)
        rng, rows = np.random.default_rng(0), np.array([6, 1, 3])
        features = rng.normal(size=(3, network.width(params))).astype(np.float32)
        logits = rng.normal(size=(3, CLASSES)).astype(np.float32)
        info = BlockInfo((block_name(name, params),), 3, 1.0, 2.0, 30.0)
        file = to_parquet(network_table(network, params, rows, features, logits), info)
        assert block_info(file) == info
        for columns, expected in (
            (representation_columns(network, params), features),
            (logit_columns(network, params, CLASSES), logits),
        ):
            matrix = read_rows([file], columns, 8)
            np.testing.assert_array_equal(matrix[rows], expected)
            assert np.isnan(np.delete(matrix, rows, axis=0)).all()
