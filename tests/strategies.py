"""Hypothesis strategies for the values that cross between toolstack and device model."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from handoff.addresses import FOUR_GIB, GPA_LIMIT, Gpa, GpaRange
from handoff.descriptor import (
    CMDLINE_MAX_BYTES,
    E820_MAX,
    TABLES,
    BootMethod,
    Descriptor,
    EntryMode,
    Insert,
    Role,
    StagedImage,
    Subarch,
)
from handoff.e820 import E820Entry, E820Map, E820Type
from handoff.firmware import BiosRom, DirectEntry, Firmware
from handoff.frame import GENERATION_MAX
from handoff.guest_ram import DIGEST_BYTES
from handoff.platforms import Platform, Reservation, Until
from handoff.report import MovedRange, PlacedRange, Report, When

generations = st.integers(1, GENERATION_MAX)
printable = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=64)
digests = st.binary(min_size=DIGEST_BYTES, max_size=DIGEST_BYTES)


@st.composite
def gpa_ranges(draw: st.DrawFn, limit: int = GPA_LIMIT) -> GpaRange:
    """Any range that ends at or below `limit`, both ends included."""
    start = draw(st.integers(0, limit - 1))
    return GpaRange(Gpa(start), draw(st.integers(1, limit - start)))


@st.composite
def e820_maps(draw: st.DrawFn) -> E820Map:
    """RAM at the bottom, then anything, ascending and disjoint."""
    size = draw(st.integers(1, FOUR_GIB))
    entries = [E820Entry(GpaRange(Gpa(draw(st.integers(0, 0x1000))), size), E820Type.RAM)]
    steps = st.tuples(st.integers(0, 1 << 33), st.integers(1, 1 << 33), st.sampled_from(E820Type))
    for gap, length, type_ in draw(st.lists(steps, max_size=min(9, E820_MAX - 1))):
        start = entries[-1].range.end + gap
        entries.append(E820Entry(GpaRange(Gpa(start), length), type_))
    return E820Map(tuple(entries))


def reservations() -> st.SearchStrategy[tuple[Reservation, ...]]:
    one = st.builds(Reservation, gpa_ranges(), printable, st.sampled_from(Until))
    return st.lists(one, max_size=8).map(tuple)


_strings = st.binary(max_size=40).map(lambda raw: raw.replace(b"\0", b" "))


@st.composite
def staged_images(draw: st.DrawFn, boot: BootMethod) -> tuple[StagedImage, ...]:
    """At most one of each role that `boot` takes, modules behind a ramdisk; disjoint, in any
    order."""
    if boot is BootMethod.FIRMWARE:
        single = [Role.BIOS, Role.FIRMWARE, *TABLES]
    else:
        single = [Role.KERNEL, Role.RAMDISK]
    roles = draw(st.permutations(single))[: draw(st.integers(0, len(single)))]
    if Role.RAMDISK in roles:
        more = [Role.MODULE] * draw(st.integers(0, 3))
        roles = draw(st.permutations([*roles, *more]))
    at = 0
    images = []
    for role in roles:
        at += draw(st.integers(0, 1 << 40))
        size = draw(st.integers(1, 1 << 40))
        strings = draw(_strings), draw(_strings)
        images.append(StagedImage(role, GpaRange(Gpa(at), size), draw(digests), *strings))
        at += size
    return tuple(images)


def cmdlines() -> st.SearchStrategy[bytes]:
    """Bytes without NUL, up to the longest."""
    long = st.just(b"x" * CMDLINE_MAX_BYTES)
    return st.binary(max_size=300).map(lambda raw: raw.replace(b"\0", b" ")) | long


def descriptors() -> st.SearchStrategy[Descriptor]:
    return st.sampled_from(BootMethod).flatmap(_descriptors_of)


def _descriptors_of(boot: BootMethod) -> st.SearchStrategy[Descriptor]:
    return st.builds(
        Descriptor,
        platform=st.sampled_from(Platform),
        e820=e820_maps(),
        reserved=reservations(),
        insert=st.sampled_from(Insert),
        rom_window=gpa_ranges(),
        boot=st.just(boot),
        cmdline=cmdlines(),
        images=staged_images(boot),
        entry=st.sampled_from(EntryMode),
        subarch=st.sampled_from(Subarch),
    )


def reports() -> st.SearchStrategy[Report]:
    """With an option ROM, or with firmware that was handed over."""
    addresses = st.integers(0, FOUR_GIB - 1).map(Gpa)
    tables = st.none() | gpa_ranges()
    entries = st.builds(DirectEntry, addresses, addresses, tables, tables)
    started = st.tuples(gpa_ranges(), st.none()) | st.tuples(
        st.none(), st.builds(BiosRom, gpa_ranges()) | entries
    )
    return started.flatmap(lambda start: _reports_of(*start))


def _reports_of(rom: GpaRange | None, firmware: Firmware | None) -> st.SearchStrategy[Report]:
    placed = st.builds(PlacedRange, printable, gpa_ranges(), st.sampled_from(When), printable)
    moved = st.builds(MovedRange, printable, st.none() | gpa_ranges(), gpa_ranges())
    return st.builds(
        Report,
        method=printable,
        placements=st.lists(placed, max_size=9).map(tuple),
        moves=st.lists(moved, max_size=9).map(tuple),
        rom=st.just(rom),
        released_bytes=st.integers(0, 1 << 52),
        firmware=st.just(firmware),
    )


scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats(allow_nan=False)
    | st.binary(max_size=40)
    | st.text(max_size=20)
)
trees: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)
"""Anything msgpack can say."""
