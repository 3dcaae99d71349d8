"""Debian's own firmware, handed over, in the emulator: what its first instructions see.

hvmloader goes on only where a hypervisor answers, and the BIOSes where there is a chipset; so what
is looked at is their entry.
"""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from handoff.addresses import MIB, Gpa, GpaRange
from handoff.firmware import BiosRom, DirectEntry
from handoff.platforms import Platform
from tests.builders import poisoned_guest
from tests.devicemodel.images.firmware.staged import Offered, from_ram, machine, plan_of
from toolstack.machine.emulator.stop import StopReason

HVMLOADER = Path("/usr/lib/xen-4.17/boot/hvmloader")
SEABIOS = (Path("/usr/share/seabios/bios-256k.bin"), Path("/usr/share/seabios/bios.bin"))
OVMF = Path("/usr/share/ovmf/OVMF.fd")
BIOSES = [*SEABIOS, OVMF]
BUDGET = 200_000


@pytest.mark.parametrize("path", BIOSES, ids=lambda path: path.name)
def test_hvmloader_is_entered_as_libxc_enters_it(path: Path) -> None:
    offered = Offered(path.read_bytes(), HVMLOADER.read_bytes())
    with poisoned_guest(Platform.XEN_HVM) as guest:
        entry = plan_of(from_ram(offered, guest)).firmware
        assert isinstance(entry, DirectEntry)
        with machine(guest, entry) as pc:
            stop = pc.emulator.run(until=entry.eip)
        seen = stop.registers
        assert (stop.reason, seen.eip) == (StopReason.BREAKPOINT, 0x100000)
        assert (seen.cr0 & 0x80000001, seen.cr4, seen.eflags & 0x20300) == (1, 0, 0)
        assert (seen.cs, seen.ds, seen.es, seen.ss) == (0x08, 0x10, 0x10, 0x10)
        magic, version, _, modules, modlist = struct.unpack(
            "<IIIIQ", guest.ram.read(GpaRange(Gpa(seen.ebx), 24))
        )
        assert (magic, version, modules) == (0x336EC578, 1, 1)
        at, size, line, _ = struct.unpack("<QQQQ", guest.ram.read(GpaRange(Gpa(modlist), 32)))
        assert guest.ram.read(GpaRange(Gpa(at), size)) == offered.bios
        assert guest.ram.read(GpaRange(Gpa(line), 9)) == b"firmware\0"
        # Behind all that hvmloader has in memory, its BSS included.
        assert at == 0x134000


def hvmloaders_words(info: bytes | None) -> list[str]:
    """What it prints until it stops; info: what lies in the place of its start info."""
    offered = Offered(SEABIOS[0].read_bytes(), HVMLOADER.read_bytes())
    with poisoned_guest(Platform.XEN_HVM) as guest:
        entry = plan_of(from_ram(offered, guest)).firmware
        assert isinstance(entry, DirectEntry)
        if info is not None:
            guest.ram.write(entry.ebx, info)
        with machine(guest, entry) as pc:
            stop = pc.emulator.run()
            assert stop.reason is StopReason.HALTED
            return pc.log


def test_hvmloader_takes_its_start_info_and_then_misses_the_hypervisor() -> None:
    said, without = hvmloaders_words(None), hvmloaders_words(bytes(4))
    assert said[0] == without[0] == "HVM Loader"
    # It checks the magic first: with another one it stops at another line of its source.
    assert said[1].startswith("*** HVMLoader bug at hvmloader.c:")
    assert without[1].startswith("*** HVMLoader bug at hvmloader.c:")
    assert said[1] != without[1]


@pytest.mark.parametrize("path", BIOSES, ids=lambda path: path.name)
def test_the_first_instruction_is_that_of_the_reset_vector(path: Path) -> None:
    bios = path.read_bytes()
    with poisoned_guest(Platform.QEMU_PC) as guest:
        plan = plan_of(from_ram(Offered(bios), guest))
        assert isinstance(plan.firmware, BiosRom)
        with machine(guest, plan.firmware) as pc:
            stop = pc.emulator.run(until=Gpa(0xFFFF0))
            assert stop.reason is StopReason.BREAKPOINT
            assert (stop.registers.cs, stop.registers.eip) == (0xF000, 0xFFF0)
            assert stop.registers.cr0 & 1 == 0
            first = guest.ram.read(GpaRange(Gpa(0xFFFF0), 16))
            assert first == bios[-16:]
            if path in SEABIOS:
                # ljmp f000:e05b
                assert first[:5] == bytes.fromhex("ea5be000f0")
                stop = pc.emulator.run(until=Gpa(0xFE05B))
                assert (stop.registers.cs, stop.registers.eip) == (0xF000, 0xE05B)
            else:
                # mov eax, cr0; test al, 1; jz
                assert first[:7] == bytes.fromhex("0f20c0a8017405")
                stop = pc.emulator.run(max_instructions=3)
                assert stop.registers.eip == 0xFFF0 + 7 + 5


def test_seabios_reaches_its_own_words_through_the_rom_below_4_gib() -> None:
    with poisoned_guest(Platform.QEMU_PC) as guest:
        plan = plan_of(from_ram(Offered(SEABIOS[0].read_bytes()), guest))
        with machine(guest, plan.firmware) as pc:
            pc.emulator.run()
        assert pc.log[0].startswith("SeaBIOS (version ")
    assert guest.memory_bytes == 64 * MIB
