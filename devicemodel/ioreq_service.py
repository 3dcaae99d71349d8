"""The ioreq channel's shell: requests of the machine in, answers of the devices out."""

from __future__ import annotations

import socket

import trio

from devicemodel.io_dispatch import IoDispatch
from handoff.errors import MachineError, PeerMisbehaved, RamAccessError
from handoff.ioreq import IOREQ_BYTES, decode_request

ANSWER_S = 10.0
"""Longest wait for the machine to take an answer: it does nothing else meanwhile."""


async def serve_ioreqs(channel: socket.socket, devices: IoDispatch) -> None:
    """Answers one request after the other until the machine closes the channel.

    channel: SOCK_SEQPACKET, kept by the caller. A guest may ask for nothing as long as it
    likes. Raises: PeerMisbehaved for what is no request, MachineError if the machine does not
    take its answer, and what a device raises.
    """
    packets = trio.socket.from_stdlib_socket(channel)
    while packet := await _receive(packets):
        request = decode_request(packet)
        try:
            answer = devices.answer(request)
        except RamAccessError as error:
            raise PeerMisbehaved(f"ioreq data: {error}") from error
        try:
            with trio.fail_after(ANSWER_S):
                await packets.send(answer.encode())
        except BrokenPipeError:
            return
        except trio.TooSlowError as error:
            raise MachineError(f"the machine took no answer within {ANSWER_S:g} s") from error


async def _receive(packets: trio.socket.SocketType) -> bytes:
    """The next packet, empty when the machine is gone; one byte more shows a longer one."""
    try:
        return await packets.recv(IOREQ_BYTES + 1)
    except ConnectionResetError:
        return b""
