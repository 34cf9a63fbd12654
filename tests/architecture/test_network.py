"""The suite's own promise: no test reaches the network, and `loopback` opens this machine alone."""

from __future__ import annotations

import os
import socket
import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_socket import SocketBlockedError, SocketConnectBlockedError

ELSEWHERE = "192.0.2.1"  # reserved for documentation (RFC 5737): nothing answers there


def test_sockets_are_blocked() -> None:
    with pytest.raises(SocketBlockedError):
        socket.create_connection((ELSEWHERE, 80), timeout=0.1)
    with pytest.raises(SocketBlockedError):
        socket.getaddrinfo("example.org", 80)
    with pytest.raises(SocketBlockedError):
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM)


def test_sockets_of_the_machine_itself_stay_open() -> None:
    left, right = socket.socketpair(socket.AF_UNIX)
    left.sendall(b"x")
    assert right.recv(1) == b"x"
    left.close()
    right.close()


@pytest.mark.loopback
def test_loopback_reaches_this_machine_only() -> None:
    server = socket.create_server(("127.0.0.1", 0))
    with server, socket.create_connection(server.getsockname(), timeout=5) as client:
        client.sendall(b"x")
        answer, _ = server.accept()
        assert answer.recv(1) == b"x"
        answer.close()
    with socket.socket() as other, pytest.raises(SocketConnectBlockedError):
        other.connect((ELSEWHERE, 80))
    with pytest.raises(RuntimeError, match=r"example\.org"):
        socket.getaddrinfo("example.org", 80)
    assert socket.getaddrinfo("localhost", 80)


SEEN: list[list[int]] = []


@pytest.mark.skipif("REMANENCE_HYPOTHESIS" in os.environ, reason="another profile was asked for")
@pytest.mark.parametrize("run", [1, 2])
def test_examples_are_the_same_every_time(run: int) -> None:
    seen: list[int] = []

    @given(st.integers())
    def collect(number: int) -> None:
        seen.append(number)

    collect()
    SEEN.append(seen)
    assert all(other == seen for other in SEEN)


def test_a_warning_is_an_error() -> None:
    with pytest.raises(UserWarning, match="careful"):
        warnings.warn("careful", stacklevel=1)
