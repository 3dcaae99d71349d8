"""The guest that whole images are played in: one file of RAM for all inputs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Final

from blake3 import blake3

from devicemodel.fw_cfg.blob import BytesBlob, JoinedBlob
from devicemodel.fw_cfg.device import FwCfg
from devicemodel.fw_cfg.items import FwCfgFile, machine_items
from devicemodel.fw_cfg.keys import Key
from devicemodel.fw_cfg.option_roms import OptionRoms, RomMethod
from handoff.addresses import MIB, Gpa, GpaRange
from handoff.descriptor import BootMethod, Descriptor, EntryMode, Insert, Role, StagedImage, Subarch
from handoff.guest_ram import MemfdRam, create_ram_file, regions_for
from handoff.platforms import ROM_WINDOW, Platform, low_ram_limit, memory_map, reservations

MEMORY_BYTES: Final = 64 * MIB
"""What a parser may take is bounded by it."""


def stage(ram: MemfdRam, role: Role, at: int, content: bytes) -> StagedImage:
    """`content` in guest RAM, as a toolstack leaves it."""
    ram.write(Gpa(at), content)
    return StagedImage(role, GpaRange(Gpa(at), len(content)), blake3(content).digest())


def guest_descriptor(
    platform: Platform,
    images: list[StagedImage],
    *,
    boot: BootMethod,
    entry: EntryMode = EntryMode.AUTO,
    subarch: Subarch = Subarch.PC,
    insert: Insert = Insert.WINDOW,
) -> Descriptor:
    """What a toolstack would tell of this guest."""
    e820 = memory_map(MEMORY_BYTES, low_ram_limit(platform, MEMORY_BYTES))
    return Descriptor(
        platform,
        e820,
        reservations(platform, e820),
        insert,
        ROM_WINDOW,
        boot,
        b"" if boot is BootMethod.FIRMWARE else b"console=ttyS0",
        tuple(images),
        entry,
        subarch,
    )


@cache
def _memory() -> MemfdRam:
    """One for all inputs: making one costs more than most of them."""
    regions = regions_for(MEMORY_BYTES, Gpa(MEMORY_BYTES))
    return MemfdRam(create_ram_file("fuzz", MEMORY_BYTES), regions)


@contextmanager
def empty_ram() -> Iterator[MemfdRam]:
    """Guest RAM, empty again afterwards."""
    ram = _memory()
    try:
        yield ram
    finally:
        ram.release(GpaRange(Gpa(0), MEMORY_BYTES))


@cache
def option_roms() -> OptionRoms:
    """One for each method; nobody runs them."""
    rom = bytearray(512)
    rom[:3] = b"\x55\xaa\x01"
    rom[3] = -sum(rom) % 256
    return OptionRoms(tuple((method, bytes(rom)) for method in RomMethod))


def fw_cfg_device(ram: MemfdRam) -> FwCfg:
    """A device with items and files of its own."""
    boot = {Key.KERNEL_DATA: JoinedBlob.of((BytesBlob(b"k" * 99), BytesBlob(b"l" * 0x1234)))}
    files = (FwCfgFile("opt/two", BytesBlob(b"two")), FwCfgFile("bootorder", BytesBlob(b"x\0")))
    return FwCfg(machine_items(MEMORY_BYTES, 1, boot, files), ram)
