from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devicemodel.discover import Discovered
from devicemodel.images.linux import LinuxKernel
from devicemodel.images.pvh import PvhKernel
from devicemodel.ram_image import RamImage
from devicemodel.verify import verify
from handoff.addresses import Gpa, GpaRange
from handoff.errors import DigestMismatch, LayoutError
from tests.builders import RAMDISK, RELOCATABLE, Guest, host_files, poisoned_guest
from tests.devicemodel.handover import Staged, discovered, discovered_native
from tests.devicemodel.images.elves import PVH_ELF

KERNEL = RELOCATABLE.build()
STAGED = Staged(KERNEL, 0x400000, RAMDISK, 0x600000)


def test_the_announced_bytes_are_verified_and_parsed_from_a_private_copy(qemu: Guest) -> None:
    verified = verify(discovered(qemu, STAGED), qemu.ram)
    qemu.ram.write(Gpa(STAGED.kernel_at), bytes(RELOCATABLE.setup_bytes))
    assert isinstance(verified.kernel, LinuxKernel)
    assert verified.kernel.setup == RELOCATABLE.setup()
    assert verified.kernel.header.init_size == RELOCATABLE.init_size


def test_host_files_need_no_digest(qemu: Guest) -> None:
    with host_files(KERNEL, RAMDISK) as files:
        kernel = verify(discovered_native(qemu, files), qemu.ram).kernel
    assert isinstance(kernel, LinuxKernel)
    assert kernel.setup == RELOCATABLE.setup()


@pytest.fixture(scope="module")
def staged() -> Iterator[tuple[Guest, Discovered]]:
    with poisoned_guest() as guest:
        yield guest, discovered(guest, STAGED)


IMAGES = [("kernel", 0x400000, KERNEL), ("ramdisk", 0x600000, RAMDISK)]


@given(image=st.sampled_from(IMAGES), where=st.floats(0, 1, exclude_max=True), flip=st.integers(1))
def test_a_changed_byte_of_either_image_is_found(
    staged: tuple[Guest, Discovered], image: tuple[str, int, bytes], where: float, flip: int
) -> None:
    guest, found = staged
    name, base, content = image
    offset = int(where * len(content))
    guest.ram.write(Gpa(base + offset), bytes([content[offset] ^ (flip % 255 + 1)]))
    with pytest.raises(DigestMismatch) as mismatch:
        verify(found, guest.ram)
    guest.ram.write(Gpa(base), content)
    assert mismatch.value.image == name
    assert f"{base:#x}" in str(mismatch.value)


def test_the_copy_that_is_parsed_must_be_what_was_announced(qemu: Guest) -> None:
    """Between digest and copy nobody should write; the copy is digested, too."""
    elf = PVH_ELF.build()
    found = discovered(qemu, Staged(elf, 0x400000))

    class Changing(RamImage):
        def readinto(self, buffer: Any) -> int:
            count = super().readinto(buffer)
            memoryview(buffer)[count - 1] ^= 1
            return count

    changing = Changing(qemu.ram, GpaRange(Gpa(0x400000), len(elf)))
    kernel = replace(found.sources.kernel, file=changing)
    with pytest.raises(DigestMismatch, match=r"kernel at the copy of \[0x400000"):
        verify(replace(found, sources=replace(found.sources, kernel=kernel)), qemu.ram)
    assert isinstance(verify(found, qemu.ram).kernel, PvhKernel)


def test_a_kernel_of_no_use_is_refused_by_its_field(qemu: Guest) -> None:
    wrong = replace(RELOCATABLE, boot_flag=0xAA56).build()
    with pytest.raises(LayoutError, match="kernel header"):
        verify(discovered(qemu, Staged(wrong, 0x400000)), qemu.ram)
