"""Which rows a network is fitted on: Table 1 of camSortXS, rotations, groups, what is held out."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from sweeper.networks.training_sets import TrainingFrames, hold_out, split_share, training_frames

TABLE_1 = (746, 645, 746, 3512)  # WAXS, SAXS, GIWAXS, GISAXS


def labels_of(counts: tuple[int, ...]) -> NDArray[np.int64]:
    """Labels in mixed order."""
    labels = np.repeat(np.arange(len(counts)), counts)
    return np.random.default_rng(5).permutation(labels)


def counted(labels: NDArray[np.int64], rows: NDArray[np.int64], n: int) -> list[int]:
    return np.bincount(labels[rows], minlength=n).tolist()


def test_the_counts_of_table_1() -> None:
    labels = labels_of(TABLE_1)
    train, test = split_share(labels, np.arange(len(labels)), 0.5, seed=3)
    assert counted(labels, train, 4) == [373, 322, 373, 1756]
    assert counted(labels, test, 4) == [373, 323, 373, 1756]
    for kind, each in (("balanced", 322), ("augmented", 1288)):
        frames = training_frames(kind, labels, train, seed=3)
        assert counted(labels, frames.rows, 4) == [each] * 4
        assert set(frames.rows.tolist()) <= set(train.tolist())
    unbalanced = training_frames("unbalanced", labels, train, seed=3)
    assert unbalanced.rows.tolist() == train.tolist()
    assert not unbalanced.quarter_turns.any()


def test_both_parts_are_all_rows_once_in_their_order() -> None:
    labels = labels_of((30, 50))
    rows = np.random.default_rng(0).permutation(80)[:60]
    first, second = split_share(labels, rows, 0.3, seed=1)
    assert sorted([*first, *second]) == sorted(rows)
    place = {row: i for i, row in enumerate(rows.tolist())}
    for part in (first, second):
        assert [place[r] for r in part.tolist()] == sorted(place[r] for r in part.tolist())


def test_augmented_is_balanced_turned_four_ways() -> None:
    labels = labels_of((9, 5, 7))
    rows = np.arange(21)
    balanced = training_frames("balanced", labels, rows, seed=4)
    augmented = training_frames("augmented", labels, rows, seed=4)
    assert len(set(balanced.rows.tolist())) == 15
    assert not balanced.quarter_turns.any()
    pairs = set(zip(augmented.rows.tolist(), augmented.quarter_turns.tolist(), strict=True))
    assert pairs == set(itertools.product(balanced.rows.tolist(), range(4)))
    assert len(augmented) == 60
    assert augmented.rows.dtype == np.int64
    assert augmented.quarter_turns.dtype == np.int8


def test_the_seed_decides_and_nothing_else() -> None:
    labels = labels_of((20, 40))
    rows = np.arange(60)
    for seed in (1, 2):
        once, again = (training_frames("balanced", labels, rows, seed).rows for _ in range(2))
        assert once.tolist() == again.tolist()
        first, again = (split_share(labels, rows, 0.5, seed=seed)[0] for _ in range(2))
        assert first.tolist() == again.tolist()
    one, two = (training_frames("balanced", labels, rows, seed).rows.tolist() for seed in (1, 2))
    assert one != two
    one, two = (split_share(labels, rows, 0.5, seed=seed)[0].tolist() for seed in (1, 2))
    assert one != two


def test_a_share_is_rounded_down_but_not_by_floating_point() -> None:
    labels = labels_of((100, 100))
    assert counted(labels, split_share(labels, np.arange(200), 0.29)[0], 2) == [29, 29]


@pytest.mark.parametrize("seed", range(5))
def test_groups_stay_whole_and_the_cut_is_the_nearest(seed: int) -> None:
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, 8, 60)
    labels = rng.integers(0, 2, 60)
    rows = np.arange(60)
    first, second = split_share(labels, rows, 0.4, groups=groups, seed=seed)
    assert not set(groups[first].tolist()) & set(groups[second].tolist())

    have = np.bincount(labels)
    want = np.floor(0.4 * have)
    best = np.inf  # over all ways to cut
    for chosen in itertools.product([False, True], repeat=8):
        held = np.bincount(labels[np.array(chosen)[groups]], minlength=2)
        if (held > 0).all() and (held < have).all():
            best = min(best, float((((held - want) / have) ** 2).sum()))
    found = np.bincount(labels[first], minlength=2)
    assert (((found - want) / have) ** 2).sum() == pytest.approx(best)


def test_many_groups_come_near_the_share() -> None:
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 300, 3000)
    labels = rng.integers(0, 3, 3000)
    first, second = split_share(labels, np.arange(3000), 0.5, groups=groups, seed=1)
    assert not set(groups[first].tolist()) & set(groups[second].tolist())
    assert np.abs(np.bincount(labels[first]) / np.bincount(labels) - 0.5).max() < 0.01


@pytest.mark.parametrize(
    ("labels", "groups", "message"),
    [
        ([0, 0, 1], None, "class 1 has 1 frames, share is 0.5"),
        ([0, 0, 1, 1], [0, 1, 2, 2], "with groups kept whole: class 1 has 2 frames"),
    ],
)
def test_a_cut_that_cannot_be_is_refused(labels: list[int], groups: list[int] | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        split_share(
            np.array(labels),
            np.arange(len(labels)),
            0.5,
            groups=None if groups is None else np.array(groups),
        )


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, float("nan")])
def test_a_share_outside_its_range_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="share must be above 0 and below 1"):
        split_share(np.array([0, 1]), np.arange(2), share)


def test_training_sets_that_are_none_are_refused() -> None:
    labels = np.array([0, 1])
    with pytest.raises(ValueError, match="pretrained is not fitted"):
        training_frames("pretrained", labels, np.arange(2), 0)
    with pytest.raises(ValueError, match=r"training_set must be one of .* got 'turned'"):
        training_frames("turned", labels, np.arange(2), 0)
    with pytest.raises(ValueError, match="at least one row"):
        training_frames("unbalanced", labels, np.arange(0), 0)


# --------------------------------------------------------------------------- held out


def test_a_tenth_of_each_class_is_held_out_and_no_copy_of_it_is_left() -> None:
    labels = labels_of((46, 80, 9, 1))
    frames = training_frames("unbalanced", labels, np.arange(136), 0)
    left, held = hold_out(labels, frames, None, seed=2)
    assert counted(labels, held, 4) == [4, 8, 1, 0]
    assert sorted([*left.rows, *held]) == list(range(136))

    augmented = training_frames("augmented", labels[labels < 2], np.arange(126), 0)
    left, held = hold_out(labels[labels < 2], augmented, None, seed=2)
    assert len(held) == len(set(held.tolist())) == 8
    assert not set(held.tolist()) & set(left.rows.tolist())
    assert len(left) == 4 * (92 - 8)
    assert np.bincount(left.quarter_turns).tolist() == [84] * 4


def test_groups_are_held_out_whole() -> None:
    labels = np.tile([0, 1], 40)
    groups = np.arange(80) // 4
    frames = TrainingFrames.upright(np.arange(80))
    left, held = hold_out(labels, frames, groups, seed=0)
    assert counted(labels, held, 2) == [4, 4]
    assert not set(groups[left.rows].tolist()) & set(groups[held].tolist())


@pytest.mark.parametrize(
    ("labels", "groups"), [([0, 1], None), ([0, 1, 0, 1], [7, 7, 7, 7]), ([0, 0, 1, 1], [1, 1, 2, 2])]
)
def test_what_is_too_small_to_hold_any_out_is_refused(labels: list[int], groups: list[int] | None) -> None:
    of = None if groups is None else np.array(groups)
    with pytest.raises(ValueError, match="patience needs a tenth of the training set held out"):
        hold_out(np.array(labels), TrainingFrames.upright(np.arange(len(labels))), of, seed=0)
