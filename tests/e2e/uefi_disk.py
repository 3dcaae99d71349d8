"""A disk that UEFI firmware boots: FAT12 with \\EFI\\BOOT\\BOOTX64.EFI, made byte by byte.

Sources: UEFI specification, 3.5.1.1 (removable media), Microsoft's FAT and PE/COFF specifications.
"""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

PROGRAM = """
    bits 64
    default rel
    org 0
    %define ALIGN 0x1000
    dw "MZ"
    times 0x3c - ($ - $$) db 0
    dd pe
pe: dd "PE"
    dw 0x8664, 1                ; x86-64, sections
    dd 0, 0, 0
    dw optional_end - optional, 0x22
optional:
    dw 0x20b, 0                 ; PE32+
    dd 0x200, 0, 0
    dd ALIGN, ALIGN             ; entry, base of code
    dq 0
    dd ALIGN, 0x200             ; in memory, in the file
    dd 0, 0, 0, 0
    dd 2 * ALIGN, 0x200, 0      ; image, headers
    dw 10, 0                    ; EFI application
    dq 0, 0, 0, 0
    dd 0, 16
    times 16 dq 0
optional_end:
    db ".text", 0, 0, 0
    dd 0x200, ALIGN, 0x200, 0x200, 0, 0
    dw 0, 0
    dd 0x60000020
    times 0x200 - ($ - $$) db 0
    lea rsi, [text]
    mov dx, 0x3f8
next: lodsb
    test al, al
    jz done
    out dx, al
    jmp next
done: mov dx, 0xb004            ; ACPI power-off, where OVMF puts it
    mov ax, 0x2000
    out dx, ax
    cli
    hlt
text: db 13, 10, "{text}", 13, 10, 0
    times 0x400 - ($ - $$) db 0
"""
SECTOR = 512
SECTORS, FAT_SECTORS, ROOT_ENTRIES = 2880, 9, 224
DATA = 1 + 2 * FAT_SECTORS + ROOT_ENTRIES * 32 // SECTOR
_DIRECTORY, _FILE = 0x10, 0x20
_LAST = 0xFFF


def uefi_disk(folder: Path, name: str, text: str) -> Path:
    """A disk whose program prints `text` on the serial port and powers off."""
    source, program, disk = folder / f"{name}.asm", folder / f"{name}.efi", folder / name
    source.write_text(PROGRAM.format(text=text))
    subprocess.run(["nasm", "-f", "bin", source, "-o", program], check=True)
    code = program.read_bytes()
    # Clusters 2 and 3 are the directories, the program follows.
    sectors = len(code) // SECTOR
    chain = [*range(5, 4 + sectors), _LAST]
    fat = _fat([0xFF0, 0xFFF, _LAST, _LAST, *chain])
    image = bytearray(SECTORS * SECTOR)
    parts = {
        0: _boot_sector(),
        1: fat,
        1 + FAT_SECTORS: fat,
        1 + 2 * FAT_SECTORS: _entry("EFI", _DIRECTORY, 2),
        DATA: _directory(2, 0) + _entry("BOOT", _DIRECTORY, 3),
        DATA + 1: _directory(3, 2) + _entry("BOOTX64 EFI", _FILE, 4, len(code)),
        DATA + 2: code,
    }
    for sector, content in parts.items():
        image[sector * SECTOR : sector * SECTOR + len(content)] = content
    disk.write_bytes(image)
    return disk


def _boot_sector() -> bytes:
    head = struct.pack(
        "<3s8sHBHBHHBHHHII",
        *(b"\xeb\x3c\x90", b"test", SECTOR, 1, 1, 2, ROOT_ENTRIES, SECTORS),
        *(0xF0, FAT_SECTORS, 18, 2, 0, 0),
    )
    extended = struct.pack("<BBBI11s8s", 0x80, 0, 0x29, 1, b"UEFI", b"FAT12   ")
    return (head + extended).ljust(SECTOR - 2, b"\0") + b"\x55\xaa"


def _fat(entries: list[int]) -> bytes:
    """12 bits an entry."""
    packed = sum(entry << 12 * index for index, entry in enumerate(entries))
    return packed.to_bytes(FAT_SECTORS * SECTOR, "little")


def _directory(own: int, parent: int) -> bytes:
    return _entry(".", _DIRECTORY, own) + _entry("..", _DIRECTORY, parent)


def _entry(name: str, attribute: int, cluster: int, size: int = 0) -> bytes:
    return struct.pack("<11sB14xHI", name.ljust(11).encode(), attribute, cluster, size)
