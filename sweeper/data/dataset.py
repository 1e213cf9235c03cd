"""A dataset: frames, labels, groups and splits; no pixels until they are asked for."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sweeper.data import checks, folders, manifest
from sweeper.data.format import DEFAULT_READING, Reading
from sweeper.data.formats import DATASET_MARK
from sweeper.data.frames import Counted, frame_counts
from sweeper.data.helping import checked_helping, helping_notes, with_helping
from sweeper.data.listing import Listing, some_of
from sweeper.data.masks import load_mask
from sweeper.data.names import alike_note
from sweeper.data.prepared import FrameRef
from sweeper.errors import BadFramesError, InputError

CountFrames = Callable[[Sequence[str], Reading], Sequence[Counted | str]]
"""Gives for each path its number of frames, or what is wrong: :func:`sweeper.data.frames.frame_counts`."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled frames in canonical order: by relative path, then by position in the file.

    Files that hold nothing but frames that help come after the others.

    That order depends neither on the file system's order or a manifest's nor on where the dataset lies.
    Arrays have one entry a frame, so that ten million frames stay small.

    Attributes
    ----------
    root : Path
        Absolute: the folder, or the manifest's.
    files : tuple of str
        Distinct files in order, relative to `root`.
    sizes : int64, (files,)
        Number of frames that each file holds, whether or not all are in the dataset.
    file : int64, (frames,)
        Position in `files`, ascending.
    index : int64, (frames,)
        Position in the file, from 0.
    labels : int64, (frames,)
        Position in `classes`.
    classes : tuple of str
        In order of name, which is the order of class weights.
    split : str, (frames,)
        ``train``, ``val`` or ``test`` for all frames, or empty for all of them.
    groups : int64, (frames,), or None
        Frames of equal number never stand on both sides of a split. Numbered as they first appear. Where
        whole domains are held out they are the domains. Where only some frames have groups, each other one
        is a group of its own.
    domain : int64, (frames,), or None
        Position of each frame's domain in `domain_names`, −1 where it is not known; None where a manifest
        names no domains.
    domain_names : tuple of str
        In the order in which they first appear.
    hold_out : bool
        Whether whole domains are held out.
    helping : bool, (frames,), or None
        Whether frames only help, see :mod:`sweeper.data.helping`; None where all are a person's own.
    mask_files : tuple of str
        Distinct mask files, absolute.
    mask : int64, (frames,)
        Position in `mask_files`, −1 for none.
    ignored : int
        Number of files that were passed over because their suffix is not that of frames.
    quarantined : tuple of (str, str)
        Name of each file or frame that was left out because it cannot be read, and the reason.
    reading : Reading
        How files are read.
    notes : tuple of str
        What a person should know, a line each: how files were taken where there was a choice, and labels or
        groups that look alike.
    """

    root: Path
    files: tuple[str, ...]
    sizes: NDArray[np.int64]
    file: NDArray[np.int64]
    index: NDArray[np.int64]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    split: NDArray[np.str_]
    groups: NDArray[np.int64] | None
    mask_files: tuple[str, ...]
    mask: NDArray[np.int64]
    ignored: int = 0
    quarantined: tuple[tuple[str, str], ...] = ()
    reading: Reading = DEFAULT_READING
    notes: tuple[str, ...] = ()
    domain: NDArray[np.int64] | None = None
    domain_names: tuple[str, ...] = ()
    hold_out: bool = False
    helping: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def paths(self) -> NDArray[np.object_]:
        """Absolute path of each frame's file, (frames,)."""
        absolute = np.array([os.path.normpath(self.root / name) for name in self.files], dtype=object)
        return absolute[self.file]

    @cached_property
    def names(self) -> NDArray[np.object_]:
        """Name of each frame for reports, (frames,): relative path, and ``#index`` in a stack."""
        names = np.array(self.files, dtype=object)[self.file]
        for row in np.flatnonzero(self.sizes[self.file] > 1):
            names[row] = f"{names[row]}#{self.index[row]}"
        return names

    @cached_property
    def masks(self) -> NDArray[np.object_]:
        """Absolute path of each frame's mask file, or None, (frames,)."""
        return np.array([*self.mask_files, None], dtype=object)[self.mask]

    @property
    def own(self) -> NDArray[np.bool_]:
        """Return which frames are a person's own, (frames,): those that do not only help."""
        return np.ones(len(self), dtype=np.bool_) if self.helping is None else ~self.helping

    @property
    def domains(self) -> NDArray[np.int64] | None:
        """Position of each frame's domain in `domain_names`, (frames,); None where none are held out."""
        return self.domain if self.hold_out else None

    def ref(self, row: int) -> FrameRef:
        """Return where one frame is, under the name that reports give it."""
        name = str(self.names[row])
        return FrameRef(self.paths[row], int(self.index[row]), self.masks[row], name, self.reading)

    def class_counts(self) -> dict[str, int]:
        """Return the number of frames of each class, in class order."""
        counts = np.bincount(self.labels, minlength=len(self.classes))
        return {name: int(count) for name, count in zip(self.classes, counts, strict=True)}

    def subset(self, keep: NDArray[np.bool_], quarantined: Sequence[tuple[str, str]] = ()) -> Dataset:
        """Return a dataset of some of the frames; the classes stay as they are.

        Parameters
        ----------
        keep : bool, (frames,)
        quarantined : sequence of (str, str)
            Name of each file or frame that is left out, and the reason, to be added to the record.

        Raises
        ------
        ValueError
            A class would lose all of its frames, or all of its training frames.
        """
        used, file = np.unique(self.file[keep], return_inverse=True)
        smaller = replace(
            self,
            files=tuple(self.files[position] for position in used),
            sizes=self.sizes[used],
            file=file.astype(np.int64),
            index=self.index[keep],
            labels=self.labels[keep],
            split=self.split[keep],
            groups=None if self.groups is None else self.groups[keep],
            domain=None if self.domain is None else self.domain[keep],
            helping=None if self.helping is None else self.helping[keep],
            mask=self.mask[keep],
            quarantined=(*self.quarantined, *quarantined),
        )
        checks.check_classes(str(self.root), smaller.classes, smaller.labels, smaller.split)
        return smaller

    def digest(self, frame_digests: Sequence[str]) -> str:
        """Return a digest of frames, label names, groups, splits and who helps: 32 characters.

        It depends neither on where the dataset lies nor on the names of groups.

        Parameters
        ----------
        frame_digests : sequence of str, (frames,)
            :attr:`sweeper.data.frames.FrameReport.digest` of each frame.
        """
        if len(frame_digests) != len(self):
            raise InputError(f"frame_digests must be one a frame, {len(self)}, got {len(frame_digests)}")
        hasher = hashlib.blake2b(digest_size=16)
        for text in self.classes:
            hasher.update(f"{len(text)}:{text}".encode())
        groups = np.full(len(self), -1) if self.groups is None else _numbered(self.groups)
        for frame, label, group, split in zip(frame_digests, self.labels, groups, self.split, strict=True):
            hasher.update(f"\n{frame} {label} {group} {split}".encode())
        if self.helping is not None:
            hasher.update(np.packbits(self.helping).tobytes())
        return hasher.hexdigest()


def load_dataset(
    data: str | Path,
    *,
    mask: str | Path | None = None,
    allow_outside: bool = False,
    skip_bad: bool = False,
    group_by: str | None = None,
    hold_out: str | None = None,
    helping: str | Path | None = None,
    counter: CountFrames = frame_counts,
    reading: Reading = DEFAULT_READING,
) -> Dataset:
    """List the frames of a dataset and check that it makes sense; headers are read, pixels are not.

    Parameters
    ----------
    data : str or Path
        A folder of classes (``DATA/<class>/...``), a folder of ``train``, ``val`` (``valid``,
        ``validation``) and ``test`` with class folders in each, or a CSV or Parquet manifest with the
        columns ``path`` and ``label`` and optionally ``split``, ``group``, ``domain``, ``helping``,
        ``frame``, ``mask`` and ``dataset``.
        A manifest that marks some frames ``test`` and leaves the rest empty has those for training.
    mask : str or Path, optional
        Mask file of all frames for which a manifest names none, but for those that help.
    allow_outside : bool
        Whether a manifest may name files outside its folder.
    skip_bad : bool
        Leave out files that are missing or cannot be read, and record them in
        :attr:`Dataset.quarantined`, instead of raising :class:`BadFramesError`.
    group_by : {"file", "folder"}, optional
        What the groups are, for data that name none; frames that help keep theirs.
    hold_out : {"domain"}, optional
        Make the domains that a manifest names the groups, so that splits leave out whole ones.
    helping : str or Path, optional
        A folder or manifest like `data`, whose frames all help; its splits are passed over.
    counter : callable
        Counts the frames of files; give one that works in parallel for very many files.
    reading : Reading
        How files are read; a dataset that a manifest names goes first.

    Raises
    ------
    BadFramesError
        Files that are missing or unreadable, or frames that a file does not hold; it lists all of them.
    ValueError
        Anything else that is wrong, in one line with file or parameter, rule and value.
    """
    # Not resolved: a dataset that is reached by a link keeps its name. Links matter to manifests alone.
    source = Path(os.path.abspath(data))  # noqa: PTH100
    listing = _read_listing(source, allow_outside)
    if helping is not None:
        helper = Path(os.path.abspath(helping))  # noqa: PTH100  as above
        try:
            listing = with_helping(listing, _read_listing(helper, allow_outside))
        except InputError as error:
            raise InputError(f"--helping {error}") from None
    listing = checked_helping(str(source), listing)
    if hold_out is not None:
        listing = _by_domain(source, listing)
    mask_path = None if mask is None else _checked_mask(Path(mask))
    dataset, problems = _expand(listing, mask_path, counter, reading)
    if problems and not skip_bad:
        raise BadFramesError(str(source), problems)
    name = str(source)
    checks.check_duplicates(name, dataset.files, dataset.file, dataset.index)
    split = checks.complete_splits(name, dataset.split)
    checks.check_classes(name, dataset.classes, dataset.labels, split)
    group_names = listing.group_names
    if group_by is not None:
        if dataset.groups is not None and (dataset.groups[dataset.own] >= 0).any():
            raise InputError(f"--group-by {group_by}: {name} has groups of its own, leave the option out")
        group_names, groups = _grouped_by(group_by, dataset, group_names)
        dataset = replace(dataset, groups=groups)
    if dataset.groups is not None:
        group_names, groups = _each_its_own(dataset.groups, group_names)
        checks.check_groups(name, group_names, groups, split)
        dataset = replace(dataset, groups=_numbered(groups))
    alike = alike_note("labels", dataset.classes), alike_note("groups", listing.group_names)
    helped = helping_notes(dataset.labels, dataset.helping, dataset.classes)
    notes = (*dataset.notes, *(note for note in alike if note), *helped)
    return replace(
        dataset, split=split, quarantined=tuple(problems), notes=notes, hold_out=hold_out is not None
    )


# --------------------------------------------------------------------------- building


def _read_listing(source: Path, allow_outside: bool) -> Listing:
    try:
        if not source.exists():
            raise InputError(f"{source}: data must be an existing folder or manifest, there is no such file")
        if source.is_dir():
            return folders.list_folder(source)
        if source.suffix.lower() in manifest.SUFFIXES:
            return manifest.read_manifest(source, allow_outside)
    except OSError as error:
        raise InputError(f"{source}: data must be readable: {error}") from error
    raise InputError(f"{source}: data must be a folder or a .csv or .parquet manifest, got {source.suffix!r}")


def _by_domain(source: Path, listing: Listing) -> Listing:
    """Make domains the groups of a listing; InputError where they are not known, or torn by its groups."""
    if listing.domain is None:
        raise InputError(f"{source}: --hold-out domain needs a manifest with a column domain, there is none")
    names = np.array(listing.domain_names, dtype=object)
    own = np.ones(len(listing.file), dtype=np.bool_) if listing.helping is None else ~listing.helping
    empty = _is_nameless(listing.domain, listing.domain_names)
    if (empty & own).any():
        raise InputError(
            f"{source}: domain must be given in every row, {int((empty & own).sum())} have none: row "
            + some_of([int(row) + 1 for row in np.flatnonzero(empty & own)])
        )
    if len(several := np.unique(listing.domain[own])) < 2:
        raise InputError(
            f"{source}: --hold-out domain needs two domains or more, all are {names[several[0]]!r}"
        )
    if listing.group is not None:
        known = (listing.group >= 0) & ~empty
        pairs = np.unique(np.stack([listing.group, listing.domain])[:, known], axis=1)  # (2, pairs)
        torn = np.flatnonzero(np.diff(pairs[0]) == 0)
        if torn.size:
            group, domain = pairs[:, torn[0]]
            raise InputError(
                f"{source}: a group must come from one domain, group {listing.group_names[group]!r} is in "
                f"{names[domain]!r} and {names[pairs[1, torn[0] + 1]]!r}"
            )
    group = np.where(empty, -1, listing.domain)
    return replace(listing, group=group, group_names=listing.domain_names)


def _checked_mask(path: Path) -> str:
    load_mask(path)
    return os.path.abspath(path)  # noqa: PTH100  as above


def _expand(
    listing: Listing, mask: str | None, counter: CountFrames, reading: Reading
) -> tuple[Dataset, list[tuple[str, str]]]:
    """Return the frames of rows in canonical order, and the problems of those that are left out."""
    sizes, problems, notes = _sizes(listing, counter, reading)
    size = sizes[listing.file]
    beyond = np.flatnonzero((size > 0) & (listing.frame >= size))
    problems += [
        (
            f"{listing.files[listing.file[row]]}#{listing.frame[row]}",
            f"frame must be from 0 to {size[row] - 1}, got {listing.frame[row]}",
        )
        for row in beyond
    ]
    repeats = np.where(listing.frame < 0, size, listing.frame < size)  # 0 for what is left out
    row = np.repeat(np.arange(len(repeats)), repeats)
    within = np.arange(len(row)) - np.repeat(np.cumsum(repeats) - repeats, repeats)
    index = np.where(listing.frame[row] < 0, within, listing.frame[row])
    # Sorting the few files once leaves integers to sort the frames by.
    helps = _only_help(listing)
    in_order = np.array(
        sorted(range(len(listing.files)), key=lambda i: (helps[i], listing.files[i])), dtype=np.int64
    )
    rank = np.empty_like(in_order)
    rank[in_order] = np.arange(len(in_order))
    order = np.lexsort((index, rank[listing.file[row]]))
    row, index = row[order], index[order]
    mask_files, masks = _with_default_mask(listing, mask)
    domain, domain_names = _domains(listing, row)
    used, file = np.unique(rank[listing.file[row]], return_inverse=True)
    dataset = Dataset(
        root=listing.root,
        files=tuple(listing.files[in_order[position]] for position in used),
        sizes=sizes[in_order[used]],
        file=file.astype(np.int64),
        index=index.astype(np.int64),
        labels=listing.label[row],
        classes=listing.classes,
        split=listing.split[row],
        groups=None if listing.group is None else listing.group[row],
        mask_files=mask_files,
        mask=masks[row],
        ignored=listing.ignored,
        reading=reading,
        notes=notes,
        domain=domain,
        domain_names=domain_names,
        helping=None if listing.helping is None else listing.helping[row],
    )
    return dataset, problems


def _only_help(listing: Listing) -> NDArray[np.bool_]:
    """Return which files hold nothing but frames that help, (files,)."""
    if listing.helping is None:
        return np.zeros(len(listing.files), dtype=np.bool_)
    own = np.bincount(listing.file[~listing.helping], minlength=len(listing.files))
    return np.asarray(own == 0)


def _domains(listing: Listing, row: NDArray[np.int64]) -> tuple[NDArray[np.int64] | None, tuple[str, ...]]:
    """Return the domain of the frame that comes of each row, −1 where it is not known, and the names."""
    if listing.domain is None:
        return None, ()
    number = listing.domain[row]
    known = ~_is_nameless(number, listing.domain_names)
    domain = np.full(len(row), -1, dtype=np.int64)
    domain[known] = _numbered(number[known])
    first = np.sort(np.unique(number[known], return_index=True)[1])
    return domain, tuple(listing.domain_names[n] for n in number[known][first].tolist())


def _is_nameless(number: NDArray[np.int64], names: Sequence[str]) -> NDArray[np.bool_]:
    """Return which positions in some names are those of an empty one, or −1."""
    nameless = [name == "" or name.lower() == "nan" for name in names]
    return np.asarray(np.array([*nameless, True], dtype=np.bool_)[number])


def _sizes(
    listing: Listing, counter: CountFrames, reading: Reading
) -> tuple[NDArray[np.int64], list[tuple[str, str]], tuple[str, ...]]:
    """Return the number of frames of each file, 0 for one with a problem; the problems; and notes."""
    missing = {name for name, _ in listing.problems}
    problems = list(listing.problems)
    present = [i for i, name in enumerate(listing.files) if name not in missing]
    counts = counter([os.path.normpath(listing.root / listing.files[i]) for i in present], reading)
    sizes = np.zeros(len(listing.files), dtype=np.int64)
    for i, count in zip(present, counts, strict=True):
        if isinstance(count, str):
            problems.append((listing.files[i], count))
        else:
            sizes[i] = count.count
    notes = Counter(count.note for count in counts if isinstance(count, Counted) and count.note)
    return sizes, sorted(problems), tuple(f"{n} file{'s' * (n > 1)}: {note}" for note, n in notes.items())


def _with_default_mask(listing: Listing, mask: str | None) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    masks = np.full(len(listing.file), -1, dtype=np.int64) if listing.mask is None else listing.mask
    if mask is None:
        return listing.mask_files, masks
    lacking = masks < 0
    if listing.helping is not None:  # frames of another detector
        lacking &= ~listing.helping
    return (*listing.mask_files, mask), np.where(lacking, len(listing.mask_files), masks)


def _each_its_own(
    groups: NDArray[np.int64], names: Sequence[str]
) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Return names and numbers of groups where each frame without one, −1, is a group of its own."""
    without = np.flatnonzero(groups < 0)
    groups = groups.copy()
    groups[without] = len(names) + np.arange(len(without))
    return (*names, *(f"frame {row}" for row in without.tolist())), groups


def _grouped_by(
    what: str, dataset: Dataset, known: Sequence[str]
) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Return names of groups, and which each frame belongs to, (frames,): the one that it has, among those
    `known`, or its file, or the folder of that.
    """
    groups = [name.partition(DATASET_MARK)[0] for name in dataset.files]
    if what == "folder":
        groups = [name.rpartition("/")[0] for name in groups]
    names, group_of = np.unique(np.array(groups, dtype=object).astype(str), return_inverse=True)
    found = group_of.astype(np.int64)[dataset.file]
    if dataset.groups is not None:
        found = np.where(dataset.groups < 0, len(known) + found, dataset.groups)
    return (*known, *names.tolist()), found


def _numbered(groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return groups numbered in the order in which they first appear."""
    _, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse]
