"""The content of a simulated data set: frames of each class, parts, and shards that are written as one."""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

from sweeper.errors import InputError
from sweeper.simulate import simulators

FORMATS = {"tiff": ".tif", "hdf5": ".h5"}
"""Formats that frames can be written in, and their suffixes."""
PARTS = ("train", "val", "test")
SMALLEST_PX, LARGEST_PX = 64, 4096

_MOST_FRAMES = 100  # in a shard: the most that is drawn again after an interruption
_SHARD_BYTES = 64 * 2**20  # of a shard, at four bytes a count


@dataclass(frozen=True)
class Simulation:
    """A data set to be simulated; :func:`simulation` makes and checks it.

    Attributes
    ----------
    kind : str
        A key of :data:`sweeper.simulate.simulators.KINDS`.
    per_class : dict
        Label to number of frames.
    size, seed : int
    format : {"tiff", "hdf5"}
    shares : (float, float, float) or None
        Shares of train, val and test, summing to 1; None for a set that is not split.
        options : dict
            Options of the simulator, ready for its `draw`.
        identity : dict
            Columns of the manifest that tell this simulation from others.
    """

    kind: str
    per_class: Mapping[str, int]
    size: int
    seed: int
    format: str = "tiff"
    shares: tuple[float, float, float] | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    identity: Mapping[str, str] = field(default_factory=dict)

    @property
    def frames(self) -> int:
        """Number of all frames."""
        return sum(self.per_class.values())

    def draw(self, label: str, index: int) -> simulators.Drawn:
        """Draw one frame, as a pure function of the arguments."""
        return simulators.load(self.kind).draw(label, index, self.seed, self.size, **self.options)


@dataclass(frozen=True)
class Shard:
    """Frames of one class and part that one process draws and writes.

    Attributes
    ----------
    label : str
    part : str
        ``train``, ``val``, ``test``, or empty.
    number : int
        Position among the shards of its class and part.
    indices : tuple of int
        Indices of the frames in their class.
    """

    label: str
    part: str
    number: int
    indices: tuple[int, ...]

    def files(self, format_: str) -> list[tuple[str, int | None]]:
        """Return each frame's path below the set's folder and position in the file (None: alone in it)."""
        folder = f"{self.part}/{self.label}" if self.part else self.label
        suffix = FORMATS[format_]
        if format_ == "hdf5":
            path = f"{folder}/{self.label}_{self.number:05d}{suffix}"
            return [(path, position) for position in range(len(self.indices))]
        return [(f"{folder}/{self.label}_{index:05d}{suffix}", None) for index in self.indices]

    def digest(self, simulation: Simulation) -> str:
        """Return 16 characters that tell the shard from that of any other simulation."""
        text = repr((self, simulation.format, sorted(simulation.identity.items())))
        return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def simulation(
    kind: str,
    per_class: int | Mapping[str, int],
    size: int,
    seed: int,
    *,
    format_: str = "tiff",
    shares: Sequence[float] | None = None,
    **options: Any,
) -> Simulation:
    """Return the simulation that is asked for, checked.

    Parameters
    ----------
    kind : str
        A key of :data:`sweeper.simulate.simulators.KINDS`.
    per_class : int or dict
        Frames of each class, or a number for each label; classes without a number are left out.
    size : int
        Pixels along an edge, 64 to 4096.
    seed : int
    format_ : {"tiff", "hdf5"}
    shares : three floats, optional
        Shares of train, val and test, in any unit.
    **options
        Options of the kind.

    Raises
    ------
    InputError
        If a value is out of range.
    """
    simulator = simulators.load(kind)
    counts = _checked_counts(per_class, simulator.labels, simulator.by_name)
    if seed < 0:
        raise InputError(f"simulate: seed must be a whole number of at least 0, got {seed}")
    if not SMALLEST_PX <= size <= LARGEST_PX:
        raise InputError(f"simulate: size must be from {SMALLEST_PX} to {LARGEST_PX} pixels, got {size}")
    if format_ not in FORMATS:
        raise InputError(f"simulate: format must be one of {', '.join(FORMATS)}, got {format_!r}")
    ready, identity = simulator.prepare(**options)
    identity = {"simulator": simulator.name, "seed": str(seed), "size_px": str(size), **identity}
    return Simulation(kind, counts, size, seed, format_, _checked_shares(shares), ready, identity)


def _checked_counts(
    per_class: int | Mapping[str, int], labels: Sequence[str], by_name: Sequence[str]
) -> dict[str, int]:
    counts = dict.fromkeys(labels, per_class) if isinstance(per_class, int) else dict(per_class)
    known = (*labels, *by_name)
    for label, count in counts.items():
        if label not in known:
            raise InputError(f"simulate: per-class must name classes of {', '.join(known)}, got {label!r}")
        if count < 1:
            raise InputError(f"simulate: per-class must be a whole number of at least 1, got {count}")
    return counts


def _checked_shares(shares: Sequence[float] | None) -> tuple[float, float, float] | None:
    if shares is None:
        return None
    total = sum(shares)
    good = len(shares) == len(PARTS) and all(math.isfinite(s) and s >= 0 for s in shares)
    if not good or total <= 0 or shares[0] <= 0:
        shown = "/".join(f"{share:g}" for share in shares)
        raise InputError(
            f"simulate: split must be three shares, none negative and some for train, got {shown}"
        )
    return shares[0] / total, shares[1] / total, shares[2] / total


def parse_shares(text: str) -> list[float]:
    """Return shares from ``40/9.6/50.4``, ``40:9.6:50.4`` or ``40,9.6,50.4``."""
    try:
        return [float(share) for share in re.split("[/:,]", text)]
    except ValueError:
        raise InputError(f"simulate: split must be like 40/9.6/50.4, got {text!r}") from None


def parse_counts(text: str) -> int | dict[str, int]:
    """Return frames per class from ``60``, or by label from ``weak=40,good=20``."""
    if re.fullmatch(r"[+-]?\d+", text):
        return int(text)
    pairs = [re.fullmatch(r"\s*([^=]+?)\s*=\s*(\d+)\s*", pair) for pair in text.split(",")]
    counts = {pair[1]: int(pair[2]) for pair in pairs if pair}
    if len(counts) < len(pairs):
        raise InputError(f"simulate: per-class must be a number, or like weak=40,good=20, got {text!r}")
    return counts


# --------------------------------------------------------------------------- parts and shards


def shards(wanted: Simulation) -> list[Shard]:
    """Return all shards, the classes in turn, so that an interrupted set holds frames of every class."""
    most = max(1, min(_MOST_FRAMES, _SHARD_BYTES // (4 * wanted.size**2)))
    columns: list[list[Shard]] = []
    for part, indices in _by_part(wanted):
        for label in wanted.per_class:
            own = indices[label]
            runs = [own[start : start + most] for start in range(0, len(own), most)]
            columns.append([Shard(label, part, n, tuple(run)) for n, run in enumerate(runs)])
    return [shard for row in zip_longest(*columns) for shard in row if shard is not None]


def _by_part(wanted: Simulation) -> Iterator[tuple[str, dict[str, list[int]]]]:
    """Yield each part with the indices of its frames by class."""
    if wanted.shares is None:
        yield "", {label: list(range(count)) for label, count in wanted.per_class.items()}
        return
    parts = _assign(wanted, wanted.shares)
    for part, share in zip(PARTS, wanted.shares, strict=True):
        indices = {label: parts[part, label] for label in wanted.per_class}
        empty = [label for label, own in indices.items() if not own]
        if share > 0 and empty:
            raise InputError(
                f"simulate: split must leave a frame of every class in {part}, "
                f"but leaves none of {', '.join(empty)}: ask for more frames per class"
            )
        yield part, indices


def _assign(wanted: Simulation, shares: Sequence[float]) -> dict[tuple[str, str], list[int]]:
    """Return indices by part and class; frames of one group stay together, large groups are placed first.

    A group goes where most of its frames are still missing. Where every frame is its own group, each class
    gets the exact shares, rounded by largest remainder.
    """
    missing = Counter(
        {
            (part, label): n
            for label, count in wanted.per_class.items()
            for part, n in zip(PARTS, _rounded(count, shares), strict=True)
        }
    )
    open_parts = [part for part, share in zip(PARTS, shares, strict=True) if share > 0]
    found: dict[tuple[str, str], list[int]] = {
        (part, label): [] for part in PARTS for label in wanted.per_class
    }
    for members in sorted(_groups(wanted), key=len, reverse=True):
        sizes = Counter(label for label, _ in members)

        def fit(part: str, sizes: Counter[str] = sizes) -> tuple[int, int]:
            left = [missing[part, label] for label in sizes]
            return sum(map(min, sizes.values(), left)), sum(left)

        best = max(open_parts, key=fit)
        for label, index in members:
            found[best, label].append(index)
            missing[best, label] -= 1
    return {key: sorted(indices) for key, indices in found.items()}


def _groups(wanted: Simulation) -> list[list[tuple[str, int]]]:
    """Return lists of frames (label, index) that stay together, in order of their first frame."""
    group_of = simulators.load(wanted.kind).group_of
    frames = [(label, index) for label, count in wanted.per_class.items() for index in range(count)]
    if group_of is None:
        return [[frame] for frame in frames]
    groups: dict[str, list[tuple[str, int]]] = {}
    for label, index in frames:
        groups.setdefault(group_of(label, index, wanted.seed), []).append((label, index))
    return list(groups.values())


def _rounded(count: int, shares: Sequence[float]) -> list[int]:
    """Return whole numbers near `count` times `shares` that sum to `count`: the largest remainders go up."""
    exact = [count * share for share in shares]
    whole = [math.floor(value + 1e-9) for value in exact]
    by_remainder = sorted(range(len(shares)), key=lambda i: whole[i] - exact[i])
    for i in by_remainder[: count - sum(whole)]:
        whole[i] += 1
    return whole
