"""What Unicorn knows about segments and does not tell: bases that no selector gives away.

A segment loaded in protected mode keeps its base and limit after the switch back ("big real
mode"), so an address cannot be computed from the selector. Both are in the bytes of a saved
context; where, is found by loading a segment whose base is known.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

from unicorn import UC_MODE_16
from unicorn.x86_const import UC_X86_REG_ES

from toolstack.machine.emulator.open_engine import UnknownEngine, set_access_mode

_PROBE_SELECTOR = 0x5A3C
_SEGMENT = struct.Struct("<I4xQII")
"""selector, base, limit, flags"""
assert _SEGMENT.size == 24
_DEFAULT_32_BIT = 1 << 22
_LONG = 1 << 21


@dataclass(frozen=True, slots=True)
class SegmentLayout:
    """Byte offset of ES in a saved context; CS follows it."""

    es: int


@dataclass(frozen=True, slots=True)
class Segments:
    """Of the vCPU, as far as string instructions need them."""

    cs_base: int
    es_base: int
    address_bytes: int
    """width of an address in this code segment: 2, 4 or 8"""


def probe_segments(engine: Any) -> SegmentLayout:
    """The layout of this build; the engine is afterwards as it was. Raises: UnknownEngine."""
    set_access_mode(engine, UC_MODE_16)
    before = engine.reg_read(UC_X86_REG_ES)
    engine.reg_write(UC_X86_REG_ES, _PROBE_SELECTOR)
    context = bytes(engine.context_save())
    engine.reg_write(UC_X86_REG_ES, before)
    found = [
        at
        for at in range(0, len(context) - 2 * _SEGMENT.size, 4)
        if _SEGMENT.unpack_from(context, at)[:2] == (_PROBE_SELECTOR, _PROBE_SELECTOR << 4)
    ]
    if len(found) != 1:
        raise UnknownEngine("this build of Unicorn keeps its segments in an unknown way")
    return SegmentLayout(found[0])


def segments(engine: Any, layout: SegmentLayout) -> Segments:
    """The segments of the vCPU now."""
    context = bytes(engine.context_save())
    _, es_base, _, _ = _SEGMENT.unpack_from(context, layout.es)
    _, cs_base, _, cs_flags = _SEGMENT.unpack_from(context, layout.es + _SEGMENT.size)
    if cs_flags & _LONG:
        return Segments(cs_base, es_base, 8)
    return Segments(cs_base, es_base, 4 if cs_flags & _DEFAULT_32_BIT else 2)
