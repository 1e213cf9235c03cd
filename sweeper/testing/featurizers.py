"""Checks of featurizers that compute blocks from frames alone, on small simulated frames."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.api import Featurizer, Params, PreparedFrame
from sweeper.data.intensity import prepare
from sweeper.features.blocks import (
    BlockInfo,
    dense_table,
    read_descriptors,
    read_matrix,
    to_parquet,
)
from sweeper.features.names import block_name, column_name, parse_column
from sweeper.features.representation import Descriptors, Words, of_featurizer
from sweeper.space.file import parse_space
from sweeper.testing.checks import (
    Check,
    default_params,
    defaults_of,
    expect,
    expect_declared,
    expect_equal,
    expect_same_rows,
    expect_sound_axes,
    global_seed,
    values_of,
)

_HEADER = {"distance_mm": 2000.0, "wavelength_angstrom": 1.0, "height_px": 64.0, "width_px": 64.0}
_RANDOM_FRAMES = 30

# --------------------------------------------------------------------------- what is tried


def blocks_of(featurizer: Featurizer) -> list[dict[str, Any]]:
    """Return the default block, each axis varied alone, and the block of each axis's last value."""
    tried = {a.name: (*defaults_of(a), *values_of(a.legal)) for a in featurizer.axes}
    usual = {name: values[0] for name, values in tried.items()}
    blocks = [usual, *(usual | {name: value} for name, values in tried.items() for value in values)]
    blocks.append({name: values[-1] for name, values in tried.items()})
    return list({json.dumps(block): block for block in blocks}.values())


def _default(featurizer: Featurizer) -> Descriptors | Words:
    """Return the representation with the defaults of all axes."""
    return of_featurizer(featurizer, default_params(featurizer.all_axes))


def counts(shape: tuple[int, int], seed: int = 0) -> NDArray[np.uint16]:
    """Return Poisson counts on a few bright spots: texture, keypoints and flat ground."""
    rng = np.random.default_rng(seed)
    row, column = np.mgrid[: shape[0], : shape[1]]
    mean = np.full(shape, 20.0)
    for _ in range(6):
        at, width = rng.uniform(0, shape), rng.uniform(1.5, 5)
        mean += 400 * np.exp(-((row - at[0]) ** 2 + (column - at[1]) ** 2) / (2 * width**2))
    return rng.poisson(mean).astype(np.uint16)


def _gaps(shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return a mask, True where invalid: a gap between modules and scattered dead pixels."""
    mask = np.random.default_rng(5).random(shape) < 0.01
    mask[:, shape[1] // 3 : shape[1] // 3 + 3] = True
    return mask


def _corner(shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return a mask of one corner, a quarter of each side."""
    mask = np.zeros(shape, np.bool_)
    mask[: shape[0] // 4, : shape[1] // 4] = True
    return mask


def _expect_rows_fit(
    featurizer: Featurizer, blocks: Sequence[Params], rows: Sequence[NDArray[Any]], frame: str
) -> None:
    """Raise CheckFailedError unless each block has a row of the declared type and width, and finite."""
    expect_equal(len(rows), len(blocks), f"{frame}: number of rows")
    for block, row in zip(blocks, rows, strict=True):
        where = f"{frame}: {block_name(featurizer.name, block)}"
        if featurizer.codebook is not None:
            expect_equal(str(row.dtype), "uint8", f"{where}: type of the descriptors")
            expect_equal(row.shape[1:], (featurizer.descriptor_width,), f"{where}: width of the descriptors")
        else:
            expect_equal(str(row.dtype), "float64", f"{where}: type of the row")
            expect_equal(row.shape, (len(featurizer.columns(block)),), f"{where}: shape of the row")
            expect(bool(np.isfinite(row).all()), f"{where}: the row has values that are not finite")


# --------------------------------------------------------------------------- checks


def check_it_declares_what_a_sweep_asks(featurizer: Featurizer) -> None:
    """Check version, source, axes, and that codebook and width of a descriptor go together."""
    expect_declared(featurizer.name, featurizer.version, featurizer.source)
    expect(
        (featurizer.codebook is None) == (featurizer.descriptor_width == 0),
        "codebook and descriptor_width must be given together",
    )
    expect_sound_axes(featurizer.name, featurizer.all_axes)


def check_a_space_may_leave_all_to_the_defaults(featurizer: Featurizer) -> None:
    """Check that a search space that only names it has one choice: the defaults."""
    written = {"featurizers": [featurizer.name], "classifiers": ["rf"]}
    space = parse_space(written, default_name="conformance")
    found = [pipeline.featurizer_params for pipeline in space.grid()]
    expect_equal(found, [default_params(featurizer.all_axes)], "parameters")


def check_column_names_are_unique_and_parse_back(featurizer: Featurizer) -> None:
    """Check that every column's name gives its block's parameters back."""
    blocks = blocks_of(featurizer)
    if featurizer.codebook is not None:
        names = _default(featurizer).columns
        expect_equal(len(names), featurizer.codebook.default, "number of columns")
    else:
        expect(all(featurizer.columns(block) for block in blocks), "every block must have a column")
        wanted = [(featurizer.name, c, block) for block in blocks for c in featurizer.columns(block)]
        names = [column_name(*column) for column in wanted]
        expect_equal([parse_column(name) for name in names], wanted, "parsed names")
    expect(len(set(names)) == len(names), "two columns have the same name")
    for name in names:
        expect_equal(column_name(*parse_column(name)), name, "a name written again")


def check_blocks_are_independent_and_in_the_order_asked(featurizer: Featurizer) -> None:
    """Check that a block's row is the same alone, with others, and in another order."""
    blocks, frame = blocks_of(featurizer), prepare(counts((40, 36)), {})
    rows = featurizer.compute(frame, blocks)
    _expect_rows_fit(featurizer, blocks, rows, "a frame of 40 x 36")
    for block, row in zip(blocks, rows, strict=True):
        expect_same_rows(featurizer.compute(frame, [block]), [row], f"{block} asked for alone")
    expect_same_rows(featurizer.compute(frame, blocks[::-1]), rows[::-1], "blocks in reverse order")


def check_it_is_deterministic_and_leaves_the_frame_alone(featurizer: Featurizer) -> None:
    """Check that neither numpy's global generator nor an earlier frame has an influence."""
    blocks, raw = blocks_of(featurizer), counts((40, 36))
    frame, untouched = (prepare(raw, {}, _gaps(raw.shape)) for _ in range(2))
    with global_seed(1):
        rows = featurizer.compute(frame, blocks)
    featurizer.compute(prepare(counts((17, 23), seed=3), {"levels": 16}), blocks)  # nothing may stay
    with global_seed(2):
        expect_same_rows(featurizer.compute(frame, blocks), rows, "the same frame again")
    for field in fields(PreparedFrame):
        before, after = getattr(untouched, field.name), getattr(frame, field.name)
        expect(bool(np.array_equal(after, before)), f"the frame's {field.name} was changed")
    expect(bool(np.array_equal(frame.quantised, untouched.quantised)), "the frame's quantised was changed")


def check_it_tells_frames_apart(featurizer: Featurizer) -> None:
    """Check that spots, and a flat frame of which more is known, give different rows, in every block."""
    blocks = blocks_of(featurizer)
    spots, flat = (
        featurizer.compute(replace(prepare(raw, {}), header=header), blocks)
        for raw, header in ((counts((64, 64)), {}), (np.full((64, 64), 3, np.uint16), _HEADER))
    )
    for block, a, b in zip(blocks, spots, flat, strict=True):
        expect(not np.array_equal(a, b), f"{block}: spots and a flat frame give the same row")


def check_pixels_under_the_mask_do_not_matter(featurizer: Featurizer) -> None:
    """Check it from counts on, and with the prepared frame's zeros there overwritten as well."""
    blocks, raw = blocks_of(featurizer), counts((96, 80))
    for name, mask in (("gaps", _gaps(raw.shape)), ("a corner", _corner(raw.shape))):
        noise = np.random.default_rng(8).integers(0, 65536, raw.shape)
        frame = prepare(raw, {"levels": 32}, mask)
        rows = featurizer.compute(frame, blocks)
        if name == "a corner":  # it leaves room: not even windows around keypoints all touch it
            expect(all(row.size for row in rows), "a masked corner leaves no row")
        other = prepare(np.where(mask, noise, raw).astype(np.uint16), {"levels": 32}, mask)
        expect_same_rows(featurizer.compute(other, blocks), rows, f"other counts under a mask of {name}")
        overwritten = replace(
            frame,
            counts=np.where(frame.valid, frame.counts, np.float32(5000)),
            image=np.where(frame.valid, frame.image, np.float32(0.7)),
        )
        text = f"zeros of the prepared frame overwritten under a mask of {name}"
        expect_same_rows(featurizer.compute(overwritten, blocks), rows, text)


def check_degenerate_frames_give_finite_rows(featurizer: Featurizer) -> None:
    """Check constant frames, frames with next to nothing valid, and tiny ones."""
    blocks = blocks_of(featurizer)
    texture = counts((24, 24))
    few, one = np.ones((24, 24), np.bool_), np.ones((24, 24), np.bool_)
    few[3, 4] = few[3, 5] = few[20, 11] = False
    one[12, 12] = False
    frames: list[tuple[str, NDArray[Any], NDArray[np.bool_] | None]] = [
        ("zeros", np.zeros((24, 24), np.uint16), None),
        ("a constant frame", np.full((24, 24), 2**15, np.uint16), None),
        ("three valid pixels", texture, few),
        ("one valid pixel", texture, one),
        *((f"{h} x {w} pixels", counts((h, w)), None) for h, w in ((1, 1), (1, 30), (30, 1), (2, 2), (8, 8))),
    ]
    for levels in (2, 256):
        for name, raw, mask in frames:
            frame = prepare(raw, {"levels": levels}, mask)
            text = f"{name}, {levels} grey levels"
            _expect_rows_fit(featurizer, blocks, featurizer.compute(frame, blocks), text)


def check_random_small_frames_give_finite_rows(featurizer: Featurizer) -> None:
    """Check frames of any small shape, range and mask."""
    rng, blocks = np.random.default_rng(0), blocks_of(featurizer)
    for number in range(_RANDOM_FRAMES):
        shape = (int(rng.integers(1, 15)), int(rng.integers(1, 15)))
        top = int(rng.choice([1, 3, 200, 60_000]))
        raw = rng.integers(0, top, shape, endpoint=True).astype(np.uint16)
        mask = rng.random(shape) < rng.choice([0.0, 0.3, 0.9])
        mask.flat[0] = False
        frame = prepare(raw, {"levels": int(rng.integers(2, 257)), "hot_pixels": "keep"}, mask)
        asked = [blocks[i] for i in rng.integers(len(blocks), size=int(rng.integers(1, 5)))]
        text = f"random frame {number} of {shape[0]} x {shape[1]}, counts up to {top}"
        _expect_rows_fit(featurizer, asked, featurizer.compute(frame, asked), text)


def check_rows_come_back_from_a_block_file(featurizer: Featurizer) -> None:
    """Check that a sweep reads the default representation as it was written, bit for bit."""
    default = _default(featurizer)
    blocks = default.blocks
    rows = [featurizer.compute(prepare(counts(s), {}), blocks) for s in ((48, 40), (1, 1), (40, 48))]
    info = BlockInfo(tuple(block_name(featurizer.name, b) for b in blocks), len(rows), 1.0, 1.0)
    file = to_parquet(dense_table(featurizer, blocks, rows), info)
    if featurizer.codebook is not None:
        name = block_name(featurizer.name, blocks[0])
        found = read_descriptors([[file]], name, featurizer.descriptor_width)
        expect_same_rows(found, [frame[0] for frame in rows], "descriptors read back")
    else:
        matrix = read_matrix([[file]], default.columns)
        expect(bool(np.array_equal(matrix, [np.concatenate(r) for r in rows])), "rows read back differ")


def featurizer_checks() -> tuple[Check, ...]:
    """Return all checks of a :class:`Featurizer`."""
    return (
        check_it_declares_what_a_sweep_asks,
        check_a_space_may_leave_all_to_the_defaults,
        check_column_names_are_unique_and_parse_back,
        check_blocks_are_independent_and_in_the_order_asked,
        check_it_is_deterministic_and_leaves_the_frame_alone,
        check_it_tells_frames_apart,
        check_pixels_under_the_mask_do_not_matter,
        check_degenerate_frames_give_finite_rows,
        check_random_small_frames_give_finite_rows,
        check_rows_come_back_from_a_block_file,
    )
