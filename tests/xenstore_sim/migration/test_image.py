"""Streams of the migration format, there and back."""

import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.xenstore_sim.migration.strategies import records
from xenstore_sim.migration.decoder import decode_image
from xenstore_sim.migration.encoder import encode_image
from xenstore_sim.migration.errors import StateError
from xenstore_sim.migration.records import (
    ConnectionData,
    DomainData,
    GlobalData,
    NodeAccess,
    NodeData,
    PermEntry,
    Record,
    RecordType,
    RingEnd,
    SocketEnd,
    TransactionData,
    WatchData,
)
from xenstore_sim.wire.names import DomId, Token, TxId
from xenstore_sim.wire.perms import Access

HEADER = bytes.fromhex("78656e73746f7265 00000001 00000000")
END = bytes(8)
OWNER = (PermEntry(Access.NONE, DomId(0)),)
VECTORS: dict[str, tuple[Record, str]] = {
    "sockets of the daemon": (GlobalData(3, -1), "01000000 08000000 03000000 ffffffff"),
    "a node, padded to eight": (
        NodeData("/a", b"v", (PermEntry(Access.NONE, DomId(0)), PermEntry(Access.READ, DomId(5)))),
        "05000000 20000000 00000000 00000000 0300 0100 0000 0200"
        "6e 00 0000 72 00 0500 2f6100 76 00000000",
    ),
    "a node written by a transaction": (
        NodeData(
            "/a",
            b"",
            (PermEntry(Access.BOTH, DomId(7), stale=True),),
            9,
            TxId(2),
            NodeAccess.READ | NodeAccess.WRITTEN,
        ),
        "05000000 18000000 09000000 02000000 0300 0000 0300 0100 62 01 0700 2f6100 00",
    ),
    "a watch": (
        WatchData(4, "/a", Token(b"tok")),
        "03000000 10000000 04000000 0300 0400 2f6100 746f6b00 00",
    ),
    "a transaction": (
        TransactionData(4, TxId(17)),
        "04000000 08000000 04000000 11000000",
    ),
    "a client in the middle of a request and of a reply": (
        ConnectionData(1, SocketEnd(12), b"\x02\0\0", b"ply", 3),
        "02000000 20000000 01000000 0100 0000 0c000000 00000000 0300 0300 03000000"
        "020000 706c79 0000",
    ),
    "a domain that acts for another, with its unique id": (
        ConnectionData(2, RingEnd(DomId(5), DomId(4), 11), unique_id=0xABCD),
        "02000000 20000000 02000000 0000 0100 0500 0400 0b000000 0000 0000 00000000"
        "cdab000000000000",
    ),
    "a domain's own quota": (
        DomainData(DomId(5), 0, (("nodes", 9),)),
        "07000000 18000000 0500 0100 00000000 09000000 6e6f64657300 000000000000",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", VECTORS)
def test_a_record_has_the_bytes_of_the_specification(name: str) -> None:
    record, body = VECTORS[name]
    data = HEADER + bytes.fromhex(body) + END
    assert encode_image([record], 1).hex() == data.hex()
    assert decode_image(data).records == (record,)


def test_a_depth_needs_version_2() -> None:
    data = encode_image([WatchData(4, "/a", Token(b"t"), 3)], 2)
    assert (
        data[16:]
        == bytes.fromhex(
            "08000000 18000000 04000000 0300 0200 0300 0000 2f6100 7400 000000 00000000"
        )
        + END
    )
    first = data[:11] + b"\1" + data[12:]
    with pytest.raises(StateError, match=r"WATCH_DATA_EXTENDED.*version 1 of the format has no"):
        decode_image(first)


@given(st.data(), st.sampled_from([1, 2]), st.booleans())
def test_what_is_written_is_read(data: st.DataObject, version: int, big_endian: bool) -> None:
    written = data.draw(records(version))
    stream = encode_image(written, version, big_endian=big_endian)
    image = decode_image(stream + b"more")
    assert (image.version, image.records, image.size) == (version, written, len(stream))


@given(st.data(), st.sampled_from([1, 2]))
def test_a_stream_that_was_cut_is_refused(data: st.DataObject, version: int) -> None:
    stream = encode_image(data.draw(records(version)), version)
    cut = data.draw(st.integers(0, len(stream) - 1))
    with pytest.raises(StateError):
        decode_image(stream[:cut])


@given(st.data())
def test_of_damaged_bytes_comes_an_image_or_the_one_error(data: st.DataObject) -> None:
    stream = bytearray(encode_image(data.draw(records(2)), 2))
    for _ in range(data.draw(st.integers(1, 4))):
        stream[data.draw(st.integers(0, len(stream) - 1))] = data.draw(st.integers(0, 255))
    with suppress(StateError):
        image = decode_image(bytes(stream))
        again = encode_image(image.records, image.version)
        assert decode_image(again).records == image.records


def test_a_reader_finds_the_next_record_behind_padding_that_is_not_counted() -> None:
    """The specification lets a length leave out what pads the record."""
    body = bytes.fromhex("04000000 0300 0200 2f6100 7400") + bytes(3)
    unpadded = struct.pack("<II", RecordType.WATCH_DATA, 13) + body
    image = decode_image(HEADER + unpadded + END)
    assert image.records == (WatchData(4, "/a", Token(b"t")),)


@pytest.mark.parametrize(
    ("stream", "where", "reason"),
    [
        (b"", "the header", "not that of a xenstore migration stream"),
        (b"SQLite format 3\0" + bytes(84), "the header", "not that of a xenstore"),
        (HEADER[:11] + b"\3" + HEADER[12:], "the header", "version 3 of the format; known are"),
        (HEADER[:15] + b"\2", "the header", "unknown flags 0x2"),
        (HEADER, "record 1 at byte 0x10", "the stream ends there, after 16 bytes"),
        (HEADER + b"\xff" * 4 + bytes(4), "of type 0xffffffff", "has no such record"),
        (HEADER + struct.pack("<II", 1, 8), "(GLOBAL_DATA)", "it has 8 bytes, and 0 are there"),
        (HEADER + struct.pack("<II8x", 0, 8), "(END)", "END has 8 bytes instead of none"),
        (HEADER + struct.pack("<II24x", 1, 24), "(GLOBAL_DATA)", "16 bytes follow its last field"),
        (HEADER + struct.pack("<II24x", 2, 24), "(CONNECTION_DATA)", "conn-id is 0"),
        (
            HEADER + struct.pack("<IIIHH16x", 2, 24, 1, 7, 0),
            "(CONNECTION_DATA)",
            "conn-type is 0x7, which means nothing",
        ),
        (
            HEADER + struct.pack("<IIIHHiiHHI", 2, 24, 1, 1, 0, 3, 0, 0, 1, 0),
            "(CONNECTION_DATA)",
            "out-resp-len 1 is more than out-data-len 0",
        ),
        (
            HEADER + struct.pack("<IIIIHHHH", 5, 16, 0, 0, 2, 0, 0, 0),
            "(NODE_DATA)",
            "a node of the store has no permission entry",
        ),
        (
            HEADER + struct.pack("<IIIHH4s", 3, 12, 1, 2, 2, b"/at\0") + bytes(4),
            "(WATCH_DATA)",
            "wpath of 2 bytes does not end with its only NUL",
        ),
    ],
)
def test_a_wrong_stream_is_refused_with_place_and_reason(
    stream: bytes, where: str, reason: str
) -> None:
    with pytest.raises(StateError) as refused:
        decode_image(stream)
    assert where in refused.value.where
    assert reason in refused.value.reason
