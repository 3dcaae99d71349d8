"""The daemon's border: portions, oversize, those who do not read, and whole fuzzed sessions."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.xenstore_sim.conversations import NO_TX, Raw, Stage, event, hears, readable, says
from tests.xenstore_sim.store.kept_log import KeptLog
from tests.xenstore_sim.strategies import REQUESTS
from xenstore_sim.store.daemon import Settings
from xenstore_sim.store.quotas import Quotas
from xenstore_sim.store.watches import ConnId
from xenstore_sim.wire.compat import RELEASES, Compat
from xenstore_sim.wire.layout import encode_packet
from xenstore_sim.wire.messages import Control, Ok, Read, Request, Text, Value, Watch, Write
from xenstore_sim.wire.names import Token
from xenstore_sim.wire.ops import Op
from xenstore_sim.wire.payloads import encode_request


def packet(request: Request, req_id: int = 1, tx: int = 0) -> bytes:
    return encode_packet(request.op, req_id, tx, encode_request(request))


def test_requests_may_come_byte_by_byte() -> None:
    stage = Stage()
    for byte in packet(Read("/")):
        assert stage.daemon.output(stage.dom0.conn) == b""
        stage.commands += stage.daemon.feed(stage.dom0.conn, bytes([byte]))
    assert readable(stage.take(stage.dom0)) == ["READ req=0x1 tx=0 b''"]


def test_pipelined_requests_are_answered_in_order_with_their_ids() -> None:
    stage = Stage()
    data = packet(Write("/a", b"v"), 7) + packet(Read("/a"), 0) + packet(Read("/b"), 2**32 - 1, 5)
    stage.daemon.feed(stage.dom0.conn, data)
    assert readable(stage.take(stage.dom0)) == [
        "WRITE req=0x7 tx=0 b'OK\\x00'",
        "READ req=0x0 tx=0 b'v'",
        "ERROR req=0xffffffff tx=5 b'ENOENT\\x00'",
    ]


def test_an_oversize_message_ends_the_connection_without_an_answer() -> None:
    stage = Stage()
    other = stage.connect()
    bad = bytes.fromhex("02000000 01000000 00000000 01100000")
    stage.commands += stage.daemon.feed(other.conn, packet(Read("/")) + bad)
    assert stage.closed == [other.conn]
    assert stage.daemon.output(other.conn) == b""
    assert stage.daemon.feed(other.conn, packet(Read("/"))) == ()
    assert stage.daemon.sent(other.conn, 0) == ()
    assert not stage.daemon.wants_input(other.conn)
    stage.daemon.disconnect(other.conn)
    assert stage.daemon.statistics().violations == 1
    stage.converse(says(stage.dom0, NO_TX, Read("/"), Value(b"")))


def test_the_largest_message_is_fine() -> None:
    stage = Stage()
    stage.converse(
        says(stage.dom0, NO_TX, Raw(Op.WRITE, b"/a\0" + bytes(4093))),
        says(stage.dom0, NO_TX, Read("/a"), Value(bytes(4093))),
    )


def test_a_domain_with_too_many_unread_answers_is_not_served_until_it_reads() -> None:
    stage = Stage(Settings(quotas=Quotas(outstanding=3)))
    dom3 = stage.domain(3)
    request = packet(Read("/"))
    stage.daemon.feed(dom3.conn, request * 10)
    assert len(readable(stage.daemon.output(dom3.conn))) == 3
    assert not stage.daemon.wants_input(dom3.conn)
    stage.daemon.sent(dom3.conn, len(stage.daemon.output(dom3.conn)) // 3)
    assert len(readable(stage.daemon.output(dom3.conn))) == 3
    assert len(readable(stage.take(dom3))) == 9
    assert stage.daemon.wants_input(dom3.conn)


def test_dom0_is_served_until_its_answers_fill_the_queue() -> None:
    stage = Stage()
    stage.converse(says(stage.dom0, NO_TX, Write("/a", bytes(4000))))
    stage.daemon.feed(stage.dom0.conn, packet(Read("/a")) * 40)
    assert len(stage.daemon.output(stage.dom0.conn)) == 17 * 4016
    assert not stage.daemon.wants_input(stage.dom0.conn)
    assert len(readable(stage.take(stage.dom0))) == 40


def test_who_does_not_read_its_events_is_told_of_and_then_ended_and_counted() -> None:
    log = KeptLog()
    stage = Stage(log=log)
    deaf = stage.connect()
    for number in range(100):
        token = b"%d" % number + bytes(b"x" * 3900)
        stage.converse(says(deaf, NO_TX, Watch("/", Token(token)), Ok(), event("/", token)))
    for number in range(20):
        if stage.closed:
            break
        stage.send(stage.dom0, NO_TX, Write(f"/{number}", b""))
    assert stage.closed == [deaf.conn]
    assert stage.daemon.statistics().slow_clients == 1
    assert [re.sub(r"\d{6,}", "N", line) for line in log.said] == [
        f"{deaf.name}#2 does not read: N bytes wait for it, at N its connection is ended;"
        " its watch on / fired 3 times",
        f"{deaf.name}#2 is ended: it did not read, N bytes waited",
    ]
    assert stage.daemon.statistics().watches == 0
    stage.converse(says(stage.dom0, NO_TX, Read("/0"), Value(b"")), hears(stage.dom0))


@pytest.mark.parametrize("compat", RELEASES.values())
@given(
    st.lists(
        st.tuples(
            st.integers(0, 3),
            st.integers(0, 2),
            REQUESTS.map(lambda request: (int(request.op), encode_request(request)))
            | st.tuples(st.integers(0, 30), st.binary(max_size=20)),
        ),
        max_size=25,
    )
)
def test_any_session_leaves_the_store_sound(
    compat: Compat, messages: list[tuple[int, int, tuple[int, bytes]]]
) -> None:
    stage = Stage(Settings(compat, Quotas(nodes=3, watches=2, transactions=1)))
    peers = [stage.dom0, stage.connect(), stage.domain(1), stage.domain(2)]
    for who, tx, (type_, payload) in messages:
        output = stage.send(peers[who], tx, Raw(type_, payload))
        assert (output == b"") == (peers[who].conn in stage.closed)
    for peer in peers:
        stage.take(peer)
    dom0 = stage.connect()
    stage.converse(says(dom0, NO_TX, Control(("check",)), Text("OK")))


@given(st.lists(st.binary(max_size=60), max_size=20))
def test_any_bytes_give_commands_and_nothing_else(portions: list[bytes]) -> None:
    stage = Stage()
    for portion in portions:
        stage.commands += stage.daemon.feed(stage.dom0.conn, portion)
    stage.take(stage.dom0)
    assert set(stage.closed) <= {stage.dom0.conn}


def test_an_unknown_connection_has_nothing_to_say() -> None:
    stage = Stage()
    assert stage.daemon.output(ConnId(99)) == b""
    assert stage.daemon.feed(ConnId(99), b"x") == ()
