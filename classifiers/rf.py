"""Random forest."""

from __future__ import annotations

from sweeper.api import Build, Classifier

from ._forest import AXES, Forest, options


def build(build: Build) -> Forest:
    """Return an unfitted random forest; a larger budget keeps the trees of a smaller one."""
    from sklearn.ensemble import RandomForestClassifier

    return Forest(RandomForestClassifier(**options(build)))


CLASSIFIER = Classifier(
    name="rf",
    version=1,
    source="Breiman, Machine Learning 45 (2001) 5; scikit-learn's RandomForestClassifier",
    axes=AXES,
    budget="trees",
    build=build,
)
