from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from handoff.addresses import Gpa, GpaRange
from handoff.descriptor import (
    BootMethod,
    Descriptor,
    EntryMode,
    Insert,
    Role,
    StagedImage,
    Subarch,
)
from handoff.descriptor_codec import decode_descriptor, encode_descriptor
from handoff.e820 import E820Entry, E820Map, E820Type
from handoff.errors import DescriptorRefused
from handoff.frame import FRAME_MAX_BYTES, Frame, FrameKind, decode_frame, encode_frame
from handoff.platforms import Platform, Reservation, Until
from tests.builders import outcome
from tests.strategies import descriptors, generations, trees

DESCRIPTOR = Descriptor(
    platform=Platform.XEN_HVM,
    e820=E820Map(
        (
            E820Entry(GpaRange(Gpa(0x11), 0x22), E820Type.RAM),
            E820Entry(GpaRange(Gpa(0xFC000000), 0x123456789), E820Type.NVS),
        )
    ),
    reserved=(Reservation(GpaRange(Gpa(0x33), 0x44), "BIOS", Until.BEV),),
    insert=Insert.GENROMS,
    rom_window=GpaRange(Gpa(0xC8000), 0x18000),
    boot=BootMethod.LINUX,
    cmdline=b"quiet \xff",
    images=(
        StagedImage(
            Role.KERNEL,
            GpaRange(Gpa(0x55), 0x66),
            bytes(range(0xD0, 0xF0)),
            b"bzImage \xfe",
            b"its own",
        ),
    ),
    entry=EntryMode.LONG,
    subarch=Subarch.XEN,
)
PAYLOAD = (
    b"\x8b"  # a map of eleven, keys in this order
    b"\xa8platform\xa7xen-hvm"
    b"\xa4e820\x92"
    b"\x83\xa5start\x11\xa4size\x22\xa4type\x01"
    b"\x83\xa5start\xce\xfc\x00\x00\x00\xa4size\xcf\x00\x00\x00\x01\x23\x45\x67\x89\xa4type\x04"
    b"\xa8reserved\x91"
    b"\x84\xa5start\x33\xa4size\x44\xa5owner\xa4BIOS\xa5until\xa3bev"
    b"\xa6insert\xa7genroms"
    b"\xacwindow_start\xce\x00\x0c\x80\x00"
    b"\xabwindow_size\xce\x00\x01\x80\x00"
    b"\xa4boot\xa5linux"
    b"\xa5entry\xa264"  # text, as in the option
    b"\xa7subarch\xa3xen"
    b"\xa7cmdline\xc4\x07quiet \xff"  # bytes, not text
    b"\xa6images\x91"
    b"\x86\xa5start\x55\xa4size\x66\xa4role\xa6kernel\xa6digest\xc4\x20"
    + bytes(range(0xD0, 0xF0))
    + b"\xa4name\xc4\x09bzImage \xfe"
    b"\xa9arguments\xc4\x07its own"
)


def framed(payload: bytes, generation: int = 7) -> bytes:
    return encode_frame(Frame(FrameKind.DESCRIPTOR, generation, payload))


def refusal(payload: bytes) -> str:
    with pytest.raises(DescriptorRefused) as refused:
        decode_descriptor(framed(payload))
    return str(refused.value)


def changed(change: Callable[[dict[str, Any]], None]) -> bytes:
    """The payload after a change to its map."""
    tree = msgpack.unpackb(PAYLOAD)
    change(tree)
    return bytes(msgpack.packb(tree))


def test_golden_bytes() -> None:
    frame = encode_descriptor(DESCRIPTOR, 7)
    assert decode_frame(frame, FrameKind.DESCRIPTOR).payload == PAYLOAD
    assert decode_descriptor(framed(PAYLOAD)) == (7, DESCRIPTOR)


@given(descriptors(), generations)
def test_a_descriptor_comes_back_as_it_was_sent(descriptor: Descriptor, generation: int) -> None:
    frame = encode_descriptor(descriptor, generation)
    assert len(frame) <= FRAME_MAX_BYTES
    assert decode_descriptor(frame) == (generation, descriptor)


def test_a_report_is_no_descriptor() -> None:
    with pytest.raises(DescriptorRefused, match=r"frame\.kind: is 2, must be 1"):
        decode_descriptor(encode_frame(Frame(FrameKind.REPORT, 7, PAYLOAD)))


@given(st.binary(max_size=200))
def test_any_payload_gives_a_descriptor_or_a_refusal(payload: bytes) -> None:
    refusal(payload)


@given(st.integers(0, len(PAYLOAD) - 1), st.integers(1, 255))
def test_a_changed_byte_gives_another_descriptor_or_a_refusal(at: int, change: int) -> None:
    payload = bytearray(PAYLOAD)
    payload[at] ^= change
    found = outcome(lambda: decode_descriptor(framed(bytes(payload))), DescriptorRefused)
    if isinstance(found, DescriptorRefused):
        assert str(found).isprintable()
    else:
        assert found[1] != DESCRIPTOR


@pytest.mark.parametrize("key", list(msgpack.unpackb(PAYLOAD)))
def test_every_key_is_needed_and_named(key: str) -> None:
    def drop(tree: dict[str, Any]) -> None:
        del tree[key]

    assert refusal(changed(drop)) == f"{key}: is missing"


@pytest.mark.parametrize("part", ["e820", "reserved", "images"])
def test_every_key_of_an_entry_is_needed_and_named(part: str) -> None:
    for key in msgpack.unpackb(PAYLOAD)[part][0]:

        def drop(tree: dict[str, Any], key: str = key) -> None:
            del tree[part][0][key]

        assert refusal(changed(drop)) == f"{part}[0].{key}: is missing"


@pytest.mark.parametrize("part", ["", "e820", "reserved", "images"])
def test_a_key_nobody_knows_is_refused(part: str) -> None:
    def add(tree: dict[str, Any]) -> None:
        (tree[part][0] if part else tree)["colour"] = 1

    path = f"{part}[0].colour" if part else "colour"
    assert refusal(changed(add)) == f"{path}: is not a known key"


@given(st.sampled_from(list(msgpack.unpackb(PAYLOAD))), trees)
def test_any_value_of_a_key_gives_a_descriptor_or_names_the_key(key: str, value: Any) -> None:
    def put(tree: dict[str, Any]) -> None:
        tree[key] = value

    found = outcome(lambda: decode_descriptor(framed(changed(put))), DescriptorRefused)
    if isinstance(found, DescriptorRefused):
        about = "window_start" if key == "window_size" else key
        assert found.path.startswith(about) or found.path == "payload"
    else:
        assert msgpack.unpackb(PAYLOAD)[key] == value or found[1] != DESCRIPTOR


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda t: t.update(platform="vax"), "platform: must be one of xen-hvm, qemu-pc"),
        (lambda t: t.update(e820=[]), "e820: e820 has no RAM below 4 GiB"),
        (lambda t: t["e820"].reverse(), "e820: e820 entries are not in ascending order"),
        (lambda t: t["e820"].append(t["e820"][1]), "overlap"),
        (lambda t: t["e820"][0].update(type=6), "e820[0].type: must be one of 1, 2, 3, 4, 5, 7"),
        (lambda t: t["e820"][1].update(size=0), "e820[1].start: 0x0 bytes at 0xfc000000"),
        (lambda t: t.update(e820=t["e820"] * 65), "e820: must be a list of at most 128"),
        (lambda t: t.update(reserved=t["reserved"] * 33), "reserved: must be a list of at most 32"),
        (lambda t: t["reserved"][0].update(owner="\x1b[2J"), "reserved[0].owner: must be print"),
        (lambda t: t["reserved"][0].update(owner="x" * 65), "reserved[0].owner: must be printable"),
        (lambda t: t["reserved"][0].update(until="noon"), "reserved[0].until: must be one of bev"),
        (lambda t: t.update(insert="glue"), "insert: must be one of window, genroms"),
        (lambda t: t.update(window_size=-1), "window_start: "),
        (lambda t: t.update(boot="floppy"), "boot: must be one of auto, linux"),
        (lambda t: t.update(entry="16"), "entry: must be one of auto, real, 32, 64"),
        (lambda t: t.update(entry=32), "entry: must be one of auto, real, 32, 64"),
        (lambda t: t.update(subarch="arm"), "subarch: must be one of pc, xen"),
        (lambda t: t.update(cmdline="text"), "cmdline: must be 0 to 4095 bytes, is str of 4"),
        (lambda t: t.update(cmdline=b"x" * 4096), "cmdline: must be 0 to 4095 bytes"),
        (lambda t: t.update(cmdline=b"a\0"), "payload: cmdline has 2 bytes or a NUL"),
        (lambda t: t.update(images=t["images"] * 17), "images: must be a list of at most 16"),
        (lambda t: t.update(images=t["images"] * 2), "payload: two images of one role"),
        (lambda t: t["images"][0].update(digest=bytes(31)), "images[0].digest: must be 32 to 32"),
        (lambda t: t["images"][0].update(role="disk"), "images[0].role: must be one of kernel"),
        (lambda t: t["images"][0].update(start=1 << 52), "images[0].start: "),
    ],
)
def test_what_a_descriptor_may_not_say(change: Callable[[dict[str, Any]], None], text: str) -> None:
    assert text in refusal(changed(change))


def test_two_images_at_one_place_are_refused() -> None:
    def overlap(tree: dict[str, Any]) -> None:
        tree["images"].append({**tree["images"][0], "role": "ramdisk"})

    assert "payload: images at [0x55, 0xbb) and [0x55, 0xbb) overlap" in refusal(changed(overlap))
