"""The lease of a URL: which driver keeps it the same as its folder, so that no two do."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sweeper.errors import InputError
from sweeper.runs.mirror.remote import Remote, patiently

NAME = "lease.json"
EXPIRES_S = 60.0
"""A holder that was not heard of for so long is gone."""
REFRESH_S = 15.0


def _place() -> str:
    """This machine since it was started, and the namespace that process numbers are counted in."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    space = Path("/proc/self/ns/pid")
    try:
        return f"{boot.read_text().strip()} {space.readlink()}"
    except OSError:
        return socket.gethostname()


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


class Lease:
    """The lease of one URL.

    It is a file that is read before it is written and once again after: stores have no locks. Two drivers
    that begin in the same moment are told apart at the latest when the first refreshes its lease.
    """

    def __init__(self, remote: Remote) -> None:
        self._remote = remote
        self._mine = {"host": socket.gethostname(), "pid": os.getpid(), "place": _place()}
        self._refreshed = float("-inf")
        self._lock = threading.Lock()
        self.taken = False

    def take(self) -> None:
        """Become the holder.

        Raises
        ------
        ValueError
            Names the holder, who was heard of less than :data:`EXPIRES_S` ago.
        """
        for _ in range(2):
            other = self._other()
            if other is not None and _lives(other):
                age = self._age_s()
                if age < EXPIRES_S:
                    raise InputError(
                        f"{self._remote.shown}: another sweep is running there ({_named(other)}, last heard "
                        f"of {age:.0f} s ago)"
                    )
            if not self.taken:
                self._write()
                self.taken = True
            elif other is None:
                return

    def refresh(self) -> str | None:
        """Stay the holder, if it is time to say so; gives the one who took over, None when nobody did."""
        with self._lock:
            if time.monotonic() - self._refreshed < REFRESH_S:
                return None
            other = self._other()
            if other is not None:
                self.taken = False
                return _named(other)
            self._write()
            return None

    def release(self) -> None:
        """Let go; nothing happens to a lease that is another's."""
        if self.taken and self._other() is None:
            self._remote.delete(NAME)
        self.taken = False

    def _write(self) -> None:
        said = {**self._mine, "time": datetime.now(UTC).isoformat(timespec="seconds")}
        self._remote.write(NAME, json.dumps(said).encode())
        self._refreshed = time.monotonic()

    def _other(self) -> dict[str, Any] | None:
        """The holder, when it is not this process."""
        said = _read(self._remote)
        return None if said is None or self._mine.items() <= said.items() else said

    def _age_s(self) -> float:
        """Time since the holder was heard of, by the store's clock: machines' clocks may differ."""
        probe = f".now-{os.getpid()}"
        self._remote.write(probe, b".")
        try:
            return max(0.0, self._remote.modified_s(probe) - self._remote.modified_s(NAME))
        finally:
            self._remote.delete(probe)


def _read(remote: Remote) -> dict[str, Any] | None:
    data = patiently(lambda: remote.read_small(NAME))
    try:
        said = json.loads(data or b"")
        return said if isinstance(said["host"], str) and isinstance(said["pid"], int) else None
    except (ValueError, TypeError, KeyError):
        return None


def _lives(said: dict[str, Any]) -> bool:
    """Whether a holder may be alive: for one of this machine that can be seen."""
    return said.get("place") != _place() or _runs(int(said["pid"]))


def _named(said: dict[str, Any]) -> str:
    host = "".join(c for c in said["host"][:100] if c.isprintable())
    return f"host {host}, process {said['pid']}"


def holder(url: str) -> str | None:
    """Who runs a sweep at a URL, ``host h, process 17``; None when nobody does, by this machine's clock.

    Raises
    ------
    ValueError
        Nothing can be read there.
    """
    remote = Remote(url)
    try:
        said = _read(remote)
        if said is None or not _lives(said) or time.time() - remote.modified_s(NAME) > EXPIRES_S:
            return None
    except OSError as error:
        raise remote.error(error) from None
    return _named(said)
