"""The guests that are booted, and how every byte of them is told right from wrong."""

from __future__ import annotations

import json
import random
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blake3 import blake3

from handoff.addresses import Gpa, GpaRange
from handoff.guest_ram import MemfdRam, regions_for
from handoff.platforms import Platform, low_ram_limit
from tests.faults.trial import Kind
from toolstack.builtin_guest import INITRD, LAST_LINE, initrd_path, kernel_path

MEMORY_MIB = 64
RAMDISK_BYTES = 3 * 1024 * 1024 + 17
BIOS_BYTES = 256 * 1024
LOW_BIOS_BYTES = 128 * 1024
COMMAND_LINE = "console=ttyS0 faults=many"
_ROM = Path(__file__).parents[2] / "devicemodel/bios_extension/rom.bin"
_ROM_FIELDS = {8, 9, 10, 11}
"""Bytes of the ROM that hold the address of the parameter block; the checksum is another."""

Digests = Mapping[tuple[str, int], tuple[int, str]]
"""Name and start of what was placed: its size and BLAKE3."""


@dataclass(frozen=True, slots=True)
class Guest:
    name: str
    config: Path
    images: Mapping[str, bytes]
    """by the name of what is placed of them"""


def write_guest(directory: Path, name: str, kind: Kind) -> Guest:
    """A guest's configuration and images. Where it runs it reads its ramdisk itself, slowly;
    otherwise that is large enough to be damaged in the middle."""
    images = {"kernel": kernel_path().read_bytes(), "ramdisk": INITRD}
    files = {"kernel": kernel_path(), "ramdisk": initrd_path()}
    settings: dict[str, object] = {"cmdline": COMMAND_LINE}
    if kind is Kind.KERNEL:
        images["ramdisk"] = random.Random(RAMDISK_BYTES).randbytes(RAMDISK_BYTES)
        files["ramdisk"] = directory / "ramdisk.bin"
        files["ramdisk"].write_bytes(images["ramdisk"])
    elif kind is Kind.FIRMWARE:
        images = {"bios": random.Random(BIOS_BYTES).randbytes(BIOS_BYTES)}
        files = {"bios_path_override": directory / "bios.bin"}
        files["bios_path_override"].write_bytes(images["bios"])
        settings = {"bios": "seabios"}
    settings |= {
        "name": name,
        "type": "hvm",
        "memory": MEMORY_MIB,
        **{key: str(path) for key, path in files.items()},
        "device_model_version": "qemu-xen",
        "device_model_stubdomain_override": 1,
    }
    config = directory / f"{name}.cfg"
    config.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items()))
    return Guest(name, config, images)


def placed_digests(ram_fd: int, placed: Mapping[str, Any]) -> Digests:
    """What lies in guest RAM where the report (a `placed` line of --json) puts it now."""
    low_end = low_ram_limit(Platform.QEMU_PC, MEMORY_MIB << 20)
    ram = MemfdRam(ram_fd, regions_for(MEMORY_MIB << 20, low_end))
    try:
        return {
            (part["name"], part["start"]): (part["size"], blake3(_bytes(ram, part)).hexdigest())
            for part in placed["placements"]
            if part["when"] == "now"
        }
    finally:
        ram.close()


def wrong_in_ram(guest: Guest, ram_fd: int, placed: Mapping[str, Any]) -> tuple[str, ...]:
    """What differs from the files the operator named and from the ROM as it was assembled."""
    low_end = low_ram_limit(Platform.QEMU_PC, MEMORY_MIB << 20)
    ram = MemfdRam(ram_fd, regions_for(MEMORY_MIB << 20, low_end))
    try:
        parts = [
            (part["name"], _bytes(ram, part))
            for part in placed["placements"]
            if part["when"] == "now"
        ]
    finally:
        ram.close()
    if "bios" in guest.images:
        return _wrong_in_bios(guest.images["bios"], parts)
    found = dict(parts)
    kernel = guest.images["kernel"]
    payload = kernel[(kernel[0x1F1] + 1) * 512 :]
    rom = _ROM.read_bytes()
    inserted = found["BIOS extension"]
    differing = {
        at
        for at in range(max(len(rom), len(inserted)))
        if rom[at : at + 1] != inserted[at : at + 1]
    }
    wrong = []
    if not payload.startswith(found["kernel"]) or len(payload) - len(found["kernel"]) >= 512:
        wrong.append("the kernel in RAM is not the file's")
    if found["ramdisk"] != guest.images["ramdisk"]:
        wrong.append("the ramdisk in RAM is not the file")
    if found["command line"].rstrip(b"\0") != COMMAND_LINE.encode():
        wrong.append("the command line in RAM is not the configuration's")
    if len(differing - _ROM_FIELDS) > 1 or sum(inserted) % 256 != 0:
        wrong.append("the ROM in RAM is not the one that was assembled")
    return tuple(wrong)


def _wrong_in_bios(bios: bytes, parts: Sequence[tuple[str, bytes]]) -> tuple[str, ...]:
    """The whole of it, which ends at 4 GiB, and its end, which is shown below 1 MiB."""
    if [name for name, _ in parts] != ["bios", "bios"]:
        return (f"in RAM there are {[name for name, _ in parts]}, not a BIOS and its end",)
    end, whole = (data for _, data in parts)
    wrong = []
    if whole != bios:
        wrong.append("the BIOS in RAM is not the file")
    if end != bios[-LOW_BIOS_BYTES:]:
        wrong.append("the end of the BIOS in RAM is not the file's")
    return tuple(wrong)


def wrong_in_console(console: bytes) -> tuple[str, ...]:
    """What the guest's own words about itself should have been."""
    text = console.decode("utf-8", "replace").replace("\r\n", "\n")
    wanted = (
        f"command line  0x00020000: {COMMAND_LINE}\n",
        f"bytes {len(INITRD)}, CRC-32 {zlib.crc32(INITRD):#010x}",
        f"{LAST_LINE}\n",
    )
    return tuple(f"the guest did not say {line!r}" for line in wanted if line not in text)


def _bytes(ram: MemfdRam, part: Mapping[str, Any]) -> bytes:
    return ram.read(GpaRange(Gpa(part["start"]), part["size"]))
