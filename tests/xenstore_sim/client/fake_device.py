"""/dev/xen/xenbus as a program sees it, without Xen: what Linux's driver does, over a daemon.

One write is one message, as one packet of a SOCK_SEQPACKET pair is; what a write has too much is
lost, and answers may come in pieces. A request before the last one is answered, which the driver
would mangle, ends the test. Source: drivers/xen/xenbus/xenbus_dev_frontend.c.
"""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import trio

from xenstore_sim.wire.decoder import Decoder
from xenstore_sim.wire.layout import HEADER, HEADER_SIZE, PAYLOAD_MAX
from xenstore_sim.wire.ops import Op

_PIECE = 1000


@asynccontextmanager
async def fake_device(daemon: Path) -> AsyncIterator[int]:
    """A descriptor of the device in a domain that `daemon` serves by this socket."""
    ours, program = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    async with await trio.open_unix_socket(str(daemon)) as stream:
        kernel = trio.socket.from_stdlib_socket(ours)
        with kernel:
            async with trio.open_nursery() as nursery:
                answered = True
                decoder = Decoder()

                async def take_writes() -> None:
                    nonlocal answered
                    while written := await kernel.recv(HEADER_SIZE + PAYLOAD_MAX + 1):
                        _, _, _, size = HEADER.unpack_from(written)
                        assert answered, "a request while another one is under way"
                        answered = False
                        await stream.send_all(written[: HEADER_SIZE + size])

                async def give_answers() -> None:
                    nonlocal answered
                    while data := await stream.receive_some():
                        decoder.feed(data)
                        while (packet := decoder.next_packet()) is not None:
                            answered |= packet.type != Op.WATCH_EVENT
                        for at in range(0, len(data), _PIECE):
                            await kernel.send(data[at : at + _PIECE])

                nursery.start_soon(take_writes)
                nursery.start_soon(give_answers)
                yield os.dup(program.fileno())
                program.close()
                nursery.cancel_scope.cancel()
