"""What is said about data before a sweep: names that are alike, series that folds tear apart."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

import h5py
import numpy as np
import pytest

from sweeper.data.dataset import Dataset, load_dataset
from sweeper.data.names import alike_note
from sweeper.data.series import series_note
from sweeper.data.splits import Split, make_splits
from sweeper.errors import BadFramesError, InputError


def stack(path: Path, frames: int = 1) -> Path:
    """A file of some frames; nobody looks at their pixels here."""
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, np.ones((frames, 4, 5) if frames > 1 else (4, 5), np.uint16))
    return path


# --------------------------------------------------------------------------- names


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["1", "1.0", "2"], "'1' and '1.0' (the same number)"),
        (["1e1", "10", "x"], "'1e1' and '10' (the same number)"),
        (["Ice", "ice"], "'Ice' and 'ice' (they differ in case alone)"),
        (["ice ring", "ice  ring"], "white space"),
        (["icering", "ice\u00a0ring"], "white space"),
        (["ice", "i\u200bce"], "white space"),
        (["Stra\u00dfe", "STRASSE"], "case"),
        (
            [unicodedata.normalize(form, "Gl\u00fchen") for form in ("NFC", "NFD")],
            r"'Gl\xfchen' and 'Glu\u0308hen' (the same letters in two Unicode forms)",
        ),
    ],
)
def test_names_that_are_alike(names: list[str], said: str) -> None:
    note = alike_note("labels", names)
    assert note is not None
    assert note.startswith("labels that may be meant to be one are told apart: ")
    if said.startswith("'Gl"):
        said = said.replace(r"'Gl\xfchen'", "'Gl\u00fchen'")
    assert said in note


@pytest.mark.parametrize(
    "names",
    [
        [],
        ["a"],
        ["1", "2", "10"],
        ["1", "01x"],
        ["nan", "inf"],
        ["a-b", "ab"],
        ["ice1", "ice2"],
        ["0", "-0.5"],
    ],
)
def test_names_that_differ(names: list[str]) -> None:
    assert alike_note("labels", names) is None


def test_a_dataset_notes_labels_and_groups_that_are_alike(tmp_path: Path) -> None:
    for i in range(4):
        stack(tmp_path / f"{i}.npy")
    (tmp_path / "m.csv").write_text("path,label,group\n0.npy,1,s1\n1.npy,1.0,S1\n2.npy,2,s2\n3.npy,2,s3\n")
    labels, groups = load_dataset(tmp_path / "m.csv").notes
    assert "labels" in labels and "'1' and '1.0'" in labels
    assert "groups" in groups and "'s1' and 'S1'" in groups


def test_class_folders_that_are_alike_are_noted(tmp_path: Path) -> None:
    for name in ("ice", "Ice", "salt"):
        stack(tmp_path / name / "0.npy")
    (note,) = load_dataset(tmp_path).notes
    assert "'Ice' and 'ice'" in note


def test_a_path_in_another_unicode_form_is_named(tmp_path: Path) -> None:
    stack(tmp_path / unicodedata.normalize("NFD", "\u00e9.npy"))
    stack(tmp_path / "b.npy")
    (tmp_path / "m.csv").write_text("path,label\n\u00e9.npy,a\nb.npy,b\n", encoding="utf-8")
    with pytest.raises(BadFramesError, match=r"no such file; there is one with the same letters .* NFD"):
        load_dataset(tmp_path / "m.csv")


# --------------------------------------------------------------------------- series


def splits_of(dataset: Dataset, folds: int = 3) -> list[Split]:
    return make_splits(
        dataset.labels, dataset.classes, groups=dataset.groups, split=dataset.split, folds=folds, seed=0
    )


@pytest.fixture
def series(tmp_path: Path) -> Path:
    """Two classes, each of three folders with two files of four frames."""
    for i in range(12):
        stack(tmp_path / "ab"[i % 2] / f"scan{i % 6}" / f"{i}.npy", frames=4)
    return tmp_path


def test_files_that_folds_tear_apart_are_said_with_the_remedy(series: Path) -> None:
    dataset = load_dataset(series)
    note = series_note(dataset, splits_of(dataset))
    assert note is not None
    assert re.match(r"1\d files hold 4\d frames, and there are no groups", note)
    assert "--group-by file" in note and "--group-by folder" in note


@pytest.mark.parametrize(("what", "count"), [("file", 12), ("folder", 6)])
def test_group_by(series: Path, what: str, count: int) -> None:
    dataset = load_dataset(series, group_by=what)
    assert dataset.groups is not None
    places = [Path(p) if what == "file" else Path(p).parent for p in dataset.paths]
    assert len(set(zip(places, dataset.groups.tolist(), strict=True))) == len(set(places)) == count
    splits = splits_of(dataset)
    assert series_note(dataset, splits) is None
    for split in splits:
        assert not set(dataset.groups[split.train]) & set(dataset.groups[split.validation])


@pytest.mark.parametrize(("what", "count"), [("file", 4), ("folder", 2)])
def test_group_by_goes_by_the_file_whichever_dataset_of_it_holds_the_frames(
    tmp_path: Path, what: str, count: int
) -> None:
    rows = ["path,label,dataset"]
    for i in range(4):
        path = tmp_path / f"day{i % 2}" / f"{i}.h5"
        path.parent.mkdir(exist_ok=True)
        with h5py.File(path, "w") as file:
            for scan, label in (("one", "a"), ("two", "b")):
                file[f"{scan}/eiger"] = np.full((2, 8, 8), i + 1, np.uint16)
                rows.append(f"{path.relative_to(tmp_path)},{label},{scan}/eiger")
    (tmp_path / "m.csv").write_text("\n".join(rows))
    dataset = load_dataset(tmp_path / "m.csv", group_by=what)
    assert dataset.groups is not None
    assert len(dataset) == 16
    assert np.bincount(dataset.groups).tolist() == [16 // count] * count


def test_single_frames_and_groups_are_no_reason_to_speak(tmp_path: Path) -> None:
    for i in range(12):
        stack(tmp_path / "single" / "ab"[i % 2] / f"{i}.npy")
    dataset = load_dataset(tmp_path / "single")
    assert series_note(dataset, splits_of(dataset)) is None
    for i in range(6):
        stack(tmp_path / f"{i}.npy", frames=3)
    rows = "".join(f"{i}.npy,{'ab'[i % 2]},g{i}\n" for i in range(6))
    (tmp_path / "m.csv").write_text("path,label,group\n" + rows)
    dataset = load_dataset(tmp_path / "m.csv")
    assert series_note(dataset, splits_of(dataset)) is None


@pytest.mark.parametrize(("last", "torn"), [("val", True), ("test", True), ("train", False)])
def test_given_splits_that_tear_a_file_apart(tmp_path: Path, last: str, torn: bool) -> None:
    stack(tmp_path / "s.npy", frames=4)
    stack(tmp_path / "v.npy", frames=2)
    rows = [f"s.npy,{'ab'[i % 2]},{i},{last if i > 1 else 'train'}\n" for i in range(4)]
    rows += [f"v.npy,{'ab'[i]},{i},val\n" for i in range(2)]
    (tmp_path / "m.csv").write_text("path,label,frame,split\n" + "".join(rows))
    dataset = load_dataset(tmp_path / "m.csv")
    note = series_note(dataset, splits_of(dataset))
    assert (note is not None) == torn


def test_a_class_in_one_file_is_said(tmp_path: Path) -> None:
    for name in "ab":
        stack(tmp_path / name / "all.npy", frames=6)
    dataset = load_dataset(tmp_path)
    note = series_note(dataset, splits_of(dataset))
    assert note is not None and "class a has one" in note


def test_group_by_beside_groups_of_the_manifest_is_refused(tmp_path: Path) -> None:
    for i in range(2):
        stack(tmp_path / f"{i}.npy")
    (tmp_path / "m.csv").write_text("path,label,group\n0.npy,a,1\n1.npy,b,2\n")
    with pytest.raises(InputError, match=r"--group-by file: .*m\.csv has groups of its own"):
        load_dataset(tmp_path / "m.csv", group_by="file")


def test_group_by_refuses_splits_within_a_file(tmp_path: Path) -> None:
    stack(tmp_path / "s.npy", frames=2)
    stack(tmp_path / "t.npy")
    (tmp_path / "m.csv").write_text(
        "path,label,frame,split\ns.npy,a,0,train\ns.npy,b,1,test\nt.npy,b,0,train\n"
    )
    with pytest.raises(InputError, match=r"a group must stand in one split, 1 are in several: s\.npy"):
        load_dataset(tmp_path / "m.csv", group_by="file")
