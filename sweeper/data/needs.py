"""Libraries that some files need and that are installed on request."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from sweeper.errors import FrameError
from sweeper.extras import remedy


def needs(package: str, path: Path, what: str) -> Any:
    """Import a package of the extra ``formats``.

    Raises
    ------
    FrameError
        It is not installed; the message says what needs it, and how to install it.
    """
    try:
        return importlib.import_module(package)
    except ImportError as error:
        raise FrameError(path, f"{what} {remedy(package)}") from error
