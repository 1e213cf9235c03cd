"""CBF as DECTRIS detectors write it, and imgCIF of one or several panels."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.data.format import Format, Limits, OpenFile, Source
from sweeper.data.formats._cbf_sections import Section, read_pixels, read_sections
from sweeper.data.header import of_dectris
from sweeper.errors import FrameError

_CUTOFF = re.compile(r"# *Count_cutoff +(\d+) *counts", re.IGNORECASE)


@contextmanager
def _open(source: Source) -> Iterator[OpenFile]:
    path = source.path
    with source.stream() as stream:
        if not stream.read(6).startswith(b"###CBF"):
            raise FrameError(path, "not a CBF file: it does not begin with ###CBF")
        # Looking behind the pixels of a compressed file would unpack all of it; a DECTRIS file has one
        # section.
        text, sections = read_sections(path, stream, first_only=bool(source.compression))
        if source.compression and "loop_" in text:
            text, sections = read_sections(path, stream)
        if not sections:
            raise FrameError(path, "truncated: a CBF file that ends before its pixels begin")
        frames = _frames(source, text, sections) if _is_table(text) or len(sections) > 1 else [sections]
        first = sections[0].dims(path)
        for section in sections:
            dims = section.dims(path)
            if dims[2] != first[2]:
                raise FrameError(path, f"its panels have different widths, {first[2]} and {dims[2]}")
            if dims[0] > 1 and "_array_structure_list" not in text:
                raise FrameError(
                    path, f"cannot tell whether the {dims[0]} images of a section are panels or frames"
                )

        def read(index: int) -> NDArray[Any]:
            panels = [read_pixels(path, stream, section) for section in frames[index]]
            if source.compression and len(sections) == 1:
                _check_alone(source, stream, sections[0])
            rows = [panel.reshape(-1, panel.shape[-1]) for panel in panels]
            return rows[0] if len(rows) == 1 else np.concatenate(rows)

        number = sum(section.dims(path)[0] for section in frames[0])
        note = f"the {number} panels of a CBF file are one frame, one below the other" if number > 1 else ""
        yield OpenFile(
            len(frames), read, limits=lambda _: _limits(text), note=note, header=lambda _: of_dectris(text)
        )


def _check_alone(source: Source, stream: Any, section: Section) -> None:
    stream.seek(section.start + section.size)
    if (
        b"--CIF-BINARY-FORMAT-SECTION--\r" in (rest := stream.read())
        or b"--CIF-BINARY-FORMAT-SECTION--\n" in rest
    ):
        raise FrameError(
            source.path, "several binary sections without a table of them: unpack the file to read it"
        )


def _frames(source: Source, text: str, sections: list[Section]) -> list[list[Section]]:
    """Return the sections of each frame, by what imgCIF says: its panels in their order."""
    from gemmi import cif

    try:
        blocks = list(cif.read_string(text))
    except (ValueError, RuntimeError) as error:
        raise FrameError(
            source.path, f"{len(sections)} binary sections whose table cannot be read"
        ) from error
    frames: dict[str, list[Section]] = {}
    for number, block in enumerate(blocks):
        table = block.find("_array_data.", ["data", "?array_id", "?binary_id"])
        frame_of = {
            (row[0], row[1]): row[2]
            for row in block.find("_diffrn_data_frame.", ["array_id", "binary_id", "id"])
        }
        for row in table:
            found = re.search(r"BINARY(\d+)", row[0])
            if found is None:
                continue
            array, binary = (row[i] if row.has(i) else "" for i in (1, 2))
            # Without a table of frames, sections of one binary are panels, those of several are frames.
            frame = frame_of.get((array, binary), binary)
            frames.setdefault(f"{number} {frame}", []).append(sections[int(found[1])])
        absent = set(frame_of) - {
            (row[0], row[1]) for row in block.find("_array_data.", ["array_id", "binary_id"])
        }
        if absent:
            array, binary = min(absent)
            raise FrameError(
                source.path, f"truncated: its table of frames has {array} {binary}, which is not there"
            )
    if sum(map(len, frames.values())) != len(sections):
        raise FrameError(source.path, f"{len(sections)} binary sections, of which not all stand in its table")
    shapes = {tuple(section.dims(source.path) for section in parts) for parts in frames.values()}
    if len(shapes) > 1:
        raise FrameError(source.path, "its frames have different numbers or sizes of panels")
    return list(frames.values())


def _is_table(text: str) -> bool:
    """Return whether a header says which sections there are."""
    return "_diffrn_data_frame.binary_id" in text and "_array_data.binary_id" in text


def _limits(text: str) -> Limits:
    """Return DECTRIS's cut-off, or imgCIF's overload and undefined value, where a header states them."""
    found = _CUTOFF.search(text)
    highest = [int(found[1]) - 1] if found else []
    said = dict(_intensities(text))
    if said.get("overload", 0) > 0:
        highest.append(int(np.ceil(said["overload"])) - 1)
    dummies = (said["undefined_value"],) if "undefined_value" in said else ()
    return Limits(highest=min(highest, default=None), dummies=dummies)


def _intensities(text: str) -> list[tuple[str, float]]:
    if "_array_intensities.overload" not in text and "_array_intensities.undefined_value" not in text:
        return []
    from gemmi import cif

    try:
        blocks = list(cif.read_string(text))
    except (ValueError, RuntimeError):
        return []
    found: dict[str, list[float]] = {}
    for block in blocks:
        for name in ("overload", "undefined_value"):
            for value in block.find_values(f"_array_intensities.{name}"):
                number = cif.as_number(value)
                if np.isfinite(number):
                    found.setdefault(name, []).append(number)
    return [(name, min(numbers)) for name, numbers in found.items()]


FORMAT = Format(
    name="cbf",
    suffixes=(".cbf",),
    library="decoders of its own; pycbf (extra formats) for packed and canonical compression",
    reads="integers of 8 to 64 bits in byte-offset compression, and integers and real numbers that are "
    "packed, canonical or not compressed, checked against the number of pixels and the MD5 sum that the "
    "file states",
    refuses="files that do not begin with ###CBF; a wrong checksum; sections in a text encoding such as "
    "BASE64; another number of pixels than the header says",
    images="one frame a file; of several binary sections those that imgCIF gives to one frame are its "
    "panels, one below the other",
    masks="counts from Count_cutoff (DECTRIS) or overload (imgCIF) on, and imgCIF's undefined_value, "
    "are invalid; negative counts, such as −1 and −2 of Pilatus detectors, are invalid unless negative "
    "is valid",
    open=_open,
    magic=(b"###CBF",),
)
