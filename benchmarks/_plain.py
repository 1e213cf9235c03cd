"""The paper's way, in one process: every trial extracts its features anew, then fits.

scikit-image's co-occurrence matrices and binary patterns, OpenCV's SIFT, scikit-learn's scaler and
classifiers. What is the project's own is named where it is used: reading and intensities, so that both
sides see the same image, and the codebook's k-means, so that both draw the same words.

    python benchmarks/_plain.py JOB.json RESULT.json
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation
from skimage.feature import graycomatrix, graycoprops, local_binary_pattern
from sklearn.ensemble import RandomForestClassifier
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC
from sweeper.featurizers import sift

from sweeper.api import PreparedFrame
from sweeper.data.frames import read_frame
from sweeper.data.intensity import prepare
from sweeper.features import codebook

PROPERTIES = ("contrast", "dissimilarity", "homogeneity", "ASM", "energy", "correlation", "entropy")


# --------------------------------------------------------------------------- features of one frame


def glcm(frame: PreparedFrame, params: dict[str, Any]) -> NDArray[np.float64]:
    """Seven properties for each distance and angle, (distances × angles × 7,)."""
    angles = np.deg2rad(params["angle_deg"])
    levels, image = frame.levels, frame.quantised
    if frame.valid.all():
        matrix = graycomatrix(image, params["distance"], angles, levels, symmetric=True, normed=True)
    else:  # invalid pixels get a level of their own, whose pairs are then left out
        marked = np.where(frame.valid, image.astype(np.uint16), levels)
        counts = graycomatrix(marked, params["distance"], angles, levels + 1, symmetric=True)
        counts = counts[:levels, :levels].astype(np.float64)
        matrix = counts / np.maximum(counts.sum(axis=(0, 1)), 1)
    found = np.stack([graycoprops(matrix, name) for name in PROPERTIES], axis=-1)
    return np.asarray(found.ravel(), dtype=np.float64)


def lbp(frame: PreparedFrame, params: dict[str, Any]) -> NDArray[np.float64]:
    """Histogram of uniform patterns, (points + 2,)."""
    points, radius = params["points"], params["radius"]
    codes = local_binary_pattern(frame.quantised, points, radius, method="uniform").astype(np.int64)
    if not frame.valid.all():
        codes = codes[~binary_dilation(~frame.valid, _footprint(points, radius))]
    counts = np.bincount(codes.ravel(), minlength=points + 2)
    return np.asarray(counts / max(codes.size, 1), dtype=np.float64)


def _footprint(points: int, radius: int) -> NDArray[np.bool_]:
    """Where an invalid pixel spoils a pattern: mirror image of the pixels that interpolation reads."""
    reach = radius + 1
    touched = np.zeros((2 * reach + 1, 2 * reach + 1), np.bool_)
    touched[reach, reach] = True
    angle = 2 * np.pi * np.arange(points) / points
    for row, column in zip(-radius * np.sin(angle), radius * np.cos(angle), strict=True):
        r, c = round(row, 5), round(column, 5)
        for i in (int(np.floor(r)), int(np.ceil(r))):
            for j in (int(np.floor(c)), int(np.ceil(c))):
                touched[reach - i, reach - j] = True
    return touched


def descriptors(frame: PreparedFrame) -> NDArray[np.uint8]:
    """SIFT of the strongest keypoints, (keypoints, 128)."""
    if not frame.valid.all():  # the project's rule which keypoints a mask spoils, around the same OpenCV
        return np.asarray(sift.FEATURIZER.compute(frame, [{}])[0])
    image = np.minimum(frame.image * 256, 255).astype(np.uint8)
    _, found = cv2.SIFT.create(nfeatures=sift.MAX_KEYPOINTS).detectAndCompute(image, None)
    return np.zeros((0, 128), np.uint8) if found is None else np.asarray(found).astype(np.uint8)


# --------------------------------------------------------------------------- one trial


class Clock:
    """CPU seconds of this process by what they went into."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}
        self._last = time.process_time()

    def lap(self, name: str) -> None:
        """Count the time since the last lap for `name`."""
        now = time.process_time()
        self.spent[name] = self.spent.get(name, 0.0) + now - self._last
        self._last = now


def extract(paths: list[str], pipeline: dict[str, Any], clock: Clock) -> list[NDArray[Any]]:
    """Read and prepare each frame and compute its features."""
    params = pipeline["featurizer_params"]
    of_frame: dict[str, Callable[[PreparedFrame], NDArray[Any]]] = {
        "glcm": lambda frame: glcm(frame, params),
        "lbp": lambda frame: lbp(frame, params),
        "sift": descriptors,
    }
    rows = []
    for path in paths:
        frame = prepare(read_frame(path, 0), pipeline["intensity"])
        clock.lap("read and prepare")
        rows.append(of_frame[pipeline["featurizer"]](frame))
        clock.lap(f"extract {pipeline['featurizer']}")
    return rows


def classifier(pipeline: dict[str, Any], seed: int) -> Any:
    """The unfitted classifier of a pipeline."""
    params = dict(pipeline["classifier_params"])
    weight = params.pop("class_weight")
    if isinstance(weight, list):
        weight = dict(enumerate(weight))
    if pipeline["classifier"] == "rf":
        return RandomForestClassifier(
            n_estimators=params["n_trees"],
            max_features=params["max_features"],
            max_depth=params["max_depth"],
            class_weight=weight,
            random_state=seed,
        )
    # Without break_ties the votes of the pairwise machines alone decide, and ties go by class order.
    gamma = "auto" if params["gamma"] == 0 else params["gamma"]
    return SVC(C=params["C"], gamma=gamma, class_weight=weight, break_ties=True)


def run_trial(job: dict[str, Any], pipeline: dict[str, Any], clock: Clock) -> float:
    """Accuracy on the validation rows."""
    y, train, validation = (np.array(job[name]) for name in ("labels", "train", "validation"))
    rows = extract(job["paths"], pipeline, clock)
    if pipeline["featurizer"] == "sift":
        clusters, seed = pipeline["featurizer_params"]["clusters"], job["codebook_seed"]
        sample = codebook.sample_descriptors([rows[i] for i in train], clusters, seed)
        x = codebook.encode(rows, codebook.fit_codebook(sample, clusters, seed), clusters)
        clock.lap("codebook")
    else:
        x = np.array(rows)
    scaler = StandardScaler().fit(x[train])
    model = classifier(pipeline, job["classifier_seed"])
    # With weights, equal ones too, the library's forests draw other bootstrap samples than without; the
    # sweep always gives them.
    model.fit(scaler.transform(x[train]), y[train], sample_weight=np.ones(len(train)))
    accuracy = float((model.predict(scaler.transform(x[validation])) == y[validation]).mean())
    clock.lap("fit and score")
    return accuracy


def main() -> None:
    """Run every pipeline of the job; write accuracies and CPU seconds."""
    job = json.loads(Path(sys.argv[1]).read_text())
    cv2.setNumThreads(1)
    clock = Clock()
    scores = []
    for number, pipeline in enumerate(job["pipelines"], start=1):
        scores.append(run_trial(job, pipeline, clock))
        print(f"plain: {number} of {len(job['pipelines'])} pipelines", file=sys.stderr, flush=True)
    Path(sys.argv[2]).write_text(json.dumps({"scores": scores, "cpu_s": clock.spent}))


if __name__ == "__main__":
    main()
