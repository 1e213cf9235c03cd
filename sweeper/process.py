"""The surroundings of a command: streams, import path, warnings, where kernels are kept.

Light, and called before anything else is imported.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path

_QUIET = (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning, FutureWarning)
_OURS = Path(__file__).resolve().parents[1]
"""The folder that this installation is imported from."""


ALLOCATION = {"MALLOC_MMAP_THRESHOLD_": str(32 * 2**20), "MALLOC_TRIM_THRESHOLD_": str(128 * 2**20)}
"""Variables by which glibc keeps the memory of frames for the next frame.

Otherwise it gives arrays of a megabyte back to the system and asks for them again, whose zeroed pages take
half of the time that preparing a frame takes.
"""
_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1  # of mallopt


def settle() -> None:
    """Make a process that runs a command independent of how it was started.

    Standard streams that are closed lead nowhere, instead of into the next file that is opened. The current
    folder is no place to import from. A warning of a library is no error, even where Python was told so.
    """
    _open_streams()
    _keep_freed_memory()
    _forget_relative_folders()
    _change(for_children())
    if any(option.startswith("error") for option in sys.warnoptions):
        warnings.simplefilter("default")
        for category in _QUIET:
            warnings.simplefilter("ignore", category)


def _keep_freed_memory() -> None:
    """Do in this process what :data:`ALLOCATION` does in others; nothing where there is no glibc."""
    import ctypes

    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None and not ALLOCATION.keys() & os.environ.keys():
        for option, value in zip((_MMAP_THRESHOLD, _TRIM_THRESHOLD), ALLOCATION.values(), strict=True):
            mallopt(option, int(value))


def _open_streams() -> None:
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: this one
            assert opened == number
            os.set_inheritable(number, True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115


def say(text: str) -> None:
    """Print a line on standard error; where nobody is left to read it, it leads nowhere from now on."""
    try:
        print(text, file=sys.stderr, flush=True)
    except OSError:  # a terminal that is gone, a pipe without a reader, a full disk
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


# --------------------------------------------------------------------------- what is imported and executed


def for_children() -> Mapping[str, str | None]:
    """Return variables for processes that this one starts; None for one that they must not have.

    Nothing in the folder where they run is imported or executed: relative entries of PYTHONPATH are left out,
    and so is Python's own habit to look there. numba, which unpickles the kernels that it keeps, has its own
    folders for them, whatever a ``.numba_config.yaml`` there says.
    """
    changes: dict[str, str | None] = {
        **{name: os.environ.get(name, value) for name, value in ALLOCATION.items()},
        "PYTHONSAFEPATH": "1",
        "NUMBA_CACHE_DIR": os.environ.get("NUMBA_CACHE_DIR") or kernel_folder(),
        "NUMBA_CACHE_LOCATOR_CLASSES": os.environ.get("NUMBA_CACHE_LOCATOR_CLASSES", ""),
    }
    if "PYTHONPATH" in os.environ:
        folders = [entry for entry in _path_entries() if entry]
        changes["PYTHONPATH"] = os.pathsep.join(folders) or None
    if "error" in os.environ.get("PYTHONWARNINGS", ""):
        changes["PYTHONWARNINGS"] = None
    return changes


def _path_entries() -> list[str]:
    """Return the absolute entries of PYTHONPATH, and of the relative ones that of this installation."""
    entries = os.environ["PYTHONPATH"].split(os.pathsep)
    return [
        entry if Path(entry).is_absolute() else str(_OURS)
        for entry in entries
        if Path(entry).is_absolute() or Path(entry).resolve() == _OURS
    ]


def _forget_relative_folders() -> None:
    """Take the folders off the import path that PYTHONPATH names relative to the current one."""
    if "PYTHONPATH" not in os.environ:
        return
    kept = _path_entries()
    entries = os.environ["PYTHONPATH"].split(os.pathsep)
    named = {*entries, *(os.path.abspath(entry) for entry in entries)}  # noqa: PTH100 - as Python's own site does
    sys.path[:] = [folder for folder in sys.path if folder in kept or folder not in named]


@cache
def kernel_folder() -> str:
    """Return a folder for compiled kernels where numba would find none; empty where it finds its own.

    It keeps them beside the source, or in the user's cache. Where neither can be written, they are compiled
    once for this process and those that it starts.
    """
    cache_home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111
    if _can_write(Path(__file__).parent / "data" / "__pycache__") or _can_write(Path(cache_home, "numba")):
        return ""
    import atexit
    import shutil
    import tempfile

    folder = tempfile.mkdtemp(prefix="sweeper-kernels-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _can_write(folder: Path) -> bool:
    """Return whether files can be written in a folder, or in the nearest one above it that is there."""
    for place in (folder, *folder.parents):
        if place.exists():
            return os.access(place, os.W_OK | os.X_OK)
    return False


# --------------------------------------------------------------------------- variables


@contextmanager
def variables(changes: Mapping[str, str | None]) -> Iterator[None]:
    """Change variables of the environment within a block; None removes one."""
    before = {name: os.environ.get(name) for name in changes}
    _change(changes)
    try:
        yield
    finally:
        _change(before)


def _change(changes: Mapping[str, str | None]) -> None:
    for name, value in changes.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
