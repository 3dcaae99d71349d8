"""Numbers and names that the protocol fixes."""

from xenstore_sim.wire.ops import Errno, Op


def test_the_hole_of_restrict_stays_open() -> None:
    assert sorted(Op) == [*range(20), *range(21, 27)]


def test_an_errno_is_its_own_text() -> None:
    assert all(errno == errno.name for errno in Errno)
    assert len(Errno) == 16
