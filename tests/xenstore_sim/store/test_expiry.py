"""Events that a domain leaves unread."""

from math import inf

import pytest

from tests.xenstore_sim.conversations import (
    NO_TX,
    Peer,
    Stage,
    event,
    hears,
    readable,
    says,
)
from xenstore_sim.store.daemon import Settings
from xenstore_sim.wire.messages import Ok, Read, SetPerms, Watch, Write
from xenstore_sim.wire.names import Token
from xenstore_sim.wire.ops import Errno

HOME = "/local/domain/3"


@pytest.fixture
def world() -> Stage:
    """A domain that watches its home."""
    stage = Stage()
    stage.converse(
        says(stage.dom0, NO_TX, Write(HOME, b"")),
        says(stage.dom0, NO_TX, SetPerms(HOME, ("n3",))),
    )
    return stage


@pytest.fixture
def dom3(world: Stage) -> Peer:
    peer = world.domain(3)
    world.converse(says(peer, NO_TX, Watch(HOME, Token(b"t")), Ok(), event(HOME)))
    return peer


def told(world: Stage, peer: Peer) -> list[str]:
    """First letters of the nodes whose events wait for this client, which takes them."""
    return [line.rsplit("/", 1)[1][0] for line in readable(world.take(peer))]


def write(world: Stage, name: str) -> None:
    """Something changes below the domain's home, and it does not take the event yet."""
    world.send(world.dom0, NO_TX, Write(f"{HOME}/{name}", b""))


def test_an_event_left_unread_for_20_seconds_is_dropped_and_counted(
    world: Stage, dom3: Peer
) -> None:
    write(world, "x")
    world.daemon.blocked(dom3.conn)
    assert world.daemon.next_deadline() == -inf
    world.daemon.tick(100.0)
    assert world.daemon.next_deadline() == 120.0
    world.daemon.tick(119.9)
    assert world.daemon.statistics().events_expired == 0
    world.daemon.tick(120.0)
    assert world.daemon.next_deadline() is None
    assert world.daemon.statistics().events_expired == 1
    world.converse(hears(dom3))


def test_each_event_has_its_own_time(world: Stage, dom3: Peer) -> None:
    for now, name in ((0.0, "a"), (5.0, "b"), (10.0, "c")):
        write(world, name)
        world.daemon.blocked(dom3.conn)
        world.daemon.tick(now)
    world.daemon.tick(25.0)
    assert world.daemon.next_deadline() == 30.0
    assert told(world, dom3) == ["c"]
    assert world.daemon.statistics().events_expired == 2


def test_an_event_that_is_sent_in_part_is_sent_whole(world: Stage, dom3: Peer) -> None:
    write(world, "a")
    write(world, "b")
    world.daemon.sent(dom3.conn, 3)
    world.daemon.blocked(dom3.conn)
    world.daemon.tick(0.0)
    world.daemon.tick(20.0)
    rest = world.take(dom3)
    assert rest.endswith(b"/a\0t\0")
    assert world.daemon.statistics().events_expired == 1


def test_replies_do_not_expire(world: Stage, dom3: Peer) -> None:
    request = b"".join(
        (
            b"\x02\0\0\0\x07\0\0\0\0\0\0\0\x02\0\0\0x\0",
            b"\x0b\0\0\0\x08\0\0\0\0\0\0\0\x02\0\0\0x\0",
        )
    )
    world.daemon.feed(dom3.conn, request)
    world.daemon.blocked(dom3.conn)
    world.daemon.tick(0.0)
    world.daemon.tick(20.0)
    assert [line.split()[0] for line in readable(world.take(dom3))] == ["ERROR", "WRITE"]
    assert world.daemon.statistics().events_expired == 1


def test_who_takes_its_events_in_time_loses_none(world: Stage, dom3: Peer) -> None:
    write(world, "a")
    world.daemon.blocked(dom3.conn)
    world.daemon.tick(0.0)
    assert told(world, dom3) == ["a"]
    world.daemon.tick(20.0)
    assert world.daemon.next_deadline() is None
    write(world, "b")
    assert told(world, dom3) == ["b"]
    assert world.daemon.statistics().events_expired == 0


def test_an_expired_event_no_longer_stands_for_a_new_one(world: Stage, dom3: Peer) -> None:
    write(world, "a")
    world.daemon.blocked(dom3.conn)
    world.daemon.tick(0.0)
    world.daemon.tick(20.0)
    write(world, "a")
    assert told(world, dom3) == ["a"]


def test_events_of_dom0_wait_for_ever(world: Stage) -> None:
    world.converse(says(world.dom0, NO_TX, Watch("/", Token(b"t")), Ok(), event("/")))
    other = world.connect()
    world.send(other, NO_TX, Write("/a", b""))
    world.daemon.blocked(world.dom0.conn)
    assert world.daemon.next_deadline() is None


def test_without_a_timeout_events_wait_for_ever() -> None:
    world = Stage(Settings(watch_timeout_s=0))
    dom3 = world.domain(3)
    world.daemon.feed(dom3.conn, b"\x04\0\0\0\x07\0\0\0\0\0\0\0\x04\0\0\0x\0t\0")
    world.daemon.blocked(dom3.conn)
    assert world.daemon.next_deadline() is None


def test_a_connection_that_ended_wants_no_time(world: Stage, dom3: Peer) -> None:
    write(world, "a")
    world.daemon.blocked(dom3.conn)
    world.daemon.tick(0.0)
    world.daemon.disconnect(dom3.conn)
    assert world.daemon.next_deadline() is None
    assert world.daemon.tick(20.0) == ()
    assert world.daemon.statistics().events_expired == 0


def test_requests_that_waited_for_room_go_on_when_events_expire(world: Stage, dom3: Peer) -> None:
    for number in range(17):
        world.send(world.dom0, NO_TX, Write(f"{HOME}/{'n' * 2000}{number}", b""))
        world.send(world.dom0, NO_TX, Write(f"{HOME}/{'m' * 2000}{number}", b""))
    assert not world.daemon.wants_input(dom3.conn)
    world.daemon.blocked(dom3.conn)
    world.daemon.tick(0.0)
    commands = world.daemon.tick(20.0)
    assert commands
    assert world.daemon.wants_input(dom3.conn)
    world.converse(says(dom3, NO_TX, Read("x"), Errno.ENOENT))
