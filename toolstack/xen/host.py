"""A real Xen host: libxl builds the guest paused, we hand its kernel across and let it go.

The device model is a process of dom0, so S is domain 0: it can be kept from every domain but its
target, but not from the rest of xenstore, which knows it as dom0. QEMU in dom0, which libxl starts,
emulates the guest's devices as always.
"""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager, closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import UUID

import trio

from handoff.errors import HandoffError, HypervisorError
from handoff.foreign_memory import ForeignMemory
from handoff.keys import HandoffKeys
from toolstack.config import GuestConfig
from toolstack.device_model import STUBDOM_UID_BASE, DeviceModelCommand, device_model
from toolstack.host import DeviceModelWish, GuestDomain, RunningDeviceModel
from toolstack.progress import Progress
from toolstack.store import Store
from toolstack.xen.domain_config import domain_config
from toolstack.xen.libxc import Libxc, require_dom0
from toolstack.xen.machine import DomainMachine
from toolstack.xen.memory import XenMemory, domain_memory
from toolstack.xen.option_rom import write_option_rom
from toolstack.xen.store import connect, host_store
from toolstack.xen.xl import CREATE_S, DESTROY_S, Xl
from xenstore_sim.client import Client
from xenstore_sim.wire.errors import XenstoreError
from xenstore_sim.wire.names import DOM0, DomId

CLEAN_UP_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class XenGuest:
    """Implements the port GuestDomain."""

    domid: DomId
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
    libxc: Libxc
    xl: Xl
    progress: Progress
    open_memory: Callable[[], ForeignMemory] = ForeignMemory

    @asynccontextmanager
    async def guest(self) -> AsyncIterator[GuestDomain]:
        """Raises: HypervisorError with what xl or Xen said; nothing of the domain is left."""
        identity = self.config.uuid or uuid.uuid4()
        with tempfile.TemporaryDirectory(prefix="direct-boot-") as directory:
            rom = Path(directory, "direct-boot.rom")
            await write_option_rom(rom)
            file = trio.Path(directory, "guest.cfg")
            text = domain_config(self.config, identity, rom)
            await file.write_bytes(text.encode("utf-8", "surrogateescape"))
            try:
                # To its end, even if we are cancelled: half a domain is nobody's.
                with trio.CancelScope(shield=True, deadline=trio.current_time() + CREATE_S + 5):
                    await self.xl.create_paused(str(file))
                info = self.libxc.find(identity)
                if info is None:
                    raise HypervisorError(
                        f'xl built "{self.config.name}", but Xen has no domain {identity}'
                    )
                with ExitStack() as stack:
                    memory = stack.enter_context(closing(self.open_memory()))
                    memory.restrict(info.domid)
                    ram = domain_memory(memory, info.domid)
                    yield XenGuest(info.domid, ram, self.store.client, self.libxc)
            finally:
                await self._destroy(identity)

    @asynccontextmanager
    async def device_model(
        self, guest: GuestDomain, wish: DeviceModelWish, progress: Progress
    ) -> AsyncIterator[tuple[HandoffKeys, RunningDeviceModel]]:
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
                await self._forget(keys)

    async def _forget(self, keys: HandoffKeys) -> None:
        """Nothing of these keys is left, nor their directory if it was the last one there."""
        client, above = self.store.client, keys.home.rpartition("/")[0]
        await client.rm(keys.home)
        if not await client.directory(above):
            await client.rm(above)

    async def _destroy(self, identity: UUID) -> None:
        """The domain, if there is one, with all that libxl made for it."""
        with trio.CancelScope(shield=True, deadline=trio.current_time() + DESTROY_S + 5):
            info = self.libxc.find(identity)
            if info is None:
                return
            try:
                await self.xl.destroy(info.domid)
            except HandoffError as error:
                self.progress.warning(f"domain {info.domid} may be left: {error}")


@asynccontextmanager
async def xen_host(config: GuestConfig, progress: Progress) -> AsyncIterator[XenHost]:
    """This host, seen from dom0.

    Raises: HypervisorError if it is none or this is not dom0, XenstoreUnavailable.
    """
    with closing(_control()) as libxc:
        async with host_store() as store:
            yield XenHost(config, store, libxc, Xl.installed(), progress)


def _control() -> Libxc:
    libxc = Libxc()
    require_dom0()
    return libxc
