"""Connections that are rings: they cannot be closed, so they are begun anew or ignored."""

import pytest

from xenstore_sim.store.commands import Close, Ignore, OpenDomain, Reset
from xenstore_sim.store.daemon import Daemon, Settings
from xenstore_sim.store.watches import ConnId
from xenstore_sim.wire.compat import COMPAT_4_17, COMPAT_4_20, COMPAT_4_22, Compat
from xenstore_sim.wire.layout import HEADER, encode_packet
from xenstore_sim.wire.names import DomId
from xenstore_sim.wire.ops import Op

DOM3 = DomId(3)
INTRODUCE = encode_packet(Op.INTRODUCE, 1, 0, b"3\0001\0001\0")
RELEASE = encode_packet(Op.RELEASE, 1, 0, b"3\0")
GET_HOME = encode_packet(Op.GET_DOMAIN_PATH, 1, 0, b"3\0")
WATCH = encode_packet(Op.WATCH, 1, 0, b"/\0t\0")


def introduced(compat: Compat = COMPAT_4_20) -> tuple[Daemon, ConnId]:
    """A daemon that serves domain 3, and dom0's connection."""
    daemon = Daemon(Settings(compat))
    dom0 = daemon.connect()
    assert dom0 is not None
    assert OpenDomain(DOM3) in daemon.feed(dom0, INTRODUCE)
    return daemon, dom0


def ring_of(daemon: Daemon) -> ConnId:
    ring = daemon.connect(DOM3, ring=True)
    assert ring is not None
    return ring


def test_a_second_introduction_begins_a_ring_anew_even_in_the_middle_of_a_message() -> None:
    daemon, dom0 = introduced()
    ring = ring_of(daemon)
    daemon.feed(ring, WATCH + GET_HOME + GET_HOME[:5])
    daemon.sent(ring, 5)
    commands = daemon.feed(dom0, INTRODUCE)
    assert Reset(ring) in commands
    assert Close(ring) not in commands
    assert daemon.output(ring) == b""
    assert daemon.statistics().watches == 0
    daemon.feed(ring, GET_HOME)


@pytest.mark.parametrize("by_shell", [True, False])
def test_a_ring_that_broke_the_protocol_is_ignored_until_its_domain_is_gone(by_shell: bool) -> None:
    daemon, dom0 = introduced()
    ring = ring_of(daemon)
    daemon.feed(ring, WATCH)
    if by_shell:
        commands = daemon.broke_ring(ring)
    else:
        commands = daemon.feed(ring, HEADER.pack(Op.READ, 1, 0, 4097))
    assert commands == (Ignore(ring),)
    assert daemon.output(ring) == b""
    assert not daemon.wants_input(ring)
    assert daemon.missing_input(ring) == 0
    assert (daemon.statistics().watches, daemon.statistics().violations) == (0, 1)
    assert Reset(ring) in daemon.feed(dom0, INTRODUCE)
    assert not daemon.wants_input(ring)
    daemon.disconnect(ring)
    assert daemon.connect(DOM3) is None
    assert daemon.connect(DOM3, ring=True) is None
    assert Close(ring) in daemon.feed(dom0, RELEASE)
    daemon.feed(dom0, INTRODUCE)
    assert daemon.wants_input(ring_of(daemon))


def test_a_breach_of_a_connection_that_is_gone_is_nothing() -> None:
    daemon, _ = introduced()
    ring = ring_of(daemon)
    daemon.disconnect(ring)
    assert daemon.broke_ring(ring) == ()
    assert daemon.missing_input(ring) == 0
    assert daemon.statistics().violations == 0


def test_a_ring_is_read_header_by_header_and_message_by_message() -> None:
    daemon, _ = introduced()
    ring = ring_of(daemon)
    assert daemon.missing_input(ring) == 16
    daemon.feed(ring, GET_HOME[:9])
    assert daemon.missing_input(ring) == 7
    daemon.feed(ring, GET_HOME[9:16])
    assert daemon.missing_input(ring) == 2
    daemon.feed(ring, GET_HOME[16:])
    assert daemon.missing_input(ring) == 16


def test_a_ring_is_read_no_further_while_its_replies_wait() -> None:
    daemon, _ = introduced()
    ring = ring_of(daemon)
    daemon.feed(ring, GET_HOME * 20)
    assert daemon.missing_input(ring) == 0
    daemon.sent(ring, 32)
    assert daemon.missing_input(ring) == 16


@pytest.mark.parametrize(
    ("compat", "features"), [(COMPAT_4_17, None), (COMPAT_4_20, None), (COMPAT_4_22, 14)]
)
def test_features_are_offered_by_releases_that_have_them(
    compat: Compat, features: int | None
) -> None:
    daemon, _ = introduced(compat)
    assert daemon.ring_features(DOM3) == features


def test_features_that_were_set_before_introduction_are_offered() -> None:
    daemon = Daemon(Settings(COMPAT_4_22))
    dom0 = daemon.connect()
    assert dom0 is not None
    daemon.feed(dom0, encode_packet(Op.SET_FEATURE, 1, 0, b"3\0006\0") + INTRODUCE)
    assert daemon.ring_features(DOM3) == 6


def test_few_packets_can_be_asked_for() -> None:
    daemon, _ = introduced()
    ring = ring_of(daemon)
    daemon.feed(ring, GET_HOME * 5)
    assert len(daemon.output(ring, 2)) == 2 * 32
    assert len(daemon.output(ring)) == 5 * 32
