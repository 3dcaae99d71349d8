from __future__ import annotations

import gzip
import lzma
import struct
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devicemodel.images.auto import Kernel, recognise
from devicemodel.images.linux import LinuxKernel
from devicemodel.images.multiboot import MultibootKernel
from devicemodel.images.pvh import PvhKernel
from devicemodel.images.source import host_image
from handoff.descriptor import BootMethod, Role
from handoff.errors import ImageError, LayoutError
from tests.builders import RELOCATABLE, host_file, outcome
from tests.devicemodel.images.elves import (
    PVH_ELF,
    Load,
    bzimage,
    gzip_payload,
    note,
    phys32_entry,
)


def seen(content: bytes, method: BootMethod = BootMethod.AUTO) -> Kernel:
    with host_file(content) as file:
        return recognise(host_image(Role.KERNEL, file), method)


def linux(content: bytes, method: BootMethod = BootMethod.AUTO) -> LinuxKernel:
    kernel = seen(content, method)
    assert isinstance(kernel, LinuxKernel)
    return kernel


@pytest.mark.parametrize("method", [BootMethod.AUTO, BootMethod.LINUX])
@pytest.mark.parametrize("setup_sects", [1, 5, 63])
def test_a_bzimage_is_taken_apart_into_setup_and_payload(
    method: BootMethod, setup_sects: int
) -> None:
    image = replace(RELOCATABLE, setup_sects=setup_sects)
    kernel = linux(image.build(), method)
    assert kernel.setup == image.setup()
    assert (kernel.payload.offset, kernel.payload.size) == (
        image.setup_bytes,
        image.payload_bytes,
    )


def test_a_file_of_no_known_format_is_refused_with_what_is_there() -> None:
    for content, found in ((b"MZ" + bytes(0x1000), "00000000"), (b"x", "missing")):
        with pytest.raises(LayoutError, match=f"0x202 is {found}: no known boot method"):
            seen(content)


def test_a_method_the_operator_forces_names_its_own_field() -> None:
    with pytest.raises(LayoutError, match=r"setup_header\.boot_flag"):
        seen(bytes(0x1000), BootMethod.LINUX)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"loadflags": 0x80, "payload_bytes": 0x80001}, "loadflags"),
        ({"relocatable_kernel": 0, "pref_address": 0xFFFFF}, "pref_address"),
    ],
)
def test_a_kernel_of_a_kind_not_started_here_is_refused(change: dict[str, int], field: str) -> None:
    with pytest.raises(LayoutError) as refused:
        seen(replace(RELOCATABLE, **change).build())  # type: ignore[arg-type]
    assert refused.value.field == f"kernel setup_header.{field}"


def test_a_zimage_has_512_kib_at_most() -> None:
    zimage = replace(RELOCATABLE, loadflags=0, payload_bytes=0x80000)
    assert linux(zimage.build()).payload.size == 0x80000
    with pytest.raises(LayoutError, match=r"loadflags at offset 0x211 is 0x0 with 0x80001 bytes"):
        seen(replace(zimage, payload_bytes=0x80001).build())


def test_a_kernel_older_than_the_header_is_started_only_if_the_operator_says_what_it_is() -> None:
    """Every boot sector looks like one."""
    old = replace(RELOCATABLE, version=0)
    assert linux(old.build(), BootMethod.LINUX).header.version == 0
    with pytest.raises(LayoutError, match="no known boot method"):
        seen(old.build())


def test_a_file_cut_anywhere_before_its_kernel_is_refused() -> None:
    image = replace(RELOCATABLE, setup_sects=1).build()
    for size in range(1, 1025):
        with pytest.raises(LayoutError):
            seen(image[:size])
    assert linux(image).payload.size == len(image) - 1024


PVH = PVH_ELF.build()
MULTIBOOT = struct.pack("<III", 0x1BADB002, 3, -(0x1BADB002 + 3) % (1 << 32))
I386 = replace(PVH_ELF, bits=32, loads=(Load(0x200000, MULTIBOOT),), entry=0x200000, notes=b"")
BOTH = RELOCATABLE.build()[:0x1000] + MULTIBOOT + RELOCATABLE.build()[0x100C:]
NO_NOTE = replace(PVH_ELF, notes=note(1, b"GNU"))
MULTIBOOT_2 = struct.pack("<IIII", 0xE85250D6, 0, 16, -(0xE85250D6 + 16) % (1 << 32))


@pytest.mark.parametrize(
    ("content", "method", "kind"),
    [
        (PVH, BootMethod.AUTO, PvhKernel),
        (PVH, BootMethod.PVH, PvhKernel),
        (gzip.compress(PVH), BootMethod.AUTO, PvhKernel),
        (bzimage(gzip_payload(PVH)), BootMethod.AUTO, LinuxKernel),
        (bzimage(gzip_payload(PVH)), BootMethod.PVH, PvhKernel),
        (I386.build(), BootMethod.AUTO, MultibootKernel),
        (I386.build(), BootMethod.MULTIBOOT, MultibootKernel),
        (gzip.compress(I386.build()), BootMethod.MULTIBOOT, MultibootKernel),
        # A header of each kind: Linux before multiboot before the note.
        (BOTH, BootMethod.AUTO, LinuxKernel),
        (replace(I386, notes=phys32_entry(0x200000)).build(), BootMethod.AUTO, MultibootKernel),
        (replace(I386, notes=phys32_entry(0x200000)).build(), BootMethod.PVH, PvhKernel),
    ],
)
def test_the_first_method_that_fits_is_taken_unless_one_is_forced(
    content: bytes, method: BootMethod, kind: type
) -> None:
    assert type(seen(content, method)) is kind


@pytest.mark.parametrize(
    ("content", "method", "said"),
    [
        (NO_NOTE.build(), BootMethod.AUTO, "without PHYS32_ENTRY"),
        (NO_NOTE.build(), BootMethod.PVH, "build it with CONFIG_PVH"),
        (NO_NOTE.build(), BootMethod.MULTIBOOT, "multiboot header at offset 0x0 is missing"),
        (NO_NOTE.build(), BootMethod.LINUX, "setup_header"),
        (bzimage(gzip_payload(NO_NOTE.build())), BootMethod.PVH, "without PHYS32_ENTRY"),
        (bzimage(gzip_payload(PVH)), BootMethod.MULTIBOOT, "multiboot header at offset 0x0"),
        (bzimage(gzip_payload(b"not an ELF")), BootMethod.PVH, "e_ident at offset 0x0 is 6e6f7420"),
        (MULTIBOOT_2 + bytes(64), BootMethod.AUTO, "0xe85250d6, multiboot 2"),
        (MULTIBOOT_2 + bytes(64), BootMethod.MULTIBOOT, "only version 1"),
        (MULTIBOOT + bytes(64), BootMethod.AUTO, "and the file is no ELF"),
        (replace(I386, machine=62).build(), BootMethod.AUTO, "give the i386"),
        (replace(I386, entry=0x300000).build(), BootMethod.AUTO, "e_entry at offset 0x18"),
        (replace(PVH_ELF, machine=183).build(), BootMethod.AUTO, "e_machine at offset 0x12"),
        (lzma.compress(PVH), BootMethod.AUTO, "fd377a585a00, xz: only gzip is unpacked"),
        (PVH, BootMethod.LINUX, "setup_header"),
    ],
)
def test_what_a_method_cannot_start_is_refused_with_the_reason(
    content: bytes, method: BootMethod, said: str
) -> None:
    with pytest.raises(LayoutError) as refused:
        seen(content, method)
    assert said in str(refused.value)


def test_a_kernel_larger_than_the_guest_is_not_even_read() -> None:
    with host_file(PVH) as file:
        image = host_image(Role.KERNEL, file)
        with pytest.raises(ImageError, match=r"kernel has 0x[0-9a-f]+ bytes, the guest's RAM"):
            recognise(image, BootMethod.AUTO, 0x1000)


def test_a_host_file_that_becomes_shorter_while_it_is_read_is_refused() -> None:
    with host_file(PVH) as file:
        image = replace(host_image(Role.KERNEL, file), size=len(PVH) + 1)
        with pytest.raises(ImageError, match=f"ends after {len(PVH)} of {len(PVH) + 1} bytes"):
            recognise(image, BootMethod.PVH)


starts = st.sampled_from(
    [
        RELOCATABLE.build()[:0x208],
        PVH,
        PVH[:0x150],
        I386.build(),
        bzimage(gzip_payload(PVH)),
        gzip_payload(PVH),
        MULTIBOOT,
        MULTIBOOT_2,
        b"",
    ]
)
edits = st.lists(st.tuples(st.integers(0, 0x3000), st.integers(1, 255)), max_size=8)


@given(starts, edits, st.binary(min_size=1, max_size=0x500), st.sampled_from(BootMethod))
def test_any_file_gives_a_kernel_or_a_layout_error(
    start: bytes, changes: list[tuple[int, int]], more: bytes, method: BootMethod
) -> None:
    image = bytearray(start + more)
    for at, change in changes:
        image[at % len(image)] ^= change
    kernel = outcome(lambda: seen(bytes(image), method), LayoutError)
    if isinstance(kernel, LayoutError):
        assert str(kernel).isprintable()
    elif isinstance(kernel, LinuxKernel):
        assert len(kernel.setup) + kernel.payload.size == len(image)
    else:
        segments = kernel.elf.segments if isinstance(kernel, PvhKernel) else kernel.segments
        assert any(s.range.start <= kernel.entry < s.range.end for s in segments)
