"""What the BIOS extension refuses to boot, on a PC with real SeaBIOS."""

from __future__ import annotations

import struct

import pytest

from devicemodel.bios_extension.block import (
    DEFAULT_BLOCK_GPA,
    CountForm,
    E820Collection,
    E820Format,
    LongModeEntry,
    ParameterBlock,
)
from devicemodel.bios_extension.block_codec import encode
from handoff.addresses import Gpa
from tests.devicemodel.bios_extension.bench import (
    MAP,
    STAGING,
    Bench,
    protected_block,
)
from tests.devicemodel.bios_extension.seabios import (
    FINISHED,
    run,
)


def test_a_64_bit_entry_on_a_32_bit_cpu_is_refused(bench: Bench) -> None:
    entry = LongModeEntry(rip=Gpa(0x1000200), rsi=0, page_tables=Gpa(0x700000))
    line = bench.refused(encode(ParameterBlock(entry)), "-cpu", "qemu32")
    assert line == (
        "direct boot: parameter block at 0x001f0000: "
        "asks for a 64-bit entry, but this CPU has no long mode. Halted.\r\n"
    )


def damaged(block: bytes, offset: int, value: int) -> bytes:
    changed = bytearray(block)
    changed[offset] ^= value
    return bytes(changed)


@pytest.mark.parametrize(
    ("offset", "reason"),
    [
        (0x00, "none found there"),
        (0x04, "its version is not known to this ROM"),
        (0x05, "its version is not known to this ROM"),
        (0x08, "its length is wrong"),
        (0x0B, "its length is wrong"),
        (0x10, "its length is wrong"),
        (0x13, "its length is wrong"),
        (0x0C, "damaged, CRC-32 differs"),
        (0x06, "damaged, CRC-32 differs"),
        (0x30, "damaged, CRC-32 differs"),
        (0x4F, "damaged, CRC-32 differs"),
    ],
)
def test_one_damaged_byte_means_a_line_and_no_boot(bench: Bench, offset: int, reason: str) -> None:
    block, _ = protected_block(bench)
    line = bench.refused(damaged(encode(block), offset, 0x40))
    assert line == f"direct boot: parameter block at 0x001f0000: {reason}. Halted.\r\n"


def test_poison_instead_of_a_block_is_refused_with_its_address(bench: Bench) -> None:
    line = bench.refused(b"", block_gpa=0x1ABCDE8)
    assert line == ("direct boot: parameter block at 0x01abcde8: none found there. Halted.\r\n")


def test_a_refused_block_does_not_fall_through_to_the_next_boot_device(bench: Bench) -> None:
    disk = bench.folder / "disk"
    sector = b"\xf4".ljust(510, b"\0") + b"\x55\xaa"  # hlt
    disk.write_bytes(sector * 2048)
    line = bench.refused(b"", "-drive", f"file={disk},format=raw,if=ide,snapshot=on")
    assert line.endswith("none found there. Halted.\r\n")


def test_a_refusal_is_also_shown_on_the_screen(bench: Bench) -> None:
    ended = run({}, [bench.our_rom(), bench.other_rom("int10_rom")], stop_at="Halted.\r\n")
    (length,) = struct.unpack_from("<H", ended.ram, 0x5FC)
    shown = ended.ram[0x600 : 0x600 + length].decode("ascii")
    # The machine was stopped at the serial port's line feed; the screen's may not be out yet.
    assert shown.removesuffix("\n").endswith(ended.serial.removesuffix("\n"))
    assert "none found there. Halted." in shown


def test_a_map_longer_than_its_table_is_refused_not_cut(bench: Bench) -> None:
    short = E820Collection(E820Format.BARE, Gpa(0x390000), 2, Gpa(0x38FFFF), CountForm.U8_RECORDS)
    block, _ = protected_block(bench, e820=short)
    line = bench.refused(encode(block))
    assert line.endswith("has too little room for the E820 map of this firmware. Halted.\r\n")


def test_firmware_without_e820_is_refused_only_when_the_map_is_asked_for(bench: Bench) -> None:
    hook = bench.other_rom("no_e820_rom")
    block, payload = protected_block(bench, e820=MAP)
    line = bench.refused(encode(block), roms=(hook,))
    assert line.endswith("asks for the E820 map, but firmware gives none. Halted.\r\n")
    block, payload = protected_block(bench)
    staged = {int(DEFAULT_BLOCK_GPA): encode(block), STAGING: payload}
    assert run(staged, [bench.our_rom(), hook]).status == FINISHED
