"""Which datasets of an HDF5 file hold the frames."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import numpy as np

from sweeper.data.formats._hdf5_links import Tree, identity
from sweeper.errors import FrameError

KNOWN_PATHS = (
    "/entry/data/data",
    "/entry_1/data_1/data",
    "/entry_1/image_1/data",
    "/entry_1/instrument_1/detector_1/data",
    "/entry/instrument/detector/data",
)
"""Where detectors and facilities write their frames (NeXus, CXI, Eiger, Lambda)."""

_DEEPEST_DEFAULT = 8  # a chain of `default` attributes that leads in a circle must end
_EIGER_LINK = re.compile(r"data_\d+")
_SHOWN = 6  # candidates in a message
_MIN_COLOUR_PX = 5  # sides of an image in colours: smaller ones are matrices
_MIN_NOTED_PX = 8  # sides of an array that somebody might take for frames

# Never frames, whatever their size: by the name of the dataset, or of any group above it.
_COMPANION = re.compile(
    r"mask|flat|gain|dark|pedestal|background|offset|error|sigma|weight|uncert|varian|std_?dev|_std$|^std$|_var$"
    r"|noise|bad_?pix|dead|efficien|solid_?angle|correction|calib|coord|geometry|position|distortion|vector|matrix"
    r"|look_?up|(^|_)map(s|$)|(^|_)q([xyzr]|_?map|_?grid|_?values)?$|(^|_)(chi|phi|theta|two_?theta|tth|azimuth\w*|polar\w*)$"
    r"|time(stamp)?s?$|thumbnail|preview|histogram|profile|spectr|integrat|radial|cake|(^|_)roi",
    re.IGNORECASE,
)
_OTHER_DETECTOR = re.compile(
    r"(^|[_-])(mca|xrf|sdd|xspress\d?|xsp\d?|xmap|falcon\w*|ketek|vortex|fluo\w*|spectr\w*|calib\w*|process\w*"
    r"|reduc\w*|integrat\w*|pyfai|preview\w*|thumbnail\w*)(\d|$|[_-])",
    re.IGNORECASE,
)
# Frames only where there is nothing else: made from frames.
_DERIVED = re.compile(r"sum|mean|average|avg|max|min|total|median|projection|result", re.IGNORECASE)
_DETECTOR = re.compile(
    r"detector|image|frame|picture|eiger|pilatus|jungfrau|agipd|lpd|epix|cspad|rayonix|mar(ccd|345|165)|lambda"
    r"|maxipix|mpx|medipix|merlin|timepix|mythen|percival|perkin|dexela|varex|pco|andor|basler|camera|ccd|excalibur"
    r"|xpad|rigaku|adsc|saxs|waxs",
    re.IGNORECASE,
)
_NO_IMAGE = ("spectrum", "scalar", "vertex", "scaler")
_OF_CURVES = re.compile(
    r"(q|two_?theta|tth|2th(eta)?|radial|energy|wavelength|channels?)(_|$)", re.IGNORECASE
)  # names of the last axis
_IMAGE = ("image", "rgb-image", "rgba-image", "hsl-image", "hsla-image", "cmyk-image")


@dataclass(frozen=True, eq=False)
class Found:
    """The datasets that hold a file's frames, one after the other.

    Attributes
    ----------
    parts : list of (str, h5py.Dataset)
        Path and dataset.
    note : str
        Which was taken, where the file has others that could have been meant.
    given : bool
        Whether a person said which.
    """

    parts: list[tuple[str, Any]]
    note: str = ""
    given: bool = False


def find_frames(tree: Tree) -> Found:
    """Find the datasets that hold the frames, several where an Eiger master links to its data files.

    In this order: what the reading names; NeXus's ``default`` attributes down to an NXdata and its
    ``signal``;
    an Eiger master's ``data_000001``, ...; :data:`KNOWN_PATHS`; of all others that could be images the one
    that
    is a detector's by its class or name, or, where none is, the only one.

    Raises
    ------
    FrameError
        None found, several that could be meant, or a link to what is not there.
    """
    if tree.source.reading.dataset is not None:
        return _named(tree, tree.source.reading.dataset)
    places = _by_default(tree) or _eiger(tree)
    if not places:
        places = [name for name in KNOWN_PATHS if _is_known(tree.get(tree.file, name))][:1]
    if not places:
        return _guess(tree)
    parts = [(name, _dataset(tree, name)) for name in places]
    twins = _twins(tree, parts)
    if twins:
        raise _ambiguous(tree, [*parts, *twins])
    if parts[0][1].ndim < 3:
        _check_no_stack_beside(tree, parts)
    return Found(parts)


def is_stack(item: Any) -> bool:
    """Return whether an object is an array of numbers with two axes or more."""
    return hasattr(item, "chunks") and len(item.shape or ()) >= 2 and item.dtype.kind in "iufcb"


def text(value: Any) -> str:
    """Return an attribute as text: HDF5 writers store bytes, strings, or arrays of one of them."""
    if isinstance(value, np.ndarray):
        value = value.flat[0] if value.size else ""
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def natural(name: str) -> list[Any]:
    """Return a key that sorts names with numbers in them as people do."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def colours(dataset: Any) -> int:
    """Return the number of values a pixel has along the last axis, 0 where that axis is one of the image."""
    shape = without_ones(dataset.shape)
    sides = shape[-3:-1]
    return shape[-1] if len(shape) >= 3 and shape[-1] in (3, 4) and min(sides) >= _MIN_COLOUR_PX else 0


def without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return a shape without trailing axes of 1 that follow an image."""
    while len(shape) > 2 and shape[-1] == 1:
        shape = shape[:-1]
    return shape


# --------------------------------------------------------------------------- by what the file says


def _dataset(tree: Tree, name: str) -> Any:
    found = tree.get(tree.file, name)
    assert found is not None
    return found


def _attribute(item: Any, name: str) -> str:
    try:
        return text(item.attrs[name]) if name in item.attrs else ""
    except (OSError, TypeError, ValueError, RuntimeError):  # of a type that numpy does not have
        return ""


def _by_default(tree: Tree) -> list[str]:
    """Return the path of an NXdata's signal, as NeXus's ``default`` attributes lead to it."""
    group, path = tree.file, ""
    for _ in range(_DEEPEST_DEFAULT):
        default = _attribute(group, "default")
        if not default:
            break
        below = tree.get(group, default)
        if not hasattr(below, "keys"):
            return []
        group, path = below, default if default.startswith("/") else f"{path}/{default}"
    signal = _attribute(group, "signal")
    name = f"{path}/{signal}"
    if not signal or not _is_known(tree.get(group, signal)):
        return []
    return _siblings(group, path, signal) if _EIGER_LINK.fullmatch(signal) else [name]


def _eiger(tree: Tree) -> list[str]:
    for name in ("/entry/data", "/entry/instrument/detector"):
        group = tree.get(tree.file, name)
        if hasattr(group, "keys") and "data" not in group.keys():  # noqa: SIM118
            links = _siblings(group, name, "data_1")
            if links:
                return links
    return []


def _siblings(group: Any, path: str, name: str) -> list[str]:
    """Return every name like ``data_000001`` in a group, in order."""
    assert _EIGER_LINK.fullmatch(name)
    return [f"{path}/{key}" for key in sorted(filter(_EIGER_LINK.fullmatch, group.keys()), key=natural)]


def _named(tree: Tree, name: str) -> Found:
    """Return the dataset that a person named; of a group its signal, or all of an Eiger's."""
    if "*" in name:
        pattern = "/" + name.strip("/")
        depth = pattern.count("/")
        parts = sorted(
            (each for each in _all(tree) if each[0].count("/") == depth and fnmatchcase(each[0], pattern)),
            key=lambda part: natural(part[0]),
        )
    else:
        found, path = tree.get(tree.file, name), "/" + name.strip("/")
        if hasattr(found, "keys"):
            names = [f"{path}/{_attribute(found, 'signal') or 'data'}"]
            if not hasattr(tree.get(tree.file, names[0]), "chunks"):
                names = _siblings(found, path, "data_1")
        else:
            names = [path] if found is not None else []
        parts = [(each, _dataset(tree, each)) for each in names]
    for path, dataset in parts:
        if not is_stack(dataset):
            raise FrameError(tree.source.path, f"{path} holds no frames: {_described(path, dataset)}")
    if not parts:
        there = _listed(_all(tree))
        raise FrameError(
            tree.source.path, f"has no dataset {name}; it has {there or 'none that could hold frames'}"
        )
    return Found(parts, given=True)


# --------------------------------------------------------------------------- by what it looks like


def _all(tree: Tree) -> list[tuple[str, Any]]:
    return [(path, item) for path, item in tree.walk() if is_stack(item)]


def _guess(tree: Tree) -> Found:
    ranked: list[tuple[int, str, Any]] = []
    broken: list[tuple[int, str, FrameError]] = []
    passed_over: list[tuple[str, Any]] = []
    for path, item in tree.walk():
        if isinstance(item, FrameError):
            broken.append((_path_rank(path, str(item)), path, item))
        elif is_stack(item):
            rank = _rank(tree, path, item)
            if rank is None:
                passed_over.append((path, item))
            else:
                ranked.append((rank, path, item))
    best = max((rank for rank, _, _ in ranked), default=-9)
    for rank, _, error in broken:
        if rank > 0 and rank >= best:
            raise error
    if not ranked:
        if broken:
            raise broken[0][2]
        what = f": not {_listed(passed_over)} by name or shape" if passed_over else ""
        advice = "; say which with --dataset PATH" if passed_over else ""
        raise FrameError(
            tree.source.path,
            f"holds no numeric dataset of two or more dimensions that could be frames{what}{advice}",
        )
    chosen = _without_sources(tree, [(path, item) for rank, path, item in ranked if rank == best])
    if len(chosen) > 1:
        raise _ambiguous(tree, chosen)
    others = [
        (path, item)
        for rank, path, item in ranked
        if rank != best and min(without_ones(item.shape)[-2:]) >= _MIN_NOTED_PX
    ]
    [(path, dataset)] = chosen
    twins = _twins(tree, chosen)
    if twins:
        raise _ambiguous(tree, [*chosen, *twins])
    note = f"frames are {path}, not {_listed(others)} (--dataset names another)" if others else ""
    return Found([(path, dataset)], note)


def _without_sources(tree: Tree, parts: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Return datasets without those that a virtual one among them is made of."""
    made_of = [
        re.compile(re.escape("/" + mapping.dset_name.strip("/")).replace("%b", r"\d+"))
        for _, item in parts
        if item.is_virtual
        for mapping in item.virtual_sources()
        if mapping.file_name == "."
    ]
    return [
        part for part in parts if part[1].is_virtual or not any(e.fullmatch(part[0]) for e in set(made_of))
    ]


def _rank(tree: Tree, path: str, dataset: Any) -> int | None:
    """Return how likely a dataset holds the frames, or None where it does not.

    3: it is a detector's by its class or its interpretation; 2: by its name; 1: it is an NXdata's signal;
    0: it has three axes or more; −1: two; −2: it is made from frames; −3: it is of bools or complex numbers.
    """
    *groups, name = path.strip("/").split("/")
    shape = without_ones(dataset.shape)
    if _COMPANION.search(name) or any(map(_OTHER_DETECTOR.search, groups)) or _is_no_image(dataset):
        return None
    if dataset.size == 0 or min(shape[-2:]) < 2 or not _is_own_data(dataset.parent, name):
        return None
    if dataset.dtype.kind not in "iuf":  # no counts, but a mask may be of bools
        return -3
    if _DERIVED.search(name):
        return -2
    interpretation = _attribute(dataset, "interpretation")
    parent = dataset.parent
    if interpretation in _IMAGE or (_attribute(parent, "NX_class") == "NXdetector" and name == "data"):
        return 3
    rank = _path_rank(path, "")
    if rank > 0:
        return 2
    if _attribute(parent, "signal") == name or _attribute(dataset, "signal") == "1":
        return 1
    return 0 if len(shape) > 2 else -1


def _path_rank(path: str, problem: str) -> int:
    """Return 2 where the path, or what a broken link on it leads to, is a detector's by its name; else 0."""
    *groups, name = path.strip("/").split("/")
    if _COMPANION.search(name) or any(map(_OTHER_DETECTOR.search, groups)):
        return 0
    target = problem.partition("links to")[2]
    return 2 if any(map(_DETECTOR.search, [*groups, name, target])) or (name == "data" and problem) else 0


def _is_known(item: Any) -> bool:
    """Return whether an object may hold frames where a file is known to have them."""
    return is_stack(item) and not _is_no_image(item)


def _is_no_image(dataset: Any) -> bool:
    """Return whether a file says that a dataset holds curves or is made by integrating images."""
    axes = _axes(dataset.parent)
    return _attribute(dataset, "interpretation") in _NO_IMAGE or bool(axes and _OF_CURVES.match(axes[-1]))


def _axes(group: Any) -> list[str]:
    axes = group.attrs.get("axes") if "axes" in group.attrs else None
    return [] if axes is None else [part for each in np.atleast_1d(axes) for part in text(each).split(":")]


def _is_own_data(group: Any, name: str) -> bool:
    """Return whether a dataset is neither an axis nor the uncertainties of another of its group."""
    if name.endswith("_errors") or name == "errors":
        return False
    return name not in _axes(group)


def _twins(tree: Tree, parts: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Return datasets like those found, at the same place in other entries: further scans of one detector."""
    path, dataset = parts[0]
    entry, _, below = path.strip("/").partition("/")
    if not below:
        return []
    known = {identity(item) for _, item in parts}
    twins = []
    for other in sorted(tree.file.keys(), key=natural):
        found = None if other == entry else tree.get(tree.file, f"/{other}/{below}")
        if found is None or not is_stack(found) or identity(found) in known:
            continue
        if found.shape[-2:] == dataset.shape[-2:]:
            twins.append((f"/{other}/{below}", found))
    return twins


def _check_no_stack_beside(tree: Tree, parts: list[tuple[str, Any]]) -> None:
    """Refuse a single image where the file also has a stack that is a detector's by its class."""
    known = {identity(item) for _, item in parts}
    others = [
        (path, item)
        for path, item in tree.walk()
        if is_stack(item) and item.ndim > 2 and identity(item) not in known and _rank(tree, path, item) == 3
    ]
    if others:
        raise _ambiguous(tree, [*parts, *others])


def _ambiguous(tree: Tree, parts: list[tuple[str, Any]]) -> FrameError:
    return FrameError(
        tree.source.path,
        f"cannot tell which dataset holds the frames: {_listed(parts)}; say which with --dataset PATH (* "
        "for any name), or with a column dataset in a manifest",
    )


def _listed(parts: list[tuple[str, Any]]) -> str:
    ordered = sorted(parts, key=lambda part: natural(part[0]))
    more = f" and {len(parts) - _SHOWN} more" if len(parts) > _SHOWN else ""
    return ", ".join(_described(path, item) for path, item in ordered[:_SHOWN]) + more


def _described(path: str, item: Any) -> str:
    shape = (
        " × ".join(map(str, item.shape)) if hasattr(item, "chunks") and item.shape is not None else "no array"
    )
    return f"{path} ({shape})"
