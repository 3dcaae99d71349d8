"""Builds direct_kernel.asm, and hands it over with modules to a guest in the emulator."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from enum import IntEnum
from pathlib import Path
from tempfile import TemporaryDirectory

from devicemodel.discover import HostFiles, discover
from devicemodel.images.source import host_image
from devicemodel.ready import Ready
from handoff.addresses import MIB, GpaRange
from handoff.descriptor import Role
from handoff.descriptor_codec import encode_descriptor
from handoff.platforms import Platform
from tests.builders import Guest, host_file
from tests.devicemodel.bios_extension.seabios import assemble
from tests.devicemodel.handover import GENERATION, How, discovered_native, through
from tests.toolstack.machine.emulator.guest import guest
from toolstack.machine.emulator.stop import StopReason

SOURCE = Path(__file__).with_name("direct_kernel.asm")
RESULT = 0x3F0000
BSS_BYTES = 0x2345
LINE = b"console=ttyS0 of=the kernel"
_BUDGET = 2_000_000


class Header(IntEnum):
    NONE = 0
    ADDRESSES = 1
    PLAIN = 2


@dataclass(frozen=True, slots=True)
class Module:
    content: bytes
    at: int
    name: bytes = b"initrd.img"
    arguments: bytes = b""


@dataclass(frozen=True, slots=True)
class Entered:
    """What the kernel left, and the guest as it found it."""

    eax: int
    ebx: int
    esp: int
    cr0: int
    eflags: int
    dirty_bss_bytes: int
    ram: bytes
    """the first 64 MiB"""
    done: Ready

    def dwords(self, at: int, count: int) -> tuple[int, ...]:
        return struct.unpack_from(f"<{count}I", self.ram, at)

    def quads(self, at: int, count: int) -> tuple[int, ...]:
        return struct.unpack_from(f"<{count}Q", self.ram, at)

    def string(self, at: int) -> bytes:
        return self.ram[at : self.ram.index(b"\0", at)]


def code(base: int, bss_end: int, header: Header = Header.NONE) -> bytes:
    """Linked at `base`."""
    with TemporaryDirectory() as folder:
        return assemble(
            SOURCE,
            Path(folder, "kernel"),
            BASE=base,
            BSS=bss_end,
            RESULT=RESULT,
            HEADER=int(header),
        )


def entered(
    kernel: bytes, modules: Sequence[Module], platform: Platform, how: How, *, native: bool
) -> Entered:
    """Hands it over, and runs it to its end."""
    with guest() as inner:
        inner.ram.fill(GpaRange.between(16 * MIB, 64 * MIB), 0xCC)
        target = Guest(platform, 64 * MIB, inner.e820, inner.regions, inner.ram)
        if native:
            with _host_files(kernel, modules) as files:
                done = through(discovered_native(target, files, LINE, how), target)
        else:
            frame = _offer(target, kernel, modules, how)
            done = through(discover(frame, GENERATION, target.ram, None), target)
        with inner.start() as emulator:
            stop = emulator.run(max_instructions=_BUDGET)
        assert stop.reason is StopReason.POWERED_OFF, (stop.detail, inner.console, inner.log)
        ram = inner.read(0, 64 * MIB)
        return Entered(*struct.unpack_from("<6I", ram, RESULT), ram, done)


def _offer(target: Guest, kernel: bytes, modules: Sequence[Module], how: How) -> bytes:
    images = [replace(target.stage(Role.KERNEL, kernel, 0x400000), name=b"kernel")]
    for number, module in enumerate(modules):
        role = Role.MODULE if number else Role.RAMDISK
        staged = target.stage(role, module.content, module.at)
        images.append(replace(staged, name=module.name, arguments=module.arguments))
    return encode_descriptor(target.descriptor(images, cmdline=LINE, boot=how.boot), GENERATION)


@contextmanager
def _host_files(kernel: bytes, modules: Sequence[Module]) -> Iterator[HostFiles]:
    with ExitStack() as stack:
        first = host_image(Role.KERNEL, stack.enter_context(host_file(kernel)), b"kernel")
        others = [
            host_image(
                Role.MODULE if number else Role.RAMDISK,
                stack.enter_context(host_file(module.content)),
                module.name,
                module.arguments,
            )
            for number, module in enumerate(modules)
        ]
        yield HostFiles(first, others[0] if others else None, tuple(others[1:]))
