"""Which bytes are an option ROM, and which of its headers boot."""

import struct

import pytest

from tests.toolstack.machine.emulator.assembly import pnp_header, with_checksum
from tests.toolstack.machine.emulator.fake_cpu import FakeCpu
from toolstack.machine.emulator.bios.option_rom import (
    BadRom,
    BootEntry,
    OptionRom,
    boot_entries,
    find_rom,
    next_place,
)

AT = 0xC8000


def image_with(
    headers: dict[int, bytes], pointer: int, extra: dict[int, bytes] | None = None
) -> bytes:
    image = bytearray(512)
    image[:4] = b"\x55\xaa\x01\xcb"
    struct.pack_into("<H", image, 0x1A, pointer)
    for offset, content in {**headers, **(extra or {})}.items():
        image[offset : offset + len(content)] = content
    return with_checksum(bytes(image))


def cpu_with(image: bytes) -> FakeCpu:
    cpu = FakeCpu()
    cpu.write(AT, image)
    return cpu


def entries(image: bytes) -> tuple[BootEntry, ...]:
    return boot_entries(cpu_with(image), OptionRom(AT, len(image)))


def test_signature_length_and_checksum_make_a_rom() -> None:
    assert find_rom(cpu_with(image_with({}, 0)), AT) == OptionRom(AT, 512)


@pytest.mark.parametrize("content", [b"\xcc" * 512, b"\xaa\x55\x01", b"\x55"])
def test_without_the_signature_there_is_nothing(content: bytes) -> None:
    assert find_rom(cpu_with(content), AT) is None


def test_a_bad_checksum_is_told_with_its_place() -> None:
    damaged = bytearray(image_with({}, 0))
    damaged[100] ^= 1
    with pytest.raises(BadRom, match="0xc8000 has bad checksum 0x01"):
        find_rom(cpu_with(bytes(damaged)), AT)


def test_a_rom_without_length_is_dropped() -> None:
    with pytest.raises(BadRom, match="length 0"):
        find_rom(cpu_with(b"\x55\xaa\x00"), AT)


def test_a_rom_must_end_below_the_bios() -> None:
    cpu = FakeCpu()
    cpu.write(0xDF800, b"\x55\xaa\xff")
    with pytest.raises(BadRom, match="ends beyond 0xe7000"):
        find_rom(cpu, 0xDF800)


def test_headers_with_a_bev_boot_in_their_order() -> None:
    image = image_with(
        {
            0x40: pnp_header(bev=0x100, next_header=0x60, product=0xA0),
            0x60: pnp_header(bcv=0x120, next_header=0x80),
            0x80: pnp_header(bev=0x140),
        },
        0x40,
        {0xA0: b"Network \x80 boot\0"},
    )
    assert entries(image) == (
        BootEntry(0xC800, 0x100, "Network ? boot"),
        BootEntry(0xC800, 0x140, "unnamed"),
    )


@pytest.mark.parametrize("pointer", [0, 0x1F8, 0xFFFF, 0x60])
def test_a_pointer_to_no_header_gives_no_entry(pointer: int) -> None:
    assert entries(image_with({0x40: pnp_header(bev=0x100)}, pointer)) == ()


def test_a_ring_of_headers_ends() -> None:
    image = image_with({0x40: pnp_header(bev=0x100, next_header=0x40)}, 0x40)
    assert 1 <= len(entries(image)) <= 16


@pytest.mark.parametrize(("end", "place"), [(0xC8800, 0xC8800), (0xC8801, 0xC9000)])
def test_roms_begin_on_2_kib_boundaries(end: int, place: int) -> None:
    assert next_place(end) == place
