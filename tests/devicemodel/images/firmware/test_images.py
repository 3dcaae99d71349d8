"""What is no firmware is refused with field, value and remedy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devicemodel.images.firmware import read_firmware
from devicemodel.images.firmware.bios import BiosKind
from handoff.addresses import FOUR_GIB, MIB
from handoff.errors import HandoffError, LayoutError
from handoff.platforms import Platform
from tests.builders import noise, outcome
from tests.devicemodel.images.elves import Elf, Load
from tests.devicemodel.images.firmware.staged import LOADER, PC_BIOS, UEFI, Offered, files


def refusal(offered: Offered, platform: Platform) -> str:
    with files(offered) as sources, pytest.raises(LayoutError) as refused:
        read_firmware(sources, platform)
    return str(refused.value)


@pytest.mark.parametrize(
    ("bios", "text"),
    [
        (PC_BIOS[:-1], "bios size at offset 0x0 is 0x3ffff"),
        (noise(0x1010000, 1), "bios size at offset 0x0 is 0x1010000"),
        (noise(0x50000, 1), "bios firmware volume at offset 0x28"),
        (PC_BIOS[:-16] + bytes(16), "bios reset vector at offset 0x3fff0 is 0000"),
        (PC_BIOS[:-16] + b"\xff" * 16, "bios reset vector at offset 0x3fff0 is ffff"),
    ],
)
def test_what_no_machine_would_start_is_refused(bios: bytes, text: str) -> None:
    assert refusal(Offered(bios), Platform.QEMU_PC).startswith(text)


@pytest.mark.parametrize("size", [0x1E0000, 0x37C000])
def test_the_code_of_uefi_firmware_without_its_variables_does_not_start_on_xen(size: int) -> None:
    code = UEFI[:0x30].ljust(size - 16, b"\xff") + noise(16, 9)
    text = refusal(Offered(code, LOADER), Platform.XEN_HVM)
    assert text.startswith(f"bios size at offset 0x0 is {size:#x}: ")
    assert text.endswith("name the image that has the variables, too, OVMF.fd")
    whole = code.rjust(-(-size // MIB) * MIB, b"\0")
    whole = UEFI[:0x30] + whole[0x30:]
    with files(Offered(whole, LOADER)) as sources:
        found = read_firmware(sources, Platform.XEN_HVM)
    assert found.bios.on_xen()[0].end == FOUR_GIB


def test_a_qemu_pc_starts_the_code_of_uefi_firmware_by_itself() -> None:
    """Its ROM ends at 4 GiB whatever its size is; the variables are kept in RAM then."""
    code = UEFI[:0x30].ljust(0x1E0000 - 16, b"\xff") + noise(16, 9)
    with files(Offered(code)) as sources:
        assert read_firmware(sources, Platform.QEMU_PC).bios.kind is BiosKind.UEFI


@pytest.mark.parametrize(("bios", "kind"), [(PC_BIOS, BiosKind.PC), (UEFI, BiosKind.UEFI)])
def test_the_kind_is_told_by_the_content(bios: bytes, kind: BiosKind) -> None:
    with files(Offered(bios)) as sources:
        assert read_firmware(sources, Platform.QEMU_PC).bios.kind is kind


@pytest.mark.parametrize(
    ("loader", "text"),
    [
        (b"MZ" + bytes(100), "firmware ELF e_ident at offset 0x0 is 4d5a0000"),
        (
            Elf((Load(0x100000, b"x"),), bits=32, entry=0x200000).build(),
            "firmware ELF e_entry at offset 0x18 is 0x200000",
        ),
        (
            Elf((Load(0x100000, b"x", memsz=0x1000001),), bits=32, entry=0x100000).build(),
            "firmware ELF segments at offset 0x0 is 0x1000001 bytes",
        ),
        (bytes(0x1000001), "firmware size at offset 0x0 is 0x1000001 bytes"),
    ],
)
def test_what_is_no_loader_is_refused(loader: bytes, text: str) -> None:
    assert refusal(Offered(PC_BIOS, loader), Platform.XEN_HVM).startswith(text)


@given(st.integers(0, 0x54 - 1), st.integers(1, 255))
def test_any_changed_byte_of_its_headers_gives_firmware_or_a_refusal(at: int, change: int) -> None:
    loader = bytearray(LOADER)
    loader[at] ^= change
    with files(Offered(PC_BIOS, bytes(loader))) as sources:
        found = outcome(lambda: read_firmware(sources, Platform.XEN_HVM), HandoffError)
    if isinstance(found, HandoffError):
        assert str(found).isprintable()


@given(
    st.sampled_from([0x10000, 0x40000, 0x50000, 0x1E0000, 0x200000]),
    st.binary(max_size=0x40),
    st.booleans(),
    st.binary(max_size=20),
    st.integers(0, 0x20),
    st.sampled_from(Platform),
)
def test_any_bios_is_one_that_ends_where_it_runs_or_refused(
    size: int, head: bytes, volume: bool, vector: bytes, cut: int, platform: Platform
) -> None:
    start = head.ljust(0x28, b"x")[:0x28] + b"_FVH" if volume else head
    bios = start + bytes(size - len(start) - len(vector)) + vector
    loader = LOADER if platform is Platform.XEN_HVM else None
    with files(Offered(bios[: size - cut], loader)) as sources:
        found = outcome(lambda: read_firmware(sources, platform).bios, HandoffError)
    if isinstance(found, HandoffError):
        assert str(found).isprintable()
    elif platform is Platform.XEN_HVM:
        assert {where.end for where in found.on_xen()} <= {MIB, FOUR_GIB}
