"""Option ROMs whose BEV does one thing: guests of a few instructions, for the real SeaBIOS."""

from __future__ import annotations

import struct

_CODE_AT = 0x80
_TEXT_AT = 0x100
_SIZE = 0x400

POWER_OFF = bytes.fromhex("ba0406b80020eff4")  # out 0x604, ax=0x2000: PIIX4 PM1a, S5
REBOOT = bytes.fromhex("baf90cb006eef4")  # out 0xcf9, al=6: full reset
PANIC = bytes.fromhex("ba0505b001eeebfe")  # out 0x505, al=1: pvpanic, panicked
SPIN = bytes.fromhex("ebfe")  # jmp $
GIVE_UP = bytes.fromhex("cb")  # retf: firmware should try the next entry
TRIPLE_FAULT = bytes.fromhex("2e0f011e4000cc")  # lidt cs:[0x40], zeros; int3


def rom(program: bytes, says: bytes = b"") -> bytes:
    """An option ROM that writes `says` to COM1 at BEV, then runs `program`."""
    say = b"".join(
        (
            bytes.fromhex("baf803"),  # mov dx, 0x3f8
            b"\xbe" + struct.pack("<H", _TEXT_AT),  # mov si, text
            b"\xb9" + struct.pack("<H", len(says)),  # mov cx, length
            bytes.fromhex("e305"),  # jcxz past the loop
            bytes.fromhex("2eaceee2fb"),  # next: cs lodsb; out dx, al; loop next
        )
    )
    image = bytearray(_SIZE)
    image[0:3] = b"\x55\xaa" + bytes([_SIZE // 512])
    image[3] = 0xCB  # init: retf
    struct.pack_into("<H", image, 0x1A, 0x20)
    image[0x20:0x26] = b"$PnP\x01\x02"
    struct.pack_into("<H", image, 0x20 + 0x1A, _CODE_AT)
    code = say + program
    assert _CODE_AT + len(code) <= _TEXT_AT
    assert _TEXT_AT + len(says) < _SIZE
    image[_CODE_AT : _CODE_AT + len(code)] = code
    image[_TEXT_AT : _TEXT_AT + len(says)] = says
    image[-1] = -sum(image) & 0xFF
    return bytes(image)
