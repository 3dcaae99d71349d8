"""Sources and targets: what an option ROM writes never lies on what it has still to read."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devicemodel.fw_cfg.blob import Blob, BytesBlob, ImageBlob, ZeroBlob
from devicemodel.fw_cfg.keys import Key
from devicemodel.fw_cfg.linux import plan_linux_rom
from devicemodel.fw_cfg.plan import FwCfgPlan, Target, check_targets
from devicemodel.guest_map import GuestMap
from devicemodel.images.auto import recognise
from devicemodel.images.linux import LinuxKernel
from devicemodel.images.source import Image, ImageSlice, Sources
from devicemodel.ram_image import RamImage
from handoff.addresses import MIB, PAGE, Gpa, GpaRange
from handoff.descriptor import BootMethod, Role
from handoff.errors import ConfigError, DoesNotFit, PlacementError
from handoff.platforms import Platform, memory_map, reservations
from handoff.report import When
from tests.builders import FIXED, RELOCATABLE, BzImage, noise, poisoned_guest

MEMORY_BYTES = 64 * MIB
LOW_END = MEMORY_BYTES
ROM = b"rom"


class _NoRam:
    """A GuestRam that is never touched while a plan is made."""


def staged(role: Role, at: int, size: int) -> Image:
    where = GpaRange(Gpa(at), size)
    return Image(role, RamImage(_NoRam(), where), size)  # type: ignore[arg-type]


def linux(image: BzImage, file: bytes) -> LinuxKernel:
    in_memory = Image(Role.KERNEL, io.BytesIO(file), len(file))  # type: ignore[arg-type]
    kernel = recognise(in_memory, BootMethod.LINUX)
    assert isinstance(kernel, LinuxKernel)
    return kernel


def guest_map() -> GuestMap:
    e820 = memory_map(MEMORY_BYTES, Gpa(0xF0000000))
    return GuestMap(e820, reservations(Platform.XEN_HVM, e820))


def planned(
    image: BzImage = RELOCATABLE,
    kernel_at: int = 4 * MIB,
    ramdisk_at: int = 8 * MIB,
    ramdisk_bytes: int = 0xA321,
) -> FwCfgPlan:
    file = image.build()
    kernel = linux(image, file)
    at = staged(Role.KERNEL, kernel_at, len(file))
    ramdisk = staged(Role.RAMDISK, ramdisk_at, ramdisk_bytes) if ramdisk_bytes else None
    kernel = replace(kernel, payload=replace(kernel.payload, image=at))
    return plan_linux_rom(kernel, Sources(at, ramdisk, b"quiet"), guest_map(), ROM)


def number(plan: FwCfgPlan, key: Key) -> int:
    return int.from_bytes(plan.items[key].read_at(0, 4), "little")


def sources(plan: FwCfgPlan) -> list[GpaRange]:
    return [where for blob in plan.items.values() for where in blob.sources]


def test_addresses_are_those_of_qemu() -> None:
    plan = planned()
    assert number(plan, Key.KERNEL_ADDR) == 0x100000
    assert number(plan, Key.SETUP_ADDR) == 0x10000
    assert number(plan, Key.CMDLINE_ADDR) == 0x20000
    assert plan.items[Key.CMDLINE_DATA].read_at(0, 6) == b"quiet\0"
    assert number(plan, Key.CMDLINE_SIZE) == 6
    assert number(plan, Key.INITRD_ADDR) == (LOW_END - 0x28000 - 1 - 0xA321) & ~0xFFF


@pytest.mark.parametrize("version", [0x200, 0x201])
def test_setup_code_before_2_02_goes_to_0x90000(version: int) -> None:
    plan = planned(BzImage(version=version), ramdisk_bytes=0)
    assert number(plan, Key.SETUP_ADDR) == 0x90000
    assert number(plan, Key.CMDLINE_ADDR) == 0x9A000 - 16
    setup = plan.items[Key.SETUP_DATA].read_at(0x20, 4)
    assert setup == bytes.fromhex("3fa3") + (0x9A000 - 16 - 0x90000).to_bytes(2, "little")


def test_a_zimage_goes_to_0x10000() -> None:
    assert number(planned(BzImage(loadflags=0), ramdisk_bytes=0), Key.KERNEL_ADDR) == 0x10000


def test_what_is_clear_of_every_target_stays_where_it_is() -> None:
    plan = planned()
    waiting = {p.name: p.range.start for p in plan.placements if p.when is When.NOW}
    assert waiting == {"kernel": 4 * MIB + RELOCATABLE.setup_bytes, "ramdisk": 8 * MIB}


@given(
    kernel_at=st.integers(2 * MIB // PAGE, 16 * MIB // PAGE).map(lambda page: page * PAGE),
    ramdisk_at=st.integers(17 * MIB // PAGE, 20 * MIB // PAGE).map(lambda page: page * PAGE),
    ramdisk_bytes=st.integers(1, 12 * MIB),
    image=st.sampled_from((RELOCATABLE, FIXED)),
)
def test_no_source_is_where_the_rom_writes(
    kernel_at: int, ramdisk_at: int, ramdisk_bytes: int, image: BzImage
) -> None:
    try:
        plan = planned(image, kernel_at, ramdisk_at, ramdisk_bytes)
    except DoesNotFit:
        return
    size = number(plan, Key.INITRD_SIZE)
    written = [
        GpaRange(Gpa(number(plan, start)), number(plan, length))
        for start, length in (
            (Key.KERNEL_ADDR, Key.KERNEL_SIZE),
            (Key.INITRD_ADDR, Key.INITRD_SIZE),
            (Key.CMDLINE_ADDR, Key.CMDLINE_SIZE),
            (Key.SETUP_ADDR, Key.SETUP_SIZE),
        )
    ]
    # And wherever E801h may say that RAM ends: firmware keeps up to 1 MiB below the real end.
    tops = (LOW_END, LOW_END - 0x20000, LOW_END - MIB)
    written += [GpaRange(Gpa((top - size) & ~0xFFF), size) for top in tops]
    for source in sources(plan):
        assert not any(source.overlaps(target) for target in written)


def test_a_target_over_a_source_is_refused_with_both_ranges() -> None:
    blob = ImageBlob(staged(Role.RAMDISK, 0x300000, 0x2000).whole())
    items: dict[int, Blob] = {Key.INITRD_DATA: blob, Key.SETUP_DATA: BytesBlob(b"x")}
    clear = Target("kernel", GpaRange.between(0x302000, 0x303000))
    check_targets([clear], items)
    meets = Target("kernel", GpaRange.between(0x301FFF, 0x303000))
    with pytest.raises(PlacementError) as refused:
        check_targets([clear, meets], items)
    assert "[0x301fff, 0x303000)" in str(refused.value)
    assert "[0x300000, 0x302000)" in str(refused.value)


def test_a_ramdisk_that_meets_the_running_kernel_is_refused() -> None:
    with pytest.raises(DoesNotFit, match="when it runs"):
        planned(BzImage(pref_address=0x1000000, init_size=46 * MIB), ramdisk_bytes=2 * MIB)


def test_a_kernel_older_than_2_00_takes_no_ramdisk() -> None:
    with pytest.raises(ConfigError, match=r"older than boot protocol 2\.00"):
        planned(BzImage(version=0, magic=b"\0\0\0\0"))


def test_blobs_of_a_range_name_it_as_their_source() -> None:
    image = staged(Role.KERNEL, 0x300000, 0x2000)
    assert ImageBlob(ImageSlice(image, 0x100, 8)).sources == (GpaRange(Gpa(0x300100), 8),)
    assert ZeroBlob(5).read_at(0, 5) == bytes(5)


def test_a_blob_follows_its_image_to_its_new_place() -> None:
    with poisoned_guest() as guest:
        content = noise(5000, 9)
        guest.ram.write(Gpa(0x800000), content)
        file = RamImage(guest.ram, GpaRange(Gpa(0x300000), 5000)).moved_to(Gpa(0x800000))
        assert Image(Role.KERNEL, file, 5000).read_at(10, 90) == content[10:100]
