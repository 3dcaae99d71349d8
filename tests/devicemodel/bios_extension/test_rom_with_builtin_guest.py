"""The BIOS extension starts a kernel in bzImage format by each of its three entries.

The kernel is the toolstack's built-in guest: it tells on COM1 where it runs and what it got.
"""

from __future__ import annotations

import struct
import zlib

import pytest

from devicemodel.bios_extension.block import (
    DEFAULT_BLOCK_GPA,
    Copy,
    CountForm,
    E820Collection,
    E820Format,
    Entry,
    LongModeEntry,
    ParameterBlock,
    ProtectedModeEntry,
    RealModeEntry,
    Zero,
)
from devicemodel.bios_extension.block_codec import encode
from handoff.addresses import Gpa
from tests.devicemodel.bios_extension.bench import Bench, at
from tests.devicemodel.bios_extension.seabios import run
from toolstack.builtin_guest import INITRD, kernel_path, nonrelocatable_kernel_path

COMMAND_LINE = b"console=ttyS0 nokaslr answer=42"
KERNEL = 0x200000
INITRD_AT = 0x1000000
STAGED_SETUP = 0x800000
STAGED_LINE = 0x810000
SETUP = 0x10000
LINE = 0x20000
BOOT_PARAMS = 0x90000


def patched(image: bytes, code32_start: int) -> bytes:
    """The image with the fields a boot loader writes."""
    out = bytearray(image)
    out[0x210] = 0x90
    out[0x211] |= 0x80
    struct.pack_into("<I", out, 0x214, code32_start)
    struct.pack_into("<II", out, 0x218, INITRD_AT, len(INITRD))
    struct.pack_into("<H", out, 0x224, 0xDE00)
    struct.pack_into("<I", out, 0x228, LINE)
    return bytes(out)


def split(image: bytes) -> tuple[bytes, bytes]:
    """Setup part and protected-mode part."""
    size = (image[0x1F1] + 1) * 512
    return image[:size], image[size:]


def boot(bench: Bench, block: ParameterBlock, staged: dict[int, bytes]) -> list[str]:
    """What the guest said; it must have come to its end."""
    everything = {int(DEFAULT_BLOCK_GPA): encode(block), INITRD_AT: INITRD} | staged
    ended = run(everything | {STAGED_LINE: COMMAND_LINE + b"\0"}, [bench.our_rom()])
    assert ended.status == 0, ended.serial
    said = [line.removeprefix("builtin-guest: ") for line in ended.serial.split("\r\n")]
    assert said[-2:] == ["done", ""]
    assert f"command line  {LINE:#010x}: {COMMAND_LINE.decode()}" in said
    crc = f", bytes {len(INITRD)}, CRC-32 {zlib.crc32(INITRD):#010x}"
    assert f"initrd        {INITRD_AT:#010x}{crc}" in said
    assert "loader type   0x90" in said
    assert "e820          [0x0000000000000000, 0x000000000009fc00) RAM" in said
    return said


def setup_steps(setup: bytes) -> tuple[Copy, Copy]:
    return (
        Copy(at(STAGED_SETUP, len(setup)), Gpa(SETUP)),
        Copy(at(STAGED_LINE, len(COMMAND_LINE) + 1), Gpa(LINE)),
    )


REAL_ENTRY = RealModeEntry(cs=(SETUP >> 4) + 0x20, ip=0, ss=SETUP >> 4, sp=0xDFF0, ds=SETUP >> 4)


def test_a_relocatable_kernel_runs_where_it_was_placed(bench: Bench) -> None:
    setup, kernel = split(patched(kernel_path().read_bytes(), KERNEL))
    block = ParameterBlock(REAL_ENTRY, setup_steps(setup))
    said = boot(bench, block, {KERNEL: kernel, STAGED_SETUP: setup})
    assert f"runs at       {KERNEL:#010x}" in said
    assert "entered in    real mode" in said


@pytest.mark.parametrize("staged_at", [KERNEL, 0x100001, 0x100100])
def test_a_non_relocatable_kernel_is_brought_to_one_mebibyte(bench: Bench, staged_at: int) -> None:
    setup, kernel = split(patched(nonrelocatable_kernel_path().read_bytes(), 0x100000))
    move = Copy(at(staged_at, len(kernel)), Gpa(0x100000))
    block = ParameterBlock(REAL_ENTRY, (move, *setup_steps(setup)))
    said = boot(bench, block, {staged_at: kernel, STAGED_SETUP: setup})
    assert "runs at       0x00100000" in said


def test_a_non_relocatable_kernel_elsewhere_says_so(bench: Bench) -> None:
    setup, kernel = split(patched(nonrelocatable_kernel_path().read_bytes(), KERNEL))
    block = ParameterBlock(REAL_ENTRY, setup_steps(setup))
    staged = {KERNEL: kernel, STAGED_SETUP: setup, STAGED_LINE: COMMAND_LINE + b"\0"}
    everything = {int(DEFAULT_BLOCK_GPA): encode(block), INITRD_AT: INITRD} | staged
    said = run(everything, [bench.our_rom()], stop_at="WRONG ADDRESS").serial
    assert f"runs at       {KERNEL:#010x}" in said
    assert "done" not in said


@pytest.mark.parametrize(
    ("entry", "mode"),
    [
        (ProtectedModeEntry(Gpa(KERNEL), esi=BOOT_PARAMS), "32-bit mode"),
        (LongModeEntry(Gpa(KERNEL + 0x200), BOOT_PARAMS, Gpa(0x700000)), "64-bit mode"),
    ],
)
def test_boot_params_made_outside_get_the_map_and_start_the_kernel(
    bench: Bench, entry: Entry, mode: str
) -> None:
    setup, kernel = split(patched(kernel_path().read_bytes(), KERNEL))
    page = bytearray(4096)
    page[0x1F1:0x26C] = setup[0x1F1:0x26C]
    steps = (
        Zero(at(BOOT_PARAMS, 4096)),
        Copy(at(STAGED_SETUP, 4096), Gpa(BOOT_PARAMS)),
        Copy(at(STAGED_LINE, len(COMMAND_LINE) + 1), Gpa(LINE)),
    )
    table = E820Collection(
        E820Format.BARE,
        Gpa(BOOT_PARAMS + 0x2D0),
        128,
        Gpa(BOOT_PARAMS + 0x1E8),
        CountForm.U8_RECORDS,
    )
    block = ParameterBlock(entry, steps, table, rsdp=Gpa(BOOT_PARAMS + 0x70))
    said = boot(bench, block, {KERNEL: kernel, STAGED_SETUP: bytes(page)})
    assert f"entered in    {mode}" in said
    assert f"runs at       {KERNEL:#010x}" in said
    assert f"boot_params   {BOOT_PARAMS:#010x}" in said
