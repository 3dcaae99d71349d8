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
    "jump": (0x200, 2, 0x200),
    "header": (0x202, 4, 0x200),
    "version": (0x206, 2, 0x200),
    "type_of_loader": (0x210, 1, 0x200),
    "loadflags": (0x211, 1, 0x200),
    "setup_move_size": (0x212, 2, 0x200),
    "code32_start": (0x214, 4, 0x200),
    "ramdisk_image": (0x218, 4, 0x200),
    "ramdisk_size": (0x21C, 4, 0x200),
    "bootsect_kludge": (0x220, 4, 0x200),
    "heap_end_ptr": (0x224, 2, 0x201),
    "cmd_line_ptr": (0x228, 4, 0x202),
    "initrd_addr_max": (0x22C, 4, 0x203),
    "kernel_alignment": (0x230, 4, 0x205),
    "relocatable_kernel": (0x234, 1, 0x205),
    "min_alignment": (0x235, 1, 0x20A),
    "xloadflags": (0x236, 2, 0x20C),
    "cmdline_size": (0x238, 4, 0x206),
    "hardware_subarch": (0x23C, 4, 0x207),
    "hardware_subarch_data": (0x240, 8, 0x207),
    "payload_offset": (0x248, 4, 0x208),
    "payload_length": (0x24C, 4, 0x208),
    "setup_data": (0x250, 8, 0x209),
    "pref_address": (0x258, 8, 0x20A),
    "init_size": (0x260, 4, 0x20A),
    "handover_offset": (0x264, 4, 0x20B),
    "kernel_info_offset": (0x268, 4, 0x20F),
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
    setup_data=0x3344556677889900,
    payload_offset=0x123,
    payload_length=0x4567,
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
        header_end=0x26C,
        loadflags=0x03,
        code32_start=0x11223344,
        initrd_addr_max=0x55667788,
        cmdline_size=0x99AA,
        relocatable=True,
        kernel_alignment=0x400000,
        min_alignment=0x17,
        pref_address=0xBBCCDDEE,
        init_size=0x1122EEFF,
        xloadflags=0x5A5B,
        payload_offset=0x123,
        payload_length=0x4567,
        setup_data=0x3344556677889900,
    )


DEFAULTS = {
    "initrd_addr_max": (0x203, 0x37FFFFFF),
    "relocatable": (0x205, False),
    "kernel_alignment": (0x205, 1),
    "cmdline_size": (0x206, 255),
    "payload_offset": (0x208, 0),
    "payload_length": (0x208, 0),
    "setup_data": (0x209, 0),
    "min_alignment": (0x20A, 0),
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
        if field.name not in ("version", "header_end"):
            assert getattr(header, field.name) == wanted, field.name


@pytest.mark.parametrize("version", VERSIONS, ids=hex)
def test_bytes_of_newer_fields_change_nothing(version: int) -> None:
    image = bytearray(replace(DISTINCT, version=version).build())
    before = read(bytes(image))
    for name, (offset, size, since) in SINCE.items():
        if since > version:
            older = 2 if name == "syssize" else 0  # it had two bytes before
            image[offset + older : offset + size] = b"\xa5" * (size - older)
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


HEADER_ENDS = {
    0x200: 0x224,
    0x201: 0x226,
    0x202: 0x22C,
    0x203: 0x230,
    0x204: 0x230,
    0x205: 0x235,
    0x206: 0x23C,
    0x207: 0x248,
    0x208: 0x250,
    0x209: 0x258,
    0x20A: 0x264,
    0x20B: 0x268,
    0x20C: 0x268,
    0x20D: 0x268,
    0x20E: 0x268,
    0x20F: 0x26C,
}
"""Behind the last field of each version, from the boot protocol's table."""


@pytest.mark.parametrize(("version", "end"), HEADER_ENDS.items(), ids=lambda value: hex(value))
def test_the_header_ends_at_the_jumps_target_but_not_behind_its_versions_fields(
    version: int, end: int
) -> None:
    image = replace(RELOCATABLE, version=version)
    assert read(image.build()).header_end == min(end, 0x26C)
    assert read(replace(image, jump=0xFFEB).build()).header_end == end
    assert read(replace(image, jump=0x1EEB).build()).header_end == 0x220


def test_a_header_of_a_version_newer_than_we_know_ends_where_it_says_and_fits_boot_params() -> None:
    newer = replace(RELOCATABLE, version=0x210)
    assert read(replace(newer, jump=0x70EB).build()).header_end == 0x272
    assert read(replace(newer, jump=0xFFEB).build()).header_end == 0x290


@pytest.mark.parametrize(
    ("version", "xloadflags", "limit"),
    [
        (0x202, 0x02, 0x38000000),
        (0x203, 0x02, 0x12345679),
        (0x20B, 0x02, 0x12345679),
        (0x20C, 0x01, 0x12345679),
        (0x20C, 0x02, 1 << 32),
    ],
)
def test_a_kernel_that_takes_4_gib_takes_its_ramdisk_anywhere_below(
    version: int, xloadflags: int, limit: int
) -> None:
    image = replace(DISTINCT, version=version, xloadflags=xloadflags, initrd_addr_max=0x12345678)
    assert read(image.build()).ramdisk_limit == limit


def test_an_image_without_the_magic_is_older_than_all_versions() -> None:
    header = read(replace(DISTINCT, version=0).build())
    assert header == SetupHeader(
        version=0,
        setup_bytes=7 * 512,
        header_end=0x200,
        loadflags=0,
        code32_start=0,
        initrd_addr_max=0x37FFFFFF,
        cmdline_size=255,
        relocatable=False,
        kernel_alignment=1,
        min_alignment=0,
        pref_address=None,
        init_size=None,
        xloadflags=0,
        payload_offset=0,
        payload_length=0,
        setup_data=0,
    )
    assert header.is_zimage
    assert header.version_text == "before 2.00"


@pytest.mark.parametrize("version", [1, 0x100, 0x1FF])
def test_a_header_has_at_least_version_2_00(version: int) -> None:
    with pytest.raises(LayoutError, match=f"version at offset 0x206 is {version:#x}: an image"):
        read(replace(RELOCATABLE, version=version).build())


@pytest.mark.parametrize("loadflags", [0, 0x80, 0xFE])
def test_a_zimage_is_what_is_not_loaded_high_and_never_relocatable(loadflags: int) -> None:
    header = read(replace(RELOCATABLE, loadflags=loadflags).build())
    assert header.is_zimage
    assert not header.relocatable
    assert not read(replace(RELOCATABLE, loadflags=loadflags | 1).build()).is_zimage


@pytest.mark.parametrize(
    ("version", "loadflags", "counts"),
    [(0, 0, True), (0x200, 0, True), (0x203, 0, True), (0x203, 1, False), (0x204, 1, True)],
)
def test_before_2_04_syssize_counts_for_a_zimage_alone(
    version: int, loadflags: int, counts: bool
) -> None:
    image = replace(RELOCATABLE, version=version, loadflags=loadflags, setup_sects=1)
    cut = image.build()[:-16]
    if counts:
        with pytest.raises(LayoutError, match=r"syssize at offset 0x1f4 is 0x1235, 0x12350 bytes"):
            read(cut)
    else:
        assert read(cut).setup_bytes == 1024


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
