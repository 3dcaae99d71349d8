from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from devicemodel.bios_extension.block import Copy, RealModeEntry
from devicemodel.guest_map import GuestMap
from devicemodel.plan import BootPlan
from handoff.addresses import MIB, PAGE, Gpa, GpaRange
from handoff.errors import ConfigError, PlacementError
from handoff.platforms import (
    Platform,
    Reservation,
    Until,
)
from handoff.report import When
from tests.builders import FIXED, RAMDISK, RELOCATABLE, BzImage
from tests.devicemodel.plans import CMDLINE, guest_map, planned

WRITTEN = {
    0x1FA: (2, 0x000),  # vid_mode
    0x210: (1, 0x200),  # type_of_loader
    0x211: (1, 0x200),  # loadflags
    0x214: (4, 0x200),  # code32_start
    0x218: (4, 0x200),  # ramdisk_image
    0x21C: (4, 0x200),  # ramdisk_size
    0x224: (2, 0x201),  # heap_end_ptr
    0x228: (4, 0x202),  # cmd_line_ptr
}
"""What the protocol asks a loader to write that starts the kernel in real mode: offset, size,
first version."""


def places(plan: BootPlan) -> list[tuple[str, str, str]]:
    return [(p.name, str(p.range), p.when.value) for p in plan.placements]


def setup_of(plan: BootPlan) -> bytes:
    """The patched setup code, the same where it waits and where it runs."""
    contents = {p.content for p in plan.placements if p.name == "setup code"}
    (setup,) = contents
    assert isinstance(setup, bytes)
    return setup


def number(setup: bytes, offset: int, size: int) -> int:
    return int.from_bytes(setup[offset : offset + size], "little")


SMALL = [
    ("setup code", "[0x1ff4000, 0x1ff4c00)", "now"),
    ("setup code", "[0x10000, 0x10c00)", "bev"),
    ("command line", "[0x1ff3000, 0x1ff3016)", "now"),
    ("command line", "[0x20000, 0x20016)", "bev"),
    ("ramdisk", "[0x1ff5000, 0x1fff321)", "now"),
]
"""In a guest of 64 MiB: top down from firmware's zone, 32 MiB below the end of RAM."""


@pytest.mark.parametrize("platform", Platform)
def test_a_relocatable_kernel_runs_at_2_mib_on_every_platform(platform: Platform) -> None:
    plan = planned(RELOCATABLE, platform)
    assert places(plan) == [
        ("kernel", "[0x200000, 0x212345)", "now"),
        ("unpacked kernel", "[0x1000000, 0x1050000)", "run"),
        *SMALL,
    ]
    assert str(plan.block_range) == "[0x1ff2000, 0x1ff3000)"
    assert str(plan.rom_staging) == "[0x1ff1000, 0x1ff1a00)"
    assert plan.block.steps == (
        Copy(GpaRange(Gpa(0x1FF4000), 0xC00), Gpa(0x10000)),
        Copy(GpaRange(Gpa(0x1FF3000), 0x16), Gpa(0x20000)),
    )
    assert plan.method == "linux 2.15, real-mode entry"


def test_a_fixed_kernel_lies_at_1_mib_where_nothing_else_does() -> None:
    plan = planned(FIXED, Platform.QEMU_PC)
    assert places(plan) == [
        ("kernel", "[0x100000, 0x112345)", "now"),
        ("unpacked kernel", "[0x100000, 0x140000)", "run"),
        *SMALL,
    ]
    assert len(plan.block.steps) == 2


def test_a_fixed_kernel_waits_where_hvmloader_lies_until_the_bev() -> None:
    plan = planned(FIXED, Platform.XEN_HVM)
    assert places(plan) == [
        ("kernel", "[0x200000, 0x212345)", "now"),
        ("kernel", "[0x100000, 0x112345)", "bev"),
        ("unpacked kernel", "[0x100000, 0x140000)", "run"),
        *SMALL,
    ]
    assert plan.block.steps[2:] == (Copy(GpaRange(Gpa(0x200000), 0x12345), Gpa(0x100000)),)


@pytest.mark.parametrize("image", [RELOCATABLE, FIXED])
def test_the_real_mode_entry_is_512_bytes_into_its_segment(image: BzImage) -> None:
    entry = planned(image).block.entry
    assert entry == RealModeEntry(cs=0x1020, ip=0, ss=0x1000, sp=0xFFF0, ds=0x1000)


@pytest.mark.parametrize(
    ("platform", "loader"), [(Platform.XEN_HVM, 0x90), (Platform.QEMU_PC, 0xB0)]
)
def test_the_setup_header_says_what_the_kernel_has_to_know(platform: Platform, loader: int) -> None:
    setup = setup_of(planned(RELOCATABLE, platform))
    assert number(setup, 0x210, 1) == loader
    assert number(setup, 0x211, 1) == 0x81  # LOADED_HIGH, CAN_USE_HEAP
    assert number(setup, 0x214, 4) == 0x200000  # code32_start
    assert number(setup, 0x218, 4) == 0x1FF5000
    assert number(setup, 0x21C, 4) == len(RAMDISK)
    assert number(setup, 0x224, 2) == 0xFE00  # heap_end_ptr
    assert number(setup, 0x228, 4) == 0x20000  # cmd_line_ptr


def test_without_a_ramdisk_both_its_fields_are_zero() -> None:
    plan = planned(RELOCATABLE, ramdisk_size=None)
    assert number(setup_of(plan), 0x218, 8) == 0
    assert all(p.name != "ramdisk" for p in plan.placements)


def test_a_fixed_kernel_keeps_its_entry() -> None:
    odd = replace(FIXED, code32_start=0x100200)
    assert number(setup_of(planned(odd)), 0x214, 4) == 0x100200


@pytest.mark.parametrize("version", range(0x202, 0x210), ids=hex)
@pytest.mark.parametrize("cmdline", [CMDLINE, b"vga=0x317"])
def test_only_fields_of_its_version_that_are_the_loaders_are_written(
    version: int, cmdline: bytes
) -> None:
    image = replace(RELOCATABLE, version=version)
    before = replace(image, payload_bytes=1).setup()  # as `sources` makes the file
    after = setup_of(planned(image, cmdline=cmdline))
    allowed = {
        at
        for offset, (size, since) in WRITTEN.items()
        if since <= version
        for at in range(offset, offset + size)
    }
    changed = {at for at, (old, new) in enumerate(zip(before, after, strict=True)) if old != new}
    assert changed <= allowed
    assert 0x210 in changed


@pytest.mark.parametrize("version", range(0x202, 0x210), ids=hex)
def test_a_kernel_is_relocated_only_if_its_version_can_say_so(version: int) -> None:
    kernel = planned(replace(RELOCATABLE, version=version)).placements[0]
    assert kernel.range.start == (0x200000 if version >= 0x205 else 0x100000)


def test_a_kernel_that_does_not_tell_its_size_gets_room_to_unpack() -> None:
    plan = planned(replace(RELOCATABLE, version=0x209))
    (unpacked,) = [p for p in plan.placements if p.when is When.RUN]
    assert str(unpacked.range) == "[0x200000, 0x248d14)"  # four times its file part
    assert unpacked.reason == "runs from 0x200000: its load address"


def test_init_size_is_never_less_than_the_file_itself() -> None:
    plan = planned(replace(RELOCATABLE, init_size=1))
    (unpacked,) = [p for p in plan.placements if p.when is When.RUN]
    assert unpacked.range.size == RELOCATABLE.payload_bytes


@pytest.mark.parametrize("alignment", [0x1000, 0x200000, 0x400000, 0x1000000])
def test_a_relocatable_kernel_is_aligned_as_it_asks(alignment: int) -> None:
    kernel = planned(replace(RELOCATABLE, kernel_alignment=alignment)).placements[0]
    assert kernel.range.start == max(0x200000, alignment)


def test_the_ramdisk_ends_at_or_below_initrd_addr_max() -> None:
    for top in (0x12FFFFF, 0x12FFFFE, 0x1300123):
        plan = planned(replace(RELOCATABLE, initrd_addr_max=top), ramdisk_size=0xA000)
        ramdisk = plan.placements[-1]
        assert ramdisk.reason == "highest free below initrd_addr_max"
        assert ramdisk.range.start % PAGE == 0
        assert ramdisk.range.end - 1 <= top
        assert top - ramdisk.range.end < 2 * PAGE


def test_the_ramdisk_keeps_out_of_the_place_the_kernel_unpacks_to() -> None:
    top = replace(RELOCATABLE, initrd_addr_max=0x104FFFF)
    assert planned(top).placements[-1].range.end <= 0x1000000


def test_the_ramdisk_keeps_out_of_the_room_behind_the_loaded_kernel() -> None:
    """Its decompressor writes there before it moves: init_size counts from both places."""
    behind = replace(RELOCATABLE, initrd_addr_max=0x25AFFF)
    assert planned(behind).placements[-1].range.start == 0x250000
    with pytest.raises(PlacementError, match="more memory would not help"):
        planned(replace(RELOCATABLE, initrd_addr_max=0x259FFF))


@pytest.mark.parametrize(
    ("image", "options", "text"),
    [
        (
            replace(RELOCATABLE, init_size=0x3000000),
            {},
            "kernel (init_size 0x3000000) needs [0x1000000, 0x4000000), but [0x3f00000, "
            "0x4000000) belongs to firmware's tables: give the guest at least 1 MiB more memory",
        ),
        (
            replace(RELOCATABLE, init_size=0x3000001, pref_address=0x1800000),
            {},
            "needs [0x1800000, 0x4800001), but it is not RAM (low RAM ends at 0x4000000): "
            "give the guest at least 10 MiB more memory",
        ),
        (
            replace(RELOCATABLE, payload_bytes=0x1E00001, pref_address=0),
            {},
            "kernel needs [0x200000, 0x2000001), but [0x2000000, 0x3f00000) belongs to "
            "firmware's temporary zone: give the guest at least 1 MiB more memory",
        ),
        (
            replace(FIXED, payload_bytes=0x1E00001),
            {"platform": Platform.XEN_HVM},
            "kernel that waits for 0x100000 needs 0x1e00001 bytes",
        ),
        (
            RELOCATABLE,
            {"ramdisk_size": 0x2000000},
            "ramdisk needs 0x2000000 bytes within [0x200000, 0x2000000), the largest hole is",
        ),
        (
            replace(RELOCATABLE, initrd_addr_max=0x1FFFFE),
            {},
            "ramdisk must end at initrd_addr_max 0x1ffffe, below all staging "
            "[0x200000, 0x2000000): this kernel cannot take a ramdisk",
        ),
    ],
)
def test_what_does_not_fit_is_refused_with_the_reason(
    image: BzImage, options: Mapping[str, Any], text: str
) -> None:
    with pytest.raises(PlacementError) as refused:
        planned(image, **options)
    assert text in str(refused.value)


@pytest.mark.parametrize("init_size", [0x2F00001, 0x3000000, 0x3456789, 0x8000000])
@pytest.mark.parametrize("image", [RELOCATABLE, FIXED])
def test_giving_the_memory_asked_for_is_enough_after_at_most_two_refusals(
    image: BzImage, init_size: int
) -> None:
    """First for the kernel's own footprint, then for what has to lie beside it."""
    image = replace(image, init_size=init_size)
    memory = 64
    refusals: list[int] = []
    while len(refusals) < 3:
        try:
            planned(image, guest=guest_map(Platform.QEMU_PC, memory * MIB))
            break
        except PlacementError as refused:
            asked = re.search(r"at least (\d+) MiB more", str(refused))
            assert asked is not None
            refusals.append(memory := memory + int(asked[1]))
    assert 1 <= len(refusals) <= 2
    with pytest.raises(PlacementError):
        planned(image, guest=guest_map(Platform.QEMU_PC, (refusals[0] - 1) * MIB))


def test_low_memory_that_a_platform_keeps_for_itself_is_not_used() -> None:
    guest = guest_map(Platform.QEMU_PC)
    for start, name in ((0x1FFFF, "setup code"), (0x20015, "command line")):
        kept = Reservation(GpaRange(Gpa(start), 1), "a mailbox", Until.ALWAYS)
        with pytest.raises(PlacementError, match=f"{name} needs .* belongs to a mailbox"):
            planned(RELOCATABLE, guest=GuestMap(guest.e820, (*guest.reserved, kept)))


@pytest.mark.parametrize("version", [0x202, 0x205, 0x206, 0x20F])
def test_a_command_line_is_as_long_as_the_kernel_takes_and_no_longer(version: int) -> None:
    image = replace(RELOCATABLE, version=version, cmdline_size=1000)
    limit = 255 if version < 0x206 else 1000
    plan = planned(image, cmdline=b"x" * limit)
    cmdlines = [p for p in plan.placements if p.name == "command line"]
    assert [p.content for p in cmdlines] == [b"x" * limit + b"\0"] * 2
    with pytest.raises(ConfigError, match=f"cmdline has {limit + 1} bytes, this kernel takes"):
        planned(image, cmdline=b"x" * (limit + 1))


@pytest.mark.parametrize(
    ("cmdline", "mode"),
    [
        (b"", None),
        (b"avga=1 vga.x=2 vgas=3", None),
        (b"vga=normal", 0xFFFF),
        (b"vga=ext", 0xFFFE),
        (b"quiet vga=ask", 0xFFFD),
        (b"vga=791", 791),
        (b"vga=0x317", 0x317),
        (b"vga=0xffff", 0xFFFF),
        (b"vga=1 vga=2", 2),
    ],
)
def test_vga_is_for_the_loader_to_act_on(cmdline: bytes, mode: int | None) -> None:
    found = number(setup_of(planned(RELOCATABLE, cmdline=cmdline)), 0x1FA, 2)
    assert found == (number(RELOCATABLE.setup(), 0x1FA, 2) if mode is None else mode)


@pytest.mark.parametrize("value", [b"", b"best", b"0x10000", b"-1", b"\xff", b"1.5"])
def test_a_video_mode_that_is_none_is_the_operators_mistake(value: bytes) -> None:
    with pytest.raises(ConfigError, match=r"vga=.* in the command line is neither"):
        planned(RELOCATABLE, cmdline=b"vga=" + value)
