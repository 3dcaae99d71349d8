"""A daemon on real sockets, and clients of it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from tests.deadline import missed_after
from xenstore_sim.client import Client
from xenstore_sim.server import ServerHandle, serve

DEADLINE_S = 60


@pytest.fixture
async def server(nursery: trio.Nursery, tmp_path: Path) -> ServerHandle:
    """A daemon in this test's own nursery; it ends with its deadline, and every wait with it."""
    nursery.start_soon(missed_after, DEADLINE_S)
    handle: ServerHandle = await nursery.start(serve, tmp_path / "run")
    return handle


@pytest.fixture
async def dom0(server: ServerHandle) -> AsyncIterator[Client]:
    """A client on the privileged socket."""
    async with Client.connect(server.socket_path) as client:
        yield client
