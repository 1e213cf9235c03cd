"""CSV manifests that a lenient parser reads in part: refused, with the line that is wrong."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sweeper.data.dataset import load_dataset
from sweeper.data.frames import Counted
from sweeper.data.table import check_csv
from sweeper.errors import InputError

N = 20


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of frames 0.npy to 19.npy, and of some with odd names."""
    folder = tmp_path_factory.mktemp("frames")
    for name in (*map(str, range(N)), "#1", "a b", 'six" wafer'):
        np.save(folder / f"{name}.npy", np.ones((4, 5), np.uint16))
    return folder


def rows(note: dict[int, str] | None = None, end: str = "\n") -> str:
    """A manifest of three columns; some rows have another note."""
    lines = [f"{i}.npy,{'ab'[i % 2]},{(note or {}).get(i, 'ok')}" for i in range(N)]
    return end.join(["path,label,note", *lines, ""])


def load(root: Path, content: str | bytes) -> int:
    """How many frames a manifest gives."""
    path = root / "m.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return len(load_dataset(path))


@pytest.mark.parametrize(
    "content",
    [
        rows(),
        rows(end="\r\n"),
        rows(end="\r"),
        rows().rstrip("\n"),
        "\ufeff" + rows(),
        rows().replace("\n", "\n\n"),
        rows({3: '"two\nlines, of text"', 5: '"a ""word"" in quotes"', 7: 'a 6" wafer'}),
        rows({3: "Zürich"}),
        rows().replace("path,label,note", " path , label , note "),
        rows().replace("\n0.npy", "\n./#1.npy"),
        rows().replace("\n0.npy", '\n"#1.npy"'),
        rows().replace("\n0.npy", "\na b.npy").replace("\n1.npy", '\nsix" wafer.npy'),
        rows(dict.fromkeys(range(N), "# of 5")),
        "path,label,,\n" + "".join(f"{i}.npy,{'ab'[i % 2]},,\n" for i in range(N)),
    ],
)
def test_what_is_sound_is_read_whole(root: Path, content: str) -> None:
    assert load(root, content) == N


@pytest.mark.parametrize(
    ("content", "line", "said"),
    [
        # An opening quote swallows what follows: to the end, or to the next one.
        (rows({11: '"rough, see log'}), 13, "a closing quote is missing"),
        (rows({4: '"rough', 9: '"bad'}), 6, "ends in line 11, where more text follows"),
        (rows({4: '"rough', 9: '"'}), 6, "goes on for 5 more lines, which look like rows"),
        (rows({4: '"rough"er'}), 6, "text after a closing quote"),
        (rows({N - 1: '"'}), N + 1, "a closing quote is missing"),
        ('"path,label,note\n' + "0.npy,a,ok\n", 1, "a closing quote is missing"),
        ("path,label\n0.npy,a\n1.npy,b\n2.npy,\"a\n\"\n", 4, "no line break in label"),
        ('path,label,note\n0.npy,a,x\n1.npy, "b",x\n', 3, "white space before a quote"),
        # Rows of another length.
        (rows({7: "a,b"}), 9, "must have 3 fields, as the header has, it has 4"),
        (rows().replace("8.npy,a,ok", "8.npy,a", 1), 10, "must have 3 fields, as the header has, it has 2"),
        (rows({2: '"two\nlines"'}).replace("8.npy,a,ok", "8.npy,a", 1), 11, "must have 3 fields"),
        (rows() + "  \n", N + 2, "must have 3 fields"),
        (rows()[:-6], N + 1, "must have 3 fields"),
        # Comments.
        ("# made by hand\n" + rows(), 1, "begins with '#'"),
        ("\ufeff# made by hand\n" + rows(), 1, "begins with '#'"),
        (rows().replace("\n5.npy", "\n  # 5.npy"), 7, "begins with '#'"),
        (rows().replace("\n5.npy", "\n#5.npy"), 7, "begins with '#'"),
        (rows(end="\r").replace("\r5.npy", "\r#5.npy"), 7, "begins with '#'"),
        # Encodings.
        (rows().encode("utf-16"), 1, "UTF-16"),
        (rows().encode("utf-16-le"), 1, "NUL byte"),
        (rows().encode("utf-32"), 1, "UTF-32"),
        (rows({12: "Zürich"}).encode("latin-1"), 14, "byte 0xfc, which is not UTF-8"),
        (rows().encode() + "20.npy,a,\u20ac".encode()[:-1], N + 2, "byte 0xe2, which is not UTF-8"),
        (rows().replace("5.npy,b", "5.npy,\0b", 1), 7, "NUL byte"),
        (rows() + "\ufeff" + rows(), N + 2, "byte order mark"),
        # Headers.
        (rows() + rows(), N + 2, "is the header again"),
        (rows().replace(",", ";"), 1, "separated by commas, not by ';': its columns are path;label;note"),
        (rows().replace(",", "\t"), 1, "separated by commas, not by tabs"),
        (rows().replace(",", "|"), 1, "separated by commas, not by '|'"),
        ("sep=;\n" + rows().replace(",", ";"), 1, "must be the header, it is 'sep=;'"),
    ],
)  # fmt: skip
def test_what_would_be_read_in_part_is_refused_with_its_line(
    root: Path, content: str | bytes, line: int, said: str
) -> None:
    with pytest.raises(InputError) as refused:
        load(root, content)
    message = str(refused.value)
    assert f"m.csv: manifest cannot be read: line {line} " in message
    assert said in message
    assert "\n" not in message


@pytest.mark.parametrize("name", ["label", "note"])
def test_a_column_that_stands_twice(root: Path, name: str) -> None:
    content = rows().replace("\n", ",more\n").replace("more", name, 1)
    with pytest.raises(InputError, match=f"line 1: manifest must have one column '{name}', it has 2"):
        load(root, content)


def test_bytes_that_are_no_utf8_are_found_where_chunks_meet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "m.csv"
    good = "path,label\n" + "é,a\n" * 9
    for chunk in range(1, 9):
        monkeypatch.setattr("sweeper.data.table._CHUNK_BYTES", chunk)
        path.write_bytes(good.encode())
        check_csv(path, ("path",), ("path",))
        path.write_bytes((good + "\u00e9,a\n").encode()[:-4])
        with pytest.raises(InputError, match="line 11 has the byte 0xc3, which is not UTF-8"):
            check_csv(path, ("path",), ("path",))


TEXT = st.text(st.sampled_from('ab ",\n\r#\u00e9'), max_size=6)


@given(
    notes=st.lists(TEXT, min_size=3, max_size=3), quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
)
@settings(max_examples=150, deadline=None)
def test_what_another_writer_quotes_is_read_whole_or_refused(
    tmp_path_factory: pytest.TempPathFactory, notes: list[str], quoting: int
) -> None:
    """Nothing of it is lost or made up; text that looks like rows, or like a stray quote, may be refused."""
    folder = tmp_path_factory.mktemp("written")
    for i in range(3):
        (folder / f"{i}.npy").touch()
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=quoting)  # type: ignore[arg-type]
    writer.writerows(
        [["note", "path", "label"], *([note, f"{i}.npy", "aab"[i]] for i, note in enumerate(notes))]
    )
    (folder / "m.csv").write_text(text.getvalue(), encoding="utf-8", newline="")
    try:
        dataset = load_dataset(folder / "m.csv", counter=lambda paths, _: [Counted(1)] * len(paths))
    except InputError as error:
        assert "begins with '#'" in str(error) or "quote" in str(error)
    else:
        assert dataset.files == ("0.npy", "1.npy", "2.npy")
        assert [dataset.classes[i] for i in dataset.labels] == ["a", "a", "b"]
