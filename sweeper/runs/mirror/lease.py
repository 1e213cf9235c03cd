"""The lease of a URL: the one driver that may write there holds it.

It is a file that is only ever written on the condition that it is still as it was read, so that of several
drivers that reach for it in the same moment the store lets one through. It is never deleted, since stores
delete without conditions: a lease that was let go is a file that names nobody.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import uuid
import weakref
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sweeper.errors import InputError
from sweeper.runs.mirror.remote import Remote, StoreError, Version

NAME = "lease.json"
EXPIRES_S = 60.0
"""A holder that has not refreshed its lease for so long is gone."""
REFRESH_S = 15.0

_MOST_ROUNDS = 5

_active: weakref.WeakValueDictionary[str, Lease] = weakref.WeakValueDictionary()
"""Leases that this process takes or holds, by their ids."""


def _place() -> str:
    """Return this machine since it was started, and the namespace that process numbers are counted in."""
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
    """The lease of one URL."""

    def __init__(self, remote: Remote) -> None:
        self._remote = remote
        self.id = uuid.uuid4().hex
        self._refreshed = float("-inf")
        self._problem = ""
        self._lock = threading.Lock()

    def take(self) -> None:
        """Become the holder.

        Raises
        ------
        InputError
            Another driver holds the lease and refreshed it less than :data:`EXPIRES_S` ago; names it.
        """
        _active[self.id] = self
        try:
            for _ in range(_MOST_ROUNDS):
                holding, version = _read(self._remote)
                if holding is not None and holding["id"] == self.id:
                    return
                if holding is not None and _lives(holding) and (age := self._age_s()) < EXPIRES_S:
                    raise InputError(
                        f"{self._remote.shown}: another sweep is running there ({_named(holding)}, "
                        f"last heard of {age:.0f} s ago)"
                    )
                self._write(version)  # the next look tells whether this write was the one let through
            raise StoreError(f"{NAME} cannot be written ({self._problem})")
        except BaseException:
            self.abandon()
            raise

    def refresh(self) -> str | None:
        """Stay the holder, if it is time to say so; return the driver that took over, None if nobody did."""
        with self._lock:
            if time.monotonic() - self._refreshed < REFRESH_S:
                return None
            for _ in range(_MOST_ROUNDS):
                holding, version = _read(self._remote)
                if holding is not None and holding["id"] != self.id:
                    self.abandon()
                    return _named(holding)
                if self._write(version):
                    return None
            raise StoreError(f"{NAME} cannot be written ({self._problem})")

    def release(self) -> None:
        """Let go; nothing happens to a lease that is another's."""
        if _active.pop(self.id, None) is None:
            return
        holding, version = _read(self._remote)
        if holding is not None and holding["id"] == self.id:
            self._remote.replace(NAME, b"{}", version)

    def abandon(self) -> None:
        """Let go without a word to the store: another driver of this process may take over at once."""
        _active.pop(self.id, None)

    def _write(self, seen: Version | None) -> bool:
        """Write that this driver holds the lease, if it is still as it was seen; return whether it worked.

        False does not mean that nothing was written: the answer may have been lost.
        """
        holding = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "place": _place(),
            "id": self.id,
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        began = time.monotonic()
        try:
            if not self._remote.replace(NAME, json.dumps(holding).encode(), seen):
                self._problem = "it changes all the time"
                return False
        except StoreError as error:
            self._problem = str(error)
            return False
        self._refreshed = began
        return True

    def _age_s(self) -> float:
        """Return how long ago the holder was heard of, by the store's clock: machines' clocks may differ."""
        probe = f".now-{self.id}"
        self._remote.write(probe, b".")
        try:
            now, then = self._remote.modified(probe), self._remote.modified(NAME)
        finally:
            self._remote.delete(probe)
        return max(0.0, (now - then).total_seconds()) if now and then else EXPIRES_S


def _read(remote: Remote) -> tuple[dict[str, Any] | None, Version | None]:
    """Return who holds the lease, None for nobody, and the file's version, None if there is no file."""
    file = remote.read_small(NAME)
    if file is None:
        return None, None
    try:
        holding = json.loads(file[0])
        known = isinstance(holding["host"], str) and isinstance(holding["pid"], int)
        return ({"id": "", "place": "", **holding} if known else None), file[1]
    except (ValueError, TypeError, KeyError):
        return None, file[1]


def _lives(holding: dict[str, Any]) -> bool:
    """Return whether a holder may be alive; of one on this machine that can be seen."""
    if holding["place"] != _place():
        return True
    if holding["pid"] == os.getpid():
        return holding["id"] in _active
    return _runs(holding["pid"])


def _named(holding: dict[str, Any]) -> str:
    host = "".join(c for c in holding["host"][:100] if c.isprintable())
    return f"host {host}, process {holding['pid']}"


def holder(url: str) -> str | None:
    """Return who runs a sweep at a URL, ``host h, process 17``; None if nobody does, by this machine's clock.

    Raises
    ------
    InputError
        Nothing can be read there.
    """
    remote = Remote(url)
    try:
        holding, _ = _read(remote)
        if holding is None or not _lives(holding):
            return None
        then = remote.modified(NAME)
    except StoreError as error:
        raise remote.error(error) from None
    if then is None or time.time() - then.timestamp() > EXPIRES_S:
        return None
    return _named(holding)
