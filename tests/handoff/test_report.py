from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from handoff.addresses import Gpa, GpaRange
from handoff.errors import DescriptorRefused, PeerMisbehaved
from handoff.firmware import BiosRom, DirectEntry, Firmware
from handoff.frame import Frame, FrameKind, decode_frame, encode_frame
from handoff.report import (
    MOVES_MAX,
    PLACEMENTS_MAX,
    ROM_MAX_BYTES,
    MovedRange,
    PlacedRange,
    Report,
    When,
    check_report,
    decode_report,
    encode_report,
)
from tests.builders import outcome
from tests.strategies import generations, gpa_ranges, reports, trees


def at(start: int, size: int) -> GpaRange:
    return GpaRange(Gpa(start), size)


REPORT = Report(
    method="linux",
    placements=(PlacedRange("kernel", at(0x11, 0x22), When.RUN, "fixed"),),
    moves=(
        MovedRange("ramdisk", at(0x33, 0x44), at(0x55, 0x44)),
        MovedRange("kernel", None, at(0x66, 0x77)),
    ),
    rom=at(0xC8000, 0xA00),
    released_bytes=0x1000,
)
PAYLOAD = (
    b"\x87"  # a map of seven, keys in this order
    b"\xa6method\xa5linux"
    b"\xaaplacements\x91"
    b"\x85\xa4name\xa6kernel\xa5start\x11\xa4size\x22\xa4when\xa3run\xa6reason\xa5fixed"
    b"\xa5moves\x92"
    b"\x83\xa4name\xa7ramdisk"
    b"\xa4from\x91\x82\xa5start\x33\xa4size\x44\xa2to\x91\x82\xa5start\x55\xa4size\x44"
    b"\x83\xa4name\xa6kernel\xa4from\x90\xa2to\x91\x82\xa5start\x66\xa4size\x77"
    b"\xa3rom\x91\x82\xa5start\xce\x00\x0c\x80\x00\xa4size\xcd\x0a\x00"
    b"\xa4bios\x90"
    b"\xa5entry\x90"
    b"\xa8released\xcd\x10\x00"
)


def framed(payload: bytes) -> bytes:
    return encode_frame(Frame(FrameKind.REPORT, 7, payload))


def changed(change: Callable[[dict[str, Any]], None]) -> bytes:
    tree = msgpack.unpackb(PAYLOAD)
    change(tree)
    return framed(msgpack.packb(tree))


def refusal(frame: bytes) -> str:
    with pytest.raises(DescriptorRefused) as refused:
        decode_report(frame)
    return str(refused.value)


def test_golden_bytes() -> None:
    assert decode_frame(encode_report(REPORT, 7), FrameKind.REPORT).payload == PAYLOAD
    assert decode_report(framed(PAYLOAD)) == (7, REPORT)


def started(firmware: Firmware) -> Report:
    return Report("firmware", (), (), None, 0, firmware)


@pytest.mark.parametrize(
    ("firmware", "text"),
    [
        (BiosRom(at(0x200000, 0x40000)), None),
        (BiosRom(at(0x300000, 0x10000)), "the report's bios [0x300000, 0x310000) is not guest RAM"),
        (BiosRom(at(0x200000, 0x8000)), "a multiple of 0x10000, at most 0x1000000"),
        (DirectEntry(Gpa(0x100000), Gpa(0x174000)), None),
        (DirectEntry(Gpa(0x300000), Gpa(0x174000)), "the report's eip [0x300000, 0x300001)"),
        (DirectEntry(Gpa(0x100000), Gpa(0xFFFFFFFF)), "the report's ebx [0xffffffff, "),
        (DirectEntry(Gpa(0x100000), Gpa(0x174000), at(0x180000, 9), at(0x2FFFFF, 1)), None),
        (
            DirectEntry(Gpa(0x100000), Gpa(0x174000), None, at(0x2FFFFF, 2)),
            "the report's smbios tables [0x2fffff, 0x300001) is not guest RAM",
        ),
    ],
)
def test_firmware_starts_in_the_guests_ram(firmware: Firmware, text: str | None) -> None:
    ram = [at(0, 0x300000)]
    if text is None:
        check_report(started(firmware), ram)
        return
    with pytest.raises(PeerMisbehaved) as refused:
        check_report(started(firmware), ram)
    assert text in str(refused.value)


def test_a_bios_larger_than_any_is_refused() -> None:
    with pytest.raises(PeerMisbehaved, match="at most 0x1000000"):
        check_report(started(BiosRom(at(0, 0x1010000))), [at(0, 1 << 30)])


@pytest.mark.parametrize(
    "change",
    [
        {"bios": [{"start": 0, "size": 1}]},
        {"entry": [{"eip": 1, "ebx": 2, "acpi": [], "smbios": []}]},
    ],
)
def test_a_guest_is_started_in_one_way(change: dict[str, Any]) -> None:
    text = refusal(changed(lambda tree: tree.update(change)))
    assert text == "rom: only one of rom, bios and entry may be there"


def test_the_rom_of_a_device_is_nowhere_in_ram() -> None:
    fixed = replace(REPORT, rom=None)
    assert decode_report(changed(lambda tree: tree.update(rom=[]))) == (7, fixed)


@given(reports(), generations)
def test_a_report_comes_back_as_it_was_sent(report: Report, generation: int) -> None:
    assert decode_report(encode_report(report, generation)) == (generation, report)


@given(st.binary(max_size=200))
def test_any_payload_gives_a_report_or_a_refusal(payload: bytes) -> None:
    refusal(framed(payload))


@given(st.integers(0, len(PAYLOAD) - 1), st.integers(1, 255))
def test_a_changed_byte_gives_another_report_or_a_refusal(at: int, change: int) -> None:
    payload = bytearray(PAYLOAD)
    payload[at] ^= change
    found = outcome(lambda: decode_report(framed(bytes(payload))), DescriptorRefused)
    if isinstance(found, DescriptorRefused):
        assert str(found).isprintable()
    else:
        assert found[1] != REPORT


@given(st.sampled_from(list(msgpack.unpackb(PAYLOAD))), trees)
def test_any_value_of_a_key_gives_a_report_or_names_the_key(key: str, value: Any) -> None:
    def put(tree: dict[str, Any]) -> None:
        tree[key] = value

    found = outcome(lambda: decode_report(changed(put)), DescriptorRefused)
    if isinstance(found, DescriptorRefused):
        # What starts the guest is refused as a whole, too.
        start = ("rom", "bios", "entry")
        assert found.path.startswith(start if key in start else key)
    else:
        assert msgpack.unpackb(PAYLOAD)[key] == value or found[1] != REPORT


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda t: t.pop("method"), "method: is missing"),
        (lambda t: t.update(more=1), "more: is not a known key"),
        (lambda t: t.update(method="\x1b[2J"), "method: must be printable text"),
        (lambda t: t["placements"][0].update(when="soon"), "placements[0].when: must be one of"),
        (lambda t: t["placements"][0].update(reason="x" * 161), "placements[0].reason: "),
        (lambda t: t.update(placements=t["placements"] * (PLACEMENTS_MAX + 1)), "placements: "),
        (lambda t: t.update(moves=t["moves"] * (MOVES_MAX // 2 + 1)), "moves: must be a list of"),
        (lambda t: t["moves"][0].update(to=[]), "moves[0].to: must name one range"),
        (lambda t: t["moves"][0]["from"][0].update(size=0), "moves[0].from[0].start: "),
        (lambda t: t["moves"][0].update(to=t["moves"][0]["to"] * 2), "moves[0].to: must be a list"),
        (lambda t: t.update(released=-1), "released: must be a number"),
    ],
)
def test_what_a_report_may_not_say(change: Callable[[dict[str, Any]], None], text: str) -> None:
    assert text in refusal(changed(change))


RAM = (at(0, 0x100000), at(0x100000000, 0x1000))


def test_a_report_of_ranges_inside_ram_is_believed() -> None:
    check_report(REPORT, RAM)
    check_report(replace(REPORT, rom=at(0x100000000, 0x1000)), RAM)


@given(
    gpa_ranges(limit=0x100002000).filter(lambda w: not any(r.contains(w) for r in RAM)),
    st.sampled_from(["placement", "move", "source", "rom"]),
)
def test_an_address_outside_ram_is_misbehaviour(outside: GpaRange, where: str) -> None:
    bad = {
        "placement": replace(
            REPORT, placements=(PlacedRange("initrd", outside, When.NOW, "because"),)
        ),
        "move": replace(REPORT, moves=(MovedRange("initrd", None, outside),)),
        "source": replace(REPORT, moves=(MovedRange("initrd", outside, at(0, 1)),)),
        "rom": replace(REPORT, rom=outside),
    }[where]
    with pytest.raises(PeerMisbehaved) as misbehaved:
        check_report(bad, RAM)
    assert where in str(misbehaved.value)
    assert str(outside) in str(misbehaved.value)


def test_a_rom_is_no_longer_than_its_length_byte_can_say() -> None:
    check_report(replace(REPORT, rom=at(0, ROM_MAX_BYTES)), RAM)
    with pytest.raises(PeerMisbehaved, match="rom has 0x1fe01 bytes, an option ROM at most 0x1fe0"):
        check_report(replace(REPORT, rom=at(0, ROM_MAX_BYTES + 1)), RAM)
