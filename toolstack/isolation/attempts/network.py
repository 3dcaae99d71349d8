"""Attempts to talk to anyone."""

from __future__ import annotations

import socket

from handoff.confinement import Layer
from toolstack.isolation.attempt import Attempt, Stopped
from toolstack.isolation.position import Position
from toolstack.isolation.promises import Promise

_FAMILIES = range(1, 46)
"""Every address family Linux has a number for. Source: include/linux/socket.h."""
_TYPES = (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET)


def make_a_socket_of_any_family(position: Position) -> str:
    made = set()
    errors: dict[str, int] = {}
    for family in _FAMILIES:
        for kind in _TYPES:
            try:
                socket.socket(family, kind).close()
            except OSError as error:
                reason = str(error.strerror)
                errors[reason] = errors.get(reason, 0) + 1
            else:
                made.add(family)
    if not made:
        reason = max(errors, key=lambda text: errors[text])
        raise Stopped(f"none of {len(_FAMILIES)} families: {reason}")
    return f"{len(made)} of {len(_FAMILIES)} families"


def _made(family: int, kind: int) -> str:
    socket.socket(family, kind).close()
    return "a socket"


def make_a_netlink_socket(position: Position) -> str:
    return _made(socket.AF_NETLINK, socket.SOCK_RAW)


def make_a_packet_socket(position: Position) -> str:
    return _made(socket.AF_PACKET, socket.SOCK_RAW)


def make_a_socketpair(position: Position) -> str:
    for end in socket.socketpair():
        end.close()
    return "two ends"


def _connect(family: int, address: str | tuple[str, int]) -> str:
    with socket.socket(family, socket.SOCK_STREAM) as connection:
        connection.settimeout(1)
        connection.connect(address)
    return "connected"


def connect_to_a_socket_file(position: Position) -> str:
    return _connect(socket.AF_UNIX, f"{position.around.scratch}/socket")


def connect_to_an_abstract_socket(position: Position) -> str:
    return _connect(socket.AF_UNIX, f"\0{position.around.abstract_socket}")


def connect_over_tcp(position: Position) -> str:
    return _connect(socket.AF_INET, ("127.0.0.1", position.around.tcp_port))


def listen_on_tcp(position: Position) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
    return "listening"


def send_a_datagram(position: Position) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"out", ("127.0.0.1", position.around.udp_port))
    return "sent"


ATTEMPTS = (
    Attempt(
        "make a socket of any family",
        Promise.NETWORK,
        Layer.SECCOMP,
        make_a_socket_of_any_family,
    ),
    Attempt("make a netlink socket", Promise.NETWORK, Layer.SECCOMP, make_a_netlink_socket),
    Attempt("make a packet socket", Promise.NETWORK, Layer.SECCOMP, make_a_packet_socket),
    Attempt("make a socketpair", Promise.NETWORK, Layer.SECCOMP, make_a_socketpair),
    Attempt("connect to a socket file", Promise.NETWORK, Layer.SECCOMP, connect_to_a_socket_file),
    Attempt(
        "connect to an abstract socket",
        Promise.NETWORK,
        Layer.SECCOMP,
        connect_to_an_abstract_socket,
    ),
    Attempt("connect over TCP", Promise.NETWORK, Layer.SECCOMP, connect_over_tcp),
    Attempt("listen on TCP", Promise.NETWORK, Layer.SECCOMP, listen_on_tcp),
    Attempt("send a datagram", Promise.NETWORK, Layer.SECCOMP, send_a_datagram),
)
