"""Kernels as distributions ship them, by QEMU's ROMs to their first instruction."""

from __future__ import annotations

from pathlib import Path

import pytest

from handoff.addresses import MIB
from handoff.descriptor import BootMethod
from tests.devicemodel.fw_cfg.rom_boot import MULTIBOOT_ROMS, Files, boot, offer
from tests.toolstack.machine.emulator.guest import guest
from toolstack.images import ensure
from toolstack.machine.emulator.stop import StopReason

MEMORY_BYTES = 512 * MIB
XEN_ENTRY = 0x200000
DEBIAN_PVH_ENTRY = 0x1000850
MODULE = bytes(range(256)) * 999


def image(name: str) -> bytes:
    (path,) = (found.path for found in ensure((name,)))
    return Path(path).read_bytes()


@pytest.mark.parametrize("rom", MULTIBOOT_ROMS)
async def test_xens_hypervisor_is_entered_with_its_modules(rom: str) -> None:
    files = Files(
        image("xen.gz"),
        kernel_name=b"xen.gz",
        cmdline=b"com1=115200 console=com1",
        ramdisk=MODULE,
        ramdisk_name=b"vmlinuz",
        ramdisk_arguments=b"console=hvc0",
    )
    with guest(MEMORY_BYTES) as machine:
        ran = await boot(machine, offer(machine, files), rom, until=XEN_ENTRY)
        assert ran.stop.reason is StopReason.BREAKPOINT, ran.stop.detail
        registers = ran.stop.registers
        assert (registers.eax, registers.ebx) == (0x2BADB002, 0x9500)
        assert machine.read(ran.u32(0x9500 + 16), 31) == b"xen.gz com1=115200 console=com1"
        assert ran.u32(0x9500 + 20) == 1
        module = ran.u32(0x9500 + 24)
        start, end, string = (ran.u32(module + at) for at in (0, 4, 8))
        assert machine.read(start, end - start) == MODULE
        assert machine.read(string, 21) == b"vmlinuz console=hvc0\0"


async def test_debians_kernel_is_entered_directly() -> None:
    files = Files(image("vmlinuz"), MODULE, b"console=ttyS0", boot=BootMethod.PVH)
    with guest(MEMORY_BYTES) as machine:
        ran = await boot(machine, offer(machine, files), "pvh.bin", until=DEBIAN_PVH_ENTRY)
        assert ran.stop.reason is StopReason.BREAKPOINT, ran.stop.detail
        info = ran.stop.registers.ebx
        assert ran.u32(info) == 0x336EC578
        assert machine.read(ran.u32(info + 24), 14) == b"console=ttyS0\0"
        module = ran.u32(info + 16)
        assert machine.read(ran.u32(module), ran.u32(module + 8)) == MODULE
