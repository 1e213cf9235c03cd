"""Every format that frames come in, exactly as written; every way in which a file can be bad."""

import bz2
import gzip
import pickle
from pathlib import Path

import h5py
import hdf5plugin
import imagecodecs
import numpy as np
import pytest
import tifffile
from fabio.cbfimage import CbfImage
from fabio.edfimage import EdfImage

from sweeper.data.format import Reading
from sweeper.data.frames import (
    Counted,
    count_frames,
    frame_counts,
    inspect_frames,
    is_frame_file,
    read_frame,
    read_frames,
)
from sweeper.errors import FrameError

INTEGERS = ["uint8", "uint16", "uint32", "int8", "int16", "int32", "int64"]
FLOATS = ["float32", "float64"]


def sample(dtype, shape=(21, 34), seed=0):
    """Values over the whole range of the dtype, its ends included."""
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        return rng.normal(size=shape).astype(dtype)
    info = np.iinfo(dtype)
    values = rng.integers(info.min, info.max, size=shape, dtype=dtype, endpoint=True)
    values.flat[:2] = info.min, info.max
    return values


def same(got, wanted):
    assert got.dtype == wanted.dtype
    assert got.dtype.isnative
    np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("dtype", INTEGERS + FLOATS)
@pytest.mark.parametrize("kind", ["tif", "zlib.tif", "npy", "h5", "edf"])
def test_round_trip_keeps_values_and_dtype(tmp_path, dtype, kind):
    wanted = sample(dtype)
    path = tmp_path / f"a.{kind}"
    if kind == "tif":
        tifffile.imwrite(path, wanted)
    elif kind == "zlib.tif":
        tifffile.imwrite(path, wanted, compression="zlib", rowsperstrip=5)
    elif kind == "npy":
        np.save(path, wanted)
    elif kind == "h5":
        with h5py.File(path, "w") as file:
            file["frames"] = wanted[np.newaxis]
    else:
        EdfImage(data=wanted).write(str(path))
    assert count_frames(path) == 1
    same(read_frame(path), wanted)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_png_keeps_its_depth(tmp_path, dtype):
    wanted = sample(dtype)
    path = tmp_path / "a.png"
    path.write_bytes(imagecodecs.png_encode(wanted))
    same(read_frame(path), wanted)


def test_jpeg_is_eight_bits(tmp_path):
    path = tmp_path / "a.jpg"
    wanted = np.full((16, 24), 77, np.uint8)
    path.write_bytes(imagecodecs.jpeg8_encode(wanted, level=95))
    same(read_frame(path), wanted)


def test_cbf_keeps_counts(tmp_path):
    wanted = np.random.default_rng(1).poisson(300, (40, 50)).astype(np.int32)
    wanted[3, 4:6] = -1, -2
    wanted[7, 8] = 4_194_303
    path = tmp_path / "a.cbf"
    CbfImage(data=wanted).write(str(path))
    assert count_frames(path) == 1
    same(read_frame(path), wanted)


@pytest.mark.parametrize("byte_order", ["<", ">"])
def test_byte_order_is_the_machines(tmp_path, byte_order):
    wanted = sample("uint16")
    tifffile.imwrite(tmp_path / "a.tif", wanted, byteorder=byte_order)
    np.save(tmp_path / "a.npy", wanted.astype(byte_order + "u2"))
    same(read_frame(tmp_path / "a.tif"), wanted)
    same(read_frame(tmp_path / "a.npy"), wanted)
    one, two = inspect_frames(tmp_path / "a.tif", [0]) + inspect_frames(tmp_path / "a.npy", [0])
    assert one.digest == two.digest


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress])
@pytest.mark.parametrize("kind", ["tif", "npy", "h5", "cbf", "edf", "png"])
def test_compressed_files(tmp_path, pack, kind):
    wanted = sample("uint16", (12, 9)) if kind == "png" else sample("int32", (12, 9)) // 4
    plain = tmp_path / f"a.{kind}"
    write = {
        "tif": lambda: tifffile.imwrite(plain, wanted),
        "npy": lambda: np.save(plain, wanted),
        "cbf": lambda: CbfImage(data=wanted).write(str(plain)),
        "edf": lambda: EdfImage(data=wanted).write(str(plain)),
        "png": lambda: plain.write_bytes(imagecodecs.png_encode(wanted)),
    }
    if kind == "h5":
        with h5py.File(plain, "w") as file:
            file["entry/data/data"] = wanted
    else:
        write[kind]()
    packed = plain.with_name(plain.name + (".gz" if pack is gzip.compress else ".bz2"))
    packed.write_bytes(pack(plain.read_bytes()))
    assert is_frame_file(packed)
    assert count_frames(packed) == 1
    same(read_frame(packed), wanted)
    packed.write_bytes(packed.read_bytes()[: len(packed.read_bytes()) // 2])
    with pytest.raises(FrameError, match="truncated"):
        read_frame(packed)


# --------------------------------------------------------------------------- many frames a file


def write_stack(path, stack, kind):
    if kind == "pages.tif":
        with tifffile.TiffWriter(path) as tif:
            for frame in stack:
                tif.write(frame, contiguous=False, metadata=None)
    elif kind == "imagej.tif":
        tifffile.imwrite(path, stack, imagej=True, metadata={"axes": "TYX"})
    elif kind == "npy":
        np.save(path, stack)
    elif kind == "edf":
        image = EdfImage(data=stack[0])
        for frame in stack[1:]:
            image.append_frame(data=frame)
        image.write(str(path))
    else:
        with h5py.File(path, "w") as file:
            file.create_dataset(
                "entry/data/data", data=stack, chunks=(1, *stack.shape[1:]), **hdf5plugin.Bitshuffle()
            )


@pytest.mark.parametrize("kind", ["pages.tif", "imagej.tif", "npy", "edf", "h5"])
@pytest.mark.parametrize("number", [3, 7])
def test_stacks(tmp_path, kind, number):
    stack = sample("uint16", (number, 11, 13))
    path = tmp_path / f"a.{kind}"
    write_stack(path, stack, kind)
    assert count_frames(path) == number
    order = [number - 1, 0, 1]
    for index, frame in zip(order, read_frames(path, order), strict=True):
        same(frame, stack[index])
    with pytest.raises(FrameError, match=f"frame index must be from 0 to {number - 1}, got {number}"):
        read_frame(path, number)
    with pytest.raises(FrameError, match="got -1"):
        read_frame(path, -1)


def test_imagej_stack_under_one_header(tmp_path):
    """ImageJ's large stacks have one page whose data run on: the only mark is in its description."""
    stack = sample("uint16", (5, 20, 30))
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, stack, imagej=True, metadata={"axes": "TYX"})
    with tifffile.TiffFile(path) as tif:  # cut the chain of pages after the first
        page = tif.pages[0]
        link = page.offset + 2 + 12 * len(page.tags)
    data = bytearray(path.read_bytes())
    data[link : link + 4] = bytes(4)
    path.write_bytes(data)
    assert count_frames(path) == 5
    same(read_frame(path, 3), stack[3])


def test_scan_grid_counts_all_leading_axes(tmp_path):
    grid = sample("uint16", (2, 3, 8, 9))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["entry/data/data"] = grid
    reading = Reading(scan_grid=True)
    assert count_frames(tmp_path / "a.h5", reading) == 6
    same(read_frame(tmp_path / "a.h5", 4, reading), grid[1, 1])


# --------------------------------------------------------------------------- HDF5 layouts


def decoy(file, shape):
    """What stands beside frames and is as large: none of it may be taken for them."""
    for name in ("pixel_mask", "flatfield"):
        file[f"entry/instrument/detector/{name}"] = np.ones(shape, np.float64)


def test_nexus_default_chain_comes_first(tmp_path):
    wanted = sample("int32", (2, 6, 7))
    with h5py.File(tmp_path / "a.nxs", "w") as file:
        file.attrs["default"] = "scan"
        file["scan/other"] = np.zeros((9, 60, 70))
        file["scan"].attrs["default"] = np.array([b"plot"], dtype="S4")
        file["scan/plot/counts"] = wanted
        file["scan/plot"].attrs["signal"] = "counts"
        file["entry/data/data"] = np.zeros((5, 50, 50))
    assert count_frames(tmp_path / "a.nxs") == 2
    same(read_frame(tmp_path / "a.nxs", 1), wanted[1])


def test_default_that_leads_to_a_curve_or_in_a_circle_is_passed_over(tmp_path):
    wanted = sample("int32", (2, 6, 7))
    for name, inner in (("curve.nxs", "curve"), ("circle.nxs", "/entry")):
        with h5py.File(tmp_path / name, "w") as file:
            file.attrs["default"] = "entry"
            file["entry/curve/i_of_q"] = np.arange(5.0)
            file["entry/curve"].attrs["signal"] = "i_of_q"
            file["entry"].attrs["default"] = inner
            file["entry/instrument/detector/data"] = wanted
            decoy(file, (2, 6, 7))
        same(read_frame(tmp_path / name, 1), wanted[1])


@pytest.mark.parametrize(
    "where",
    ["entry/data/data", "entry_1/data_1/data", "entry/instrument/detector/data", "measurement/lambda/frames"],
)
def test_detector_dataset_is_found(tmp_path, where):
    wanted = sample("uint16", (4, 6, 7))
    with h5py.File(tmp_path / "a.cxi", "w") as file:
        file[where] = wanted
        file["entry/instrument/detector/count_time"] = np.arange(4.0)
        file["small"] = np.zeros((2, 2))
        decoy(file, (4, 6, 7))
    assert count_frames(tmp_path / "a.cxi") == 4
    same(read_frame(tmp_path / "a.cxi", 2), wanted[2])


def test_two_datasets_of_equal_size_are_ambiguous(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["one"] = np.zeros((3, 4, 5))
        file["two"] = np.zeros((3, 4, 5))
    with pytest.raises(FrameError, match=r"cannot tell which dataset.*/one \(3 × 4 × 5\), /two"):
        count_frames(tmp_path / "a.h5")


def write_eiger(folder, stack, parts=2):
    master = folder / "s_master.h5"
    each = len(stack) // parts
    with h5py.File(master, "w") as file:
        for part in range(parts):
            name = f"s_data_{part + 1:06d}.h5"
            with h5py.File(folder / name, "w") as data:
                data["entry/data/data"] = stack[part * each : (part + 1) * each]
            file[f"entry/data/data_{part + 1:06d}"] = h5py.ExternalLink(name, "/entry/data/data")
        decoy(file, stack.shape)
    return master


@pytest.mark.parametrize("signal", [None, "data_000001"])
def test_eiger_master_joins_its_data_files(tmp_path, signal):
    stack = sample("uint32", (6, 8, 9))
    master = write_eiger(tmp_path, stack)
    if signal:
        with h5py.File(master, "a") as file:
            file.attrs["default"] = "entry"
            file["entry"].attrs["default"] = "data"
            file["entry/data"].attrs["signal"] = signal
    assert count_frames(master) == 6
    for index, frame in enumerate(read_frames(master, range(6))):
        same(frame, stack[index])
    (tmp_path / "s_data_000002.h5").unlink()
    with pytest.raises(FrameError, match=r"data_000002 links to s_data_000002\.h5, which is not there"):
        count_frames(master)


def test_virtual_dataset_without_its_source_is_not_read_as_zeros(tmp_path):
    wanted = sample("uint16", (2, 5, 6))
    with h5py.File(tmp_path / "source.h5", "w") as file:
        file["d"] = wanted
    layout = h5py.VirtualLayout((2, 5, 6), "uint16")
    layout[:] = h5py.VirtualSource("source.h5", "d", (2, 5, 6))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_virtual_dataset("entry/data/data", layout)
    same(read_frame(tmp_path / "a.h5", 1), wanted[1])
    (tmp_path / "source.h5").unlink()
    with pytest.raises(FrameError, match=r"needs source\.h5, which is not there"):
        read_frame(tmp_path / "a.h5")


# --------------------------------------------------------------------------- bad files


def writers():
    counts = np.random.default_rng(2).poisson(30, (60, 80)).astype(np.int32)

    def hdf5(path):
        with h5py.File(path, "w") as file:
            file["entry/data/data"] = counts

    return {
        "a.tif": lambda p: tifffile.imwrite(p, counts),
        "zlib.tif": lambda p: tifffile.imwrite(p, counts, compression="zlib", rowsperstrip=7),
        "tiles.tif": lambda p: tifffile.imwrite(
            p, counts.astype(np.uint16), tile=(16, 16), compression="lzw"
        ),
        "jpeg.tif": lambda p: tifffile.imwrite(p, counts.astype(np.uint8), compression="jpeg"),
        "a.png": lambda p: p.write_bytes(imagecodecs.png_encode(counts.astype(np.uint16))),
        "a.jpg": lambda p: p.write_bytes(imagecodecs.jpeg8_encode(counts.astype(np.uint8))),
        "a.npy": lambda p: np.save(p, counts),
        "a.h5": hdf5,
        "a.cbf": lambda p: CbfImage(data=counts).write(str(p)),
        "a.edf": lambda p: EdfImage(data=counts).write(str(p)),
    }


@pytest.mark.parametrize("name", writers())
@pytest.mark.parametrize("share", [0.3, 0.7, 0.97, 0.99])
def test_truncated_file_is_an_error_never_pixels(tmp_path, name, share):
    path = tmp_path / name
    writers()[name](path)
    assert inspect_frames(path, [0])[0].error is None
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(FrameError) as caught:
        read_frame(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    (report,) = inspect_frames(path, [0])
    assert report.error
    assert report.digest == ""


def test_damaged_cbf_fails_its_checksum(tmp_path):
    path = tmp_path / "a.cbf"
    writers()["a.cbf"](path)
    data = bytearray(path.read_bytes())
    start = data.index(b"\x0c\x1a\x04\xd5") + 100
    data[start] ^= 1
    path.write_bytes(data)
    with pytest.raises(FrameError, match=r"[Cc]hecksum"):
        read_frame(path)


def colour(path):
    rgb = np.random.default_rng(0).integers(0, 255, (20, 30, 3), dtype=np.uint8)
    if path.suffix == ".png":
        path.write_bytes(imagecodecs.png_encode(rgb))
    elif path.suffix == ".jpg":
        path.write_bytes(imagecodecs.jpeg8_encode(rgb))
    elif path.suffix == ".tif":
        tifffile.imwrite(path, rgb, photometric="rgb")
    elif path.suffix == ".npy":
        np.save(path, rgb)
    else:
        with h5py.File(path, "w") as file:
            file["image"] = rgb


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.npy", "a.h5"])
def test_colour_is_refused(tmp_path, name):
    colour(tmp_path / name)
    with pytest.raises(FrameError, match=r"a true colour image \(3"):
        read_frame(tmp_path / name)


def test_palette_tiff_is_colour(tmp_path):
    palette = np.zeros((3, 256), np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((8, 8), np.uint8), photometric="palette", colormap=palette)
    with pytest.raises(FrameError, match="a palette image"):
        read_frame(tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("array", "rule"),
    [
        (np.zeros((4, 5), np.complex64), "got complex64"),
        (np.zeros((4, 5), np.bool_), "got bool"),
        (np.zeros(9), "must be two-dimensional"),
        (np.zeros((2, 3, 4, 5)), "must be two-dimensional"),
        (np.zeros((0, 5)), "empty"),
        (np.zeros((0, 5, 6)), "empty"),
        (np.array([[1, "a"]], dtype=object), "pickled objects"),
        (np.array([["a", "b"]]), "must be integers or real"),
    ],
)
def test_arrays_that_are_no_frames(tmp_path, array, rule):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(FrameError, match=rule):
        read_frame(tmp_path / "a.npy")


def test_files_that_are_no_frames(tmp_path):
    (tmp_path / "empty.tif").touch()
    (tmp_path / "text.tif").write_text("not a picture")
    (tmp_path / "text.cbf").write_text("not a picture")
    (tmp_path / "text.png").write_text("not a picture")
    (tmp_path / "text.raw").write_text("not a picture")
    (tmp_path / "folder.tif").mkdir()
    with h5py.File(tmp_path / "none.h5", "w") as file:
        file["curve"] = np.arange(4.0)
    expected = {
        "missing.tif": "no such file",
        "empty.tif": "empty",
        "text.tif": "not a TIFF",
        "text.cbf": "not a CBF",
        "text.png": "neither a PNG nor a JPEG",
        "text.raw": "of no format that is known",
        "folder.tif": "not a file",
        "none.h5": "holds no numeric dataset",
    }
    for name, rule in expected.items():
        with pytest.raises(FrameError, match=rule):
            read_frame(tmp_path / name)
    np.save(tmp_path / "good.npy", np.zeros((3, 4, 5)))
    counts = frame_counts([tmp_path / "good.npy", tmp_path / "empty.tif"])
    assert counts == [Counted(3), "empty: the file has no bytes"]


def test_error_survives_pickling():
    error = pickle.loads(pickle.dumps(FrameError("a/b.tif", "empty")))
    assert (error.path, error.problem, str(error)) == ("a/b.tif", "empty", "a/b.tif: empty")


def test_what_the_caller_raises_is_not_taken_for_a_bad_file(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((3, 4, 5)))
    with pytest.raises(KeyError, match="mine"):
        for _ in read_frames(tmp_path / "a.npy", [0, 1]):
            raise KeyError("mine")


@pytest.mark.parametrize(
    ("name", "is_frame"),
    [
        ("a.TIF", True),
        ("run.001.cbf.gz", True),
        ("a.nxs", True),
        ("a.txt", False),
        ("a.csv.gz", False),
        ("a", False),
    ],
)
def test_suffixes(name, is_frame):
    assert is_frame_file(Path("x.y") / name) is is_frame


# --------------------------------------------------------------------------- inspection


def test_report_of_a_stack_names_the_bad_frames_only(tmp_path):
    stack = np.random.default_rng(3).poisson(5, (4, 6, 7)).astype(np.float32)
    stack[1] = np.nan
    stack[2] = -1
    np.save(tmp_path / "a.npy", stack)
    reports = inspect_frames(tmp_path / "a.npy", [0, 1, 2, 3, 9])
    assert [bool(report.error) for report in reports] == [False, True, True, False, True]
    assert "no valid pixel" in str(reports[1].error)
    assert (reports[0].height, reports[0].width, reports[0].dtype) == (6, 7, "float32")
    assert [report.index for report in reports] == [0, 1, 2, 3, 9]
    assert inspect_frames(tmp_path / "a.npy", [2], negative="valid")[0].error is None


def test_digest_tells_pixels_shape_dtype_and_mask_apart(tmp_path):
    counts = np.arange(12, dtype=np.int32).reshape(3, 4)
    variants = [counts, counts + 1, counts.reshape(4, 3), counts.astype(np.int64), counts.view(np.uint32)]
    digests = []
    for i, variant in enumerate(variants):
        np.save(tmp_path / f"{i}.npy", variant)
        digests.append(inspect_frames(tmp_path / f"{i}.npy", [0])[0].digest)
    mask = np.zeros((3, 4), np.bool_)
    for row in range(2):
        mask[row, 0] = True
        digests.append(inspect_frames(tmp_path / "0.npy", [0], mask=mask)[0].digest)
    assert len(set(digests)) == len(digests)
    tifffile.imwrite(tmp_path / "same.tif", counts, compression="zlib")
    assert inspect_frames(tmp_path / "same.tif", [0])[0].digest == digests[0]


def test_mask_that_leaves_nothing_or_does_not_fit_is_reported(tmp_path):
    np.save(tmp_path / "a.npy", np.ones((3, 4)))
    full, wrong = np.ones((3, 4), np.bool_), np.zeros((4, 3), np.bool_)
    assert "no valid pixel" in str(inspect_frames(tmp_path / "a.npy", [0], mask=full)[0].error)
    message = str(inspect_frames(tmp_path / "a.npy", [0], mask=wrong)[0].error)
    assert "(3, 4)" in message
    assert "(4, 3)" in message
