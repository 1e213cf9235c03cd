"""Small valid files of every format, and what writes them."""

from __future__ import annotations

import base64
import hashlib
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fabio
import h5py
import hdf5plugin
import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray

Write = Callable[[Path], object]
DTYPES = ("uint8", "uint16", "int32", "float32")


def counts(dtype: str, shape: tuple[int, ...] = (24, 31)) -> NDArray[Any]:
    """Random counts, none of them 0: what a library makes of missing bytes is not among them."""
    top = 250 if dtype == "uint8" else 30_000
    return np.random.default_rng(7).integers(1, top, shape).astype(dtype)


def tiff(data: NDArray[Any], **how: Any) -> Write:
    return lambda path: tifffile.imwrite(path, data, **how)


def tiff_pages(stack: NDArray[Any]) -> Write:
    def write(path: Path) -> None:
        with tifffile.TiffWriter(path) as tif:
            for frame in stack:
                tif.write(frame, contiguous=False, metadata=None)

    return write


def picture(encode: Callable[[NDArray[Any]], bytes], dtype: str) -> Write:
    return lambda path: path.write_bytes(encode(counts(dtype)))


def npy(data: NDArray[Any]) -> Write:
    return lambda path: np.save(path, data)


def hdf5(data: NDArray[Any], where: str = "entry/data/data", **how: Any) -> Write:
    def write(path: Path) -> None:
        with h5py.File(path, "w") as file:
            file.create_dataset(where, data=data, **how)

    return write


def by_fabio(kind: str, *frames: NDArray[Any]) -> Write:
    def write(path: Path) -> None:
        image = fabio.fabioformats.get_class_by_name(kind)(data=frames[0])
        for frame in frames[1:]:
            image.append_frame(data=frame)
        image.write(str(path))

    return write


# --------------------------------------------------------------------------- formats without a writer here


def edf(stack: NDArray[Any], **more: object) -> Write:
    """One header for all images, as APS's servers write it."""
    keys = {"ByteOrder": "LowByteFirst", "DataType": "UnsignedShort", "Dim_1": stack.shape[2]}
    keys |= {"Dim_2": stack.shape[1], "Size": stack[0].nbytes, "Num_Images": len(stack), **more}
    head = "{\n" + "".join(f"{key} = {value} ;\n" for key, value in keys.items())
    return lambda path: path.write_bytes(f"{head:510}}}\n".encode() + stack.tobytes())


def smv(stack: NDArray[Any], kind: str = "long int") -> Write:
    """An SMV file of three axes."""
    height, width = stack.shape[1:]
    text = (
        f"{{\nHEADER_BYTES=  512;\nDIM=3;\nBYTE_ORDER=little_endian;\nTYPE={kind};\n"
        f"SIZE1={width};\nSIZE2={height};\nSIZE3={len(stack)};\n}}\n\x0c"
    )
    return lambda path: path.write_bytes(f"{text:512}".encode() + stack.tobytes())


def hipic(data: NDArray[Any], kind: int) -> Write:
    """An image of Hamamatsu's HiPic."""
    comment = b"[Application]\0"
    head = b"IM" + struct.pack("<6h", len(comment), data.shape[1], data.shape[0], 0, 0, kind)
    return lambda path: path.write_bytes(head + bytes(50) + comment + data.tobytes())


def ge(stack: NDArray[Any]) -> Write:
    """A stack with GE's own header, all fields in their places."""
    from fabio.GEimage import GE_HEADER_INFO

    said = {
        "ADEPT": b"ADEPT", "StandardHeaderSizeInBytes": 8192, "NumberOfRowsInFrame": stack.shape[1],
        "NumberOfColsInFrame": stack.shape[2], "ImageDepthInBits": 16, "NumberOfFrames": len(stack),
    }  # fmt: skip
    head, at = bytearray(8192), 0
    for name, size, form in GE_HEADER_INFO:
        if name in said and form is not None:
            struct.pack_into(form, head, at, said[name])
        at += size
    head[:5] = b"ADEPT"
    return lambda path: path.write_bytes(bytes(head) + stack.tobytes())


def kcd(data: NDArray[Any]) -> Write:
    """An image of a Nonius KappaCCD."""
    head = f"No = 1\nData type = u16\nX dimension = {data.shape[1]}\nY dimension = {data.shape[0]}\n"
    end = b"Number of readouts = 1\n"
    return lambda path: path.write_bytes(head.encode() + end + data.tobytes())


def mrc(stack: NDArray[Any], mode: int) -> Write:
    """A stack in the byte order of its array."""
    order = ">" if stack.dtype.byteorder == ">" else "<"
    n, height, width = stack.shape
    head = struct.pack(f"{order}10i6f3i", width, height, n, mode, 0, 0, 0, width, height, n,
                       1, 1, 1, 90, 90, 90, 1, 2, 3)  # fmt: skip
    stamp = b"MAP " + (b"\x11\x11\0\0" if order == ">" else b"\x44\x44\0\0")
    return lambda path: path.write_bytes(head.ljust(208, b"\0") + stamp + bytes(808) + stack.tobytes())


def spe(stack: NDArray[Any], kind: int) -> Write:
    """An SPE file of version 2.5."""
    head = bytearray(4100)
    n, height, width = stack.shape
    fields = (("H", 42, width), ("h", 108, kind), ("H", 656, height), ("i", 1446, n), ("h", 1510, 1),
              ("f", 1992, 2.5), ("H", 4098, 0x5555))  # fmt: skip
    for form, at, value in fields:
        struct.pack_into(f"<{form}", head, at, value)
    return lambda path: path.write_bytes(bytes(head) + stack.tobytes())


def pnm(*frames: NDArray[Any]) -> Write:
    """Binary grey images, one after the other."""
    highest = 255 if frames[0].dtype.itemsize == 1 else 65535
    big = [frame.astype(frame.dtype.newbyteorder(">")) for frame in frames]
    parts = [f"P5\n{f.shape[1]} {f.shape[0]}\n{highest}\n".encode() + f.tobytes() for f in big]
    return lambda path: path.write_bytes(b"".join(parts))


def byte_offset(counts: NDArray[Any]) -> bytes:
    """Differences of 8, 16, 32 or 64 bits, each after the mark of its width."""
    out, before = bytearray(), 0
    for count in counts.ravel().tolist():
        step, before = count - before, count
        for form, low in (("<b", -(2**7)), ("<h", -(2**15)), ("<i", -(2**31)), ("<q", None)):
            if low is None or low < step < -low:
                out += struct.pack(form, step)
                break
            out += struct.pack(form, low)
    return bytes(out)


def cbf_section(counts: NDArray[Any], number: int = 1, compression: str = "x-CBF_BYTE_OFFSET") -> bytes:
    """A binary section whose header says size, type, count and MD5."""
    data = byte_offset(counts)
    md5 = base64.b64encode(hashlib.md5(data).digest()).decode()
    head = [
        "--CIF-BINARY-FORMAT-SECTION--", "Content-Type: application/octet-stream;",
        f'     conversions="{compression}"', "Content-Transfer-Encoding: BINARY",
        f"X-Binary-Size: {len(data)}", f"X-Binary-ID: {number}",
        'X-Binary-Element-Type: "signed 32-bit integer"', f"Content-MD5: {md5}",
        "X-Binary-Element-Byte-Order: LITTLE_ENDIAN", f"X-Binary-Number-of-Elements: {counts.size}",
        f"X-Binary-Size-Fastest-Dimension: {counts.shape[1]}",
        f"X-Binary-Size-Second-Dimension: {counts.shape[0]}", "", "",
    ]  # fmt: skip
    close = b"\r\n--CIF-BINARY-FORMAT-SECTION----\r\n"
    return "\r\n".join(head).encode() + b"\x0c\x1a\x04\xd5" + data + close


def cbf(counts: NDArray[Any]) -> Write:
    """A CBF file of one section."""
    head = b"###CBF: VERSION 1.5\r\ndata_a\r\n_array_data.data\r\n;\r\n"
    return lambda path: path.write_bytes(head + cbf_section(counts) + b";\r\n")


def imgcif(panels: NDArray[Any]) -> Write:
    """An imgCIF file whose panels are sections of one frame."""
    head = b"###CBF: VERSION 1.5\r\ndata_a\r\nloop_\r\n_diffrn_data_frame.id\r\n"
    head += b"_diffrn_data_frame.array_id\r\n"
    head += b"_diffrn_data_frame.binary_id\r\n"
    head += b"".join(b"FRAME1 P%d %d\r\n" % (i, i) for i in range(len(panels)))
    head += b"\r\nloop_\r\n_array_data.array_id\r\n_array_data.binary_id\r\n_array_data.data\r\n"
    body = b"".join(
        b"P%d %d\r\n;\r\n" % (i, i) + cbf_section(panel, i) + b";\r\n" for i, panel in enumerate(panels)
    )
    return lambda path: path.write_bytes(head + body)


MRC_MODES = {"int8": 0, "uint16": 6, "int16": 1, "float32": 2}
BITSHUFFLE = {"chunks": (1, 20, 21), **hdf5plugin.Bitshuffle()}
EXAMPLES: dict[str, dict[str, Write]] = {
    "cbf": {
        "int32.cbf": by_fabio("cbfimage", counts("int32")),
        "steps.cbf": cbf(np.array([[5, 2**31 - 1, -(2**31)], [0, -1, 7]], np.int32)),
        "panels.cbf": imgcif(counts("int32", (3, 9, 8))),
    },
    "fabio": {
        **{f"{dtype}.edf": by_fabio("edfimage", counts(dtype)) for dtype in DTYPES},
        "series.edf": by_fabio("edfimage", *counts("uint16", (3, 12, 13))),
        "header.edf": edf(counts("uint16", (3, 12, 13))),
        "uint16.img": by_fabio("dtrekimage", counts("uint16")),
        "stack.img": smv(counts("int32", (2, 9, 8))),
        "hipic8.img": hipic(counts("uint8"), 0),
        "hipic32.img": hipic(counts("uint32"), 3),
        "adept.ge2": ge(counts("uint16", (2, 9, 8))),
        "nonius.kcd": kcd(counts("uint16")),
        "oxford.img": by_fabio("oxdimage", counts("int32")),
        "bruker.sfrm": by_fabio("bruker100image", counts("uint16", (32, 32))),
        "int32.esperanto": by_fabio("esperantoimage", counts("int32", (256, 256))),
    },
    "hdf5": {
        **{f"{dtype}.h5": hdf5(counts(dtype, (2, 15, 16))) for dtype in DTYPES},
        "one.hdf5": hdf5(counts("uint16"), "image"),
        "grid.nxs": hdf5(counts("uint16", (2, 3, 8, 9))),
        "packed.cxi": hdf5(counts("uint32", (3, 20, 21)), "entry_1/data_1/data", **BITSHUFFLE),
    },
    "mrc": {
        **{f"{dtype}.mrc": mrc(counts(dtype, (2, 9, 8)), mode) for dtype, mode in MRC_MODES.items()},
        "motorola.mrcs": mrc(counts("uint16", (3, 9, 8)).astype(">u2"), 6),
    },
    "npy": {
        **{f"{dtype}.npy": npy(counts(dtype)) for dtype in DTYPES},
        "stack.npy": npy(counts("uint16", (3, 11, 12))),
        "fortran.npy": npy(np.asfortranarray(counts("int32", (2, 9, 8)))),
    },
    "picture": {
        "uint8.png": picture(imagecodecs.png_encode, "uint8"),
        "uint16.png": picture(imagecodecs.png_encode, "uint16"),
        "uint8.jpg": picture(imagecodecs.jpeg8_encode, "uint8"),
    },
    "pnm": {
        "uint8.pgm": pnm(counts("uint8")),
        "uint16.pgm": pnm(counts("uint16")),
        "series.pnm": pnm(*counts("uint8", (3, 9, 8))),
        "text.pgm": lambda path: path.write_text("P2 # counts\n3 2\n99\n1 2 3\n4 5 99\n"),
    },
    "spe": {
        "uint16.spe": spe(counts("uint16", (2, 9, 8)), 3),
        "float32.spe": spe(counts("float32", (1, 9, 8)), 0),
    },
    "tiff": {
        **{f"{dtype}.tif": tiff(counts(dtype)) for dtype in DTYPES},
        "strips.tiff": tiff(counts("uint16"), compression="zlib", rowsperstrip=5),
        "tiles.tif": tiff(counts("uint32", (40, 50)), tile=(16, 16), compression="lzw"),
        "motorola.tif": tiff(counts("uint16"), byteorder=">"),
        "big.tif": tiff(counts("int32"), bigtiff=True),
        "pages.tif": tiff_pages(counts("uint16", (3, 20, 21))),
        "imagej.tif": tiff(counts("uint16", (4, 20, 21)), imagej=True, metadata={"axes": "TYX"}),
    },
}
