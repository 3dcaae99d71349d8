"""Guest code for tests: assembled by nasm, wrapped into an option ROM."""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

ROM_BEV = 0x80
_PNP = 0x20


def assemble(source: str, origin: int = 0) -> bytes:
    """Flat binary of 16-bit code (`bits 32` and so on switch) at `origin`."""
    with TemporaryDirectory() as folder:
        text, binary = Path(folder, "code.asm"), Path(folder, "code.bin")
        text.write_text(f"bits 16\norg {origin:#x}\n{source}\n")
        subprocess.run(["nasm", "-f", "bin", "-o", binary, text], check=True, timeout=30)
        return binary.read_bytes()


def option_rom(
    bev: str, *, init: str = "retf", blocks: int = 2, product: bytes = b"Test ROM"
) -> bytes:
    """A ROM of `blocks` * 512 bytes with a good checksum; both codes are assembled in place.

    init has 0x1d bytes less than that of room: it is a jump to what follows the BEV.
    """
    source = f"""
    db 0x55, 0xaa, {blocks}
    jmp near init
    times 0x1a - ($ - $$) db 0
    dw {_PNP:#x}
    times {_PNP:#x} - ($ - $$) db 0
    db "$PnP", 1, 2
    dw 0
    db 0, 0
    dd 0
    dw 0, product
    db 2, 0, 0, 0x14
    dw 0, 0, {ROM_BEV:#x}, 0, 0
    product: db "{product.decode()}", 0
    times {ROM_BEV:#x} - ($ - $$) db 0
    {bev}
    init: {init}
    times {blocks * 512 - 1} - ($ - $$) db 0
    """
    return with_checksum(assemble(source) + b"\0")


def with_checksum(image: bytes) -> bytes:
    """`image` with its last byte set so that all of them sum to 0."""
    return image[:-1] + bytes((-sum(image[:-1]) & 0xFF,))


def pnp_header(bev: int = 0, bcv: int = 0, *, next_header: int = 0, product: int = 0) -> bytes:
    """A $PnP expansion header. Source: Plug and Play BIOS specification 1.0a, section 3.2."""
    header = struct.pack(
        "<4sBBHBBIHH3sBHHHHH",
        *(b"$PnP", 1, 2, next_header, 0, 0, 0, 0, product, b"\x02\0\0", 0x14),
        *(bcv, 0, bev, 0, 0),
    )
    assert len(header) == 0x20
    return header
