"""Conformance: every featurizer and classifier in its folder passes every check, with small frames.

A new plugin is held to these without a line of test code (networks: ``test_conformance_networks``). What a
featurizer's numbers mean is held to an independent reference in ``test_featurizers_numerics``; that
classifiers learn, in ``test_classifiers``.
"""

from __future__ import annotations

import ast
import functools
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sweeper import plugins
from sweeper.api import (
    CLASS_WEIGHT,
    Axis,
    Classifier,
    Either,
    Featurizer,
    Interval,
    Legal,
    OneOf,
    Params,
    PreparedFrame,
)
from sweeper.data.intensity import prepare
from sweeper.features.blocks import (
    BlockInfo,
    dense_table,
    read_descriptors,
    read_matrix,
    representation_blocks,
    representation_columns,
    to_parquet,
)
from sweeper.features.names import block_name, column_name, parse_column
from sweeper.space.file import parse_space
from tests.conftest import REPOSITORY

FEATURIZERS = tuple(
    name
    for name in plugins.featurizer_names()
    if plugins.family(name) is None and isinstance(plugins.featurizer(name), Featurizer)
)
CLASSIFIERS = plugins.classifier_names()
FILES = plugins.featurizer_names()

Rows = list[NDArray[Any]]

# --------------------------------------------------------------------------- what is tried


def featurizer_of(name: str) -> Featurizer:
    featurizer = plugins.featurizer(name)
    assert isinstance(featurizer, Featurizer)
    return featurizer


def values_of(legal: Legal) -> tuple[Any, ...]:
    """Some legal values: all of a list, both ends and the middle of an interval."""
    if isinstance(legal, OneOf):
        return legal.values
    if isinstance(legal, Interval):
        middle = (legal.low + legal.high) / 2
        return tuple(int(v) if legal.integer else v for v in (legal.low, middle, legal.high))
    if isinstance(legal, Either):
        return tuple(v for option in legal.options for v in values_of(option))
    return ()


def defaults_of(axis: Axis) -> tuple[Any, ...]:
    return axis.default if axis.many and isinstance(axis.default, tuple) else (axis.default,)


def default_params(axes: Sequence[Axis]) -> dict[str, Any]:
    return {axis.name: axis.default for axis in axes}


def blocks_of(featurizer: Featurizer) -> list[dict[str, Any]]:
    """The default block, each axis varied alone, and the block of each axis's last value."""
    tried = {a.name: (*defaults_of(a), *values_of(a.legal)) for a in featurizer.axes}
    usual = {name: values[0] for name, values in tried.items()}
    blocks = [usual, *(usual | {name: value} for name, values in tried.items() for value in values)]
    blocks.append({name: values[-1] for name, values in tried.items()})
    return list({json.dumps(block): block for block in blocks}.values())


def counts(shape: tuple[int, int], seed: int = 0) -> NDArray[np.uint16]:
    """Poisson counts on a few bright spots: texture, keypoints and flat ground."""
    rng = np.random.default_rng(seed)
    row, column = np.mgrid[: shape[0], : shape[1]]
    mean = np.full(shape, 20.0)
    for _ in range(6):
        at, width = rng.uniform(0, shape), rng.uniform(1.5, 5)
        mean += 400 * np.exp(-((row - at[0]) ** 2 + (column - at[1]) ** 2) / (2 * width**2))
    return rng.poisson(mean).astype(np.uint16)


def gaps(shape: tuple[int, int]) -> NDArray[np.bool_]:
    """A mask, True where invalid: a gap between modules and scattered dead pixels."""
    mask = np.random.default_rng(5).random(shape) < 0.01
    mask[:, shape[1] // 3 : shape[1] // 3 + 3] = True
    return mask


def corner(shape: tuple[int, int]) -> NDArray[np.bool_]:
    """A mask of one corner, a quarter of each side."""
    mask = np.zeros(shape, np.bool_)
    mask[: shape[0] // 4, : shape[1] // 4] = True
    return mask


MASKS = {"gaps": gaps, "corner": corner}


def assert_equal(found: Rows, expected: Rows) -> None:
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def assert_rows_fit(featurizer: Featurizer, blocks: Sequence[Params], rows: Rows) -> None:
    """One row a block; finite doubles as many as columns, or descriptors of the declared width."""
    assert len(rows) == len(blocks)
    for block, row in zip(blocks, rows, strict=True):
        where = block_name(featurizer.name, block)
        if featurizer.codebook is not None:
            assert row.dtype == np.uint8, where
            assert row.ndim == 2, where
            assert row.shape[1] == featurizer.descriptor_width, where
        else:
            assert row.dtype == np.float64, where
            assert row.shape == (len(featurizer.columns(block)),), where
            assert np.isfinite(row).all(), where


def assert_axes_are_sound(owner: str, axes: Sequence[Axis]) -> None:
    assert len({axis.name for axis in axes}) == len(axes)
    for axis in axes:
        assert axis.doc, f"{owner}: {axis.name} has no doc"
        assert not axis.many or isinstance(axis.default, tuple), f"{owner}: {axis.name} takes many values"
        defaults = defaults_of(axis)
        assert defaults, f"{owner}: {axis.name} needs a default"
        for value in (*defaults, *values_of(axis.legal)):
            if value not in axis.refused:
                axis.check(owner, value)
        for value, reason in axis.refused.items():
            assert reason
            with pytest.raises(ValueError, match="is refused") as refused:
                axis.check(owner, value)
            assert reason in str(refused.value)
        with pytest.raises(ValueError, match=f"^{owner}: {axis.name} must be "):
            axis.check(owner, "no such value")


# --------------------------------------------------------------------------- both kinds


@functools.cache
def loaded_by_import() -> dict[str, list[str]]:
    """Libraries that importing each plugin's file loads, all in one process.

    Allowed are the standard library and numpy, which :mod:`sweeper.api` loads anyway.
    """
    code = (
        "import importlib, json, sys, sweeper.plugins\n"
        f"kinds = {{'featurizers': {FILES!r}, 'classifiers': {CLASSIFIERS!r}}}\n"
        "found = {}\n"
        "for kind, names in kinds.items():\n"
        "    for name in names:\n"
        "        before = set(sys.modules)\n"
        "        importlib.import_module(f'{kind}.{name}')\n"
        "        roots = {m.partition('.')[0] for m in set(sys.modules) - before}\n"
        "        ours = {'numpy', 'sweeper', 'featurizers', 'classifiers'}\n"
        "        found[f'{kind}.{name}'] = sorted(roots - ours - sys.stdlib_module_names)\n"
        "print(json.dumps(found))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=REPOSITORY
    )
    found: dict[str, list[str]] = json.loads(run.stdout)
    return found


@pytest.mark.parametrize(
    "module", [*(f"featurizers.{n}" for n in FILES), *(f"classifiers.{n}" for n in CLASSIFIERS)]
)
class TestEveryPluginFile:
    def test_is_documented(self, module: str) -> None:
        kind, name = module.split(".")
        path = REPOSITORY / kind / f"{name}.py"
        assert ast.get_docstring(ast.parse(path.read_text())), f"{path.name} needs a docstring"

    def test_importing_it_loads_no_library(self, module: str) -> None:
        assert loaded_by_import()[module] == [], "import libraries inside functions"


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_classifier_declares_what_a_sweep_asks(name: str) -> None:
    classifier: Classifier = plugins.classifier(name)
    assert classifier.name == name
    assert isinstance(classifier.version, int)
    assert classifier.version >= 1
    assert classifier.source.strip()
    assert classifier.budget in {"trees", "rows", "epochs"}
    assert_axes_are_sound(name, classifier.axes)
    head = classifier.is_head  # a network's own: how it weighs classes is its training set's
    assert head or CLASS_WEIGHT in classifier.axes
    # A space may name it and leave everything else to the defaults.
    featurizer = "lenet" if head else "histogram"
    written = {"featurizers": [featurizer], "reducers": ["none"], "classifiers": [name]}
    space = parse_space(written, default_name="conformance")
    assert [p.classifier_params for p in space.grid()] == [default_params(classifier.axes)]


# --------------------------------------------------------------------------- featurizers


@pytest.mark.parametrize("name", FEATURIZERS)
class TestEveryFeaturizer:
    def test_declares_what_a_sweep_asks(self, name: str) -> None:
        featurizer = featurizer_of(name)
        assert featurizer.name == name
        assert isinstance(featurizer.version, int)
        assert featurizer.version >= 1
        assert featurizer.source.strip()
        assert (featurizer.codebook is None) == (featurizer.descriptor_width == 0)
        assert_axes_are_sound(name, featurizer.all_axes)
        space = parse_space({"featurizers": [name], "classifiers": ["rf"]}, default_name="conformance")
        assert [p.featurizer_params for p in space.grid()] == [default_params(featurizer.all_axes)]

    def test_column_names_are_unique_and_parse_back(self, name: str) -> None:
        featurizer = featurizer_of(name)
        blocks = blocks_of(featurizer)
        if featurizer.codebook is not None:
            names = representation_columns(featurizer, default_params(featurizer.all_axes))
            assert len(names) == featurizer.codebook.default
        else:
            names = [column_name(name, c, block) for block in blocks for c in featurizer.columns(block)]
            assert all(featurizer.columns(block) for block in blocks)
            parsed = [(name, c, block) for block in blocks for c in featurizer.columns(block)]
            assert [parse_column(n) for n in names] == parsed
        assert len(set(names)) == len(names)
        for column in names:
            assert column_name(*parse_column(column)) == column

    def test_blocks_are_independent_and_in_the_order_asked(self, name: str) -> None:
        featurizer = featurizer_of(name)
        blocks, frame = blocks_of(featurizer), prepare(counts((40, 36)), {})
        rows = featurizer.compute(frame, blocks)
        assert_rows_fit(featurizer, blocks, rows)
        for block, row in zip(blocks, rows, strict=True):
            assert_equal(featurizer.compute(frame, [block]), [row])
        assert_equal(featurizer.compute(frame, blocks[::-1]), rows[::-1])

    def test_is_deterministic_and_leaves_the_frame_alone(self, name: str) -> None:
        featurizer = featurizer_of(name)
        blocks, raw = blocks_of(featurizer), counts((40, 36))
        frame, untouched = (prepare(raw, {}, gaps(raw.shape)) for _ in range(2))
        np.random.seed(1)  # noqa: NPY002
        rows = featurizer.compute(frame, blocks)
        featurizer.compute(prepare(counts((17, 23), seed=3), {"levels": 16}), blocks)  # nothing may stay
        np.random.seed(2)  # noqa: NPY002
        assert_equal(featurizer.compute(frame, blocks), rows)
        for field in fields(PreparedFrame):
            np.testing.assert_array_equal(getattr(frame, field.name), getattr(untouched, field.name))
        np.testing.assert_array_equal(frame.quantised, untouched.quantised)

    def test_tells_frames_apart(self, name: str) -> None:
        featurizer = featurizer_of(name)
        blocks = blocks_of(featurizer)
        spots, flat = (
            featurizer.compute(prepare(raw, {}), blocks)
            for raw in (counts((64, 64)), np.full((64, 64), 3, np.uint16))
        )
        assert all(not np.array_equal(a, b) for a, b in zip(spots, flat, strict=True))

    @pytest.mark.parametrize("where", ["gaps", "corner"])
    def test_what_stands_under_the_mask_does_not_matter(self, name: str, where: str) -> None:
        """From counts on; and with the prepared frame's zeros there overwritten as well."""
        featurizer = featurizer_of(name)
        blocks, raw = blocks_of(featurizer), counts((96, 80))
        mask = MASKS[where](raw.shape)
        other = np.where(mask, np.random.default_rng(8).integers(0, 65536, raw.shape), raw).astype(np.uint16)
        assert (other != raw).any()
        frame = prepare(raw, {"levels": 32}, mask)
        rows = featurizer.compute(frame, blocks)
        if where == "corner":  # it leaves room: not even windows around keypoints all touch it
            assert all(row.size for row in rows)
        assert_equal(featurizer.compute(prepare(other, {"levels": 32}, mask), blocks), rows)
        overwritten = replace(
            frame,
            counts=np.where(frame.valid, frame.counts, np.float32(5000)),
            image=np.where(frame.valid, frame.image, np.float32(0.7)),
        )
        assert_equal(featurizer.compute(overwritten, blocks), rows)

    @pytest.mark.parametrize("levels", [2, 256])
    def test_degenerate_frames_give_finite_rows(self, name: str, levels: int) -> None:
        featurizer = featurizer_of(name)
        blocks = blocks_of(featurizer)
        texture = counts((24, 24))
        few = np.ones((24, 24), np.bool_)
        few[3, 4] = few[3, 5] = few[20, 11] = False
        one = np.ones((24, 24), np.bool_)
        one[12, 12] = False
        frames: list[tuple[NDArray[Any], NDArray[np.bool_] | None]] = [
            (np.zeros((24, 24), np.uint16), None),
            (np.full((24, 24), 2**15, np.uint16), None),
            (texture, few),
            (texture, one),
            *((counts(shape), None) for shape in ((1, 1), (1, 30), (30, 1), (2, 2), (8, 8))),
        ]
        for raw, mask in frames:
            frame = prepare(raw, {"levels": levels}, mask)
            assert_rows_fit(featurizer, blocks, featurizer.compute(frame, blocks))

    @settings(max_examples=12, deadline=None)
    @given(data=st.data())
    def test_any_small_frame_gives_finite_rows(self, name: str, data: st.DataObject) -> None:
        shape = data.draw(st.tuples(st.integers(1, 14), st.integers(1, 14)))
        rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
        top = data.draw(st.sampled_from([1, 3, 200, 60_000]))
        raw = rng.integers(0, top, shape, endpoint=True).astype(np.uint16)
        mask = rng.random(shape) < data.draw(st.sampled_from([0.0, 0.3, 0.9]))
        mask.flat[0] = False
        frame = prepare(raw, {"levels": data.draw(st.integers(2, 256)), "hot_pixels": "keep"}, mask)
        featurizer = featurizer_of(name)
        blocks = data.draw(st.lists(st.sampled_from(blocks_of(featurizer)), min_size=1, max_size=4))
        assert_rows_fit(featurizer, blocks, featurizer.compute(frame, blocks))

    def test_rows_come_back_from_a_block_file(self, name: str) -> None:
        """As a sweep reads them: the columns of the default representation, bit for bit."""
        featurizer = featurizer_of(name)
        params = default_params(featurizer.all_axes)
        blocks = representation_blocks(featurizer, params)
        shapes = ((48, 40), (1, 1), (40, 48))
        rows = [featurizer.compute(prepare(counts(s), {}), blocks) for s in shapes]
        info = BlockInfo(tuple(block_name(name, b) for b in blocks), len(rows), 1.0, 1.0)
        file = to_parquet(dense_table(featurizer, blocks, rows), info)
        if featurizer.codebook is not None:
            found = read_descriptors([[file]], block_name(name, blocks[0]), featurizer.descriptor_width)
            assert_equal(found, [frame[0] for frame in rows])
        else:
            matrix = read_matrix([[file]], representation_columns(featurizer, params))
            np.testing.assert_array_equal(matrix, [np.concatenate(frame) for frame in rows])
