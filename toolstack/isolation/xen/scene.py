"""The scene on a real Xen: two paused guests, one of them the target, and nodes to reach for."""

from __future__ import annotations

import secrets
import tempfile
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final
from uuid import UUID

import trio

from handoff.addresses import Gpa
from handoff.errors import ImageError
from handoff.foreign_memory import ForeignMemory
from handoff.keys import HandoffKeys, StoreWrite, owned_by, private
from handoff.single_error import single_error
from toolstack.config import GuestConfig
from toolstack.config.errors import Where
from toolstack.config.guest import IgnoredSetting
from toolstack.config.parser import Atom
from toolstack.isolation.stubdom.order import RAM_AT, Order, Place
from toolstack.isolation.xen.ramdisk import ENVIRONMENT, hostile_ramdisk
from toolstack.progress import Progress
from toolstack.store import Store
from toolstack.xen.built_domain import Builder
from toolstack.xen.domain_config import config_text
from toolstack.xen.libxc import Libxc, require_dom0
from toolstack.xen.memory import XenMemory, domain_memory
from toolstack.xen.store import forget, host_store
from toolstack.xen.stub_settings import CMDLINE, RAMDISK, StubSettings
from toolstack.xen.xl import Xl
from xenstore_sim.client import Client
from xenstore_sim.wire.errors import XenstoreError
from xenstore_sim.wire.names import DOM0, AbsolutePath, DomId, home

MEMORY_MIB: Final = 64
ABSENT: Final = DomId(0x7000)
"""Xen counts domains upwards, from 1; this one is far away."""
CLEAN_UP_S: Final = 10.0
_BEAT_S: Final = 0.25
_NAMES: Final = ("secret", "scratch", "spare", "beat")
"""Of the nodes that are put up below `data`."""


@dataclass(frozen=True, slots=True)
class Guest:
    """One that was built to be attacked. It never runs."""

    domid: DomId
    uuid: UUID
    memory: XenMemory


@dataclass(frozen=True, slots=True)
class Scene:
    """Everything that a hostile device model is started with and let loose on."""

    store: Store
    libxc: Libxc
    builder: Builder
    memory: ForeignMemory
    stubdomain: GuestConfig
    """the configuration that names the kernel of a stub domain, and a hostile initramfs"""
    target: Guest
    bystander: Guest
    secret: str
    ring: tuple[int, int]
    """frame and event channel of the bystander's xenstore ring"""

    @property
    def offer(self) -> HandoffKeys:
        """Nodes of a handoff of the bystander's."""
        return HandoffKeys(DOM0, self.bystander.domid)

    def order(self, place: Place, stubdom: int) -> Order:
        return Order(
            place=place,
            stubdom=stubdom,
            target=self.target.domid,
            bystander=self.bystander.domid,
            absent=ABSENT,
            secret=self.secret,
            store=self.ring,
        )


def require_host(config: GuestConfig) -> None:
    """Returns if a scene may be set here. Raises: ConfigError, HypervisorError."""
    StubSettings.of(config)
    with closing(Libxc()):
        require_dom0()
    Xl.installed()


@asynccontextmanager
async def scene(config: GuestConfig, progress: Progress) -> AsyncIterator[Scene]:
    """The scene while the context lasts; then nothing of it is left.

    config: of its settings only those of a stub domain are used.
    Raises: HandoffError if the scene cannot be set.
    """
    with (
        closing(Libxc()) as libxc,
        tempfile.TemporaryDirectory(prefix="isolation-") as work,
    ):
        require_dom0()
        stubdomain = await _hostile(config, Path(work))
        async with host_store() as store:
            builder = Builder(Xl.installed(), libxc, progress)
            with closing(ForeignMemory()) as memory, single_error():
                async with (
                    _guest(builder, memory, "isolation-target") as target,
                    _guest(builder, memory, "isolation-bystander") as bystander,
                ):
                    secret = secrets.token_hex(8)
                    ring = await _ring(store, bystander.domid)
                    stage = Scene(
                        *(store, libxc, builder, memory, stubdomain),
                        *(target, bystander, secret, ring),
                    )
                    async with _nodes(stage), trio.open_nursery() as nursery:
                        nursery.start_soon(_beat, stage)
                        yield stage
                        nursery.cancel_scope.cancel()


@asynccontextmanager
async def _guest(builder: Builder, memory: ForeignMemory, name: str) -> AsyncIterator[Guest]:
    identity = uuid.uuid4()
    text = config_text(
        (
            *(("type", "hvm"), ("name", name), ("uuid", str(identity)), ("vcpus", 1)),
            *(("memory", MEMORY_MIB), ("vga", "none"), ("vnc", 0)),
            *(("on_poweroff", "preserve"), ("on_crash", "preserve")),
        )
    )
    with builder.directory(identity) as directory:
        async with builder.domain(name, text, directory) as domid:
            yield Guest(domid, identity, domain_memory(memory, domid))


async def _ring(store: Store, domid: DomId) -> tuple[int, int]:
    words = [
        await store.client.read(f"{home(domid)}/store/{name}") for name in ("ring-ref", "port")
    ]
    return int(words[0]), int(words[1])


@asynccontextmanager
async def _nodes(stage: Scene) -> AsyncIterator[None]:
    """The secret in RAM and nodes of both guests, and nodes beside dom0's own."""
    store = stage.store
    for guest in (stage.target, stage.bystander):
        guest.memory.ram.write(Gpa(RAM_AT), stage.secret.encode())
        await store.write_all(_data(guest.domid, stage.secret))
    try:
        await store.write_all(_data(DOM0, stage.secret))
        await store.carry_out(StoreWrite(stage.offer.offer_state, b"1 published", private()))
        yield
    finally:
        with trio.move_on_after(CLEAN_UP_S, shield=True), suppress(XenstoreError):
            await forget(store.client, stage.offer)
        with trio.move_on_after(CLEAN_UP_S, shield=True), suppress(XenstoreError):
            await _take_away(store.client)


async def _take_away(client: Client) -> None:
    """What dom0 had put up for it, and the folder if nothing else is there."""
    data = f"{home(DOM0)}/data"
    for name in _NAMES:
        await client.rm(f"{data}/{name}")
    if not await client.directory(data):
        await client.rm(data)


def _data(domid: DomId, secret: str) -> tuple[StoreWrite, ...]:
    values = (secret.encode(), b"", b"again", b"0")
    return tuple(
        StoreWrite(AbsolutePath(f"{home(domid)}/data/{name}"), value, owned_by(domid))
        for name, value in zip(_NAMES, values, strict=True)
    )


async def _beat(stage: Scene) -> None:
    """Something happens below each domain, which who watches it would be told."""
    turn = 0
    while True:
        turn += 1
        for domid in (DOM0, stage.target.domid, stage.bystander.domid):
            await stage.store.client.write(f"{home(domid)}/data/beat", str(turn))
        await trio.sleep(_BEAT_S)


async def _hostile(config: GuestConfig, work: Path) -> GuestConfig:
    """The same with the hostile program in its stub domain. Raises: ConfigError, ImageError."""
    settings = StubSettings.of(config)
    path = trio.Path(settings.ramdisk)
    try:
        own = await path.read_bytes()
    except OSError as error:
        raise ImageError(f"{RAMDISK}: {path}: {error.strerror}") from error
    hostile = work / "ramdisk"
    await trio.Path(hostile).write_bytes(hostile_ramdisk(own))
    changed = {RAMDISK: str(hostile), CMDLINE: f"{settings.cmdline} {ENVIRONMENT}"}
    where = Where("isolation", 0, 0)
    kept = [setting for setting in config.ignored if setting.name not in changed]
    return replace(
        config,
        ignored=(
            *kept,
            *(IgnoredSetting(name, Atom(text, where)) for name, text in changed.items()),
        ),
    )
