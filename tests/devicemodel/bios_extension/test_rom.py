"""The option ROM's bytes, as firmware and a reader of its source see them."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from devicemodel.bios_extension.block import BLOCK_MAX_BYTES, DEFAULT_BLOCK_GPA
from devicemodel.bios_extension.rom import ASSEMBLED, SOURCE, check_rom, rom_image
from handoff.addresses import FOUR_GIB, Gpa
from handoff.errors import LayoutError, PlacementError
from tests.devicemodel.bios_extension.seabios import assemble


def with_checksum(image: bytearray) -> bytes:
    image[7] = 0
    image[7] = -sum(image) % 256
    return bytes(image)


def test_the_committed_bytes_are_what_the_source_assembles_to(tmp_path: Path) -> None:
    assert assemble(SOURCE, tmp_path / "rom.bin") == ASSEMBLED.read_bytes()


def test_the_committed_bytes_are_the_rom_for_a_block_at_the_known_location() -> None:
    committed = ASSEMBLED.read_bytes()
    assert committed == rom_image(), f"CHECKSUM in rom.asm must be {rom_image()[7]:#x}"


def test_firmware_finds_signature_length_and_checksum() -> None:
    image = rom_image()
    assert image[:2] == b"\x55\xaa"
    assert len(image) == image[2] * 512
    assert sum(image) % 256 == 0


def test_the_expansion_header_offers_a_bev_and_no_bcv() -> None:
    image = rom_image()
    (pointer,) = struct.unpack_from("<H", image, 0x1A)
    header = image[pointer : pointer + 32]
    assert header[:6] == b"$PnP\x01\x02"
    assert sum(header) % 256 == 0
    vendor, product = struct.unpack_from("<HH", header, 0x0E)
    bcv, disconnect, bev = struct.unpack_from("<HHH", header, 0x16)
    assert (bcv, disconnect) == (0, 0)
    assert image[bev] == 0xFA  # cli
    assert image[vendor:].startswith(b"stubdom-direct-boot\0")
    assert image[product:].startswith(b"Direct kernel boot\0")


def test_the_pci_data_structure_names_the_xen_platform_device() -> None:
    image = rom_image()
    (pointer,) = struct.unpack_from("<H", image, 0x18)
    fields = struct.unpack_from("<4sHHHHB3sHHBBH", image, pointer)
    signature, vendor, device, _, length, _, class_code, sectors, _, code, indicator, _ = fields
    assert (signature, vendor, device, length) == (b"PCIR", 0x5853, 0x0001, 24)
    assert class_code == bytes.fromhex("0080ff")
    assert (sectors * 512, code, indicator) == (len(image), 0, 0x80)


def test_init_says_an_ipl_device_is_attached_and_returns() -> None:
    assert rom_image()[3:7] == bytes.fromhex("b82000cb")  # mov ax, 0x20; retf


@pytest.mark.parametrize("block_gpa", [0x1F0000, 0x90000, 0x12345678, FOUR_GIB - BLOCK_MAX_BYTES])
def test_only_the_address_and_the_checksum_depend_on_the_blocks_place(block_gpa: int) -> None:
    image, default = rom_image(Gpa(block_gpa)), rom_image()
    assert check_rom(image).block_gpa == block_gpa
    assert struct.unpack_from("<I", image, 8) == (block_gpa,)
    assert image[:7] + image[12:] == default[:7] + default[12:]


def test_the_default_block_lies_at_the_known_location() -> None:
    assert rom_image() == rom_image(DEFAULT_BLOCK_GPA)
    assert check_rom(rom_image()).block_gpa == 0x1F0000


@pytest.mark.parametrize("block_gpa", [0x6001, 0x7000, 0x8FFF, FOUR_GIB - BLOCK_MAX_BYTES + 1])
def test_a_block_the_rom_cannot_read_is_refused(block_gpa: int) -> None:
    with pytest.raises(PlacementError, match=f"{block_gpa:#x}"):
        rom_image(Gpa(block_gpa))


def test_every_damaged_byte_of_a_rom_is_noticed() -> None:
    image = rom_image()
    for offset in range(len(image)):
        damaged = bytearray(image)
        damaged[offset] ^= 0x10
        with pytest.raises(LayoutError):
            check_rom(bytes(damaged))


@pytest.mark.parametrize("size", [0, 1, 0x1B, 512, 2559])
def test_a_truncated_rom_is_refused(size: int) -> None:
    with pytest.raises(LayoutError):
        check_rom(rom_image()[:size])


@pytest.mark.parametrize("tail", [1, 512])
def test_a_rom_with_a_tail_is_refused(tail: int) -> None:
    with pytest.raises(LayoutError, match="length"):
        check_rom(rom_image() + bytes(tail))


@pytest.mark.parametrize(
    ("offset", "value", "field"),
    [
        (0x00, 0x54, "signature"),
        (0x0C, 0x44, "name"),
        (0x18, 0x41, "PCIR pointer"),
        (0x19, 0x0A, "PCIR pointer"),
        (0x40, 0x70, "PCIR"),
        (0x44, 0x36, "vendor"),
        (0x46, 0x02, "device"),
        (0x4A, 0x1C, "PCIR"),
        (0x50, 0x04, "length"),
        (0x54, 0x03, "code"),
        (0x55, 0x00, "indicator"),
        (0x1A, 0x21, "pointer"),
        (0x1B, 0x0A, "pointer"),
        (0x20, 0x00, "PnP"),
        (0x24, 0x02, "PnP"),
        (0x25, 0x01, "PnP"),
        (0x29, 0x00, "checksum"),
    ],
)
def test_a_wrong_field_under_a_right_checksum_is_refused(
    offset: int, value: int, field: str
) -> None:
    image = bytearray(rom_image())
    image[offset] = value
    with pytest.raises(LayoutError, match=field):
        check_rom(with_checksum(image))


@pytest.mark.parametrize(
    ("offset", "value", "field"),
    [
        (0x26, 0x40, "next"),
        (0x36, 0x40, "BCV"),
        (0x35, 0x60, "indicators"),
        (0x3B, 0x0A, "BEV"),
        (0x3A, 0x00, "BEV"),
    ],
)
def test_an_expansion_header_that_says_something_else_is_refused(
    offset: int, value: int, field: str
) -> None:
    image = bytearray(rom_image())
    image[offset] = value
    image[0x29] = 0
    image[0x29] = -sum(image[0x20:0x40]) % 256
    with pytest.raises(LayoutError, match=field):
        check_rom(with_checksum(image))


def test_a_rom_whose_block_cannot_lie_there_is_refused() -> None:
    image = bytearray(rom_image())
    struct.pack_into("<I", image, 8, 0x7800)
    with pytest.raises(PlacementError, match="scratch"):
        check_rom(with_checksum(image))
