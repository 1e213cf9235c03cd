"""Extremely randomised trees."""

from __future__ import annotations

from sweeper.api import Build, Classifier

from ._forest import AXES, Forest, options


def build(build: Build) -> Forest:
    """Return an unfitted forest with random thresholds; a larger budget keeps the trees of a smaller one."""
    from sklearn.ensemble import ExtraTreesClassifier

    return Forest(ExtraTreesClassifier(**options(build)))


CLASSIFIER = Classifier(
    name="et",
    version=1,
    source="Geurts, Ernst and Wehenkel, Machine Learning 63 (2006) 3; scikit-learn's ExtraTreesClassifier",
    axes=AXES,
    budget="trees",
    build=build,
)
