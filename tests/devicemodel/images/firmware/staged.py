"""Firmware as a toolstack leaves it in a guest, and as a device model opens it on the host."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from devicemodel.discover import discover
from devicemodel.images.firmware import FirmwarePlan, FirmwareSources
from devicemodel.images.source import host_image
from devicemodel.insert import insert
from devicemodel.move import move
from devicemodel.place import place
from devicemodel.ready import Ready, ready
from devicemodel.verify import verify
from handoff.addresses import PAGE, Gpa, GpaRange, align_down, align_up
from handoff.descriptor import TABLES, BootMethod, Role
from handoff.descriptor_codec import encode_descriptor
from handoff.firmware import Firmware
from handoff.guest_ram import MemfdRam, create_ram_file
from handoff.platforms import staging_window
from tests.builders import Guest, host_file, noise
from tests.devicemodel.images.elves import Elf, Load
from toolstack.machine.emulator.emulator import Emulator

GENERATION = 3
LOADER = Elf((Load(0x100000, noise(0x1234, 5), memsz=0x5678),), bits=32, entry=0x100010).build()
PC_BIOS = noise(0x40000, 6)
UEFI = noise(0x28, 7) + b"_FVH" + noise(0x200000 - 0x2C, 8)


@dataclass(frozen=True, slots=True)
class Offered:
    bios: bytes
    loader: bytes | None = None
    acpi: bytes | None = None
    smbios: bytes | None = None

    @property
    def named(self) -> tuple[tuple[Role, bytes | None], ...]:
        return (
            (Role.BIOS, self.bios),
            (Role.FIRMWARE, self.loader),
            (Role.ACPI, self.acpi),
            (Role.SMBIOS, self.smbios),
        )


def from_ram(offered: Offered, guest: Guest) -> Ready:
    """All stages over bytes in guest RAM, staged top down as the toolstack does."""
    at: int = staging_window(guest.e820).end
    images = []
    for role, content in offered.named:
        if content is not None:
            at = align_down(at - len(content), PAGE)
            images.append(guest.stage(role, content, at))
    descriptor = guest.descriptor(images, cmdline=b"", boot=BootMethod.FIRMWARE)
    frame = encode_descriptor(descriptor, GENERATION)
    return _through(frame, guest, None)


def from_host(offered: Offered, guest: Guest) -> Ready:
    """The same over files of the host."""
    descriptor = guest.descriptor((), cmdline=b"", boot=BootMethod.FIRMWARE)
    with files(offered) as sources:
        return _through(encode_descriptor(descriptor, GENERATION), guest, sources)


@contextmanager
def files(offered: Offered) -> Iterator[FirmwareSources]:
    with ExitStack() as stack:
        opened = {
            role: host_image(role, stack.enter_context(host_file(content)))
            for role, content in offered.named
            if content is not None
        }
        tables = tuple(opened[role] for role in TABLES if role in opened)
        yield FirmwareSources(opened[Role.BIOS], opened.get(Role.FIRMWARE), tables)


def _through(frame: bytes, guest: Guest, native: FirmwareSources | None) -> Ready:
    placed = place(verify(discover(frame, GENERATION, guest.ram, native), guest.ram))
    return ready(insert(move(placed, guest.ram), guest.ram), guest.ram)


def plan_of(done: Ready) -> FirmwarePlan:
    plan = done.inserted.moved.placed.plan
    assert isinstance(plan, FirmwarePlan)
    return plan


def next_page(end: int) -> int:
    return align_up(end, PAGE)


@dataclass
class Machine:
    """The emulator, with the firmware."""

    emulator: Emulator
    log: list[str] = field(default_factory=list)


@contextmanager
def machine(guest: Guest, firmware: Firmware) -> Iterator[Machine]:
    """The emulator over a copy of the guest's RAM."""
    size = guest.memory_bytes
    fd = create_ram_file("firmware", size)
    try:
        ram = MemfdRam(fd, guest.regions)
        ram.write(Gpa(0), guest.ram.read(GpaRange(Gpa(0), size)))
        ram.close()
        log: list[str] = []
        with Emulator(
            fd,
            guest.regions,
            guest.e820,
            console=lambda _: None,
            log=log.append,
            firmware=firmware,
        ) as emulator:
            yield Machine(emulator, log)
    finally:
        os.close(fd)
