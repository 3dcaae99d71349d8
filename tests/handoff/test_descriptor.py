from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given

from handoff.addresses import MIB, Gpa, GpaRange
from handoff.descriptor import (
    CMDLINE_MAX_BYTES,
    E820_MAX,
    IMAGES_MAX,
    NAME_MAX_BYTES,
    RESERVATIONS_MAX,
    STRINGS_MAX_BYTES,
    BootMethod,
    Descriptor,
    Insert,
    Role,
    StagedImage,
)
from handoff.descriptor_codec import encode_descriptor
from handoff.e820 import E820Entry, E820Map, E820Type
from handoff.frame import FRAME_MAX_BYTES, GENERATION_MAX
from handoff.platforms import ROM_WINDOW, Platform, Reservation, Until, memory_map
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
    for role in set(Role) - {Role.MODULE}:
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


def test_modules_come_behind_a_ramdisk_and_are_as_many_as_there_are() -> None:
    kernel, ramdisk = image(Role.KERNEL, 0x1000), image(Role.RAMDISK, 0x2000)
    modules = (image(Role.MODULE, 0x9000), image(Role.MODULE, 0x4000))
    with pytest.raises(ValueError, match="a module, but no ramdisk in front of it"):
        replace(DESCRIPTOR, images=(kernel, *modules))
    assert replace(DESCRIPTOR, images=(kernel, ramdisk, *modules)).modules == modules


@pytest.mark.parametrize(
    ("strings", "refused"),
    [
        ({"name": b"n" * (NAME_MAX_BYTES + 1)}, "a name has 256 bytes or a NUL"),
        ({"name": b"a\0"}, "a name has 2 bytes or a NUL"),
        ({"arguments": b"a" * 4096}, "arguments have 4096 bytes or a NUL"),
        ({"arguments": b"\0"}, "arguments have 1 bytes or a NUL"),
    ],
)
def test_names_and_arguments_are_bounded_and_have_no_nul(
    strings: dict[str, bytes], refused: str
) -> None:
    with pytest.raises(ValueError, match=refused):
        replace(DESCRIPTOR, images=(replace(image(Role.KERNEL, 0x1000), **strings),))  # type: ignore[arg-type]


def test_the_longest_descriptor_has_room_in_a_frame() -> None:
    """Every list full, every string long: 16 images whose strings come to the bound."""
    images = [image(Role.KERNEL, 1 << 51), image(Role.RAMDISK, (1 << 51) + 0x1000)]
    images += [image(Role.MODULE, (1 << 51) + 0x1000 * n) for n in range(2, IMAGES_MAX)]
    share = STRINGS_MAX_BYTES // IMAGES_MAX - NAME_MAX_BYTES
    full = [replace(i, name=b"n" * NAME_MAX_BYTES, arguments=b"a" * share) for i in images]
    entries = [E820Entry(GpaRange(Gpa(0), MIB), E820Type.RAM)]
    entries += [
        E820Entry(GpaRange(Gpa(n << 44), 1 << 43), E820Type.NVS) for n in range(1, E820_MAX)
    ]
    kept = Reservation(GpaRange(Gpa(1 << 50), 1 << 50), "o" * 64, Until.ALWAYS)
    longest = replace(
        DESCRIPTOR,
        images=tuple(full),
        e820=E820Map(tuple(entries)),
        reserved=(kept,) * RESERVATIONS_MAX,
    )
    assert len(encode_descriptor(longest, GENERATION_MAX)) <= FRAME_MAX_BYTES
    one_more = replace(full[0], arguments=full[0].arguments + b"a")
    with pytest.raises(ValueError, match="names and arguments have over 16384 bytes"):
        replace(longest, images=(one_more, *full[1:]))


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


@pytest.mark.parametrize(
    ("boot", "role"),
    [
        (BootMethod.AUTO, Role.BIOS),
        (BootMethod.LINUX, Role.FIRMWARE),
        (BootMethod.FIRMWARE, Role.KERNEL),
        (BootMethod.FIRMWARE, Role.RAMDISK),
    ],
)
def test_firmware_boots_without_a_kernel_and_a_kernel_without_firmware(
    boot: BootMethod, role: Role
) -> None:
    text = f"boot {boot.value} takes no image of role {role.value}"
    with pytest.raises(ValueError, match=text):
        replace(DESCRIPTOR, boot=boot, images=(image(role, 0x1000),))
