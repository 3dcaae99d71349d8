"""REP INS: many reads of one port, told to a device as one.

The engine asks for each value by itself; through a channel to another process that would be a
round trip a byte. Source: Intel SDM volume 2, INS and REP.
"""

from __future__ import annotations

from typing import Final

from handoff.addresses import FOUR_GIB, Gpa, GpaRange
from handoff.ioreq import COUNT_MAX
from toolstack.machine.emulator.segment_state import Segments

INSTRUCTION_MAX_BYTES: Final = 15
_REP: Final = frozenset((0xF2, 0xF3))
_OPERAND_SIZE: Final = 0x66
_ADDRESS_SIZE: Final = 0x67
_SEGMENT_OVERRIDES: Final = frozenset((0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65))
_INS: Final = frozenset((0x6C, 0x6D))
DIRECTION_FLAG: Final = 1 << 10


def string_input(
    code: bytes, size: int, ecx: int, edi: int, flags: int, segments: Segments
) -> GpaRange | None:
    """Where the next values go of the REP INS in `code`, at most COUNT_MAX of them.

    None if there is no such instruction or only one value is left, and for what is better done
    one by one: values that go downwards or wrap around, and long mode.
    code: INSTRUCTION_MAX_BYTES from the instruction on. size: bytes of a value.
    """
    repeated = other_width = False
    for byte in code:
        if byte in _INS:
            break
        if byte in _REP:
            repeated = True
        elif byte == _ADDRESS_SIZE:
            other_width = True
        elif byte != _OPERAND_SIZE and byte not in _SEGMENT_OVERRIDES:
            return None
    else:
        return None
    width = segments.address_bytes
    if not repeated or flags & DIRECTION_FLAG or width == 8:
        return None
    if other_width:
        width = 6 - width
    limit = 1 << 8 * width
    offset, count = edi % limit, min(ecx % limit, COUNT_MAX)
    if count < 2 or offset + count * size > limit:
        return None
    start = (segments.es_base + offset) % FOUR_GIB
    return GpaRange(Gpa(start), count * size)
