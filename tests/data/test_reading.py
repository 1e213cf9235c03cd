"""How files are read where there is a choice, on the way from a folder or a manifest to prepared frames."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from sweeper.data.dataset import load_dataset
from sweeper.data.format import Reading
from sweeper.data.intensity import prepare
from sweeper.data.prepared import inspect_refs, prepared_frames, raw_frame
from sweeper.errors import BadFramesError
from tests.data.examples import counts

STACK = counts("uint16", (4, 16, 20))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes of a file each, with two detectors and a mask of the first."""
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        with h5py.File(tmp_path / label / "scan.h5", "w") as file:
            file["entry/saxs/image"] = STACK
            file["entry/saxs/pixel_mask"] = np.eye(16, 20, dtype=np.uint32)
            file["entry/waxs/image"] = STACK[:2, :8]
    return tmp_path


def test_a_file_of_two_detectors_is_bad_until_somebody_says_which(folder: Path) -> None:
    with pytest.raises(BadFramesError) as caught:
        load_dataset(folder)
    assert [name for name, _ in caught.value.problems] == ["a/scan.h5", "b/scan.h5"]
    assert "say which with --dataset PATH" in caught.value.problems[0][1]
    assert len(load_dataset(folder, reading=Reading(dataset="entry/saxs/image"))) == 8
    assert len(load_dataset(folder, reading=Reading(dataset="/entry/waxs/image"))) == 4


def test_a_manifest_says_which_dataset_of_each_file(folder: Path) -> None:
    manifest = folder / "m.csv"
    manifest.write_text(
        "path,label,frame,dataset\n"
        "a/scan.h5,x,1,/entry/waxs/image\n"
        "a/scan.h5,y,1,entry/saxs/image\n"
        "b/scan.h5,x,,entry/saxs/image\n"
    )
    dataset = load_dataset(manifest)
    shapes = {str(name): raw_frame(dataset.ref(row)).counts.shape for row, name in enumerate(dataset.names)}
    assert shapes["a/scan.h5::/entry/waxs/image#1"] == (8, 20)
    assert shapes["a/scan.h5::entry/saxs/image#1"] == (16, 20)
    assert len(shapes) == 6
    manifest.write_text("path,label,dataset\na/scan.h5,x,no\nb/scan.h5,y,entry/saxs/image\n")
    with pytest.raises(BadFramesError) as caught:
        load_dataset(manifest)
    assert caught.value.problems[0][0] == "a/scan.h5::no"
    assert caught.value.problems[0][1].startswith("has no dataset no; it has /entry/saxs/image")


def test_the_files_own_mask_reaches_prepared_frames_and_reports(folder: Path) -> None:
    name = "entry/saxs/image"
    with_it = load_dataset(folder, reading=Reading(dataset=name))
    without = load_dataset(folder, reading=Reading(dataset=name, own_mask=False))
    mask = np.eye(16, 20, dtype=np.bool_)
    [masked], [plain] = (list(prepared_frames([each.ref(0)], {})) for each in (with_it, without))
    np.testing.assert_array_equal(masked.valid, prepare(STACK[0], {}, mask).valid)
    assert plain.valid.all()
    assert [
        report.own_mask_pixels for report in inspect_refs([with_it.ref(0), without.ref(0)], "masked")
    ] == [16, 0]


def test_a_data_set_says_how_the_axes_of_its_files_were_taken(tmp_path: Path) -> None:
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        with h5py.File(tmp_path / label / "shots.cxi", "w") as file:
            file["entry_1/data_1/data"] = STACK.reshape(2, 2, 16, 20)
    panels = load_dataset(tmp_path)
    assert len(panels) == 4
    assert panels.notes == (
        "2 files: the 2 panels of 16 × 20 of a shot are one frame, one below the other "
        "(--scan-grid makes each a frame of its own)",
    )
    grid = load_dataset(tmp_path, reading=Reading(scan_grid=True))
    assert (len(grid), grid.notes) == (8, ())


def test_what_has_no_datasets_is_refused_where_one_is_named_in_a_manifest(tmp_path: Path) -> None:
    for i in range(2):
        np.save(tmp_path / f"{i}.npy", STACK[i])
    np.savez(tmp_path / "a.npz", frames=STACK, other=STACK)
    (tmp_path / "m.csv").write_text("path,label,dataset\n0.npy,x,\n1.npy,y,\na.npz,x,other\n")
    assert len(load_dataset(tmp_path / "m.csv")) == 6
    (tmp_path / "m.csv").write_text("path,label,dataset\na.npz,y,\na.npz,x,other\n")
    with pytest.raises(BadFramesError) as caught:
        load_dataset(tmp_path / "m.csv")
    assert (
        "cannot tell which array holds the frames: frames (4 × 16 × 20), other" in caught.value.problems[0][1]
    )
