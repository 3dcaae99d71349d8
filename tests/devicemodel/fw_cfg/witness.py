"""Kernels that tell on the serial port what they found at their entry, and power off.

The same file runs in real QEMU and in ours; what it says is compared.
"""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path

from tests.toolstack.machine.emulator.assembly import assemble

LOAD = 0x200000
QEMU_LIMIT_S = 60

_SERIAL = """
tell_byte:                      ; AL in hexadecimal
    push eax
    shr al, 4
    call tell_digit
    pop eax
    push eax
    and al, 15
    call tell_digit
    pop eax
    ret
tell_digit:
    add al, '0'
    cmp al, '9'
    jbe tell
    add al, 'a' - '0' - 10
tell:
    push edx
    push eax
    mov dx, 0x3fd
.busy: in al, dx
    test al, 0x20
    jz .busy
    pop eax
    mov dx, 0x3f8
    out dx, al
    pop edx
    ret
tell_bytes:                     ; ECX bytes at ESI, then a new line
    jecxz tell_line
.next: lodsb
    call tell_byte
    loop .next
tell_line:
    mov al, 10
    jmp tell
power_off:
    mov dx, 0x604
    mov ax, 0x2000
    out dx, ax
    cli
    hlt
"""

_ENTRY_32 = """
bits 32
start:
    cld
    mov esp, stack_end
    push ebx
    push eax
    mov esi, esp
    mov ecx, 8
    call tell_bytes             ; EAX, EBX
"""

_MULTIBOOT = """
    mov ebp, [esp + 4]
    mov esi, ebp
    mov ecx, 88
    call tell_bytes             ; the information structure
    mov esi, [ebp + 16]
    call tell_text              ; command line
    mov esi, [ebp + 64]
    call tell_text              ; name of the loader
    mov edi, [ebp + 24]
    mov ebx, [ebp + 20]
.module:
    test ebx, ebx
    jz .memory
    mov esi, edi
    mov ecx, 16
    call tell_bytes             ; its table entry
    mov esi, [edi + 8]
    call tell_text              ; its string
    mov esi, [edi]
    mov ecx, [edi + 4]
    sub ecx, esi
    call tell_bytes             ; itself
    add edi, 16
    dec ebx
    jmp .module
.memory:
    mov esi, [ebp + 48]
    mov ecx, [ebp + 44]
    call tell_bytes             ; memory map
    jmp power_off
"""

_TEXT = """
tell_text:                      ; the string at ESI as bytes
    mov ecx, 0
.length: cmp byte [esi + ecx], 0
    je tell_bytes
    inc ecx
    jmp .length
"""


SETUP_SECTORS = 4


def linux_kernel(version: int, loadflags: int = 1, initrd_addr_max: int = 0x7FFFFFFF) -> bytes:
    """A kernel of that boot protocol whose setup code tells how it was entered and with what."""
    setup = assemble(
        f"""
times 0x1f1 - ($ - $$) db 0
    db {SETUP_SECTORS}
    dw 0
    dd 0x100                    ; syssize
    dw 0, 0xffff, 0, 0xaa55
    jmp short start             ; 0x200
    db "HdrS"
    dw {version:#x}
    dd 0
    dw 0, 0
    db 0, {loadflags}           ; 0x210
    dw 0x8000
    dd 0x100000, 0, 0, 0        ; 0x214
    dw 0, 0                     ; 0x224
    dd 0, {initrd_addr_max:#x}, 0x1000, 0, 255, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10000, 0, 0
times 0x270 - ($ - $$) db 0
start:
    pushad
    pushf
    cld
    push cs
    push ds
    push es
    push fs
    push gs
    push ss
    mov si, sp
    mov cx, 12 + 2 + 32
    call tell_bytes             ; segments, flags, registers
    mov si, 0x1f1
    mov cx, 0x270 - 0x1f1
    call tell_bytes             ; setup header
    mov si, 0x20
    mov cx, 4
    call tell_bytes             ; command line of old
    mov ax, 0xe801
    xor cx, cx
    xor dx, dx
    int 0x15
    push dx
    mov si, sp
    mov cx, 2
    call tell_bytes             ; RAM above 16 MiB, 64 KiB each
    jmp power_off
{_SERIAL}
times {(SETUP_SECTORS + 1) * 512} - ($ - $$) db 0
"""
    )
    return setup + bytes(range(256)) * 16


def multiboot_kernel() -> bytes:
    """A multiboot kernel with address fields, a BSS of 8 KiB that is its stack."""
    return assemble(
        f"""
bits 32
header:
    dd 0x1badb002, 0x00010003, -(0x1badb002 + 0x00010003)
    dd header, {LOAD:#x}, file_end, stack_end, start
{_ENTRY_32}{_MULTIBOOT}{_SERIAL}{_TEXT}
align 4096
file_end:
stack_end equ file_end + 0x2000
""",
        LOAD,
    )


def pvh_kernel() -> bytes:
    """An ELF32 with a PHYS32_ENTRY note and a BSS."""
    code = assemble(
        f"""
bits 32
{_ENTRY_32}
    mov ebp, [esp + 4]
    mov esi, ebp
    mov ecx, 56
    call tell_bytes             ; hvm_start_info
    mov esi, [ebp + 24]
    test esi, esi
    jz .modules
    call tell_text              ; command line
.modules:
    mov ecx, [ebp + 12]
    jecxz .memory
    mov esi, [ebp + 16]
    mov ebx, esi
    mov ecx, 32
    call tell_bytes             ; the module list
    mov esi, [ebx]
    mov ecx, [ebx + 8]
    call tell_bytes             ; the ramdisk
.memory:
    mov eax, [ebp + 48]
    mov ecx, 24
    mul ecx
    mov ecx, eax
    mov esi, [ebp + 40]
    call tell_bytes             ; memory map
    mov esi, file_end
    mov ecx, 16
    call tell_bytes             ; the first of the BSS
    jmp power_off
{_SERIAL}{_TEXT}
align 16
file_end:
stack_end equ file_end + 0x2000
""",
        LOAD,
    )
    note = struct.pack("<III4sI", 4, 4, 18, b"Xen\0", LOAD)
    headers = 0x34 + 2 * 0x20
    note_at, code_at = headers, 0x1000
    elf = struct.pack(
        "<4sBBB9xHHIIIIIHHHHHH",
        *(b"\x7fELF", 1, 1, 1, 2, 3, 1, LOAD, 0x34, 0, 0, 0x34, 0x20, 2, 0, 0, 0),
    )
    load = struct.pack("<8I", 1, code_at, LOAD, LOAD, len(code), len(code) + 0x2000, 7, 0x1000)
    notes = struct.pack("<8I", 4, note_at, 0, 0, len(note), len(note), 4, 4)
    return (elf + load + notes + note).ljust(code_at, b"\0") + code


def in_qemu(folder: Path, memory_mib: int, *arguments: str) -> list[str]:
    """What a kernel says in QEMU, which has its own fw_cfg and option ROM, line by line.

    folder: that of the files, named without it in `arguments`: QEMU tells a kernel their names.
    """
    ran = subprocess.run(
        [
            *("qemu-system-x86_64", "-M", "pc", "-accel", "tcg", "-m", str(memory_mib)),
            *("-nodefaults", "-display", "none", "-serial", "stdio", "-no-reboot"),
            *arguments,
        ],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        timeout=QEMU_LIMIT_S,
        check=True,
    )
    return ran.stdout.decode("latin-1").split("\n")


def words(line: str) -> tuple[int, ...]:
    """The little-endian 32-bit words of a line."""
    data = bytes.fromhex(line)
    return struct.unpack(f"<{len(data) // 4}I", data)
