"""What the conversations keep clear of, or take as known: bugs of xenstored 4.17 that are not
copied. When one of these fails, the real daemon was mended and its exception can go."""

import pytest

from tests.oracle.raw_client import WATCH_EVENT, ConnectionEnded, Message
from tests.oracle.real_xenstored import RealXenstored
from xenstore_sim.wire.ops import Op


def test_set_perms_of_a_special_node_is_refused_with_a_stale_errno(
    real_xenstored: RealXenstored,
) -> None:
    guest = real_xenstored.introduce(real_xenstored.connect(), 1)
    # The stub makes it EINVAL; what is meant is EACCES.
    assert guest.ask(Op.SET_PERMS, "@releaseDomain", "n0").payload == b"EINVAL\0"


def test_introduce_of_a_dead_domain_that_is_a_target_crashes_it() -> None:
    with pytest.raises(AssertionError, match="ended by itself with -11"):
        _introduce_a_dead_target()


def _introduce_a_dead_target() -> None:
    with RealXenstored() as real:
        dom0 = real.connect()
        for domid in (1, 2):
            real.introduce(dom0, domid)
        dom0.ask(Op.SET_TARGET, "2", "1")
        real.destroy_domain(1)
        with pytest.raises(ConnectionEnded):
            dom0.ask(Op.INTRODUCE, "1", "1", "1")


def test_release_is_answered_before_its_events_when_the_domain_is_next_in_its_list(
    real_xenstored: RealXenstored,
) -> None:
    dom0 = real_xenstored.connect()
    real_xenstored.introduce(dom0, 1)
    dom0.send(Op.WATCH, b"@releaseDomain\0t\0")
    dom0.flush()
    dom0.send(Op.RELEASE, b"1\0")
    event = Message(WATCH_EVENT, 0, 0, b"@releaseDomain\0t\0")
    assert dom0.flush() == (Message(Op.RELEASE, 1, 0, b"OK\0"), event)


def test_the_root_dies_with_the_domain_that_owns_it(real_xenstored: RealXenstored) -> None:
    dom0 = real_xenstored.connect()
    real_xenstored.introduce(dom0, 1)
    dom0.ask(Op.SET_PERMS, "/", "n1")
    real_xenstored.destroy_domain(1)
    assert dom0.ask(Op.DIRECTORY, "/").payload == b"EACCES\0"
