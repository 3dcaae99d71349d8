"""pvh.bin of Debian, and what a kernel finds compared with QEMU."""

from __future__ import annotations

from pathlib import Path

import pytest

from devicemodel.fw_cfg.pvh import ROM_MEMORY
from handoff.addresses import MIB
from handoff.errors import ConfigError, DoesNotFit
from tests.devicemodel.fw_cfg.rom_boot import Files, Ran, boot, offer
from tests.devicemodel.fw_cfg.witness import LOAD, in_qemu, pvh_kernel, words
from tests.toolstack.machine.emulator.guest import guest
from toolstack.machine.emulator.stop import StopReason

ROM = "pvh.bin"
MEMORY_MIB = 128
FILES = Files(pvh_kernel(), b"a ramdisk for a direct boot" * 300, b"console=com1 verbose")
RSDP_WORDS = (8, 9)
MAP_LENGTH_WORD = 12
"""Words of hvm_start_info that firmware decides."""


async def started(files: Files = FILES) -> Ran:
    with guest(MEMORY_MIB * MIB) as machine:
        # The ROM leaves fields of the start info as it finds them: it counts on fresh RAM.
        machine.ram.fill(ROM_MEMORY, 0)
        ran = await boot(machine, offer(machine, files), ROM)
    assert ran.stop.reason is StopReason.POWERED_OFF, ran.stop.detail
    return ran


@pytest.fixture(scope="module")
def qemu(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("pvh")
    (folder / "kernel").write_bytes(FILES.kernel)
    assert FILES.ramdisk is not None
    (folder / "ramdisk").write_bytes(FILES.ramdisk)
    arguments = ("-kernel", "kernel", "-initrd", "ramdisk", "-append", FILES.cmdline.decode())
    return in_qemu(Path(folder), MEMORY_MIB, *arguments)


async def test_a_kernel_finds_what_qemu_gives_it(qemu: list[str]) -> None:
    ours = (await started()).console.split("\n")
    assert len(ours) == len(qemu)
    assert words(ours[0])[1] == words(qemu[0])[1]  # EBX; EAX is undefined
    mine, theirs = list(words(ours[1])), list(words(qemu[1]))
    for firmware in (*RSDP_WORDS, MAP_LENGTH_WORD):
        mine[firmware] = theirs[firmware] = 0
    assert mine == theirs
    command_line, module, ramdisk = 2, 3, 4
    for line in (command_line, module, ramdisk):
        assert ours[line] == qemu[line]
    assert bytes.fromhex(ours[ramdisk]) == FILES.ramdisk
    assert ours[-2] == qemu[-2] == "00" * 16  # BSS


async def test_a_kernel_without_a_ramdisk_gets_no_module() -> None:
    lines = (await started(Files(FILES.kernel, cmdline=b"x"))).console.split("\n")
    assert words(lines[1])[3] == 0


async def test_several_modules_are_refused_in_words() -> None:
    files = Files(FILES.kernel, b"one", modules=((b"two", b"", b""),))
    with (
        guest(MEMORY_MIB * MIB) as machine,
        pytest.raises(ConfigError, match=r"pvh\.bin takes one"),
    ):
        await boot(machine, offer(machine, files), ROM)


async def test_segments_where_firmware_works_are_refused() -> None:
    """Nobody brings them there later: the ROM does not load segments."""
    low = FILES.kernel.replace(LOAD.to_bytes(4, "little"), (0x100000).to_bytes(4, "little"))
    with guest(MEMORY_MIB * MIB) as machine, pytest.raises(DoesNotFit, match="hvmloader"):
        await boot(machine, offer(machine, Files(low)), ROM)
