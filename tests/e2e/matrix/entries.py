"""What a kernel finds at its first instruction: registers, structures, every byte handed over."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from handoff.addresses import PAGE
from handoff.descriptor import BootMethod
from handoff.modules import ModuleFile
from handoff.platforms import Platform
from tests.e2e.matrix.cells import BITS_64, REAL, REAL_ROM, Goal, Method
from tests.e2e.matrix.images import Bootable
from tests.toolstack.machine.emulator.guest import Guest
from toolstack.machine.emulator.stop import Registers

PAGING_AND_PROTECTION = 0x80000001
INTERRUPT_FLAG = 0x200
ENTRY_64 = 0x200
OWN_SETUP = "memtest86+"
"""Its setup code tells its kernel nothing of what it was told."""


@dataclass(frozen=True, slots=True)
class Reached:
    """A guest before that instruction."""

    guest: Guest
    registers: Registers
    bootable: Bootable
    method: Method
    platform: Platform
    goal: Goal

    def shown(self) -> str:
        """Asserts that it is as the boot protocol has it; in what."""
        if self.goal is Goal.SETUP:
            return self._setup_code()
        registers = self.registers
        paging = PAGING_AND_PROTECTION if self.method == BITS_64 else 1
        assert registers.cr0 & PAGING_AND_PROTECTION == paging
        assert registers.eflags & INTERRUPT_FLAG == 0
        if self.method.boot is BootMethod.LINUX:
            return self._linux()
        if self.method.boot is BootMethod.PVH:
            return self._pvh()
        return self._multiboot()

    def _setup_code(self) -> str:
        registers = self.registers
        assert (registers.cs, registers.eip, registers.cr0 & 1) == (0x1020, 0, 0)
        assert (registers.ds, registers.es, registers.ss) == (0x1000, 0x1000, 0x1000)
        header = 0x10000
        self._told_in(header)
        (code32_start,) = self._dwords(header + 0x214, 1)
        # iPXE's is 0, as no code of a loader looks at it.
        self._protected_part_at(code32_start or 0x100000)
        return "at its setup code: registers, setup_header, command line, ramdisk"

    def _linux(self) -> str:
        registers = self.registers
        assert registers.cs == 0x10
        assert (registers.ds, registers.es, registers.ss) == (0x18, 0x18, 0x18)
        entry = registers.eip
        self._protected_part_at(entry - ENTRY_64 if self.method == BITS_64 else entry)
        own_setup = self.bootable.kernel.name.startswith(OWN_SETUP)
        if own_setup and self.method in (REAL, REAL_ROM):
            return "at its entry: registers, all its bytes"
        self._told_in(registers.esi)
        count = self.guest.read(registers.esi + 0x1E8, 1)[0]
        self._map(struct.iter_unpack("<QQI", self.guest.read(registers.esi + 0x2D0, 20 * count)))
        return "at its entry: registers, boot_params with memory map, command line, ramdisk"

    def _told_in(self, header: int) -> None:
        """By the setup header, in setup code or boot_params at `header`."""
        theirs = self.platform is Platform.XEN_HVM and not self.method.rom
        assert self.guest.read(header + 0x210, 1)[0] == (0x90 if theirs else 0xB0)
        ramdisk, size = self._dwords(header + 0x218, 2)
        (line,) = self._dwords(header + 0x228, 1)
        content = [Path(module.path).read_bytes() for module in self.bootable.modules]
        assert ([self.guest.read(ramdisk, size)] if size else []) == content
        assert self._text(line) == self.bootable.cmdline

    def _protected_part_at(self, load: int) -> None:
        file = self.bootable.kernel.read_bytes()
        protected = file[((file[0x1F1] or 4) + 1) * 512 :]
        assert self.guest.read(load, len(protected)) == protected

    def _pvh(self) -> str:
        info = self.registers.ebx
        magic, version, _, count = self._dwords(info, 4)
        assert (magic, version, count) == (0x336EC578, 1, len(self.bootable.modules))
        modlist, cmdline, _, memmap = self._quads(info + 16, 4)
        assert self._text(cmdline) == self.bootable.cmdline
        for number, module in enumerate(self.bootable.modules):
            start, size = self._quads(modlist + 32 * number, 2)
            assert start % PAGE == 0
            assert self.guest.read(start, size) == Path(module.path).read_bytes()
        (entries,) = self._dwords(info + 48, 1)
        self._map(
            record[:3]
            for record in struct.iter_unpack("<QQII", self.guest.read(memmap, 24 * entries))
        )
        return "at its entry: registers, hvm_start_info with memory map, command line, modules"

    def _multiboot(self) -> str:
        assert self.registers.eax == 0x2BADB002
        info = self.registers.ebx
        flags, _, _, _, cmdline, count, table = self._dwords(info, 7)
        assert (flags, count) == (0x24F, len(self.bootable.modules))
        assert self._text(cmdline) == f"{self.bootable.kernel.name} {self.bootable.cmdline}"
        for number, module in enumerate(self.bootable.modules):
            start, end, string = self._dwords(table + 16 * number, 3)
            assert start % PAGE == 0
            assert self.guest.read(start, end - start) == Path(module.path).read_bytes()
            assert self._text(string) == _words_of(module)
        length, mmap = self._dwords(info + 44, 2)
        self._map(
            record[1:] for record in struct.iter_unpack("<IQQI", self.guest.read(mmap, length))
        )
        return "at its entry: EAX, information structure with memory map, strings, modules"

    def _map(self, records: Iterable[tuple[int, ...]]) -> None:
        expected = [(e.range.start, e.range.size, int(e.type)) for e in self.guest.e820.entries]
        assert [*records] == expected

    def _dwords(self, at: int, count: int) -> tuple[int, ...]:
        return struct.unpack(f"<{count}I", self.guest.read(at, 4 * count))

    def _quads(self, at: int, count: int) -> tuple[int, ...]:
        return struct.unpack(f"<{count}Q", self.guest.read(at, 8 * count))

    def _text(self, at: int) -> str:
        return self.guest.read(at, 0x1000).split(b"\0", 1)[0].decode()


def _words_of(module: ModuleFile) -> str:
    name = Path(module.path).name
    return f"{name} {module.arguments}" if module.arguments else name
