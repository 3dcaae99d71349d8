"""Lines of a trace: readable, bounded, and plain whatever arrived."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xenstore_sim.wire.layout import Packet
from xenstore_sim.wire.names import ReqId, TxId
from xenstore_sim.wire.ops import Op
from xenstore_sim.wire.trace import PAYLOAD_SHOWN_MAX, message_line


@pytest.mark.parametrize(
    ("type_", "payload", "line"),
    [
        (Op.WRITE, b"/a/b\0two words", "WRITE req=7 tx=9 /a/b 'two words'"),
        (Op.WATCH, b"/a\0\0", "WATCH req=7 tx=9 /a ''"),
        (Op.READ, b"", "READ req=7 tx=9"),
        (Op.READ, b"\0", "READ req=7 tx=9 ''"),
        (Op.ERROR, b"EACCES\0", "ERROR req=7 tx=9 EACCES"),
        (99, b"\x1b[2J\n", r"99 req=7 tx=9 '\x1b[2J\n'"),
    ],
)
def test_a_message_is_one_line(type_: int, payload: bytes, line: str) -> None:
    assert message_line(Packet(type_, ReqId(7), TxId(9), payload)) == line


def test_a_long_payload_is_cut_and_its_length_told() -> None:
    line = message_line(Packet(Op.READ, ReqId(7), TxId(9), b"x" * 4096))
    assert line == f"READ req=7 tx=9 {'x' * PAYLOAD_SHOWN_MAX} ... 4096 bytes"


@given(st.integers(0, 2**32 - 1), st.binary(max_size=500))
def test_any_message_is_printable_and_short(type_: int, payload: bytes) -> None:
    line = message_line(Packet(type_, ReqId(2**32 - 1), TxId(2**32 - 1), payload))
    assert line.isascii()
    assert line.isprintable()
    assert len(line) < 60 + 5 * PAYLOAD_SHOWN_MAX
