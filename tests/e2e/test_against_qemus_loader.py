"""What a kernel finds at its entry is what QEMU's own `-kernel` gives it on the same machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.builders import noise
from tests.devicemodel.fw_cfg.witness import (
    in_qemu,
    linux_kernel,
    multiboot_kernel,
    pvh_kernel,
    words,
)
from tests.e2e.toolstack_runs import toolstack, write_config

MEMORY_MIB = 128
LINE = "console=com1 verbose"
FIRST, SECOND = noise(7000, 5), noise(0x1000, 6)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "one.img").write_bytes(FIRST)
    (tmp_path / "two.img").write_bytes(SECOND)
    return tmp_path


def both(folder: Path, runtime: Path, kernel: bytes, initrd: str) -> tuple[list[str], list[str]]:
    """What the kernel says, started by us and by QEMU; lines without control characters."""
    (folder / "witness.bin").write_bytes(kernel)
    theirs = in_qemu(
        folder,
        MEMORY_MIB,
        *("-kernel", "witness.bin", "-append", LINE, "-initrd", initrd),
    )
    config = write_config(
        folder / "guest.cfg",
        memory=MEMORY_MIB,
        kernel=folder / "witness.bin",
        ramdisk=",".join(f"{folder}/{name}" for name in initrd.split(",")),
        cmdline=LINE,
    )
    how = ("--machine", "qemu", "--platform", "qemu-pc")
    run = toolstack(runtime, "create", str(config), *how)
    assert run.status == 0, run.errors
    ours = run.console.split("\n")
    assert len(ours) == len(theirs)
    return ours, theirs


def without(line: str, addresses: tuple[int, ...]) -> list[int]:
    """The words of a line, those named zero: each loader has places of its own."""
    return [0 if index in addresses else word for index, word in enumerate(words(line))]


def test_a_multiboot_kernel_finds_the_same(folder: Path, runtime: Path) -> None:
    ours, theirs = both(folder, runtime, multiboot_kernel(), "one.img first=1 x,two.img")

    registers, info, cmdline, loader, *modules, memory_map, end = ours
    assert words(registers)[0] == words(theirs[0])[0] == 0x2BADB002
    cmdline_at, mods_at, mmap_at, name_at = 4, 6, 12, 16
    where = (cmdline_at, mods_at, mmap_at, name_at)
    assert without(info, where) == without(theirs[1], where)
    assert cmdline == theirs[2]
    assert bytes.fromhex(cmdline) == f"witness.bin {LINE}".encode()
    assert (bytes.fromhex(loader), bytes.fromhex(theirs[3])) == (b"stubdom-direct-boot", b"qemu")
    for at, content, said in ((0, FIRST, b"one.img first=1 x"), (3, SECOND, b"two.img")):
        start, stop, _, reserved = words(modules[at])
        assert (stop - start, start % 0x1000, reserved) == (len(content), 0, 0)
        assert modules[at + 1 : at + 3] == theirs[4 + at + 1 : 4 + at + 3]
        assert bytes.fromhex(modules[at + 1]) == said
        assert bytes.fromhex(modules[at + 2]) == content
    assert (memory_map, end) == (theirs[-2], theirs[-1])


def test_a_pvh_kernel_finds_the_same(folder: Path, runtime: Path) -> None:
    ours, theirs = both(folder, runtime, pvh_kernel(), "one.img")

    modlist, cmdline, memmap = 4, 6, 10
    where = (modlist, cmdline, memmap)
    assert without(ours[1], where) == without(theirs[1], where)
    assert bytes.fromhex(ours[2]) == LINE.encode()
    module_at = (0,)
    assert without(ours[3], module_at) == without(theirs[3], module_at)
    # Command line, ramdisk, memory map, BSS.
    assert [ours[2], *ours[4:]] == [theirs[2], *theirs[4:]]


@pytest.mark.parametrize("version", [0x204, 0x20F])
def test_setup_code_finds_the_same(version: int, folder: Path, runtime: Path) -> None:
    ours, theirs = both(folder, runtime, linux_kernel(version), "one.img")

    # EAX, the last of pushad, is for nobody: QEMU's ROM leaves there the segment it jumps to.
    eax = slice(-8, None)
    assert ours[0][eax] == "0" * 8
    assert ours[0][: eax.start] == theirs[0][: eax.start]
    ramdisk = slice(2 * (0x218 - 0x1F1), 2 * (0x21C - 0x1F1))
    headers = [line[: ramdisk.start] + line[ramdisk.stop :] for line in (ours[1], theirs[1])]
    assert headers[0] == headers[1]
    assert ours[2:] == theirs[2:]
