"""What files say of how a frame was taken, by format; what they do not say, or left empty, is absent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import fabio
import h5py
import numpy as np
import pytest
import tifffile

from sweeper.data.format import Reading
from sweeper.data.frames import inspect_frames, open_frames
from sweeper.data.header import of_dectris
from sweeper.data.prepared import FrameRef, raw_frame
from sweeper.runs.spec import make_spec

COUNTS = np.arange(12, dtype=np.int32).reshape(3, 4)
WHOLE = {
    "distance_mm": 291.47, "wavelength_angstrom": 0.97625, "pixel_mm": 0.172, "beam_column_px": 1229.3,
    "beam_row_px": 1200.48,
}  # fmt: skip
DECTRIS = """# Detector: PILATUS3 6M, S/N 60-0126
# Pixel_size 172e-6 m x 172e-6 m
# Count_cutoff 91795 counts
# Wavelength 0.97625 A
# Detector_distance 0.29147 m
# Beam_xy (1229.30, 1200.48) pixels
# Detector_2theta 0.0000 deg.
"""
HEADER = Reading(header=True)


def _cbf(path: Path) -> None:
    image = fabio.cbfimage.CbfImage(data=COUNTS)
    image.write(str(path))
    content = path.read_bytes()
    at = content.index(b"--CIF-BINARY-FORMAT-SECTION--")
    text = f'_array_data.header_convention "PILATUS_1.2"\n_array_data.header_contents\n;\n{DECTRIS};\n\n'
    start = content.rindex(b"_array_data.data", 0, at)
    path.write_bytes(content[:start] + text.encode() + content[start:])


def _tiff(path: Path) -> None:
    tifffile.imwrite(path, COUNTS, description=DECTRIS, metadata=None)


def _edf(path: Path) -> None:
    header = {
        "PSize_1": "172e-6", "SampleDistance": "0.29147", "WaveLength": "0.97625e-10", "Center_1": "1229.3",
        "Center_2": "1200.48",
    }  # fmt: skip
    fabio.edfimage.EdfImage(data=COUNTS, header=header).write(str(path))


def _nxmx(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["entry/data/data"] = COUNTS[None]
        detector = file.create_group("entry/instrument/detector")
        detector.attrs["NX_class"] = "NXdetector"
        detector["detector_distance"], detector["x_pixel_size"] = 0.29147, 172e-6
        detector["beam_center_x"], detector["beam_center_y"] = 1229.3, 1200.48
        file["entry/instrument/beam/incident_wavelength"] = 0.97625


def _with_units(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["entry/instrument/detector/data"] = COUNTS[None]

        def put(name: str, value: float, unit: str) -> None:
            file[f"entry/instrument/{name}"] = [value]
            file[f"entry/instrument/{name}"].attrs["units"] = unit

        put("detector/distance", 29.147, "cm")
        put("detector/x_pixel_size", 172, "um")
        put("detector/y_pixel_size", 0.172, "mm")
        put("detector/beam_center_x", 1229.3 * 0.172, "mm")
        put("detector/beam_center_y", 1200.48 * 0.172, "mm")
        put("monochromator/energy", 12.3984198 / 0.97625, "keV")


@pytest.mark.parametrize(
    ("name", "write"),
    [("f.cbf", _cbf), ("f.tif", _tiff), ("f.edf", _edf), ("f.h5", _nxmx), ("f.nxs", _with_units)],
)
def test_each_format_says_the_same(tmp_path: Path, name: str, write: Callable[[Path], Any]) -> None:
    write(tmp_path / name)
    with open_frames(tmp_path / name, reading=HEADER) as file:
        assert file.header(0) == pytest.approx(WHOLE)
        np.testing.assert_array_equal(file.read(0), COUNTS)
    with open_frames(tmp_path / name) as file:
        assert file.header(0) == {}  # it was not asked for


def test_smv_has_no_beam_as_beamlines_do_not_agree_on_its_axes(tmp_path: Path) -> None:
    entries = (
        "HEADER_BYTES=512;\nDIM=2;\nSIZE1=4;\nSIZE2=3;\nTYPE=unsigned_short;\nBYTE_ORDER=little_endian;\n"
    )
    entries += (
        "DISTANCE=250.0;\nPIXEL_SIZE=0.0816;\nWAVELENGTH=1.0;\nBEAM_CENTER_X=99.3;\nBEAM_CENTER_Y=94.7;\n"
    )
    (tmp_path / "f.img").write_bytes(f"{{\n{entries}}}".ljust(512).encode() + bytes(24))
    with open_frames(tmp_path / "f.img", reading=HEADER) as file:
        assert file.header(0) == {"distance_mm": 250.0, "wavelength_angstrom": 1.0, "pixel_mm": 0.0816}


def test_what_nobody_filled_in_is_absent() -> None:
    assert of_dectris("# Wavelength 0.0000 A\n# Detector_distance 0 m\n# Beam_xy (0.00, 0.00) pixels") == {}
    assert of_dectris(DECTRIS.replace("2theta 0.0", "2theta 12.0")).keys() == {
        "distance_mm", "wavelength_angstrom", "pixel_mm",
    }  # fmt: skip
    assert of_dectris("") == {}


def test_frames_of_equal_pixels_and_other_headers_are_others_where_headers_are_read(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "0.tif", COUNTS, description=DECTRIS, metadata=None)
    moved = DECTRIS.replace("0.29147", "2.0").replace("91795", "91796")
    tifffile.imwrite(tmp_path / "1.tif", COUNTS, description=moved, metadata=None)

    def digests(reading: Reading) -> set[str]:
        return {inspect_frames(tmp_path / f"{i}.tif", [0], reading=reading)[0].digest for i in (0, 1)}

    assert len(digests(Reading())) == 1 and len(digests(HEADER)) == 2
    frame = raw_frame(FrameRef(str(tmp_path / "0.tif"), 0, None, reading=HEADER)).prepared({"bin": 2})
    assert frame.header == pytest.approx({**WHOLE, "height_px": 3, "width_px": 4})
    plain = raw_frame(FrameRef(str(tmp_path / "0.tif"), 0, None)).prepared({})
    assert plain.header == {}


def test_a_sweep_reads_headers_if_its_space_looks_at_them() -> None:
    space = {"featurizers": ["histogram", "header"], "classifiers": ["rf"]}
    assert make_spec("/d", space).reading == HEADER
    assert make_spec("/d", {**space, "featurizers": {"histogram": {}}}).reading == Reading()
