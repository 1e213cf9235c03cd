"""The page of all file formats, ``docs/formats.md``, from their declarations.

``make docs`` writes it; a test says whether it is current.
"""

from __future__ import annotations

from sweeper.data.format import COMPRESSIONS, Format
from sweeper.data.formats import formats

_HEAD = """\
# File formats

Whatever a file holds is read in full, as its format says, or refused in one line that says what is missing
or not supported: no pixel is filled in, no frame left out, and nothing that lies beside the frames is taken
for one. `sweeper plan` opens every file and counts its frames; `sweeper run` reads all of them before it
computes anything. Bad files are listed, and `--skip-bad` leaves them out.

The suffix tells the format. A file of another suffix, or of one that several formats share (`.img`,
`.raw`), is told by its first bytes. Files may be compressed as a whole ({compressions}).

For every format:

- **Counts** are integers of 8 to 64 bits or floats of 16 to 64, as they are stored: images of fewer bits
  are not stretched.
- **Truncated files** are refused wherever a header says how long the file has to be, and so are checksums
  that are wrong.
- **Colours**: an image whose red, green and blue are the same everywhere is grey and is read; so is one
  whose transparency is the same everywhere. True colour, palettes and CMYK are refused with these words.
- **Several arrays** (HDF5, NPZ): when it is not clear which one holds the frames, the error lists the
  candidates. `--dataset PATH` says which for all files (`*` stands for any name, as in
  `/*/measurement/eiger`), a column `dataset` of a manifest for each, and `FILE::PATH` wherever a command
  takes a single file.
- **Panels**: the panels of a detector that is stored as (shots, panels, height, width) stand one below the
  other in one frame. `--scan-grid` makes each a frame of its own, as for a scan over a grid.
- **Frames of one file** are often one series. `plan` and `run` say so when folds tear a file apart and
  there are no groups; `--group-by file` or `--group-by folder` keeps them together.
- **Masks**: what a file says of its own invalid pixels is honoured, beside the mask of `--mask FILE` or of
  a manifest; `--ignore-file-mask` reads files without it. Invalid by what they count are NaN, negative
  counts (unless `negative: valid`), and detectors' sentinels such as 2³² − 1. The report says how many
  pixels each of these makes invalid.
- **A mask file** may be of any of these formats, and is invalid where it is not zero.
- **How a frame was taken** is read where a space has the featurizer `header`: distance, wavelength or energy,
  pixel size, beam and incidence, of CBF and TIFF files of DECTRIS detectors, EDF (in metres, as SAXS
  beamlines write it), SMV (without the beam, on whose axes beamlines do not agree) and NeXus. What is not
  stated, or stated as 0, is absent.
- **Files that are being written**: an HDF5 file that a writer has open in SWMR mode is read as far as it is
  flushed. Any other file that is not whole yet is refused as truncated.

[Adding a format](add_a_format.md) takes one file. This page is written by `make docs`.
"""
_COLUMNS = ("library", "reads", "refuses", "images", "masks")
_TITLES = ("library", "read", "refused", "several images", "masks")


def page() -> str:
    """Return the text of the page."""
    head = _HEAD.format(compressions=", ".join(f"`{suffix}`" for suffix in COMPRESSIONS))
    lines = [
        f"| format | {' | '.join(_TITLES)} |",
        "| --- " * (1 + len(_TITLES)) + "|",
        *map(_row, formats()),
    ]
    return "\n".join([head, *lines, ""])


def _row(format: Format) -> str:
    suffixes = " ".join(f"`{suffix}`" for suffix in format.suffixes)
    others = " and others" if format.takes_other_suffixes else ""
    name = format.called[0].upper() + format.called[1:]
    cells = (f"**{name}** {suffixes}{others}", *(getattr(format, column) for column in _COLUMNS))
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


if __name__ == "__main__":
    print(page(), end="")
