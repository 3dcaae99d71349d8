"""What a daemon says of itself and of those who are a burden on it."""

import pytest

from tests.xenstore_sim.conversations import NO_TX, Stage
from xenstore_sim.wire import messages as m
from xenstore_sim.wire.names import Token
from xenstore_sim.wire.ops import Errno

T = Token(b"t")


def lines(stage: Stage, *thresholds: str) -> dict[str, str]:
    """The summary by topic; the watches that are named under theirs."""
    text = stage.ask(stage.dom0, NO_TX, m.Control(("stats", *thresholds))).decode().rstrip("\0")
    return {
        line.partition(":")[0].strip(): line.partition(":")[2].strip() for line in text.splitlines()
    }


def test_requests_refusals_and_what_there_is_are_counted() -> None:
    stage = Stage()
    stage.domain(3)
    for path in ("/tool", "/none", "/gone"):
        stage.ask(stage.dom0, NO_TX, m.Read(path))
    stage.ask(stage.dom0, NO_TX, m.TransactionStart())
    assert lines(stage) == {
        "now": "2 connections, 0 of them rings; 0 watches; 5 nodes; 1 transactions",
        "requests": "6: READ 3, CONTROL 1, TRANSACTION_START 1, INTRODUCE 1",
        "refused": "2: ENOENT 2",
        "conflicts": "0 transactions",
        "events": "0 queued, 0 waited already, 0 expired, 0 lost for want of memory",
        "ended": "0 clients that did not read, 0 that broke the protocol; 0 turned away",
        "longest queue": "none",
        "do not read, 100 messages or more": "none",
        "watches that fired 1000 times or more": "none",
    }
    assert stage.daemon.statistics().errors == {Errno.ENOENT: 2}


def test_who_does_not_read_and_what_fires_most_is_named() -> None:
    stage = Stage()
    deaf, other = stage.connect(), stage.connect()
    stage.send(deaf, NO_TX, m.Watch("/a", T))
    stage.send(other, NO_TX, m.Watch("/a/0", Token(b"two words")))
    for number in range(3):
        stage.ask(stage.dom0, NO_TX, m.Write(f"/a/{number}", b""))
    found = lines(stage, "3", "2")
    assert found["longest queue"].startswith("dom0#2: 3 messages, ")
    assert found["do not read, 3 messages or more"] == found["longest queue"]
    assert found["dom0#2 /a t"] == "3"
    assert "dom0#3 /a/0 'two words'" not in found
    assert lines(stage, "3", "1")["dom0#3 /a/0 'two words'"] == "1"
    assert lines(stage, "4", "4")["do not read, 4 messages or more"] == "none"


def test_a_long_list_is_cut_and_the_answer_stays_a_message() -> None:
    stage = Stage()
    watcher = stage.connect()
    long = "/" + "x" * 3000
    for number in range(20):
        stage.ask(stage.dom0, NO_TX, m.Write(f"{long}{number}", b""))
        stage.send(watcher, NO_TX, m.Watch(f"{long}{number}", T))
        stage.ask(stage.dom0, NO_TX, m.Write(f"{long}{number}", b""))
    named = [topic for topic in lines(stage, "1", "1") if topic.startswith("dom0#2")]
    assert 1 <= len(named) <= 5


def test_watches_of_bytes_that_need_escapes_leave_it_a_message() -> None:
    stage = Stage()
    watcher = stage.domain(3)
    stage.ask(stage.dom0, NO_TX, m.Write("/a", b""))
    stage.ask(stage.dom0, NO_TX, m.SetPerms("/a", ("r0",)))
    for number in range(5):
        stage.send(watcher, NO_TX, m.Watch("/a", Token(bytes((0xFF - number,)) * 198)))
    stage.ask(stage.dom0, NO_TX, m.Write("/a", b""))
    named = [topic for topic in lines(stage, "1", "1") if topic.startswith("dom3#2 /a '\\xf")]
    assert len(named) == 5


@pytest.mark.parametrize("thresholds", [("x",), ("-1",), ("1", "2", "3"), ("1" * 10,), ("²",)])
def test_what_is_no_threshold_is_refused(thresholds: tuple[str, ...]) -> None:
    stage = Stage()
    assert stage.ask(stage.dom0, NO_TX, m.Control(("stats", *thresholds))) == b"EINVAL\0"
