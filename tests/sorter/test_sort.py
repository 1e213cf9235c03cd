"""Frames are sorted into a table that has each of them once, whatever happens meanwhile."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import psutil
import pytest
import tifffile

from sweeper.cli import main
from sweeper.data.dataset import load_dataset
from sweeper.data.frames import read_frame
from sweeper.errors import InputError
from sweeper.sorter.export import export_model
from sweeper.sorter.files import find_units
from sweeper.sorter.model import Model
from sweeper.sorter.modelfile import load_model
from sweeper.sorter.promises import Promise
from sweeper.sorter.table import Table, read_rows
from sweeper.sorter.watch import Watch
from tests.conftest import REPOSITORY
from tests.sorter.conftest import Made

Command = Callable[..., int]


@pytest.fixture(scope="module")
def model_file(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "m.sweeper"
    export_model(made.run, path, trial=2, promise=Promise(0.2, never_miss=("fine",), recall=0.8))
    return path


@pytest.fixture(scope="module")
def model(model_file: Path) -> Model:
    return load_model(model_file)


@pytest.fixture
def sort(model_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run `sweeper sort` in this process, in a folder of its own; returns the exit status."""
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: main(["sort", str(model_file), *map(str, arguments)])


def rows(path: str | Path = "sorted.csv") -> list[dict[str, str]]:
    return list(read_rows(Path(path)))


def test_the_table_says_what_the_model_says(sort: Command, made: Made, model: Model) -> None:
    assert sort(made.new) == 0
    expected = {(v.path, v.frame): v for v in model.accept(made.new)}
    table = rows()
    assert list(table[0]) == [
        "path", "frame", "class", "accepted", "reason", "keep", "latency_ms", "model",
        "p[coarse]", "p[fine]", "p[medium]",
    ]  # fmt: skip
    assert len(table) == len(expected) == 30
    for row in table:
        v = expected[row["path"], int(row["frame"])]
        assert (row["class"], row["reason"], row["model"]) == (v.label, v.reason, model.id)
        assert (row["accepted"] == "yes", row["keep"] == "yes") == (v.accepted, v.keep)
        found = [float(row[f"p[{name}]"]) for name in model.classes]
        assert found == pytest.approx(v.probabilities, abs=1e-6)
        assert float(row["latency_ms"]) > 0


def test_the_same_command_again_sorts_what_is_new(sort: Command, made: Made, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    files = sorted(made.new.rglob("*.tif"))
    for i, file in enumerate(files[:4]):
        (folder / f"{i}.tif").write_bytes(file.read_bytes())
    assert sort("in") == 0
    before = Path("sorted.csv").read_bytes()
    assert sort("in") == 0
    assert Path("sorted.csv").read_bytes() == before
    (folder / "more.tif").write_bytes(files[5].read_bytes())
    assert sort("in") == 0
    after = Path("sorted.csv").read_bytes()
    assert after.startswith(before)
    assert len(rows()) == 5


def test_a_row_that_is_not_whole_is_written_again(sort: Command, made: Made) -> None:
    """As after a kill in the middle of a write."""
    assert sort(made.new) == 0
    whole = rows()
    data = Path("sorted.csv").read_bytes()
    for cut in (len(data) - 1, len(data) - 30, len(data) // 2, 20, 0):
        Path("sorted.csv").write_bytes(data[:cut])
        assert sort(made.new) == 0
        assert [{**r, "latency_ms": ""} for r in rows()] == [{**r, "latency_ms": ""} for r in whole]


def test_tables_of_others_are_refused(
    sort: Command, made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str], model: Model
) -> None:
    Path("sorted.csv").write_text("a,b\n1,2\n")
    assert sort(made.new) == 2
    assert "must be a table of this model" in capsys.readouterr().err
    Path("sorted.csv").unlink()
    assert sort(made.new) == 0
    text = Path("sorted.csv").read_text()
    Path("sorted.csv").write_text(text.replace(model.id, "0123456789ab"))
    assert sort(made.new) == 2
    assert f"sorted by model 0123456789ab, not {model.id}" in capsys.readouterr().err
    Path("sorted.csv").write_text(text)
    table = Table(tmp_path / "sorted.csv", model)
    assert sort(made.new) == 2
    assert "another process" in capsys.readouterr().err
    table.close()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere"], "nowhere: no such file or folder"),
        (["*.cbf"], "*.cbf: no such file or folder"),
        ([".", "--move"], "--move needs --link-to DIR"),
        ([".", "--csv", "no/t.csv"], "--csv no/t.csv: its folder must exist"),
        ([".", "--error-rate", "2"], "error rate must be above 0 and below 1"),
        ([".", "--never-miss", "fien"], "did you mean 'fine'?"),
        (["m.tif", "--watch"], "m.tif: --watch follows folders"),
    ],
)
def test_wrong_arguments(
    arguments: list[str], said: str, sort: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("m.tif").write_bytes(b"x")
    assert sort(*arguments) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_files_that_cannot_be_read_are_rows(sort: Command, made: Made, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    good = next(made.new.rglob("*.tif")).read_bytes()
    (folder / "a.tif").write_bytes(good)
    (folder / "b.tif").write_bytes(good[: len(good) // 2])
    np.save(folder / "c.npy", np.full((48, 48), np.nan))
    assert sort("in") == 3
    a, b, c = sorted(rows(), key=lambda row: row["path"])
    assert a["class"] != ""
    for bad in (b, c):
        assert bad["reason"].startswith("unreadable: ")
        assert (bad["class"], bad["accepted"], bad["keep"], bad["p[fine]"]) == ("", "no", "yes", "")


def test_stacks_patterns_and_manifests(sort: Command, made: Made, tmp_path: Path, model: Model) -> None:
    files = sorted(made.new.rglob("*.tif"))
    stack = np.stack([read_frame(file) for file in files])
    with h5py.File("stack.h5", "w") as file:
        file["data"] = stack
    tifffile.imwrite("pages.tif", stack[:5])
    (tmp_path / "list.csv").write_text("path,frame\nstack.h5,7\nstack.h5,29\npages.tif,\n")
    assert sort("stack.h5", "--csv", "stack.csv") == 0
    of_files = [v.label for v in model.accept(files)]
    assert [row["class"] for row in rows("stack.csv")] == of_files
    assert [int(row["frame"]) for row in rows("stack.csv")] == list(range(30))
    assert sort("list.csv", "--csv", "list-sorted.csv") == 0
    found = [(Path(row["path"]).name, int(row["frame"])) for row in rows("list-sorted.csv")]
    assert found == [("stack.h5", 7), ("stack.h5", 29), *(("pages.tif", i) for i in range(5))]
    assert sort("pa*.tif", "stack.h5", "--csv", "pattern.csv") == 0
    assert len(rows("pattern.csv")) == 35


def test_a_manifest_means_what_it_means_to_a_sweep(sort: Command, made: Made, tmp_path: Path) -> None:
    stack = np.stack([read_frame(file) for file in sorted(made.new.rglob("*.tif"))])
    with h5py.File("two.h5", "w") as file:
        file["low"], file["high"] = stack[:4], stack[4:]
    np.save("mask.npy", np.eye(48, dtype=np.uint8))
    tifffile.imwrite("one.tif", stack[0])
    lines = [
        " path , frame,dataset , label,mask, domain",
        "two.h5 , 3.0, /low,x, mask.npy ,there",
        " two.h5,1.,/low,y,mask.npy,",
        "two.h5,nan,/high,x,NaN,there",
        "two.h5,2,/low,x,,there",
        "./one.tif, ,,y, ,here",
    ]
    Path("list.csv").write_text("\n".join(lines) + "\n")
    data = load_dataset(Path("list.csv"))
    expected = {
        (path, index, mask) for path, index, mask in zip(data.paths, data.index, data.masks, strict=True)
    }
    units = list(find_units(["list.csv"], None, data.reading))
    low, high = f"{tmp_path}/two.h5::/low", f"{tmp_path}/two.h5::/high"
    assert [(unit.path, unit.frames) for unit in units] == [
        (low, (3, 1)), (high, tuple(range(26))), (low, (2,)), (f"{tmp_path}/one.tif", None),
    ]  # fmt: skip
    assert {(unit.path, i, unit.mask) for unit in units for i in unit.frames or (0,)} == expected
    assert sort("list.csv", "--link-to", "by-class") == 0
    assert [(row["path"], int(row["frame"])) for row in rows()][:2] == [(low, 3), (low, 1)]
    assert {path.name for path in Path("by-class").rglob("*.*")} == {"two.h5", "one.tif"}
    pd.DataFrame({"path": ["two.h5", "one.tif"], "frame": [3, None], "dataset": ["/low", None]}).to_parquet(
        "list.pq"
    )
    assert [(unit.path, unit.frames) for unit in find_units(["list.pq"], None, data.reading)] == [
        (low, (3,)), (f"{tmp_path}/one.tif", None),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("path,frame\na.tif,0\n\na.tif,-1\n", "line 4: frame must be a whole number from 0, got '-1'"),
        ("path,frame\na.tif,0.5\n", "line 2: frame must be a whole number from 0, got '0.5'"),
        ("path,frame\na.tif,0\n ,1\n", "line 3: path must be given in every row, 1 have none: row 2"),
        ("path,mask\na.tif,\na.tif,no.npy\n", "line 3: mask must name existing files, 1 are missing: no.npy"),
        ("file,label\na.tif,x\n", "line 1: manifest must have a column 'path', its columns are file, label"),
        ("path;frame\na.tif;0\n", "line 1 must have its columns separated by commas, not by ';'"),
        ("path,frame\na.tif\n", "line 2 must have 2 fields"),
    ],
)
def test_a_wrong_manifest_is_said_before_anything_is_sorted(
    text: str, said: str, sort: Command, made: Made, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("list.csv").write_text(text)
    assert sort(made.new, "list.csv") == 2
    error = capsys.readouterr().err
    assert "/list.csv: " in error
    assert said in error
    assert error.count("\n") == 1
    assert not Path("sorted.csv").exists()


def test_other_forms_of_the_table(sort: Command, made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    assert sort(made.new, "--parquet", "t.parquet", "--nexus", "t.nxs", "--json") == 0
    table = rows()
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    frame = pd.read_parquet("t.parquet")
    assert len(lines) == len(frame) == len(table)
    for line, row, (_, wide) in zip(lines, table, frame.iterrows(), strict=True):
        assert line["path"] == row["path"] == wide["path"]
        assert line["p[fine]"] == float(row["p[fine]"]) == wide["p[fine]"]
        assert line["accepted"] == (row["accepted"] == "yes") == wide["accepted"]
    with h5py.File("t.nxs") as file:
        process = file["entry/sorting"]
        assert process.attrs["NX_class"] == "NXprocess"
        assert process["data/path"].asstr()[:].tolist() == [row["path"] for row in table]
        assert process["data/probability"].shape == (30, 3)
        assert process["program"].asstr()[()] == "sweeper sort"


def test_links_and_moves(sort: Command, made: Made, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    for i, file in enumerate(sorted(made.new.rglob("*.tif"))[::3]):
        (folder / str(i % 2)).mkdir(parents=True, exist_ok=True)
        (folder / str(i % 2) / f"{i // 2}.tif").write_bytes(file.read_bytes())
    files = sorted(folder.rglob("*.tif"))
    assert sort("in", "--link-to", "by-class") == 0
    links = sorted(path for path in Path("by-class").rglob("*") if path.is_symlink())
    assert sorted(link.readlink() for link in links) == files
    for row in rows():
        place = row["reason"].partition(":")[0] or row["class"]
        assert any(link.parent.name == place for link in links if str(link.readlink()) == row["path"])
    links[0].unlink()
    assert sort("in", "--link-to", "by-class") == 0  # what a kill had left undone
    assert links == sorted(path for path in Path("by-class").rglob("*") if path.is_symlink())
    contents = sorted(path.read_bytes() for path in files)
    assert sort("in", "--link-to", "moved", "--move") == 0
    assert not list(folder.rglob("*.tif"))
    assert sorted(path.read_bytes() for path in Path("moved").rglob("*.tif")) == contents
    assert sort("in", "--link-to", "moved", "--move") == 0
    assert len(rows()) == len(files)


def test_several_processes_say_the_same(sort: Command, made: Made) -> None:
    assert sort(made.new, "--csv", "one.csv") == 0
    assert sort(made.new, "--csv", "two.csv", "--processes", 2) == 0
    one, two = (sorted(rows(name), key=lambda row: row["path"]) for name in ("one.csv", "two.csv"))
    assert [{**row, "latency_ms": ""} for row in one] == [{**row, "latency_ms": ""} for row in two]


def test_names_that_are_no_text_stand_in_one_row(sort: Command, made: Made, tmp_path: Path) -> None:
    good = next(made.new.rglob("*.tif")).read_bytes()
    folder = tmp_path / "in"
    folder.mkdir()
    for name in (b"a\nb.tif", b"\xff.tif", 'q",é.tif'.encode()):
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_bytes(good)
    assert sort("in") == 0
    with Path("sorted.csv").open(newline="", encoding="utf-8") as file:
        assert len(list(csv.reader(file))) == 4 == len(Path("sorted.csv").read_bytes().splitlines())
    before = Path("sorted.csv").read_bytes()
    assert sort("in") == 0
    assert Path("sorted.csv").read_bytes() == before


# --------------------------------------------------------------------------- watching


class Watched:
    """`sweeper sort --watch` in a process of its own."""

    def __init__(self, model: Path, folder: Path, table: Path, *options: object) -> None:
        self.arguments = ["sort", model, folder, "--csv", table, "--watch", *options]
        self.table = table
        self.process = self._started()

    def _started(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "sweeper", *map(str, self.arguments)],
            stderr=subprocess.DEVNULL,
            cwd=REPOSITORY,
        )

    def kill(self) -> None:
        """Kill it, as a machine that fails does."""
        self.process.kill()
        self.process.wait()

    def start(self) -> None:
        """Start it again."""
        self.process = self._started()

    def end(self) -> int:
        """Interrupt it, and return its exit status."""
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(timeout=60)

    def wait_for(self, frames: int, timeout_s: float = 120) -> list[dict[str, str]]:
        """Wait until the table has so many rows, and return them."""
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            found = rows(self.table) if self.table.exists() else []
            if len(found) >= frames:
                return found
            time.sleep(0.1)
        raise AssertionError(f"{len(found)} of {frames} frames were sorted")


@pytest.fixture
def watched(model_file: Path, tmp_path: Path) -> Iterator[Callable[..., Watched]]:
    started: list[Watched] = []

    def start(*options: object) -> Watched:
        (tmp_path / "in").mkdir(exist_ok=True)
        started.append(Watched(model_file, tmp_path / "in", tmp_path / "t.csv", *options))
        return started[-1]

    yield start
    for each in started:
        each.process.kill()
        each.process.wait()


@pytest.mark.slow
def test_killed_and_started_again_it_does_no_frame_twice_and_skips_none(
    watched: Callable[..., Watched], made: Made, tmp_path: Path
) -> None:
    data = [path.read_bytes() for path in sorted(made.new.rglob("*.tif"))]
    run = watched("--link-to", tmp_path / "by-class")
    for i in range(90):
        folder = tmp_path / "in" / f"scan{i % 3}"
        folder.mkdir(exist_ok=True)
        (folder / f"{i:03}.tif").write_bytes(data[i % len(data)])
        time.sleep(0.02)
        if i in (30, 60):
            run.wait_for(i - 20)
            run.kill()
            run.start()
    found = run.wait_for(90)
    assert run.end() == 130
    names = [Path(row["path"]).name for row in found]
    assert sorted(names) == [f"{i:03}.tif" for i in range(90)]
    assert all(row["class"] for row in found)
    assert len([p for p in (tmp_path / "by-class").rglob("*") if p.is_symlink()]) == 90


def test_files_of_odd_names_are_linked_too(made: Made, sort: Any, tmp_path: Path) -> None:
    """In the table such a name is escaped; the link leads to the file."""
    data = next(made.new.rglob("*.tif")).read_bytes()
    names = {os.fsdecode(b"a\xff.tif"), "b\n.tif", "c\xa0.tif"}
    for name in names:
        path = tmp_path / "odd" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
    assert sort(tmp_path / "odd", "--csv", tmp_path / "odd.csv", "--link-to", tmp_path / "by-class") == 0
    links = [path for path in (tmp_path / "by-class").rglob("*") if path.is_symlink()]
    assert {path.name for path in links} == names
    assert all(path.exists() for path in links)


@pytest.mark.slow
def test_processes_end_with_the_one_that_started_them(
    watched: Callable[..., Watched], made: Made, tmp_path: Path
) -> None:
    run = watched("--processes", 2)
    (tmp_path / "in" / "a.tif").write_bytes(next(made.new.rglob("*.tif")).read_bytes())
    run.wait_for(1)
    children = psutil.Process(run.process.pid).children(recursive=True)
    assert len(children) >= 2
    run.kill()
    _, left = psutil.wait_procs(children, timeout=30)
    assert not left


def idle_units(watch: Watch, timeout_s: float = 0.3) -> list[str]:
    return [Path(unit.path).name for unit in watch.wait(timeout_s)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "in"
    path.mkdir()
    return path


def made_watch(folder: Path, model: Model, done: Any = frozenset()) -> Watch:
    return Watch([folder], None, model.reading, lambda path: done)


def test_a_file_that_is_being_written_is_not_taken(folder: Path, model: Model, made: Made) -> None:
    data = next(made.new.rglob("*.tif")).read_bytes()
    watch = made_watch(folder, model)
    assert idle_units(watch) == []
    with (folder / "a.tif").open("wb") as file:
        file.write(data[:100])
        file.flush()
        assert idle_units(watch) == []
        file.write(data[100:])
    assert idle_units(watch, 5) == ["a.tif"]
    assert idle_units(watch) == []


def test_a_file_that_is_moved_there_is_whole(folder: Path, model: Model, made: Made, tmp_path: Path) -> None:
    watch = made_watch(folder, model)
    watch.wait(0)
    (tmp_path / "b.tif").write_bytes(next(made.new.rglob("*.tif")).read_bytes())
    (tmp_path / "b.tif").rename(folder / "b.tif")
    (folder / ".hidden.tif").write_bytes(b"x")
    (folder / "notes.txt").write_bytes(b"x")
    assert idle_units(watch, 5) == ["b.tif"]
    assert idle_units(watch) == []


def test_what_was_there_is_taken_unless_it_is_being_written(folder: Path, model: Model) -> None:
    (folder / "old.tif").write_bytes(b"x")
    os.utime(folder / "old.tif", (0, 0))
    (folder / "young.tif").write_bytes(b"x")
    with (folder / "written.tif").open("wb") as file:
        file.write(b"x")
        file.flush()
        watch = made_watch(folder, model)
        assert sorted(idle_units(watch)) == ["old.tif", "young.tif"]
        assert idle_units(watch) == []
        assert watch.waiting == [str(folder / "written.tif")]
    assert idle_units(watch, 5) == ["written.tif"]


def test_folders_without_notices_are_looked_through(
    folder: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sweeper.sorter import watch as module

    monkeypatch.setattr(module, "_is_remote", lambda folder: True)
    monkeypatch.setattr(module, "UNCHANGED_S", 0.5)
    monkeypatch.setattr(module, "_LOOK_S", 0.1)
    watch = made_watch(folder, model)
    assert idle_units(watch) == []
    (folder / "below").mkdir()
    with (folder / "below" / "a.tif").open("wb") as file:
        for _ in range(8):
            file.write(b"x")
            file.flush()
            assert idle_units(watch, 0.2) == []
    assert idle_units(watch, 5) == ["a.tif"]


GROWING = """
import sys, h5py, numpy as np
with h5py.File(sys.argv[1], "w", libver="latest") as file:
    data = file.create_dataset("data", (0, 48, 48), "u2", maxshape=(None, 48, 48), chunks=(1, 48, 48))
    file.swmr_mode = True
    for line in sys.stdin:
        data.resize(int(line), axis=0)
        data[:] = 7
        data.flush()
"""


def test_a_stack_is_read_as_it_grows(folder: Path, model: Model) -> None:
    watch = made_watch(folder, model)
    watch.wait(0)
    arguments = [sys.executable, "-c", GROWING, str(folder / "growing.h5")]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, text=True) as writer:
        assert writer.stdin is not None
        taken: list[int] = []
        for frames in (3, 4, 9):
            writer.stdin.write(f"{frames}\n")
            writer.stdin.flush()
            end = time.monotonic() + 60
            while len(taken) < frames and time.monotonic() < end:
                for unit in watch.wait(0.2):
                    assert unit.frames is not None
                    taken += unit.frames
            assert taken == list(range(frames))


def test_an_eiger_master_waits_for_its_data(folder: Path, model: Model) -> None:
    watch = made_watch(folder, model)
    with h5py.File(folder / "s_master.h5", "w") as file:
        file.create_group("entry/data")["data_000001"] = h5py.ExternalLink(
            "s_data_000001.h5", "/entry/data/data"
        )
        file["entry/instrument/detector/detectorSpecific/nimages"] = 4
    assert watch.wait(0.5) == []
    assert [path for path in watch.waiting if "s_master.h5: " in path]
    with h5py.File(folder / "s_data_000001.h5", "w") as file:
        file["entry/data/data"] = np.ones((4, 48, 48), np.uint16)
    units = watch.wait(10)
    assert [(Path(unit.path).name, unit.frames) for unit in units] == [("s_master.h5", (0, 1, 2, 3))]
    assert watch.waiting == []


def test_an_idle_watch_takes_no_time(folder: Path, model: Model) -> None:
    for i in range(500):
        (folder / f"{i}.tif").write_bytes(b"x")
        os.utime(folder / f"{i}.tif", (0, 0))
    watch = made_watch(folder, model)
    assert len(idle_units(watch)) == 500
    before = time.process_time()
    assert idle_units(watch, 4) == []
    assert time.process_time() - before < 0.04


def test_a_half_written_file_is_tried_again(folder: Path, model: Model) -> None:
    (folder / "a.tif").write_bytes(b"half")
    watch = made_watch(folder, model)
    assert watch.retry(str(folder / "a.tif"))
    os.utime(folder / "a.tif", (0, 0))
    assert not watch.retry(str(folder / "a.tif"))
    assert not watch.retry(str(folder / "none.tif"))


def test_watch_follows_folders_alone(folder: Path, model: Model) -> None:
    with pytest.raises(InputError, match="--watch follows folders"):
        made_watch(folder / "none", model)


def test_units_keep_the_order_given(folder: Path, model: Model) -> None:
    for name in ("b.tif", "a.tif"):
        (folder / name).write_bytes(b"x")
    units = find_units([str(folder / "b.tif"), str(folder / "a.tif")], None, model.reading)
    assert [Path(unit.path).name for unit in units] == ["b.tif", "a.tif"]
