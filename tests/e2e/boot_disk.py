"""A disk that tells that it was booted from, and a guest that has nothing else to boot."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.e2e.toolstack_runs import write_config

BOOT_SECTOR = """
    bits 16
    org 0x7c00
    cli                 ; SeaBIOS sends what it still has to say by interrupts
    xor ax, ax
    mov ds, ax
    mov si, text
    mov dx, 0x3f8
next: lodsb
    test al, al
    jz done
    out dx, al
    jmp next
done: mov dx, 0x604     ; ACPI power-off
    mov ax, 0x2000
    out dx, ax
    hlt
text: db "{text}", 13, 10, 0
    times 510 - ($ - $$) db 0
    dw 0xaa55
"""


def boot_disk(folder: Path, name: str, text: str) -> Path:
    """A disk whose boot sector prints `text` on the serial port and powers off."""
    source, disk = folder / f"{name}.asm", folder / name
    source.write_text(BOOT_SECTOR.format(text=text))
    subprocess.run(["nasm", "-f", "bin", source, "-o", disk], check=True)
    with open(disk, "r+b") as file:
        file.truncate(1 << 20)
    return disk


def guest(folder: Path, disks: list[str], **settings: object) -> Path:
    """The configuration of a guest without a kernel."""
    config = write_config(folder / "g.cfg", memory=128, **settings)
    with open(config, "a") as file:
        file.write(f"disk = {json.dumps(disks)}\n")
    return config
