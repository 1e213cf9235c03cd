"""Masks of invalid pixels and limits of valid counts that an HDF5 file holds itself."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.data.format import Limits
from sweeper.data.formats._hdf5_find import text
from sweeper.data.formats._hdf5_links import Tree, identity
from sweeper.errors import FrameError

MASK_NAMES = ("pixel_mask", "mask", "mask_shared", "bad_pixels", "badpixels")

_CXI_GROUP = re.compile(r"/(entry|data|image|instrument|detector)_\d+/")
# NXmx: tags in the upper two bytes are no reason of their own to reject a pixel.
_NXMX_BAD = 0x0000FFFF
# CXI 1.6: all but in a peak, artefact corrected, peak for the hit finder, background corrected.
_CXI_BAD = ~(0x20 | 0x800 | 0x2000 | 0x4000)
_CUT_OFF = "countrate_correction_count_cutoff"  # DECTRIS's largest count that can be corrected
_MOST_PLAIN = 0.5  # share of pixels that a mask of no known convention may call invalid


@dataclass(frozen=True, eq=False)
class OwnMask:
    """A mask that lies beside frames.

    Attributes
    ----------
    dataset : h5py.Dataset
    per_shot : bool
        Whether it has an image for each shot.
    """

    path: str
    dataset: Any
    per_shot: bool

    def of(self, shot: tuple[int, ...], pixels: tuple[int, ...]) -> NDArray[np.bool_]:
        """Return the pixels that it calls invalid at a position, in the shape of one shot."""
        values = self.dataset[shot] if self.per_shot else self.dataset[()]
        return is_bad(self.path, np.asarray(values).reshape(pixels))


def is_bad(path: str, values: NDArray[Any]) -> NDArray[np.bool_]:
    """Return which pixels a mask calls invalid, by the convention of its place.

    Parameters
    ----------
    path : str
        Of the mask: ``pixel_mask`` is NXmx's, a mask of a CXI file has bits of its own.
    values : ndarray
    """
    bad: NDArray[np.bool_] = values != 0
    if values.dtype.kind in "iu":
        if path.endswith("/pixel_mask"):
            bad = (values.astype(np.int64) & _NXMX_BAD) != 0
        elif _CXI_GROUP.search(path):
            bad = (values.astype(np.int64) & _CXI_BAD) != 0
    return bad


def find_mask_file(tree: Tree) -> tuple[str, Any] | None:
    """Find the mask of a file that is given as one: the first dataset of :data:`MASK_NAMES`, or None."""
    found: dict[int, tuple[str, Any]] = {}
    for path, item in tree.walk():
        base = path.rsplit("/", 1)[-1].lower()
        if base in MASK_NAMES and hasattr(item, "chunks") and len(item.shape or ()) >= 2:
            found.setdefault(MASK_NAMES.index(base), (path, item))
    return found[min(found)] if found else None


def find_own_mask(
    tree: Tree, path: str, dataset: Any, pixels: tuple[int, ...], shots: tuple[int, ...]
) -> OwnMask | None:
    """Find the mask of a dataset of frames, beside it or in its detector's group.

    Parameters
    ----------
    tree : Tree
    path : str
    dataset : h5py.Dataset
    pixels : tuple of int
        Shape of one shot: (height, width), or with panels before.
    shots : tuple of int
        Shape of what counts shots.

    Raises
    ------
    FrameError
        A mask that fits no frame, or several that fit and differ.
    """
    misfit: tuple[str, Any] | None = None
    fitting: dict[tuple[int, int], OwnMask] = {}
    groups = detector_groups(tree, path, dataset)
    for where, group in groups:
        for name in MASK_NAMES:
            item = tree.get(group, name)
            if not hasattr(item, "chunks") or item.dtype.kind not in "iufb" or len(item.shape or ()) < 2:
                continue
            shape = item.shape
            stacked = (math.prod(pixels[:-1]), pixels[-1])
            if shape in ((*shots, *pixels),) and shots:
                fitting[identity(item)] = OwnMask(f"{where}/{name}", item, True)
            elif shape in (pixels, (1, *pixels), stacked):
                fitting[identity(item)] = OwnMask(f"{where}/{name}", item, False)
            else:
                misfit = misfit or (f"{where}/{name}", item)
                continue
            break  # the first name is the one that counts in a group
    if not fitting:
        if misfit is not None:
            raise FrameError(
                tree.source.path,
                f"its mask {misfit[0]} has the shape {misfit[1].shape}, a frame {pixels}; "
                "--ignore-file-mask reads the file without it",
            )
        return None
    masks = list(fitting.values())
    if len(masks) > 1 and not all(_equal(masks[0].dataset, each.dataset) for each in masks[1:]):
        names = ", ".join(sorted(mask.path for mask in masks))
        raise FrameError(
            tree.source.path, f"cannot tell which mask is that of {path}: {names}; --ignore-file-mask "
            "reads the file without"
        )  # fmt: skip
    return masks[0]


def _equal(a: Any, b: Any) -> bool:
    return bool(a.shape == b.shape and np.array_equal(a[()], b[()]))


def check_mask(tree: Tree, mask: OwnMask, invalid: NDArray[np.bool_]) -> None:
    """Refuse a mask that leaves nothing, or, of no known convention, little: ones may mean valid in it.

    Raises
    ------
    FrameError
    """
    known = mask.path.endswith("/pixel_mask") or _CXI_GROUP.search(mask.path)
    share = float(invalid.mean())
    if share == 1 or (share > _MOST_PLAIN and not known):
        raise FrameError(
            tree.source.path,
            f"its mask {mask.path} calls {100 * share:.0f} % of the pixels invalid (nonzero must mean "
            "invalid); --ignore-file-mask reads the file without it",
        )


def detector_groups(tree: Tree, path: str, dataset: Any) -> list[tuple[str, Any]]:
    """Return the groups that may hold the mask of a dataset: its own, and that of its detector."""
    parents = [path.rsplit("/", 1)[0]]
    groups = {where: tree.get(tree.file, where or "/") for where in parents}
    entry = "/" + path.strip("/").split("/")[0]
    detectors = dict(_detectors(tree, entry))
    mine = {
        where: group
        for where, group in detectors.items()
        if any(_is_same(tree, group, name, dataset) for name in ("data", path.rsplit("/", 1)[-1]))
    }
    chosen = mine or (detectors if not any(where in detectors for where in parents) else {})
    for where, group in chosen.items():
        groups.setdefault(where, group)
        inner = tree.get(group, "detectorSpecific")
        if hasattr(inner, "keys"):
            groups.setdefault(f"{where}/detectorSpecific", inner)
    return [(where, group) for where, group in groups.items() if hasattr(group, "keys")]


def _detectors(tree: Tree, entry: str) -> Iterator[tuple[str, Any]]:
    """Yield the groups of an entry that are detectors': NXdetector, or what stands in an instrument."""
    top = tree.get(tree.file, entry)
    if not hasattr(top, "keys"):
        return
    for name in top.keys():  # noqa: SIM118
        group = quiet(tree, top, name)
        if not hasattr(group, "keys"):
            continue
        if name.startswith("instrument") or _class(group) == "NXinstrument":
            for inner in group.keys():  # noqa: SIM118
                found = quiet(tree, group, inner)
                if hasattr(found, "keys") and _class(found) in ("", "NXdetector"):
                    yield f"{entry}/{name}/{inner}", found
        elif _class(group) == "NXdetector":
            yield f"{entry}/{name}", group


def quiet(tree: Tree, group: Any, name: str) -> Any:
    """Return what a path below a group leads to; None where it leads nowhere."""
    try:
        return tree.get(group, name)
    except FrameError:  # a broken link to something else
        return None


def _class(group: Any) -> str:
    return text(group.attrs["NX_class"]) if "NX_class" in group.attrs else ""


def _is_same(tree: Tree, group: Any, name: str, dataset: Any) -> bool:
    found = quiet(tree, group, name)
    return hasattr(found, "chunks") and identity(found) == identity(dataset)


# --------------------------------------------------------------------------- limits


def find_limits(tree: Tree, path: str, dataset: Any) -> Limits:
    """Return what a detector's group says of valid counts: saturation, underload, and the bit depth.

    The largest value of the bit depth is the sentinel of pixels without a count.
    """
    stated: dict[str, float] = {}
    for _, group in detector_groups(tree, path, dataset):
        for name in ("saturation_value", _CUT_OFF, "underload_value", "bit_depth_image"):
            number = _number(quiet(tree, group, name))
            if number is not None:
                stated.setdefault(name, number)
    highest = [stated[name] for name in ("saturation_value", _CUT_OFF) if stated.get(name, 0) > 0]
    if dataset.dtype.kind in "iu":
        bits = 8 * dataset.dtype.itemsize
        depth = (
            stated["bit_depth_image"] if "bit_depth_image" in stated else _sentinel_bits(tree, path, dataset)
        )
        if 1 < depth <= bits and (dataset.dtype.kind == "u" or depth < bits) and depth < 64:
            highest.append(2.0 ** int(depth) - 2)
    return Limits(stated.get("underload_value"), min(highest, default=None))


def _sentinel_bits(tree: Tree, path: str, dataset: Any) -> int:
    """Return the width of unsigned counts of a detector whose largest value is a sentinel, or 0."""
    bits = 8 * int(dataset.dtype.itemsize) if dataset.dtype.kind == "u" else 0
    return bits if bits and ("image_nr_low" in dataset.attrs or _is_nxmx(tree, path)) else 0


def _is_nxmx(tree: Tree, path: str) -> bool:
    definition = quiet(tree, tree.file, "/" + path.strip("/").split("/")[0] + "/definition")
    if hasattr(definition, "chunks") and definition.shape == ():
        return text(definition[()]) == "NXmx"
    entry = quiet(tree, tree.file, "/" + path.strip("/").split("/")[0])
    return (
        hasattr(entry, "keys") and "definition" in entry.attrs and text(entry.attrs["definition"]) == "NXmx"
    )


def _number(item: Any) -> float | None:
    if not hasattr(item, "chunks") or item.dtype.kind not in "iuf" or item.size != 1:
        return None
    number = float(np.asarray(item[()]).reshape(()))
    return number if math.isfinite(number) else None
