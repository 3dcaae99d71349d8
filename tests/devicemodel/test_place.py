from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from devicemodel.bios_extension.rom import rom_image
from devicemodel.discover import Discovered
from devicemodel.images.auto import recognise
from devicemodel.place import Placed, place
from devicemodel.verify import Verified, verify
from handoff.addresses import MIB, GpaRange
from handoff.descriptor import BootMethod, EntryMode, Subarch
from handoff.e820 import E820Entry, E820Map, E820Type
from handoff.errors import ConfigError, DoesNotFit, PlacementError
from handoff.platforms import Platform
from tests.builders import (
    FIXED,
    RAMDISK,
    RELOCATABLE,
    BzImage,
    Guest,
    outcome,
    poisoned_guest,
)
from tests.devicemodel.handover import How, Staged, discovered
from tests.devicemodel.images.elves import PVH_ELF
from tests.devicemodel.plans import guest_map, sources


@pytest.fixture(scope="module")
def qemu_frame() -> Iterator[Discovered]:
    with poisoned_guest() as guest:
        yield discovered(guest, Staged(RELOCATABLE.build(), 0x400000))


def test_the_plan_has_room_for_the_bios_extension_and_its_block(qemu: Guest) -> None:
    verified = verify(discovered(qemu, Staged(RELOCATABLE.build(), 0x400000)), qemu.ram)
    placed = place(verified)
    assert placed.verified is verified
    assert placed.plan.rom_staging.size == len(rom_image())
    assert placed.plan.block_range.size == 0x1000


def test_placing_does_not_touch_ram(qemu: Guest) -> None:
    staged = Staged(RELOCATABLE.build(), 0x400000)
    verified = verify(discovered(qemu, staged), qemu.ram)
    everything = qemu.regions[0].range
    before = qemu.ram.digest(everything)
    place(verified)
    assert qemu.ram.digest(everything) == before


def test_a_command_line_the_kernel_cannot_take_is_the_operators_mistake(qemu: Guest) -> None:
    staged = Staged(RELOCATABLE.build(), 0x400000, cmdline=b"x" * 2048)
    with pytest.raises(ConfigError, match="2048 bytes, this kernel takes 2047"):
        place(verify(discovered(qemu, staged), qemu.ram))


def test_an_image_that_fits_staging_but_not_its_place_is_refused(qemu: Guest) -> None:
    staged = Staged(RELOCATABLE.build(), 0x200000, bytes(28 << 20), 0x400000)
    with pytest.raises(PlacementError, match="ramdisk needs 0x1c00000 bytes"):
        place(verify(discovered(qemu, staged), qemu.ram))


@settings(max_examples=40)
@given(
    image=st.sampled_from([RELOCATABLE, FIXED]),
    init_size=st.integers(1, 100 * MIB),
    ramdisk_size=st.integers(1, 100 * MIB),
    platform=st.sampled_from(Platform),
)
def test_the_memory_asked_for_is_enough_and_one_mib_less_is_not(
    qemu_frame: Discovered, image: BzImage, init_size: int, ramdisk_size: int, platform: Platform
) -> None:
    with sources(replace(image, init_size=init_size), ramdisk_size) as found:
        kernel = recognise(found.kernel, BootMethod.AUTO)

        def placed(memory_bytes: int) -> Placed:
            guest = guest_map(platform, memory_bytes)
            return place(Verified(replace(qemu_frame, sources=found, guest=guest), kernel))

        refused = outcome(lambda: placed(64 * MIB), DoesNotFit)
        if not isinstance(refused, DoesNotFit):
            return
        asked = re.fullmatch(r"give the guest at least (\d+) MiB more memory", refused.remedy)
        assert asked is not None
        placed((64 + int(asked[1])) * MIB)
        with pytest.raises(DoesNotFit):
            placed((64 + int(asked[1]) - 1) * MIB)


def test_where_no_memory_would_do_none_is_asked_for(qemu: Guest) -> None:
    kept_low = replace(RELOCATABLE, initrd_addr_max=0x259FFF)
    staged = Staged(kept_low.build(), 0x400000, RAMDISK, 0x600000)
    with pytest.raises(PlacementError, match="no amount of memory below 4 GiB would do"):
        place(verify(discovered(qemu, staged), qemu.ram))


def test_where_ram_cannot_grow_none_is_asked_for(qemu: Guest) -> None:
    staged = Staged(replace(RELOCATABLE, init_size=64 * MIB).build(), 0x400000)
    found = discovered(qemu, staged)
    above = E820Entry(GpaRange.between(64 * MIB, 65 * MIB), E820Type.RESERVED)
    stuck = replace(found.guest, e820=E820Map.of([*found.guest.e820.entries, above]))
    assert stuck.room_to_grow == 0
    with pytest.raises(PlacementError, match="init_size 0x4000000"):
        place(verify(replace(found, guest=stuck), qemu.ram))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"entry": EntryMode.LONG}, "entry 64: pvh and multiboot kernels have one entry"),
        ({"subarch": Subarch.XEN}, "subarch xen: only boot_params tell it"),
    ],
)
def test_what_only_linux_knows_is_refused_for_other_methods(
    change: dict[str, object], said: str, qemu: Guest
) -> None:
    how = How(**change)  # type: ignore[arg-type]
    staged = Staged(PVH_ELF.build(), 0x400000, how=how)
    with pytest.raises(ConfigError, match=said):
        place(verify(discovered(qemu, staged), qemu.ram))


@pytest.mark.parametrize(
    ("sources", "said"),
    [
        ({"more": 1}, "ramdisk names 2 images, Linux takes one"),
        ({"arguments": b"x"}, "ramdisk has arguments behind its name"),
    ],
)
def test_linux_takes_one_ramdisk_and_no_arguments_for_it(
    sources: dict[str, object], said: str, qemu: Guest
) -> None:
    found = discovered(qemu, Staged(RELOCATABLE.build(), 0x400000, RAMDISK, 0x600000))
    ramdisk = found.sources.ramdisk
    assert ramdisk is not None
    if "more" in sources:
        changed = replace(found.sources, more_modules=(ramdisk,))
    else:
        changed = replace(found.sources, ramdisk=replace(ramdisk, arguments=b"x"))
    with pytest.raises(ConfigError, match=said):
        place(verify(replace(found, sources=changed), qemu.ram))


def test_memory_that_would_do_is_told_for_a_direct_kernel_too(qemu: Guest) -> None:
    elf = replace(PVH_ELF, loads=(replace(PVH_ELF.loads[0], memsz=80 * MIB),))
    with pytest.raises(DoesNotFit, match="give the guest at least 33 MiB more memory"):
        place(verify(discovered(qemu, Staged(elf.build(), 0x400000)), qemu.ram))
