"""Dom0's connection to xenstored, and what a stub domain's own connection starts from."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from handoff.errors import XenstoreUnavailable
from handoff.keys import StoreWrite
from toolstack.domain_connection import (
    DomainConnection,
    RingConnection,
    SocketConnection,
    StoreTransport,
)
from toolstack.domain_tree import (
    DestroyDomain,
    Introduce,
    MakeDirectory,
    NodeAction,
    Remove,
    SetTarget,
    Step,
    Transaction,
)
from xenstore_sim.client import Client
from xenstore_sim.client.operations import Operations
from xenstore_sim.client.ring_transport import RingDescriptors
from xenstore_sim.client.transport import connected
from xenstore_sim.wire.errors import Disconnected, RequestRefused
from xenstore_sim.wire.names import DomId
from xenstore_sim.wire.ops import Errno

CONNECT_S = 10.0
ANSWER_S = 30.0
"""Longest wait for xenstored to carry out one step."""


@dataclass(frozen=True, slots=True)
class Store:
    """xenstored as the toolstack uses it."""

    client: Client
    rundir: Path

    async def carry_out(self, step: Step) -> None:
        """Does what `step` says. Raises: XenstoreError, XenstoreUnavailable."""
        with _answered():
            match step:
                case Transaction(actions):
                    await self.write_all(actions)
                case Introduce(domid, gfn, port):
                    await self.client.introduce(domid, gfn, port)
                case SetTarget(stubdom, target):
                    await self.client.set_target(stubdom, target)
                case DestroyDomain(domid):
                    await self._release(domid)
                case StoreWrite() | Remove() | MakeDirectory():
                    await _act(self.client, step)

    async def write_all(self, actions: Sequence[NodeAction]) -> None:
        """All of `actions`, in order, in one transaction.

        Raises: XenstoreError, XenstoreUnavailable.
        """

        async def act(transaction: Operations) -> None:
            for action in actions:
                await _act(transaction, action)

        with _answered():
            await self.client.transaction(act)

    async def _release(self, domid: DomId) -> None:
        """What xenstored would hear from the hypervisor; an unknown domain is gone already."""
        try:
            await self.client.release(domid)
        except RequestRefused as refused:
            if refused.errno is not Errno.ENOENT:
                raise

    async def connect_as(self, domid: DomId, transport: StoreTransport) -> DomainConnection:
        """A connection whose peer is `domid`: what its device model is given.

        Raises: XenstoreUnavailable if xenstored does not let the domain in.
        """
        directory = {StoreTransport.SOCKET: "domain", StoreTransport.RING: "ring"}[transport]
        path = self.rundir / directory / str(domid)
        with trio.move_on_after(CONNECT_S):
            try:
                sock = await connected(str(path))
            except Disconnected as error:
                raise XenstoreUnavailable(
                    f"domain {domid} gets no xenstore connection: {error}"
                ) from error
            if transport is StoreTransport.SOCKET:
                return SocketConnection(sock)
            return await _ring_of(domid, sock)
        raise XenstoreUnavailable(f"xenstored did not accept domain {domid} in {CONNECT_S:g} s")

    async def domains_in_use(self) -> frozenset[DomId]:
        """Domids that have a directory already. Raises: XenstoreError, XenstoreUnavailable."""
        with _answered():
            if not await self.client.exists("/local/domain"):
                return frozenset()
            names = await self.client.directory("/local/domain")
        return frozenset(DomId(int(name)) for name in names if name.isdecimal())


async def _ring_of(domid: DomId, lifeline: socket.socket) -> RingConnection:
    """The ring that xenstored hands out on this socket. Raises: XenstoreUnavailable."""
    try:
        return RingConnection(await RingDescriptors.receive(lifeline), lifeline)
    except BaseException as error:
        lifeline.close()
        if isinstance(error, Disconnected):
            raise XenstoreUnavailable(f"domain {domid} gets no xenstore ring: {error}") from error
        raise


@contextmanager
def _answered() -> Iterator[None]:
    """A bound for what xenstored may take. Raises: XenstoreUnavailable."""
    try:
        with trio.fail_after(ANSWER_S):
            yield
    except trio.TooSlowError as error:
        raise XenstoreUnavailable(f"xenstored did not answer within {ANSWER_S:g} s") from error


async def _act(where: Operations, action: NodeAction) -> None:
    match action:
        case StoreWrite(path, value, perms):
            await where.write(path, value)
            if perms is not None:
                await where.set_perms(path, perms)
        case MakeDirectory(path, perms):
            await where.mkdir(path)
            await where.set_perms(path, perms)
        case Remove(path):
            try:
                await where.rm(path)
            except RequestRefused as refused:
                if refused.errno is not Errno.ENOENT:
                    raise
