"""What setup code finds at its entry is what it finds in QEMU, by the same ROM."""

from __future__ import annotations

from pathlib import Path

import pytest

from handoff.addresses import MIB
from tests.devicemodel.fw_cfg.rom_boot import LINUX_ROMS, Files, boot, offer
from tests.devicemodel.fw_cfg.witness import in_qemu, linux_kernel
from tests.toolstack.machine.emulator.guest import guest
from toolstack.machine.emulator.stop import StopReason

MEMORY_MIB = 128
RAMDISK = b"ramdisk" * 1000
CMDLINE = b"root=/dev/none vga=normal quiet"
RAMDISK_IMAGE = slice(2 * (0x218 - 0x1F1), 2 * (0x21C - 0x1F1))
SETUP_MOVE_SIZE = slice(2 * (0x212 - 0x1F1), 2 * (0x214 - 0x1F1))
"""In the line of the setup header."""

KERNELS = [
    pytest.param({"version": 0x20F}, id="2.15"),
    pytest.param({"version": 0x20F, "initrd_addr_max": 48 * MIB - 1}, id="2.15, ramdisk limit"),
    pytest.param({"version": 0x204}, id="2.04"),
    pytest.param({"version": 0x202}, id="2.02"),
    pytest.param({"version": 0x201}, id="2.01"),
    pytest.param({"version": 0x200}, id="2.00"),
    pytest.param({"version": 0x20F, "loadflags": 0}, id="zImage"),
]


@pytest.mark.parametrize("rom", LINUX_ROMS)
@pytest.mark.parametrize("kernel", KERNELS)
async def test_setup_code_finds_what_qemu_gives_it(
    tmp_path: Path, rom: str, kernel: dict[str, int]
) -> None:
    files = Files(linux_kernel(**kernel), RAMDISK, CMDLINE)
    (tmp_path / "kernel").write_bytes(files.kernel)
    (tmp_path / "ramdisk").write_bytes(RAMDISK)
    theirs = in_qemu(
        tmp_path,
        MEMORY_MIB,
        *("-kernel", "kernel", "-initrd", "ramdisk", "-append", CMDLINE.decode()),
        *(() if rom.endswith("_dma.bin") else ("-global", "fw_cfg.dma_enabled=off")),
    )
    with guest(MEMORY_MIB * MIB) as machine:
        ran = await boot(machine, offer(machine, files), rom)
    assert ran.stop.reason is StopReason.POWERED_OFF, ran.stop.detail
    ours = ran.console.split("\n")
    assert ours[0] == theirs[0]  # registers
    assert settled(ours[1]) == settled(theirs[1])
    assert ours[2] == theirs[2]  # where old kernels find their command line
    for lines in (ours, theirs):
        blocks = int.from_bytes(bytes.fromhex(lines[3]), "little")
        end = 16 * MIB + blocks * 0x10000
        expected = (end - len(RAMDISK)) & ~0xFFF
        if "initrd_addr_max" in kernel:
            expected = (kernel["initrd_addr_max"] - len(RAMDISK)) & ~0xFFF
        found = int.from_bytes(bytes.fromhex(lines[1][RAMDISK_IMAGE]), "little")
        assert found == expected


def settled(header: str) -> str:
    """The setup header without the address that depends on how much firmware reserved, and
    without setup_move_size: QEMU leaves it as it is, the protocol has a loader set it, and at
    0x90000 no setup code acts on it."""
    fields = list(header)
    for field in (RAMDISK_IMAGE, SETUP_MOVE_SIZE):
        fields[field] = "." * (field.stop - field.start)
    return "".join(fields)
