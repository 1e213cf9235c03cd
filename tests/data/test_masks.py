"""Masks from every format that they come in, and kept ones that follow their files."""

import gzip
import os

import h5py
import imagecodecs
import numpy as np
import pytest
import tifffile
from fabio.edfimage import EdfImage
from fabio.fit2dmaskimage import Fit2dMaskImage

from sweeper.data.masks import kept_mask, load_mask
from sweeper.errors import FrameError

WANTED = np.random.default_rng(0).random((7, 9)) < 0.3
VALUES = WANTED.astype(np.uint8) * 4


def write_hdf5(path):
    with h5py.File(path, "w") as file:
        file["entry/data/data"] = np.ones((5, 7, 9))
        file["entry/instrument/detector/pixel_mask"] = VALUES[np.newaxis].astype(np.uint32)


def write_hdf5_without_frames(path):
    with h5py.File(path, "w") as file:
        file["mask"] = WANTED


WRITERS = {
    "a.tif": lambda path: tifffile.imwrite(path, VALUES),
    "a.npy": lambda path: np.save(path, VALUES.astype(np.float64)),
    "bool.npy": lambda path: np.save(path, WANTED),
    "a.png": lambda path: path.write_bytes(imagecodecs.png_encode(VALUES)),
    "a.edf": lambda path: EdfImage(data=VALUES).write(str(path)),
    "a.msk": lambda path: Fit2dMaskImage(data=WANTED.astype(np.uint8)).write(str(path)),
    "a.h5": write_hdf5,
    "alone.h5": write_hdf5_without_frames,
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", WRITERS)
def test_mask_formats(tmp_path, name, packed):
    path = tmp_path / name
    WRITERS[name](path)
    if packed:
        plain, path = path, tmp_path / f"{name}.gz"
        path.write_bytes(gzip.compress(plain.read_bytes()))
    got = load_mask(path)
    assert got.dtype == np.bool_
    np.testing.assert_array_equal(got, WANTED)


def test_bad_masks(tmp_path):
    np.save(tmp_path / "all.npy", np.ones((3, 3)))
    np.save(tmp_path / "curve.npy", np.zeros(3))
    np.save(tmp_path / "none.npy", np.zeros((0, 3, 5)))
    (tmp_path / "text.tif").write_text("no mask")
    (tmp_path / "empty.h5").touch()
    for name, rule in {
        "all.npy": "masks every pixel",
        "curve.npy": "two-dimensional",
        "none.npy": "empty: holds no mask",
        "text.tif": "not a TIFF file",
        "empty.h5": "empty",
        "missing.h5": "no such file",
    }.items():
        for load in (load_mask, kept_mask):
            with pytest.raises(FrameError, match=rule) as caught:
                load(tmp_path / name)
            assert caught.value.path == str(tmp_path / name)


def test_a_kept_mask_is_loaded_once_and_again_when_its_file_changes(tmp_path):
    path = tmp_path / "mask.npy"
    np.save(path, WANTED)
    first = kept_mask(path)
    assert kept_mask(str(path)) is first
    with pytest.raises(ValueError, match="read-only"):
        first[0, 0] = True
    np.save(path, ~WANTED)
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))  # clocks of file systems are coarse
    np.testing.assert_array_equal(kept_mask(path), ~WANTED)
    path.unlink()
    with pytest.raises(FrameError, match="no such file"):
        kept_mask(path)
