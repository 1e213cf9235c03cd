"""The run folder: whose it is, what may be in it, and how its files are written."""

from __future__ import annotations

import csv
import dataclasses
import errno
from pathlib import Path

import pytest

from sweeper.runs.folder import RunFolder, write_frame_list, write_text
from sweeper.runs.spec import SweepSpec, make_spec


@pytest.fixture
def spec(tmp_path: Path) -> SweepSpec:
    (tmp_path / "frames" / "a").mkdir(parents=True)
    return make_spec(tmp_path / "frames", "quick", seed=3)


def test_a_new_folder_is_claimed_and_goes_on(spec: SweepSpec, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "some" / "where" / "run")
    folder.claim(spec)
    before = folder.spec.read_bytes()
    folder.claim(spec)
    assert folder.spec.read_bytes() == before
    assert [p.name for p in folder.path.iterdir()] == ["sweep.yaml"]


def test_settings_that_may_change_are_kept_as_they_are_now(spec: SweepSpec, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.claim(spec)
    folder.claim(dataclasses.replace(spec, trials=99, skip_bad=True))
    assert folder.load_spec().trials == 99
    assert folder.load_spec().skip_bad


def test_another_sweep_is_refused_and_left_alone(spec: SweepSpec, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.claim(dataclasses.replace(spec, seed=9))
    folder.claim(spec)  # refused or interrupted before its search began: the folder is free
    folder.journal.touch()
    before = folder.spec.read_bytes()
    with pytest.raises(ValueError, match=r"holds another sweep \(its seed is 3, not 4\)"):
        folder.claim(dataclasses.replace(spec, seed=4))
    with pytest.raises(ValueError, match="its space is another, or was edited since"):
        folder.claim(make_spec(spec.data, "diffranet", seed=3))
    assert folder.spec.read_bytes() == before


def test_hidden_files_and_an_old_list_of_bad_frames_are_no_hindrance(spec: SweepSpec, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    (tmp_path / "frames" / "a").rmdir()
    (tmp_path / "frames").rmdir()
    (tmp_path / ".DS_Store").write_text("")
    folder.bad_frames.write_text("frame,reason\n")
    folder.claim(spec)
    assert folder.spec.exists()
    assert not folder.bad_frames.exists()


def test_something_elses_folder_is_refused(spec: SweepSpec, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("")
    with pytest.raises(ValueError, match="is not empty and holds no sweep"):
        RunFolder(tmp_path / "run").claim(spec)


@pytest.mark.parametrize("place", ["run", "a/run", "."])
def test_not_among_the_frames(place: str, spec: SweepSpec, tmp_path: Path) -> None:
    inside = tmp_path / "frames" / place
    with pytest.raises(ValueError, match=r"--out .*must not be inside the data folder"):
        RunFolder(inside).claim(spec)
    with pytest.raises(ValueError, match=r"--features .*must not be inside the data folder"):
        RunFolder(tmp_path / "run").claim(dataclasses.replace(spec, features=str(inside)))


def test_not_among_the_frames_through_a_link(spec: SweepSpec, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "frames")
    with pytest.raises(ValueError, match="must not be inside the data folder"):
        RunFolder(tmp_path / "link" / "run").claim(spec)


def test_beside_a_manifest_is_fine(spec: SweepSpec, tmp_path: Path) -> None:
    manifest = tmp_path / "frames" / "manifest.csv"
    manifest.write_text("path,label\n")
    folder = RunFolder(tmp_path / "frames" / "run")
    folder.claim(dataclasses.replace(spec, data=str(manifest)))
    assert folder.spec.exists()


def test_features_that_cannot_be_written_are_refused_before_the_folder_is_claimed(
    spec: SweepSpec, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    folder = RunFolder(tmp_path / "run")
    with pytest.raises(ValueError, match=f"--features {tmp_path}/file: not writable"):
        folder.claim(dataclasses.replace(spec, features=str(tmp_path / "file")))
    assert not folder.spec.exists()


def test_the_data_set_must_stay_what_it_was(spec: SweepSpec, tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    folder.claim(spec)
    folder.check_dataset("0123")
    folder.write_environment({"dataset_digest": "0123"})
    folder.check_dataset("0123")
    with pytest.raises(ValueError, match="the data set changed since this sweep began"):
        folder.check_dataset("4567")


def test_no_sweep_here(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"sweep\.yaml is missing"):
        RunFolder(tmp_path).load_spec()


def test_text_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.json"
    write_text(path, "old")

    def full(self: Path, target: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match=f"{path}: No space left on device"):
        write_text(path, "new")
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]
    assert path.read_text() == "old"


def test_names_of_any_bytes_are_listed(tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    write_frame_list(path, [("a,b\n\udcff.tif", "né"), ("c", 'said "no"')])
    with path.open(newline="", encoding="utf-8") as file:
        assert list(csv.reader(file)) == [
            ["frame", "reason"],
            ["a,b\n\\udcff.tif", "né"],
            ["c", 'said "no"'],
        ]
