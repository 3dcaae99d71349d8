"""The comparison notices what it is made for."""

from dataclasses import replace

import pytest

from tests.differential.comparison import Comparison
from tests.differential.conversations import Bounds
from tests.differential.known_differences import Generations, is_known
from tests.differential.steps import (
    FIRST,
    Destroy,
    Introduce,
    Oversize,
    Request,
    Say,
    Step,
    ring_of,
)
from tests.oracle.raw_client import ERROR, Message
from tests.oracle.real_xenstored import RealXenstored
from xenstore_sim.store import daemon
from xenstore_sim.store.call import World
from xenstore_sim.store.connection import Connection
from xenstore_sim.store.dispatch import reply_at_once
from xenstore_sim.store.quotas import Quotas
from xenstore_sim.wire.ops import Op

DOM1 = ring_of(1)
DEFAULT = Bounds((), Quotas())
WRITE = Request(Op.WRITE, b"/a\0v")
PART = Request(Op.DIRECTORY_PART, b"/\x000\x00")


def watch(path: bytes, token: bytes = b"t") -> Request:
    return Request(Op.WATCH, path + b"\0" + token + b"\0")


def message(type_: int, payload: bytes) -> Message:
    return Message(type_, 1, 0, payload)


def play(bounds: Bounds, *steps: Step) -> None:
    with RealXenstored(*bounds.options) as real:
        comparison = Comparison(real, bounds)
        for step in steps:
            comparison.play(step)
        comparison.compare_stores()


def test_a_reply_that_differs() -> None:
    ours = Bounds((), Quotas(watches=1))
    with pytest.raises(AssertionError, match=r"d1 at: d1: WATCH .*\n real: WATCH .*\n.*\n ours: E"):
        play(ours, *(Say(DOM1, (watch(b"/a", token),)) for token in (b"t", b"u", b"v")))


def test_a_reply_at_once_that_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(world: World, conn: Connection, request: bytes) -> bytes | None:
        reply = reply_at_once(world, conn, request)
        return reply[:-1] + b"?" if reply else reply

    monkeypatch.setattr(daemon, "reply_at_once", wrong)
    with pytest.raises(AssertionError, match=r"ours: MKDIR .* b'OK\?'"):
        play(DEFAULT)


def test_a_reply_at_once_ahead_of_an_event_of_its_own_making(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def hasty(world: World, conn: Connection, request: bytes) -> bytes | None:
        reply = reply_at_once(world, conn, request)
        if reply != b"":
            return reply
        *events, (hasty_reply, _) = conn.outbox.packets()
        conn.outbox.clear()
        for event, _ in events:
            conn.outbox.put_event(event, event)
        return hasty_reply

    monkeypatch.setattr(daemon, "reply_at_once", hasty)
    with pytest.raises(AssertionError, match=r"real: WATCH_EVENT .*\n.*WRITE .*\n ours: WRITE"):
        play(DEFAULT, *(Say(FIRST, (each,)) for each in (WRITE, watch(b"/a"), WRITE)))


def test_usual_requests_one_by_one() -> None:
    start, commit, abandon = (
        Request(Op.TRANSACTION_START, b"\0"),
        Request(Op.TRANSACTION_END, b"T\0", 1),
        Request(Op.TRANSACTION_END, b"F\0", 1),
    )
    reads = tuple(Request(op, b"/a\0") for op in (Op.READ, Op.DIRECTORY, Op.GET_PERMS))
    changes = (WRITE, Request(Op.MKDIR, b"/a/b\0"), Request(Op.RM, b"/a/b\0"))
    inside = tuple(replace(each, tx=1) for each in (*changes, *reads))
    asked = (
        *(WRITE, watch(b"/a"), watch(b"/a", b"u"), *reads, *changes),
        *(start, *inside, commit, start, *inside, abandon),
        *(start, Request(Op.TRANSACTION_START, b"\0", 1), *inside, WRITE, commit),
        *(Request(Op.RM, b"/a\0"), *reads),
    )
    play(DEFAULT, *(Say(FIRST, (each,)) for each in asked), Say(FIRST, asked))


def test_a_store_that_differs() -> None:
    with RealXenstored() as real:
        comparison = Comparison(real, DEFAULT)
        real.connect().ask(Op.WRITE, "/behind/its/back", "")
        with pytest.raises(AssertionError, match="DIRECTORY"):
            comparison.compare_stores()


def test_a_domain_that_only_one_still_serves() -> None:
    with RealXenstored() as real:
        comparison = Comparison(real, DEFAULT)
        real.connect().ask(Op.RELEASE, "1")
        with pytest.raises(AssertionError, match="IS_DOMAIN_INTRODUCED"):
            comparison.play(Destroy(3))


def test_equal_events_are_merged_at_the_same_pace() -> None:
    writes = tuple(Request(Op.WRITE, b"/a\0" + value) for value in (b"1", b"2", b"3", b"4"))
    play(
        DEFAULT,
        Say(FIRST, (watch(b"/a"),)),
        Say(DOM1, (watch(b"/a"),)),
        Say(FIRST, (*writes, *writes)),
    )


def test_connections_that_end() -> None:
    play(
        DEFAULT,
        Say(FIRST, (watch(b"@releaseDomain"),)),
        Oversize(DOM1),
        Oversize(FIRST),
        Introduce(FIRST, 3),
        Destroy(3),
        Destroy(1),
    )


def test_a_known_difference_is_no_wider_than_it_says() -> None:
    request = Request(Op.SET_PERMS, b"@releaseDomain\0n0\0")
    einval, eacces = message(ERROR, b"EINVAL\0"), message(ERROR, b"EACCES\0")
    assert is_known(request, einval, eacces)
    assert not is_known(request, eacces, einval)
    assert not is_known(Request(Op.SET_PERMS, b"/a\0n0\0"), einval, eacces)
    assert is_known(PART, message(22, b"7\0a\0\0"), message(22, b"9\0a\0\0"))
    assert not is_known(PART, message(22, b"7\0a\0\0"), message(22, b"9\0b\0\0"))


def test_generations_change_for_both_or_for_neither() -> None:
    first, second = message(22, b"7\0\0"), message(22, b"8\0\0")
    generations = Generations()
    assert generations.agree(FIRST, PART, first, first)
    assert generations.agree(FIRST, PART, second, second)
    assert generations.agree(FIRST, PART, second, second)
    assert not generations.agree(FIRST, PART, second, first)
