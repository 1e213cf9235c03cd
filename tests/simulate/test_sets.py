"""Simulated data sets on disk: parts, stacks, going on after an interruption, many processes."""

from __future__ import annotations

import csv
import hashlib
import sys
import types
from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from sweeper.cli import main
from sweeper.data.dataset import load_dataset
from sweeper.data.frames import read_frame
from sweeper.simulate import sets, simulators, writing
from sweeper.simulate.diffraction import LABELS, simulate_frame

PAPER = (40, 9.6, 50.4)


def _rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "manifest.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def _contents(folder: Path) -> dict[str, str]:
    """Digest of every file of a folder."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(p.relative_to(folder)): hashlib.md5(p.read_bytes()).hexdigest() for p in files}


def _tiny(per_class: int | dict[str, int] = 3, **others: Any) -> sets.Simulation:
    return sets.simulation("diffraction", per_class, 64, 1, **others)


def _session_of(label: str, index: int, seed: int) -> str:
    return f"session {(index + seed) // 4 % 7}"


def _session_frame(label: str, index: int, seed: int, size: int) -> tuple[NDArray[Any], dict[str, Any]]:
    """Signed counts of an oblong detector, 1 px taller for the class "tall"."""
    counts = np.full((size + (label == "tall" and index > 0), size + 3), index, dtype=np.int32)
    counts[0] = -1
    drawn = {"label": label, "index": index, "seed": seed, "size_px": size, "simulator": "sessions-1"}
    own = {"energy_kev": 12.5} if label == "weak" else {}
    return counts, {**drawn, "group": _session_of(label, index, seed), **own}


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch) -> str:
    """A kind whose frames come in sessions of several classes and cost nothing."""
    module = types.ModuleType("sessions_for_tests")
    module.__dict__.update(
        SIMULATOR="sessions-1",
        LABELS=("weak", "flat", "tall"),
        simulate_frame=_session_frame,
        group_of=_session_of,
    )
    monkeypatch.setitem(sys.modules, module.__name__, module)
    kind = simulators.Kind(module.__name__, "frames in sessions", "sweeper simulate sessions frames")
    monkeypatch.setattr(simulators, "KINDS", {**simulators.KINDS, "sessions": kind})
    return "sessions"


# --------------------------------------------------------------------------- parts


@given(
    st.lists(st.integers(10, 60), min_size=2, max_size=5),
    st.tuples(st.floats(0.2, 1), st.floats(0, 1), st.floats(0.2, 1)),
)
@settings(max_examples=25, deadline=None)
def test_every_class_is_split_by_the_shares(counts: list[int], shares: tuple[float, float, float]) -> None:
    wanted = _tiny(dict(zip(LABELS, counts, strict=False)), shares=shares)
    try:
        shards = sets.shards(wanted)
    except ValueError as error:
        assert "ask for more frames per class" in str(error)
        assert min(counts) * min(s for s in shares if s > 0) / sum(shares) < 1
        return
    found = defaultdict(list)
    for shard in shards:
        found[shard.label, shard.part] += shard.indices
    for label, count in wanted.per_class.items():
        assert sorted(index for part in sets.PARTS for index in found[label, part]) == list(range(count))
        for part, share in zip(sets.PARTS, shares, strict=True):
            assert abs(len(found[label, part]) - count * share / sum(shares)) < 1


def test_the_papers_shares_of_its_own_counts() -> None:
    """DiffraNet, table 2: 25,000 frames, 12,599 of them for testing."""
    test = {"blank": 2069, "no-crystal": 3268, "weak": 3346, "good": 2444, "strong": 1472}
    wanted = _tiny({label: round(n / 0.504) for label, n in test.items()}, shares=PAPER)
    counts: Counter[tuple[str, str]] = Counter()
    for shard in sets.shards(wanted):
        counts[shard.part, shard.label] += len(shard.indices)
    assert all(abs(counts["test", label] - n) <= 1 for label, n in test.items())
    assert sum(n for (part, _), n in counts.items() if part == "train") == pytest.approx(10_000, abs=5)


def test_a_group_is_never_torn(sessions: str, tmp_path: Path) -> None:
    wanted = sets.simulation(sessions, {"weak": 140, "flat": 70}, 64, 3, shares=(50, 20, 30))
    parts: dict[str, set[str]] = defaultdict(set)
    counts: Counter[str] = Counter()
    for shard in sets.shards(wanted):
        for index in shard.indices:
            parts[_session_of(shard.label, index, 3)].add(shard.part)
        counts[shard.part] += len(shard.indices)
    assert len(parts) == 7
    assert all(len(found) == 1 for found in parts.values())
    for part, share in zip(sets.PARTS, (105, 42, 63), strict=True):
        assert counts[part] == pytest.approx(share, abs=30)  # a group is 30 frames
    writing.write_set(tmp_path / "d", wanted)
    manifest = load_dataset(tmp_path / "d" / "manifest.csv")
    assert manifest.groups is not None
    assert len(set(manifest.groups)) == 7
    assert load_dataset(tmp_path / "d").class_counts() == {"flat": 70, "weak": 140}


@pytest.mark.parametrize("format_", ["tiff", "hdf5"])
def test_folders_and_manifest_say_the_same_split(tmp_path: Path, format_: str) -> None:
    wanted = _tiny({"blank": 10, "weak": 20}, format_=format_, shares=PAPER)
    writing.write_set(tmp_path, wanted)
    by_folder, by_manifest = load_dataset(tmp_path), load_dataset(tmp_path / "manifest.csv")
    assert by_folder.names.tolist() == by_manifest.names.tolist()
    assert by_folder.split.tolist() == by_manifest.split.tolist()
    assert by_folder.labels.tolist() == by_manifest.labels.tolist()
    assert Counter(by_folder.split.tolist()) == {"train": 12, "val": 3, "test": 15}
    for row in _rows(tmp_path):
        counts = read_frame(tmp_path / row["path"], int(row.get("frame") or 0))
        np.testing.assert_array_equal(counts, simulate_frame(row["label"], int(row["index"]), 1, 64)[0])


# --------------------------------------------------------------------------- files


def test_a_stack_is_nexus_compressed_and_one_file_a_class(tmp_path: Path) -> None:
    writing.write_set(tmp_path, _tiny(3, format_="hdf5"))
    assert set(_contents(tmp_path)) == {f"{label}/{label}_00000.h5" for label in LABELS} | {"manifest.csv"}
    with h5py.File(tmp_path / "good" / "good_00000.h5") as file:
        data = file["entry/data/data"]
        assert data.shape == (3, 64, 64)
        assert data.dtype == np.uint16
        assert data.chunks == (1, 64, 64)
        assert data.id.get_create_plist().get_filter(0)[0] == 32008  # bitshuffle
        assert file["entry/data"].attrs["signal"] == "data"
        assert file.attrs["simulator"].startswith("diffraction-")


@pytest.mark.parametrize("format_", ["tiff", "hdf5"])
def test_counts_keep_their_type_and_shape(sessions: str, tmp_path: Path, format_: str) -> None:
    writing.write_set(tmp_path, sets.simulation(sessions, {"weak": 5, "flat": 5}, 64, 0, format_=format_))
    data = load_dataset(tmp_path)
    for path, index, label in zip(data.paths, data.index, data.labels, strict=True):
        counts = read_frame(path, int(index))
        assert counts.dtype == np.int32
        assert counts.shape == (64, 67)
        assert (counts[0] == -1).all()
        assert data.classes[label] in path
    rows = _rows(tmp_path)
    assert {row["energy_kev"] for row in rows if row["label"] == "flat"} == {""}
    assert {row["energy_kev"] for row in rows if row["label"] == "weak"} == {"12.5"}


def test_a_stack_holds_frames_of_several_shapes(sessions: str, tmp_path: Path) -> None:
    writing.write_set(tmp_path, sets.simulation(sessions, {"tall": 4, "flat": 2}, 64, 0, format_="hdf5"))
    with h5py.File(tmp_path / "tall" / "tall_00000.h5") as file:
        assert {name: data.shape for name, data in file["entry/data"].items()} == {
            "data_000001": (1, 64, 67),
            "data_000002": (3, 65, 67),
        }
    data = load_dataset(tmp_path)
    assert data.class_counts() == {"flat": 2, "tall": 4}
    for path, index, row in zip(
        data.paths, data.index, sorted(_rows(tmp_path), key=lambda r: r["path"]), strict=True
    ):
        assert int(row["frame"]) == index
        expected = _session_frame(row["label"], int(row["index"]), 0, 64)[0]
        np.testing.assert_array_equal(read_frame(path, int(index)), expected)


def test_large_frames_make_small_shards() -> None:
    """What is drawn again after an interruption, and the bytes that a far machine sends, are bounded."""
    for size, frames in ((64, 100), (512, 64), (4096, 1)):
        wanted = sets.simulation("diffraction", 250, size, 0)
        lengths = [len(shard.indices) for shard in sets.shards(wanted)]
        assert max(lengths) == frames
        assert sum(lengths) == 5 * 250


def test_classes_come_in_turn() -> None:
    """So that an interrupted set has some of each."""
    first = sets.shards(_tiny(250))[: len(LABELS)]
    assert [shard.label for shard in first] == list(LABELS)


# --------------------------------------------------------------------------- going on


class _Stopped(Exception):  # noqa: N818
    pass


def _stop_after(frames: int, done: int, total: int) -> None:
    if done == frames:
        raise _Stopped


@pytest.mark.parametrize("format_", ["tiff", "hdf5"])
def test_an_interrupted_set_goes_on_where_it_was(
    tmp_path: Path, format_: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sets, "_MOST_FRAMES", 2)
    wanted = _tiny(5, format_=format_)
    writing.write_set(tmp_path / "whole", wanted)
    with pytest.raises(_Stopped):
        writing.write_set(tmp_path / "part", wanted, partial(_stop_after, 7))
    before = {p: p.stat().st_mtime_ns for p in (tmp_path / "part").rglob(f"*{sets.FORMATS[format_]}")}
    calls: list[int] = []
    writing.write_set(tmp_path / "part", wanted, lambda done, total: calls.append(done))
    assert calls == [6, *range(7, 26)]  # three shards were whole
    kept = [p for p, stamp in before.items() if p.stat().st_mtime_ns == stamp]
    assert len(kept) == (6 if format_ == "tiff" else 3)
    assert _contents(tmp_path / "part") == _contents(tmp_path / "whole")


def test_a_frame_that_went_is_drawn_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sets, "_MOST_FRAMES", 2)
    with pytest.raises(_Stopped):
        writing.write_set(tmp_path, _tiny(3), partial(_stop_after, 9))
    (tmp_path / "blank" / "blank_00001.tif").unlink()
    (tmp_path / ".simulation" / ".seen-0123").write_bytes(b".")  # of a run that was killed on a cluster
    (tmp_path / "good" / ".good_00002.tif.partial").write_bytes(b"II*")
    writing.write_set(tmp_path, _tiny(3))
    assert len(load_dataset(tmp_path)) == 15
    assert not list(tmp_path.rglob(".*"))


def test_an_interrupted_set_is_not_mixed_with_another(tmp_path: Path) -> None:
    wanted = _tiny(101)
    with pytest.raises(_Stopped):
        writing.write_set(tmp_path, wanted, partial(_stop_after, 110))
    for other in (
        sets.simulation("diffraction", 101, 64, 2),
        sets.simulation("diffraction", 101, 65, 1),
        sets.simulation("diffraction", 101, 64, 1, point_spread="fibre"),
    ):
        with pytest.raises(
            ValueError, match=r"must be new, empty or of the same simulation, but holds \.simul"
        ):
            writing.write_set(tmp_path, other)


def test_a_complete_set_of_other_options_is_refused(tmp_path: Path) -> None:
    writing.write_set(tmp_path, _tiny(1))
    with pytest.raises(ValueError, match="point_spread must be fibre, got gaussian"):
        writing.write_set(tmp_path, _tiny(1, point_spread="fibre"))
    with pytest.raises(ValueError, match=r"but holds blank/blank_00000\.tif"):
        writing.write_set(tmp_path, _tiny(1, format_="hdf5"))


# --------------------------------------------------------------------------- many processes


def _record(
    written: list[sets.Shard],
    directory: Path,
    wanted: sets.Simulation,
    shards: Sequence[sets.Shard],
    on_shard: Any,
) -> None:
    for shard in shards:
        writing.write_shard(directory, wanted, shard)
        written.append(shard)
        on_shard(shard)


def test_what_is_soon_done_stays_in_this_process(tmp_path: Path) -> None:
    elsewhere: list[sets.Shard] = []
    writing.write_set(tmp_path, _tiny(2), elsewhere=partial(_record, elsewhere))
    assert not elsewhere
    assert len(_rows(tmp_path)) == 10


def test_a_large_set_goes_elsewhere_once_its_pace_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sets, "_MOST_FRAMES", 5)
    monkeypatch.setattr(writing, "_PROBE_S", 0.02)
    elsewhere: list[sets.Shard] = []
    calls: list[int] = []
    writing.write_set(
        tmp_path / "a",
        _tiny(20),
        lambda done, of: calls.append(done),
        partial(_record, elsewhere),
        worth_s=1e-3,
    )
    assert 10 <= len(elsewhere) <= 20
    assert calls[-1] == 100
    writing.write_set(tmp_path / "b", _tiny(20))
    assert _contents(tmp_path / "a") == _contents(tmp_path / "b")


@pytest.mark.slow
def test_ray_writes_the_same_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As TIFF and split, on two cores; the second half as a machine that does not see the folder does it."""
    from sweeper.engine import simulation as simulating

    wanted = _tiny(40, shares=PAPER)
    writing.write_set(tmp_path / "one", wanted)
    ray = partial(simulating.write_shards, cpus=2)
    calls: list[int] = []
    writing.write_set(tmp_path / "two", wanted, lambda done, of: calls.append(done), ray, worth_s=0)
    assert calls[-1] == 200
    assert _contents(tmp_path / "one") == _contents(tmp_path / "two")
    unseen = ((str(tmp_path / "nowhere"), "1"),)
    stacks = _tiny(10, format_="hdf5", shares=PAPER)
    shard = sets.shards(stacks)[3]
    sent = simulating._write(tmp_path / "nowhere", stacks, shard, unseen)
    assert list(sent) == writing.shard_files(stacks, shard)
    writing.write_set(tmp_path / "stacks", stacks)
    assert (
        sent[f"{shard.part}/{shard.label}/{shard.label}_00000.h5"]
        == (tmp_path / "stacks" / shard.part / shard.label / f"{shard.label}_00000.h5").read_bytes()
    )


# --------------------------------------------------------------------------- command line


def test_the_command_makes_a_split_set_that_loads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "d"
    command = (
        f"simulate diffraction {folder} --per-class weak=6,strong=4 --size 64 --format hdf5 --split 50/25/25"
    )
    assert main(command.split()) == 0
    assert f"10 frames of 64 x 64 in {folder}" in capsys.readouterr().out
    data = load_dataset(folder)
    assert data.class_counts() == {"strong": 4, "weak": 6}
    assert set(data.split) == {"train", "val", "test"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--split 1/2", "split must be three shares, none negative and some for train, got 1/2"),
        ("--split 0/1/1", "split must be three shares, none negative and some for train, got 0/1/1"),
        ("--split 4/-1/5", "got 4/-1/5"),
        ("--split a/b/c", "split must be like 40/9.6/50.4, got 'a/b/c'"),
        (
            "--per-class 3 --split 40/9.6/50.4",
            "split must leave a frame of every class in val, but leaves none of",
        ),
        (
            "--per-class ice=3",
            "per-class must name classes of blank, no-crystal, weak, good, strong, got 'ice'",
        ),
        ("--per-class weak", "per-class must be a number, or like weak=40,good=20, got 'weak'"),
        ("--per-class weak=0", "per-class must be a whole number of at least 1, got 0"),
        ("--format png", "format must be one of tiff, hdf5, got 'png'"),
        ("--method slow", "method must be one of spot, pixel, got 'slow'"),
        ("--point-spread round", "point-spread must be one of gaussian, fibre, got 'round'"),
        ("--structure gone.pdb", "gone.pdb: structure must be an existing file"),
        ("--cpus 0", "--cpus: must be a whole number of at least 1, got '0'"),
    ],
)
def test_wrong_arguments_are_named(
    tmp_path: Path, options: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["simulate", "diffraction", str(tmp_path / "d"), "--size", "64", *options.split()]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "d").exists()
