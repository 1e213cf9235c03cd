"""Folders and manifests to datasets: order, splits, groups, masks, and everything that is refused."""

import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweeper.data.dataset import load_dataset
from sweeper.data.format import DEFAULT_READING
from sweeper.data.frames import Counted, inspect_frames
from sweeper.errors import BadFramesError


def frame(path, frames=1, value=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    stack = value + np.arange(frames, dtype=np.uint16)[:, None, None] + np.zeros((4, 5), np.uint16)
    np.save(path, stack[0] if frames == 1 else stack)


def folder(root, tree):
    for name in tree:
        frame(root / name)
    return root


def table(root, text, name="m.csv"):
    (root / name).write_text(text)
    return root / name


def labels_of(dataset):
    return {name: dataset.classes[label] for name, label in zip(dataset.names, dataset.labels, strict=True)}


@pytest.fixture
def two(tmp_path):
    """Folder with a.npy, b.npy and a stack s.npy of three frames, for manifests."""
    frame(tmp_path / "a.npy", value=1)
    frame(tmp_path / "sub/b.npy", value=2)
    frame(tmp_path / "s.npy", frames=3, value=10)
    return tmp_path


# --------------------------------------------------------------------------- folders


def test_folder_of_classes(tmp_path):
    folder(tmp_path, ["dog/2.npy", "dog/1.npy", "cat/nested/deep/1.npy", "cat/0.npy"])
    frame(tmp_path / "cat/stack.npy", frames=3)
    for name in ("cat/notes.txt", "dog/.hidden.npy", "README.md"):
        (tmp_path / name).write_text("no frame")
    (tmp_path / ".git").mkdir()
    frame(tmp_path / "dog/.cache/1.npy")
    dataset = load_dataset(tmp_path)
    assert dataset.classes == ("cat", "dog")
    assert dataset.names.tolist() == [
        "cat/0.npy",
        "cat/nested/deep/1.npy",
        "cat/stack.npy#0",
        "cat/stack.npy#1",
        "cat/stack.npy#2",
        "dog/1.npy",
        "dog/2.npy",
    ]
    assert dataset.index.tolist() == [0, 0, 0, 1, 2, 0, 0]
    assert dataset.labels.tolist() == [0, 0, 0, 0, 0, 1, 1]
    assert dataset.class_counts() == {"cat": 5, "dog": 2}
    assert len(dataset) == 7
    assert dataset.ignored == 3
    assert set(dataset.split) == {""}
    assert dataset.groups is None
    assert dataset.masks.tolist() == [None] * 7
    assert dataset.paths[0] == str(tmp_path / "cat/0.npy")
    assert [Path(path).name for path in dataset.paths[2:6]] == ["stack.npy"] * 3 + ["1.npy"]


def test_split_folders(tmp_path):
    folder(tmp_path, ["train/a/1.npy", "train/b/1.npy", "valid/a/1.npy", "Test/b/1.npy"])
    dataset = load_dataset(tmp_path)
    assert dataset.classes == ("a", "b")
    splits = dict(zip(dataset.names, dataset.split, strict=True))
    assert splits == {
        "Test/b/1.npy": "test",
        "train/a/1.npy": "train",
        "train/b/1.npy": "train",
        "valid/a/1.npy": "val",
    }


def test_a_class_may_be_called_test(tmp_path):
    folder(tmp_path, ["test/1.npy", "flat/1.npy"])
    assert load_dataset(tmp_path).classes == ("flat", "test")


def test_eiger_data_files_are_left_to_their_master(tmp_path):
    folder(tmp_path, ["b/1.npy"])
    (tmp_path / "a").mkdir()
    for part in (1, 2):
        with h5py.File(tmp_path / f"a/s_data_{part:06d}.h5", "w") as file:
            file["entry/data/data"] = np.ones((3, 4, 5), np.uint32)
    with h5py.File(tmp_path / "a/lone_data_000001.h5", "w") as file:
        file["entry/data/data"] = np.ones((2, 4, 5), np.uint32)
    with h5py.File(tmp_path / "a/s_master.h5", "w") as file:
        for part in (1, 2):
            link = h5py.ExternalLink(f"s_data_{part:06d}.h5", "/entry/data/data")
            file[f"entry/data/data_{part:06d}"] = link
    dataset = load_dataset(tmp_path)
    assert dataset.class_counts() == {"a": 8, "b": 1}
    assert set(dataset.files) == {"a/s_master.h5", "a/lone_data_000001.h5", "b/1.npy"}
    assert dataset.ignored == 2


def test_links_in_folders_are_followed_and_circles_end(tmp_path):
    folder(tmp_path, ["data/a/1.npy", "elsewhere/1.npy"])
    (tmp_path / "data/b").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "data/a/back").symlink_to(tmp_path / "data/a")
    assert load_dataset(tmp_path / "data").files == ("a/1.npy", "b/1.npy")


# --------------------------------------------------------------------------- manifests


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_manifest_with_every_column(two, kind):
    np.save(two / "mask.npy", np.eye(4, 5) > 0)
    np.save(two / "other.npy", np.eye(4, 5) > 0)
    rows = pd.DataFrame(
        {
            "path": ["s.npy", "sub/../sub/b.npy", "a.npy", "s.npy"],
            "label": ["y", "x", "y", "x"],
            "split": ["train", "validation", "test", "Train"],
            "group": ["run1", "run2", "run3", "run1"],
            "frame": [2, 0, 0, 0],
            "mask": ["mask.npy", None, "mask.npy", None],
            "note": ["extra", "columns", "are", "ignored"],
        }
    )
    path = two / f"m.{kind}"
    rows.to_csv(path, index=False) if kind == "csv" else rows.to_parquet(path)
    dataset = load_dataset(path, mask=two / "other.npy")
    assert dataset.names.tolist() == ["a.npy", "s.npy#0", "s.npy#2", "sub/b.npy"]
    assert [dataset.classes[i] for i in dataset.labels] == ["y", "x", "y", "x"]
    assert dataset.split.tolist() == ["test", "train", "train", "val"]
    assert dataset.groups is not None
    assert dataset.groups.tolist() == [0, 1, 1, 2]
    assert [Path(mask).name for mask in dataset.masks] == ["mask.npy", "other.npy", "mask.npy", "other.npy"]
    assert all(Path(mask).is_absolute() for mask in dataset.masks)


def test_manifest_counts_stacks_where_no_frame_is_given(two):
    dataset = load_dataset(table(two, "path,label,frame\ns.npy,x,\na.npy,y,0\n"))
    assert labels_of(dataset) == {"a.npy": "y", "s.npy#0": "x", "s.npy#1": "x", "s.npy#2": "x"}


def test_numbers_as_labels_and_groups_and_floats_as_frames(two):
    rows = pd.DataFrame({"path": ["s.npy", "s.npy", "a.npy"], "label": [10, 9, 9], "group": [1, 2, 3]})
    rows["frame"] = [1.0, 2.0, np.nan]
    rows.to_parquet(two / "m.parquet")
    dataset = load_dataset(two / "m.parquet")
    assert labels_of(dataset) == {"a.npy": "9", "s.npy#1": "10", "s.npy#2": "9"}


def test_categories_from_pandas(two):
    rows = pd.DataFrame({"path": ["s.npy", "a.npy"], "label": pd.Categorical(["x", "y"])})
    rows.to_parquet(two / "m.parquet")
    assert load_dataset(two / "m.parquet").classes == ("x", "y")


def test_white_space_quotes_and_byte_order_mark(two):
    (two / "with, comma.npy").write_bytes((two / "a.npy").read_bytes())
    text = '\ufeffpath, label\n"with, comma.npy", NA\n s.npy ,x \n'
    (two / "m.csv").write_text(text, encoding="utf-8")
    dataset = load_dataset(two / "m.csv")
    assert dataset.classes == ("NA", "x")
    assert dataset.files == ("s.npy", "with, comma.npy")


def test_test_split_alone_leaves_the_rest_for_training(two):
    dataset = load_dataset(table(two, "path,label,split\na.npy,x,\ns.npy,y,\nsub/b.npy,y,test\n"))
    assert dataset.split.tolist() == ["train", "train", "train", "train", "test"]


def test_allow_outside(two):
    inside = two / "inside"
    inside.mkdir()
    path = table(inside, f"path,label\n../a.npy,x\n{two / 's.npy'},y\n")
    dataset = load_dataset(path, allow_outside=True)
    assert dataset.names.tolist() == ["../a.npy", "../s.npy#0", "../s.npy#1", "../s.npy#2"]
    assert dataset.paths[0] == str(two / "a.npy")


def test_counter_is_asked_once_for_all_files(two):
    asked = []

    def counter(paths, reading):
        asked.append((sorted(Path(path).name for path in paths), reading))
        return [Counted(2) for _ in paths]

    dataset = load_dataset(table(two, "path,label\na.npy,x\ns.npy,y\n"), counter=counter)
    assert asked == [(["a.npy", "s.npy"], DEFAULT_READING)]
    assert len(dataset) == 4


# --------------------------------------------------------------------------- what is refused


def test_bad_folders(tmp_path):
    (tmp_path / "empty").mkdir()
    folder(tmp_path / "one", ["a/1.npy"])
    folder(tmp_path / "flat", ["1.npy", "2.npy"])
    folder(tmp_path / "hollow", ["a/1.npy", "b/1.npy"])
    (tmp_path / "hollow/c").mkdir()
    (tmp_path / "hollow/c/notes.txt").write_text("x")
    folder(tmp_path / "mixed", ["train/a/1.npy", "train/b/1.npy", "test/a/1.npy", "c/1.npy"])
    folder(tmp_path / "untrained", ["train/a/1.npy", "test/a/1.npy", "test/b/1.npy"])
    folder(tmp_path / "splits", ["train/1.npy", "test/1.npy"])
    (tmp_path / "data.txt").write_text("x")
    expected = {
        "missing": "data must be an existing folder or manifest",
        "empty": "found no class folder",
        "one": "at least two classes, it has 'a' alone",
        "flat": "found 2 frame files but no class folder",
        "hollow": "hollow/c: a class folder must hold frames",
        "mixed": "beside train, val and test no other folder may stand, found c",
        "untrained": "every class must have a training frame, none in b",
        "splits": "must hold class folders",
        "data.txt": r"a folder or a \.csv or \.parquet manifest, got '\.txt'",
    }
    for name, rule in expected.items():
        with pytest.raises(ValueError, match=rule) as caught:
            load_dataset(tmp_path / name)
        assert "\n" not in str(caught.value)
        assert name in str(caught.value)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "manifest cannot be read"),
        ("path,label\n", "manifest must have rows"),
        ("path,class\na.npy,x\n", "must have a column 'label', its columns are path, class"),
        ("file;label\na.npy;x\n", "line 1: manifest must have a column 'path', its columns are file;label"),
        ("path,path,label\na.npy,a.npy,x\n", "one column 'path', it has 2"),
        ("path,label\na.npy,x\na.npy,x,y,z\n", "cannot be read: line 3 must have 2 fields"),
        ("path,label\na.npy,x\ns.npy,\n", "label must be given in every row, 1 have none: row 2"),
        ("path,label\na.npy,NaN\ns.npy,x\n", "label must be given in every row, 1 have none: row 1"),
        ("path,label\n,x\ns.npy,y\n", "path must be given in every row"),
        ("path,label,group\na.npy,x,\ns.npy,y,1\n", "group must be given in every row"),
        ("path,label\na.npy,x\ns.npy,x\n", "at least two classes, it has 'x' alone"),
        ("path,label\na.npy,x\na.npy,y\n", r"named once, 1 are repeated: a\.npy#0"),
        ("path,label,frame\ns.npy,x,\ns.npy,y,1\n", r"named once, 1 are repeated: s\.npy#1"),
        ("path,label\na.npy,x\n./a.npy,y\n", "named once"),
        ("path,label,split\na.npy,x,dev\ns.npy,y,train\n", "split must be train, val or test, got 'dev'"),
        ("path,label,split\na.npy,x,val\ns.npy,y,\n", "split must be given in every row .* 3 rows have none"),
        ("path,label,split\na.npy,x,train\ns.npy,y,test\n", "a training frame, none in y"),
        ("path,label,frame\na.npy,x,0\ns.npy,y,-1\n", "frame must be a whole number from 0, got '-1'"),
        ("path,label,frame\na.npy,x,0\ns.npy,y,1.5\n", "frame must be a whole number from 0, got '1.5'"),
        ("path,label,frame\na.npy,x,0\ns.npy,y,9" + "9" * 30 + "\n", "frame must be a position"),
        ("path,label\n../a.npy,x\ns.npy,y\n", r"path must stay inside .* 1 lead outside: \.\./a\.npy"),
        ("path,label\n/etc/hostname,x\ns.npy,y\n", "lead outside: /etc/hostname"),
        (
            "path,label,mask\na.npy,x,no.npy\ns.npy,y,\n",
            r"mask must name existing files, 1 are missing: no\.npy",
        ),
        ("path,label,mask\na.npy,x,../m.npy\ns.npy,y,\n", "mask must stay inside"),
        (
            "path,label,split,group\na.npy,x,train,g\ns.npy,y,train,h\nsub/b.npy,x,test,g\n",
            "a group must stand in one split, 1 are in several: g",
        ),
    ],
)
def test_bad_manifests(two, text, rule):
    path = table(two, text)
    with pytest.raises(ValueError, match=rule) as caught:
        load_dataset(path)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_manifest_that_is_no_text_or_no_parquet(two):
    (two / "m.parquet").write_bytes(b"PAR1 nonsense")
    (two / "m.csv").write_bytes(b"path,label\n\xff\xfe.npy,x\n")
    for name in ("m.parquet", "m.csv"):
        with pytest.raises(ValueError, match="manifest cannot be read"):
            load_dataset(two / name)


def test_links_out_of_a_manifests_folder_are_refused(two):
    inside = two / "inside"
    (inside / "real").mkdir(parents=True)
    frame(inside / "b.npy")
    (inside / "file.npy").symlink_to(two / "a.npy")
    (inside / "folder").symlink_to(two / "sub")
    (inside / "fine.npy").symlink_to(inside / "b.npy")
    for name in ("file.npy", "folder/b.npy"):
        path = table(inside, f"path,label\n{name},x\nb.npy,y\n")
        with pytest.raises(ValueError, match="lead outside"):
            load_dataset(path)
        assert len(load_dataset(path, allow_outside=True)) == 2
    assert len(load_dataset(table(inside, "path,label\nfine.npy,x\nb.npy,y\n"))) == 2


def test_a_neighbouring_folder_with_the_same_beginning_is_outside(tmp_path):
    frame(tmp_path / "data/b.npy")
    frame(tmp_path / "data2/a.npy")
    with pytest.raises(ValueError, match="lead outside"):
        load_dataset(table(tmp_path / "data", "path,label\n../data2/a.npy,x\nb.npy,y\n"))


def test_all_bad_files_are_listed_and_can_be_left_out(two):
    (two / "torn.npy").write_bytes((two / "s.npy").read_bytes()[:60])
    (two / "empty.tif").touch()
    text = "path,label,frame\na.npy,x,\ns.npy,y,1\ns.npy,y,7\ntorn.npy,x,\nempty.tif,x,0\ngone.npy,y,\n"
    path = table(two, text)
    with pytest.raises(BadFramesError) as caught:
        load_dataset(path)
    assert [name for name, _ in caught.value.problems] == ["empty.tif", "gone.npy", "torn.npy", "s.npy#7"]
    reasons = dict(caught.value.problems)
    assert reasons["gone.npy"] == "no such file"
    assert reasons["s.npy#7"] == "frame must be from 0 to 2, got 7"
    message = str(caught.value)
    assert "4 are not (--skip-bad leaves them out): empty.tif (empty" in message
    assert "\n" not in message
    assert str(pickle.loads(pickle.dumps(caught.value))) == message
    dataset = load_dataset(path, skip_bad=True)
    assert labels_of(dataset) == {"a.npy": "x", "s.npy#1": "y"}
    assert dict(dataset.quarantined) == reasons


def test_a_class_without_a_readable_frame_is_refused(two):
    path = table(two, "path,label\na.npy,x\ns.npy,y\ngone.npy,z\n")
    with pytest.raises(ValueError, match="every class must have a frame, none in z"):
        load_dataset(path, skip_bad=True)


def test_bad_mask_is_found_at_once(two):
    path = table(two, "path,label\na.npy,x\ns.npy,y\n")
    with pytest.raises(ValueError, match="no such file"):
        load_dataset(path, mask=two / "none.npy")


# --------------------------------------------------------------------------- order, subset, digest


def digests(dataset):
    places = zip(dataset.paths.tolist(), dataset.index.tolist(), strict=True)
    return [inspect_frames(path, [index])[0].digest for path, index in places]


def test_order_and_digest_depend_neither_on_place_nor_on_row_order(tmp_path):
    for i in range(12):
        frame(tmp_path / f"one/{i % 5}/{i}.npy", frames=1 + i % 3, value=100 * i)
    rows = [f"{i % 5}/{i}.npy,{'xy'[i % 2]},g{i // 2}" for i in range(12)]
    table(tmp_path / "one", "path,label,group\n" + "\n".join(rows))
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    table(tmp_path / "two", "path,label,group\n" + "\n".join(reversed(rows)))
    one, two = (load_dataset(tmp_path / name / "m.csv") for name in ("one", "two"))
    assert one.names.tolist() == two.names.tolist()
    assert one.groups.tolist() == two.groups.tolist()
    assert one.digest(digests(one)) == two.digest(digests(two))


def test_digest_sees_frames_labels_groups_and_splits(two):
    base = "path,label,group,split\na.npy,x,1,train\nsub/b.npy,y,2,train\ns.npy,y,2,train\n"
    variants = [
        base,
        base.replace(",y,", ",z,"),
        base.replace("a.npy,x,1", "a.npy,x,2"),
        base.replace("s.npy,y,2,train", "s.npy,y,3,test"),
        base.replace("a.npy,x", "a.npy,y").replace("b.npy,y", "b.npy,x"),
    ]
    found = [(d := load_dataset(table(two, text))).digest(digests(d)) for text in variants]
    assert len(set(found)) == len(found)
    renamed = load_dataset(table(two, base.replace(",1,", ",run7,").replace(",2,", ",run3,")))
    assert renamed.digest(digests(renamed)) == found[0]
    frame(two / "a.npy", value=99)
    changed = load_dataset(table(two, base))
    assert changed.digest(digests(changed)) != found[0]
    with pytest.raises(ValueError, match="frame_digests must be one a frame, 5, got 1"):
        changed.digest(["x"])


def test_subset(two):
    dataset = load_dataset(table(two, "path,label,group\na.npy,x,1\nsub/b.npy,y,2\ns.npy,y,3\n"))
    keep = np.array([True, False, True, False, True])
    small = dataset.subset(keep, [("s.npy#0", "no valid pixel")])
    assert small.names.tolist() == ["a.npy", "s.npy#1", "sub/b.npy"]
    assert small.paths.tolist() == dataset.paths[keep].tolist()
    assert small.classes == dataset.classes
    assert small.quarantined == (("s.npy#0", "no valid pixel"),)
    assert small.file.tolist() == [0, 1, 2]
    less = dataset.subset(np.array([True, False, False, False, True]))
    assert less.files == ("a.npy", "sub/b.npy")
    with pytest.raises(ValueError, match="every class must have a frame, none in x"):
        dataset.subset(np.array([False, True, True, True, True]))


@given(
    rows=st.lists(
        st.tuples(st.integers(0, 9), st.integers(0, 4), st.booleans()), min_size=1, unique_by=lambda r: r[:2]
    )
)
@settings(max_examples=60, deadline=None)
def test_every_row_becomes_its_frame_once(tmp_path_factory, rows):
    root = tmp_path_factory.mktemp("m")
    rows = [*rows, (10, 0, True), (10, 1, False)]
    for number in {row[0] for row in rows}:
        (root / f"{number}.npy").touch()
    text = "path,label,frame\n" + "".join(f"{f}.npy,{'xy'[label]},{i}\n" for f, i, label in rows)
    dataset = load_dataset(table(root, text), counter=lambda paths, _: [Counted(5)] * len(paths))
    wanted = {f"{f}.npy#{i}": "xy"[label] for f, i, label in rows}
    assert labels_of(dataset) == wanted
    assert len(dataset) == len(rows)
    keys = list(zip(dataset.paths.tolist(), dataset.index.tolist(), strict=True))
    assert keys == sorted(keys)


def test_relative_data_is_made_absolute(two, monkeypatch):
    table(two, "path,label\na.npy,x\ns.npy,y\n")
    monkeypatch.chdir(two)
    assert load_dataset("m.csv").paths[0] == str(two / "a.npy")


def test_dataset_pickles(two):
    dataset = load_dataset(table(two, "path,label\na.npy,x\ns.npy,y\n"))
    again = pickle.loads(pickle.dumps(dataset))
    assert again.names.tolist() == dataset.names.tolist()


def test_input_modules_import_nothing_heavy():
    code = (
        "import sys, sweeper.data.dataset, sweeper.data.intensity\n"
        "heavy = {'numba', 'cv2', 'h5py', 'fabio', 'tifffile', 'imagecodecs', 'pyarrow', 'ray', 'torch'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_file_name_that_is_not_text_is_a_bad_file(tmp_path: Path) -> None:
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        np.save(tmp_path / label / "0.npy", np.ones((4, 4)))
    odd = os.fsencode(tmp_path / "a") + b"/odd\xff.npy"
    with open(odd, "wb") as file:  # noqa: PTH123  a name in bytes
        np.save(file, np.ones((4, 4)))
    with pytest.raises(BadFramesError) as raised:
        load_dataset(tmp_path)
    assert raised.value.problems == [("a/odd\\udcff.npy", "the file name must be printable UTF-8")]
    assert len(load_dataset(tmp_path, skip_bad=True)) == 2


# --------------------------------------------------------------------------- domains

DOMAINS = """path,label,domain,group
a.npy,x,there,g1
sub/b.npy,y,here,g2
s.npy,x,here,g2
"""


def test_domains_take_the_place_of_groups_where_whole_ones_are_held_out(two):
    manifest = table(two, DOMAINS)
    plain, held_out = load_dataset(manifest), load_dataset(manifest, hold_out="domain")
    assert plain.domains is None and not plain.hold_out
    assert [plain.domain_names[d] for d in plain.domain] == [
        held_out.domain_names[d] for d in held_out.domains
    ]
    names = [held_out.domain_names[d] for d in held_out.domains]
    assert dict(zip(held_out.names, names, strict=True)) == {
        "a.npy": "there", "s.npy#0": "here", "s.npy#1": "here", "s.npy#2": "here", "sub/b.npy": "here",
    }  # fmt: skip
    np.testing.assert_array_equal(held_out.groups, held_out.domains)


def test_a_domain_that_is_not_named_is_not_known(two):
    data = load_dataset(table(two, "path,label,domain\ns.npy,x,\na.npy,x,u\nsub/b.npy,y,NaN\n"))
    assert (data.domain.tolist(), data.domain_names) == ([0, -1, -1, -1, -1], ("u",))
    some = data.subset(np.arange(5) != 2)
    assert (some.domain.tolist(), some.domain_names) == ([0, -1, -1, -1], ("u",))
    assert load_dataset(table(two, "path,label\na.npy,x\nsub/b.npy,y\n")).domain is None


def test_a_column_of_domains_changes_no_digest_unless_it_is_asked_for(two):
    with_domains, without = table(two, DOMAINS), table(two, "path,label\na.npy,x\nsub/b.npy,y\n", "n.csv")
    columns = "path,label,domain\na.npy,x,u\nsub/b.npy,y,v\n"
    digests = ["d0", "d1"]
    assert load_dataset(without).digest(digests) == load_dataset(table(two, columns, "o.csv")).digest(digests)
    five = [str(i) for i in range(5)]
    held_out = load_dataset(with_domains, hold_out="domain")
    assert load_dataset(with_domains).digest(five) == held_out.digest(five)  # groups and domains agree here


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,label\na.npy,x\nsub/b.npy,y\n", "needs a manifest with a column domain"),
        (
            "path,label,domain\na.npy,x,u\nsub/b.npy,y,\n",
            "domain must be given in every row, 1 have none: row 2",
        ),
        ("path,label,domain\na.npy,x,u\nsub/b.npy,y,u\n", "needs two domains or more, all are 'u'"),
        (
            "path,label,domain,group\na.npy,x,u,g\nsub/b.npy,y,v,g\n",
            "a group must come from one domain, group 'g' is in 'u' and 'v'",
        ),
    ],
)
def test_domains_that_cannot_be_held_out_are_refused(two, text, message):
    with pytest.raises(ValueError, match=message):
        load_dataset(table(two, text), hold_out="domain")


def test_a_folder_has_no_domains(tmp_path):
    folder(tmp_path, ["cat/1.npy", "dog/1.npy"])
    with pytest.raises(ValueError, match="needs a manifest with a column domain"):
        load_dataset(tmp_path, hold_out="domain")
