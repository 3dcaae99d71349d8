"""The ioreq channel, made by the toolstack: one end for the device model, one for the machine."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class IoreqChannel:
    """A pair of SOCK_SEQPACKET sockets. The toolstack reads nothing of what passes there."""

    device_model: socket.socket
    machine: socket.socket


@contextmanager
def ioreq_channel() -> Iterator[IoreqChannel]:
    """A channel; what was not handed over of it is closed at the end."""
    device_model, machine = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with device_model, machine:
        yield IoreqChannel(device_model, machine)
