"""A model at work: frames to classes, probabilities and what is accepted of them. No Ray, no run folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.data.dataset import Dataset
from sweeper.data.frames import check_frame, combine_masks, open_frames
from sweeper.data.masks import kept_mask
from sweeper.data.prepared import FrameRef, RawFrame, raw_frame, read_raw
from sweeper.errors import FrameError, InputError
from sweeper.evaluate.calibration import Calibrator
from sweeper.evaluate.ensembles import blend
from sweeper.evaluate.folds import FittedPipeline, native_threads
from sweeper.features.representation import Kind, NetworkFeatures
from sweeper.pipeline import Pipeline, canonical_json
from sweeper.sorter.files import Unit, check_paths, find_units
from sweeper.sorter.outline import STRANGER, UNREADABLE, UNSURE, Outline
from sweeper.sorter.strangers import Signs, count_statistics

_Frame = tuple[FrameRef, RawFrame | FrameError]

_BATCH = 64  # frames that are classified together: a forest takes as long for one as for many


@dataclass(frozen=True, eq=False)
class Part:
    """A fitted pipeline, and what it counts in an ensemble.

    Attributes
    ----------
    pipeline : Pipeline
    kinds : tuple of Representation
        One a featurizer of the pipeline, with what it was fitted on frames.
    fitted : FittedPipeline
    weight : float
        1 for a pipeline that stands alone.
    sharpness : float
        Of its scores: see :func:`sweeper.evaluate.ensembles.sharpness_of`.
    """

    pipeline: Pipeline
    kinds: tuple[Kind, ...]
    fitted: FittedPipeline
    weight: float = 1.0
    sharpness: float = float("nan")

    @cached_property
    def intensity(self) -> str:
        """Return text that parts share whose frames are prepared alike."""
        return canonical_json(self.pipeline.intensity)

    @cached_property
    def representations(self) -> tuple[str, ...]:
        """Return for each of `kinds` text that those share which give the same features."""
        heads = [isinstance(kind, NetworkFeatures) and kind.n_logits for kind in self.kinds]
        singles = self.pipeline.singles
        return tuple(f"{head} {one.representation}" for head, one in zip(heads, singles, strict=True))


@dataclass(frozen=True, eq=False)
class Look:
    """The features and signs of a frame by which it is classified, without its pixels.

    Attributes
    ----------
    shape : (int, int)
        Height and width as it was read.
    statistics : float64, (9,)
        See :func:`sweeper.sorter.strangers.count_statistics`.
    features : tuple of float64, (d,)
        One a part.
    """

    shape: tuple[int, int]
    statistics: NDArray[np.float64]
    features: tuple[NDArray[np.float64], ...]


@dataclass(frozen=True)
class Verdict:
    """The answer of a model for a frame.

    Attributes
    ----------
    path : str
        Of its file; empty for an array.
    frame : int
        Position in the file, or among the arrays.
    label : str
        Its class; empty for a frame that cannot be read.
    probabilities : tuple of float
        One a class, in the order of the model's classes; NaN for a frame that cannot be read.
    accepted : bool
    reason : str
        Why it is not accepted, and empty where it is: ``unsure``, ``stranger: ...`` or ``unreadable: ...``.
    keep : bool or None
        Whether it is kept by the promise not to miss some classes; None without such a promise. What cannot
        be read or is a stranger is kept.
    """

    path: str
    frame: int
    label: str
    probabilities: tuple[float, ...]
    accepted: bool
    reason: str
    keep: bool | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class Model(Outline):
    """An exported pipeline or ensemble.

    Attributes
    ----------
    parts : tuple of Part
        The heaviest first.
    calibrator : Calibrator
    signs : Signs
    mask : bool, (height, width), or None
        Mask of the detector.
    """

    parts: tuple[Part, ...]
    calibrator: Calibrator
    signs: Signs
    mask: NDArray[np.bool_] | None = None

    @property
    def networks(self) -> list[NetworkFeatures]:
        """The representations that are read from networks."""
        return [kind for part in self.parts for kind in part.kinds if isinstance(kind, NetworkFeatures)]

    # ------------------------------------------------------------------ what people call

    def predict(self, frames: Any) -> NDArray[np.str_]:
        """Return the class of each frame, (n,): the most probable one, or by costs the one that costs least.

        Parameters
        ----------
        frames : array (n, height, width), sequence of arrays or paths, path, or Dataset
            An array (height, width) is one frame. A path is a file, a folder of frames or of classes, or a
            manifest.

        Raises
        ------
        FrameError
            A frame that cannot be read or used.
        InputError
            `frames` is none of these.
        """
        names = np.array(self.classes, dtype=np.str_)
        return np.asarray(names[self.thresholds.decide(self.predict_proba(frames))])

    def predict_proba(self, frames: Any) -> NDArray[np.float64]:
        """Return the calibrated probability of each class, (n, n_classes); parameters as :meth:`predict`."""
        found = [np.zeros((0, len(self.classes)))]
        for batch in _batches(self.raw_frames(frames)):
            found.append(self.probabilities([self.look(_good(raw)) for _, raw in batch]))
        return np.concatenate(found)

    def accept(self, frames: Any) -> list[Verdict]:
        """Return what the model says of each frame, and whether that is accepted.

        Parameters as :meth:`predict`. A frame that cannot be read or used is a verdict too, and no error.
        ``pandas.DataFrame(model.accept(frames))`` is a table.
        """
        found: list[Verdict] = []
        for batch in _batches(self.raw_frames(frames)):
            found += self.judge([(ref.path, ref.index, self.looked(raw)) for ref, raw in batch])
        return found

    # ------------------------------------------------------------------ frames

    def raw_frames(self, frames: Any) -> Iterator[_Frame]:
        """Yield frames as they were counted, or why one cannot be read; parameters as :meth:`predict`."""
        if isinstance(frames, Dataset):
            for ref in map(frames.ref, range(len(frames))):
                yield ref, self.read(ref)
        elif isinstance(frames, str | Path):
            yield from self._at([frames])
        elif isinstance(frames, Sequence) and any(isinstance(item, str | Path) for item in frames):
            yield from self._at(frames)
        else:
            for raw in _arrays(frames):
                yield raw.ref, self._checked(raw)

    def _at(self, paths: Sequence[str | Path]) -> Iterator[_Frame]:
        given = [str(path) for path in paths]
        check_paths(given)
        for unit in find_units(given, None, self.reading):
            yield from self.frames_of(unit)

    def frames_of(self, unit: Unit) -> Iterator[_Frame]:
        """Yield the frames of a unit, opening its file once, or why one cannot be read."""

        def ref(index: int) -> FrameRef:
            return FrameRef(unit.path, index, unit.mask, "", self.reading)

        try:
            mask = None if unit.mask is None else kept_mask(unit.mask)
            with open_frames(unit.path, reading=self.reading) as file:
                for index in range(file.count) if unit.frames is None else unit.frames:
                    try:
                        raw: RawFrame | FrameError = self.masked(read_raw(file, ref(index), mask))
                    except FrameError as error:
                        raw = error
                    yield ref(index), raw
        except FrameError as error:
            for index in unit.frames or (0,):
                yield ref(index), error

    def read(self, ref: FrameRef) -> RawFrame | FrameError:
        """Read a frame; return why it cannot be read instead of raising it."""
        try:
            return self.masked(raw_frame(ref))
        except FrameError as error:
            return error

    def masked(self, raw: RawFrame) -> RawFrame:
        """Return a frame with the model's mask; one of another size, or with a mask file, stays as it is."""
        if self.mask is None or raw.ref.mask is not None or self.mask.shape != raw.counts.shape:
            return raw
        return replace(raw, mask=combine_masks(raw.counts.shape, self.mask, raw.mask, None))

    def _checked(self, raw: RawFrame) -> RawFrame | FrameError:
        try:
            counts = check_frame(f"frames[{raw.ref.index}]", raw.counts)
        except FrameError as error:
            return error
        return self.masked(replace(raw, counts=counts))

    # ------------------------------------------------------------------ frames to verdicts

    def look(self, raw: RawFrame) -> Look:
        """Compute the features and the signs of a frame; what several parts share is computed once.

        Raises
        ------
        FrameError
            The frame does not allow it: no valid pixel, smaller than a bin.
        """
        prepared: dict[str, Any] = {}
        computed: dict[str, NDArray[np.float64]] = {}
        features = []
        for part in self.parts:
            if part.intensity not in prepared:
                prepared[part.intensity] = raw.prepared(part.pipeline.intensity)
            each = []
            for of, kind in zip(part.representations, part.kinds, strict=True):
                if of not in computed:
                    try:
                        computed[of] = kind.compute([prepared[part.intensity]])[0]
                    except ValueError as error:
                        raise FrameError(raw.ref.name or raw.ref.path, str(error)) from None
                each.append(computed[of])
            features.append(np.concatenate(each))
        first = next(iter(prepared.values()))
        height, width = raw.counts.shape
        return Look((height, width), count_statistics(first), tuple(features))

    def scores(self, looks: Sequence[Look]) -> NDArray[np.float64]:
        """Return scores before calibration, (n, n_classes): of an ensemble, blended probabilities."""
        each = [
            part.fitted.scores(np.stack([look.features[i] for look in looks]))
            for i, part in enumerate(self.parts)
        ]
        if len(each) == 1:
            return each[0]
        weights = np.array([part.weight for part in self.parts])
        return blend(np.stack(each), weights, [part.sharpness for part in self.parts])

    def probabilities(self, looks: Sequence[Look]) -> NDArray[np.float64]:
        """Return calibrated probabilities, (n, n_classes)."""
        return self.calibrator(self.scores(looks))

    def signs_of(self, looks: Sequence[Look]) -> list[str]:
        """Return for each frame what is strange about it, in words; empty for nothing."""
        far = self.signs.features.is_far(np.stack([look.features[0] for look in looks]))
        early = self.signs.early(
            [look.shape for look in looks], np.stack([look.statistics for look in looks])
        )
        return [sign or ("features" if is_far else "") for sign, is_far in zip(early, far, strict=True)]

    def verdicts(self, frames: Sequence[RawFrame]) -> list[Verdict]:
        """Return what is said of frames that were read, in order."""
        return self.judge([(raw.ref.path, raw.ref.index, self.looked(raw)) for raw in frames])

    def looked(self, raw: RawFrame | FrameError) -> Look | FrameError:
        """Return the look at a frame, or why there is none instead of raising it."""
        try:
            return self.look(_good(raw))
        except FrameError as error:
            return error

    def judge(self, seen: Sequence[tuple[str, int, Look | FrameError]]) -> list[Verdict]:
        """Return what is said of frames that were looked at: path and position of each, and the look."""
        looks = [look for *_, look in seen if isinstance(look, Look)]
        if looks:
            probabilities, signs = self.probabilities(looks), self.signs_of(looks)
            accepts, keeps = self.thresholds.accepts(probabilities), self.thresholds.keeps(probabilities)
            given = self.thresholds.decide(probabilities)
        found, row = [], 0
        for path, frame, look in seen:
            if isinstance(look, FrameError):
                found.append(self._unreadable(path, frame, look))
                continue
            reason = f"{STRANGER}: {signs[row]}" if signs[row] else "" if accepts[row] else UNSURE
            found.append(
                Verdict(
                    path,
                    frame,
                    label=self.classes[int(given[row])],
                    probabilities=tuple(probabilities[row].tolist()),
                    accepted=not reason,
                    reason=reason,
                    keep=bool(keeps[row] or signs[row]) if self.promise.never_miss else None,
                )
            )
            row += 1
        return found

    def _unreadable(self, path: str, frame: int, error: FrameError) -> Verdict:
        nothing = (float("nan"),) * len(self.classes)
        keep = True if self.promise.never_miss else None
        return Verdict(path, frame, "", nothing, False, f"{UNREADABLE}: {error.problem}", keep)

    @contextmanager
    def one_thread(self) -> Iterator[None]:
        """Limit the native threads of this process to one, for as long as the context lasts."""
        with native_threads(1):
            if not self.networks:
                yield
                return
            import torch

            before = torch.get_num_threads()
            torch.set_num_threads(1)
            try:
                yield
            finally:
                torch.set_num_threads(before)


def _good(raw: RawFrame | FrameError) -> RawFrame:
    if isinstance(raw, FrameError):
        raise raw
    return raw


def _batches(items: Iterable[_Frame]) -> Iterator[list[_Frame]]:
    batch: list[_Frame] = []
    for item in items:
        batch.append(item)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _arrays(frames: Any) -> Iterator[RawFrame]:
    rule = "frames must be an array (n, height, width), arrays (height, width), paths or a Dataset"
    if isinstance(frames, np.ndarray) and frames.ndim not in (2, 3):
        raise InputError(f"{rule}, got an array of shape {frames.shape}")
    try:
        listed = [frames] if isinstance(frames, np.ndarray) and frames.ndim == 2 else list(frames)
    except TypeError:
        raise InputError(f"{rule}, got {type(frames).__name__}") from None
    for i, frame in enumerate(listed):
        if not isinstance(frame, np.ndarray):
            raise InputError(f"{rule}, got a {type(frame).__name__} at {i}")
        yield RawFrame(FrameRef("", i, None, f"frames[{i}]"), frame, None)
