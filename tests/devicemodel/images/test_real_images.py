"""Kernels that people boot: what their headers say, and that both ways in come to the same."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from devicemodel.images.auto import recognise
from devicemodel.images.setup_header import SetupHeader
from devicemodel.images.source import host_image
from handoff.addresses import MIB
from handoff.descriptor import BootMethod, Role
from handoff.errors import LayoutError
from handoff.platforms import Platform
from handoff.report import When
from tests.builders import RAMDISK, host_file, host_files, poisoned_guest
from tests.devicemodel.handover import (
    Staged,
    discovered,
    discovered_native,
    plan_of,
    through,
    told,
    waiting,
)
from toolstack.images import ensure

DEBIAN = "vmlinuz"
MEMTEST = "memtest86+x64.bin"
MEMTEST_IA32 = "memtest86+ia32.bin"
IPXE = "ipxe.lkrn"
NAMES = (DEBIAN, MEMTEST, MEMTEST_IA32, IPXE)


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return {image.name: image.path.read_bytes() for image in ensure(NAMES)}


def header_of(content: bytes) -> SetupHeader:
    with host_file(content) as file:
        return recognise(host_image(Role.KERNEL, file), BootMethod.AUTO).header


@dataclass(frozen=True, slots=True)
class Measured:
    """What a person with a hex editor finds in the file."""

    header: SetupHeader
    runs_from: int


MEASURED = {
    # Debian's memtest86+ 6.10: says of itself that it cannot be relocated.
    MEMTEST: Measured(
        SetupHeader(
            version=0x20C,
            setup_bytes=0x600,
            header_end=0x268,
            loadflags=0x01,
            code32_start=0x100000,
            initrd_addr_max=0xFFFFFFFF,
            cmdline_size=255,
            relocatable=False,
            kernel_alignment=0x1000,
            min_alignment=12,
            pref_address=0x100000,
            init_size=0x6ACF8,
            xloadflags=0x09,
            payload_offset=0,
            payload_length=0,
            setup_data=0,
        ),
        runs_from=0x100000,
    ),
    MEMTEST_IA32: Measured(
        SetupHeader(
            version=0x20C,
            setup_bytes=0x600,
            header_end=0x268,
            loadflags=0x01,
            code32_start=0x100000,
            initrd_addr_max=0xFFFFFFFF,
            cmdline_size=255,
            relocatable=False,
            kernel_alignment=0x1000,
            min_alignment=12,
            pref_address=0x100000,
            init_size=0x687F8,
            xloadflags=0x04,
            payload_offset=0,
            payload_length=0,
            setup_data=0,
        ),
        runs_from=0x100000,
    ),
    # Debian's iPXE 1.0.0+git-20190125: protocol 2.07, with text where later fields would be.
    IPXE: Measured(
        SetupHeader(
            version=0x207,
            setup_bytes=0xC00,
            header_end=0x248,
            loadflags=0x01,
            code32_start=0,
            initrd_addr_max=0xFFFFFFFF,
            cmdline_size=2047,
            relocatable=False,
            kernel_alignment=1,
            min_alignment=0,
            pref_address=None,
            init_size=None,
            xloadflags=0,
            payload_offset=0,
            payload_length=0,
            setup_data=0,
        ),
        runs_from=0x100000,
    ),
}


@pytest.mark.parametrize("name", list(MEASURED))
def test_the_header_says_what_was_measured(files: dict[str, bytes], name: str) -> None:
    assert header_of(files[name]) == MEASURED[name].header


def test_ipxe_has_text_where_it_has_no_fields(files: dict[str, bytes]) -> None:
    """The very reason for gating by version: its header's end byte spans these bytes."""
    assert 0x202 + files[IPXE][0x201] > 0x260
    assert any(files[IPXE][0x248:0x264])


def test_a_debian_kernel_can_be_relocated_and_runs_from_16_mib(files: dict[str, bytes]) -> None:
    header = header_of(files[DEBIAN])
    assert header.version >= 0x20F
    assert header.loadflags & 1
    assert header.relocatable
    assert (header.kernel_alignment, header.pref_address) == (0x200000, 0x1000000)
    assert (header.initrd_addr_max, header.cmdline_size) == (0x7FFFFFFF, 2047)
    assert header.code32_start == 0x100000
    assert header.xloadflags & 0x03 == 0x03  # 64-bit entry, loadable above 4 GiB
    assert header.init_size is not None
    assert header.init_size > len(files[DEBIAN]) - header.setup_bytes
    if len(files[DEBIAN]) == 14186432:  # linux-image-cloud-amd64 6.1.192
        assert (header.setup_bytes, header.init_size) == (0x5000, 0x3378000)


@pytest.mark.parametrize("name", NAMES)
def test_a_real_file_cut_anywhere_in_its_setup_is_refused(
    files: dict[str, bytes], name: str
) -> None:
    setup_bytes = header_of(files[name]).setup_bytes
    for size in (*range(1, 0x280), setup_bytes - 1, setup_bytes):
        with pytest.raises(LayoutError):
            header_of(files[name][:size])


@pytest.mark.parametrize("name", NAMES)
def test_a_real_kernel_that_waits_where_it_goes_is_placed_as_from_its_file(
    files: dict[str, bytes], name: str
) -> None:
    kernel = files[name]
    with poisoned_guest(Platform.XEN_HVM, 128 * MIB) as guest:
        with host_files(kernel, RAMDISK) as opened:
            native = through(discovered_native(guest, opened), guest)
        filled = {where: guest.ram.read(where) for where in waiting(native)}
    with poisoned_guest(Platform.XEN_HVM, 128 * MIB) as guest:
        done = through(discovered(guest, Staged(kernel, 0x201000, RAMDISK, 0x5000000)), guest)
        assert told(plan_of(done)) == told(plan_of(native))
        assert {where: guest.ram.read(where) for where in waiting(done)} == filled
        header = header_of(kernel)
        assert filled[plan_of(done).placements[0].range] == kernel[header.setup_bytes :]
        (runs,) = [p for p in plan_of(done).placements if p.when is When.RUN]
        expected = MEASURED[name].runs_from if name in MEASURED else 0x1000000
        assert runs.range.start == expected
