"""A few frames of one's own beside others that help: by a manifest's column, or by another data set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sweeper.data.dataset import Dataset, load_dataset
from sweeper.errors import InputError


def _frames(root: Path, *names: str) -> None:
    for value, name in enumerate(names):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        np.save(root / name, np.full((4, 5), value + len(str(root)), np.uint16))


def _manifest(root: Path, text: str, name: str = "m.csv") -> Path:
    (root / name).write_text(text)
    return root / name


def _own(data: Dataset) -> list[str]:
    return [str(name) for name in data.names[data.own]]


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder of two classes, three frames."""
    _frames(tmp_path / "own", "a/z.npy", "b/0.npy", "b/1.npy")
    return tmp_path / "own"


@pytest.fixture
def others(tmp_path: Path) -> Path:
    """The manifest of four frames of three classes elsewhere."""
    _frames(tmp_path / "others", *(f"{i}.npy" for i in range(4)))
    return _manifest(
        tmp_path / "others",
        "path,label,group,domain,split\n0.npy,a,g,d,test\n1.npy,b,g,d,\n2.npy,c,h,e,\n3.npy,a,k,e,train\n",
    )


@pytest.mark.parametrize("yes", ["yes", "True", "1"])
def test_a_column_says_which_frames_help(tmp_path: Path, yes: str) -> None:
    _frames(tmp_path, "0.npy", "1.npy", "2.npy", "3.npy")
    rows = f"path,label,group,helping\n0.npy,a,g,{yes}\n1.npy,b,g,{yes}\n2.npy,a,,\n3.npy,b,,no\n"
    data = load_dataset(_manifest(tmp_path, rows))
    assert data.helping is not None
    assert _own(data) == ["2.npy", "3.npy"]
    assert data.names.tolist() == ["2.npy", "3.npy", "0.npy", "1.npy"]  # those that help come last
    assert data.groups is not None and data.groups.tolist() == [0, 1, 2, 2]  # without a group: one of its own
    assert data.notes[0].startswith("2 frames are your own and are scored (a 1, b 1); 2 others help")


def test_a_column_without_a_yes_changes_nothing(tmp_path: Path) -> None:
    _frames(tmp_path, "0.npy", "1.npy")
    data = load_dataset(_manifest(tmp_path, "path,label,helping\n0.npy,a,no\n1.npy,b,\n"))
    plain = load_dataset(_manifest(tmp_path, "path,label\n0.npy,a\n1.npy,b\n", "plain.csv"))
    assert data.helping is None and data.notes == ()
    assert data.digest(["x", "y"]) == plain.digest(["x", "y"])


def test_the_digest_says_who_helps(tmp_path: Path) -> None:
    _frames(tmp_path, "0.npy", "1.npy", "2.npy")
    one, other = (
        load_dataset(_manifest(tmp_path, f"path,label,helping\n0.npy,a,\n1.npy,b,{x}\n2.npy,b,{y}\n"))
        for x, y in (("yes", ""), ("yes", "yes"))
    )
    assert one.digest(["x"] * 3) != other.digest(["x"] * 3)


def test_a_data_set_helps_beside_a_folder(own: Path, others: Path) -> None:
    data = load_dataset(own, helping=others)
    assert data.names.tolist() == ["a/z.npy", "b/0.npy", "b/1.npy", *(f"../others/{i}.npy" for i in range(4))]
    assert _own(data) == ["a/z.npy", "b/0.npy", "b/1.npy"]
    assert data.classes == ("a", "b", "c")
    assert data.labels.tolist() == [0, 1, 1, 0, 1, 2, 0]
    assert data.split.tolist() == [""] * 7  # the splits of those that help are passed over
    assert data.groups is not None and data.groups.tolist() == [0, 1, 2, 3, 3, 4, 5]
    assert data.domain is not None and data.domain.tolist() == [-1, -1, -1, 0, 0, 1, 1]
    assert all(Path(path).exists() for path in data.paths)
    assert data.notes[-1] == "no score says anything of c: no frame of it is your own"
    assert data.subset(data.own | (data.labels == 2)).helping is not None


def test_the_order_does_not_depend_on_where_those_that_help_lie(own: Path, others: Path) -> None:
    inside = own / "z" / "others"
    before = load_dataset(own, helping=others)
    inside.parent.mkdir()
    others.parent.rename(inside)
    manifest = _manifest(own.parent, "path,label\nown/a/z.npy,a\nown/b/0.npy,b\nown/b/1.npy,b\n")
    after = load_dataset(manifest, helping=inside / others.name)
    assert [Path(str(n)).name for n in after.names] == [Path(str(n)).name for n in before.names]
    assert after.digest([""] * 7) == before.digest([""] * 7)


def test_a_test_split_is_of_ones_own_frames(own: Path, others: Path) -> None:
    rows = "path,label,split\na/z.npy,a,\nb/0.npy,b,test\nb/1.npy,b,\n"
    data = load_dataset(_manifest(own, rows), helping=others)
    assert data.split.tolist() == ["train", "test", "train", *["train"] * 4]


def test_a_mask_is_of_ones_own_detector(own: Path, others: Path) -> None:
    np.save(own.parent / "mask.npy", np.eye(4, 5))
    data = load_dataset(own, helping=others, mask=own.parent / "mask.npy")
    assert [mask is not None for mask in data.masks] == [True] * 3 + [False] * 4


def test_frames_that_help_keep_their_groups_where_ones_own_are_by_file(own: Path, others: Path) -> None:
    data = load_dataset(own, helping=others, group_by="folder")
    assert data.groups is not None and data.groups.tolist() == [0, 1, 1, 2, 2, 3, 4]


def test_ones_own_domains_are_held_out(own: Path, others: Path) -> None:
    rows = "path,label,domain\na/z.npy,a,d\nb/0.npy,b,mine\nb/1.npy,b,mine\n"
    data = load_dataset(_manifest(own, rows), helping=others, hold_out="domain")
    assert data.groups is not None and data.groups.tolist() == [0, 1, 1, 0, 0, 2, 2]  # d is one domain
    with pytest.raises(InputError, match="--hold-out domain needs two domains or more, all are 'd'"):
        load_dataset(_manifest(own, "path,label,domain\na/z.npy,a,d\n"), helping=others, hold_out="domain")


@pytest.mark.parametrize(
    ("rows", "error"),
    [
        ("0.npy,a,,maybe\n1.npy,b,,", "line 2: helping must be yes or no, got 'maybe'"),
        (
            "0.npy,a,,yes\n1.npy,b,,yes",
            "helping must leave frames of your own, which are scored; all",
        ),
        ("0.npy,a,test,yes\n1.npy,b,,", "a helping frame is for training, 1 stand in val or test: row 1"),
    ],
)
def test_what_is_refused(tmp_path: Path, rows: str, error: str) -> None:
    _frames(tmp_path, "0.npy", "1.npy")
    with pytest.raises(InputError, match=error):
        load_dataset(_manifest(tmp_path, f"path,label,split,helping\n{rows}\n"))


def test_what_is_wrong_with_a_data_set_that_helps_names_the_option(own: Path) -> None:
    with pytest.raises(InputError, match=r"^--helping /nowhere: data must be an existing folder or manifest"):
        load_dataset(own, helping="/nowhere")


def test_a_frame_is_ones_own_or_helps(own: Path) -> None:
    with pytest.raises(InputError, match="every frame must be named once, 3 are repeated"):
        load_dataset(own, helping=own)
