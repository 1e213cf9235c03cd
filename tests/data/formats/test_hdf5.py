"""Which array of an HDF5 file is the data, whether all of it is there, and what the file says is invalid."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from sweeper.data.format import DEFAULT_READING, Reading
from sweeper.data.frames import count_frames, inspect_frames, open_frames, read_frames
from sweeper.errors import FrameError
from tests.data.examples import counts
from tests.data.expectations import gives

STACK = counts("uint16", (3, 16, 20))
PLACE = "/entry/data/data"


def hdf5(path: Path, **datasets: Any) -> Path:
    """Write a file; `__` in a name stands for a slash."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        for name, value in datasets.items():
            file[name.replace("__", "/")] = value
    return path


def virtual(path: Path, *sources: tuple[str, str, int], shape: tuple[int, ...] = STACK.shape) -> Path:
    """Write a virtual dataset: file, dataset and number of frames of each source, one after the other."""
    layout, at = h5py.VirtualLayout(shape, "u2"), 0
    for name, dataset, number in sources:
        layout[at : at + number] = h5py.VirtualSource(name, dataset, shape=(number, *shape[1:]))
        at += number
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset(PLACE, layout)
    return path


def refused(path: Path | str, rule: str, reading: Reading = DEFAULT_READING) -> None:
    for use in (count_frames, lambda p, reading: list(read_frames(p, [0], reading))):
        with pytest.raises(FrameError, match=rule):
            use(path, reading=reading)


# --------------------------------------------------------------------------- data that is not there


@pytest.mark.parametrize(
    ("link", "rule"),
    [
        (h5py.ExternalLink("gone.h5", "/data"), "/entry/data/data links to gone.h5, which is not there"),
        (
            h5py.ExternalLink("bad.h5", "/data"),
            "links to bad.h5, which cannot be opened: damaged or truncated",
        ),
        (h5py.ExternalLink("other.h5", "/data"), "links to /data, which is not there in other.h5"),
        (h5py.SoftLink("/entry/gone"), "/entry/data/data links to /entry/gone, which is not there"),
        (h5py.SoftLink(PLACE), "leads in a circle"),
    ],
)
def test_a_broken_link_to_the_data_is_named_and_nothing_else_is_taken_for_them(
    tmp_path: Path, link: object, rule: str
) -> None:
    (tmp_path / "bad.h5").write_bytes(hdf5(tmp_path / "other.h5", image=STACK).read_bytes()[:300])
    refused(hdf5(tmp_path / "a.h5", entry__data__data=link, entry__other__image=STACK), rule)


@pytest.mark.parametrize("place", ["instrument/eiger/data", "instrument/saxs/image", "measurement/pilatus"])
def test_a_broken_link_at_a_detector_is_not_replaced_by_another_array(tmp_path: Path, place: str) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file[f"1.1/{place}"] = h5py.ExternalLink("scan0001/eiger.h5", "/data")
        file["1.1/sample/picture"] = STACK
    refused(path, f"/1.1/{place} links to scan0001/eiger.h5, which is not there")


def test_virtual_datasets_lead_to_all_of_their_sources_or_are_refused(tmp_path: Path) -> None:
    hdf5(tmp_path / "one.h5", data=STACK[:1])
    hdf5(tmp_path / "two.h5", data=STACK[1:])
    gives(virtual(tmp_path / "a.h5", ("one.h5", "data", 1), ("two.h5", "data", 2)), *STACK)
    (tmp_path / "away").mkdir()
    (tmp_path / "away" / "link.h5").symlink_to("../a.h5")
    gives(tmp_path / "away" / "link.h5", *STACK)
    refused(virtual(tmp_path / "b.h5", ("gone.h5", "data", 3)), "needs gone.h5, which is not there")
    refused(virtual(tmp_path / "c.h5", ("one.h5", "no", 3)), "needs no of one.h5, which is not there")
    refused(virtual(tmp_path / "d.h5", ("one.h5", "data", 3)), r"needs other parts of data in one.h5")
    refused(
        virtual(tmp_path / "e.h5", ("one.h5", "data", 1), ("one.h5", "data", 1)),
        "nothing is mapped to frame 2",
    )
    (tmp_path / "two.h5").unlink()
    refused(tmp_path / "a.h5", "needs two.h5, which is not there")
    virtual(tmp_path / "inner.h5", ("gone.h5", "data", 3))
    refused(
        virtual(tmp_path / "f.h5", ("inner.h5", PLACE, 3)), "inner.h5: .* needs gone.h5, which is not there"
    )


def test_a_virtual_dataset_over_a_link_in_its_own_file_is_followed(tmp_path: Path) -> None:
    virtual(tmp_path / "a.nxs", (".", "/entry/raw/part", 3))
    with h5py.File(tmp_path / "a.nxs", "a") as file:
        file["entry/raw/part"] = h5py.ExternalLink("part.h5", "/data")
    refused(tmp_path / "a.nxs", "/entry/raw/part links to part.h5, which is not there")
    hdf5(tmp_path / "part.h5", data=STACK)
    gives(tmp_path / "a.nxs", *STACK)


def test_a_series_of_sources_by_pattern_has_no_gaps(tmp_path: Path) -> None:
    space = h5py.h5s.create_simple((3, 16, 20), (h5py.h5s.UNLIMITED, 16, 20))
    space.select_hyperslab((0, 0, 0), (h5py.h5s.UNLIMITED, 1, 1), (1, 1, 1), (1, 16, 20))
    source = h5py.h5s.create_simple((1, 16, 20))
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_virtual(space, b"scan_%b.h5", b"/data", source)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        whole = h5py.h5s.create_simple((3, 16, 20), (h5py.h5s.UNLIMITED, 16, 20))
        h5py.h5d.create(file.id, b"data", h5py.h5t.NATIVE_UINT16, whole, properties)
    for i in (0, 2):
        hdf5(tmp_path / f"scan_{i}.h5", data=STACK[i : i + 1])
    refused(tmp_path / "a.h5", "needs scan_1.h5, which is not there")
    hdf5(tmp_path / "scan_1.h5", data=STACK[1:2])
    gives(tmp_path / "a.h5", *STACK)


def test_a_series_of_sources_in_one_file_has_no_gaps(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        space = h5py.h5s.create_simple((3, 16, 20), (h5py.h5s.UNLIMITED, 16, 20))
        space.select_hyperslab((0, 0, 0), (h5py.h5s.UNLIMITED, 1, 1), (1, 1, 1), (1, 16, 20))
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_virtual(space, b".", b"/raw/frame_%b", h5py.h5s.create_simple((1, 16, 20)))
        whole = h5py.h5s.create_simple((3, 16, 20), (h5py.h5s.UNLIMITED, 16, 20))
        h5py.h5d.create(
            file.create_group("entry/data").id, b"data", h5py.h5t.NATIVE_UINT16, whole, properties
        )
        for i in (0, 2):
            file[f"raw/frame_{i}"] = STACK[i : i + 1]
    refused(tmp_path / "a.h5", "/entry/data/data needs /raw/frame_1, which is not there")
    with h5py.File(tmp_path / "a.h5", "a") as file:
        file["raw/frame_1"] = STACK[1:2]
    gives(tmp_path / "a.h5", *STACK)


def test_what_was_never_written_is_not_zeros(tmp_path: Path) -> None:
    for name, chunks, rule in (
        ("a.h5", (1, 16, 20), "not written in full: frame 3 is not there"),
        ("b.h5", (2, 8, 20), "not written in full: frame 4 is not there"),
        ("c.h5", None, "was never written"),
    ):
        with h5py.File(tmp_path / name, "w") as file:
            data = file.create_dataset(PLACE, (5, 16, 20), "u2", chunks=chunks)
            if chunks:
                data[: 5 - chunks[0] - (chunks[0] == 1)] = 7
        refused(tmp_path / name, rule)


def test_a_chunk_that_stands_beside_the_grid_is_not_there(tmp_path: Path) -> None:
    """The index of a damaged file may have as many chunks as there have to be."""
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset(PLACE, data=STACK, chunks=(1, 16, 20), fletcher32=True)
    data = path.read_bytes()
    key = struct.pack("<IIQQQQ", STACK[0].nbytes + 4, 0, 1, 0, 0, 0)
    assert data.count(key) == 1
    path.write_bytes(data.replace(key, struct.pack("<IIQQQQ", STACK[0].nbytes + 4, 0, 1, 0, 2560, 0)))
    refused(path, "not written in full: frame 1 is not there, nor are 1 of 3 chunks")


def test_pixels_in_files_beside_it_are_read_from_there_or_missed(tmp_path: Path) -> None:
    size = STACK.nbytes
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset(
            PLACE, STACK.shape, "u2", external=[("raw.bin", 10, size // 2), ("more.bin", 0, size // 2)]
        )
    refused(tmp_path / "a.h5", "needs raw.bin, which is not there")
    (tmp_path / "raw.bin").write_bytes(bytes(10) + STACK.tobytes()[: size // 2])
    (tmp_path / "more.bin").write_bytes(STACK.tobytes()[size // 2 : -1])
    refused(tmp_path / "a.h5", f"truncated: .* needs {size // 2} bytes of more.bin, it has {size // 2 - 1}")
    (tmp_path / "more.bin").write_bytes(STACK.tobytes()[size // 2 :])
    gives(tmp_path / "a.h5", *STACK)


def test_an_eiger_master_holds_as_many_images_as_it_says(tmp_path: Path) -> None:
    hdf5(tmp_path / "s_data_000001.h5", entry__data__data=STACK)
    place = "entry/instrument/detector/detectorSpecific"
    with h5py.File(tmp_path / "s_master.h5", "w") as file:
        file["entry/data/data_000001"] = h5py.ExternalLink("s_data_000001.h5", PLACE)
        file[f"{place}/nimages"], file[f"{place}/ntrigger"] = 2, 2
    refused(
        tmp_path / "s_master.h5", "says 4 images, its data files hold 3; --dataset /entry/data reads these"
    )
    gives(tmp_path / "s_master.h5", *STACK, reading=Reading(dataset="/entry/data"))


# --------------------------------------------------------------------------- which array is the data


@pytest.mark.parametrize(
    ("beside", "shape"),
    [
        ("fluorescence/spectra", (100, 2048)),
        ("processed/q_map", (300, 300)),
        ("xy_map", (300, 300)),
        ("entry/eiger/uncertainties", (3, 16, 20)),
        ("entry/eiger/variance", (3, 16, 20)),
        ("entry/eiger/data_errors", (3, 16, 20)),
        ("entry/pyfai/integrated", (50, 900)),
        ("entry/mca/data", (3, 8, 4096)),
        ("entry/eiger/pixel_mask", (16, 20)),
        ("entry/eiger/flatfield", (16, 20)),
        ("entry/eiger/data_sum", (160, 200)),
        ("hidden", (16, 20)),
    ],
)
def test_what_accompanies_frames_is_not_taken_for_them(
    tmp_path: Path, beside: str, shape: tuple[int, ...]
) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["entry/eiger/images"] = STACK
        file[beside] = np.zeros(shape, np.complex64 if beside == "hidden" else np.float64)
    gives(tmp_path / "a.h5", *STACK)


def test_scans_of_one_detector_are_refused_whatever_their_sizes_until_somebody_says_which(
    tmp_path: Path,
) -> None:
    for lengths in ((3, 2), (3, 3)):
        with h5py.File(tmp_path / "a.h5", "w") as file:
            for scan, length in enumerate(lengths, 1):
                file[f"{scan}.1/measurement/eiger"] = STACK[:length]
        refused(
            tmp_path / "a.h5",
            r"cannot tell which dataset holds the frames: /1.1/measurement/eiger \(3 × 16 × 20\), "
            rf"/2.1/measurement/eiger \({lengths[1]} × 16 × 20\); say which with --dataset PATH",
        )
        gives(tmp_path / "a.h5", *STACK[: lengths[1]], reading=Reading(dataset="2.1/measurement/eiger"))
        gives(f"{tmp_path}/a.h5::/2.1/measurement/eiger", *STACK[: lengths[1]])
        both = np.concatenate([STACK, STACK[: lengths[1]]])
        gives(tmp_path / "a.h5", *both, reading=Reading(dataset="/*/measurement/eiger"))


def test_a_dataset_that_is_named_is_taken_or_refused(tmp_path: Path) -> None:
    path = hdf5(tmp_path / "a.h5", saxs__image=STACK, waxs__image=STACK[:, :8], curve=np.arange(4.0))
    refused(path, r"cannot tell .* /saxs/image \(3 × 16 × 20\), /waxs/image \(3 × 8 × 20\)")
    gives(path, *STACK[:, :8], reading=Reading(dataset="waxs/image"))
    refused(path, r"has no dataset no; it has /saxs/image", Reading(dataset="no"))
    refused(path, r"has no dataset x/\*; it has /saxs/image", Reading(dataset="x/*"))
    refused(path, r"/curve holds no frames: /curve \(4\)", Reading(dataset="curve"))


@pytest.mark.parametrize(
    ("shape", "wanted"),
    [((3, 16, 20, 1), 3), ((16, 20, 1), 1), ((3, 1, 16, 20), 3), ((1, 1, 16, 20), 1)],
)
def test_axes_of_one_are_no_images(tmp_path: Path, shape: tuple[int, ...], wanted: int) -> None:
    data = STACK[:wanted].reshape(shape)
    gives(hdf5(tmp_path / "a.h5", entry__data__data=data), *STACK[:wanted])


def test_colours_are_seen_for_what_they_are(tmp_path: Path) -> None:
    grey = STACK.astype(np.uint8)
    gives(hdf5(tmp_path / "grey.h5", image=np.stack([grey] * 3, axis=-1)), *grey)
    path = hdf5(tmp_path / "true.h5", image=counts("uint8", (3, 16, 20, 3)))
    assert count_frames(path) == 3
    with pytest.raises(FrameError, match=r"a true colour image \(3 values a pixel\)"):
        list(read_frames(path, [0]))


def test_a_named_datatype_and_circles_of_groups_do_no_harm(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["type"] = np.dtype("f4")
        file["images"] = STACK
        file["again"] = file["/"]
        file["table"] = np.zeros((3, 16, 20), [("a", "u2"), ("b", "f4")])
        file["names"] = np.array([["a", "b"]], "S3")
    gives(tmp_path / "a.h5", *STACK)


@pytest.mark.parametrize("how", ["interpretation", "axes"])
def test_a_default_that_leads_to_integrated_curves_does_not_lead_to_frames(tmp_path: Path, how: str) -> None:
    with h5py.File(tmp_path / "a.nxs", "w") as file:
        file.attrs["default"] = "entry"
        file.create_group("entry").attrs["default"] = "result"
        file["entry/result/data"] = np.zeros((3, 1000))
        file["entry/result"].attrs["signal"] = "data"
        if how == "axes":
            file["entry/result"].attrs["axes"] = [".", "q_nm^-1"]
        else:
            file["entry/result/data"].attrs["interpretation"] = "spectrum"
        file["entry/measurement/pilatus"] = STACK
    gives(tmp_path / "a.nxs", *STACK)
    with h5py.File(tmp_path / "a.nxs", "a") as file:
        del file["entry/measurement"]
    refused(
        tmp_path / "a.nxs",
        r"not /entry/result/data \(3 × 1000\) by name or shape; say which with --dataset PATH",
    )


# --------------------------------------------------------------------------- panels

PANELS = counts("uint16", (4, 8, 6, 7))


def test_panels_of_a_shot_are_one_frame(tmp_path: Path) -> None:
    path = hdf5(tmp_path / "a.cxi", entry_1__data_1__data=PANELS)
    gives(path, *PANELS.reshape(4, 48, 7))
    gives(path, *PANELS.reshape(32, 6, 7), reading=Reading(scan_grid=True))
    with open_frames(path) as file:
        assert file.note.startswith("the 8 panels of 6 × 7 of a shot are one frame")


def test_a_scan_over_a_grid_that_nexus_describes_has_no_panels(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.nxs", "w") as file:
        file[PLACE] = PANELS
        file["entry/data/y"], file["entry/data/x"] = np.arange(4.0), np.arange(8.0)
        file["entry/data"].attrs["axes"] = ["y", "x", ".", "."]
    gives(tmp_path / "a.nxs", *PANELS.reshape(32, 6, 7))


def test_memory_cells_of_a_burst_are_frames_of_their_own(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["INSTRUMENT/JNGFR/data/adc"] = PANELS
        file["INSTRUMENT/JNGFR/data/memoryCell"] = np.tile(np.arange(8, dtype=np.uint8), (4, 1))
    gives(tmp_path / "a.h5", *PANELS.reshape(32, 6, 7))


@pytest.mark.parametrize("ids", [(4,), (4, 1)])
def test_gains_are_no_panel(tmp_path: Path, ids: tuple[int, ...]) -> None:
    """Raw AGIPD data: values, and which gain each was measured with."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        image = file.create_group("INSTRUMENT/SPB_DET_AGIPD1M-1/DET/0CH0:xtdf/image")
        image["data"], image["cellId"] = PANELS[:, :2], np.zeros(ids, np.uint16)
    refused(tmp_path / "a.h5", "image/data is not calibrated: of each shot it has a plane of values and one")
    with h5py.File(tmp_path / "a.h5", "a") as file:  # as it is calibrated
        del file["INSTRUMENT/SPB_DET_AGIPD1M-1/DET/0CH0:xtdf/image/data"]
        file["INSTRUMENT/SPB_DET_AGIPD1M-1/DET/0CH0:xtdf/image/data"] = PANELS[:, 0].astype(np.float32)
    gives(tmp_path / "a.h5", *PANELS[:, 0].astype(np.float32))


# --------------------------------------------------------------------------- the file's own mask

MASK = np.zeros((16, 20), np.uint32)
MASK[2, 3], MASK[4, 5:8], MASK[9, 9] = 1, 8, 1 << 30  # the last is a tag that rejects no pixel


def nxmx(path: Path, data: NDArray[Any] = STACK, mask: NDArray[Any] | None = MASK, **more: Any) -> Path:
    with h5py.File(path, "w") as file:
        file["entry/definition"] = "NXmx"
        detector = file.create_group("entry/instrument/detector")
        detector.attrs["NX_class"] = "NXdetector"
        for name, value in {**more, **({} if mask is None else {"pixel_mask": mask})}.items():
            detector[name] = value
        file[PLACE] = data
    return path


def own_mask(path: Path) -> NDArray[np.bool_]:
    with open_frames(path) as file:
        assert file.own_mask is not None
        mask = file.own_mask(0)
        assert mask is not None
        return mask


def test_the_mask_of_nxmx_is_honoured_unless_it_is_to_be_ignored(tmp_path: Path) -> None:
    path = nxmx(tmp_path / "a.nxs", saturation_value=20_000, underload_value=2)
    wanted = (MASK & 0xFFFF) != 0
    np.testing.assert_array_equal(own_mask(path), wanted)
    [report] = inspect_frames(path, [0])
    beyond = int(((STACK[0] > 20_000) | (STACK[0] < 2)).sum())
    assert (report.own_mask_pixels, report.limit_pixels) == (4, beyond)
    [without] = inspect_frames(path, [0], reading=Reading(own_mask=False))
    assert (without.own_mask_pixels, without.limit_pixels) == (0, 0)
    [plain] = inspect_frames(hdf5(tmp_path / "plain.h5", image=STACK), [0])
    assert without.digest == plain.digest != report.digest


def test_each_detector_has_its_own_limits(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.nxs", "w") as file:
        for entry, saturation in (("one", 10), ("two", 1000)):
            detector = file.create_group(f"{entry}/instrument/detector")
            detector.attrs["NX_class"] = "NXdetector"
            detector["saturation_value"] = saturation
            detector["data"] = np.full((2, 16, 20), 100, np.uint16)
    with open_frames(tmp_path / "a.nxs", reading=Reading(dataset="/*/instrument/detector/data")) as opened:
        assert [opened.limits(i).highest for i in range(opened.count)] == [10, 10, 1000, 1000]


def test_the_cut_off_of_an_eiger_bounds_counts(tmp_path: Path) -> None:
    path = hdf5(tmp_path / "a.h5", entry__data__data=STACK)
    with h5py.File(path, "a") as file:
        file["entry/instrument/detector/detectorSpecific/countrate_correction_count_cutoff"] = 20_000
    with open_frames(path) as opened:
        assert opened.limits(0).highest == 20_000


@pytest.mark.parametrize("bits", [8, 16, 32])
def test_the_largest_value_of_the_bit_depth_is_no_count(tmp_path: Path, bits: int) -> None:
    data = STACK.astype(f"u{bits // 8}")
    data[0, 0, 0] = 2**bits - 1
    for name, more in (("a.nxs", {}), ("b.nxs", {"bit_depth_image": bits})):
        with open_frames(nxmx(tmp_path / name, data, None, **more)) as file:
            assert file.limits(0).invalid(file.read(0))[0, 0]
    wider = data.astype("u4")
    with open_frames(nxmx(tmp_path / "c.nxs", wider, None, bit_depth_image=bits)) as file:
        assert file.limits(0).invalid(file.read(0))[0, 0]


@pytest.mark.parametrize("shape", [(8, 6, 7), (48, 7), (4, 8, 6, 7), (1, 8, 6, 7)])
def test_the_mask_of_panels_fits_them(tmp_path: Path, shape: tuple[int, ...]) -> None:
    bad = (np.random.default_rng(0).random(shape) < 0.2).astype(np.uint16)
    path = hdf5(tmp_path / "a.cxi", entry_1__data_1__data=PANELS, entry_1__data_1__mask=bad)
    first = bad[0] if shape == PANELS.shape else bad
    np.testing.assert_array_equal(own_mask(path), first.reshape(48, 7) != 0)


def test_a_mask_that_fits_nothing_or_leaves_nothing_is_refused_with_a_way_out(tmp_path: Path) -> None:
    small = nxmx(tmp_path / "small.nxs", mask=MASK[:5])
    plain = hdf5(
        tmp_path / "ones.h5", entry__data__data=STACK, entry__data__mask=1 - (MASK != 0).astype("u1")
    )
    for path, rule in (
        (small, r"pixel_mask has the shape \(5, 20\)"),
        (plain, "calls 98 % of the pixels invalid"),
    ):
        [report] = inspect_frames(path, [0])
        assert report.error is not None
        with pytest.raises(FrameError, match=rf"{rule}.*--ignore-file-mask reads the file without it"):
            own_mask(path)
        assert inspect_frames(path, [0], reading=Reading(own_mask=False))[0].error is None


def test_pixels_that_no_source_is_mapped_to_are_invalid(tmp_path: Path) -> None:
    layout = h5py.VirtualLayout(
        (3, 16, 20),
        "u2",
    )
    layout[:, :10] = h5py.VirtualSource("part.h5", "data", shape=(3, 10, 20))
    hdf5(tmp_path / "part.h5", data=STACK[:, :10])
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_virtual_dataset(PLACE, layout)
    np.testing.assert_array_equal(
        own_mask(tmp_path / "a.h5"), np.repeat(np.arange(16) >= 10, 20).reshape(16, 20)
    )


# --------------------------------------------------------------------------- files that are being written

WRITER = """
import os, sys, h5py, numpy as np
file = h5py.File(sys.argv[1], "w", libver="latest")
data = file.create_dataset("entry/data/data", (3, 16, 20), "u2", chunks=(1, 16, 20), maxshape=(None, 16, 20))
if sys.argv[2] == "swmr":
    file.swmr_mode = True
data[:2] = np.load(sys.argv[3])[:2]
data.flush()
print("flushed", flush=True)
sys.stdin.read()
os._exit(0)
"""


@pytest.mark.parametrize("mode", ["swmr", "plain"])
def test_a_file_that_is_being_written_is_read_as_far_as_it_is_flushed_or_said_to_be(
    tmp_path: Path, mode: str
) -> None:
    np.save(tmp_path / "stack.npy", STACK)
    path = tmp_path / "live.h5"
    command = [sys.executable, "-c", WRITER, str(path), mode, str(tmp_path / "stack.npy")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()

        def check() -> None:
            if mode == "swmr":
                gives(path, *STACK[:2])
                with open_frames(path) as file:
                    assert file.note == "open for writing (SWMR): frames as far as they are flushed"
            else:
                refused(path, "open for writing by another program, or left so by one that was killed")

        check()
        writer.kill()
    check()
