"""Firmware in the matrix: no kernel, but a BIOS, and on Xen hvmloader before it."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from handoff.addresses import Gpa, GpaRange
from handoff.errors import HandoffError
from handoff.firmware import DirectEntry
from handoff.platforms import Platform
from tests.builders import Guest, poisoned_guest
from tests.devicemodel.images.firmware.staged import (
    Machine,
    Offered,
    from_host,
    from_ram,
    machine,
    plan_of,
)
from tests.e2e.matrix import cells
from tests.e2e.matrix.cells import Goal
from toolstack.machine.emulator.stop import StopReason

HVMLOADER: Final = Path("/usr/lib/xen-4.17/boot/hvmloader")
SEABIOS: Final = Path("/usr/share/seabios/bios-256k.bin")
OVMF: Final = Path("/usr/share/ovmf/OVMF.fd")
RESET_VECTOR: Final = Gpa(0xFFFF0)


def offered(name: str) -> Offered:
    """The files of one of FIRMWARES."""
    bios = SEABIOS if name.removeprefix(cells.HVMLOADER) == "SeaBIOS" else OVMF
    loader = HVMLOADER.read_bytes() if name.startswith(cells.HVMLOADER) else None
    return Offered(bios.read_bytes(), loader)


@dataclass(frozen=True, slots=True)
class Came:
    """What a start came to; of a native one and a handed-over one the same."""

    placements: list[object]
    filled: list[bytes]
    log: list[str]
    shown: str


def both_ways(name: str, platform: Platform) -> str | Came:
    """How it came out, natively and handed over; the refusal's words if there is one."""
    native = _outcome(name, platform, from_host)
    handed = _outcome(name, platform, from_ram)
    assert handed == native
    return native


def _outcome(name: str, platform: Platform, way: Callable[..., object]) -> str | Came:
    with poisoned_guest(platform) as guest:
        files = offered(name)
        try:
            plan = plan_of(way(files, guest))
        except HandoffError as error:
            return str(error)
        filled = [guest.ram.digest(placed.range) for placed in plan.placements]
        with machine(guest, plan.firmware) as pc:
            if isinstance(plan.firmware, DirectEntry):
                shown = _loader(pc, guest, plan.firmware.eip, files)
            else:
                shown = _bios(pc, guest, files, cells.FIRMWARES[name])
        return Came([placed.described() for placed in plan.placements], filled, pc.log, shown)


def _loader(pc: Machine, guest: Guest, entry: Gpa, files: Offered) -> str:
    seen = pc.emulator.run(until=entry).registers
    assert (seen.eip, seen.cr0 & 0x80000001, seen.eflags & 0x200) == (0x100000, 1, 0)
    magic, _, _, modules, modlist = struct.unpack("<IIIIQ", _read(guest, seen.ebx, 24))
    assert (magic, modules) == (0x336EC578, 1)
    start, size, line, _ = struct.unpack("<QQQQ", _read(guest, modlist, 32))
    assert _read(guest, start, size) == files.bios
    assert _read(guest, line, 9) == b"firmware\0"
    assert pc.emulator.run().reason is StopReason.HALTED
    assert pc.log[0] == "HVM Loader"
    assert pc.log[1].startswith("*** HVMLoader bug at hvmloader.c:")
    return (
        "at its entry: registers, hvm_start_info with module firmware; its first words, the next "
        "are that no hypervisor answers"
    )


def _bios(pc: Machine, guest: Guest, files: Offered, goal: Goal) -> str:
    seen = pc.emulator.run(until=RESET_VECTOR).registers
    assert (seen.cs, seen.eip, seen.cr0 & 1) == (0xF000, 0xFFF0, 0)
    assert _read(guest, RESET_VECTOR, 16) == files.bios[-16:]
    if goal is Goal.ENTRY:
        return "at the reset vector: registers, its last bytes"
    pc.emulator.run()
    assert pc.log[0].startswith("SeaBIOS (version ")
    return "at the reset vector: registers, its last bytes; its first words"


def _read(guest: Guest, start: int, size: int) -> bytes:
    return guest.ram.read(GpaRange(Gpa(start), size))
