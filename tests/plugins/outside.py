"""Plugins of a user's own, as tests write them into folders."""

from __future__ import annotations

from pathlib import Path

RINGS = '''"""Mean intensity in rings around the centre of the frame."""

from sweeper.api import Axis, Featurizer, OneOf

from ._rings import profile

FEATURIZER = Featurizer(
    name="rings",
    version=1,
    source="a test",
    axes=(Axis("rings", OneOf(4, 8), default=4, doc="number of rings"),),
    columns=lambda params: tuple(f"ring{i}" for i in range(params["rings"])),
    compute=lambda frame, blocks: [profile(frame, block["rings"]) for block in blocks],
)
'''
RINGS_HELPER = '''"""The mean of each ring."""

import numpy as np


def profile(frame, rings):
    height, width = frame.valid.shape
    row, column = np.ogrid[:height, :width]
    radius = np.hypot(row - (height - 1) / 2, column - (width - 1) / 2)
    ring = (rings * radius / (np.hypot(height, width) / 2)).astype(np.int64)
    ring, image = ring[frame.valid], frame.image[frame.valid]
    total = np.bincount(ring, weights=image, minlength=rings)
    return total / np.maximum(1, np.bincount(ring, minlength=rings))
'''
LOGISTIC = '''"""Multinomial logistic regression."""

from sweeper.api import CLASS_WEIGHT, Axis, Classifier, Interval, ProbabilityScores


def build(build):
    from sklearn.linear_model import LogisticRegression

    return ProbabilityScores(LogisticRegression(C=float(build.params["C"]), max_iter=2000))


CLASSIFIER = Classifier(
    name="logistic",
    version=1,
    source="a test",
    axes=(Axis("C", Interval(1e-6, 1e6), default=1.0, doc="inverse strength of the penalty"), CLASS_WEIGHT),
    budget="rows",
    build=build,
)
'''
BACKWARDS = '''"""The grid from its end."""

from sweeper.api import Search


class Proposer:
    def __init__(self, space, seed):
        self.grid = list(space.grid())[::-1]

    def propose(self, trial, taken, observations):
        return next((pipeline for pipeline in self.grid if pipeline.id not in taken), None)


SEARCH = Search(name="backwards", version=1, source="a test", proposer=Proposer, exhaustive=True)
'''
SPACE = """source: a test
featurizers:
  rings: {rings: [4, 8]}
  histogram:
classifiers:
  logistic: {C: [0.1, 10]}
  rf: {n_trees: [9]}
"""


def write(folder: Path, *, nested: bool = False) -> Path:
    """A folder with a plugin of each kind, flat or with a subfolder for each kind."""
    files = {
        ("featurizers", "rings.py"): RINGS,
        ("featurizers", "_rings.py"): RINGS_HELPER,
        ("classifiers", "logistic.py"): LOGISTIC,
        ("searches", "backwards.py"): BACKWARDS,
        ("search_spaces", "mine.yaml"): SPACE,
    }
    for (kind, name), text in files.items():
        path = folder / kind / name if nested else folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder
