"""A device model in a stub domain of its own: a PV domain that is given one target.

What a stub domain is, libxl's conventions say: its `target`, the device model's arguments below the
target's /vm, its answers below `device-model/T`. The hypervisor lets it map its target's RAM, and
Linux's privcmd, as shipped, nobody else's. Its kernel and its initramfs are the operator's, named
by xl's own keys; docs/real-xen.md says what the initramfs has to do.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import trio

from handoff.keys import HandoffKeys, StoreWrite, dm_argv, numbered, read_by
from toolstack.config import GuestConfig
from toolstack.device_model import REAP_S, relay_log
from toolstack.domain_tree import MakeDirectory, Remove, SetTarget, Step, Transaction
from toolstack.host import DeviceModelWish
from toolstack.progress import Progress
from toolstack.store import Store
from toolstack.xen.built_domain import Builder
from toolstack.xen.domain_config import config_text
from toolstack.xen.machine import domain_end
from toolstack.xen.stub_settings import StubSettings
from toolstack.xen.terminal import pv_console, terminal
from xenstore_sim.wire.names import DomId

QUIET_S: Final = 0.5
"""So long without a line, and its console has no more: xenconsoled keeps the terminal open until
the domain is destroyed."""
_PANIC: Final = "Kernel panic"
_OFF: Final = "] reboot: "
"""Linux's own words. Source: its kernel/panic.c and kernel/reboot.c."""


@dataclass(slots=True)
class StubDomain:
    """Implements the port RunningDeviceModel."""

    domid: DomId
    builder: Builder
    store: Store
    last_words: str
    log_ended: trio.Event
    lines: int = 0
    """heard so far"""

    def heard(self, line: str) -> None:
        """Takes a line of its console. A kernel's trace, and that it is off, tell less than what
        was said before."""
        self.lines += 1
        if not (_OFF in line or _PANIC in self.last_words):
            self.last_words = line

    async def wait(self) -> str:
        end = await domain_end(self.store.client, self.builder.libxc, self.domid)
        with trio.move_on_after(REAP_S):
            before = -1
            while not self.log_ended.is_set() and self.lines != before:
                before = self.lines
                with trio.move_on_after(QUIET_S):
                    await self.log_ended.wait()
        how = f"its stub domain {end.reason.value}: {end.detail}"
        return f"{how}, its last words: {self.last_words}" if self.last_words else how


@dataclass(frozen=True, slots=True)
class Target:
    """Whom a stub domain is given."""

    domid: DomId
    uuid: UUID
    words: Sequence[str]
    """the device model's arguments that tell where RAM is"""


@asynccontextmanager
async def stub_domain(
    builder: Builder, store: Store, config: GuestConfig, target: Target, wish: DeviceModelWish
) -> AsyncIterator[tuple[HandoffKeys, StubDomain]]:
    """A stub domain of `target`, running, while the context lasts.

    Raises: ConfigError for its settings, HypervisorError.
    """
    identity, name = uuid.uuid4(), f"{config.name}-dm"
    text = stub_config(StubSettings.of(config), name, identity)
    with builder.directory(identity) as home:
        async with builder.domain(name, text, home) as domid:
            keys = HandoffKeys(domid, target.domid)
            builder.libxc.set_target(domid, target.domid)
            argv = (*target.words, *device_model_words(target.domid, wish))
            for step in stub_steps(keys, target.uuid, argv):
                await store.carry_out(step)
            running = StubDomain(domid, builder, store, "", trio.Event())
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_relay, running, builder.progress)
                builder.libxc.unpause(domid)
                try:
                    yield keys, running
                finally:
                    nursery.cancel_scope.cancel()


async def _relay(stub: StubDomain, progress: Progress) -> None:
    try:
        async with terminal(stub.store.client, pv_console(stub.domid)) as console:
            await relay_log(console, progress, stub)
    finally:
        stub.log_ended.set()


def device_model_words(target: DomId, wish: DeviceModelWish) -> tuple[str, ...]:
    """The device model's arguments, but for those of its RAM."""
    sandbox = ("--sandbox", wish.sandbox.value)
    return ("-xen-domid", str(target), *sandbox, "--offer-timeout", "3600", *wish.arguments)


def stub_steps(keys: HandoffKeys, target: UUID, argv: Sequence[str]) -> tuple[Step, ...]:
    """What xenstore is told before the stub domain's first instruction.

    Not `image/device-model-domid`: by that libxl would take it for its own, and destroy it.
    """
    arguments = dm_argv(target)
    return (
        Transaction(
            (
                Remove(arguments),
                StoreWrite(arguments, b"", read_by(keys.stubdom)),
                *(
                    StoreWrite(numbered(arguments, number), os.fsencode(argument))
                    for number, argument in enumerate(argv, 1)
                ),
                StoreWrite(keys.target_node, str(keys.target).encode("ascii")),
                MakeDirectory(keys.device_model, keys.device_model_perms),
            )
        ),
        SetTarget(keys.stubdom, keys.target),
    )


def stub_config(settings: StubSettings, name: str, identity: UUID) -> str:
    """What xl builds."""
    return config_text(
        (
            ("type", "pv"),
            ("name", name),
            ("uuid", str(identity)),
            ("memory", settings.memory_mib),
            ("vcpus", 1),
            ("kernel", settings.kernel),
            ("ramdisk", settings.ramdisk),
            ("cmdline", settings.cmdline),
            ("on_poweroff", "preserve"),
            ("on_crash", "preserve"),
        )
    )
