"""The fields of an image that decide how it is started, with their offsets."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from devicemodel.images.auto import Kernel
from devicemodel.images.elf import EM_386, ElfFile
from devicemodel.images.firmware import FirmwareImages
from devicemodel.images.linux import LinuxKernel
from devicemodel.images.multiboot import MultibootKernel
from devicemodel.images.multiboot_header import MAGIC, MultibootHeader
from devicemodel.images.setup_header import (
    FIELDS,
    HAS_64_BIT_ENTRY,
    HEAD_BYTES,
    LOADED_HIGH,
    TAKES_4_GIB,
    SetupHeader,
    is_linux,
    read_setup_header,
)
from devicemodel.images.source import Image
from devicemodel.inspect.findings import Field
from handoff.addresses import size_text
from handoff.errors import printable

_KERNEL_VERSION_AT: Final = 0x20E
_KERNEL_VERSION_MAX: Final = 60
_ELF_MACHINE_AT: Final = 0x12
_ELF_ENTRY_AT: Final = 0x18
_MULTIBOOT_ADDRESSES: Final = (
    "header_addr",
    "load_addr",
    "load_end_addr",
    "bss_end_addr",
    "entry_addr",
)


def fields_of(kernel: Kernel | FirmwareImages, image: Image) -> tuple[Field, ...]:
    """Fields of the kernel's format; of a bzImage started by the ELF in it, those of both."""
    if isinstance(kernel, FirmwareImages):
        if kernel.loader is None:
            return ()
        return (Field("e_entry", _ELF_ENTRY_AT, kernel.loader.elf.entry, "of hvmloader"),)
    if isinstance(kernel, LinuxKernel):
        return _setup_header(kernel.setup, kernel.header)
    if isinstance(kernel, MultibootKernel):
        return (*_multiboot(kernel.header), Field("entry", None, kernel.entry, "eip"))
    head = image.read_at(0, min(HEAD_BYTES, image.size))
    outer = _setup_header(head, read_setup_header(head, image.size)) if is_linux(head) else ()
    notes = [Field("PHYS32_ENTRY", None, kernel.entry, "Xen note 18, eip")]
    if kernel.relocation is not None:
        allowed = kernel.relocation
        notes += [
            Field("PHYS32_RELOC align", None, allowed.align, "Xen note 19"),
            Field("PHYS32_RELOC min", None, allowed.min, ""),
            Field("PHYS32_RELOC max", None, allowed.max, ""),
        ]
    return (*outer, *_elf(kernel.elf), *notes)


def what_it_is(kernel: Kernel | FirmwareImages, image: Image) -> str:
    """One line: format, version, and what it was packed in."""
    if isinstance(kernel, FirmwareImages):
        return kernel.bios.kind.value
    if isinstance(kernel, LinuxKernel):
        header = kernel.header
        kind = "zImage" if header.is_zimage else "bzImage"
        moves = "relocatable" if header.relocatable else "not relocatable"
        named = _kernel_version(image, header)
        return f"Linux {kind}, protocol {header.version_text}, {moves}{named}"
    if isinstance(kernel, MultibootKernel):
        return f"multiboot kernel, {kernel.how}, {_segments(len(kernel.segments))}"
    elf = kernel.elf
    machine = "i386" if elf.machine == EM_386 else "x86-64"
    return f"ELF{elf.bits} {machine}{kernel.packed}, {_segments(len(elf.segments))}"


def chosen_by(kernel: Kernel | FirmwareImages) -> str:
    """What in the image says how it can be started."""
    if isinstance(kernel, FirmwareImages):
        return "asked for, in the place of a kernel"
    if isinstance(kernel, LinuxKernel):
        if kernel.header.version == 0:
            return "asked for; a boot sector of a kernel before protocol 2.00"
        return f'"HdrS" at {FIELDS["header"].offset:#x}'
    if isinstance(kernel, MultibootKernel):
        return f"multiboot header at {kernel.header.offset:#x}"
    return "ELF with a PHYS32_ENTRY note"


def _segments(count: int) -> str:
    return f"{count} segment" + ("" if count == 1 else "s")


def _kernel_version(image: Image, header: SetupHeader) -> str:
    """What the kernel calls itself. An untrusted string: cut, and made printable."""
    if header.version < FIELDS["header"].since:
        return ""
    (pointer,) = struct.unpack("<H", image.read_at(_KERNEL_VERSION_AT, 2))
    at = FIELDS["jump"].offset + pointer
    if pointer == 0 or at >= header.setup_bytes:
        return ""
    words = image.read_at(at, _KERNEL_VERSION_MAX).partition(b"\0")[0].decode("latin-1").split()
    return f", {printable(words[0], _KERNEL_VERSION_MAX)}" if words else ""


_NOTES: Mapping[str, Callable[[SetupHeader], str]] = MappingProxyType(
    {
        "setup_sects": lambda h: f"setup code: {h.setup_bytes:#x} bytes",
        "version": lambda h: h.version_text,
        "loadflags": lambda h: "LOADED_HIGH" if h.loadflags & LOADED_HIGH else "zImage",
        "code32_start": lambda h: "",
        "initrd_addr_max": lambda h: "highest byte of the ramdisk",
        "kernel_alignment": lambda h: "",
        "relocatable_kernel": lambda h: "yes" if h.relocatable else "no",
        "min_alignment": lambda h: f"{1 << min(h.min_alignment, 32):#x}" if h.min_alignment else "",
        "xloadflags": lambda h: _xloadflags(h),
        "cmdline_size": lambda h: "longest command line",
        "payload_offset": lambda h: "of the packed ELF",
        "payload_length": lambda h: size_text(h.payload_length) if h.payload_length else "none",
        "setup_data": lambda h: "list that the kernel has already" if h.setup_data else "none",
        "pref_address": lambda h: "where it unpacks itself",
        "init_size": lambda h: f"{size_text(h.init_size)} from there" if h.init_size else "",
    }
)
"""The fields shown, and what each comes to."""


def _xloadflags(header: SetupHeader) -> str:
    flags = ["64-bit entry"] if header.xloadflags & HAS_64_BIT_ENTRY else []
    if header.xloadflags & TAKES_4_GIB:
        flags.append("takes all of 4 GiB")
    return ", ".join(flags)


def _setup_header(setup: bytes, header: SetupHeader) -> tuple[Field, ...]:
    """Those that this version has."""
    out = []
    for name, note in _NOTES.items():
        field = FIELDS[name]
        if field.since <= header.version:
            (value,) = struct.unpack_from(field.format, setup, field.offset)
            out.append(Field(name, field.offset, value, note(header)))
    return tuple(out)


def _multiboot(header: MultibootHeader) -> tuple[Field, ...]:
    loads = "the ELF headers say what is loaded" if header.addresses is None else "address fields"
    fields = [
        Field("magic", header.offset, MAGIC, "multiboot 1"),
        Field("flags", header.offset + 4, header.flags, loads),
    ]
    for index, (name, value) in enumerate(
        zip(_MULTIBOOT_ADDRESSES, header.addresses or (), strict=False)
    ):
        fields.append(Field(name, header.offset + 12 + 4 * index, value, ""))
    return tuple(fields)


def _elf(elf: ElfFile) -> tuple[Field, ...]:
    machine = "i386" if elf.machine == EM_386 else "x86-64"
    return (
        Field("e_machine", _ELF_MACHINE_AT, elf.machine, machine),
        Field("e_entry", _ELF_ENTRY_AT, elf.entry, "not used: the note says where"),
    )
