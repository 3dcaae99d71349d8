"""One image in one guest, by host files and by handoff: refused alike, or the same to its words.

All stages and the emulator are in this process; with an option ROM of QEMU fw_cfg is behind a
real channel.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from devicemodel.bios_extension.block import LongModeEntry, ProtectedModeEntry
from devicemodel.discover import HostFiles, discover
from devicemodel.images.multiboot import MultibootKernel
from devicemodel.images.pvh import PvhKernel
from devicemodel.images.source import host_image
from devicemodel.plan import BootPlan
from devicemodel.ready import Ready
from devicemodel.verify import verify
from handoff.addresses import MIB, Gpa, GpaRange
from handoff.carriers import arguments, base64_chunks, memory
from handoff.descriptor import BootMethod, Role, StagedImage
from handoff.descriptor_codec import encode_descriptor
from handoff.errors import HandoffError
from handoff.guest_ram import MemfdRam, create_ram_file, regions_for
from handoff.modules import ModuleFile
from handoff.platforms import Platform, low_ram_limit, memory_map
from handoff.report import When
from tests.builders import Guest, poison_file
from tests.devicemodel.fw_cfg import rom_boot
from tests.devicemodel.handover import plan_of, through, told, waiting
from tests.e2e.matrix.cells import Goal, Method
from tests.e2e.matrix.entries import Reached
from tests.e2e.matrix.images import Bootable
from tests.e2e.matrix.proofs import Said
from tests.toolstack.machine.emulator.guest import Guest as Machine
from toolstack.load import stage_places
from toolstack.machine.emulator.stop import GuestStopped, Registers, Stop, StopReason

POISONED_MAX_MIB: Final = 256
"""A larger guest has zeros, and takes no memory of the host for them."""
ROM_ENTRY: Final = Gpa(0x100000)
"""Where QEMU's linuxboot ROM has every bzImage entered."""
LINUX_SETUP: Final = Gpa(0x10200)


@dataclass(frozen=True, slots=True)
class Came:
    """What a start came to; of a native one and a handed-over one the same."""

    plan: object
    filled: dict[GpaRange, bytes]
    """digest of every range that the plan wants filled before the first instruction"""
    reason: StopReason
    registers: Registers
    console: str
    shown: str


@dataclass(frozen=True, slots=True)
class Start:
    """What is started, and how far it is followed; goal: None if it is refused."""

    bootable: Bootable
    method: Method
    platform: Platform
    goal: Goal | None
    memory_mib: int | None = None
    """the guest's; None: what is enough"""

    async def both_ways(self) -> str | Came:
        """How it came out, natively and handed over; the refusal's words if there is one."""
        native = await self.native()
        handed = await self._outcome(handed_over=True)
        assert handed == native
        return native

    async def native(self) -> str | Came:
        """How it came out from host files."""
        return await self._outcome(handed_over=False)

    async def _outcome(self, *, handed_over: bool) -> str | Came:
        size = (self.memory_mib or self.bootable.followed_mib) * MIB
        poisoned = self.goal is not None and size <= POISONED_MAX_MIB * MIB
        with _machine(self.platform, size, self.bootable.until, poisoned=poisoned) as machine:
            guest = Guest(self.platform, size, machine.e820, machine.regions, machine.ram)
            with ExitStack() as files:
                native = None if handed_over else self._host_files(files)
                frame = self._carried(self._frame(guest, native), guest)
                try:
                    if self.method.rom:
                        return await self._by_rom(machine, frame, native)
                    found = discover(frame, rom_boot.GENERATION, machine.ram, native)
                    return self._by_bios_extension(machine, through(found, guest))
                except HandoffError as error:
                    return str(error)

    def _by_bios_extension(self, machine: Machine, done: Ready) -> Came:
        filled = {where: machine.ram.digest(where) for where in waiting(done)}
        until = self._until(plan_of(done))
        with machine.start() as emulator:
            stop = emulator.run(until)
        return self._came(machine, stop, told(plan_of(done)), filled)

    async def _by_rom(self, machine: Machine, frame: bytes, native: HostFiles | None) -> Came:
        """Its plan is told apart by where the images come from; what the ROM made of it is not."""
        until = self._until_by_rom(machine, frame, native)
        ran = await rom_boot.boot(machine, frame, self.method.rom, native=native, until=until)
        return self._came(machine, ran.stop, ran.report.method, {})

    def _until_by_rom(self, machine: Machine, frame: bytes, native: HostFiles | None) -> Gpa | None:
        """Where the emulator stops."""
        if self.goal is not Goal.ENTRY:
            return LINUX_SETUP if self.goal is Goal.SETUP else None
        if self.method.boot is BootMethod.LINUX:
            return ROM_ENTRY
        kernel = verify(
            discover(frame, rom_boot.GENERATION, machine.ram, native), machine.ram
        ).kernel
        assert isinstance(kernel, PvhKernel | MultibootKernel)
        return kernel.entry

    def _until(self, plan: BootPlan) -> Gpa | None:
        if self.goal is not Goal.ENTRY:
            return LINUX_SETUP if self.goal is Goal.SETUP else None
        match plan.block.entry:
            case ProtectedModeEntry(eip=at) | LongModeEntry(rip=at):
                return at
        kernel = {p.when: p.range.start for p in plan.placements if p.name == "kernel"}
        return kernel.get(When.BEV, kernel[When.NOW])

    def _came(
        self, machine: Machine, stop: Stop, plan: object, filled: dict[GpaRange, bytes]
    ) -> Came:
        assert self.goal is not None, f"is not refused: {stop.detail}"
        # What says nothing on the serial port is known by what it has the BIOS print.
        console = machine.console.decode().replace("\r\n", "\n") or "\n".join(machine.log)
        if self.goal is Goal.WORDS:
            cmdline = self.bootable.cmdline
            shown = self.bootable.proof(Said(console, cmdline, "TOKEN", self.method))
        else:
            assert stop.reason is StopReason.BREAKPOINT, stop.detail
            reached = Reached(
                machine, stop.registers, self.bootable, self.method, self.platform, self.goal
            )
            shown = reached.shown()
        return Came(plan, filled, stop.reason, stop.registers, console, shown)

    def _named(self) -> list[tuple[Role, ModuleFile]]:
        bootable = self.bootable
        roles = [Role.KERNEL, Role.RAMDISK, *(Role.MODULE for _ in bootable.modules[1:])]
        return list(zip(roles, (ModuleFile(str(bootable.kernel)), *bootable.modules), strict=False))

    def _host_files(self, stack: ExitStack) -> HostFiles:
        kernel, *modules = [
            host_image(
                role,
                stack.enter_context(io.FileIO(named.path)),
                _name(named),
                named.arguments.encode(),
            )
            for role, named in self._named()
        ]
        return HostFiles(kernel, modules[0] if modules else None, tuple(modules[1:]))

    def _frame(self, guest: Guest, native: HostFiles | None) -> bytes:
        """native: None if the images are to be staged in RAM, as a toolstack does."""
        staged: Sequence[StagedImage] = ()
        if native is None:
            named = self._named()
            contents = [Path(file.path).read_bytes() for _, file in named]
            places = stage_places([len(content) for content in contents], guest.e820)
            staged = [
                replace(
                    guest.stage(role, content, place.start),
                    name=_name(file),
                    arguments=file.arguments.encode(),
                )
                for (role, file), content, place in zip(named, contents, places, strict=True)
            ]
        descriptor = guest.descriptor(
            staged,
            cmdline=self.bootable.cmdline.encode(),
            boot=self.method.boot,
            entry=self.method.entry,
        )
        return encode_descriptor(descriptor, rom_boot.GENERATION)

    def _carried(self, frame: bytes, guest: Guest) -> bytes:
        """The frame as it comes out of guest RAM, as it does out of the other carriers."""
        chunks = [chunk.encode() for chunk in base64_chunks.split(frame)]
        assert base64_chunks.join(chunks, "frame") == frame
        assert arguments.from_chunks(arguments.to_arguments(frame)[1::2]) == frame
        at = memory.store(frame, guest.ram)
        return memory.fetch(guest.ram, at.start, at.size)


class _Log(list[str]):
    """What the BIOS prints; the guest is stopped at the first line with `until` in it, if that
    is not empty."""

    def __init__(self, until: str) -> None:
        self._until = until

    def append(self, line: str) -> None:
        super().append(line)
        if self._until and self._until in line:
            self._until = ""
            raise GuestStopped(StopReason.BREAKPOINT, line)


@contextmanager
def _machine(
    platform: Platform, memory_bytes: int, until: str, *, poisoned: bool
) -> Iterator[Machine]:
    limit = low_ram_limit(platform, memory_bytes)
    regions = regions_for(memory_bytes, limit)
    fd = create_ram_file("matrix", memory_bytes)
    try:
        if poisoned:
            poison_file(fd, memory_bytes)
        with closing(MemfdRam(fd, regions)) as ram:
            yield Machine(fd, regions, ram, memory_map(memory_bytes, limit), log=_Log(until))
    finally:
        os.close(fd)


def _name(file: ModuleFile) -> bytes:
    return Path(file.path).name.encode()
