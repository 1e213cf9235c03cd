"""Checks of networks, at the least size that each takes, with random weights and on one core."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from sweeper.api import PRETRAINED, Interval, Network, NetworkBuild
from sweeper.errors import CheckFailedError, InputError
from sweeper.features.blocks import (
    BlockInfo,
    block_info,
    logit_columns,
    network_columns,
    network_table,
    read_rows,
    to_parquet,
)
from sweeper.features.names import block_name, column_name, parse_column
from sweeper.space.file import parse_space
from sweeper.testing.checks import (
    Check,
    default_params,
    expect,
    expect_close,
    expect_declared,
    expect_equal,
    expect_sound_axes,
)

_CLASSES = 3
_LEAST_SIZE = 64

# --------------------------------------------------------------------------- what is tried


def small_params(network: Network) -> dict[str, Any]:
    """Return the defaults, at the least size and without pretrained weights."""
    size = next(axis.legal for axis in network.axes if axis.name == "size")
    assert isinstance(size, Interval)
    params = default_params(network.all_axes) | {"size": max(_LEAST_SIZE, int(size.low))}
    return params | ({"weights": "random"} if "weights" in params else {})


@contextlib.contextmanager
def _quietly(seed: int = 0) -> Iterator[Any]:
    """Give torch on one thread with a seeded generator; put both back afterwards."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield torch
    finally:
        torch.set_num_threads(threads)


_last: list[tuple[Network, Any]] = []
"""The module that was built last: some have more than a hundred million weights."""


def _built(network: Network) -> Any:
    if not _last or _last[0][0] is not network:
        _last.clear()
        with _quietly():
            module: Any = network.build(NetworkBuild(small_params(network), _CLASSES))
            _last.append((network, module.eval()))
    return _last[0][1]


def _frames(network: Network, n: int) -> Any:
    import torch

    size = small_params(network)["size"]
    return torch.rand(n, 1, size, size, generator=torch.Generator().manual_seed(0))


# --------------------------------------------------------------------------- checks


def check_it_declares_what_a_sweep_asks(network: Network) -> None:
    """Check version, source and axes: training_set and size, and weights where there are pretrained ones."""
    expect_declared(network.name, network.version, network.source)
    names = [axis.name for axis in network.axes]
    for needed in ("training_set", "size"):
        expect(needed in names, f"its axes must have {needed}")
    expect(("weights" in names) == (network.pretrained is not None), "pretrained needs an axis weights")
    expect_sound_axes(network.name, network.all_axes)


def check_a_space_may_leave_all_to_the_defaults(network: Network) -> None:
    """Check that a search space that only names it has one choice: the defaults."""
    space = parse_space({"featurizers": [network.name], "classifiers": ["rf"]}, default_name="conformance")
    found = [pipeline.featurizer_params for pipeline in space.grid()]
    expect_equal(found, [default_params(network.all_axes)], "parameters")


def check_without_training_it_has_no_recipe(network: Network) -> None:
    """Check that the training set pretrained drops the recipe, or is refused where nothing is pretrained."""
    if network.pretrained is None:
        written: dict[str, Any] = {network.name: {"training_set": PRETRAINED}}
        try:
            parse_space({"featurizers": written, "classifiers": ["rf"]}, default_name="conformance")
        except InputError as refused:
            expect("training_set must be one of" in str(refused), f"pretrained is refused by: {refused}")
            return
        raise CheckFailedError("the training set pretrained must be refused: there are no pretrained weights")
    written = {network.name: {"training_set": ["unbalanced", PRETRAINED], "learning_rate": [0.001, 0.01]}}
    space = parse_space({"featurizers": written, "classifiers": ["rf"]}, default_name="conformance")
    found = [pipeline.featurizer_params for pipeline in space.grid()]
    expect_equal(len(found), 3, "choices of two learning rates, trained and not trained")
    untrained = [set(params) for params in found if params["training_set"] == PRETRAINED]
    expect_equal(untrained, [{axis.name for axis in network.axes}], "parameters without training")


def check_column_names_are_unique_and_parse_back(network: Network) -> None:
    """Check that names of features and logits are as many as `width` and the classes, and parse back."""
    params = small_params(network)
    names = [*network_columns(network, params), *logit_columns(network, params, _CLASSES)]
    expect_equal(len(names), network.width(params) + _CLASSES, "number of columns")
    expect(len(set(names)) == len(names), "two columns have the same name")
    for name in (names[0], names[-1]):
        expect_equal(parse_column(name)[2], params, "parameters parsed from a name")
        expect_equal(column_name(*parse_column(name)), name, "a name written again")


def check_reading_maps_is_the_whole_network(network: Network) -> None:
    """Check that forward is read(maps(x)), and the shapes of maps, features and logits."""
    module, x = _built(network), _frames(network, 2)
    with _quietly() as torch, torch.inference_mode():
        maps = module.maps(x)
        features, logits = module.read(maps)
        whole = module(x)
    expect_equal(maps.ndim, 4, "dimensions of the maps")
    expect_equal(tuple(features.shape), (2, network.width(small_params(network))), "shape of the features")
    expect_equal(tuple(logits.shape), (2, _CLASSES), "shape of the logits")
    for name, a, b in zip(("features", "logits"), whole, (features, logits), strict=True):
        expect(bool(np.isfinite(b.numpy()).all()), f"{name} are not finite")
        expect_close(a.numpy(), b.numpy(), f"{name} of forward and of read(maps(x))", rtol=1.3e-6, atol=1e-5)


def check_a_frame_does_not_depend_on_those_beside_it(network: Network) -> None:
    """Check that features in a batch equal those of each frame alone."""
    module, x = _built(network), _frames(network, 3)
    with _quietly() as torch, torch.inference_mode():
        together = module(x)[0].numpy()
        alone = np.concatenate([module(x[i : i + 1])[0].numpy() for i in range(3)])
    expect_close(together, alone, "features in a batch and alone", rtol=1e-3, atol=1e-4)


def check_it_tells_frames_apart(network: Network) -> None:
    """Check that two frames have different features."""
    with _quietly() as torch, torch.inference_mode():
        a, b = _built(network)(_frames(network, 2))[0]
        expect(not torch.equal(a, b), "two random frames have the same features")


def check_the_seed_decides_the_weights(network: Network) -> None:
    """Check that torch's seed, and nothing else, decides the initial weights."""
    first = {name: value.clone() for name, value in _built(network).state_dict().items()}
    for seed in (0, 1):
        with _quietly(seed) as torch:
            module: Any = network.build(NetworkBuild(small_params(network), _CLASSES))
            same = all(torch.equal(value, first[name]) for name, value in module.state_dict().items())
        del module
        expect(same or seed == 1, "the same seed gives other weights")
        expect(not same or seed == 0, "another seed gives the same weights")


def check_rows_come_back_from_a_block_file(network: Network) -> None:
    """Check that a sweep reads features and logits as they were written, bit for bit."""
    params = small_params(network)
    rng, rows = np.random.default_rng(0), np.array([6, 1, 3])
    features = rng.normal(size=(3, network.width(params))).astype(np.float32)
    logits = rng.normal(size=(3, _CLASSES)).astype(np.float32)
    info = BlockInfo((block_name(network.name, params),), 3, 1.0, 2.0, 30.0)
    file = to_parquet(network_table(network, params, rows, features, logits), info)
    expect_equal(block_info(file), info, "what the file says of itself")
    for columns, wanted in (
        (network_columns(network, params), features),
        (logit_columns(network, params, _CLASSES), logits),
    ):
        matrix = read_rows([file], columns, 8)
        expect(bool(np.array_equal(matrix[rows], wanted)), "rows read back differ")
        expect(
            bool(np.isnan(np.delete(matrix, rows, axis=0)).all()), "rows that were not written have values"
        )


def network_checks() -> tuple[Check, ...]:
    """Return all checks of a :class:`Network`; all but the first four build it."""
    return (
        check_it_declares_what_a_sweep_asks,
        check_a_space_may_leave_all_to_the_defaults,
        check_without_training_it_has_no_recipe,
        check_column_names_are_unique_and_parse_back,
        check_reading_maps_is_the_whole_network,
        check_a_frame_does_not_depend_on_those_beside_it,
        check_it_tells_frames_apart,
        check_the_seed_decides_the_weights,
        check_rows_come_back_from_a_block_file,
    )
