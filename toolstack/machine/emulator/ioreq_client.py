"""Ports that the device model answers: each access is a request on the ioreq channel.

The vCPU stands still until the answer is there, as it does on Xen.
"""

from __future__ import annotations

import socket

from handoff.addresses import GpaRange
from handoff.errors import PeerMisbehaved
from handoff.ioreq import (
    COUNT_MAX,
    IOREQ_BYTES,
    Direction,
    Ioreq,
    IoreqType,
    decode_answer,
)
from toolstack.machine.emulator.stop import GuestStopped, StopReason

FW_CFG_PORTS = range(0x510, 0x51C)
"""What this machine leaves to a device model. Source: docs/specs/fw_cfg.rst of QEMU."""
ANSWER_S = 30.0
"""Longest wait for an answer, seconds: a copy of all of the guest's RAM takes a few."""


class IoreqClient:
    """Implements StringPortDevice over a connected SOCK_SEQPACKET socket."""

    def __init__(self, channel: socket.socket, answer_s: float = ANSWER_S) -> None:
        """channel: kept by the caller. answer_s: longest wait for an answer, seconds."""
        channel.settimeout(answer_s)
        self._channel = channel
        self._answer_s = answer_s

    def read(self, port: int, size: int) -> int:
        return self._ask(Ioreq(IoreqType.PIO, Direction.READ, port, size)).data

    def write(self, port: int, size: int, value: int) -> None:
        self._ask(Ioreq(IoreqType.PIO, Direction.WRITE, port, size, value))

    def read_string(self, port: int, size: int, to: GpaRange) -> None:
        count = to.size // size
        assert count * size == to.size
        assert count <= COUNT_MAX
        self._ask(Ioreq(IoreqType.PIO, Direction.READ, port, size, to.start, count, True))

    def _ask(self, request: Ioreq) -> Ioreq:
        """Raises: GuestStopped without an answer."""
        try:
            self._channel.send(request.encode())
            packet = self._channel.recv(IOREQ_BYTES + 1)
        except TimeoutError as error:
            why = f"its device model did not answer within {self._answer_s:g} s"
            raise self._abandoned(request, why) from error
        except OSError as error:
            raise self._abandoned(request, f"its device model is gone ({error})") from error
        if not packet:
            raise self._abandoned(request, "its device model is gone")
        try:
            return decode_answer(packet, request)
        except PeerMisbehaved as error:
            raise self._abandoned(request, str(error)) from error

    def _abandoned(self, request: Ioreq, why: str) -> GuestStopped:
        return GuestStopped(StopReason.ABANDONED, f"port {request.addr:#x}: {why}")
