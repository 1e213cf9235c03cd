"""Folds of a sweep's data set: whole domains are held out where that is asked for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sweeper.data.dataset import Dataset, load_dataset
from sweeper.runs.checks import check_domains
from sweeper.runs.data import sweep_splits
from sweeper.runs.spec import SweepSpec

SPACE = {"featurizers": {"histogram": {}}, "classifiers": {"rf": {}}}


def _dataset(folder: Path, domains: int) -> Dataset:
    rows = ["path,label,domain"]
    for d in range(domains):
        for i in range(4):
            np.save(folder / f"{d}-{i}.npy", np.full((4, 4), 10 * d + i, np.uint16))
            rows.append(f"{d}-{i}.npy,{'ab'[i % 2]},instrument{d}")
    (folder / "m.csv").write_text("\n".join(rows) + "\n")
    return load_dataset(folder / "m.csv", hold_out="domain")


@pytest.mark.parametrize(("domains", "folds", "expected"), [(3, 5, 3), (7, 5, 5), (7, 20, 7)])
def test_every_domain_is_held_out_once_and_whole(
    tmp_path: Path, domains: int, folds: int, expected: int
) -> None:
    data = _dataset(tmp_path, domains)
    spec = SweepSpec(data="m.csv", space=SPACE, folds=folds, hold_out="domain")
    splits, _ = sweep_splits(spec, data)
    assert len(splits) == expected
    assert data.domains is not None
    held_out = [set(data.domains[s.validation].tolist()) for s in splits]
    for split, domains_out in zip(splits, held_out, strict=True):
        assert not domains_out & set(data.domains[split.train].tolist())
    assert sorted(d for out in held_out for d in out) == list(range(domains))


def test_a_class_of_one_domain_is_refused(tmp_path: Path) -> None:
    data = _dataset(tmp_path, 3)
    labels = np.where(np.asarray(data.domains) == 0, 1, 0)
    spec = SweepSpec(data="m.csv", space=SPACE, hold_out="domain")
    with pytest.raises(ValueError, match="every class must have frames in two domains or more, class b has"):
        sweep_splits(spec, Dataset(**{**data.__dict__, "labels": labels}))


def test_metrics_of_domains_need_domains_that_are_held_out() -> None:
    spec = SweepSpec(data="m.csv", space=SPACE, metric="accuracy_worst_domain")
    with pytest.raises(ValueError, match="metric accuracy_worst_domain needs --hold-out domain"):
        check_domains(spec)
    check_domains(replace(spec, hold_out="domain"))


def test_domains_and_groups_by_file_do_not_go_together() -> None:
    spec = SweepSpec(data="m.csv", space=SPACE, hold_out="domain", group_by="file")
    with pytest.raises(ValueError, match="--group-by file: --hold-out domain keeps whole domains together"):
        check_domains(spec)


@pytest.mark.parametrize(("own", "folds", "expected"), [(2, 5, 2), (6, 5, 5), (6, 3, 3)])
def test_a_handful_of_frames_has_as_many_folds_as_it_allows(
    tmp_path: Path, own: int, folds: int, expected: int
) -> None:
    rows = ["path,label,helping"]
    for i in range(20):
        np.save(tmp_path / f"{i}.npy", np.full((4, 4), i, np.uint16))
        rows.append(f"{i}.npy,{'ab'[i % 2]},{'' if i < own else 'yes'}")
    (tmp_path / "m.csv").write_text("\n".join(rows) + "\n")
    data = load_dataset(tmp_path / "m.csv")
    spec = SweepSpec(data="m.csv", space=SPACE, folds=folds)
    splits, _ = sweep_splits(spec, data)
    assert len(splits) == expected
    held = np.concatenate([split.validation for split in splits])
    np.testing.assert_array_equal(np.sort(held), np.flatnonzero(data.own))
    with pytest.raises(ValueError, match="--representation-share must be left out where frames help"):
        sweep_splits(replace(spec, representation_share=0.5), data)
