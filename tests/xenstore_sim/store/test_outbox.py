"""The queue of what a client has not taken yet."""

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from xenstore_sim.store.outbox import (
    EVENT_BYTES_MAX,
    EVENT_BYTES_TOLD,
    REPLY_BYTES_MAX,
    Outbox,
    Put,
    Unfinished,
)

PACKETS = st.lists(st.tuples(st.booleans(), st.binary(min_size=1, max_size=9)), max_size=12)


@given(PACKETS, st.lists(st.integers(0, 20)))
def test_what_is_taken_is_what_was_put_in_order(
    packets: list[tuple[bool, bytes]], takes: list[int]
) -> None:
    outbox, expected = Outbox(), b""
    for is_event, packet in packets:
        if is_event:
            outbox.put_event(packet, packet, always=True)
        else:
            outbox.put_reply(packet)
        expected += packet
    found = b""
    for size in (*takes, *([len(expected)] * 12)):
        part = outbox.pending()[:size] if len(outbox) else b""
        if part:
            outbox.take(len(part))
            found += part
            assert len(outbox) == len(expected) - len(found)
            assert outbox.replies <= sum(not is_event for is_event, _ in packets)
    assert found == expected
    assert (outbox.replies, outbox.torn) == (0, False)


def test_an_event_counts_as_waiting_until_its_last_byte_is_taken() -> None:
    outbox = Outbox()
    assert outbox.put_event(b"<event>", b"e") is Put.QUEUED
    outbox.put_reply(b"r")
    outbox.take(6)
    assert outbox.torn
    assert outbox.put_event(b"<event>", b"e") is Put.SUPPRESSED
    outbox.take(1)
    assert not outbox.torn
    assert outbox.put_event(b"<event>", b"e") is Put.QUEUED


def test_events_find_no_room_beyond_the_bound_and_replies_wait_before() -> None:
    outbox, big = Outbox(), bytes(4096)
    while not outbox.full:
        assert outbox.put_event(big, b"%d" % len(outbox)) is Put.QUEUED
    assert len(outbox) == REPLY_BYTES_MAX
    while outbox.put_event(big, b"%d" % len(outbox)) is Put.QUEUED:
        pass
    assert len(outbox) == EVENT_BYTES_TOLD
    assert outbox.put_event(big, b"%d" % len(outbox)) is Put.UNREAD
    outbox.told()
    while outbox.put_event(big, b"%d" % len(outbox)) is Put.QUEUED:
        pass
    assert len(outbox) == EVENT_BYTES_MAX
    outbox.clear()
    assert len(outbox) == 0
    assert outbox.put_event(big, b"0") is Put.QUEUED


def test_a_long_queue_is_handed_out_in_parts() -> None:
    outbox = Outbox()
    for number in range(1000):
        outbox.put_reply(b"%4d" % number)
    assert len(outbox.pending()) < 4000
    found = b""
    while len(outbox):
        part = outbox.pending()
        outbox.take(len(part))
        found += part
    assert found == b"".join(b"%4d" % number for number in range(1000))


@dataclass
class Waiting:
    """A packet in the model of a queue."""

    is_event: bool
    packet: bytes
    expires: int | None = None


# Before each packet is put: seconds that pass, bytes that are taken, and whether it may expire.
STEPS = st.lists(
    st.tuples(st.booleans(), st.integers(0, 9), st.integers(0, 9), st.booleans()), max_size=30
)


@given(STEPS)
def test_expiry_drops_events_when_they_were_told_to_unless_they_are_sent_in_part(
    steps: list[tuple[bool, int, int, bool]],
) -> None:
    outbox, model, taken, now = Outbox(), list[Waiting](), 0, 0
    for number, (is_event, seconds, size, ages) in enumerate(steps):
        packet = b"<%02d>" % number
        if is_event:
            outbox.put_event(packet, packet)
        else:
            outbox.put_reply(packet)
        model.append(Waiting(is_event, packet))
        if ages:
            outbox.let_expire(now + 10)
            for each in model:
                each.expires = now + 10 if each.expires is None else each.expires
        now += seconds
        kept = [
            each
            for index, each in enumerate(model)
            if not each.is_event
            or each.expires is None
            or each.expires > now
            or (index == 0 and taken)
        ]
        assert outbox.expire(now) == len(model) - len(kept)
        model = kept
        if model:
            size = min(size, len(outbox))
            outbox.take(size)
            taken += size
            while taken >= 4 and model:
                taken -= 4
                model.pop(0)
        left = b"".join(each.packet for each in model)[taken:]
        assert (outbox.pending() if len(outbox) else b"") == left
        assert len(outbox) == len(left)
        assert outbox.outstanding == sum(not each.is_event for each in model)


def test_each_cause_of_equal_events_is_finished_and_only_with_its_own() -> None:
    """Equal events wait beside each other where all have to be told."""
    outbox = Outbox()
    askers = [Outbox(), Outbox()]
    for asker in askers:
        asker.unfinished = 1
        cause = Unfinished(asker)
        outbox.put_event(b"<event>", b"e", always=True)
        outbox.put_event(b"<event>", b"e", always=True, cause=cause)
    found = [cause.asker if cause else None for _, cause in outbox.packets()]
    assert found == [None, askers[0], None, askers[1]]
    outbox.take(7)
    assert [asker.unfinished for asker in askers] == [1, 1]
    outbox.take(7)
    assert [asker.unfinished for asker in askers] == [0, 1]
    outbox.clear()
    assert [asker.unfinished for asker in askers] == [0, 0]
