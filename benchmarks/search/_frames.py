"""The frames that searches, and peers, are compared on."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sweeper.simulate.sets import simulation
from sweeper.simulate.writing import write_set

SEED = 1
PER_CLASS = {"diffraction": 150, "scattering": 100, "digits": 100}
SIZES_PX = {"diffraction": 512, "scattering": 256}


def write_frames(task: str, folder: Path, per_class: int = 0) -> Path:
    """Write the frames of a task, simulated or scikit-learn's; returns the data set's path."""
    count = per_class or PER_CLASS[task]
    if task == "digits":
        return _write_digits(folder, count)
    return write_set(folder, simulation(task, count, SIZES_PX[task], SEED))


def _write_digits(folder: Path, per_class: int) -> Path:
    """Write the first digits of each class as TIFF files."""
    import tifffile
    from sklearn.datasets import load_digits

    pictures, labels = load_digits(return_X_y=True)
    for label in range(10):
        (folder / str(label)).mkdir(parents=True)
        for i, picture in enumerate(pictures[labels == label][:per_class]):
            tifffile.imwrite(folder / str(label) / f"{i:03}.tif", picture.reshape(8, 8).astype(np.uint16))
    return folder
