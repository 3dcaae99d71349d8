from __future__ import annotations

import struct
from dataclasses import fields, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devicemodel.images.setup_header import (
    FIELDS,
    HEAD_BYTES,
    SetupHeader,
    is_linux,
    patched,
    read_setup_header,
)
from handoff.errors import LayoutError
from tests.builders import FIXED, RELOCATABLE, BzImage, outcome

VERSIONS = range(0x200, 0x210)

SINCE = {
    "setup_sects": (0x1F1, 1, 0x000),
    "syssize": (0x1F4, 4, 0x204),
    "vid_mode": (0x1FA, 2, 0x000),
    "boot_flag": (0x1FE, 2, 0x000),
    "header": (0x202, 4, 0x200),
    "version": (0x206, 2, 0x200),
    "type_of_loader": (0x210, 1, 0x200),
    "loadflags": (0x211, 1, 0x200),
    "code32_start": (0x214, 4, 0x200),
    "ramdisk_image": (0x218, 4, 0x200),
    "ramdisk_size": (0x21C, 4, 0x200),
    "heap_end_ptr": (0x224, 2, 0x201),
    "cmd_line_ptr": (0x228, 4, 0x202),
    "initrd_addr_max": (0x22C, 4, 0x203),
    "kernel_alignment": (0x230, 4, 0x205),
    "relocatable_kernel": (0x234, 1, 0x205),
    "min_alignment": (0x235, 1, 0x20A),
    "xloadflags": (0x236, 2, 0x20C),
    "cmdline_size": (0x238, 4, 0x206),
    "pref_address": (0x258, 8, 0x20A),
    "init_size": (0x260, 4, 0x20A),
}
"""Offset, size and first version of each field, from the boot protocol's table."""

DISTINCT = BzImage(
    version=0x20F,
    setup_sects=6,
    loadflags=0x03,
    code32_start=0x11223344,
    initrd_addr_max=0x55667788,
    kernel_alignment=0x400000,
    relocatable_kernel=1,
    min_alignment=0x17,
    xloadflags=0x5A5B,
    cmdline_size=0x99AA,
    pref_address=0xBBCCDDEE,
    init_size=0x1122EEFF,
)


def read(image: bytes) -> SetupHeader:
    return read_setup_header(image[:HEAD_BYTES], len(image))


def test_the_fields_are_where_the_boot_protocol_has_them() -> None:
    assert {
        name: (field.offset, struct.calcsize(field.format), field.since)
        for name, field in FIELDS.items()
    } == SINCE
    assert max(offset + size for offset, size, _ in SINCE.values()) <= HEAD_BYTES


def test_every_field_is_read_from_its_own_bytes() -> None:
    assert read(DISTINCT.build()) == SetupHeader(
        version=0x20F,
        setup_bytes=7 * 512,
        loadflags=0x03,
        code32_start=0x11223344,
        initrd_addr_max=0x55667788,
        cmdline_size=0x99AA,
        relocatable=True,
        kernel_alignment=0x400000,
        pref_address=0xBBCCDDEE,
        init_size=0x1122EEFF,
        xloadflags=0x5A5B,
    )


DEFAULTS = {
    "initrd_addr_max": (0x203, 0x37FFFFFF),
    "relocatable": (0x205, False),
    "kernel_alignment": (0x205, 1),
    "cmdline_size": (0x206, 255),
    "pref_address": (0x20A, None),
    "init_size": (0x20A, None),
    "xloadflags": (0x20C, 0),
}


@pytest.mark.parametrize("version", VERSIONS, ids=hex)
def test_a_field_newer_than_the_image_has_its_default(version: int) -> None:
    newest, header = read(DISTINCT.build()), read(replace(DISTINCT, version=version).build())
    assert header.version == version
    for field in fields(SetupHeader):
        since, default = DEFAULTS.get(field.name, (0x200, None))
        wanted = getattr(newest, field.name) if version >= since else default
        if field.name != "version":
            assert getattr(header, field.name) == wanted, field.name


@pytest.mark.parametrize("version", VERSIONS, ids=hex)
def test_bytes_of_newer_fields_change_nothing(version: int) -> None:
    image = bytearray(replace(DISTINCT, version=version).build())
    before = read(bytes(image))
    for offset, size, since in SINCE.values():
        if since > version:
            image[offset : offset + size] = b"\xa5" * size
    assert read(bytes(image)) == before


@pytest.mark.parametrize("version", VERSIONS, ids=hex)
def test_a_field_newer_than_the_image_is_never_written(version: int) -> None:
    setup = replace(RELOCATABLE, version=version).setup()
    for name, (offset, size, since) in SINCE.items():
        if since > version:
            with pytest.raises(AssertionError, match=name):
                patched(setup, version, {name: 1})
            continue
        value = int.from_bytes(b"\x81\x82\x83\x84\x85\x86\x87\x88"[:size], "little")
        written = patched(setup, version, {name: value})
        assert written[offset : offset + size] == value.to_bytes(size, "little")
        assert written[:offset] + written[offset + size :] == (
            setup[:offset] + setup[offset + size :]
        )


def test_a_version_newer_than_we_know_is_read_like_the_last_one() -> None:
    newer = read(replace(DISTINCT, version=0x2FF).build())
    assert replace(newer, version=0x20F) == read(DISTINCT.build())
    assert newer.version_text == "2.255"
    assert read(FIXED.build()).version_text == "2.12"


@pytest.mark.parametrize(("setup_sects", "setup_bytes"), [(0, 5 * 512), (1, 1024), (63, 32768)])
def test_no_setup_sectors_mean_four(setup_sects: int, setup_bytes: int) -> None:
    assert read(replace(RELOCATABLE, setup_sects=setup_sects).build()).setup_bytes == setup_bytes


@pytest.mark.parametrize("setup_sects", [64, 255])
def test_setup_code_has_32_kib_at_most(setup_sects: int) -> None:
    with pytest.raises(LayoutError, match=r"setup_header\.setup_sects at offset 0x1f1") as refused:
        read(replace(RELOCATABLE, setup_sects=setup_sects).build())
    assert "0x8000" in refused.value.remedy


@pytest.mark.parametrize("version", [0x200, 0x205, 0x20A, 0x20F])
def test_a_file_cut_anywhere_before_its_kernel_names_the_field_that_says_so(version: int) -> None:
    image = replace(RELOCATABLE, version=version, setup_sects=1).build()
    for size in range(1024 + 1):
        with pytest.raises(LayoutError) as refused:
            read(image[:size])
        ends = {name: offset + length for name, (offset, length, _) in SINCE.items()}
        if size < ends["boot_flag"]:
            expected = "boot_flag"
        elif size < ends["header"]:
            expected = "header"
        elif size < max(end for name, end in ends.items() if SINCE[name][2] <= version):
            expected = "version"
        else:
            expected = "setup_sects"
        assert refused.value.field == f"kernel setup_header.{expected}", hex(size)
        assert f"{size:#x}" in str(refused.value)
    if version < SINCE["syssize"][2]:
        assert read(image[: 1024 + 1]).setup_bytes == 1024


def test_a_kernel_may_lack_the_bytes_that_syssize_was_rounded_up_by_and_no_more() -> None:
    whole = replace(RELOCATABLE, setup_sects=1).build()
    announced = int.from_bytes(whole[0x1F4:0x1F8], "little") * 16
    image = whole.ljust(1024 + announced, b"\xcc")
    assert read(image[: 1024 + announced - 15]).setup_bytes == 1024
    assert read(image + bytes(100)).setup_bytes == 1024
    with pytest.raises(LayoutError, match=r"setup_header\.syssize at offset 0x1f4 .* cut short"):
        read(image[: 1024 + announced - 16])


@pytest.mark.parametrize(
    ("image", "field", "offset", "found"),
    [
        (replace(RELOCATABLE, boot_flag=0xAA56), "boot_flag", 0x1FE, "0xaa56"),
        (replace(RELOCATABLE, magic=b"HdrT"), "header", 0x202, "0x54726448"),
        (replace(RELOCATABLE, kernel_alignment=0x300000), "kernel_alignment", 0x230, "0x300000"),
        (replace(RELOCATABLE, pref_address=1 << 32), "pref_address", 0x258, "0x100000000"),
    ],
)
def test_what_the_protocol_forbids_is_named(
    image: BzImage, field: str, offset: int, found: str
) -> None:
    with pytest.raises(LayoutError) as refused:
        read(image.build())
    assert refused.value.field == f"kernel setup_header.{field}"
    assert (refused.value.offset, refused.value.found) == (offset, found)


def test_the_alignment_of_a_kernel_that_stays_does_not_matter() -> None:
    assert read(replace(FIXED, kernel_alignment=0x300000).build()).relocatable is False
    assert read(replace(FIXED, kernel_alignment=0).build()).kernel_alignment == 1


def test_the_magic_tells_a_linux_image() -> None:
    image = RELOCATABLE.build()
    assert is_linux(image)
    assert not is_linux(image[:0x207])
    assert not is_linux(replace(RELOCATABLE, magic=b"HdrT").build())
    assert not is_linux(replace(RELOCATABLE, boot_flag=0).build())


@given(st.binary(max_size=HEAD_BYTES + 10), st.integers(0, 1 << 40), st.booleans())
def test_any_bytes_give_a_header_or_name_a_field(tail: bytes, size: int, magic: bool) -> None:
    head = RELOCATABLE.build()[:0x208] + tail if magic else tail
    header = outcome(
        lambda: read_setup_header(head[:HEAD_BYTES], max(size, len(head))), LayoutError
    )
    if isinstance(header, LayoutError):
        assert header.field.startswith("kernel setup_header.")
    else:
        assert 1024 <= header.setup_bytes <= 0x8000
