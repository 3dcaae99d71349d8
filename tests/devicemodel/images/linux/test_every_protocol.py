"""What setup code of each protocol version finds when it runs: its own words, in the emulator.

No distribution ships headers before 2.05 any more; these kernels are made byte by byte.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from devicemodel.discover import Discovered
from devicemodel.ready import Ready
from handoff.addresses import MIB
from handoff.descriptor import BootMethod
from handoff.errors import ConfigError
from handoff.platforms import Platform
from tests.builders import RAMDISK, Guest, host_files
from tests.devicemodel.handover import (
    How,
    Staged,
    discovered,
    discovered_native,
    plan_of,
    through,
    told,
    waiting,
)
from tests.devicemodel.images.linux.tiny_kernel import TinyKernel
from tests.toolstack.machine.emulator.guest import guest
from toolstack.machine.emulator.emulator import Emulator
from toolstack.machine.emulator.stop import StopReason

LINE = b"console=ttyS0 root=/dev/hda1"
HOW = How(boot=BootMethod.LINUX)
BZIMAGE, ZIMAGE = True, False
BUDGET = 10_000_000
"""instructions; the longest zImage adds up half a million bytes"""

KERNELS = [
    TinyKernel(0, ZIMAGE),
    *(TinyKernel(version, ZIMAGE) for version in (0x200, 0x201, 0x202, 0x206, 0x209)),
    *(TinyKernel(version, BZIMAGE) for version in range(0x200, 0x210)),
    *(TinyKernel(version, BZIMAGE, relocatable=True) for version in range(0x204, 0x210)),
]


def name(kernel: TinyKernel) -> str:
    kind = "bzImage" if kernel.high else "zImage"
    return f"{kernel.version:#x}-{kind}" + ("-relocatable" if kernel.relocatable else "")


@contextmanager
def machine(platform: Platform) -> Iterator[tuple[Guest, Emulator, bytearray]]:
    with guest() as inner:
        map_ = inner.e820
        yield (
            Guest(platform, 64 * MIB, map_, inner.regions, inner.ram),
            inner.start(),
            inner.console,
        )


def words(kernel: TinyKernel, platform: Platform, *, native: bool) -> tuple[list[str], Ready]:
    """What the kernel said, having come to its end, and how it was handed over."""
    ramdisk = RAMDISK if kernel.version else None
    with machine(platform) as (target, emulator, console):
        found: Discovered
        if native:
            with host_files(kernel.build(), ramdisk) as files:
                done = through(discovered_native(target, files, LINE, HOW), target)
        else:
            staged = Staged(kernel.build(), 0x400000, ramdisk, 0x600000, LINE, how=HOW)
            found = discovered(target, staged)
            done = through(found, target)
        with emulator:
            stop = emulator.run(max_instructions=BUDGET)
        assert stop.reason is StopReason.POWERED_OFF, (stop.detail, console)
        return console.decode().split("\r\n"), done


def expected(kernel: TinyKernel, platform: Platform) -> list[str]:
    """The same by the boot protocol's text."""
    version = kernel.version
    old = version < 0x202 or not kernel.high
    segment = 0x9000 if old else 0x1000
    heap_end = 0x9800 if old else 0x10000
    said = [f"cs={segment + 0x20:04X}"]
    said += [f"{register}={segment:04X}" for register in ("ds", "es", "fs", "gs", "ss")]
    said.append(f"sp={0x9800 if old else 0xFFF0:04X}")
    ramdisk_at = 0x1FF5000
    if version:
        loadflags = int(kernel.high) | (0x80 if version >= 0x201 else 0)
        loader = 0x90 if platform is Platform.XEN_HVM else 0xB0
        said.append(f"loader={loadflags:02X}{loader:02X}")
        said.append(f"ramdisk_low={ramdisk_at & 0xFFFF:04X}")
        said.append(f"ramdisk_high={ramdisk_at >> 16:04X}")
        said.append(f"ramdisk_bytes={len(RAMDISK):04X}")
    if version in (0x200, 0x201):
        said.append(f"setup_move_size={0x9800 + len(LINE) + 1:04X}")
    if version >= 0x201:
        said.append(f"heap_end_ptr={heap_end - 0x200:04X}")
    said.append(f"line={LINE.decode()}")
    if not version:
        said.append("behind setup code: zeros")
    moved = kernel.relocatable and version >= 0x205
    load = 0x200000 if moved else 0x100000 if kernel.high else 0x10000
    said += [f"runs at {load:08X}", "sane"]
    if version:
        said.append(f"disk {int.from_bytes(RAMDISK[:4], 'little'):08X}")
    return [*said, ""]


@pytest.mark.parametrize("platform", Platform, ids=lambda platform: platform.value)
@pytest.mark.parametrize("kernel", KERNELS, ids=name)
def test_setup_code_finds_what_its_protocol_promises(
    kernel: TinyKernel, platform: Platform
) -> None:
    said, done = words(kernel, platform, native=False)
    assert said == expected(kernel, platform)
    native_said, native = words(kernel, platform, native=True)
    assert native_said == said
    assert told(plan_of(native)) == told(plan_of(done))
    assert waiting(native) == waiting(done)


@pytest.mark.parametrize("platform", Platform, ids=lambda platform: platform.value)
def test_a_zimage_of_full_length_ends_where_its_setup_code_begins(platform: Platform) -> None:
    kernel = TinyKernel(0x202, ZIMAGE, protected_bytes=0x80000)
    said, _ = words(kernel, platform, native=False)
    assert said == expected(kernel, platform)


def test_a_kernel_without_a_header_takes_no_ramdisk() -> None:
    kernel = TinyKernel(0, ZIMAGE)
    with machine(Platform.QEMU_PC) as (target, emulator, _), emulator:
        staged = Staged(kernel.build(), 0x400000, RAMDISK, 0x600000, LINE, how=HOW)
        with pytest.raises(ConfigError, match=r"older than boot protocol 2.00 .* remove ramdisk="):
            through(discovered(target, staged), target)


def test_old_kernels_take_255_bytes_of_command_line() -> None:
    kernel = replace(KERNELS[0], version=0x201)
    with machine(Platform.QEMU_PC) as (target, emulator, console), emulator:
        line = b"x" * 255
        staged = Staged(kernel.build(), 0x400000, None, 0, line, how=HOW)
        through(discovered(target, staged), target)
        emulator.run(max_instructions=BUDGET)
        assert f"line={line.decode()}\r\n" in console.decode()
    with machine(Platform.QEMU_PC) as (target, emulator, _), emulator:
        staged = replace(staged, cmdline=b"x" * 256)
        with pytest.raises(ConfigError, match="256 bytes, this kernel takes 255"):
            through(discovered(target, staged), target)
