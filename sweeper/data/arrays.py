"""Data sets that are arrays in memory: checked, and written once as NPY files with a manifest."""

from __future__ import annotations

import csv
import hashlib
import math
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from sweeper.data import checks
from sweeper.data.frames import check_frame
from sweeper.data.listing import SPLITS, some_of
from sweeper.errors import FrameError, InputError, StoppedError

_MANIFEST = "manifest.csv"
_STACK = "frames.npy"
_COLOURS = 4
"""A last axis of up to so many is taken for the colours of one image where arrays are read."""


@dataclass(frozen=True, eq=False)
class FrameArrays:
    """Labelled frames in memory that make a data set; :func:`frame_arrays` makes one.

    Attributes
    ----------
    frames : list of integer or real, (height, width)
    columns : dict
        Text of each frame in the columns of a manifest: ``label``, and ``group`` and ``split`` where given.
    masks : list of (bool, (height, width), or None)
        True where a pixel is invalid, for each frame; empty where there are no masks.
    digest : str
        Of all of it.
    """

    frames: list[NDArray[Any]]
    columns: dict[str, list[str]]
    masks: list[NDArray[np.bool_] | None]
    digest: str

    def manifest(self, parent: Path) -> Path:
        """Return the manifest of the data set that :meth:`write` makes below a folder."""
        return parent / self.digest / _MANIFEST

    def write(self, parent: Path) -> None:
        """Write the data set into a folder of its own, unless it is there.

        The order of the frames stays. Frames of one shape and data type become one stack, others one file
        each, named by position.

        Raises
        ------
        StoppedError
            It cannot be written; nothing is left behind.
        """
        folder = self.manifest(parent).parent
        if folder.exists():
            return
        partial = parent / f".{self.digest}.{os.getpid()}.partial"
        try:
            partial.mkdir(parents=True)
            self._write(partial)
            partial.rename(folder)
        except OSError as error:
            if not folder.exists():  # else another process was faster
                raise StoppedError(f"{folder}: the frames cannot be written ({error.strerror})") from None
        finally:
            shutil.rmtree(partial, ignore_errors=True)

    def _write(self, folder: Path) -> None:
        rows = self._write_frames(folder)
        names = self._write_masks(folder)
        columns = {**self.columns, **({"mask": names} if names else {})}
        with (folder / _MANIFEST).open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["path", "frame", *columns])
            writer.writerows([*row, *more] for row, *more in zip(rows, *columns.values(), strict=True))
            _sync(file)

    def _write_frames(self, folder: Path) -> list[tuple[str, int]]:
        """Write the frames; return file and position of each."""
        first, n = self.frames[0], len(self.frames)
        alike = all(frame.shape == first.shape and frame.dtype == first.dtype for frame in self.frames)
        if alike and first.shape[1] > _COLOURS:
            _save(folder / _STACK, self.frames, (n, *first.shape))
            return [(_STACK, i) for i in range(n)]
        names = [f"{i:0{len(str(n - 1))}}.npy" for i in range(n)]
        for name, frame in zip(names, self.frames, strict=True):
            _save(folder / name, [frame], frame.shape)
        return [(name, 0) for name in names]

    def _write_masks(self, folder: Path) -> list[str]:
        """Write the distinct masks; return the file of each frame's mask, empty for none."""
        known: dict[bytes, str] = {}
        names = []
        for mask in self.masks:
            if mask is None:
                names.append("")
                continue
            key = str(mask.shape).encode() + np.packbits(mask).tobytes()
            if key not in known:
                known[key] = f"mask{len(known)}.npy"
                _save(folder / known[key], [mask], mask.shape)
            names.append(known[key])
        return names


def _save(path: Path, arrays: Sequence[NDArray[Any]], shape: tuple[int, ...]) -> None:
    """Write arrays, one after the other, as one of this shape in an NPY file."""
    header = {"descr": arrays[0].dtype.str, "fortran_order": False, "shape": shape}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for array in arrays:
            file.write(array.data)
        _sync(file)


def _sync(file: IO[Any]) -> None:
    """Have what was written on the disk itself: the folder is trusted once it has its name."""
    file.flush()
    os.fsync(file.fileno())


def frame_arrays(
    frames: Any, labels: Any, groups: Any = None, split: Any = None, mask: Any = None
) -> FrameArrays:
    """Check that arrays make a data set, as :func:`sweeper.data.dataset.load_dataset` checks files.

    Parameters
    ----------
    frames : array (n, height, width), or sequence of arrays (height, width)
        Integers of 8 to 64 bits or floats of 16 to 64.
    labels : sequence
        Class of each frame: a name, or a whole number.
    groups : sequence, optional
        Frames of equal group never stand on both sides of a split.
    split : sequence, optional
        ``train``, ``val`` or ``test`` for each frame; or ``test`` for some and nothing for the others.
    mask : array (height, width), or sequence of such arrays or None, optional
        Pixels that are not zero in it are invalid: of all frames, or of each.

    Raises
    ------
    InputError
        Names the parameter, the rule and the value.
    """
    listed = _checked_frames(frames)
    columns = {"label": _names("labels", labels, len(listed))}
    if groups is not None:
        columns["group"] = _names("groups", groups, len(listed))
    if split is not None:
        columns["split"] = _splits(split, len(listed))
    _check_dataset(columns)
    masks = [] if mask is None else _checked_masks(mask, listed)
    return FrameArrays(listed, columns, masks, _digest(listed, columns, masks))


# --------------------------------------------------------------------------- frames and masks


def _checked_frames(frames: Any) -> list[NDArray[Any]]:
    rule = "frames must be an array (n, height, width) or a list of arrays (height, width)"
    if isinstance(frames, str | os.PathLike):
        raise InputError(f"{rule}, got {str(frames)!r}; files are given as data")
    if hasattr(frames, "ndim"):
        _refuse_masked("frames", frames)
        stack = np.asarray(frames)
        if stack.ndim != 3:
            raise InputError(f"{rule}, got an array of shape {stack.shape}")
        if stack.shape[-1] in (3, _COLOURS):
            raise InputError(
                f"{rule}, got shape {stack.shape}: {stack.shape[-1]} values a pixel are a colour"
            )
        listed = list(stack)
    else:
        try:
            listed = [_array(f"frames[{i}]", frame) for i, frame in enumerate(frames)]
        except TypeError:
            raise InputError(f"{rule}, got {type(frames).__name__}") from None
        for i, frame in enumerate(listed):
            if frame.ndim != 2:
                raise InputError(f"frames[{i}] must be an array (height, width), got shape {frame.shape}")
    if not listed:
        raise InputError("frames must hold frames, got none")
    try:
        return [_little(check_frame(f"frames[{i}]", frame)) for i, frame in enumerate(listed)]
    except FrameError as error:
        raise InputError(str(error)) from None


def _array(name: str, value: Any) -> NDArray[Any]:
    if isinstance(value, str | os.PathLike):
        raise InputError(f"{name} must be an array (height, width), got {str(value)!r}")
    _refuse_masked(name, value)
    try:
        return np.asarray(value)
    except ValueError as error:  # rows of different lengths
        raise InputError(f"{name} must be an array (height, width): {error}") from None


def _refuse_masked(name: str, value: Any) -> None:
    if isinstance(value, np.ma.MaskedArray):
        raise InputError(f"{name} must be a plain array, got a masked one; give its mask as mask")


def _little(array: NDArray[Any]) -> NDArray[Any]:
    """Return an array in the byte order that its digest is taken of, without a copy where it is in it."""
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))


def _checked_masks(mask: Any, frames: Sequence[NDArray[Any]]) -> list[NDArray[np.bool_] | None]:
    if getattr(mask, "ndim", None) == 2:
        whole = _checked_mask("mask", mask, frames[0].shape)
        for i, frame in enumerate(frames):
            if frame.shape != whole.shape:
                raise InputError(
                    f"mask must have the shape of the frames, {whole.shape}, that of frames[{i}] is "
                    f"{frame.shape}; a list has one mask a frame"
                )
        return [whole] * len(frames)
    try:
        listed = list(mask)
    except TypeError:
        raise InputError(
            "mask must be an array (height, width), a list with one a frame, or the path of a file, got "
            f"{mask!r}"
        ) from None
    _check_length("mask", len(listed), len(frames))
    return [
        None if one is None else _checked_mask(f"mask[{i}]", one, frame.shape)
        for i, (one, frame) in enumerate(zip(listed, frames, strict=True))
    ]


def _checked_mask(name: str, mask: Any, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    values = _array(name, mask)
    if values.shape != shape:
        raise InputError(f"{name} must have the shape of the frame, {shape}, got {values.shape}")
    if values.dtype.kind not in "biuf":
        raise InputError(f"{name} must be of bools or numbers, got {values.dtype.name}")
    invalid = np.ascontiguousarray(values != 0)
    if invalid.all():
        raise InputError(f"{name} masks every pixel: nonzero must mean invalid")
    return invalid


# --------------------------------------------------------------------------- columns


def _names(name: str, values: Any, n: int) -> list[str]:
    """Return names or whole numbers as a manifest has them; each must be given."""
    texts = [_text(name, i, value) for i, value in enumerate(_values(name, values, n))]
    if without := [i for i, text in enumerate(texts) if not text]:
        raise InputError(f"{name} must be given for every frame, missing at {some_of(without)}")
    return texts


def _values(name: str, values: Any, n: int) -> list[Any]:
    """Return one plain value a frame."""
    if values is None or isinstance(values, str):
        raise InputError(f"{name} must have one value a frame, got {values!r}")
    shape = getattr(values, "shape", None)
    if shape is not None and len(shape) != 1:
        raise InputError(f"{name} must have one value a frame, got shape {tuple(shape)}")
    try:
        listed = list(values)
    except TypeError:
        raise InputError(f"{name} must have one value a frame, got {type(values).__name__}") from None
    _check_length(name, len(listed), n)
    return listed


def _check_length(name: str, found: int, n: int) -> None:
    if found != n:
        raise InputError(f"{name} must have one value a frame, {n}, got {found}")


def _text(name: str, i: int, value: Any) -> str:
    """Return a name or a whole number as text; empty for None and NaN."""
    if getattr(value, "shape", None) == ():  # a number of numpy or of another library
        value = value.item()
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer():  # as beside a NaN
        value = int(value)
    if not isinstance(value, str | int):
        raise InputError(f"{name} must be names or whole numbers, got {value!r} at {i}")
    text = str(value).strip()
    return "" if text.lower() == "nan" else text


def _splits(split: Any, n: int) -> list[str]:
    names = []
    for i, value in enumerate(_values("split", split, n)):
        text = _text("split", i, value).lower()
        if text and text not in SPLITS:
            raise InputError(f"split must be train, val or test, got {value!r} at {i}")
        names.append(SPLITS.get(text, ""))
    return names


def _check_dataset(columns: dict[str, list[str]]) -> None:
    """Check classes, groups and splits together, as those of files are."""
    classes, label = np.unique(columns["label"], return_inverse=True)
    split = np.array(columns.get("split", [""] * len(label)), dtype="U5")
    split = checks.complete_splits("split", split)
    checks.check_classes("labels", tuple(classes.tolist()), label, split)
    if "group" in columns:
        names, group = np.unique(columns["group"], return_inverse=True)
        checks.check_groups("groups", tuple(names.tolist()), group, split)


def _digest(
    frames: Sequence[NDArray[Any]],
    columns: dict[str, list[str]],
    masks: Sequence[NDArray[np.bool_] | None],
) -> str:
    hasher = hashlib.blake2b(digest_size=10)
    for array in (*frames, *masks):
        if array is None:
            hasher.update(b"none")
        else:
            hasher.update(f"{array.dtype.name}{array.shape}".encode())
            hasher.update(array.data)
    for name, texts in columns.items():
        for text in (name, *texts):
            hasher.update(f"{len(text)}:{text}".encode())
    return hasher.hexdigest()
