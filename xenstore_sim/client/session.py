"""A client over a real transport.

There is no background task. Whoever waits for an answer or an event reads the transport for all;
when it has its own, another one that waits goes on reading. So a request costs one pass of the
scheduler, and errors reach the caller as they are, not in groups.
"""

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from os import PathLike, fspath
from typing import Final, Self, TypeVar

import trio

from xenstore_sim.client.events import Event, EventBuffer
from xenstore_sim.client.operations import Operations
from xenstore_sim.client.protocol import transaction_id
from xenstore_sim.client.pump import Pump
from xenstore_sim.client.ring_transport import RingDescriptors, RingTransport, obtain_ring
from xenstore_sim.client.transport import SocketTransport, Transport, bare, connected
from xenstore_sim.wire.errors import RequestRefused, TransactionConflict
from xenstore_sim.wire.names import NO_TX, DomId, Token, TxId
from xenstore_sim.wire.ops import Errno, Op
from xenstore_sim.wire.strings import ENCODING, strings, terminated

T = TypeVar("T")

TRANSACTION_ATTEMPTS: Final = 32
EVENTS_BOUND: Final = 1024


class Client(Operations):
    """One connection to a xenstore daemon; any number of tasks may use it at once."""

    __slots__ = ("_pump", "_watches")

    def __init__(self, transport: Transport) -> None:
        """Use one of the class methods. transport: is ours now."""
        self._pump = Pump(transport)
        self._watches = 0

    @classmethod
    @asynccontextmanager
    async def connect(cls, path: str | PathLike[str]) -> AsyncIterator[Self]:
        """A client of the daemon that listens on this unix socket. Raises: Disconnected."""
        sock = await connected(fspath(path))
        async with cls.over(SocketTransport(sock)) as client:
            yield client

    @classmethod
    @asynccontextmanager
    async def connect_ring(cls, path: str | PathLike[str]) -> AsyncIterator[Self]:
        """A client on the ring that is handed out at this unix socket. Raises: Disconnected."""
        async with cls.over(await obtain_ring(fspath(path))) as client:
            yield client

    @classmethod
    @asynccontextmanager
    async def from_socket(cls, stream: trio.SocketStream | socket.socket) -> AsyncIterator[Self]:
        """A client on a connected stream, which it closes at the end."""
        async with cls.over(SocketTransport(bare(stream))) as client:
            yield client

    @classmethod
    @asynccontextmanager
    async def from_ring(cls, page: int, to_server: int, to_client: int) -> AsyncIterator[Self]:
        """A client on this shared page, with these doorbells, which it closes at the end.

        page: a descriptor of 4096 bytes, mapped here and now. to_server: eight bytes written to it
        ring. to_client: readable when rung, and reading clears it; may be the same socket.
        Raises: Disconnected, where the page cannot be mapped.
        """
        async with cls.over(RingTransport(RingDescriptors(page, to_server, to_client))) as client:
            yield client

    @classmethod
    @asynccontextmanager
    async def over(cls, transport: Transport) -> AsyncIterator[Self]:
        """A client on a transport, which it closes at the end."""
        client = cls(transport)
        try:
            yield client
        finally:
            client.close()

    def close(self) -> None:
        """End the connection: every task that waits on it gets Disconnected. Safe twice."""
        self._pump.close()

    @property
    def round_trips(self) -> int:
        """Requests made so far on this connection."""
        return self._pump.protocol.round_trips

    # -- domains

    async def get_domain_path(self, domid: DomId) -> str:
        """The home directory of a domain, whether it exists or not."""
        return await self._text(Op.GET_DOMAIN_PATH, str(domid))

    async def introduce(self, domid: DomId, gfn: int, port: int) -> None:
        """Let the daemon serve this domain. gfn, port: of its store ring; port at least 1."""
        await self._ask(Op.INTRODUCE, terminated(str(domid), str(gfn), str(port)))

    async def release(self, domid: DomId) -> None:
        """Let the daemon drop this domain and the nodes it owns."""
        await self._ask(Op.RELEASE, terminated(str(domid)))

    async def is_domain_introduced(self, domid: DomId) -> bool:
        """Whether the daemon serves this domain."""
        return await self._text(Op.IS_DOMAIN_INTRODUCED, str(domid)) == "T"

    async def set_target(self, domid: DomId, target: DomId) -> None:
        """Let the domain do what its target may; both must be introduced."""
        await self._ask(Op.SET_TARGET, terminated(str(domid), str(target)))

    async def control(self, *command: str) -> str:
        """What the daemon says to this command."""
        return await self._text(Op.CONTROL, *command)

    # -- transactions

    @asynccontextmanager
    async def begin(self) -> AsyncIterator["Transaction"]:
        """A transaction, committed at the end of the block and dropped when the block raises.

        Raises: RequestRefused by TRANSACTION_END; EAGAIN means that others changed what the
        transaction had touched, and nothing was done.
        """
        tx_id = transaction_id(await self._ask(Op.TRANSACTION_START, b"\0"))
        try:
            yield Transaction(self, tx_id)
        except BaseException:
            # No await: this must also happen, at once, while the task is being cancelled.
            self._pump.request_and_abandon(Op.TRANSACTION_END, b"F\0", tx_id)
            raise
        await self._ask(Op.TRANSACTION_END, b"T\0", tx_id)

    async def transaction(
        self,
        body: Callable[["Transaction"], Awaitable[T]],
        *,
        attempts: int = TRANSACTION_ATTEMPTS,
    ) -> T:
        """What `body` returned in the transaction that went through; it may run several times.

        attempts: at least 1. Raises: TransactionConflict when none went through.
        """
        for _ in range(attempts):
            try:
                async with self.begin() as transaction:
                    result = await body(transaction)
            except RequestRefused as refused:
                if (refused.op, refused.errno) != (Op.TRANSACTION_END, Errno.EAGAIN):
                    raise
            else:
                return result
        raise TransactionConflict(attempts)

    # -- watches

    @asynccontextmanager
    async def watch(
        self, path: str, token: Token | None = None, *, bound: int = EVENTS_BOUND
    ) -> AsyncIterator["Watch"]:
        """The events at and below this path while the block runs; the first comes at once.

        token: None takes one that no other watch of this client has.
        bound: unread events kept, each path counted once; reading after more raises EventsLost.
        """
        if token is None:
            self._watches += 1
            token = Token(b"w%d" % self._watches)
        buffer = EventBuffer(path, token, bound)
        payload = terminated(path, token.decode(ENCODING))
        self._pump.protocol.add_buffer(buffer)
        try:
            await self._ask(Op.WATCH, payload)
            try:
                yield Watch(self._pump, buffer)
            finally:
                self._pump.request_and_abandon(Op.UNWATCH, payload)
        finally:
            self._pump.protocol.remove_buffer(buffer)

    async def _ask(self, op: Op, payload: bytes, tx_id: TxId = NO_TX) -> bytes:
        answer = await self._pump.ask(op, payload, tx_id)
        if answer.errno is not None:
            raise RequestRefused(answer.errno, op, (strings(payload) or [""])[0])
        return answer.payload

    async def _text(self, op: Op, *arguments: str) -> str:
        return (await self._ask(op, terminated(*arguments))).rstrip(b"\0").decode("latin-1")


class Transaction(Operations):
    """Requests inside a transaction; made by `Client.begin` and `Client.transaction`."""

    __slots__ = ("_client", "tx_id")

    def __init__(self, client: Client, tx_id: TxId) -> None:
        self._client = client
        self.tx_id = tx_id

    async def _ask(self, op: Op, payload: bytes) -> bytes:
        return await self._client._ask(op, payload, self.tx_id)


class Watch:
    """The events of one watch, to be read by one task; made by `Client.watch`."""

    __slots__ = ("_buffer", "_pump")

    def __init__(self, pump: Pump, buffer: EventBuffer) -> None:
        self._pump = pump
        self._buffer = buffer

    async def get(self) -> Event:
        """The next event. Raises: EventsLost, Disconnected once all events are read."""
        await self._pump.wait_for_event(self._buffer)
        return self._buffer.get()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        return await self.get()
