"""The host's xenstored, by its socket in dom0 or by Linux's device."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import trio

from handoff.errors import XenstoreUnavailable
from handoff.keys import HandoffKeys
from toolstack.domain_connection import DomainConnection, SocketConnection
from toolstack.store import ANSWER_S, Store
from xenstore_sim.client import Client
from xenstore_sim.client.device_transport import DeviceTransport
from xenstore_sim.client.operations import Operations
from xenstore_sim.client.transport import SocketTransport, connected
from xenstore_sim.wire.errors import Disconnected, XenstoreError

SOCKETS: Final = ("/run/xenstored/socket", "/var/run/xenstored/socket")
"""Where xenstored listens if it is a process of this domain."""


class DeviceConnection:
    """An opening of the xenstore device; implements the port DomainConnection."""

    __slots__ = ("_fd",)

    def __init__(self, fd: int) -> None:
        """fd: is ours now."""
        self._fd: int | None = fd

    @property
    def descriptors(self) -> tuple[int, ...]:
        assert self._fd is not None, "handed over already"
        return (self._fd,)

    def handed_over(self) -> None:
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None

    def close(self) -> None:
        self.handed_over()


async def connect() -> DomainConnection:
    """A connection of dom0's, to be handed to a process. Raises: XenstoreUnavailable."""
    transport = await _open()
    if isinstance(transport, DeviceTransport):
        return DeviceConnection(transport.descriptor)
    return SocketConnection(transport)


@asynccontextmanager
async def host_store() -> AsyncIterator[Store]:
    """The host's xenstored as the toolstack uses it. Raises: XenstoreUnavailable."""
    opened = await _open()
    transport = opened if isinstance(opened, DeviceTransport) else SocketTransport(opened)
    try:
        async with Client.over(transport) as client:
            with trio.fail_after(ANSWER_S):
                await client.exists("/local/domain/0")
            yield Store(client, Path(SOCKETS[0]).parent)
    except XenstoreError as error:
        raise XenstoreUnavailable(f"the host's xenstored: {error}") from error
    except trio.TooSlowError as error:
        raise XenstoreUnavailable(
            f"the host's xenstored does not answer within {ANSWER_S:g} s: is it running?"
        ) from error


async def forget(client: Client, keys: HandoffKeys) -> None:
    """Nothing of these keys is left, nor their directory if it was the last one there.

    Raises: XenstoreError, also if there is nothing.
    """
    above = keys.home.rpartition("/")[0]

    async def take(transaction: Operations) -> None:
        # A handoff that begins at this very moment makes the transaction start anew.
        await transaction.rm(keys.home)
        if not await transaction.directory(above):
            await transaction.rm(above)

    await client.transaction(take)


async def _open() -> socket.socket | DeviceTransport:
    for path in SOCKETS:
        if not await trio.Path(path).exists():
            continue
        try:
            return await connected(path)
        except Disconnected as error:
            raise XenstoreUnavailable(f"the host's xenstored: {error}") from error
    try:
        return DeviceTransport.open()
    except Disconnected as error:
        raise XenstoreUnavailable(f"{SOCKETS[0]} is not there, and {error}") from error
