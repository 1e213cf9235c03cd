"""Whether a Ray cluster answers at an address, found out within seconds.

Ray itself tries for minutes, and prints what its own libraries say meanwhile.
"""

from __future__ import annotations

import os
import socket
import time
from urllib.parse import urlsplit

from sweeper.engine.private.core import cluster_address
from sweeper.errors import InputError

_TIMEOUT_S = 6.0
_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""The first bytes of a client of HTTP/2, and so of gRPC: a fixed text and an empty frame of settings."""
_FRAME_BYTES, _SETTINGS = 9, 4


def check_answers(address: str) -> None:
    """Check that something at an address speaks Ray's protocol.

    Parameters
    ----------
    address : str
        As ``--address`` takes it: ``host:port``, ``ray://host:port``, or ``auto``.

    Raises
    ------
    InputError
        Nothing answers there, or what answers is no Ray cluster.
    """
    try:
        host, port = _host_and_port(address)
    except (ConnectionError, ValueError) as error:
        raise InputError(f"--address {address}: no Ray cluster answers ({_reason(error)})") from None
    where = f"--address {address}" + (f" ({host}:{port})" if address == "auto" else "")
    try:
        with socket.create_connection((host, port), _TIMEOUT_S) as connection:
            speaks = os.environ.get("RAY_USE_TLS", "0") == "1" or _speaks_grpc(connection)
    except OSError as error:
        raise InputError(f"{where}: no Ray cluster answers ({_reason(error)})") from None
    if not speaks:
        raise InputError(f"{where}: what answers is no Ray cluster; give the address of its head, HOST:6379")


def _host_and_port(address: str) -> tuple[str, int]:
    """Return where Ray would connect to; ValueError for what is no address, ConnectionError for none."""
    if "://" not in address:
        address = "ray://" + cluster_address(address)
    parts = urlsplit(address)
    if not parts.hostname or parts.port is None:
        raise ValueError("it must be HOST:PORT, ray://HOST:PORT or auto")
    return parts.hostname, parts.port


def _speaks_grpc(connection: socket.socket) -> bool:
    """Return whether the other side answers HTTP/2's greeting in kind; OSError when it says nothing."""
    deadline = time.monotonic() + _TIMEOUT_S
    connection.sendall(_HELLO)
    answer = b""
    while len(answer) < _FRAME_BYTES:
        connection.settimeout(max(0.01, deadline - time.monotonic()))
        if not (more := connection.recv(_FRAME_BYTES - len(answer))):
            return False
        answer += more
    return answer[3] == _SETTINGS


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split())
