"""The host's xenstored is found by its socket, or by the kernel's device."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import pytest
import trio

from handoff.errors import XenstoreUnavailable
from handoff.keys import HandoffKeys
from toolstack.xen import store as host
from toolstack.xen.store import DeviceConnection, connect, forget, host_store
from xenstore_sim.client.device_transport import DeviceTransport
from xenstore_sim.client.operations import Operations
from xenstore_sim.server import ServerHandle, serve
from xenstore_sim.wire.names import DOM0, DomId

HAS_XEN = os.path.exists("/dev/xen/xenbus")


@pytest.fixture
async def server(
    nursery: trio.Nursery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> ServerHandle:
    """A xenstored that listens where a host's does."""
    handle: ServerHandle = await nursery.start(serve, tmp_path)
    monkeypatch.setattr(host, "SOCKETS", (str(tmp_path / "missing"), str(handle.socket_path)))
    return handle


async def test_the_toolstack_and_the_device_model_have_connections_of_their_own(
    server: ServerHandle,
) -> None:
    before = server.statistics().connections
    async with host_store() as store:
        # xen-init-dom0 makes it; ours is bare.
        await store.client.write("/local/domain/0/domid", "0")
        connection = await connect()
        assert len(connection.descriptors) == 1
        assert server.statistics().connections == before + 1
        connection.close()


async def test_the_directory_of_all_handoffs_goes_with_the_last_one(server: ServerHandle) -> None:
    async with host_store() as store:
        for target in 7, 8:
            await store.client.write(HandoffKeys(DOM0, DomId(target)).offer_state, "1 published")
        await forget(store.client, HandoffKeys(DOM0, DomId(7)))
        assert await store.client.directory("/local/domain/0/direct-boot") == ("8",)
        await forget(store.client, HandoffKeys(DOM0, DomId(8)))
        assert not await store.client.exists("/local/domain/0/direct-boot")


async def test_a_handoff_that_begins_as_another_is_forgotten_keeps_its_nodes(
    server: ServerHandle, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = HandoffKeys(DOM0, DomId(7)), HandoffKeys(DOM0, DomId(8))
    listed = Operations.directory

    async with host_store() as store, host_store() as other:
        await store.client.write(ours.offer_state, "1 published")

        async def directory(self: Operations, path: str) -> Sequence[str]:
            found = await listed(self, path)
            if not await other.client.exists(theirs.offer_state):
                await other.client.write(theirs.offer_state, "1 published")
            return found

        monkeypatch.setattr(Operations, "directory", directory)
        await forget(store.client, ours)
        assert await other.client.read(theirs.offer_state) == b"1 published"
        assert not await other.client.exists(ours.home)


@pytest.mark.skipif(HAS_XEN, reason="this is a domain of a Xen host")
async def test_a_host_with_neither_is_told_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(host, "SOCKETS", (str(tmp_path / "socket"),))
    with pytest.raises(XenstoreUnavailable, match=r"socket is not there, and no xenstore device"):
        async with host_store():
            pytest.fail("there is no xenstored")


async def test_a_socket_nobody_listens_at_is_told_by_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "socket").touch()
    monkeypatch.setattr(host, "SOCKETS", (str(tmp_path / "socket"),))
    with pytest.raises(XenstoreUnavailable, match=r"host's xenstored: .*/socket"):
        await connect()


async def test_without_a_socket_the_device_is_handed_over(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    device = tmp_path / "xenbus"
    os.mkfifo(device)
    monkeypatch.setattr(host, "SOCKETS", ())
    monkeypatch.setattr("xenstore_sim.client.device_transport.DEVICES", (str(device),))
    connection = await connect()
    assert isinstance(connection, DeviceConnection)
    (fd,) = connection.descriptors
    assert os.readlink(f"/proc/self/fd/{fd}") == str(device)
    connection.handed_over()
    connection.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_the_transport_of_a_device_is_opened_non_blocking(tmp_path: Path) -> None:
    device = tmp_path / "xenbus"
    os.mkfifo(device)
    fd = DeviceTransport.open(str(device)).descriptor
    assert not os.get_blocking(fd)
    os.close(fd)
