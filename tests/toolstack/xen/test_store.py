"""The host's xenstored is found by its socket, or by the kernel's device."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import trio

from handoff.errors import XenstoreUnavailable
from toolstack.xen import store as host
from toolstack.xen.store import DeviceConnection, connect, host_store
from xenstore_sim.client.device_transport import DeviceTransport
from xenstore_sim.server import ServerHandle, serve

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
