"""The guest's map on Xen is what libxc told hvmloader of it."""

from __future__ import annotations

from contextlib import closing

import pytest

from handoff.addresses import FOUR_GIB, GIB, MIB, Gpa, GpaRange
from handoff.errors import ConfigError, HypervisorError, RamAccessError
from handoff.foreign_memory import ForeignMemory
from tests.toolstack.xen.fakes import DOMID, fake_xen, hvm_info
from toolstack.xen.memory import XenMemory, domain_memory
from xenstore_sim.wire.names import DomId


def memory_of(table: bytes) -> XenMemory:
    with fake_xen(table) as xen, closing(ForeignMemory(xen.foreign)) as memory:
        return domain_memory(memory, DomId(DOMID))


def test_a_small_guest_has_low_ram_alone_and_a_hole_for_vga() -> None:
    found = memory_of(hvm_info(256 * MIB))
    assert [str(stretch) for stretch in found.ranges] == [
        "[0x0, 0xa0000)",
        "[0xc0000, 0x10000000)",
    ]
    assert found.e820.low_ram_end() == 256 * MIB
    assert found.words == (
        *("--foreign-ram", "0x0:0xa0000"),
        *("--foreign-ram", "0xc0000:0xff40000"),
    )
    assert found.fd is None


def test_a_large_guest_continues_at_4_gib() -> None:
    found = memory_of(hvm_info(0xF0000000, 5 * GIB))
    assert found.ranges[-1] == GpaRange(FOUR_GIB, GIB)
    assert found.e820.low_ram_end() == 0xF0000000
    assert found.bytes == 0xF0000000 - 0x20000 + GIB


def test_the_vga_hole_is_no_ram() -> None:
    found = memory_of(hvm_info(256 * MIB))
    with pytest.raises(RamAccessError, match="cannot read"):
        found.ram.read(GpaRange(Gpa(0xA0000), 1))


@pytest.mark.parametrize(
    "table",
    [
        hvm_info(256 * MIB, signature=b"HVM_INFO"),
        hvm_info(0),
        hvm_info(FOUR_GIB),
        hvm_info(256 * MIB, high_end=GIB),
        bytes(64),
    ],
    ids=["signature", "none", "too large", "high below 4 GiB", "zeros"],
)
def test_a_domain_without_a_sane_table_is_refused(table: bytes) -> None:
    with pytest.raises(HypervisorError, match=r"no hvm_info_table at 0x9f800 \(found "):
        memory_of(table)


def test_a_guest_whose_video_memory_leaves_too_little_is_told_what_to_write() -> None:
    with pytest.raises(ConfigError, match=r"memory: .* has 56 MiB, at least 64 MiB.*memory=.*vga"):
        memory_of(hvm_info(56 * MIB))
