"""Xception, fine-tuned or as pretrained."""

from __future__ import annotations

from sweeper.api import Params

from ._timm import backbone

WIDTH = 2048  # maps of the last separable convolution, averaged over positions


def _width(params: Params) -> int:
    return WIDTH


FEATURIZER = backbone(
    name="xception",
    model="legacy_xception.tf_in1k",
    source="Chollet, CVPR 2017; camSortXS, section 3.1.2",
    width=_width,
    default_size=299,
    least_size=32,
)
"""Features are the 2048 maps of the last separable convolution, rectified and averaged over positions. The
maps are 1/32 as wide as the input. The weights are those of Keras, as timm converted them.
"""
