"""Detector formats: all images of a file, decoded as their headers say, or a refusal by name."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from fabio.bruker100image import Bruker100Image
from fabio.edfimage import EdfImage
from hypothesis import given, settings
from hypothesis import strategies as st

from sweeper.data.frames import open_frames, read_frames
from tests.data.examples import (
    byte_offset,
    cbf,
    cbf_section,
    counts,
    edf,
    ge,
    hipic,
    imgcif,
    kcd,
    mrc,
    pnm,
    smv,
    spe,
)
from tests.data.expectations import gives, refused

STACK = counts("uint16", (3, 16, 20))
FRAME = STACK[0]
LOOP = "loop_\r\n_array_intensities.overload\r\n_array_intensities.undefined_value\r\n65535 7\r\n"


# --------------------------------------------------------------------------- CBF


def test_steps_of_every_width_are_undone(tmp_path: Path) -> None:
    limits = [0, 127, -127, 128, -128, 2**15, -(2**15), 2**31 - 1, -(2**31), -2, 2**31 - 1]
    for dtype in ("int32", "int64"):
        wanted = np.array([limits, limits[::-1]], dtype)
        cbf(wanted)(tmp_path / "a.cbf")
        data = (tmp_path / "a.cbf").read_bytes()
        if dtype == "int64":
            (tmp_path / "a.cbf").write_bytes(data.replace(b"signed 32-bit", b"signed 64-bit"))
        gives(tmp_path / "a.cbf", wanted)


def steps_undone(data: bytes) -> tuple[list[int], bool]:
    """The counts that byte-offset compressed bytes hold, and whether the last step is whole."""
    found, value, at = [], 0, 0
    while at < len(data):
        size = 1
        while True:
            part = data[at : at + size]
            if len(part) < size:
                return found, False
            step, at = int.from_bytes(part, "little", signed=True), at + size
            if size == 8 or step != -(2 ** (8 * size - 1)):
                break
            size *= 2
        value += step
        found.append(value)
    return found, True


@given(
    steps=st.lists(
        st.one_of(st.integers(-130, 130), st.integers(-(2**40), 2**40), st.just(-(2**31)), st.just(1)),
        min_size=1,
        max_size=90,
    ),
    cut=st.integers(0, 3),
    extra=st.binary(max_size=3),
)
@settings(max_examples=300, deadline=None)
def test_steps_are_undone_as_plain_python_undoes_them(steps: list[int], cut: int, extra: bytes) -> None:
    from sweeper.data.formats._byte_offset import unpack

    data = b""
    for step in steps:
        for size, mark in ((1, b""), (2, b"\x80"), (4, b"\x80\0\x80"), (8, b"\x80\0\x80\0\0\0\x80")):
            if -(2 ** (8 * size - 1)) < step < 2 ** (8 * size - 1):
                data += mark + step.to_bytes(size, "little", signed=True)
                break
    data = data[: len(data) - cut] + extra
    wanted, whole = steps_undone(data)
    for kind in (np.int32, np.int64):
        limits = np.iinfo(kind)
        counts = np.zeros(len(wanted) + 1, kind)
        pixels, used, fits = unpack(np.frombuffer(data, np.uint8), counts, limits.min, limits.max)
        assert (pixels, used == len(data) and whole) == (len(wanted), whole)
        assert fits == all(limits.min <= count <= limits.max for count in wanted)
        if fits:
            assert counts[:pixels].tolist() == wanted
        pixels, used, _ = unpack(np.frombuffer(data, np.uint8), counts[:3], limits.min, limits.max)
        assert pixels == min(3, len(wanted))


def test_a_step_that_is_cut_behind_the_last_pixel_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "a.cbf"
    cbf(FRAME.astype(np.int32))(path)
    data = path.read_bytes()
    start = data.index(b"\x0c\x1a\x04\xd5") + 4
    head, size = data[:start], int(re.search(rb"X-Binary-Size: +(\d+)", data)[1])  # type: ignore[index]
    head = head.replace(b"Content-MD5", b"X-Content-5").replace(b"%d" % size, b"%d" % (size + 2))
    path.write_bytes(head + data[start : start + size] + b"\x80\x01" + data[start + size :])
    refused(path, "its header says 320 pixels, more are compressed in it")


def test_what_a_cbf_header_says_is_held_against_its_pixels(tmp_path: Path) -> None:
    path = tmp_path / "a.cbf"
    cbf(FRAME.astype(np.int32))(path)
    whole = path.read_bytes()
    start = whole.index(b"\x0c\x1a\x04\xd5") + 4
    for before, after, rule in (
        (whole[start : start + 1], bytes([whole[start] ^ 1]), "the MD5 checksum of its pixels is wrong"),
        (b"Elements: 320", b"Elements: 319", "a CBF section of 319 pixels, its image is 16 × 20"),
        (b"X-Binary-Size: ", b"X-Binary-Size: 9", "truncated"),
        (b"x-CBF_BYTE_OFFSET", b"x-CBF_UNHEARD", "compressed by x-CBF_UNHEARD, which is not supported"),
        (b"BINARY\r\n", b"BASE64\r\n", "a CBF section in BASE64 encoding, which is not supported"),
        (b"signed 32-bit integer", b"signed 16-bit complex", "which is not supported"),
    ):
        path.write_bytes(whole[: start - 4].replace(before, after, 1) + whole[start - 4 :])
        if rule.startswith("the MD5"):
            path.write_bytes(whole[:start] + after + whole[start + 1 :])
        refused(path, rule)
    other = whole.replace(b"Content-MD5", b"X-Content-5")
    for rows, rule in ((b": 17\r\n", "at most 320 are"), (b": 15\r\n", "more are")):
        text = other.replace(b"Second-Dimension: 16\r\n", b"Second-Dimension" + rows)
        path.write_bytes(text.replace(b"X-Binary-Number-of-Elements", b"X-Binary-Number"))
        refused(path, rule)


def test_panels_of_imgcif_are_one_frame_and_none_may_be_missing(tmp_path: Path) -> None:
    panels = counts("int32", (3, 9, 8))
    path = tmp_path / "a.cbf"
    imgcif(panels)(path)
    gives(path, panels.reshape(27, 8))
    with open_frames(path) as file:
        assert file.note == "the 3 panels of a CBF file are one frame, one below the other"
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"P2 2\r\n;")])
    refused(path, "its table of frames has P2 2, which is not there")


def test_packed_compression_is_read_by_cbflib(tmp_path: Path) -> None:
    pycbf = pytest.importorskip("pycbf")
    wanted = counts("int32", (11, 13))
    handle = pycbf.cbf_handle_struct()
    handle.new_datablock(b"image")
    handle.new_category(b"array_data")
    handle.new_column(b"data")
    handle.set_integerarray_wdims_fs(
        pycbf.CBF_PACKED, 1, wanted.tobytes(), 4, 1, wanted.size, b"little_endian", 13, 11, 1, 0
    )
    handle.write_widefile(str(tmp_path / "a.cbf"), pycbf.CBF, pycbf.MIME_HEADERS | pycbf.MSG_DIGEST, 0)
    gives(tmp_path / "a.cbf", wanted)


@pytest.mark.parametrize(
    ("header", "bad"),
    [
        ("# Count_cutoff 65535 counts\r\n", [65535, 70000]),
        (LOOP, [7, 65535, 70000]),
    ],
)
def test_the_limits_of_a_cbf_header_are_honoured(tmp_path: Path, header: str, bad: list[int]) -> None:
    frame = np.array([[1, 7, 65534], [65535, 70000, 2]], np.int32)
    table, about = (header, "") if header.startswith("loop") else ("", header)
    text = f"###CBF: VERSION 1.5\r\ndata_a\r\n{table}_array_data.header_contents\r\n;\r\n{about};\r\n"
    data = b"_array_data.data\r\n;\r\n" + cbf_section(frame) + b";\r\n"
    (tmp_path / "a.cbf").write_bytes(text.encode() + data)
    with open_frames(tmp_path / "a.cbf") as file:
        invalid = file.limits(0).invalid(file.read(0))
    assert frame[invalid].tolist() == bad


# --------------------------------------------------------------------------- EDF and its relatives


def test_every_image_of_an_edf_file_is_read(tmp_path: Path) -> None:
    for name in ("a.edf", "a.ge5"):
        edf(STACK)(tmp_path / name)
        gives(tmp_path / name, *STACK)
        (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-1])
        refused(tmp_path / name, "truncated: its header says 2432 bytes, it has 2431")
    edf(STACK[:1], Dim_3=3, Num_Images=1)(tmp_path / "b.edf")
    with (tmp_path / "b.edf").open("ab") as file:
        file.write(STACK[1:].tobytes())
    gives(tmp_path / "b.edf", *STACK)
    edf(STACK, Num_Images=1, Size=STACK.nbytes)(tmp_path / "c.edf")
    refused(tmp_path / "c.edf", "its header says 1920 bytes, which are 3 images, and 1 of them")


def test_errors_of_an_edf_image_are_no_frame_and_its_dummy_no_count(tmp_path: Path) -> None:
    image = EdfImage(data=FRAME, header={"EDF_DataBlockID": "1.Image.Psd", "Dummy": "7", "DDummy": "0.5"})
    image.append_frame(data=FRAME, header={"EDF_DataBlockID": "1.Image.Error"})
    image.write(str(tmp_path / "a.edf"))
    head = (tmp_path / "a.edf").read_bytes()
    assert head.count(b"1.Image.Error") == 1
    gives(tmp_path / "a.edf", FRAME)
    with open_frames(tmp_path / "a.edf") as file:
        assert file.limits(0).invalid(np.array([[6, 7, 8]])).tolist() == [[False, True, False]]


@pytest.mark.parametrize(
    ("kind", "dtype"), [("unsigned_short", "uint16"), ("long int", "int32"), ("float", "float32")]
)
def test_smv_has_the_type_and_the_images_that_it_says(tmp_path: Path, kind: str, dtype: str) -> None:
    stack = STACK.astype(dtype)
    smv(stack, kind)(tmp_path / "a.img")
    gives(tmp_path / "a.img", *stack)
    (tmp_path / "a.img").write_bytes((tmp_path / "a.img").read_bytes()[:-1])
    refused(tmp_path / "a.img", "truncated")


def test_an_smv_header_that_says_very_many_images_takes_no_memory(tmp_path: Path) -> None:
    smv(STACK, "unsigned_short")(tmp_path / "a.img")
    data = (tmp_path / "a.img").read_bytes()
    text = data[:512].replace(b"SIZE3=3;\n}\n\x0c" + b" " * 14, b"SIZE3=300000000000000;\n}\n\x0c")
    assert len(text) == 512
    (tmp_path / "a.img").write_bytes(text + data[512:])
    refused(tmp_path / "a.img", "truncated")


def test_an_smv_image_is_saturated_where_its_header_says(tmp_path: Path) -> None:
    smv(STACK, "unsigned_short")(tmp_path / "a.img")
    data = (tmp_path / "a.img").read_bytes()
    text = data[:512].replace(b"}\n\x0c" + b" " * 27, b"CCD_IMAGE_SATURATION=1000;\n}\n\x0c")
    (tmp_path / "a.img").write_bytes(text + data[512:])
    with open_frames(tmp_path / "a.img") as file:
        assert file.limits(0).highest == 999


@pytest.mark.parametrize(("kind", "dtype"), [(0, "uint8"), (2, "uint16"), (3, "uint32")])
def test_hipic_has_the_depth_that_it_says(tmp_path: Path, kind: int, dtype: str) -> None:
    wanted = (FRAME.astype("uint32") * (1 if dtype != "uint32" else 70_000)).astype(dtype)
    hipic(wanted, kind)(tmp_path / "a.img")
    gives(tmp_path / "a.img", wanted)
    hipic(wanted, 9)(tmp_path / "b.img")
    refused(tmp_path / "b.img", "HiPic image of file type 9, which is not supported")


def test_the_end_of_a_file_is_where_its_header_says(tmp_path: Path) -> None:
    writers: dict[str, Callable[[Path], object]] = {
        "a.ge2": ge(STACK),
        "a.spe": spe(STACK, 3),
        "a.mrc": mrc(STACK, 6),
        "a.pgm": pnm(FRAME),
        "a.img": hipic(FRAME, 2),
        "a.kcd": kcd(FRAME),
    }
    for name, write in writers.items():
        path = tmp_path / name
        write(path)
        whole = path.read_bytes()
        first = next(read_frames(path, [0]))
        np.testing.assert_array_equal(first, FRAME)
        path.write_bytes(whole[:-1])
        refused(path, "truncated")
        if name in ("a.spe", "a.mrc"):
            path.write_bytes(whole + bytes(2**13))
            refused(path, "holds more than its header says")


def test_images_that_follow_one_another_are_all_read(tmp_path: Path) -> None:
    pnm(*STACK)(tmp_path / "a.pgm")
    gives(tmp_path / "a.pgm", *STACK)
    hipic(FRAME, 2)(tmp_path / "a.img")
    (tmp_path / "a.img").write_bytes((tmp_path / "a.img").read_bytes() * 2)
    gives(tmp_path / "a.img", FRAME, FRAME)


def test_what_the_library_only_logs_is_an_error_here(tmp_path: Path) -> None:
    Bruker100Image(data=FRAME[:16, :16]).write(str(tmp_path / "a.sfrm"))
    data = (tmp_path / "a.sfrm").read_bytes()
    (tmp_path / "a.sfrm").write_bytes(data[:-100])
    refused(tmp_path / "a.sfrm", "cannot be read as Bruker: damaged or truncated")


@pytest.mark.parametrize(
    ("name", "begins", "rule"),
    [
        ("a.dm3", b"\0\0\0\3", "Gatan DM3 files are not supported"),
        ("a.dm4", b"\0\0\0\4", "Gatan DM4 files are not supported"),
        ("a.blo", b"IMGBLO", "NanoMEGAS BLO files are not supported"),
        ("a.fits", b"SIMPLE  =", "FITS files are not supported"),
        ("a.h5", b"CDF\1", "netCDF files are not supported"),
        ("a.h5", b"\x0e\x03\x13\x01", "HDF4 files are not supported"),
        ("a.raw", bytes(range(200, 240)), "of no format that is known, or damaged"),
        ("a.mrc", b"MRC", "truncated: an MRC header has 1024 bytes"),
        ("a.spe", b"SPE", "truncated: an SPE header has 4100 bytes"),
        ("a.cbf", b"<html>", "not a CBF file"),
        ("a.ge3", b"no GE", "not a GE file"),
    ],
)
def test_what_is_not_supported_is_refused_by_its_name(
    tmp_path: Path, name: str, begins: bytes, rule: str
) -> None:
    (tmp_path / name).write_bytes(begins + bytes(600))
    refused(tmp_path / name, rule)


def test_mrc_of_other_modes_and_spe_of_several_regions_say_so(tmp_path: Path) -> None:
    mrc(STACK, 4)(tmp_path / "a.mrc")
    refused(tmp_path / "a.mrc", "MRC of mode 4, complex numbers, is not supported")
    spe(STACK, 3)(tmp_path / "a.spe")
    data = bytearray((tmp_path / "a.spe").read_bytes())
    struct.pack_into("<h", data, 1510, 2)
    (tmp_path / "a.spe").write_bytes(data)
    refused(tmp_path / "a.spe", "SPE with 2 regions of interest is not supported")


def test_steps_are_as_short_as_they_can_be() -> None:
    assert len(byte_offset(np.array([1, 2, 300, 70_000, 2**33]))) == 1 + 1 + 3 + 7 + 15
