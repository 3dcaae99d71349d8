"""The client over each of the daemon's transports."""

from collections.abc import AsyncIterator

import pytest

from tests.xenstore_sim.client.fake_device import fake_device
from tests.xenstore_sim.client.transport_contract import DOMID, TransportContract, introduce
from xenstore_sim.client import Client
from xenstore_sim.client.device_transport import DeviceTransport
from xenstore_sim.server import ServerHandle


class TestSocket(TransportContract):
    """dom0's socket."""

    @pytest.fixture
    async def guest(self, server: ServerHandle, dom0: Client) -> AsyncIterator[Client]:
        await introduce(dom0, port=1)
        async with Client.connect(server.socket_path) as client:
            yield client


class TestDomainSocket(TransportContract):
    """A domain's socket."""

    @pytest.fixture
    async def guest(self, server: ServerHandle, dom0: Client) -> AsyncIterator[Client]:
        await introduce(dom0, port=1)
        async with Client.connect(server.domain_socket_path(DOMID)) as client:
            yield client


class TestRing(TransportContract):
    """A domain's ring."""

    @pytest.fixture
    async def guest(self, server: ServerHandle, dom0: Client) -> AsyncIterator[Client]:
        await introduce(dom0, port=1)
        async with Client.connect_ring(server.ring_socket_path(DOMID)) as client:
            yield client


class TestDevice(TransportContract):
    """The device that Linux makes of a domain's ring, played by the test."""

    @pytest.fixture
    async def guest(self, server: ServerHandle, dom0: Client) -> AsyncIterator[Client]:
        await introduce(dom0, port=1)
        async with (
            fake_device(server.domain_socket_path(DOMID)) as fd,
            Client.over(DeviceTransport(fd)) as client,
        ):
            yield client
