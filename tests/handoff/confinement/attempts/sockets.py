"""Attempts to talk to anyone."""

from __future__ import annotations

import os
import socket
import tempfile

from tests.handoff.confinement.attempts.registry import Attempt, attempt


def _socket(family: int, kind: int = socket.SOCK_STREAM) -> Attempt:
    return lambda: socket.socket(family, kind).close()


@attempt
def make_a_unix_socket() -> Attempt:
    return _socket(socket.AF_UNIX)


@attempt
def make_an_internet_socket() -> Attempt:
    return _socket(socket.AF_INET6)


@attempt
def make_a_netlink_socket() -> Attempt:
    return _socket(socket.AF_NETLINK, socket.SOCK_RAW)


@attempt
def make_a_socketpair() -> Attempt:
    def make() -> None:
        for end in socket.socketpair():
            end.close()

    return make


def _connect(family: int, address: str | tuple[str, int]) -> Attempt:
    listener = socket.socket(family)
    listener.bind(address)
    listener.listen()
    if family == socket.AF_INET:
        address = listener.getsockname()
    # A fork shares its sockets with this process: each needs one that is not connected yet.
    ours, forks, owner = socket.socket(family), socket.socket(family), os.getpid()

    def connect() -> None:
        assert listener.fileno() >= 0
        (ours if os.getpid() == owner else forks).connect(address)

    return connect


@attempt
def connect_to_a_socket_file() -> Attempt:
    directory = tempfile.mkdtemp()
    os.chmod(directory, 0o777)
    return _connect(socket.AF_UNIX, os.path.join(directory, "socket"))


@attempt
def connect_to_an_abstract_socket() -> Attempt:
    # A parent's listener stands in for another process: a domain may reach what it made itself,
    # and this one is made before there is a domain.
    return _connect(socket.AF_UNIX, f"\0attempt-{os.getpid()}")


@attempt
def connect_over_tcp() -> Attempt:
    return _connect(socket.AF_INET, ("127.0.0.1", 0))


@attempt
def reach_the_loopback_network() -> Attempt:
    target = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    target.bind(("127.0.0.1", 0))

    def send() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"out", target.getsockname())

    return send


@attempt
def bind_a_tcp_port() -> Attempt:
    server = socket.socket(socket.AF_INET)
    return lambda: server.bind(("127.0.0.1", 0))


@attempt
def send_to_an_address() -> Attempt:
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.bind(("127.0.0.1", 0))
    sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    return lambda: sender.sendto(b"out", receiver.getsockname())
