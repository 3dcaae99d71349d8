"""Hostile kernels and firmware, as their user meets them: one line with field, offset, value and
remedy, and nothing left behind."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import pytest

from devicemodel.images.compression import Format
from tests.devicemodel.images.elves import (
    DATA,
    PVH_ELF,
    TEXT,
    bzimage,
    gzip_payload,
    phys32_entry,
)
from tests.devicemodel.images.packing import payload
from tests.e2e.refusals import refusal
from tests.e2e.toolstack_runs import toolstack, write_config

LOW, HIGH = PVH_ELF.loads
BOMB = bytes(65 << 20)
"""More than the guest has, and packed a thousandth of it."""


def lying(content: bytes, format: Format, size: int) -> bytes:
    """A packed payload that says it has `size` bytes."""
    return payload(content, format)[:-4] + struct.pack("<I", size)


def multiboot(*fields: int) -> bytes:
    """A kernel with these address fields: header_addr, load_addr, load_end_addr, bss_end_addr,
    entry_addr."""
    flags = 0x10003
    return struct.pack("<8I", 0x1BADB002, flags, -(0x1BADB002 + flags) % (1 << 32), *fields) + TEXT


PVH = {
    "overlapping segments": (
        replace(PVH_ELF, loads=(LOW, replace(HIGH, paddr=0x1001233))).build(),
        (
            "kernel ELF phdr[1].p_paddr at offset 0x90 is 0x1001233, so [0x1001233, 0x1004233) "
            "meets [0x1000000, 0x1001234) of phdr[0]: segments must be disjoint"
        ),
    ),
    "a segment that wraps": (
        replace(PVH_ELF, loads=(LOW, replace(HIGH, paddr=0xFFFFF000))).build(),
        "kernel ELF phdr[1].p_memsz at offset 0xa0 is 0x3000: it would end above 4 GiB",
    ),
    "content that wraps": (
        replace(PVH_ELF, program={(0, "p_offset"): (1 << 64) - 0x1000}).build(),
        "kernel ELF phdr[0].p_offset at offset 0x48 is 0xfffffffffffff000: with p_filesz 0x1234 it",
    ),
    "a note longer than its table": (
        replace(
            PVH_ELF, notes=struct.pack("<III", 4, 0xFFFFFFFC, 18) + b"Xen\0" + bytes(8)
        ).build(),
        "kernel ELF phdr[2] note[0].descsz at offset 0xec is 0xfffffffc: the note leaves its table",
    ),
    "an entry outside": (
        replace(PVH_ELF, notes=phys32_entry(0x1001234)).build(),
        "note[0] PHYS32_ENTRY at offset 0xe8 is 0x1001234: no segment of the kernel lies there",
    ),
    "a payload that is cut short": (
        bzimage(gzip_payload(PVH_ELF.build())[:-0x100] + struct.pack("<I", 0x1000)),
        "kernel gzip stream at offset 0x1000 is ",
    ),
    "a payload behind the end": (
        bzimage(gzip_payload(DATA), payload_length=0xFFFFFFFF),
        "setup_header.payload_length at offset 0x24c is 0xffffffff from payload_offset 0x400: ",
    ),
    "a bomb that says its size": (
        bzimage(gzip_payload(BOMB), init_size=0x8000000),
        "is 0x4100000: it must be 1 to 0x4000000, the end of the guest's RAM below 4 GiB",
    ),
    "a bomb that hides it": (
        bzimage(lying(BOMB, Format.ZSTD, 0x1000)),
        "it goes on behind the 0x1000 bytes it says it has: copy the kernel again",
    ),
}
MULTIBOOT = {
    "loaded from in front of the file": (
        multiboot(0x200000, 0x1FFFFF, 0, 0, 0x200020),
        "kernel multiboot header_addr at offset 0xc is 0x200000: the header lies at 0x0 in the",
    ),
    "more than the file has": (
        multiboot(0x200000, 0x200000, 0xFFFFFFFF, 0, 0x200020),
        "kernel multiboot load_end_addr at offset 0x14 is 0xffffffff: from load_addr 0x200000 the",
    ),
    "a load that wraps": (
        multiboot(0xFFFFF000, 0xFFFFF000, 0, 0, 0xFFFFF020),
        "kernel multiboot load_addr at offset 0x10 is 0xfffff000: the file would end above 4 GiB",
    ),
    "an entry outside": (
        multiboot(0x200000, 0x200000, 0, 0, 0x100000),
        "kernel multiboot entry_addr at offset 0x1c is 0x100000: the kernel is loaded to [0x200000",
    ),
}


@pytest.mark.parametrize(
    ("method", "case"),
    [*(("pvh", case) for case in PVH), *(("multiboot", case) for case in MULTIBOOT)],
)
def test_a_hostile_kernel_is_refused_by_field_offset_and_value(
    method: str, case: str, tmp_path: Path, runtime: Path
) -> None:
    content, words = (PVH if method == "pvh" else MULTIBOOT)[case]
    kernel = tmp_path / "kernel"
    kernel.write_bytes(content)
    config = write_config(tmp_path / "guest.cfg", memory=64, kernel=kernel)

    run = toolstack(runtime, "create", str(config), "--machine", "none", "--boot", method)

    refusal(run, runtime, 12, words)


@pytest.mark.parametrize("case", ["overlapping segments", "a bomb that hides it"])
def test_a_native_boot_refuses_it_in_the_same_words(
    case: str, tmp_path: Path, runtime: Path
) -> None:
    content, words = PVH[case]
    kernel = tmp_path / "kernel"
    kernel.write_bytes(content)
    config = write_config(tmp_path / "guest.cfg", memory=64, kernel=kernel)

    run = toolstack(
        runtime, "create", str(config), "--machine", "none", "--boot", "pvh", "--native"
    )

    refusal(run, runtime, 12, words)


@pytest.mark.parametrize(
    ("file", "platform", "words"),
    [
        (
            "OVMF_CODE.fd",
            "xen-hvm",
            "bios size at offset 0x0 is 0x1e0000: hvmloader starts UEFI firmware at 4 GiB less",
        ),
        (
            "OVMF_CODE_4M.fd",
            "qemu-pc",
            "bios size at offset 0x0 is 0x37c000: a BIOS has a multiple of 0x10000 bytes: name the",
        ),
    ],
)
def test_the_code_of_ovmf_alone_is_refused_where_it_would_not_run(
    file: str, platform: str, words: str, tmp_path: Path, runtime: Path
) -> None:
    bios = Path("/usr/share/OVMF") / file
    config = write_config(tmp_path / "guest.cfg", memory=128, bios="ovmf", bios_path_override=bios)

    run = toolstack(runtime, "create", str(config), "--machine", "none", "--platform", platform)

    line = refusal(run, runtime, 12, words)
    assert line.endswith("name the image that has the variables, too, OVMF.fd")
