"""Libraries that only an extra of the installation brings, and the command that installs each."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable

EXTRA_OF = {
    "torch": "networks",
    "torchvision": "networks",
    "timm": "networks",
    "safetensors": "networks",
    "huggingface_hub": "networks",
    "xgboost": "boosting",
    "catboost": "boosting",
    "usearch": "similar",
    "mlflow": "mlflow",
}
"""Import name of a library to the extra in pyproject.toml that it comes with."""


def remedy(library: str) -> str:
    """Return what to do about a library that is missing: ``needs the extra networks: pip install ...``."""
    extra = EXTRA_OF.get(library)
    if extra is None:
        return f"needs {library}, which is not installed"
    return f"needs the extra {extra}: pip install 'sweeper[{extra}]'"


def first_missing(libraries: Iterable[str]) -> str | None:
    """Return the first of some libraries that is not installed; none of them is imported."""
    return next((name for name in libraries if importlib.util.find_spec(name) is None), None)


def remedy_of(error: BaseException) -> str | None:
    """Return what to do about an import that failed for want of a library; None for any other error."""
    library = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    return remedy(library) if library and library != "sweeper" else None
