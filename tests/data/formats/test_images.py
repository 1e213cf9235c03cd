"""TIFF, PNG and JPEG: stacks that are cut, companions, few bits, and grey images in colour clothes."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile

from sweeper.data.frames import count_frames, open_frames, read_frames
from sweeper.errors import FrameError
from tests.data.examples import counts
from tests.data.expectations import gives, refused

STACK = counts("uint16", (5, 16, 20))
GREY = counts("uint8", (16, 20))
RGB = np.stack([GREY] * 3, axis=-1)


# --------------------------------------------------------------------------- TIFF


def pages(path: Path) -> None:
    with tifffile.TiffWriter(path) as tif:
        for frame in STACK:
            tif.write(frame, contiguous=False, metadata=None)


@pytest.mark.parametrize("writer", ["pages", "imagej", "ome", "shaped"])
def test_a_stack_that_is_cut_is_refused_wherever_it_is_cut(tmp_path: Path, writer: str) -> None:
    path, cut = tmp_path / "a.tif", tmp_path / "cut.tif"
    {
        "pages": lambda: pages(path),
        "imagej": lambda: tifffile.imwrite(path, STACK, imagej=True, metadata={"axes": "TYX"}),
        "ome": lambda: tifffile.imwrite(path, STACK, ome=True, photometric="minisblack"),
        "shaped": lambda: tifffile.imwrite(path, STACK, photometric="minisblack"),
    }[writer]()
    gives(path, *STACK)
    data = path.read_bytes()
    for share in (0.3, 0.45, 0.6, 0.8, 0.97):
        cut.write_bytes(data[: int(share * len(data))])
        with pytest.raises(FrameError, match="truncated"):
            count_frames(cut)


def test_strips_that_were_never_written_are_not_zeros(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK[0], rowsperstrip=4)
    with tifffile.TiffFile(path) as tif:
        lengths = tif.pages[0].tags[279].valueoffset  # type: ignore[union-attr]
    data = bytearray(path.read_bytes())
    data[lengths + 4 : lengths + 8] = bytes(4)
    path.write_bytes(data)
    refused(path, r"\d of 4 strips or tiles of page 0 were never written")


@pytest.mark.parametrize("compression", ["zlib", "lzw", "packbits", "zstd"])
def test_a_strip_that_unpacks_to_less_is_not_filled_up(tmp_path: Path, compression: str) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, STACK[0], compression=compression)  # type: ignore[arg-type]
    with tifffile.TiffFile(path) as tif:
        [start], tag = tif.pages[0].dataoffsets, tif.pages[0].tags[279]  # type: ignore[union-attr]
    half = getattr(imagecodecs, f"{compression}_encode")(STACK[0, :8].tobytes())
    data = bytearray(path.read_bytes())
    data[start : start + len(half)] = half
    struct.pack_into("<I" if tag.dtype == 4 else "<H", data, tag.valueoffset, len(half))
    path.write_bytes(data)
    refused(path, "damaged")


def test_thumbnails_and_smaller_copies_are_no_frames(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "page.tif") as tif:
        tif.write(STACK[0])
        tif.write(STACK[0, ::2, ::2], subfiletype=1)
    with tifffile.TiffWriter(tmp_path / "below.tif") as tif:
        tif.write(STACK[0], subifds=1)
        tif.write(STACK[0, ::2, ::2], subfiletype=1)
    for name in ("page.tif", "below.tif"):
        gives(tmp_path / name, STACK[0])
    with tifffile.TiffWriter(tmp_path / "two.tif") as tif:
        tif.write(STACK[0])
        tif.write(STACK[0, ::2, ::2])
    refused(
        tmp_path / "two.tif",
        "cannot tell which pages are frames: page 0 is 16 × 20 of 16 bits, page 1 8 × 10",
    )


@pytest.mark.parametrize("bits", [1, 2, 4, 10, 12])
def test_few_bits_keep_their_counts(tmp_path: Path, bits: int) -> None:
    wanted = (STACK[0] % 2**bits).astype("u1" if bits <= 8 else "u2")
    stored = wanted.astype(bool) if bits == 1 else wanted
    tifffile.imwrite(tmp_path / "a.tif", stored, bitspersample=bits)
    gives(tmp_path / "a.tif", wanted)


def test_grey_tiff_in_colours_is_grey_and_others_are_called_what_they_are(tmp_path: Path) -> None:
    alpha = np.full_like(GREY, 255)
    for name, data, how in (
        ("rgb.tif", RGB, {"photometric": "rgb"}),
        ("planes.tif", RGB.transpose(2, 0, 1), {"photometric": "rgb", "planarconfig": "separate"}),
        ("rgba.tif", np.dstack([RGB, alpha]), {"photometric": "rgb", "extrasamples": ["unassalpha"]}),
        (
            "alpha.tif",
            np.dstack([GREY, alpha]),
            {"photometric": "minisblack", "planarconfig": "contig", "extrasamples": ["unassalpha"]},
        ),
    ):
        tifffile.imwrite(tmp_path / name, data, **how)
        gives(tmp_path / name, GREY)
    tifffile.imwrite(tmp_path / "true.tif", counts("uint8", (16, 20, 3)), photometric="rgb")
    refused(tmp_path / "true.tif", r"a true colour image \(3 values a pixel\)")
    tifffile.imwrite(
        tmp_path / "map.tif", GREY, photometric="palette", colormap=np.zeros((3, 256), np.uint16)
    )
    with pytest.raises(FrameError, match="a palette image, not detector counts"):
        count_frames(tmp_path / "map.tif")


def test_the_cut_off_that_dectris_states_bounds_counts(tmp_path: Path) -> None:
    data = STACK[0].astype(np.int32)
    data[0, :2] = 999_998, 999_999
    about = "# Pixel_size 172e-6 m x 172e-6 m\r\n# Count_cutoff 999999 counts\r\n"
    tifffile.imwrite(tmp_path / "a.tif", data, description=about, metadata=None)
    with open_frames(tmp_path / "a.tif") as file:
        invalid = file.limits(0).invalid(file.read(0))
    assert np.flatnonzero(invalid).tolist() == [1]


@pytest.mark.parametrize("order", ["<", ">"])
def test_pixels_that_marccd_calls_saturated_are_not_measured(tmp_path: Path, order: str) -> None:
    """TIFF's header, from byte 1024 on MarCCD's own, then the pixels."""
    image = counts("uint16", (6, 8))
    image[2, 3], image[4, 4] = 64_000, 65_535
    own = bytearray(3072)
    own[4:10] = b"MARCCD"
    for at, value in ((28, 1234 if order == "<" else 4321), (80, 8), (84, 6), (104, 64_000)):
        struct.pack_into(f"{order}I", own, at, value)
    tags = ((256, 8), (257, 6), (258, 16), (259, 1), (262, 1), (273, 4096), (277, 1), (278, 6), (279, 96))
    entries = b"".join(struct.pack(f"{order}HHII", tag, 4, 1, value) for tag, value in tags)
    head = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}HI", 42, 8)
    head += struct.pack(f"{order}H", len(tags)) + entries + bytes(4)
    path = tmp_path / "a.mccd"
    path.write_bytes(head.ljust(1024, b"\0") + own + image.astype(f"{order}u2").tobytes())
    gives(path, image)
    with open_frames(path) as file:
        np.testing.assert_array_equal(file.limits(0).invalid(image), image >= 64_000)


# --------------------------------------------------------------------------- PNG and JPEG


def png(path: Path, width: int, rows: bytes, bits: int, colour: int, *chunks: tuple[bytes, bytes]) -> Path:
    """Write a PNG image of rows as they are packed, each after its filter byte."""
    height = len(rows) // (-(-width * bits // 8) + 1)
    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    parts = [(b"IHDR", head), *chunks, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in parts
    )
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    return path


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_a_png_of_few_bits_keeps_its_counts(tmp_path: Path, bits: int) -> None:
    wanted = GREY[:3, :16] % 2**bits
    packed = np.packbits(np.unpackbits(wanted[..., np.newaxis], axis=-1)[..., -bits:].reshape(3, -1), axis=-1)
    rows = b"".join(b"\0" + row.tobytes() for row in packed)
    gives(png(tmp_path / "a.png", 16, rows, bits, 0), wanted)


def test_a_grey_png_with_a_transparent_grey_is_read_and_a_palette_called_so(tmp_path: Path) -> None:
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in STACK[0])
    gives(png(tmp_path / "trns.png", 20, rows, 16, 0, (b"tRNS", b"\0\7")), STACK[0])
    rows = b"".join(b"\0" + row.tobytes() for row in GREY % 2)
    palette = png(tmp_path / "map.png", 20, rows, 8, 3, (b"PLTE", bytes(range(6))))
    refused(palette, "a palette image, not detector counts")
    rows = b"".join(b"\0" + row.tobytes() for row in GREY)
    refused(
        png(tmp_path / "two.png", 20, rows, 8, 0, (b"acTL", b"\0\0\0\2\0\0\0\0")),
        "an animated PNG of 2 images",
    )


@pytest.mark.parametrize("kind", ["rgb", "rgba", "grey and alpha", "rgb16"])
def test_grey_png_in_colours_is_grey(tmp_path: Path, kind: str) -> None:
    full = np.full_like(GREY, 255)
    wide = np.stack([STACK[0]] * 3, axis=-1)
    images = {
        "rgb": RGB,
        "rgba": np.dstack([RGB, full]),
        "grey and alpha": np.dstack([GREY, full]),
        "rgb16": wide,
    }
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(np.ascontiguousarray(images[kind])))
    gives(tmp_path / "a.png", STACK[0] if kind == "rgb16" else GREY)


def test_alpha_that_differs_is_told_from_true_colour(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(np.dstack([RGB, GREY])))
    refused(tmp_path / "a.png", "an image with transparent pixels")


def test_grey_jpeg_in_colours_is_grey_and_true_colour_is_not(tmp_path: Path) -> None:
    smooth = np.add.outer(np.arange(16), np.arange(24)).astype(np.uint8)
    (tmp_path / "grey.jpg").write_bytes(imagecodecs.jpeg8_encode(smooth, level=95))
    (tmp_path / "rgb.jpg").write_bytes(imagecodecs.jpeg8_encode(np.stack([smooth] * 3, axis=-1), level=95))
    [grey], [rgb] = (list(read_frames(tmp_path / name, [0])) for name in ("grey.jpg", "rgb.jpg"))
    np.testing.assert_array_equal(rgb, grey)
    (tmp_path / "true.jpg").write_bytes(imagecodecs.jpeg8_encode(counts("uint8", (16, 20, 3))))
    refused(tmp_path / "true.jpg", "a true colour image")
    (tmp_path / "cmyk.jpg").write_bytes(
        imagecodecs.jpeg8_encode(counts("uint8", (16, 20, 4)), colorspace="cmyk", outcolorspace="cmyk")
    )
    refused(tmp_path / "cmyk.jpg", "a CMYK image")
    (tmp_path / "two.jpg").write_bytes((tmp_path / "grey.jpg").read_bytes() * 2)
    refused(tmp_path / "two.jpg", "holds several JPEG images")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "grey.jpg").read_bytes()[:-20])
    refused(tmp_path / "cut.jpg", "truncated: a JPEG image without its end marker")


def test_a_picture_is_told_by_what_it_holds_and_others_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(imagecodecs.png_encode(GREY))
    gives(tmp_path / "a.jpg", GREY)
    tifffile.imwrite(tmp_path / "a.tif", GREY)
    (tmp_path / "a.mccd").write_bytes((tmp_path / "a.tif").read_bytes())
    gives(tmp_path / "a.mccd", GREY)
    (tmp_path / "a.raw").write_bytes(b"GIF89a" + bytes(40))
    refused(tmp_path / "a.raw", "GIF files are not supported")


def test_a_tile_that_no_file_of_this_size_can_fill_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", STACK[0], tile=(16, 32), compression="lzw")
    with tifffile.TiffFile(tmp_path / "a.tif") as tif:
        place = tif.pages[0].tags[323].valueoffset  # type: ignore[union-attr]
    data = bytearray((tmp_path / "a.tif").read_bytes())
    data[place : place + 4] = struct.pack("<I", 2**26)
    (tmp_path / "a.tif").write_bytes(data)
    refused(tmp_path / "a.tif", "its header asks for 4294967296 bytes of pixels")
