"""ELF files made byte by byte, every field of a header a parameter; and kernels packed in them.

Source: System V ABI, ELF chapters 4 and 5.
"""

from __future__ import annotations

import gzip
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from tests.builders import RELOCATABLE, noise

PT_LOAD, PT_NOTE = 1, 4


@dataclass(frozen=True, slots=True)
class Load:
    """A PT_LOAD segment."""

    paddr: int
    content: bytes
    memsz: int | None = None
    """None: as long as the content"""
    vaddr: int | None = None
    """None: as paddr"""
    align: int = 0x1000


def note(type_: int, desc: bytes, name: bytes = b"Xen\0") -> bytes:
    def padded(data: bytes) -> bytes:
        return data + bytes(-len(data) % 4)

    return struct.pack("<III", len(name), len(desc), type_) + padded(name) + padded(desc)


@dataclass(frozen=True, slots=True)
class Elf:
    """Headers, then notes, then the segments' contents."""

    loads: tuple[Load, ...]
    bits: int = 64
    machine: int | None = None
    """None: i386 or x86-64 by `bits`"""
    entry: int = 0
    notes: bytes = b""
    """content of one PT_NOTE; none if empty"""
    header: Mapping[str, int] = field(default_factory=dict)
    """fields of the ELF header that say something else: name to value"""
    program: Mapping[tuple[int, str], int] = field(default_factory=dict)
    """fields of program headers likewise: (index, name) to value; the notes' is the last one"""

    def build(self) -> bytes:
        wide = self.bits == 64
        headers = 0x40 if wide else 0x34
        each = 0x38 if wide else 0x20
        count = len(self.loads) + bool(self.notes)
        at = headers + each * count
        programs, content = [], b""
        for load in self.loads:
            programs.append(
                {
                    "p_type": PT_LOAD,
                    "p_offset": at + len(content) + len(self.notes),
                    "p_vaddr": load.paddr if load.vaddr is None else load.vaddr,
                    "p_paddr": load.paddr,
                    "p_filesz": len(load.content),
                    "p_memsz": len(load.content) if load.memsz is None else load.memsz,
                    "p_align": load.align,
                }
            )
            content += load.content
        if self.notes:
            where = {"p_offset": at, "p_filesz": len(self.notes), "p_memsz": len(self.notes)}
            programs.append({"p_type": PT_NOTE, "p_vaddr": 0, "p_paddr": 0, "p_align": 4, **where})
        for (index, name), value in self.program.items():
            programs[index][name] = value
        fields = {
            "class": 2 if wide else 1,
            "data": 1,
            "ident_version": 1,
            "e_type": 2,
            "e_machine": self.machine if self.machine is not None else (62 if wide else 3),
            "e_version": 1,
            "e_entry": self.entry,
            "e_phoff": headers,
            "e_shoff": 0,
            "e_phentsize": each,
            "e_phnum": count,
            "e_shentsize": 0x40 if wide else 0x28,
            "e_shnum": 0,
            **self.header,
        }
        return self._header(fields) + b"".join(map(self._program, programs)) + self.notes + content

    def _header(self, f: Mapping[str, int]) -> bytes:
        ident = b"\x7fELF" + bytes([f["class"], f["data"], f["ident_version"]]) + bytes(9)
        form = "<HHIQQQIHHHHHH" if self.bits == 64 else "<HHIIIIIHHHHHH"
        size = 0x40 if self.bits == 64 else 0x34
        return ident + struct.pack(
            form,
            f["e_type"],
            f["e_machine"],
            f["e_version"],
            f["e_entry"],
            f["e_phoff"],
            f["e_shoff"],
            0,
            size,
            f["e_phentsize"],
            f["e_phnum"],
            f["e_shentsize"],
            f["e_shnum"],
            0,
        )

    def _program(self, p: Mapping[str, int]) -> bytes:
        places = (p["p_offset"], p["p_vaddr"], p["p_paddr"], p["p_filesz"], p["p_memsz"])
        if self.bits == 64:
            return struct.pack("<IIQQQQQQ", p["p_type"], 7, *places, p["p_align"])
        return struct.pack("<IIIIIIII", p["p_type"], *places, 7, p["p_align"])


def phys32_entry(address: int, size: int = 8) -> bytes:
    return note(18, address.to_bytes(size, "little"))


TEXT = noise(0x1234, 11)
DATA = noise(0x100, 12)
PVH_ELF = Elf(
    (
        Load(0x1000000, TEXT, vaddr=0xFFFFFFFF81000000),
        Load(0x1002000, DATA, 0x3000, vaddr=0xFFFFFFFF81002000),
    ),
    entry=0x1000000,
    notes=note(6, b"linux\0") + phys32_entry(0x1000040),
)
"""A kernel like Linux: two segments at 16 MiB, the second with a BSS."""


def bzimage(payload: bytes, **fields: int) -> bytes:
    """A bzImage around a packed payload, as Linux's build makes them."""
    image = replace(
        RELOCATABLE,
        **{
            "payload_bytes": 0x400 + len(payload) + 0x100,
            "payload_offset": 0x400,
            "payload_length": len(payload),
            **fields,
        },
    )
    file = bytearray(image.build())
    at = image.setup_bytes + 0x400
    file[at : at + len(payload)] = payload
    return bytes(file)


def gzip_payload(elf: bytes) -> bytes:
    """gzip has the size at its end by itself."""
    return gzip.compress(elf, 1, mtime=0)
