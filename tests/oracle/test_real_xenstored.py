"""The real xenstored runs on the stub as it does on Xen."""

import os
import signal
import subprocess

import pytest

from tests.oracle.domain_table import DomainState
from tests.oracle.guest_ring import ERROR as ERROR_FIELD
from tests.oracle.guest_ring import REQ_PROD, GuestRing, RingBroken
from tests.oracle.raw_client import (
    ERROR,
    WATCH_EVENT,
    ConnectionEnded,
    Message,
)
from tests.oracle.real_xenstored import INTRODUCE, RealXenstored

DIRECTORY, READ, GET_PERMS, WATCH = 1, 2, 3, 4
TRANSACTION_START, RELEASE, WRITE, SET_PERMS, IS_INTRODUCED = 6, 9, 11, 14, 17
DEADLINE_S = 30


def refused(errno: str) -> tuple[int, bytes]:
    return ERROR, errno.encode() + b"\0"


def answer(message: Message) -> tuple[int, bytes]:
    return message.type, message.payload


def test_xens_tools_work_on_it(real_xenstored: RealXenstored) -> None:
    environment = {**os.environ, "XENSTORED_PATH": str(real_xenstored.socket_path)}
    done = subprocess.run(
        ["xenstore-ls", "-fp"], env=environment, capture_output=True, timeout=DEADLINE_S, check=True
    )
    assert done.stdout == b'/tool = ""   (n0)\n/tool/xenstored = ""   (n0)\n'


def test_dom0_is_introduced_as_under_xen(real_xenstored: RealXenstored) -> None:
    assert real_xenstored.connect().ask(IS_INTRODUCED, "0").payload == b"T\0"


def test_a_domain_on_its_ring_has_the_rights_of_a_domain(real_xenstored: RealXenstored) -> None:
    dom0 = real_xenstored.connect()
    guest = real_xenstored.introduce(dom0, 5)
    dom0.ask(WRITE, "/local/domain/5", "")
    dom0.ask(SET_PERMS, "/local/domain/5", "n5")
    dom0.ask(WRITE, "/secret", "")
    assert answer(guest.ask(READ, "/secret")) == refused("EACCES")
    # Longer than the ring: both ways go in pieces, and around its end.
    for name in ("mine", "mine/too"):
        assert guest.ask(WRITE, name, name.encode() * 200).payload == b"OK\0"
        assert guest.ask(READ, name).payload == name.encode() * 200 + b"\0"
    assert guest.ask(GET_PERMS, "mine/too").payload == b"n5\0"
    assert answer(guest.ask(INTRODUCE, "6", "1", "1")) == refused("EACCES")


def test_ring_and_socket_hear_of_each_other(real_xenstored: RealXenstored) -> None:
    dom0 = real_xenstored.connect()
    guest = real_xenstored.introduce(dom0, 5)
    dom0.ask(WRITE, "/shared", "")
    dom0.ask(SET_PERMS, "/shared", "b5")
    for client in (dom0, guest):
        client.send(WATCH, b"/shared\0token\0")
        assert [each.type for each in client.flush()] == [WATCH, WATCH_EVENT]
    dom0.send(WRITE, b"/shared\0x")
    for client in (dom0, guest):
        assert Message(WATCH_EVENT, 0, 0, b"/shared\0token\0") in client.flush()


def test_a_domain_that_does_not_exist_is_not_introduced(real_xenstored: RealXenstored) -> None:
    dom0 = real_xenstored.connect()
    assert answer(dom0.ask(INTRODUCE, "5", "1", "1")) == refused("EINVAL")
    real_xenstored.create_domain(5)
    assert answer(dom0.ask(INTRODUCE, "5", "1", "1")) == refused("EINVAL")
    ring = real_xenstored.ring(5)
    assert answer(dom0.ask(INTRODUCE, "5", "1", "77")) == refused("EINVAL")
    assert dom0.ask(INTRODUCE, "5", "1", str(ring.port)).payload == b"OK\0"


def test_a_destroyed_domain_takes_its_nodes_with_it(real_xenstored: RealXenstored) -> None:
    dom0 = real_xenstored.connect()
    real_xenstored.introduce(dom0, 5)
    dom0.ask(WRITE, "/of-5", "")
    dom0.ask(SET_PERMS, "/of-5", "n5")
    real_xenstored.destroy_domain(5)
    assert dom0.ask(IS_INTRODUCED, "5").payload == b"F\0"
    assert answer(dom0.ask(READ, "/of-5")) == refused("ENOENT")


def test_a_domain_that_shut_down_stays_and_is_told_of(real_xenstored: RealXenstored) -> None:
    dom0 = real_xenstored.connect()
    real_xenstored.introduce(dom0, 5)
    dom0.send(WATCH, b"@releaseDomain\0t\0")
    dom0.flush()
    real_xenstored.shut_down_domain(5)
    assert dom0.flush() == (Message(WATCH_EVENT, 0, 0, b"@releaseDomain\0t\0"),)
    assert dom0.ask(IS_INTRODUCED, "5").payload == b"T\0"


def test_a_dying_domain_is_still_there_until_it_is_gone(real_xenstored: RealXenstored) -> None:
    dom0 = real_xenstored.connect()
    real_xenstored.introduce(dom0, 5)
    real_xenstored.domains[5] = DomainState.EXISTS | DomainState.DYING
    real_xenstored.raise_dom_exc()
    assert dom0.ask(IS_INTRODUCED, "5").payload == b"F\0"


def test_a_domain_of_the_same_id_gets_a_new_ring(real_xenstored: RealXenstored) -> None:
    dom0 = real_xenstored.connect()
    real_xenstored.introduce(dom0, 5)
    real_xenstored.destroy_domain(5)
    guest = real_xenstored.introduce(dom0, 5)
    assert guest.ask(DIRECTORY, "/").payload == b"EACCES\0"


def test_an_oversize_request_ends_its_connection_alone(real_xenstored: RealXenstored) -> None:
    dom0, other = real_xenstored.connect(), real_xenstored.connect()
    guest = real_xenstored.introduce(dom0, 5)
    other.send(READ, b"x" * 4097)
    with pytest.raises(ConnectionEnded):
        other.receive()
    guest.transport.send(b"\0" * 12 + b"\1\x10\0\0")
    dom0.flush()
    with pytest.raises(RingBroken, match="error 3"):
        guest.receive()


def test_a_bad_index_ends_its_ring_alone(real_xenstored: RealXenstored) -> None:
    dom0 = real_xenstored.connect()
    guest = real_xenstored.introduce(dom0, 5)
    ring = guest.transport
    assert isinstance(ring, GuestRing)
    ring.set_field(REQ_PROD, 5000)
    ring.ring()
    dom0.flush()
    assert ring.field(ERROR_FIELD) == 2


@pytest.mark.parametrize("payload", [b"", b"no-nul", b"/two\0/strings\0"])
def test_a_malformed_path_is_einval_whatever_came_before(
    real_xenstored: RealXenstored, payload: bytes
) -> None:
    dom0 = real_xenstored.connect()
    clients = [dom0, real_xenstored.introduce(dom0, 5)]
    for client in clients:
        client.send(WATCH, b"/missing\0t\0")
        client.flush()
        client.send(READ, payload)
        assert answer(client.receive()) == refused("EINVAL")


def test_writes_with_open_transactions_are_not_slowed(real_xenstored: RealXenstored) -> None:
    dom0 = real_xenstored.connect()
    guest = real_xenstored.introduce(dom0, 5)
    dom0.ask(WRITE, "/local/domain/5", "")
    dom0.ask(SET_PERMS, "/local/domain/5", "n5")
    dom0.send(TRANSACTION_START, b"\0")
    dom0.flush()
    # At the real pace, which is 200 a second, this would take longer than a client waits.
    for _ in range(6000):
        guest.ask(WRITE, "n", "")


def test_quotas_are_set_by_its_own_options() -> None:
    with RealXenstored("-E", "1") as real:
        dom0 = real.connect()
        guest = real.introduce(dom0, 5)
        dom0.ask(WRITE, "/local/domain/5", "")
        dom0.ask(SET_PERMS, "/local/domain/5", "n5")
        assert answer(guest.ask(WRITE, "one-more", "")) == refused("ENOSPC")


def test_a_daemon_that_cannot_start_says_why() -> None:
    with pytest.raises(AssertionError, match="unknown timeout"), RealXenstored("-w", "x=1"):
        pass


def test_a_daemon_that_died_fails_the_test() -> None:
    with pytest.raises(AssertionError, match="ended by itself with -6"):
        _kill_one()


def _kill_one() -> None:
    with RealXenstored() as real:
        client = real.connect()
        os.kill(real.pid, signal.SIGABRT)
        with pytest.raises(ConnectionEnded):
            client.receive()
