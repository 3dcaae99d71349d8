"""linuxboot.bin and linuxboot_dma.bin of Debian start real kernels from what we serve them."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from handoff.addresses import MIB
from tests.builders import host_files
from tests.devicemodel.fw_cfg.rom_boot import LINUX_ROMS, Files, boot, native_offer, offer
from tests.toolstack.machine.emulator.guest import guest
from toolstack.builtin_guest import COMMAND_LINE, INITRD, kernel_path
from toolstack.images import ensure
from toolstack.machine.emulator.stop import StopReason

MEMORY_BYTES = 512 * MIB
PROTECTED_ENTRY = 0x100000
BUILTIN = Files(kernel_path().read_bytes(), INITRD, COMMAND_LINE.encode())
MARKED = bytes(range(256)) * 4321
"""A ramdisk whose every page differs from the one before."""


@pytest.fixture(scope="module")
def debian() -> bytes:
    (image,) = ensure(("vmlinuz",))
    return Path(image.path).read_bytes()


@pytest.mark.parametrize("rom", LINUX_ROMS)
async def test_the_builtin_guest_runs_to_its_end(rom: str) -> None:
    with guest(64 * MIB) as machine:
        ran = await boot(machine, offer(machine, BUILTIN), rom)
    assert ran.stop.reason is StopReason.POWERED_OFF, ran.stop.detail
    assert COMMAND_LINE in ran.console
    assert f"bytes {len(INITRD)}" in ran.console
    assert "loader type   0xb0" in ran.console
    assert ran.console.rstrip().endswith("builtin-guest: done")


@pytest.mark.parametrize("rom", LINUX_ROMS)
async def test_host_files_start_the_same_guest(rom: str) -> None:
    with guest(64 * MIB) as machine, host_files(BUILTIN.kernel, BUILTIN.ramdisk) as files:
        native = await boot(machine, native_offer(machine, BUILTIN), rom, native=files)
    with guest(64 * MIB) as machine:
        handed_over = await boot(machine, offer(machine, BUILTIN), rom)
    assert native.stop.reason is StopReason.POWERED_OFF, native.stop.detail
    assert native.console == handed_over.console


@pytest.mark.parametrize("rom", LINUX_ROMS)
async def test_debians_setup_code_reaches_its_32_bit_entry(rom: str, debian: bytes) -> None:
    files = Files(debian, MARKED, b"console=ttyS0 nokaslr")
    with guest(MEMORY_BYTES) as machine:
        ran = await boot(machine, offer(machine, files), rom, until=PROTECTED_ENTRY)
        registers = ran.stop.registers
        assert ran.stop.reason is StopReason.BREAKPOINT, ran.stop.detail
        assert (registers.eip, registers.cs, registers.ds) == (PROTECTED_ENTRY, 0x10, 0x18)
        setup_bytes = (debian[0x1F1] + 1) * 512
        payload = debian[setup_bytes:]
        assert machine.read(PROTECTED_ENTRY, len(payload)) == payload
        ramdisk, size, cmdline = (ran.u32(registers.esi + at) for at in (0x218, 0x21C, 0x228))
        # Below the end of RAM, as the ROM recomputes it from int 15h E801h.
        assert ramdisk == (MEMORY_BYTES - len(MARKED)) & ~0xFFF
        assert (size, machine.read(ramdisk, size)) == (len(MARKED), MARKED)
        assert cmdline == 0x20000
        assert machine.read(cmdline, len(files.cmdline) + 1) == files.cmdline + b"\0"


@pytest.mark.parametrize("rom", LINUX_ROMS)
async def test_a_ramdisk_at_the_kernels_limit_stays_where_it_was_put(rom: str) -> None:
    limit = 48 * MIB
    kernel = bytearray(BUILTIN.kernel)
    struct.pack_into("<I", kernel, 0x22C, limit - 1)  # initrd_addr_max
    struct.pack_into("<H", kernel, 0x236, 0)  # xloadflags: nothing above 4 GiB
    with guest(128 * MIB) as machine:
        ran = await boot(machine, offer(machine, Files(bytes(kernel), INITRD)), rom)
    assert ran.stop.reason is StopReason.POWERED_OFF, ran.stop.detail
    expected = (limit - 1 - len(INITRD)) & ~0xFFF
    assert f"initrd        {expected:#010x}, bytes {len(INITRD)}" in ran.console


@pytest.mark.parametrize("rom", LINUX_ROMS)
async def test_sources_on_the_roms_way_are_moved_out_of_it_first(rom: str) -> None:
    """The kernel staged where the ramdisk goes, the ramdisk staged where neither may stay."""
    ramdisk = MARKED * 20
    files = Files(BUILTIN.kernel, ramdisk, BUILTIN.cmdline)
    with guest(128 * MIB) as machine:
        top = 128 * MIB - 32 * MIB
        frame = offer(machine, files, 2 * MIB, top - len(ramdisk) & ~0xFFF)
        ran = await boot(machine, frame, rom)
    assert ran.stop.reason is StopReason.POWERED_OFF, ran.stop.detail
    assert f"bytes {len(ramdisk)}" in ran.console


async def test_a_guest_without_a_ramdisk_is_told_of_none() -> None:
    with guest(64 * MIB) as machine:
        ran = await boot(machine, offer(machine, Files(BUILTIN.kernel)), "linuxboot_dma.bin")
    assert ran.stop.reason is StopReason.POWERED_OFF, ran.stop.detail
    assert "bytes 226" not in ran.console
