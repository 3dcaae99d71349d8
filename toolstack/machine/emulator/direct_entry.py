"""Code that brings a vCPU from its reset into firmware that is entered in 32 bits.

A hypervisor sets the registers of a vCPU it has just made. The engine loads a segment only where
the guest's own instructions do, so a few of them stand in for that: in the BIOS's place at the
end of the first MiB, where there is no BIOS then.
The state is that of Xen's HVM vCPUs: flat segments, paging and interrupts off.
Source: docs/misc/pvh.pandoc in Xen, which HVM domains follow.
"""

from __future__ import annotations

import struct

from handoff.addresses import Gpa
from handoff.firmware import DirectEntry

F_BASE = Gpa(0xF0000)
_CODE_OFFSET, _FLAT_OFFSET, _GDT_OFFSET, _RESET_OFFSET = 0xFF00, 0xFF40, 0xFFC0, 0xFFF0
_CODE, _DATA, _TASK = 0x08, 0x10, 0x18
_GDT = struct.pack(
    "<QQQQ",
    0,
    0x00CF9B000000FFFF,  # code, 32-bit, base 0, limit 4 GiB
    0x00CF93000000FFFF,  # data, the same
    0x0000890000000067,  # TSS, 32-bit, base 0, limit 0x67
)


def entry_code(entry: DirectEntry) -> bytes:
    """The 64 KiB at F_BASE: from f000:fff0 on to `entry`, all registers but EBX zero."""
    segment = bytearray(b"\xcc" * 0x10000)

    def put(offset: int, code: bytes) -> None:
        segment[offset : offset + len(code)] = code

    put(_RESET_OFFSET, b"\xe9" + struct.pack("<h", _CODE_OFFSET - _RESET_OFFSET - 3))
    put(_GDT_OFFSET, _GDT)
    pointer = _GDT_OFFSET + len(_GDT)
    put(pointer, struct.pack("<HI", len(_GDT) - 1, F_BASE + _GDT_OFFSET))
    put(
        _CODE_OFFSET,
        b"\xfa"  # cli
        + b"\x2e\x66\x0f\x01\x16" + struct.pack("<H", pointer)  # o32 lgdt [cs:pointer]
        + b"\x0f\x20\xc0\x0c\x01\x0f\x22\xc0"  # mov eax, cr0; or al, 1; mov cr0, eax
        + b"\x66\xea" + struct.pack("<IH", F_BASE + _FLAT_OFFSET, _CODE),  # jmp dword CODE:FLAT
    )  # fmt: skip
    flat = (
        b"\xb8" + struct.pack("<I", _TASK) + b"\x0f\x00\xd8"  # mov eax, TASK; ltr ax
        + b"\xb8" + struct.pack("<I", _DATA)  # mov eax, DATA
        + b"\x8e\xd8\x8e\xc0\x8e\xe0\x8e\xe8\x8e\xd0"  # mov ds, es, fs, gs, ss
        + b"\x31\xc9\x31\xd2\x31\xf6\x31\xff\x31\xed\x31\xe4"  # ecx, edx, esi, edi, ebp, esp = 0
        + b"\xbb" + struct.pack("<I", entry.ebx)  # mov ebx, EBX
        + b"\x31\xc0"  # xor eax, eax
    )  # fmt: skip
    behind = F_BASE + _FLAT_OFFSET + len(flat) + 5
    put(_FLAT_OFFSET, flat + b"\xe9" + struct.pack("<I", (entry.eip - behind) & 0xFFFFFFFF))
    return bytes(segment)
