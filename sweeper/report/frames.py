"""Frames that the best pipeline gets wrong, to be looked at."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.data.masks import kept_mask
from sweeper.data.prepared import FrameRef, raw_frame
from sweeper.report import content as c
from sweeper.report.content import Block, Picture, Pictures, Section, Text
from sweeper.report.labels import Labels
from sweeper.report.predictions import FrameScores, read_scores
from sweeper.report.run import Run
from sweeper.report.style import data_uri
from sweeper.runs.frame_list import FrameList, read_frame_list

_SHOWN = 12
_LOOKED_AT = 10
"""Pipelines that are asked about a frame."""
_SIDE_PX = 200
_QUALITY = 82


def worst(run: Run, labels: Labels) -> Section:
    """Frames that the best pipeline gets wrong with most confidence, as thumbnails."""
    empty = Section("frames", "Frames to look at")
    rows: list[Any] = list(run.done.head(_LOOKED_AT).itertuples())
    scored = [(row, found) for row in rows if (found := read_scores(run, int(row.trial))) is not None]
    if not scored:
        return empty
    row, scores = scored[0]
    listed = read_frame_list(run.folder, run.n_frames)
    wrong = np.flatnonzero(scores.predicted != scores.label)
    many = len(wrong) > 0
    order = wrong[np.argsort(-scores.margin[wrong], kind="stable")] if many else np.argsort(scores.margin)
    chosen = order[:_SHOWN]
    said = _said(row, labels, scores, len(wrong))
    blocks: list[Block] = [Text(said)]
    pictures, unreadable = _pictures(run, scores, chosen, listed, [found for _, found in scored])
    if unreadable:
        blocks.append(
            Text(
                f"{c.counted(unreadable, 'frame')} could not be read where "
                f"{'it was' if unreadable == 1 else 'they were'} when the sweep ran (in {run.spec.data}): "
                "the data may have moved.",
                "note",
            )
        )
    caption = (
        "Logarithm of the counts between two percentiles; blue pixels are masked, invalid or rejected as "
        "hot. Frames that no pipeline gets right may be labelled wrongly."
    )
    return Section("frames", "Frames to look at", [*blocks, Pictures(pictures, caption)], "Frames")


def _said(row: Any, labels: Labels, scores: FrameScores, wrong: int) -> str:
    which = f"The {'best' if row.rank == 1 else f'pipeline ranked {row.rank}'} ({labels.long(row)})"
    total = len(scores.frame)
    if not wrong:
        return f"{which} gets all {total:,} frames right; these are the ones that it is least sure of."
    shown = "These are" if wrong <= _SHOWN else f"The {_SHOWN} shown are"
    return (
        f"{which} gets {wrong:,} of {total:,} frames wrong when they are held out. {shown} the ones that "
        "it is most sure of."
    )


def _pictures(
    run: Run,
    scores: FrameScores,
    chosen: NDArray[np.int64],
    listed: FrameList | None,
    asked: list[FrameScores],
) -> tuple[list[Picture], int]:
    """Pictures of some rows of the scores, and how many frames could not be read."""
    pictures, unreadable = [], 0
    mask = _mask_file(run)
    for i in chosen:
        frame, label, predicted = int(scores.frame[i]), int(scores.label[i]), int(scores.predicted[i])
        name, uri = f"frame {frame}", ""
        if listed is not None and frame < len(listed.path):
            name = listed.name(frame)
            uri = thumbnail(_ref(run, listed, frame, mask), _intensity(run))
        unreadable += not uri
        lines = [
            f"{run.classes[label]} → {run.classes[predicted]}" if label != predicted else run.classes[label],
            _confidence(scores, int(i)),
            _agreement(asked, frame, label),
            name,
        ]
        about = f"Frame {name}: true class {run.classes[label]}, predicted {run.classes[predicted]}"
        pictures.append(Picture(uri, [line for line in lines if line], about))
    return pictures, unreadable


def _ref(run: Run, listed: FrameList, frame: int, mask: str | None) -> FrameRef:
    return FrameRef(listed.path[frame], listed.index[frame], mask, reading=run.spec.reading)


def _confidence(scores: FrameScores, i: int) -> str:
    top = float(scores.scores[i].max())
    return f"probability {top:.2f}" if scores.are_probabilities else f"score {c.figures(top)}"


def _agreement(asked: list[FrameScores], frame: int, label: int) -> str:
    """How many of the best pipelines get a frame right."""
    if len(asked) < 2:
        return ""
    right = 0
    for scores in asked:
        at = int(np.searchsorted(scores.frame, frame))
        right += at < len(scores.frame) and scores.frame[at] == frame and int(scores.predicted[at]) == label
    return f"{right} of {len(asked)} pipelines right"


def _intensity(run: Run) -> dict[str, Any]:
    """The settings that say which pixels are valid, where all pipelines share them."""
    found = run.space.get("intensity") or {}
    return {k: v for k, v in found.items() if k in ("negative", "hot_pixels") and isinstance(v, str)}


def _mask_file(run: Run) -> str | None:
    """Return the mask file of the sweep as long as it can be read: frames are shown without it otherwise."""
    if not run.spec.mask:
        return None
    try:
        kept_mask(run.spec.mask)
    except (ValueError, OSError):
        return None
    return run.spec.mask


def thumbnail(ref: FrameRef, intensity: dict[str, Any]) -> str:
    """Return a frame on a logarithmic scale, its invalid pixels marked, as a WebP ``data:`` URI.

    Empty where the frame cannot be read; a mask of another shape is left out.
    """
    import cv2

    from sweeper.explain.drawing import grey, smaller

    try:
        raw = raw_frame(ref)
        if raw.mask is not None and raw.mask.shape != raw.counts.shape:
            raw = replace(raw, mask=None)
        frame = raw.displayed(intensity, 2 * _SIDE_PX)
    except (ValueError, OSError):
        return ""
    rgb = grey(np.asarray(frame.image, dtype=np.float32), frame.valid)
    scale = _SIDE_PX / max(rgb.shape[:2])
    if scale < 1:
        shape = (max(1, round(scale * side)) for side in rgb.shape[1::-1])
        rgb = smaller(rgb, *shape)
    done, data = cv2.imencode(".webp", rgb[:, :, ::-1], [cv2.IMWRITE_WEBP_QUALITY, _QUALITY])
    return data_uri(data.tobytes(), "webp") if done else ""
