"""Causes of failures in tasks and actors, as our own errors."""

from __future__ import annotations

from ray.exceptions import ObjectStoreFullError, OutOfDiskError

from sweeper.errors import NoRoomError

_NO_ROOM = (OutOfDiskError, ObjectStoreFullError)


def cause_of(error: Exception) -> Exception:
    """Return what went wrong in a task or actor, without Ray's traceback around it.

    A full object store is of Ray's own class there; it is no fault of a pipeline's.
    """
    if isinstance(error, _NO_ROOM):
        return NoRoomError()
    cause = getattr(error, "cause", None)
    if isinstance(cause, _NO_ROOM):
        return NoRoomError()
    return cause if isinstance(cause, Exception) else error
