"""What a daemon hands out, and that nothing a client does with it can hold the daemon."""

import fcntl
import mmap
import os
import select
import socket
from collections.abc import Iterator
from contextlib import suppress

import pytest

from xenstore_sim.ring.page import PAGE_SIZE
from xenstore_sim.ring.shared_ring import HANDING_OUT, RING, SharedRing


@pytest.fixture
def ring() -> Iterator[SharedRing]:
    ring = SharedRing("test")
    yield ring
    ring.close()


@pytest.fixture
def theirs(ring: SharedRing) -> Iterator[list[int]]:
    """Page, doorbell to the server, doorbell to the client."""
    ours, control = socket.socketpair()
    with ours, control:
        ring.hand_out(ours)
        data, fds, _, _ = socket.recv_fds(control, 10, 9)
        assert data == HANDING_OUT
        yield fds
        for fd in fds:
            with suppress(OSError):
                os.close(fd)


def test_both_see_one_page(ring: SharedRing, theirs: list[int]) -> None:
    with mmap.mmap(theirs[0], PAGE_SIZE) as page:
        page[:3] = b"abc"
        assert ring.page.requests[:4].tobytes() == b"abc\0"
        ring.page.responses[1023:] = b"x"
        assert page[2047:2049] == b"x\0"


@pytest.mark.parametrize("size", [0, PAGE_SIZE - 1, PAGE_SIZE + 1])
def test_nobody_can_resize_the_page_nor_change_its_seals(
    ring: SharedRing, theirs: list[int], size: int
) -> None:
    with pytest.raises(PermissionError):
        os.ftruncate(theirs[0], size)
    with pytest.raises(PermissionError):
        fcntl.fcntl(theirs[0], fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)
    assert os.fstat(theirs[0]).st_size == PAGE_SIZE


def test_a_hole_in_the_page_is_zeros(ring: SharedRing, theirs: list[int]) -> None:
    """The one way left to take memory away; it does no more than a write."""
    ring.page.requests[:3] = b"abc"
    os.posix_fallocate(theirs[0], 0, PAGE_SIZE)
    with mmap.mmap(theirs[0], PAGE_SIZE) as page:
        page.madvise(mmap.MADV_REMOVE)
    assert ring.page.requests[:3].tobytes() == bytes(3)


def test_each_ring_of_the_doorbell_to_the_server_is_an_edge(
    ring: SharedRing, theirs: list[int]
) -> None:
    """It is never read, so it must speak again while it is set."""
    with select.epoll() as epoll:
        epoll.register(ring.to_server, select.EPOLLIN | select.EPOLLET)
        assert not epoll.poll(0)
        for _ in range(3):
            os.write(theirs[1], RING)
            assert epoll.poll(0) == [(ring.to_server, select.EPOLLIN)]
            assert not epoll.poll(0)
        os.eventfd_write(theirs[1], 2**64 - 2 - 3)
        assert len(epoll.poll(0)) == 1
        with pytest.raises(BlockingIOError):
            os.write(theirs[1], RING)
        os.eventfd_read(theirs[1])
        os.write(theirs[1], RING)
        assert len(epoll.poll(0)) == 1


def test_a_client_that_does_not_hear_does_not_hold_the_daemon(
    ring: SharedRing, theirs: list[int]
) -> None:
    """Even when it wants to: blocking is a matter of its own end."""
    os.set_blocking(theirs[2], True)
    for _ in range(10_000):
        ring.ring()
    assert len(os.read(theirs[2], 1 << 20)) < 10_000 * len(RING), "the test needs a full doorbell"
    os.close(theirs[2])
    ring.ring()
    ring.ring()


def test_a_ring_that_goes_hangs_up() -> None:
    ring = SharedRing("test")
    ours, control = socket.socketpair()
    with ours, control:
        ring.hand_out(ours)
        _, fds, _, _ = socket.recv_fds(control, 10, 9)
    ring.ring()
    ring.close()
    assert os.read(fds[2], 100) == RING
    assert os.read(fds[2], 100) == b""
    for fd in fds:
        os.close(fd)


def test_closing_leaves_no_descriptor_open() -> None:
    before = os.listdir("/proc/self/fd")
    SharedRing("test").close()
    assert os.listdir("/proc/self/fd") == before
