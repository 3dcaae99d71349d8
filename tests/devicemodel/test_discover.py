from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from devicemodel.discover import discover
from devicemodel.ram_image import RamImage
from handoff.addresses import MIB, GpaRange
from handoff.descriptor import BootMethod, Descriptor, Insert, Role
from handoff.descriptor_codec import encode_descriptor
from handoff.e820 import E820Entry, E820Map, E820Type
from handoff.errors import DescriptorRefused
from handoff.platforms import Platform, Reservation, Until
from tests.builders import RAMDISK, RELOCATABLE, Guest, host_files, poisoned_guest
from tests.devicemodel.handover import GENERATION, Staged, discovered, discovered_native, offer

KERNEL = RELOCATABLE.build()
STAGED = Staged(KERNEL, 0x400000, RAMDISK, 0x600000, cmdline=b"quiet")


@pytest.fixture(scope="module")
def qemu() -> Iterator[Guest]:
    """One guest for all: discovering changes nothing in its RAM."""
    with poisoned_guest() as guest:
        yield guest


def refusal(guest: Guest, change: Callable[[Descriptor], Descriptor]) -> str:
    """What is said to a descriptor that is right but for one change."""
    kernel = guest.stage(Role.KERNEL, KERNEL, 0x400000)
    frame = encode_descriptor(change(guest.descriptor([kernel])), GENERATION)
    with pytest.raises(DescriptorRefused) as refused:
        discover(frame, GENERATION, guest.ram, None)
    return str(refused.value)


def ram_map(*ranges: tuple[int, int]) -> E820Map:
    return E820Map(tuple(E820Entry(GpaRange.between(*r), E820Type.RAM) for r in ranges))


def reserved(start: int, end: int, until: Until = Until.BEV) -> Reservation:
    return Reservation(GpaRange.between(start, end), "firmware", until)


LOW = reserved(0, 0x7000, Until.ALWAYS)


def test_an_offer_becomes_images_that_can_be_read(qemu: Guest) -> None:
    found = discovered(qemu, STAGED)
    assert found.generation == GENERATION
    assert found.sources.cmdline == b"quiet"
    kernel, ramdisk = found.sources.kernel, found.sources.ramdisk
    assert isinstance(kernel.file, RamImage)
    assert kernel.read_at(0, kernel.size) == KERNEL
    assert ramdisk is not None
    assert (ramdisk.role, ramdisk.read_at(0, ramdisk.size)) == (Role.RAMDISK, RAMDISK)
    assert found.guest.e820 == qemu.e820


def test_a_guest_needs_no_ramdisk(qemu: Guest) -> None:
    assert discovered(qemu, Staged(KERNEL, 0x400000)).sources.ramdisk is None


def test_host_files_take_the_place_of_staged_images(qemu: Guest) -> None:
    with host_files(KERNEL, RAMDISK) as files:
        found = discovered_native(qemu, files)
        assert (found.sources.kernel, found.sources.ramdisk) == (files.kernel, files.ramdisk)


def test_host_files_and_staged_images_together_are_refused(qemu: Guest) -> None:
    frame = offer(qemu, STAGED)
    with (
        host_files(KERNEL, None) as files,
        pytest.raises(DescriptorRefused, match="images: must be empty where host files are used"),
    ):
        discover(frame, GENERATION, qemu.ram, files)


def test_firmware_is_offered_with_a_bios(qemu: Guest) -> None:
    descriptor = qemu.descriptor((), boot=BootMethod.FIRMWARE)
    frame = encode_descriptor(descriptor, GENERATION)
    with (
        host_files(KERNEL, None) as files,
        pytest.raises(DescriptorRefused, match="images: no image has the role bios"),
    ):
        discover(frame, GENERATION, qemu.ram, files)


def test_the_frame_is_of_the_attempt_the_state_names(qemu: Guest) -> None:
    with pytest.raises(DescriptorRefused, match=r"frame\.generation: is 7, the state says 8"):
        discover(offer(qemu, STAGED), GENERATION + 1, qemu.ram, None)


def test_a_damaged_frame_is_refused(qemu: Guest) -> None:
    with pytest.raises(DescriptorRefused, match=r"frame\.crc32c"):
        discover(offer(qemu, STAGED)[:-1] + b"x", GENERATION, qemu.ram, None)


def test_without_a_kernel_there_is_nothing_to_start(qemu: Guest) -> None:
    assert refusal(qemu, lambda d: replace(d, images=())) == (
        "images: no image has the role kernel"
    )


@pytest.mark.parametrize(
    ("at", "reason"),
    [
        (0x1000, "[0x0, 0x7000) belongs to interrupt vectors, BIOS data"),
        (0x90000, "it is not RAM"),
        (0x1FF0000, "belongs to firmware's temporary zone"),
        (0x3FF0000, "it is not RAM (low RAM ends at 0x4000000)"),
        (0x100000000, "it is not RAM"),
    ],
)
def test_an_image_where_none_may_lie_is_refused_with_the_reason(
    qemu: Guest, at: int, reason: str
) -> None:
    def put(descriptor: Descriptor) -> Descriptor:
        where = GpaRange.between(at, at + 0x20000)
        return replace(descriptor, images=(replace(descriptor.images[0], range=where),))

    said = refusal(qemu, put)
    assert said.startswith("images[0]: ")
    assert reason in said


@pytest.mark.parametrize(
    ("e820", "text"),
    [
        (ram_map((0, 34 * MIB)), "e820: leaves no staging area"),
        (ram_map((0, 0x1000)), "e820: leaves no staging area"),
        (ram_map((0, 64 * MIB + 1)), "e820: low RAM ends at 0x4000001, not on a page"),
    ],
)
def test_a_map_without_room_to_stage_is_refused(qemu: Guest, e820: E820Map, text: str) -> None:
    assert text in refusal(qemu, lambda d: replace(d, e820=e820))


@pytest.mark.parametrize(
    "window", [GpaRange.between(0xB8000, 0xD0000), GpaRange.between(0x400000, 0x402000)], ids=str
)
def test_a_rom_window_outside_the_option_rom_area_is_refused(qemu: Guest, window: GpaRange) -> None:
    said = refusal(qemu, lambda descriptor: replace(descriptor, rom_window=window))
    assert said == f"window_start: {window} is not within [0xc0000, 0xe8000)"


def test_a_rom_of_a_device_needs_a_place_for_its_block_that_firmware_keeps(qemu: Guest) -> None:
    said = refusal(qemu, lambda descriptor: replace(descriptor, insert=Insert.PCI_ROM))
    assert said == (
        "insert: pci-rom needs RAM at [0x1f0000, 0x1f1000) within a range that is reserved until "
        "the BEV, as on platform xen-hvm"
    )


@pytest.mark.parametrize(
    ("change", "works"),
    [
        ({}, True),
        ({"reserved": (LOW, reserved(0x100000, 0x1F0FFF))}, False),
        ({"reserved": (LOW, reserved(0x1F0000, 0x1F1000))}, True),
        ({"reserved": (LOW, reserved(0x100000, 0x200000, Until.ALWAYS))}, False),
        ({"e820": ram_map((0, 0x1F0800), (0x200000, 64 * MIB))}, False),
    ],
)
def test_the_known_place_is_ram_that_no_image_lies_in(
    change: dict[str, object], works: bool
) -> None:
    with poisoned_guest(Platform.XEN_HVM) as xen:

        def changed(descriptor: Descriptor) -> Descriptor:
            return replace(descriptor, insert=Insert.PCI_ROM, **change)  # type: ignore[arg-type]

        if not works:
            assert refusal(xen, changed).startswith("insert: pci-rom needs RAM at ")
            return
        kernel = xen.stage(Role.KERNEL, KERNEL, 0x400000)
        frame = encode_descriptor(changed(xen.descriptor([kernel])), GENERATION)
        assert discover(frame, GENERATION, xen.ram, None).descriptor.insert is Insert.PCI_ROM
