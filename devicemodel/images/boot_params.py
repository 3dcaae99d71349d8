"""The boot_params page ("zero page") of a kernel whose setup code does not run.

Setup code would fill it from BIOS calls. Here it is made in Python, and the BIOS extension puts
in what only firmware knows: the memory map, and where the ACPI tables are.
Source: Documentation/arch/x86/boot.rst and zero-page.rst in Linux.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

from devicemodel.bios_extension.block import (
    E820_MAX_RECORDS,
    CountForm,
    E820Collection,
    E820Format,
)
from devicemodel.images.setup_header import FIELDS, SetupHeader, patched
from handoff.addresses import PAGE, Gpa

BOOT_PARAMS_BYTES = PAGE
ACPI_RSDP_ADDR = 0x070
E820_ENTRIES = 0x1E8
SENTINEL = 0x1EF
E820_TABLE = 0x2D0
HEADER_START = FIELDS["setup_sects"].offset

_SCREEN_INFO = struct.Struct("<BBHHBBBxHxxBBH")
assert _SCREEN_INFO.size == 0x12
_VGA_COLOUR_256_KIB = 0x0003
"""BX of int 10h AH=12h BL=10h on any VGA."""


def boot_params(setup: bytes, header: SetupHeader, values: Mapping[str, int]) -> bytes:
    """The page, with `values` in its setup header.

    setup: the real-mode part of the image. Of it only the header is taken: the sentinel in front
    of it, 0xff in the file, would make the kernel distrust every field outside the header.
    """
    page = bytearray(BOOT_PARAMS_BYTES)
    page[HEADER_START : header.header_end] = setup[HEADER_START : header.header_end]
    _SCREEN_INFO.pack_into(page, 0, *_vga_text())
    assert page[SENTINEL] == 0
    return patched(bytes(page), header.version, values)


def _vga_text() -> tuple[int, ...]:
    """screen_info of a VGA in 80x25 text, as firmware leaves it."""
    return (
        0,  # orig_x
        24,  # orig_y: below what firmware has printed
        0,  # ext_mem_k: there is an E820 map
        0,  # orig_video_page
        3,  # orig_video_mode
        80,  # orig_video_cols
        0,  # flags
        _VGA_COLOUR_256_KIB,  # orig_video_ega_bx
        25,  # orig_video_lines
        1,  # orig_video_isVGA
        16,  # orig_video_points: height of the font
    )


def memory_map_of(page: Gpa) -> E820Collection:
    """The firmware's map, into the boot_params at `page`."""
    return E820Collection(
        format=E820Format.BARE,
        records=Gpa(page + E820_TABLE),
        max_records=E820_MAX_RECORDS,
        count=Gpa(page + E820_ENTRIES),
        count_form=CountForm.U8_RECORDS,
    )


def rsdp_of(page: Gpa) -> Gpa:
    """Where the boot_params at `page` have the address of the ACPI RSDP."""
    return Gpa(page + ACPI_RSDP_ADDR)
