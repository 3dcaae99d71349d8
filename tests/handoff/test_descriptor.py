from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given

from handoff.addresses import MIB, Gpa, GpaRange
from handoff.descriptor import (
    CMDLINE_MAX_BYTES,
    BootMethod,
    Descriptor,
    Insert,
    Role,
    StagedImage,
)
from handoff.platforms import ROM_WINDOW, Platform, memory_map
from tests.strategies import descriptors

DESCRIPTOR = Descriptor(
    platform=Platform.QEMU_PC,
    e820=memory_map(64 * MIB, Gpa(0xE0000000)),
    reserved=(),
    insert=Insert.WINDOW,
    rom_window=ROM_WINDOW,
    boot=BootMethod.AUTO,
    cmdline=b"",
    images=(),
)


def image(role: Role, start: int, size: int = 0x1000) -> StagedImage:
    return StagedImage(role, GpaRange(Gpa(start), size), bytes(32))


@given(descriptors())
def test_each_image_is_found_by_its_role(descriptor: Descriptor) -> None:
    for role in Role:
        found = descriptor.image(role)
        if found is None:
            assert all(image.role is not role for image in descriptor.images)
        else:
            assert found.role is role
            assert found in descriptor.images


def test_there_is_one_image_of_a_role() -> None:
    twice = (image(Role.KERNEL, 0x1000), image(Role.KERNEL, 0x2000))
    with pytest.raises(ValueError, match="two images of one role"):
        replace(DESCRIPTOR, images=twice)


def test_images_do_not_overlap() -> None:
    touching = (image(Role.KERNEL, 0x1000), image(Role.RAMDISK, 0x2000))
    replace(DESCRIPTOR, images=touching)
    overlapping = (image(Role.KERNEL, 0x1001), image(Role.RAMDISK, 0x2000))
    with pytest.raises(ValueError, match=r"images at \[0x1001, 0x2001\) and \[0x2000, 0x3000\)"):
        replace(DESCRIPTOR, images=overlapping)


def test_a_command_line_is_bounded_and_has_no_nul() -> None:
    replace(DESCRIPTOR, cmdline=b"x" * CMDLINE_MAX_BYTES)
    for cmdline in (b"x" * (CMDLINE_MAX_BYTES + 1), b"quiet\0"):
        with pytest.raises(ValueError, match=f"cmdline has {len(cmdline)} bytes or a NUL"):
            replace(DESCRIPTOR, cmdline=cmdline)


def test_a_digest_has_32_bytes() -> None:
    with pytest.raises(AssertionError):
        StagedImage(Role.KERNEL, GpaRange(Gpa(0), 1), bytes(31))
