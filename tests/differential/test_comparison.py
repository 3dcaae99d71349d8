"""The comparison notices what it is made for."""

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
from xenstore_sim.store.quotas import Quotas
from xenstore_sim.wire.ops import Op

DOM1 = ring_of(1)
DEFAULT = Bounds((), Quotas())
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
