"""One handoff on the `none` machine, by a device model that waited for it, in figures."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import trio

from handoff.addresses import GpaRange
from handoff.carriers import arguments, memory
from handoff.confinement import Mode
from handoff.descriptor import BootMethod, Descriptor, Role
from handoff.descriptor_codec import encode_descriptor
from handoff.errors import HandoffError, StageTimeout
from handoff.keys import HandoffKeys
from handoff.platforms import ROM_WINDOW, Platform, reservations
from handoff.report import Report
from handoff.single_error import single_error
from handoff.store_values import Carrier
from toolstack.attempt import Attempt, follow
from toolstack.create import image_files
from toolstack.demo import builtin_guest
from toolstack.device_model import STUBDOM_UID_BASE, DeviceModelCommand, device_model
from toolstack.domain_connection import StoreTransport
from toolstack.domains import Domains
from toolstack.hypervisor import RamFile, guest_memory
from toolstack.load import Loaded, LoadMethod, load, open_images, stage_places
from toolstack.machine.none import NoMachine
from toolstack.machine.port import Hardware
from toolstack.publish import offer_writes, withdrawal
from toolstack.simulated_host import MachineOverFile
from toolstack.store import Store
from toolstack.xenstored import open_store
from xenstore_sim.server import ServerHandle, serve

GENERATION = 1
LIMIT_S = 60.0
QUIET_S = 0.05
"""xenstored without a new request for so long: whoever was busy waits now."""
POLL_S = 0.001


@dataclass(frozen=True, slots=True)
class RoundTrips:
    """Requests of xenstored."""

    publish: int
    follow: int
    device_model: int

    @property
    def all(self) -> int:
        return self.publish + self.follow + self.device_model


@dataclass(frozen=True, slots=True)
class Cost:
    """One handoff; times in milliseconds."""

    start_ms: float
    """device model: from its process's start until it watches for an offer"""
    publish_ms: float
    """the transaction that makes the offer"""
    ready_ms: float
    """from the end of that transaction until the toolstack knows of `ready`"""
    stages_ms: Mapping[str, float]
    """when the toolstack knew of each stage, from the same moment on"""
    round_trips: RoundTrips


@dataclass(slots=True)
class Stages:
    """Implements the Progress port: notes when the device model's stages were seen."""

    seen: dict[str, float] = field(default_factory=dict)

    def stage(self, who: str, what: str, detail: str = "") -> None:
        if who == "device model":
            self.seen[what] = time.monotonic()

    def loading(self, role: Role, done: int, total: int) -> None: ...

    def published(self, descriptor: Descriptor, frame: bytes) -> None: ...

    def placed(self, report: Report, ram: tuple[GpaRange, ...]) -> None: ...

    def warning(self, text: str) -> None: ...

    def log(self, source: str, line: str) -> None: ...

    def failed(self, error: HandoffError) -> None: ...


async def measure(carrier: Carrier) -> Cost:
    """One handoff by `carrier`, in a store of its own. Raises: HandoffError."""
    costs: list[Cost] = []
    with single_error(), tempfile.TemporaryDirectory(prefix="handoff-") as directory:
        with trio.move_on_after(LIMIT_S):
            async with trio.open_nursery() as nursery:
                xenstored = await nursery.start(serve, directory)
                async with open_store(Path(directory)) as store:
                    costs.append(await _hand_over(carrier, store, xenstored))
                nursery.cancel_scope.cancel()
    if not costs:
        raise StageTimeout(f"the whole handoff by carrier {carrier.value}", LIMIT_S)
    return costs[0]


async def _hand_over(carrier: Carrier, store: Store, xenstored: ServerHandle) -> Cost:
    config, machine = builtin_guest(), NoMachine()
    domains = await Domains.over(store, config)
    with (
        guest_memory(
            config.name, config.memory_bytes, machine.low_ram_limit(config.memory_bytes)
        ) as ram,
        open_images(image_files(config, Platform.XEN_HVM)) as opened,
    ):
        places = stage_places([image.size for image in opened], ram.e820)
        loaded = load(opened, places, ram.ram, LoadMethod.KERNEL, _ignore)
        frame = _frame(ram, machine, loaded, config.cmdline or "")
        words = arguments.to_arguments(frame) if carrier is Carrier.CMDLINE else ()
        async with (
            domains.guest() as guest,
            domains.stubdom(guest, words, "device-model.log") as (stubdom, argv),
        ):
            keys = HandoffKeys(stubdom.domid, guest.domid)
            connection = await store.connect_as(stubdom.domid, StoreTransport.SOCKET)
            uid = STUBDOM_UID_BASE + stubdom.domid
            command = DeviceModelCommand(Mode.AUTO, uid, argv)
            stages = Stages()
            begun = time.monotonic()
            async with device_model(command, connection, ram, stages) as process:
                await _watching(xenstored)
                started = time.monotonic()
                await _quiet(xenstored)

                all_before = xenstored.statistics().round_trips
                ours_before = store.client.round_trips
                publishing = time.monotonic()
                # Where the frame lies in guest RAM, writing it there is the carrier's cost.
                at = memory.store(frame, ram.ram) if carrier is Carrier.MEMORY else None
                await store.write_all(
                    offer_writes(keys, GENERATION, carrier, frame, at, loaded.images)
                )
                published = time.monotonic()
                publish = store.client.round_trips - ours_before

                hardware = Hardware(config.name, ram.fd, ram.regions, ram.bytes, ram.e820)
                attempt = Attempt(
                    GENERATION, keys, ram, MachineOverFile(machine, hardware), LIMIT_S
                )
                async with follow(attempt, store.client, process, stages):
                    await _quiet(xenstored)
                    ours = store.client.round_trips - ours_before
                    every = xenstored.statistics().round_trips - all_before
                await store.write_all((withdrawal(keys, GENERATION),))
    return Cost(
        start_ms=(started - begun) * 1000,
        publish_ms=(published - publishing) * 1000,
        ready_ms=(stages.seen["ready"] - published) * 1000,
        stages_ms={name: (at - published) * 1000 for name, at in stages.seen.items()},
        round_trips=RoundTrips(publish, ours - publish, every - ours),
    )


def _frame(ram: RamFile, machine: NoMachine, loaded: Loaded, cmdline: str) -> bytes:
    descriptor = Descriptor(
        platform=Platform.XEN_HVM,
        e820=ram.e820,
        reserved=reservations(Platform.XEN_HVM, ram.e820),
        insert=machine.insert,
        rom_window=ROM_WINDOW,
        boot=BootMethod.AUTO,
        cmdline=os.fsencode(cmdline),
        images=loaded.images,
    )
    return encode_descriptor(descriptor, GENERATION)


def _ignore(role: Role, done: int, total: int) -> None: ...


async def _watching(xenstored: ServerHandle) -> None:
    """Returns when the device model watches: until then nobody else does."""
    while xenstored.statistics().watches == 0:  # noqa: ASYNC110  (the daemon tells nobody)
        await trio.sleep(POLL_S)


async def _quiet(xenstored: ServerHandle) -> None:
    """Returns when xenstored had no request for QUIET_S."""
    before = -1
    while (now := xenstored.statistics().round_trips) != before:
        before = now
        await trio.sleep(QUIET_S)
