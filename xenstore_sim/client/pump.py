"""Moves bytes between a transport and the client's protocol, in whichever task waits."""

from collections.abc import Callable
from typing import Final

import trio

from xenstore_sim.client.events import EventBuffer
from xenstore_sim.client.protocol import Answer, ClientProtocol
from xenstore_sim.client.transport import Transport
from xenstore_sim.wire.errors import Disconnected, ProtocolViolation
from xenstore_sim.wire.names import NO_TX, ReqId, TxId
from xenstore_sim.wire.ops import Op

IN_FLIGHT_MAX: Final = 64
"""Requests awaiting their answer, abandoned ones included; further callers wait."""


class _Follower:
    """A task that waits while another one reads."""

    __slots__ = ("ready", "woken")

    def __init__(self, ready: Callable[[], bool]) -> None:
        self.ready = ready
        self.woken = trio.Event()


class Pump:
    """The one reader and writer of a transport. At any time at most one task leads, that is reads;
    the others follow, and are woken when they have what they wait for or should lead."""

    __slots__ = (
        "_answers",
        "_failure",
        "_followers",
        "_leading",
        "_pause",
        "_transport",
        "protocol",
    )

    def __init__(self, transport: Transport) -> None:
        self.protocol = ClientProtocol()
        self._transport = transport
        self._answers: dict[ReqId, Answer | None] = {}
        self._failure: str | None = None
        self._followers: list[_Follower] = []
        self._leading = False
        self._pause: trio.CancelScope | None = None

    async def ask(self, op: Op, payload: bytes, tx_id: TxId = NO_TX) -> Answer:
        """The answer to this request. Raises: Disconnected."""
        await self._until(lambda: self.protocol.in_flight < IN_FLIGHT_MAX)
        self._check_open()
        req_id = self.protocol.request(op, payload, tx_id)
        self._answers[req_id] = None
        try:
            self._send()
            await self._until(lambda: self._answers[req_id] is not None)
        except BaseException:
            # The answer may have come in after the cancellation and before this task ran.
            if (answer := self._answers[req_id]) is None:
                self.protocol.abandon(req_id)
            elif answer.errno is None:
                self.protocol.undo(op, payload, answer.payload)
                self._send()
            raise
        finally:
            answered = self._answers.pop(req_id)
        assert answered is not None, "the wait above ends with an answer or an exception"
        return answered

    def request_and_abandon(self, op: Op, payload: bytes, tx_id: TxId = NO_TX) -> None:
        """Make a request whose answer does not matter; nothing happens when the peer is gone."""
        if self._failure is None:
            self.protocol.request_and_abandon(op, payload, tx_id)
            self._send()

    async def wait_for_event(self, buffer: EventBuffer) -> None:
        """Return when the buffer is ready. Raises: Disconnected."""
        await trio.lowlevel.checkpoint()
        await self._until(lambda: buffer.ready)

    def close(self) -> None:
        """Close the transport; every task that waits gets Disconnected."""
        self._fail("this client closed the xenstore connection")

    # -- waiting

    async def _until(self, ready: Callable[[], bool]) -> None:
        """Return when `ready`; read for all, or wait while another task does."""
        try:
            while not ready():
                self._check_open()
                if self._leading:
                    await self._follow(ready)
                else:
                    await self._lead(ready)
        finally:
            # However this task leaves, one that stays must lead. Every task woken comes back to
            # the loop above or to here, so the lead is never lost.
            if self._followers and not self._leading:
                self._followers[0].woken.set()

    async def _lead(self, ready: Callable[[], bool]) -> None:
        self._leading = True
        try:
            while not ready() and self._failure is None:
                await self._turn()
        finally:
            self._leading = False

    async def _follow(self, ready: Callable[[], bool]) -> None:
        follower = _Follower(ready)
        self._followers.append(follower)
        try:
            await follower.woken.wait()
        finally:
            self._followers.remove(follower)

    async def _turn(self) -> None:
        """Wait for the transport, then read what it has and write what it takes."""
        with trio.CancelScope() as self._pause:
            await self._transport.wait(to_send=bool(self.protocol.outgoing))
        self._pause = None
        self._receive()
        self._send()
        for follower in self._followers:
            if follower.ready():
                follower.woken.set()

    # -- bytes

    def _receive(self) -> None:
        if self._failure is not None:
            return
        try:
            for answer in self.protocol.receive(self._transport.receive()):
                self._answers[answer.req_id] = answer
        except BlockingIOError:
            return
        except Disconnected as ended:
            self._fail(str(ended))
        except ProtocolViolation as violation:
            self._fail(f"the xenstore daemon broke the protocol: {violation}")

    def _send(self) -> None:
        """Send what the transport takes now; the leader sees to the rest."""
        while self.protocol.outgoing and self._failure is None:
            try:
                self.protocol.was_sent(self._transport.send(self.protocol.outgoing))
            except BlockingIOError:
                if self._pause is not None:
                    # The leader waits for input only; let it wait for both.
                    self._pause.cancel()
                return
            except Disconnected as ended:
                self._fail(str(ended))
            except ProtocolViolation as violation:
                self._fail(f"the xenstore daemon broke the protocol: {violation}")

    def _fail(self, failure: str) -> None:
        if self._failure is not None:
            return
        self._failure = failure
        self._transport.close()
        for follower in self._followers:
            follower.woken.set()

    def _check_open(self) -> None:
        if self._failure is not None:
            raise Disconnected(self._failure)
