"""libxenstore, unchanged, on each daemon: transactions, watches, and many clients at once."""

import errno
import select
import threading
from collections.abc import Iterator
from contextlib import suppress

import pytest

from tests.real_clients.conftest import Introduce
from tests.real_clients.daemons import RunningDaemon
from tests.real_clients.libxenstore import (
    UNWATCH_FILTER,
    Handle,
    Library,
    opened,
    refused,
)


@pytest.fixture
def other(daemon: RunningDaemon, library: Library) -> Iterator[Handle]:
    """A second dom0 client."""
    with opened(library, daemon.rundir / "socket") as handle:
        yield handle


# ---------------------------------------------------------------- transactions


def test_a_transaction_is_seen_by_others_at_its_end(dom0: Handle, other: Handle) -> None:
    tx = dom0.start()
    dom0.write("/a", b"v", tx)
    assert dom0.read("/a", tx) == b"v"
    for handle in (dom0, other):
        with refused(errno.ENOENT):
            handle.read("/a")
    dom0.end(tx)
    assert other.read("/a") == b"v"


def test_an_abandoned_transaction_leaves_nothing(dom0: Handle) -> None:
    tx = dom0.start()
    dom0.write("/a", b"v", tx)
    dom0.end(tx, commit=False)
    with refused(errno.ENOENT):
        dom0.read("/a")


@pytest.mark.parametrize("between", ["write", "set_permissions", "rm"])
def test_what_was_read_must_not_have_changed(dom0: Handle, other: Handle, between: str) -> None:
    dom0.write("/a/b", b"old")
    tx = dom0.start()
    assert dom0.read("/a/b", tx) == b"old"
    match between:
        case "write":
            other.write("/a/b", b"old")
        case "set_permissions":
            other.set_permissions("/a/b", (0, 0))
        case "rm":
            other.rm("/a/b")
    dom0.write("/a/c", b"", tx)
    with refused(errno.EAGAIN):
        dom0.end(tx)
    with refused(errno.ENOENT):
        dom0.end(tx)


def test_changes_elsewhere_do_not_matter(dom0: Handle, other: Handle) -> None:
    dom0.write("/a/b", b"old")
    tx = dom0.start()
    dom0.write("/a/b", b"new", tx)
    other.write("/a/c", b"")
    other.write("/elsewhere", b"")
    dom0.end(tx)
    assert dom0.read("/a/b") == b"new"


def test_a_transaction_belongs_to_its_handle(dom0: Handle, other: Handle) -> None:
    tx = dom0.start()
    with refused(errno.ENOENT):
        other.read("/", tx)
    with refused(errno.ENOENT):
        dom0.read("/", tx + 1)
    dom0.end(tx)


def test_several_transactions_of_one_handle_are_apart(dom0: Handle) -> None:
    dom0.mkdir("/a")
    first, second = dom0.start(), dom0.start()
    assert first != second
    dom0.write("/a/1", b"", first)
    dom0.write("/b", b"", second)
    assert dom0.directory("/a", second) == []
    dom0.end(first)
    with refused(errno.EAGAIN):
        # It read /a, which has a child more now.
        dom0.end(second)


# ---------------------------------------------------------------- watches


def test_a_watch_speaks_once_at_the_start_and_then_of_each_change(
    dom0: Handle, other: Handle
) -> None:
    dom0.watch("/a", "t")
    assert dom0.read_watch() == ("/a", "t")
    other.write("/a/b/c", b"1")
    assert dom0.read_watch() == ("/a/b/c", "t")
    other.set_permissions("/a/b/c", (0, 0))
    assert dom0.read_watch() == ("/a/b/c", "t")
    dom0.write("/a/b/c", b"2")
    assert dom0.read_watch() == ("/a/b/c", "t")
    other.write("/elsewhere", b"")
    other.rm("/a/b")
    assert dom0.read_watch() == ("/a/b", "t")


def test_a_commit_tells_of_each_node_once_in_the_order_of_first_access(
    dom0: Handle, other: Handle
) -> None:
    for name in "abc":
        other.mkdir(f"/w/{name}")
    dom0.watch("/w", "t")
    assert dom0.read_watch() == ("/w", "t")
    tx = other.start()
    other.read("/w/c", tx)
    for name in "abca":
        other.write(f"/w/{name}", b"1", tx)
    other.end(tx)
    assert [dom0.read_watch() for _ in range(3)] == [("/w/c", "t"), ("/w/a", "t"), ("/w/b", "t")]
    with refused(errno.EAGAIN):
        dom0.check_watch()


def test_a_relative_watch_tells_relative_paths(dom0: Handle) -> None:
    dom0.watch("mine", "t")
    assert dom0.read_watch() == ("mine", "t")
    dom0.write("/local/domain/0/mine/x", b"")
    assert dom0.read_watch() == ("mine/x", "t")


def test_check_watch_does_not_wait(dom0: Handle) -> None:
    dom0.watch("/a", "t")
    assert dom0.read_watch() == ("/a", "t")
    with refused(errno.EAGAIN):
        dom0.check_watch()
    dom0.write("/a", b"")
    dom0.write("/a/b", b"")
    ready, _, _ = select.select([dom0.fileno], [], [], 30)
    assert ready
    assert dom0.check_watch() == ("/a", "t")
    assert dom0.read_watch() == ("/a/b", "t")
    with refused(errno.EAGAIN):
        dom0.check_watch()
    assert select.select([dom0.fileno], [], [], 0)[0] == []


def test_the_same_watch_twice_is_refused(dom0: Handle) -> None:
    dom0.watch("/a", "t")
    with refused(errno.EEXIST):
        dom0.watch("/a", "t")
    dom0.watch("/a", "u")
    assert {dom0.read_watch(), dom0.read_watch()} == {("/a", "t"), ("/a", "u")}


def test_an_ended_watch_is_silent(library: Library, daemon: RunningDaemon, other: Handle) -> None:
    with opened(library, daemon.rundir / "socket", UNWATCH_FILTER) as filtered:
        filtered.watch("/a", "t")
        filtered.watch("/end", "u")
        assert filtered.read_watch() == ("/a", "t")
        assert filtered.read_watch() == ("/end", "u")
        other.write("/a", b"")
        filtered.unwatch("/a", "t")
        other.write("/a", b"")
        other.write("/end", b"")
        assert filtered.read_watch() == ("/end", "u")
        with refused(errno.ENOENT):
            filtered.unwatch("/a", "t")


def test_special_watches_tell_of_domains(dom0: Handle, introduce: Introduce) -> None:
    dom0.watch("@introduceDomain", "in")
    assert dom0.read_watch() == ("@introduceDomain", "in")
    dom0.watch("@releaseDomain", "out")
    assert dom0.read_watch() == ("@releaseDomain", "out")
    introduce(3)
    assert dom0.read_watch() == ("@introduceDomain", "in")
    introduce(3)
    dom0.release_domain(3)
    assert dom0.read_watch() == ("@releaseDomain", "out")


def test_requests_go_on_while_events_wait(dom0: Handle) -> None:
    """Its reader thread takes both from one stream: an event comes before its cause's reply."""
    dom0.watch("/a", "t")
    for number in range(200):
        dom0.write(f"/a/{number}", b"%d" % number)
        assert dom0.read(f"/a/{number}") == b"%d" % number
    expected = [("/a", "t")] + [(f"/a/{number}", "t") for number in range(200)]
    assert [dom0.read_watch() for _ in expected] == expected


# ---------------------------------------------------------------- many at once


def test_threads_share_a_handle(dom0: Handle) -> None:
    """With a reader thread of its own, and events amid the replies."""
    dom0.watch("/threads", "t")
    failed: list[BaseException] = []

    def work(name: str) -> None:
        try:
            for number in range(60):
                value = f"{name}-{number}".encode()
                dom0.write(f"/threads/{name}", value)
                assert dom0.read(f"/threads/{name}") == value
        except BaseException as error:
            failed.append(error)
            raise

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert sorted(dom0.directory("/threads")) == list("abcd")


def test_handles_count_together_by_transactions(daemon: RunningDaemon, library: Library) -> None:
    """The classic lost update: each conflict, an EAGAIN, is tried again, and none is lost."""
    with opened(library, daemon.rundir / "socket") as first:
        first.write("/counter", b"0")

    def count() -> None:
        with opened(library, daemon.rundir / "socket") as handle:
            for _ in range(25):
                while True:
                    tx = handle.start()
                    value = int(handle.read("/counter", tx))
                    handle.write("/counter", b"%d" % (value + 1), tx)
                    with suppress(BlockingIOError):
                        handle.end(tx)
                        break

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with opened(library, daemon.rundir / "socket") as last:
        assert last.read("/counter") == b"100"


def test_the_watches_of_a_closed_handle_are_gone(
    daemon: RunningDaemon, library: Library, dom0: Handle
) -> None:
    for _ in range(20):
        with opened(library, daemon.rundir / "socket") as watcher:
            watcher.watch("/a", "t")
            tx = watcher.start()
            watcher.write("/a", b"lost", tx)
    dom0.write("/a", b"v")
    assert dom0.read("/a") == b"v"
