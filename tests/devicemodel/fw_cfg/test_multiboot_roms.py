"""multiboot.bin and multiboot_dma.bin of Debian, and what a kernel finds compared with QEMU."""

from __future__ import annotations

from pathlib import Path

import pytest

from handoff.addresses import MIB
from tests.builders import noise
from tests.devicemodel.fw_cfg.rom_boot import MULTIBOOT_ROMS, Files, Ran, boot, offer
from tests.devicemodel.fw_cfg.witness import in_qemu, multiboot_kernel, words
from tests.toolstack.machine.emulator.guest import guest
from toolstack.machine.emulator.stop import StopReason

MEMORY_MIB = 128
FILES = Files(
    kernel=multiboot_kernel(),
    kernel_name=b"witness.bin",
    cmdline=b"console=com1 verbose",
    ramdisk=b"the first module",
    ramdisk_name=b"one.img",
    ramdisk_arguments=b"first=1 x",
    modules=((noise(5000, 5), b"two.img", b""), (noise(0x1000, 6), b"three.img", b"y")),
)
MEM_UPPER, MMAP_LENGTH = 2, 11
"""Words of the information structure that depend on what firmware reserves."""


async def started(rom: str, files: Files = FILES) -> Ran:
    with guest(MEMORY_MIB * MIB) as machine:
        ran = await boot(machine, offer(machine, files), rom)
    assert ran.stop.reason is StopReason.POWERED_OFF, ran.stop.detail
    return ran


@pytest.fixture(scope="module")
def qemu(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("multiboot")
    (folder / "witness.bin").write_bytes(FILES.kernel)
    assert FILES.ramdisk is not None
    (folder / "one.img").write_bytes(FILES.ramdisk)
    for content, name, _ in FILES.modules:
        (folder / name.decode()).write_bytes(content)
    arguments = ("-kernel", "witness.bin", "-append", FILES.cmdline.decode())
    initrd = "one.img first=1 x,two.img,three.img y"
    return in_qemu(Path(folder), MEMORY_MIB, *arguments, "-initrd", initrd)


@pytest.mark.parametrize("rom", MULTIBOOT_ROMS)
async def test_a_kernel_finds_what_qemu_gives_it(rom: str, qemu: list[str]) -> None:
    ours = (await started(rom)).console.split("\n")
    assert len(ours) == len(qemu)
    registers, info, *rest, _, end = ours
    theirs_registers, theirs_info, *theirs_rest, _, theirs_end = qemu
    assert registers == theirs_registers
    assert words(registers) == (0x2BADB002, 0x9500)
    mine, theirs = list(words(info)), list(words(theirs_info))
    for firmware in (MEM_UPPER, MMAP_LENGTH):
        mine[firmware] = theirs[firmware] = 0
    assert mine == theirs
    assert rest == theirs_rest
    assert end == theirs_end == ""


@pytest.mark.parametrize("rom", MULTIBOOT_ROMS)
async def test_memory_is_what_firmware_says(rom: str) -> None:
    lines = (await started(rom)).console.split("\n")
    info = words(lines[1])
    assert (info[1], info[MEM_UPPER]) == (639, (MEMORY_MIB - 1) * 1024)
    mmap = bytes.fromhex(lines[-2])
    assert info[MMAP_LENGTH] == len(mmap) == 5 * 24


@pytest.mark.parametrize("rom", MULTIBOOT_ROMS)
async def test_a_kernel_without_modules_gets_none(rom: str) -> None:
    ran = await started(rom, Files(FILES.kernel, kernel_name=b"k", cmdline=b""))
    info = words(ran.console.split("\n")[1])
    assert info[5] == 0
