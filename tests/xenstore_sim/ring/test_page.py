"""The page's layout, against the offsets of the C structure."""

import pytest

from xenstore_sim.ring.page import PAGE_SIZE, RING_SIZE, Field, RingPage, ServerFeature
from xenstore_sim.store.domains import FEATURES

OFFSETS = {
    Field.REQ_CONS: 0x800,
    Field.REQ_PROD: 0x804,
    Field.RSP_CONS: 0x808,
    Field.RSP_PROD: 0x80C,
    Field.SERVER_FEATURES: 0x810,
    Field.CONNECTION: 0x814,
    Field.ERROR: 0x818,
    Field.EVTCHN_PORT: 0x81C,
}


@pytest.mark.parametrize("field", Field)
def test_each_field_lies_where_the_structure_has_it(field: Field) -> None:
    memory = bytearray(PAGE_SIZE)
    RingPage(memoryview(memory)).fields[field] = 0x04030201
    at = OFFSETS[field]
    assert memory == bytes(at) + b"\1\2\3\4" + bytes(PAGE_SIZE - at - 4)


def test_the_queues_lie_before_the_fields() -> None:
    memory = bytearray(PAGE_SIZE)
    page = RingPage(memoryview(memory))
    page.requests[:] = b"q" * RING_SIZE
    page.responses[:] = b"s" * RING_SIZE
    assert memory == b"q" * 1024 + b"s" * 1024 + bytes(2048)


def test_the_features_offered_are_those_of_xenstored() -> None:
    assert FEATURES == ServerFeature.ERROR | ServerFeature.WATCH_DEPTH | ServerFeature.DOMID_ANY
