"""Parameter block <-> bytes: the layout that rom.asm reads, field by field.

All integers are little-endian. The CRC-32 is zlib's (IEEE 802.3, reflected), over the whole
block with the field itself zero. An address field that is 0 means "do not store".
"""

from __future__ import annotations

import zlib
from enum import IntEnum
from typing import Any, Final

from construct import Bytes, Container, Int16ul, Int32ul, Padding, Struct

from devicemodel.bios_extension.block import (
    BLOCK_HEADER_BYTES,
    BLOCK_MAX_BYTES,
    STEP_BYTES,
    Copy,
    CountForm,
    E820Collection,
    E820Format,
    Entry,
    LongModeEntry,
    ParameterBlock,
    ProtectedModeEntry,
    RealModeEntry,
    Step,
    Zero,
)
from handoff.addresses import AddressError, Gpa, GpaRange
from handoff.errors import LayoutError

MAGIC: Final = b"DBPB"
VERSION: Final = 1
CRC_OFFSET: Final = 0x0C

_HEADER = Struct(
    "magic" / Bytes(4),  # 0x00
    "version" / Int16ul,  # 0x04
    "entry_kind" / Int16ul,  # 0x06
    "length" / Int32ul,  # 0x08: bytes, the whole block
    "crc32" / Int32ul,  # 0x0c
    "step_count" / Int32ul,  # 0x10
    "rsdp" / Int32ul,  # 0x14
    "e820_format" / Int16ul,  # 0x18: 0 = do not collect
    "e820_max_records" / Int16ul,  # 0x1a
    "e820_records" / Int32ul,  # 0x1c
    "count_form" / Int32ul,  # 0x20
    "count" / Int32ul,  # 0x24
    "mem_lower" / Int32ul,  # 0x28
    "mem_upper" / Int32ul,  # 0x2c
    "entry" / Bytes(16),  # 0x30: by entry_kind
)
_REAL = Struct(
    "ip" / Int16ul,  # 0x30
    "cs" / Int16ul,
    "sp" / Int16ul,
    "ss" / Int16ul,
    "ds" / Int16ul,
    Padding(6),
)
_PROTECTED = Struct("eip" / Int32ul, "eax" / Int32ul, "ebx" / Int32ul, "esi" / Int32ul)
_LONG = Struct("rip" / Int32ul, "rsi" / Int32ul, "page_tables" / Int32ul, Padding(4))
_STEP = Struct("operation" / Int32ul, "source" / Int32ul, "to" / Int32ul, "size" / Int32ul)

assert _HEADER.sizeof() == BLOCK_HEADER_BYTES
assert _REAL.sizeof() == _PROTECTED.sizeof() == _LONG.sizeof() == 16
assert _STEP.sizeof() == STEP_BYTES


class _EntryKind(IntEnum):
    REAL = 1
    PROTECTED = 2
    LONG = 3


class _Operation(IntEnum):
    COPY = 1
    ZERO = 2


def encode(block: ParameterBlock) -> bytes:
    """The block's bytes, at most BLOCK_MAX_BYTES, to be staged where the ROM was told."""
    kind, entry = _encode_entry(block.entry)
    steps = b"".join(_encode_step(step) for step in block.steps)
    e820 = block.e820
    fields = {
        "magic": MAGIC,
        "version": VERSION,
        "entry_kind": kind,
        "length": BLOCK_HEADER_BYTES + len(steps),
        "crc32": 0,
        "step_count": len(block.steps),
        "rsdp": block.rsdp or 0,
        "e820_format": e820.format if e820 else 0,
        "e820_max_records": e820.max_records if e820 else 0,
        "e820_records": e820.records if e820 else 0,
        "count_form": e820.count_form if e820 else 0,
        "count": e820.count if e820 else 0,
        "mem_lower": (e820.mem_lower or 0) if e820 else 0,
        "mem_upper": (e820.mem_upper or 0) if e820 else 0,
        "entry": entry,
    }
    crc32 = zlib.crc32(_HEADER.build(fields) + steps)
    return bytes(_HEADER.build(fields | {"crc32": crc32}) + steps)


def decode(data: bytes) -> ParameterBlock:
    """The block that `data` is, exactly: no tail, no reserved bit, no second spelling.

    Raises: LayoutError with the field; PlacementError for an address the ROM may not write.
    """
    if not BLOCK_HEADER_BYTES <= len(data) <= BLOCK_MAX_BYTES:
        raise _refused(
            "length", len(data), f"a block has {BLOCK_HEADER_BYTES:#x} to {BLOCK_MAX_BYTES:#x}"
        )
    header = _HEADER.parse(data)
    if header.magic != MAGIC:
        raise _refused("magic", header.magic.hex(), f"must be {MAGIC.hex()}")
    if header.version != VERSION:
        raise _refused("version", header.version, f"only version {VERSION} is known")
    if header.length != len(data):
        raise _refused("length", header.length, f"{len(data):#x} bytes are there")
    if header.length != BLOCK_HEADER_BYTES + header.step_count * STEP_BYTES:
        raise _refused("step_count", header.step_count, "does not fit the length")
    crc32 = zlib.crc32(data[:CRC_OFFSET] + bytes(4) + data[CRC_OFFSET + 4 :])
    if header.crc32 != crc32:
        raise _refused("crc32", header.crc32, f"the bytes give {crc32:#x}: they were damaged")
    block = ParameterBlock(
        entry=_decode_entry(header),
        steps=tuple(
            _decode_step(index, data[offset : offset + STEP_BYTES])
            for index, offset in enumerate(range(BLOCK_HEADER_BYTES, len(data), STEP_BYTES))
        ),
        e820=_decode_e820(header),
        rsdp=Gpa(header.rsdp) if header.rsdp else None,
    )
    if encode(block) != data:
        raise _refused("reserved", "not zero", "unused fields must be zero")
    return block


def _encode_entry(entry: Entry) -> tuple[_EntryKind, bytes]:
    if isinstance(entry, RealModeEntry):
        registers = {name: getattr(entry, name) for name in ("ip", "cs", "sp", "ss", "ds")}
        return _EntryKind.REAL, _REAL.build(registers)
    if isinstance(entry, ProtectedModeEntry):
        registers = {name: getattr(entry, name) for name in ("eip", "eax", "ebx", "esi")}
        return _EntryKind.PROTECTED, _PROTECTED.build(registers)
    registers = {name: getattr(entry, name) for name in ("rip", "rsi", "page_tables")}
    return _EntryKind.LONG, _LONG.build(registers)


def _encode_step(step: Step) -> bytes:
    if isinstance(step, Copy):
        fields = {"operation": _Operation.COPY, "source": step.source.start, "to": step.to}
        return _STEP.build(fields | {"size": step.source.size})
    fields = {"operation": _Operation.ZERO, "source": 0, "to": step.where.start}
    return _STEP.build(fields | {"size": step.where.size})


def _decode_entry(header: Container[Any]) -> Entry:
    raw: bytes = header.entry
    if header.entry_kind == _EntryKind.REAL:
        fields = _REAL.parse(raw)
        return RealModeEntry(fields.cs, fields.ip, fields.ss, fields.sp, fields.ds)
    if header.entry_kind == _EntryKind.PROTECTED:
        fields = _PROTECTED.parse(raw)
        return ProtectedModeEntry(Gpa(fields.eip), fields.eax, fields.ebx, fields.esi)
    if header.entry_kind == _EntryKind.LONG:
        fields = _LONG.parse(raw)
        return LongModeEntry(Gpa(fields.rip), fields.rsi, Gpa(fields.page_tables))
    raise _refused("entry_kind", header.entry_kind, "must be 1 (real), 2 (32-bit) or 3 (64-bit)")


def _decode_step(index: int, data: bytes) -> Step:
    fields = _STEP.parse(data)
    try:
        if fields.operation == _Operation.COPY:
            return Copy(GpaRange(Gpa(fields.source), fields.size), Gpa(fields.to))
        if fields.operation == _Operation.ZERO:
            return Zero(GpaRange(Gpa(fields.to), fields.size))
    except AddressError as error:
        raise _refused(f"steps[{index}].size", fields.size, "a step has at least 1 byte") from error
    raise _refused(f"steps[{index}].operation", fields.operation, "must be 1 (copy) or 2 (zero)")


def _decode_e820(header: Container[Any]) -> E820Collection | None:
    if header.e820_format == 0:
        return None
    try:
        form, count_form = E820Format(header.e820_format), CountForm(header.count_form)
    except ValueError as error:
        raise _refused("e820_format", header.e820_format, "or count_form not 1 to 3") from error
    return E820Collection(
        format=form,
        records=Gpa(header.e820_records),
        max_records=header.e820_max_records,
        count=Gpa(header.count),
        count_form=count_form,
        mem_lower=Gpa(header.mem_lower) if header.mem_lower else None,
        mem_upper=Gpa(header.mem_upper) if header.mem_upper else None,
    )


_OFFSETS: Final = {
    "magic": 0x00,
    "version": 0x04,
    "entry_kind": 0x06,
    "length": 0x08,
    "crc32": 0x0C,
    "step_count": 0x10,
    "e820_format": 0x18,
    "reserved": 0x30,
}


def _refused(field: str, found: object, remedy: str) -> LayoutError:
    shown = f"{found:#x}" if isinstance(found, int) else str(found)
    offset = _OFFSETS.get(field, BLOCK_HEADER_BYTES)
    return LayoutError(f"parameter block {field}", offset, shown, remedy)
