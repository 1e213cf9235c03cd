"""Splits: what must hold of every one, on drawn datasets."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from sweeper.data.splits import Split, fold_digest, make_splits, rows_of_test

ABC = ("a", "b", "c")


def labels_of(*counts: int) -> NDArray[np.int64]:
    return np.repeat(np.arange(len(counts)), counts)


def check_folds(
    splits: list[Split], rows: NDArray[np.int64], labels: NDArray[np.int64], n_classes: int
) -> None:
    """Each repeat's validation parts are a partition of `rows`, and training parts hold every class."""
    for s in splits:
        assert (np.diff(s.train) > 0).all() and (np.diff(s.validation) > 0).all()
        np.testing.assert_array_equal(np.sort(np.concatenate([s.train, s.validation])), rows)
        assert set(labels[s.train]) == set(range(n_classes))
        assert len(s.validation)


# --------------------------------------------------------------------------- without groups


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.integers(5, 30), min_size=2, max_size=5),
    st.integers(2, 5),
    st.integers(1, 3),
    st.integers(0, 99),
)
def test_stratified_folds(counts: list[int], folds: int, repeats: int, seed: int) -> None:
    labels = np.random.default_rng(seed).permutation(labels_of(*counts))
    names = [str(c) for c in range(len(counts))]
    splits = make_splits(labels, names, folds=folds, repeats=repeats, seed=seed)
    assert len(splits) == folds * repeats
    check_folds(splits, np.arange(len(labels)), labels, len(counts))
    for repeat in range(repeats):
        parts = [s.validation for s in splits[repeat * folds : (repeat + 1) * folds]]
        assert len(np.unique(np.concatenate(parts))) == len(labels)
        held = np.array([np.bincount(labels[p], minlength=len(counts)) for p in parts])
        assert np.ptp(held, axis=0).max() <= 1  # each class in equal shares
        assert np.ptp(held.sum(axis=1)) <= 1
    assert all(s.warnings == () for s in splits)


def test_seed_and_repeat_decide() -> None:
    labels = labels_of(20, 20)

    def parts(seed: int) -> list[tuple[int, ...]]:
        return [tuple(s.validation) for s in make_splits(labels, ("a", "b"), folds=4, repeats=2, seed=seed)]

    assert parts(1) == parts(1)
    assert parts(1) != parts(2)
    assert set(parts(1)[:4]).isdisjoint(parts(1)[4:])


def test_repeats_begin_with_the_same_folds() -> None:
    labels = labels_of(20, 20)
    one = make_splits(labels, ("a", "b"), folds=4, repeats=1, seed=5)
    three = make_splits(labels, ("a", "b"), folds=4, repeats=3, seed=5)
    for s, t in zip(one, three[:4], strict=True):
        np.testing.assert_array_equal(s.validation, t.validation)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"folds": 1}, "folds must be 2 or more, got 1"),
        ({"repeats": 0}, "repeats must be from 1 to 10, got 0"),
        ({"repeats": 11}, "repeats must be from 1 to 10, got 11"),
        ({"folds": 5}, "class c has 4, folds is 5"),
    ],
)
def test_numbers_out_of_range(arguments: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_splits(labels_of(9, 9, 4), ABC, **{"folds": 2, "repeats": 1, "seed": 0, **arguments})


def test_one_class_is_refused() -> None:
    with pytest.raises(ValueError, match="at least two classes, got 1"):
        make_splits(labels_of(9), ("a",), folds=2, repeats=1, seed=0)


# --------------------------------------------------------------------------- groups


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 10_000), st.integers(2, 4), st.integers(4, 25))
def test_groups_stay_whole(seed: int, folds: int, n_groups: int) -> None:
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, n_groups, size=240)
    labels = rng.integers(0, 3, size=240)
    splits = make_splits(labels, ABC, groups=groups, folds=folds, repeats=2, seed=seed)
    check_folds(splits, np.arange(240), labels, 3)
    for s in splits:
        assert not set(groups[s.train]) & set(groups[s.validation])


def test_groups_of_one_class_each_reach_every_fold() -> None:
    labels = np.repeat([0, 1, 2], [60, 60, 60])
    groups = np.arange(180) // 10  # six groups a class
    for seed in range(10):
        splits = make_splits(labels, ABC, groups=groups, folds=3, repeats=1, seed=seed)
        held = np.array([np.bincount(labels[s.validation], minlength=3) for s in splits])
        assert (held == 20).all()


def test_groups_are_as_even_as_scikit_learns() -> None:
    rng = np.random.default_rng(3)
    groups = np.repeat(np.arange(60), rng.integers(2, 30, size=60))
    labels = (groups % 4 + (rng.random(len(groups)) < 0.2)) % 4

    def spread(parts: list[NDArray[np.int64]]) -> float:
        held = np.array([np.bincount(labels[p], minlength=4) for p in parts]) / np.bincount(labels)
        return float(held.std(axis=0).mean())

    theirs = []
    for seed in range(5):
        cutter = StratifiedGroupKFold(5, shuffle=True, random_state=seed)
        theirs.append(spread([validation for _, validation in cutter.split(labels, labels, groups)]))
    ours = [
        spread([s.validation for s in make_splits(labels, "abcd", groups=groups, folds=5, repeats=1, seed=i)])
        for i in range(5)
    ]
    assert np.mean(ours) < 2 * np.mean(theirs)
    assert np.max(ours) < 0.02  # a fold has from 18 to 22 % of each class


def test_a_class_in_few_groups_is_missed_as_seldom_as_can_be_and_said() -> None:
    labels = np.concatenate([np.repeat([0, 1], 50), np.full(10, 2)])
    groups = np.concatenate([np.arange(100) // 5, [100] * 5, [101] * 5])  # class c in two groups
    splits = make_splits(labels, ABC, groups=groups, folds=5, repeats=1, seed=0)
    check_folds(splits, np.arange(110), labels, 3)
    assert sum(2 in labels[s.validation] for s in splits) == 2
    assert splits[0].warnings == ("class c is absent from the validation part of 3 of 5 folds",)


def test_a_class_in_one_group_is_refused() -> None:
    labels, groups = labels_of(20, 20, 20), np.arange(60) // 4
    groups[40:] = 99
    with pytest.raises(ValueError, match="frames in two groups or more, class c has one"):
        make_splits(labels, ABC, groups=groups, folds=2, repeats=1, seed=0)


def test_more_folds_than_groups_are_refused() -> None:
    with pytest.raises(ValueError, match="folds must be at most the number of groups, 3, got 5"):
        make_splits(np.tile([0, 1], 30), ("a", "b"), groups=np.arange(60) % 3, folds=5, repeats=1, seed=0)


def test_groups_that_cannot_be_cut_are_refused() -> None:
    # Group 0 and 1 hold a, 1 and 2 hold b, 0 and 2 hold c: one of two folds has both groups of a class.
    labels = np.repeat([0, 2, 0, 1, 1, 2], 5)
    groups = np.repeat([0, 0, 1, 1, 2, 2], 5)
    with pytest.raises(ValueError, match="no way to cut 3 groups into 2 folds"):
        make_splits(labels, ABC, groups=groups, folds=2, repeats=1, seed=0)


# --------------------------------------------------------------------------- splits as given


def test_train_and_validation_as_given() -> None:
    labels = np.tile([0, 1], 10)
    split = np.array(["train"] * 10 + ["val"] * 6 + ["test"] * 4)
    (only,) = make_splits(labels, ("a", "b"), split=split, folds=5, repeats=3, seed=0)
    np.testing.assert_array_equal(only.train, np.arange(10))
    np.testing.assert_array_equal(only.validation, np.arange(10, 16))
    np.testing.assert_array_equal(rows_of_test(split), np.arange(16, 20))


def test_validation_that_lacks_a_class_is_said() -> None:
    labels = np.array([0, 1, 0, 1, 0, 0])
    (only,) = make_splits(labels, ("a", "b"), split=["train"] * 4 + ["val"] * 2)
    assert only.warnings == ("class b is absent from the validation part of 1 of 1 fold",)


@pytest.mark.parametrize("grouped", [False, True])
def test_test_rows_enter_no_fold(grouped: bool) -> None:
    labels = np.tile([0, 1], 30)
    split = np.where(np.arange(60) % 12 < 8, "train", "test")
    groups = np.arange(60) // 2 if grouped else None
    splits = make_splits(labels, ("a", "b"), groups=groups, split=split, folds=4, repeats=2, seed=0)
    assert len(splits) == 8
    check_folds(splits, np.flatnonzero(split == "train"), labels, 2)


def test_no_marks_are_no_split() -> None:
    labels = np.tile([0, 1], 10)
    empty = make_splits(labels, ("a", "b"), split=np.full(20, ""), folds=2, seed=3)
    for s, t in zip(empty, make_splits(labels, ("a", "b"), folds=2, seed=3), strict=True):
        np.testing.assert_array_equal(s.train, t.train)
    assert len(rows_of_test(np.full(20, ""))) == len(rows_of_test(None)) == 0


@pytest.mark.parametrize(
    ("split", "groups", "message"),
    [
        (["train"] * 3 + [""], None, "split must be given for every frame or for none, 1 have none"),
        (["train"] * 3 + ["dev"], None, "split must be one of train, val, test, got 'dev'"),
        (["train"] * 3, None, "split must have one value a frame, 4, got 3"),
        (["train", "val", "train", "val"], None, "every class must have training frames, class b has none"),
        (["train", "train", "val", "val"], [7, 8, 8, 9], "group 8 is in train and val"),
        (["train", "train", "test", "test"], [7, 8, 9, 7], "group 7 is in test and train"),
    ],
)
def test_bad_splits(split: list[str], groups: list[int] | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_splits(
            np.array([0, 1, 0, 1]),
            ("a", "b"),
            groups=None if groups is None else np.array(groups),
            split=split,
        )


def test_fold_digest_is_of_the_rows_frames() -> None:
    digests = ["x", "y", "z"]
    assert fold_digest(digests, np.array([0, 2])) == fold_digest(["x", "other", "z"], np.array([0, 2]))
    assert fold_digest(digests, np.array([0, 2])) != fold_digest(digests, np.array([0, 1]))


# --------------------------------------------------------------------------- frames that help


@pytest.mark.parametrize("grouped", [False, True])
def test_rows_that_help_are_in_every_training_part_and_never_validated(grouped: bool) -> None:
    labels = np.r_[np.arange(12) % 3, np.arange(60) % 3]
    helping = np.arange(72) >= 12
    groups = np.r_[np.arange(12) // 2, 100 + np.arange(60)] if grouped else None
    splits = make_splits(labels, ABC, groups=groups, folds=4, repeats=2, helping=helping)
    assert len(splits) == 8
    for split in splits:
        assert not helping[split.validation].any()
        np.testing.assert_array_equal(split.train[helping[split.train]], np.flatnonzero(helping))
    for first in (0, 4):
        held = np.concatenate([s.validation for s in splits[first : first + 4]])
        np.testing.assert_array_equal(np.sort(held), np.arange(12))


def test_rows_that_help_leave_the_folds_whose_groups_they_share() -> None:
    labels = np.array([0, 0, 1, 1, *[0, 1] * 5])
    groups = np.array([0, 1, 2, 3, 0, 2, *range(10, 18)])  # rows 4 and 5 are of the groups of rows 0 and 2
    splits = make_splits(labels, ("a", "b"), groups=groups, folds=4, helping=np.arange(14) >= 4)
    for split in splits:
        assert not set(groups[split.train]) & set(groups[split.validation])
        assert len(split.train) == 13 - np.isin(split.validation, [0, 2]).sum()


def test_a_class_that_others_help_with_may_have_one_row_or_none() -> None:
    labels = np.array([0, 0, 0, 1, *[0, 1, 2] * 4])
    splits = make_splits(labels, ABC, folds=4, helping=np.arange(16) >= 4)
    assert len(splits) == 4
    assert splits[0].warnings == (
        "class a is absent from the validation part of 1 of 4 folds",
        "class b is absent from the validation part of 3 of 4 folds",
    )
    with pytest.raises(ValueError, match="folds must be at most the number of frames of your own, 4, got 5"):
        make_splits(labels, ABC, folds=5, helping=np.arange(16) >= 4)
    with pytest.raises(ValueError, match="every class must have a frame for each fold: class b has 1"):
        make_splits(labels[[0, 1, 2, 3, 4]], ("a", "b"), folds=2, helping=np.arange(5) >= 4)


def test_a_class_that_helps_in_one_group_alone_must_not_be_held_out() -> None:
    labels, groups = np.array([0, 0, 1, 1, 1]), np.array([0, 1, 2, 2, 2])
    with pytest.raises(ValueError, match="all frames of b are in a group that is held out"):
        make_splits(labels, ("a", "b"), groups=groups, folds=2, helping=np.arange(5) >= 3)
