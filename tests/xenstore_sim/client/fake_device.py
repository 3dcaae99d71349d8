"""/dev/xen/xenbus as a program sees it, without Xen: what Linux's driver does, over a daemon.

One write is one message, as one packet of a SOCK_SEQPACKET pair is; what a write has too much is
lost, and answers may come in pieces. Source: drivers/xen/xenbus/xenbus_dev_frontend.c.
"""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from xenstore_sim.wire.layout import HEADER, HEADER_SIZE, PAYLOAD_MAX

_PIECE = 1000


@asynccontextmanager
async def fake_device(daemon: Path) -> AsyncIterator[int]:
    """A descriptor of the device in a domain that `daemon` serves by this socket."""
    ours, program = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    async with await trio.open_unix_socket(str(daemon)) as stream:
        kernel = trio.socket.from_stdlib_socket(ours)
        with kernel:
            async with trio.open_nursery() as nursery:

                async def take_writes() -> None:
                    while written := await kernel.recv(HEADER_SIZE + PAYLOAD_MAX + 1):
                        _, _, _, size = HEADER.unpack_from(written)
                        await stream.send_all(written[: HEADER_SIZE + size])

                async def give_answers() -> None:
                    while data := await stream.receive_some():
                        for at in range(0, len(data), _PIECE):
                            await kernel.send(data[at : at + _PIECE])

                nursery.start_soon(take_writes)
                nursery.start_soon(give_answers)
                yield os.dup(program.fileno())
                program.close()
                nursery.cancel_scope.cancel()
