"""Packages that decide the numbers that a sweep gives, and their versions here."""

from __future__ import annotations

import importlib.metadata

PACKAGES = (
    "ray", "hpbandster", "ConfigSpace", "numpy", "scipy", "scikit-learn", "lightgbm", "xgboost",
    "xgboost-cpu", "catboost", "numba", "opencv-python-headless", "pyarrow", "tifffile", "fabio", "h5py",
    "torch", "timm",
)  # fmt: skip

MISSING = "missing"
"""The version of a package that is not installed."""


def package_versions() -> dict[str, str]:
    """Return the version of each package, :data:`MISSING` where one is not installed."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = MISSING
    return found
