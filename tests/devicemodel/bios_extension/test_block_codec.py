"""Parameter blocks as bytes: golden, both ways, and every other spelling refused."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from devicemodel.bios_extension.block import (
    BLOCK_HEADER_BYTES,
    BLOCK_MAX_BYTES,
    MAX_STEPS,
    Copy,
    CountForm,
    E820Collection,
    E820Format,
    Entry,
    LongModeEntry,
    ParameterBlock,
    ProtectedModeEntry,
    RealModeEntry,
    Step,
    Zero,
)
from devicemodel.bios_extension.block_codec import decode, encode
from handoff.addresses import Gpa, GpaRange
from handoff.errors import HandoffError, LayoutError, PlacementError

FULL = ParameterBlock(
    entry=RealModeEntry(cs=0x1020, ip=0x0304, ss=0x1506, sp=0xDFF0, ds=0x1718),
    steps=(
        Copy(GpaRange(Gpa(0x08090A0B), 0x0C0D), Gpa(0x0E0F1011)),
        Zero(GpaRange(Gpa(0x12131415), 0x16171819)),
    ),
    e820=E820Collection(
        E820Format.PVH,
        Gpa(0x21222324),
        0x25,
        Gpa(0x26272829),
        CountForm.U32_RECORDS,
        Gpa(0x2A2B2C2D),
        Gpa(0x2E2F3031),
    ),
    rsdp=Gpa(0x32333435),
)
GOLDEN = bytes.fromhex(
    "44425042"  # 00 magic "DBPB"
    "0100"  # 04 version
    "0100"  # 06 entry kind: real mode
    "60000000"  # 08 length
    "00000000"  # 0c CRC-32, see resealed()
    "02000000"  # 10 step count
    "35343332"  # 14 rsdp
    "0300"  # 18 e820 format: PVH
    "2500"  # 1a max records
    "24232221"  # 1c records
    "02000000"  # 20 count form: u32, records
    "29282726"  # 24 count
    "2d2c2b2a"  # 28 mem_lower
    "31302f2e"  # 2c mem_upper
    "0403"  # 30 ip
    "2010"  # 32 cs
    "f0df"  # 34 sp
    "0615"  # 36 ss
    "1817"  # 38 ds
    "000000000000"  # 3a
    "01000000"
    "0b0a0908"
    "11100f0e"
    "0d0c0000"  # 40 copy: source, destination, size
    "02000000"
    "00000000"
    "15141312"
    "19181716"  # 50 zero: -, destination, size
)


def address(size: int) -> st.SearchStrategy[Gpa]:
    """Where `size` bytes may be written."""
    low = st.integers(0x9000, 0xA0000 - size)
    high = st.integers(0x100000, (1 << 32) - size)
    return st.one_of(low, high).map(Gpa)


def u(bits: int) -> st.SearchStrategy[int]:
    return st.integers(0, (1 << bits) - 1)


sizes = st.integers(1, 0x90000)
copies = sizes.flatmap(
    lambda size: st.builds(
        lambda source, to: Copy(GpaRange(Gpa(source), size), to),
        st.integers(0, (1 << 32) - size),
        address(size),
    )
)
zeros = sizes.flatmap(lambda size: address(size).map(lambda at: Zero(GpaRange(at, size))))
steps = st.lists(st.one_of(copies, zeros), max_size=6).map(tuple[Step, ...])
collections = st.builds(
    E820Collection,
    st.sampled_from(E820Format),
    address(128 * 24),
    st.integers(1, 128),
    address(4),
    st.sampled_from(CountForm),
    st.none() | address(4),
    st.none() | address(4),
)
entries: st.SearchStrategy[Entry] = st.one_of(
    st.builds(RealModeEntry, u(16), u(16), u(16), u(16), u(16)),
    st.builds(ProtectedModeEntry, u(32).map(Gpa), u(32), u(32), u(32)),
    st.builds(
        LongModeEntry,
        u(32).map(Gpa),
        u(32),
        st.integers(0x100, 0xFFFFA).map(lambda page: Gpa(page << 12)),
    ),
)
blocks = st.builds(ParameterBlock, entries, steps, st.none() | collections, st.none() | address(8))


def resealed(data: bytearray) -> bytes:
    """`data` with the CRC that fits it."""
    data[0x0C:0x10] = bytes(4)
    data[0x0C:0x10] = zlib.crc32(data).to_bytes(4, "little")
    return bytes(data)


def test_every_field_has_its_golden_place() -> None:
    assert encode(FULL) == resealed(bytearray(GOLDEN))


@given(blocks)
def test_decoding_gives_the_block_that_was_encoded(block: ParameterBlock) -> None:
    data = encode(block)
    assert BLOCK_HEADER_BYTES <= len(data) <= BLOCK_MAX_BYTES
    assert decode(data) == block


@given(st.binary(max_size=200))
def test_any_bytes_give_a_block_or_a_refusal(data: bytes) -> None:
    with pytest.raises(HandoffError):
        decode(data)


@given(st.integers(0, len(GOLDEN) - 1), st.integers(1, 255))
def test_sealed_damage_gives_another_block_or_a_refusal(offset: int, change: int) -> None:
    """No two byte strings mean the same block."""
    data = bytearray(encode(FULL))
    data[offset] ^= change
    if offset in range(0x0C, 0x10):
        return
    try:
        block = decode(resealed(data))
    except HandoffError:
        return
    assert block != FULL


def test_the_fullest_block_fits_its_bound() -> None:
    step = Zero(GpaRange(Gpa(0x100000), 1))
    data = encode(ParameterBlock(FULL.entry, (step,) * MAX_STEPS))
    assert len(data) == BLOCK_MAX_BYTES
    assert len(decode(data).steps) == MAX_STEPS


@pytest.mark.parametrize("cut", [0, 1, 0x3F, 0x40, 0x5F])
def test_a_truncated_block_is_refused(cut: int) -> None:
    with pytest.raises(LayoutError, match="length"):
        decode(encode(FULL)[:cut])


def test_a_tail_is_refused() -> None:
    with pytest.raises(LayoutError, match="length"):
        decode(encode(FULL) + b"\0")


def test_one_damaged_byte_anywhere_is_refused() -> None:
    data = encode(FULL)
    for offset in range(len(data)):
        damaged = bytearray(data)
        damaged[offset] ^= 0x04
        with pytest.raises(LayoutError):
            decode(bytes(damaged))


@pytest.mark.parametrize(
    ("offset", "value", "field"),
    [
        (0x04, 2, "version"),
        (0x06, 0, "entry_kind"),
        (0x06, 4, "entry_kind"),
        (0x10, 1, "step_count"),
        (0x18, 4, "e820_format"),
        (0x20, 4, "count_form"),
        (0x18, 0, "reserved"),  # then the rest of the collection must be zero too
        (0x3A, 1, "reserved"),
        (0x40, 3, "operation"),
        (0x54, 1, "reserved"),  # a zero step has no source
    ],
)
def test_an_unknown_value_is_refused_by_name(offset: int, value: int, field: str) -> None:
    data = bytearray(encode(FULL))
    data[offset] = value
    with pytest.raises(LayoutError, match=field):
        decode(resealed(data))


def test_a_step_of_no_bytes_is_refused() -> None:
    data = bytearray(encode(FULL))
    data[0x5C:0x60] = bytes(4)
    with pytest.raises(LayoutError, match=r"steps\[1\]\.size"):
        decode(resealed(data))


def test_an_address_the_rom_may_not_write_is_refused() -> None:
    data = bytearray(encode(FULL))
    data[0x48:0x4C] = (0x7000).to_bytes(4, "little")
    with pytest.raises(PlacementError, match="copy destination"):
        decode(resealed(data))
