"""One direction of a ring: order, room, wrapping, and indexes nobody may have written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.xenstore_sim.ring.pages import begun, fresh
from xenstore_sim.ring.byte_queue import BadIndex, ByteQueue
from xenstore_sim.ring.page import RING_SIZE, Field

INDEXES = st.one_of(
    st.integers(0, 2**32 - 1),
    st.integers(2**32 - 2048, 2**32 - 1),
    st.sampled_from([0, 1, 1023, 1024, 2**31 - 1, 2**31]),
)


def test_bytes_lie_at_their_index_and_move_it() -> None:
    page = fresh()
    queue = ByteQueue.requests(page)
    assert queue.put(b"abc") == 3
    assert (page.fields[Field.REQ_PROD], page.fields[Field.REQ_CONS]) == (3, 0)
    assert page.requests[:4].tobytes() == b"abc\0"
    assert queue.used() == 3
    assert queue.take() == b"abc"
    assert (page.fields[Field.REQ_PROD], page.fields[Field.REQ_CONS]) == (3, 3)
    assert queue.take() == b""


def test_requests_and_responses_do_not_mix() -> None:
    page = fresh()
    ByteQueue.requests(page).put(b"request")
    ByteQueue.responses(page).put(b"response")
    assert ByteQueue.requests(page).take() == b"request"
    assert ByteQueue.responses(page).take() == b"response"


def test_a_full_queue_takes_nothing_and_is_not_empty() -> None:
    queue = ByteQueue.requests(fresh())
    assert queue.put(bytes(RING_SIZE + 1)) == RING_SIZE
    assert queue.put(b"x") == 0
    assert queue.used() == RING_SIZE
    assert queue.take() == bytes(RING_SIZE)


def test_a_step_ends_at_the_end_of_the_buffer_and_the_next_begins_at_its_start() -> None:
    page = begun(2**32 - 3)
    queue = ByteQueue.responses(page)
    assert queue.put(b"abcdef") == 3
    assert queue.put(b"def") == 3
    assert page.responses[-3:].tobytes() + page.responses[:3].tobytes() == b"abcdef"
    assert page.fields[Field.RSP_PROD] == 3
    assert queue.take() == b"abc"
    assert page.fields[Field.RSP_CONS] == 0
    assert queue.take() == b"def"


@given(
    data=st.binary(max_size=9000),
    start=INDEXES,
    steps=st.lists(st.tuples(st.integers(0, 4112), st.booleans()), min_size=1, max_size=8),
)
def test_what_goes_in_comes_out_however_it_is_split(
    data: bytes, start: int, steps: list[tuple[int, bool]]
) -> None:
    """steps, over and over: put so many bytes, and then perhaps take once."""
    page = begun(start)
    queue = ByteQueue.requests(page)
    sent, received, turn = 0, b"", 0
    while len(received) < len(data):
        size, take = steps[turn % len(steps)]
        sent += queue.put(data[sent : sent + size])
        if take:
            received += queue.take()
        turn += 1
        if turn > 8:
            # However slow the steps are: it goes on.
            sent += queue.put(data[sent:])
            received += queue.take()
    assert received == data
    assert page.fields[Field.REQ_CONS] == page.fields[Field.REQ_PROD]
    assert page.fields[Field.REQ_PROD] == (start + len(data)) % 2**32


@given(cons=INDEXES, ahead=st.integers(RING_SIZE + 1, 2**32 - 1))
def test_indexes_too_far_apart_are_refused_and_left_alone(cons: int, ahead: int) -> None:
    page = fresh()
    page.fields[Field.REQ_CONS] = cons
    page.fields[Field.REQ_PROD] = (cons + ahead) % 2**32
    before = page.fields.tobytes()
    queue = ByteQueue.requests(page)
    for use in (queue.used, queue.take, lambda: queue.put(b"x")):
        with pytest.raises(BadIndex):
            use()
    assert page.fields.tobytes() == before


def test_a_bad_index_is_named_with_its_bound() -> None:
    page = fresh()
    page.fields[Field.RSP_PROD] = 0x401
    with pytest.raises(BadIndex) as bad:
        ByteQueue.responses(page).take()
    assert (
        str(bad.value) == "rsp_prod 0x401 is 0x401 bytes ahead of rsp_cons 0x0, a ring holds 0x400"
    )


class _Flickering:
    """Fields that hold something else at each look, as a hostile peer's may."""

    def __init__(self, *values: int) -> None:
        self._values = list(values)
        self.written: dict[int, int] = {}

    def __getitem__(self, field: int) -> int:
        return self._values.pop(0)

    def __setitem__(self, field: int, value: int) -> None:
        self.written[field] = value


def test_each_index_is_read_once_in_a_step() -> None:
    """A third look would find nothing here and fail."""
    fields = _Flickering(10, 20, 1000, 1010)
    queue = ByteQueue(fields, memoryview(bytearray(RING_SIZE)), Field.REQ_CONS, Field.REQ_PROD)  # type: ignore[arg-type]
    assert len(queue.take()) == 10
    assert queue.put(bytes(100)) == 24 - 10
    assert fields.written == {Field.REQ_CONS: 20, Field.REQ_PROD: 1024}
