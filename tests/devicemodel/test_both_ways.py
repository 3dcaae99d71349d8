"""The second half is common: a kernel from host files and one staged in RAM come to the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from devicemodel.plan import BootPlan
from devicemodel.ready import Ready
from handoff.addresses import Gpa, GpaRange, first_overlap
from handoff.descriptor import EntryMode, Subarch
from handoff.platforms import Platform
from tests.builders import (
    FIXED,
    POISON,
    RAMDISK,
    RELOCATABLE,
    BzImage,
    Guest,
    host_files,
    poisoned_guest,
)
from tests.devicemodel.handover import (
    How,
    Staged,
    discovered,
    discovered_native,
    plan_of,
    through,
    told,
    waiting,
)

WINDOW = GpaRange.between(0x100000, 0x2000000)
RAMDISK_PLACE = 0x1FF5000
MACHINES = [
    (platform, image, name)
    for platform in Platform
    for image, name in ((RELOCATABLE, "relocatable"), (FIXED, "fixed"))
]


@dataclass(frozen=True, slots=True, repr=False)
class Native:
    """What a guest looked like when the device model had read host files itself."""

    guest: Guest
    image: BzImage
    plan: BootPlan
    bytes: dict[GpaRange, bytes]

    @property
    def kernel_place(self) -> Gpa:
        return self.plan.placements[0].range.start


@pytest.fixture(
    scope="module", params=MACHINES, ids=[f"{p.value}-{name}" for p, _, name in MACHINES]
)
def native(request: pytest.FixtureRequest) -> Iterator[Native]:
    platform, image, _ = request.param
    with poisoned_guest(platform) as guest:
        with host_files(image.build(), RAMDISK) as files:
            done = through(discovered_native(guest, files), guest)
        filled = {where: guest.ram.read(where) for where in waiting(done)}
        yield Native(guest, image, plan_of(done), filled)


def check(native: Native, kernel_at: int, ramdisk_at: int) -> Ready:
    """Hands the same images over from these places, and compares."""
    guest = native.guest
    guest.ram.fill(WINDOW, POISON)
    guest.ram.fill(GpaRange.between(0xC8000, 0xE0000), POISON)
    staged = Staged(native.image.build(), kernel_at, RAMDISK, ramdisk_at)
    done = through(discovered(guest, staged), guest)
    assert told(plan_of(done)) == told(native.plan)
    assert {where: guest.ram.read(where) for where in waiting(done)} == native.bytes
    return done


@pytest.mark.parametrize("subarch", Subarch, ids=lambda subarch: subarch.value)
@pytest.mark.parametrize("entry", EntryMode, ids=lambda entry: entry.value)
@pytest.mark.parametrize("platform", Platform, ids=lambda platform: platform.value)
@pytest.mark.parametrize("image", [RELOCATABLE, FIXED], ids=["relocatable", "fixed"])
def test_every_entry_is_the_same_both_ways(
    image: BzImage, platform: Platform, entry: EntryMode, subarch: Subarch
) -> None:
    how = How(entry=entry, subarch=subarch)
    with poisoned_guest(platform) as guest:
        with host_files(image.build(), RAMDISK) as files:
            done = through(discovered_native(guest, files, how=how), guest)
        filled = {where: guest.ram.read(where) for where in waiting(done)}
    with poisoned_guest(platform) as guest:
        staged = Staged(image.build(), 0x400000, RAMDISK, 0x600000, how=how)
        handed = through(discovered(guest, staged), guest)
        assert told(plan_of(handed)) == told(plan_of(done))
        assert {where: guest.ram.read(where) for where in waiting(handed)} == filled


def test_native_bytes_are_the_files(native: Native) -> None:
    contents = set(native.bytes.values())
    assert native.image.payload() in contents
    assert RAMDISK in contents


@pytest.mark.parametrize(
    ("kernel", "ramdisk"),
    [
        (0x400000, 0x600000),
        (0x400000, RAMDISK_PLACE),
        ("at its place", 0x600000),  # a move down by the length of the setup code
        ("above its place", 0x600000),
        ("far into its place", RAMDISK_PLACE),
        (0x400000, RAMDISK_PLACE - 0x1000),
        (0x400000, RAMDISK_PLACE - 1),
        (0x1FE0000, RAMDISK_PLACE),  # where block, ROM and command line will wait
        (0x1FE0000, 0x600000),
        (0x1000000, 0x1020000),  # where the kernel will unpack itself
        (0x1FED000, 0x600000),  # where the ramdisk belongs
        (0x600000, "in the kernel's place"),
        (0x1FED000, "in the kernel's place"),
    ],
)
def test_where_images_are_staged_makes_no_difference(
    native: Native, kernel: int | str, ramdisk: int | str
) -> None:
    base = int(native.kernel_place)
    named = {
        "at its place": base,
        "above its place": base + 0x1000,
        "far into its place": base + native.image.payload_bytes - 1,
        "in the kernel's place": base + 0x8000,
    }
    at = [named[where] if isinstance(where, str) else where for where in (kernel, ramdisk)]
    if native.guest.platform is Platform.XEN_HVM:
        assert min(at) >= 0x200000, "hvmloader's megabyte is no staging area"
    check(native, *at)


def test_a_kernel_already_at_its_place_is_not_moved(native: Native) -> None:
    at = native.kernel_place - native.image.setup_bytes
    legal = at >= (0x200000 if native.guest.platform is Platform.XEN_HVM else 0x100000)
    if not legal:
        at = 0x400000
    done = check(native, at, RAMDISK_PLACE)
    assert [step.name for step in done.inserted.moved.moves] == ([] if legal else ["kernel"])


@settings(max_examples=50)
@given(
    kernel_at=st.integers(0x200000, 0x230000) | st.integers(0x1FC0000, 0x1FED0BB),
    ramdisk_at=st.integers(0x200000, 0x230000) | st.integers(0x1FC0000, 0x1FF5CDF),
)
def test_any_two_places_make_no_difference(native: Native, kernel_at: int, ramdisk_at: int) -> None:
    kernel = GpaRange(Gpa(kernel_at), native.image.setup_bytes + native.image.payload_bytes)
    ramdisk = GpaRange(Gpa(ramdisk_at), len(RAMDISK))
    assume(first_overlap((kernel, ramdisk)) is None)
    check(native, kernel_at, ramdisk_at)
