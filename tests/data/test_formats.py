"""The registry of formats, files that may be compressed, and libraries that must be watched."""

import bz2
import gc
import gzip
import io
import logging
import sys
import threading
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from fabio.bruker100image import Bruker100Image
from fabio.cbfimage import CbfImage

from sweeper.data import formats
from sweeper.data.format import Source, split_suffix
from sweeper.data.frames import count_frames, open_frames, read_frame
from sweeper.errors import FrameError, InputError

COUNTS = np.random.default_rng(0).integers(1, 9999, (60, 80)).astype(np.int32)


def test_formats_are_found_by_their_files_in_order_of_name():
    names = [format.name for format in formats.formats()]
    assert names == ["cbf", "fabio", "hdf5", "mrc", "npy", "picture", "pnm", "spe", "tiff"]
    folder = Path(formats.__file__).parent
    assert names == sorted(file.stem for file in folder.glob("*.py") if not file.stem.startswith("_"))


@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("a.TIF", "tiff"),
        ("a.h5.gz", "hdf5"),
        ("a.b.cbf.bz2", "cbf"),
        ("a.ge3", "fabio"),
        ("a.unheard", "fabio"),
        ("a", "fabio"),
        ("a.gz", "fabio"),
        ("tif", "fabio"),
    ],
)
def test_the_suffix_tells_the_format(name, format):
    assert formats.format_of(Path("x.tif") / name).name == format


def test_a_suffix_belongs_to_one_format():
    some = formats.formats()
    double = replace(some[-1], name="other", suffixes=(".x", ".tiff"))
    with pytest.raises(InputError, match=r"the suffix \.tiff: must belong to one format, got tiff and other"):
        formats.by_suffix([*some, double])
    second = replace(some[-1], name="other", suffixes=(".x",), takes_other_suffixes=True)
    with pytest.raises(InputError, match="must belong to one format, got fabio and other"):
        formats.by_suffix([*some, second])


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("", "must have a constant FORMAT"),
        ("FORMAT = 'picture'", "must have a constant FORMAT"),
        (
            "from sweeper.data.formats.tiff import FORMAT",
            "FORMAT.name must be 'bad', as the file",
        ),
    ],
)
def test_a_file_without_its_format_is_named(tmp_path, monkeypatch, text, rule):
    (tmp_path / "bad.py").write_text(text)
    monkeypatch.setattr(formats, "__path__", [*formats.__path__, str(tmp_path)])
    formats.formats.cache_clear()
    try:
        with pytest.raises(InputError, match=rf"bad\.py: .*{rule}"):
            formats.formats()
    finally:
        monkeypatch.undo()
        sys.modules.pop("sweeper.data.formats.bad", None)
        formats.formats.cache_clear()


@pytest.mark.parametrize(("pack", "suffix"), [(bytes, ""), (gzip.compress, ".gz"), (bz2.compress, ".bz2")])
def test_a_source_gives_its_content_in_four_ways(tmp_path, pack, suffix):
    path = tmp_path / f"a.edf{suffix}"
    path.write_bytes(pack(b"some content"))
    assert split_suffix(path) == (".edf", suffix)
    source = Source(path, suffix)
    assert source.content() == b"some content"
    with source.stream() as stream:
        stream.seek(5)
        assert stream.read() == b"content"
    seekable = source.seekable()
    assert (seekable.read() if isinstance(seekable, io.BytesIO) else seekable.read_bytes()) == b"some content"
    with source.on_disk() as plain:
        assert plain.name == "a.edf"
        assert plain.read_bytes() == b"some content"
    assert plain.exists() == (suffix == "")


# --------------------------------------------------------------------------- fabio


@pytest.mark.parametrize("name", ["a.cbf", "a.cbf.gz", "a.raw"])
@pytest.mark.parametrize("kept", [20, 300])
def test_a_cbf_that_ends_before_its_pixels_is_refused(tmp_path, name, kept):
    """The library would look for their beginning for ever."""
    whole, path = tmp_path / "whole.cbf", tmp_path / name
    CbfImage(data=COUNTS).write(str(whole))
    data = whole.read_bytes()
    assert data.index(b"\x0c\x1a\x04\xd5") > kept
    path.write_bytes(gzip.compress(data[:kept]) if name.endswith(".gz") else data[:kept])
    with pytest.raises(FrameError, match="ends before its pixels begin"):
        read_frame(path)


class Heard(logging.Handler):
    """Keeps what reaches the handlers of the process; pytest listens to loggers that do not propagate too."""

    def __init__(self):
        super().__init__()
        self.messages = []

    def emit(self, record):
        self.messages.append(record.getMessage())


def test_threads_hear_their_own_errors_and_other_logging_stays(tmp_path, monkeypatch):
    """fabio only logs that a file is cut short, and may give pixels."""
    heard = Heard()
    monkeypatch.setattr(logging.getLogger(), "handlers", [heard])
    good, bad = tmp_path / "good.sfrm", tmp_path / "bad.sfrm"
    Bruker100Image(data=COUNTS[:48, :64]).write(str(good))
    bad.write_bytes(good.read_bytes()[:-2000])
    found = {"good": [], "bad": []}

    def read(path):
        for _ in range(30):
            try:
                found[path.stem].append(np.array_equal(read_frame(path), COUNTS[:48, :64]))
            except FrameError as error:
                found[path.stem].append(error.problem)

    threads = [threading.Thread(target=read, args=(path,)) for path in (good, bad, good, bad)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found["good"] == [True] * 60
    assert all(str(problem).endswith("damaged or truncated") for problem in found["bad"])
    assert heard.messages == []
    logging.getLogger("fabio.bruker100image").warning("of somebody else")
    assert heard.messages == ["of somebody else"]


# --------------------------------------------------------------------------- HDF5


def test_the_files_of_an_eiger_series_are_closed(tmp_path):
    open_files = Path("/proc/self/fd")
    if not open_files.is_dir():
        pytest.skip("open files are not listed here")
    with h5py.File(tmp_path / "s_data_000001.h5", "w") as file:
        file["entry/data/data"] = COUNTS[np.newaxis]
    with h5py.File(tmp_path / "s_master.h5", "w") as file:
        file["entry/data/data_000001"] = h5py.ExternalLink("s_data_000001.h5", "/entry/data/data")
    assert count_frames(tmp_path / "s_master.h5") == 1
    with open_frames(tmp_path / "s_master.h5") as file:
        np.testing.assert_array_equal(file.read(0), COUNTS)
    del file
    gc.collect()
    targets = [str(link.readlink()) for link in open_files.iterdir() if link.is_symlink() and link.exists()]
    assert not [target for target in targets if target.startswith(str(tmp_path))]
