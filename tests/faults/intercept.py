"""A run directory between the toolstack and xenstored, where every message can be stopped.

It serves `socket` and `domain/N` as xenstored does and passes messages on, each way in order. A
gate is asked before a request goes on and before its reply does; what it does to processes
meanwhile happens at exactly that step.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import trio

from tests.faults.steps import RequestStep, StepReader
from tests.faults.trial import Moment
from xenstore_sim.wire.decoder import Decoder
from xenstore_sim.wire.layout import Packet, encode_packet
from xenstore_sim.wire.ops import Op

Gate = Callable[[RequestStep, Moment], Awaitable[bool]]
"""False: the connection is cut here."""

_CHUNK = 1 << 16
_GONE = (OSError, trio.BrokenResourceError, trio.ClosedResourceError)


async def open_gate(step: RequestStep, moment: Moment) -> bool:
    """Lets everything pass."""
    await trio.lowlevel.checkpoint()
    return True


@dataclass(slots=True)
class Intercept:
    """The directory; use as `await nursery.start(intercept.serve)`."""

    directory: Path
    xenstored: Path
    """its run directory"""
    gate: Gate = open_gate
    connections: int = 0
    """open ones"""
    _listening: dict[int, trio.CancelScope] = field(default_factory=dict)

    async def serve(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        (self.directory / "domain").mkdir(parents=True, exist_ok=True)
        async with trio.open_nursery() as nursery:
            await nursery.start(self._listen, nursery, None)
            task_status.started()
            await trio.sleep_forever()

    async def _listen(
        self,
        nursery: trio.Nursery,
        domid: int | None,
        task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED,
    ) -> None:
        name = "socket" if domid is None else f"domain/{domid}"
        path = self.directory / name
        path.unlink(missing_ok=True)
        with trio.CancelScope() as scope, trio.socket.socket(trio.socket.AF_UNIX) as listener:
            if domid is not None:
                self._listening[domid] = scope
            try:
                await listener.bind(str(path))
                listener.listen()
                task_status.started()
                while True:
                    accepted, _ = await listener.accept()
                    client = trio.SocketStream(accepted)
                    nursery.start_soon(self._connect, nursery, client, name, domid is None)
            finally:
                path.unlink(missing_ok=True)

    async def _connect(
        self, nursery: trio.Nursery, client: trio.SocketStream, name: str, of_dom0: bool
    ) -> None:
        self.connections += 1
        try:
            async with client:
                with suppress(*_GONE):
                    async with await trio.open_unix_socket(str(self.xenstored / name)) as daemon:
                        await self._pass(nursery, client, daemon, of_dom0)
        finally:
            self.connections -= 1

    async def _pass(
        self,
        listeners: trio.Nursery,
        client: trio.SocketStream,
        daemon: trio.SocketStream,
        of_dom0: bool,
    ) -> None:
        """Both ways until either end closes."""
        reader = StepReader(of_dom0)
        asked: dict[int, tuple[Packet, tuple[RequestStep, ...]]] = {}

        async def request(packet: Packet) -> bool:
            steps = reader.step(packet)
            asked[packet.req_id] = packet, steps
            return all([await self.gate(step, Moment.BEFORE) for step in steps])

        async def reply(packet: Packet) -> bool:
            if packet.type == Op.WATCH_EVENT or packet.req_id not in asked:
                return True
            question, steps = asked.pop(packet.req_id)
            if packet.type in (Op.INTRODUCE, Op.RELEASE):
                domid = int(question.payload.partition(b"\0")[0])
                if packet.type == Op.INTRODUCE and domid not in self._listening:
                    await listeners.start(partial(self._listen, listeners, domid))
                elif packet.type == Op.RELEASE and domid in self._listening:
                    self._listening.pop(domid).cancel()
            return all([await self.gate(step, Moment.AFTER) for step in steps])

        async with trio.open_nursery() as nursery:
            nursery.start_soon(_relay, client, daemon, request, nursery.cancel_scope)
            nursery.start_soon(_relay, daemon, client, reply, nursery.cancel_scope)

    def forget(self) -> None:
        """xenstored is another one: no domain is introduced."""
        while self._listening:
            self._listening.popitem()[1].cancel()


async def _relay(
    source: trio.SocketStream,
    sink: trio.SocketStream,
    check: Callable[[Packet], Awaitable[bool]],
    both: trio.CancelScope,
) -> None:
    decoder = Decoder()
    with suppress(*_GONE):
        while data := await source.receive_some(_CHUNK):
            decoder.feed(data)
            while (packet := decoder.next_packet()) is not None:
                if not await check(packet):
                    both.cancel()
                    return
                await sink.send_all(encode_packet(*packet))
    both.cancel()
