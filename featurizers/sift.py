"""SIFT: descriptors of gradients around keypoints, for a bag of visual words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sweeper.api import Axis, Featurizer, Interval, Params, PreparedFrame

MAX_KEYPOINTS = 500
"""Strongest keypoints kept of a frame (more only where the last ones tie): 64 kB of descriptors.

A frame of 512 × 512 noise has about a thousand keypoints, and their number grows with the area.
"""

WIDTH = 128

_DESCRIPTOR_CELLS = 4  # SIFT_DESCR_WIDTH of OpenCV: cells along each side
_CELL_PER_SCALE = 3.0  # SIFT_DESCR_SCL_FCTR: side of a cell, in scales of the keypoint


def _columns(params: Params) -> tuple[str, ...]:
    return ()


def _octave_pixel(keypoint: Any) -> float:
    """Return the side of a pixel of the keypoint's octave, in pixels of the frame, from OpenCV's byte."""
    octave = keypoint.octave & 255
    return float(2.0 ** (octave - 256 if octave >= 128 else octave))


def window_radius(keypoint: Any) -> float:
    """Return the radius of all that a keypoint's descriptor reads, in pixels of the frame.

    OpenCV's formula, cvRound(3 s √2 (4 + 1) / 2) with s the scale in pixels of the octave, and two
    pixels of the octave more: one for the gradient's difference, one for rounding of the centre.
    """
    pixel = _octave_pixel(keypoint)
    cell = _CELL_PER_SCALE * keypoint.size / pixel * 0.5
    radius = round(cell * 2**0.5 * (_DESCRIPTOR_CELLS + 1) * 0.5)
    return float((radius + 2) * pixel)


def _untouched(keypoints: Sequence[Any], valid: NDArray[np.bool_]) -> list[Any]:
    """Return the keypoints whose descriptor window holds no invalid pixel."""
    import cv2

    distance = cv2.distanceTransform(valid.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    height, width = valid.shape
    kept = []
    for keypoint in keypoints:
        column, row = keypoint.pt
        r, c = min(max(round(row), 0), height - 1), min(max(round(column), 0), width - 1)
        # Distances are from pixel (r, c): up to √½ from the keypoint.
        if distance[r, c] > window_radius(keypoint) + 0.5**0.5:
            kept.append(keypoint)
    return kept


def _strongest(keypoints: list[Any]) -> list[Any]:
    """Return the strongest keypoints, in their order; those that tie with the last one stay."""
    if len(keypoints) <= MAX_KEYPOINTS:
        return keypoints
    weakest = sorted((k.response for k in keypoints), reverse=True)[MAX_KEYPOINTS - 1]
    return [k for k in keypoints if k.response >= weakest]


def _masked_descriptors(image: NDArray[np.uint8], valid: NDArray[np.bool_]) -> Any:
    """Return descriptors of the strongest keypoints that no invalid pixel touches.

    Invalid pixels make keypoints of their own, so these must go before the strongest are chosen.
    """
    import cv2

    sift = cv2.SIFT.create()
    kept = _strongest(_untouched(sift.detect(image, None), valid))
    if not kept:
        return None
    # Given keypoints, OpenCV starts its pyramid at the lowest octave among them; detection always starts
    # at −1, the doubled frame. One more keypoint there keeps descriptors those of plain detection.
    height, width = image.shape
    anchor = cv2.KeyPoint(width / 2, height / 2, 2.0, 0.0, 0.0, 255 | 1 << 8, -1)
    _, descriptors = sift.compute(image, [*kept, anchor])
    return descriptors[:-1]


def _descriptors(frame: PreparedFrame) -> NDArray[np.uint8]:
    """Return the descriptors of one frame, (keypoints, 128)."""
    import cv2

    cv2.setNumThreads(1)  # threads equal Ray CPUs
    image = np.minimum(frame.image * 256, 255).astype(np.uint8)
    if frame.valid.all():
        _, found = cv2.SIFT.create(nfeatures=MAX_KEYPOINTS).detectAndCompute(image, None)
    else:
        image[~frame.valid] = 0
        found = _masked_descriptors(image, frame.valid)
    if found is None:
        return np.zeros((0, WIDTH), np.uint8)
    return np.asarray(found).astype(np.uint8)  # OpenCV gives whole numbers 0 to 255 as floats


def _compute(frame: PreparedFrame, blocks: Sequence[Params]) -> list[NDArray[Any]]:
    """Compute the same descriptors for each block asked for: only the codebook has a parameter."""
    rows = _descriptors(frame)
    return [rows.copy() for _ in blocks]


FEATURIZER = Featurizer(
    name="sift",
    version=1,
    source="Lowe, Int. J. Comput. Vis. 60 (2004) 91, as in OpenCV's SIFT_create; DiffraNet, Table 7",
    axes=(),
    columns=_columns,
    compute=_compute,
    codebook=Axis(
        "clusters",
        Interval(2, 20_000, integer=True),
        default=100,
        doc="visual words of the codebook; DiffraNet: 10, 25, 50, 100, 250, 500, 1000, 5000",
    ),
    descriptor_width=WIDTH,
)
"""Descriptors of the 500 strongest keypoints, uint8, (keypoints, 128): one ragged block.

The frame is taken at 256 grey levels, whatever the number of levels for texture. Equal to
``cv2.SIFT_create(nfeatures=500).detectAndCompute`` on frames without a mask. Keypoints whose descriptor
window (:func:`window_radius`) touches an invalid pixel are dropped, before the strongest are chosen.
A frame without keypoints, which blank or tiny ones are, has no rows.
"""
