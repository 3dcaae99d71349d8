"""A real Xen host: libxl builds the guest paused, we hand its kernel across and let it go.

QEMU in dom0, which libxl starts, emulates the guest's devices as always. The device model of the
handoff runs in a stub domain of its own where the configuration has
device_model_stubdomain_override=1. Else it is a process of dom0, so S is domain 0: it can be kept
from every domain but its target, but not from the rest of xenstore, which knows it as dom0.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import trio

from handoff.foreign_memory import ForeignMemory
from handoff.keys import HandoffKeys
from toolstack.config import GuestConfig
from toolstack.device_model import STUBDOM_UID_BASE, DeviceModelCommand, device_model
from toolstack.host import DeviceModelWish, GuestDomain, RunningDeviceModel
from toolstack.progress import Progress
from toolstack.store import Store
from toolstack.xen.built_domain import Builder
from toolstack.xen.domain_config import domain_config
from toolstack.xen.libxc import Libxc, require_dom0
from toolstack.xen.machine import DomainMachine
from toolstack.xen.memory import XenMemory, domain_memory
from toolstack.xen.option_rom import option_rom
from toolstack.xen.store import connect, forget, host_store
from toolstack.xen.stub_domain import Target, stub_domain
from toolstack.xen.stub_settings import StubSettings
from toolstack.xen.xl import Xl
from xenstore_sim.client import Client
from xenstore_sim.wire.errors import XenstoreError
from xenstore_sim.wire.names import DOM0, DomId

CLEAN_UP_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class XenGuest:
    """Implements the port GuestDomain."""

    domid: DomId
    uuid: UUID
    memory: XenMemory
    client: Client
    libxc: Libxc

    def machine(self, ioreq_fd: int | None) -> DomainMachine:
        assert ioreq_fd is None, "no device model of ours serves devices on Xen"
        return DomainMachine(self.domid, self.client, self.libxc)


@dataclass(frozen=True, slots=True)
class XenHost:
    """Implements the port Host."""

    config: GuestConfig
    store: Store
    builder: Builder
    open_memory: Callable[[], ForeignMemory] = ForeignMemory

    @asynccontextmanager
    async def guest(self) -> AsyncIterator[GuestDomain]:
        """Raises: ConfigError before anything is built; HypervisorError with what xl or Xen said,
        nothing of the domain is left."""
        config, identity = self.config, self.config.uuid or uuid.uuid4()
        libxc, client = self.builder.libxc, self.store.client
        if config.device_model_stubdomain_override:
            StubSettings.of(config)
        with self.builder.directory(identity) as home:
            text = domain_config(config, identity, home.link(option_rom()))
            fresh = config.uuid is None
            async with self.builder.domain(config.name, text, home, fresh=fresh) as domid:
                with closing(self.open_memory()) as memory:
                    memory.restrict(domid)
                    ram = domain_memory(memory, domid)
                    yield XenGuest(domid, identity, ram, client, libxc)

    @asynccontextmanager
    async def device_model(
        self, guest: GuestDomain, wish: DeviceModelWish, progress: Progress
    ) -> AsyncIterator[tuple[HandoffKeys, RunningDeviceModel]]:
        assert isinstance(guest, XenGuest), "it came from this host"
        if self.config.device_model_stubdomain_override:
            target = Target(guest.domid, guest.uuid, guest.memory.words)
            async with stub_domain(self.builder, self.store, self.config, target, wish) as running:
                yield running
            return
        keys = HandoffKeys(DOM0, guest.domid)
        command = DeviceModelCommand(
            wish.sandbox,
            STUBDOM_UID_BASE + guest.domid,
            ("-xen-domid", str(guest.domid), *wish.arguments),
            wish.program,
            wish.waiting,
        )
        try:
            connection = await connect()
            async with device_model(command, connection, guest.memory, progress) as process:
                yield keys, process
        finally:
            with trio.move_on_after(CLEAN_UP_S, shield=True), suppress(XenstoreError):
                await forget(self.store.client, keys)


@asynccontextmanager
async def xen_host(config: GuestConfig, progress: Progress) -> AsyncIterator[XenHost]:
    """This host, seen from dom0.

    Raises: HypervisorError if it is none or this is not dom0, XenstoreUnavailable.
    """
    with closing(Libxc()) as libxc:
        require_dom0()
        async with host_store() as store:
            yield XenHost(config, store, Builder(Xl.installed(), libxc, progress))
