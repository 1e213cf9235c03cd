"""An address where no Ray cluster is: said within seconds, whatever answers there."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from sweeper.engine import address, jobs
from sweeper.engine.address import check_answers
from sweeper.errors import InputError

GREETING = bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""An empty frame of settings, the first that a server of HTTP/2 sends."""


@contextmanager
def server(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """Give the address of a server that accepts one connection."""
    with socket.create_server(("127.0.0.1", 0)) as listening, ThreadPoolExecutor(1) as pool:

        def serve() -> None:
            with listening.accept()[0] as connection:
                assert connection.recv(1000).startswith(b"PRI * HTTP/2.0")
                answer(connection)

        served = pool.submit(serve)
        yield f"ray://127.0.0.1:{listening.getsockname()[1]}"
        served.result(10)


def test_a_server_of_grpc_answers() -> None:
    with server(lambda connection: connection.sendall(GREETING)) as there:
        check_answers(there)


def test_a_server_of_something_else() -> None:
    with (
        server(lambda connection: connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")) as there,
        pytest.raises(InputError, match="what answers is no Ray cluster"),
    ):
        check_answers(there)


def test_a_server_that_hangs_up() -> None:
    with server(lambda connection: None) as there, pytest.raises(InputError, match="no Ray cluster"):
        check_answers(there)


def test_a_server_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(address, "_TIMEOUT_S", 0.3)
    began = time.monotonic()
    with (
        server(lambda connection: time.sleep(0.6)) as there,
        pytest.raises(InputError, match=r"no Ray cluster answers \(no answer in time\)"),
    ):
        check_answers(there)
    assert time.monotonic() - began < 5


def test_two_tries_fit_into_the_time_that_people_wait() -> None:
    assert 2 * address._TIMEOUT_S < 15  # one for the connection, one for the greeting


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("127.0.0.1:1", "refused"),
        ("ray://127.0.0.1:1", "refused"),
        ("[::1]:1", "no Ray cluster answers"),
        ("no.such.host.invalid:6379", "no Ray cluster answers"),
        ("nonsense", "no Ray cluster answers"),
        ("host:port", "no Ray cluster answers"),
        ("127.0.0.1:99999", "no Ray cluster answers"),
        ("ray://127.0.0.1", "must be HOST:PORT"),
        ("local", "must be HOST:PORT"),
        ("", "no Ray cluster answers"),
    ],
)
def test_nothing_is_there(where: str, said: str) -> None:
    with pytest.raises(InputError, match=said) as error:
        check_answers(where)
    assert str(error.value).startswith(f"--address {where}: ")
    assert "\n" not in str(error.value)


def test_a_dashboard_that_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "_TIMEOUT_S", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        where = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(InputError, match=f"--address {where}: no Ray dashboard answers"):
            jobs.stop("raysubmit_1", where)
