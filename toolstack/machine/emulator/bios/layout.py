"""Where the BIOS keeps what: the F segment byte by byte, BIOS data area, stacks.

The F segment holds no code but two-byte stubs, NOP and IRET. The machine stops at each NOP
and does in Python what the service is; after it the IRET runs in the guest, so a handler that
the guest has put in front of ours may call it like any other.
"""

from __future__ import annotations

import struct

F_SEGMENT = 0xF000
F_BASE = F_SEGMENT << 4
F_SIZE = 0x10000

STUBS_OFFSET = 0xE800
_STUB = b"\x90\xcf"
VECTORS = 256
POST_TRAP = VECTORS
"""Number of the stub that the reset vector jumps to."""
ROM_RETURN_TRAP = VECTORS + 1
"""Number of the stub that an option ROM's far-called code returns to."""
_TRAPS = VECTORS + 2

TRAP_ADDRESSES = range(
    F_BASE + STUBS_OFFSET, F_BASE + STUBS_OFFSET + len(_STUB) * _TRAPS, len(_STUB)
)
"""Linear addresses of the stubs, by number."""

PNP_OFFSET = 0x6060
CONFIG_OFFSET = 0xE6F5
RESET_OFFSET = 0xFFF0
_DATE_OFFSET, _MODEL_OFFSET = 0xFFF5, 0xFFFE
_DATE = b"01/01/99"
_MODEL_PC_AT = 0xFC

BDA = 0x400
BDA_SIZE = 0x100
BDA_EBDA_SEGMENT = 0x40E
BDA_EQUIPMENT = 0x410
BDA_BASE_MEMORY_KIB = 0x413
BDA_VIDEO_MODE = 0x449
BDA_VIDEO_COLUMNS = 0x44A
BDA_CRTC_PORT = 0x463
BDA_DISK_STATUS = 0x474
BDA_VIDEO_ROWS = 0x484

EBDA_SEGMENT = 0x9FC0
BASE_MEMORY_KIB = 639
EQUIPMENT = 0x0226
"""One serial port, 80x25 colour, PS/2 pointing device, coprocessor."""

INIT_STACK = 0x6A04
BEV_STACK = 0x6F34
"""SP at the entry of a ROM's init code and of its BEV, both in segment 0, as SeaBIOS has them."""

ROM_SCAN = range(0xC0000, 0xE0000, 0x800)
"""Where option ROMs may begin."""
ROM_SCAN_END = 0xE7000
READ_ONLY = ((0xC0000, 0x28000), (0xF0000, 0x10000))
"""Start and size of what is write-protected from just before int 19h."""
ZEROED_BEFORE_BOOT = (0x7000, 0x90000 - 0x7000)
"""Start and size of what SeaBIOS zeroes at the same time."""


def stub_offset(trap: int) -> int:
    """Offset in the F segment of stub number `trap`."""
    return STUBS_OFFSET + len(_STUB) * trap


def bios_image() -> bytes:
    """The 64 KiB of the F segment."""
    image = bytearray(F_SIZE)

    def put(offset: int, content: bytes) -> None:
        image[offset : offset + len(content)] = content

    put(STUBS_OFFSET, _STUB * _TRAPS)
    put(PNP_OFFSET, _pnp_structure())
    put(CONFIG_OFFSET, _configuration_table())
    put(RESET_OFFSET, b"\xea" + struct.pack("<HH", stub_offset(POST_TRAP), F_SEGMENT))
    put(_DATE_OFFSET, _DATE)
    put(_MODEL_OFFSET, bytes((_MODEL_PC_AT,)))
    return bytes(image)


def interrupt_vectors() -> bytes:
    """The interrupt vector table: a stub each, but 60h to 67h, which are the user's."""
    table = bytearray()
    for vector in range(VECTORS):
        user = 0x60 <= vector <= 0x67
        table += struct.pack("<HH", 0, 0) if user else far_pointer(stub_offset(vector))
    return bytes(table)


def far_pointer(offset: int) -> bytes:
    """Offset and segment of a place in the F segment."""
    return struct.pack("<HH", offset, F_SEGMENT)


def bios_data_area() -> bytes:
    """256 bytes at 0x400. Source: IBM PC/AT technical reference, BIOS data area."""
    area = bytearray(BDA_SIZE)

    def word(address: int, value: int) -> None:
        struct.pack_into("<H", area, address - BDA, value)

    word(BDA, 0x3F8)
    word(BDA_EBDA_SEGMENT, EBDA_SEGMENT)
    word(BDA_EQUIPMENT, EQUIPMENT)
    word(BDA_BASE_MEMORY_KIB, BASE_MEMORY_KIB)
    area[BDA_VIDEO_MODE - BDA] = 0x03
    word(BDA_VIDEO_COLUMNS, 80)
    word(BDA_CRTC_PORT, 0x3D4)
    area[BDA_VIDEO_ROWS - BDA] = 24
    # The keyboard buffer is empty: head and tail at its start.
    word(0x41A, 0x1E)
    word(0x41C, 0x1E)
    word(0x480, 0x1E)
    word(0x482, 0x3E)
    return bytes(area)


def _pnp_structure() -> bytes:
    """Installation check of the Plug and Play BIOS specification 1.0a, with no services."""
    size = 0x21
    body = struct.pack(
        "<4sBBHBIHHHIHHIHI",
        b"$PnP",
        0x10,
        size,
        0,
        0,
        0,
        stub_offset(ROM_RETURN_TRAP),
        F_SEGMENT,
        stub_offset(ROM_RETURN_TRAP),
        F_BASE,
        0,
        0,
        0,
        0,
        0,
    )[:size]
    return body[:8] + bytes((-sum(body) & 0xFF,)) + body[9:]


def _configuration_table() -> bytes:
    """What int 15h AH=C0h points to. Source: IBM PS/2 and PC BIOS technical reference."""
    return struct.pack("<H8B", 8, _MODEL_PC_AT, 0, 1, 0x70, 0, 0, 0, 0)
