"""Compiles the project's kernels; imported only when a kernel is needed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

F = TypeVar("F", bound=Callable[..., Any])


def compiled(function: F) -> F:
    """Compile `function` with numba: single-threaded, without the GIL, kept on disk for other workers.

    Strict IEEE arithmetic (no ``fastmath``): the LBP kernel has to round as its reference does.
    Where no folder for the on-disk cache can be written, each process compiles for itself.
    """
    try:
        return cast(F, numba.njit(cache=True, nogil=True)(function))
    except RuntimeError:  # numba: "cannot cache function: no locator available"
        return cast(F, numba.njit(nogil=True)(function))
