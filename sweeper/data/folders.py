"""Data sets that are folders: one folder a class, or class folders in each of train, val and test."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from sweeper.data.frames import is_frame_file
from sweeper.data.listing import SPLITS, Listing, some_of
from sweeper.errors import InputError

_EIGER_DATA = re.compile(r"(?P<series>.*)_data_\d+\.h5")


def eiger_master(path: str | Path) -> Path | None:
    """Return the master file of the Eiger series that a file is a data file of; None for any other file."""
    part = _EIGER_DATA.fullmatch(Path(path).name)
    return None if part is None else Path(path).with_name(f"{part['series']}_master.h5")


def list_folder(root: Path) -> Listing:
    """List the frame files of a folder of classes, or of train, val and test folders of classes.

    Folders within a class are walked and symbolic links are followed; hidden files and folders are passed
    over. So are the data files of an Eiger series whose master file lies beside them: it links to them.

    Raises
    ------
    ValueError
        No class folder, a class folder without frames, or class folders beside split folders.
    """
    files: list[str] = []
    labels: list[str] = []
    splits: list[str] = []
    problems: list[tuple[str, str]] = []
    ignored = sum(1 for entry in root.iterdir() if entry.is_file())
    for split, folder in _class_folders(root):
        found = 0
        for path, is_frame in walk(folder):
            name = path.relative_to(root).as_posix()
            if is_frame and not name.isprintable():
                problems.append((ascii(name)[1:-1], "the file name must be printable UTF-8"))
                found += 1
            elif is_frame:
                files.append(name)
                labels.append(folder.name)
                splits.append(split)
                found += 1
            else:
                ignored += 1
        if not found:
            raise InputError(f"{folder}: a class folder must hold frames, it has none of a known suffix")
    classes = tuple(sorted(set(labels)))
    code = {name: position for position, name in enumerate(classes)}
    rows = len(files)
    return Listing(
        root=root,
        files=tuple(files),
        file=np.arange(rows, dtype=np.int64),
        frame=np.full(rows, -1, dtype=np.int64),
        classes=classes,
        label=np.array([code[label] for label in labels], dtype=np.int64),
        split=np.array(splits, dtype="U5"),
        ignored=ignored,
        problems=tuple(problems),
    )


def _class_folders(root: Path) -> list[tuple[str, Path]]:
    """Return the split (or an empty text) and the path of each class folder, in order of name."""
    folders = _folders(root)
    if not folders:
        frames = sum(1 for entry in root.iterdir() if is_frame_file(entry.name))
        what = f"{frames} frame files but no class folder" if frames else "no class folder"
        raise InputError(f"{root}: data must be a folder of class folders, found {what}")
    splits = [folder for folder in folders if folder.name.lower() in SPLITS]
    names = {SPLITS[folder.name.lower()] for folder in splits}
    # A class may be called "test"; a folder with train and val or test in it is split.
    if len(splits) < len(folders) and not ("train" in names and len(names) > 1):
        return [("", folder) for folder in folders]
    others = [folder.name for folder in folders if folder not in splits]
    if others:
        raise InputError(
            f"{root}: beside train, val and test no other folder may stand, found {some_of(others)}"
        )
    found = [(SPLITS[split.name.lower()], folder) for split in splits for folder in _folders(split)]
    if not found:
        raise InputError(
            f"{root}: {some_of([split.name for split in splits])} must hold class folders, found none"
        )
    return found


def _folders(parent: Path) -> list[Path]:
    return sorted(entry for entry in parent.iterdir() if entry.is_dir() and not entry.name.startswith("."))


def walk(folder: Path) -> Iterator[tuple[Path, bool]]:
    """Yield each file below a class folder, and whether it is taken for frames."""

    def fail(error: OSError) -> None:  # os.walk would pass a folder over that it may not read
        raise error

    seen: set[str] = set()
    for here, below, names in os.walk(folder, onerror=fail, followlinks=True):
        real = os.path.realpath(here)
        if real in seen:  # a link that leads back
            below.clear()
            continue
        seen.add(real)
        below[:] = sorted(name for name in below if not name.startswith("."))
        present = set(names)
        for name in sorted(names):
            part = _EIGER_DATA.fullmatch(name)
            linked = part is not None and f"{part['series']}_master.h5" in present
            yield Path(here, name), is_frame_file(name) and not name.startswith(".") and not linked
