"""Libraries that only an extra of the installation brings, and the command that installs each."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable

from sweeper.errors import InputError

EXTRA_OF = {
    "torch": "networks",
    "torchvision": "networks",
    "timm": "networks",
    "safetensors": "networks",
    "huggingface_hub": "networks",
    "onnxruntime": "runtime",
    "onnx": "runtime",
    "xgboost": "boosting",
    "catboost": "boosting",
    "aiohttp": "cluster",
    "opencensus": "cluster",
    "usearch": "similar",
    "pycbf": "formats",
    "mlflow": "mlflow",
    "sqlalchemy": "mlflow",
    "alembic": "mlflow",
    "wandb": "wandb",
    "boto3": "aws",
}
"""Import name of a library to the extra in pyproject.toml that brings it."""


CLUSTER = ("aiohttp", "opencensus")
"""Libraries that Ray's dashboard, its jobs and its agents on a cluster need."""


def remedy(library: str) -> str:
    """Return what to do about a library that is missing: ``needs the extra networks: pip install ...``."""
    extra = EXTRA_OF.get(library)
    if extra is None:
        return f"needs {library}, which is not installed"
    return f"needs the extra {extra}: pip install 'sweeper[{extra}]'"


def first_missing(libraries: Iterable[str]) -> str | None:
    """Return the first of some libraries that is not installed; none of them is imported."""
    return next((name for name in libraries if not _is_installed(name)), None)


def _is_installed(library: str) -> bool:
    """Return whether a library can be imported; a folder of its name, such as ``wandb``, is none."""
    spec = importlib.util.find_spec(library)
    return spec is not None and spec.origin is not None


def check_libraries(libraries: Iterable[str], asked: str) -> None:
    """Raise InputError, naming what was asked for and the remedy, unless some libraries are installed."""
    if (library := first_missing(libraries)) is not None:
        raise InputError(f"{asked} {remedy(library)}")


def missing_library(error: BaseException) -> str | None:
    """Return the library for want of which an import failed; None for any other error."""
    library = (error.name or "").partition(".")[0] if isinstance(error, ModuleNotFoundError) else ""
    return first_missing([library]) if library else None
