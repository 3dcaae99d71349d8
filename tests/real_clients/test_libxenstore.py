"""libxenstore, unchanged, on each daemon: what each of its calls answers, and each refusal."""

import errno
import select
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from tests.real_clients.conftest import Introduce, OpenAs
from tests.real_clients.daemons import RunningDaemon
from tests.real_clients.libxenstore import (
    PERM_NONE,
    PERM_READ,
    PERM_WRITE,
    UNWATCH_FILTER,
    Handle,
    Library,
    opened,
)

PAYLOAD_MAX = 4096
BOTH = PERM_READ | PERM_WRITE


@contextmanager
def refused(number: int) -> Iterator[None]:
    with pytest.raises(OSError) as caught:  # noqa: PT011  (the errno is what matters)
        yield
    assert errno.errorcode[caught.value.errno or 0] == errno.errorcode[number]


@pytest.fixture
def other(daemon: RunningDaemon, library: Library) -> Iterator[Handle]:
    """A second dom0 client."""
    with opened(library, daemon.rundir / "socket") as handle:
        yield handle


# ---------------------------------------------------------------- nodes


def test_a_value_may_hold_any_bytes(dom0: Handle) -> None:
    for value in (b"", b"text", b"\0", b"a\0b\0\0", bytes(range(256))):
        dom0.write("/a/b", value)
        assert dom0.read("/a/b") == value


def test_a_value_may_fill_a_message(dom0: Handle) -> None:
    longest = bytes(PAYLOAD_MAX - len("/a\0"))
    dom0.write("/a", longest)
    assert dom0.read("/a") == longest
    # The library itself refuses more.
    with refused(errno.E2BIG):
        dom0.write("/a", longest + b"x")
    assert dom0.read("/a") == longest, "the handle lives on"


def test_writing_makes_what_is_missing_above(dom0: Handle) -> None:
    dom0.write("/a/b/c", b"v")
    assert (dom0.read("/a"), dom0.read("/a/b")) == (b"", b"")
    assert dom0.directory("/a") == ["b"]


def test_mkdir_leaves_what_is_there(dom0: Handle) -> None:
    dom0.write("/a", b"v")
    dom0.mkdir("/a")
    dom0.mkdir("/a/b/c")
    assert dom0.read("/a") == b"v"
    assert dom0.read("/a/b/c") == b""


def test_rm_takes_all_below_and_needs_only_the_parent(dom0: Handle) -> None:
    dom0.write("/a/b/c", b"v")
    dom0.rm("/a/b")
    assert dom0.directory("/a") == []
    dom0.rm("/a/b")
    with refused(errno.ENOENT):
        dom0.rm("/a/b/c")
    with refused(errno.EINVAL):
        dom0.rm("/")


def test_children_are_listed_in_the_order_of_their_making(dom0: Handle) -> None:
    for name in ("c", "a", "b"):
        dom0.mkdir(f"/d/{name}")
    dom0.rm("/d/c")
    dom0.mkdir("/d/c")
    assert dom0.directory("/d") == ["a", "b", "c"]


@pytest.mark.parametrize("number", [400, 409, 410, 2000])
def test_a_listing_may_be_longer_than_a_message(dom0: Handle, number: int) -> None:
    """Names of ten bytes: 409 of them fit, beyond that the library asks for parts."""
    names = [f"child{at:04}" for at in range(number)]
    tx = dom0.start()
    for name in names:
        dom0.mkdir(f"/d/{name}", tx)
    assert dom0.directory("/d", tx) == names
    dom0.end(tx)
    assert dom0.directory("/d") == names


def test_relative_paths_are_below_dom0s_home(dom0: Handle) -> None:
    dom0.write("mine/x", b"v")
    assert dom0.read("/local/domain/0/mine/x") == b"v"


@pytest.mark.parametrize("path", ["", "/a/", "//a", "/a//b", "/a.b", "/a b", "/\u00e9", "@x"])
def test_malformed_paths_are_refused(dom0: Handle, path: str) -> None:
    for ask in (dom0.read, dom0.directory, dom0.mkdir, dom0.rm):
        with refused(errno.EINVAL):
            ask(path)
    with refused(errno.EINVAL):
        dom0.write(path, b"")


def test_what_is_missing_is_refused(dom0: Handle) -> None:
    for ask in (dom0.read, dom0.directory, dom0.get_permissions):
        with refused(errno.ENOENT):
            ask("/missing")
    with refused(errno.ENOENT):
        dom0.set_permissions("/missing", (0, 0))


def test_the_path_quota_binds_dom0_in_old_releases_only(
    daemon: RunningDaemon, dom0: Handle
) -> None:
    path = "/" + "x" * 2048
    if daemon.release == "4.17":
        with refused(errno.EINVAL):
            dom0.mkdir(path)
    else:
        dom0.mkdir(path)
        assert dom0.read(path) == b""
    dom0.mkdir(path[:2048])


# ---------------------------------------------------------------- permissions


def test_permissions_are_kept_as_they_were_set(dom0: Handle) -> None:
    dom0.mkdir("/a")
    assert dom0.get_permissions("/a") == [(0, PERM_NONE)]
    entries = [(0, PERM_READ), (0, PERM_WRITE), (0, BOTH), (0, PERM_NONE)]
    dom0.set_permissions("/a", *entries)
    assert dom0.get_permissions("/a") == entries
    dom0.mkdir("/a/b")
    assert dom0.get_permissions("/a/b") == entries, "a child gets its parent's list"


def test_a_list_has_at_least_its_owner(dom0: Handle) -> None:
    dom0.mkdir("/a")
    with refused(errno.EINVAL):
        dom0.set_permissions("/a")


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
    for change in (
        lambda: other.write("/a/b/c", b"1"),
        lambda: other.set_permissions("/a/b/c", (0, 0)),
        lambda: dom0.write("/a/b/c", b"2"),
    ):
        change()
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


# ---------------------------------------------------------------- domains


def test_the_life_of_a_domain(dom0: Handle, introduce: Introduce) -> None:
    assert not dom0.is_domain_introduced(3)
    assert dom0.is_domain_introduced(0)
    introduce(3)
    assert dom0.is_domain_introduced(3)
    dom0.resume_domain(3)
    dom0.release_domain(3)
    assert not dom0.is_domain_introduced(3)


def test_domains_that_cannot_be_are_refused(daemon: RunningDaemon, dom0: Handle) -> None:
    daemon.prepare_domain(3)
    with refused(errno.EINVAL):
        dom0.introduce_domain(3, port=0)
    for ask in (dom0.release_domain, dom0.resume_domain):
        with refused(errno.ENOENT):
            ask(3)
        with refused(errno.EINVAL):
            ask(0)
    with refused(errno.ENOENT):
        dom0.set_target(3, 4)


def test_any_domain_has_a_path(dom0: Handle) -> None:
    assert dom0.get_domain_path(0) == "/local/domain/0"
    assert dom0.get_domain_path(31000) == "/local/domain/31000"


def test_the_nodes_of_a_released_domain_go_with_it(dom0: Handle, introduce: Introduce) -> None:
    introduce(3)
    dom0.mkdir("/a/kept")
    dom0.mkdir("/a/gone/below")
    dom0.set_permissions("/a/gone", (3, 0))
    dom0.watch("/a", "t")
    assert dom0.read_watch() == ("/a", "t")
    dom0.release_domain(3)
    assert dom0.read_watch() == ("/a/gone", "t")
    assert dom0.directory("/a") == ["kept"]


def test_a_held_target_is_released_the_second_time(dom0: Handle, introduce: Introduce) -> None:
    introduce(3)
    introduce(4)
    dom0.set_target(3, 4)
    dom0.release_domain(4)
    assert dom0.is_domain_introduced(4)
    dom0.release_domain(4)
    assert not dom0.is_domain_introduced(4)


def test_subpaths_are_told_by_the_text_alone(library: Library) -> None:
    is_subpath = library.call["xs_path_is_subpath"]
    assert is_subpath(b"/a", b"/a/b")
    assert is_subpath(b"/a", b"/a")
    assert not is_subpath(b"/a", b"/ab")
    assert not is_subpath(b"/a", b"a/b")


def test_control_commands(dom0: Handle) -> None:
    assert dom0.control("check") == "OK"
    assert dom0.debug("check") == "OK"
    assert dom0.control("print", b"text\0") == "OK"
    assert dom0.control("quota").startswith("Quota settings:\n")
    with refused(errno.EINVAL):
        dom0.control("no-such-command")
    with refused(errno.EINVAL):
        dom0.control("print")


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


# ---------------------------------------------------------------- as an unprivileged domain


def test_a_domain_reads_and_writes_its_home(
    dom0: Handle, introduce: Introduce, open_as: OpenAs
) -> None:
    home = introduce(3)
    dom3 = open_as(3)
    dom3.write("x/y", b"v")
    assert dom0.read(f"{home}/x/y") == b"v"
    assert dom0.get_permissions(f"{home}/x/y") == [(3, PERM_NONE)]
    assert dom3.directory(home) == ["x"]
    dom3.rm("x")
    assert dom3.directory(home) == []


def test_a_domain_may_do_only_what_lists_grant(
    dom0: Handle, introduce: Introduce, open_as: OpenAs
) -> None:
    introduce(3)
    dom0.write("/a/b", b"v")
    dom3 = open_as(3)
    for ask in (dom3.read, dom3.directory, dom3.get_permissions, dom3.mkdir, dom3.rm):
        with refused(errno.EACCES):
            ask("/a/b")
        with refused(errno.EACCES):
            ask("/missing")
    dom0.set_permissions("/a", (0, PERM_NONE), (3, PERM_READ))
    dom0.set_permissions("/a/b", (0, PERM_NONE), (3, PERM_READ))
    assert dom3.read("/a/b") == b"v"
    with refused(errno.EACCES):
        dom3.write("/a/b", b"w")
    with refused(errno.ENOENT):
        dom3.read("/a/missing")
    with refused(errno.EACCES):
        dom3.set_permissions("/a/b", (3, 0))


def test_a_domain_keeps_what_it_owns(dom0: Handle, introduce: Introduce, open_as: OpenAs) -> None:
    home = introduce(3)
    dom3 = open_as(3)
    dom3.write("x", b"")
    dom3.set_permissions("x", (3, PERM_READ))
    with refused(errno.EPERM):
        dom3.set_permissions("x", (0, PERM_READ))
    assert dom0.get_permissions(f"{home}/x") == [(3, PERM_READ)]


def test_a_domain_commands_nobody(dom0: Handle, introduce: Introduce, open_as: OpenAs) -> None:
    introduce(3)
    dom3 = open_as(3)
    with refused(errno.EACCES):
        dom3.introduce_domain(4, port=1)
    for ask in (dom3.release_domain, dom3.resume_domain):
        with refused(errno.EACCES):
            ask(4)
    with refused(errno.EACCES):
        dom3.set_target(3, 4)
    with refused(errno.EACCES):
        dom3.control("check")
    assert dom3.get_domain_path(4) == "/local/domain/4"


def test_a_domain_hears_of_what_it_may_read(
    dom0: Handle, introduce: Introduce, open_as: OpenAs
) -> None:
    introduce(3)
    dom0.mkdir("/hidden")
    dom3 = open_as(3)
    dom3.watch("/hidden", "h")
    dom3.watch("seen", "s")
    assert dom3.read_watch() == ("/hidden", "h")
    assert dom3.read_watch() == ("seen", "s")
    dom0.write("/hidden", b"1")
    dom0.write("/local/domain/3/seen", b"1")
    assert dom3.read_watch() == ("seen", "s")


def test_the_largest_value_of_a_domain(
    daemon: RunningDaemon, dom0: Handle, open_as: OpenAs, introduce: Introduce
) -> None:
    largest = {"4.17": 2015, "4.20": 2024, "4.22": 2023}[daemon.release]
    introduce(3)
    dom3 = open_as(3)
    dom3.write("x", bytes(largest))
    with refused(errno.ENOSPC):
        dom3.write("x", bytes(largest + 1))
    assert dom3.read("x") == bytes(largest)


def test_a_domain_meets_its_quotas(
    daemon: RunningDaemon, dom0: Handle, introduce: Introduce, open_as: OpenAs
) -> None:
    strict = daemon.release == "4.22"
    introduce(3)
    dom3 = open_as(3)
    watches, transactions = (127, 9) if strict else (129, 11)
    for number in range(watches):
        dom3.watch("x", str(number))
        dom3.read_watch()
    with refused(errno.ENOSPC if strict else errno.E2BIG):
        dom3.watch("x", "one more")
    for _ in range(transactions):
        dom3.start()
    with refused(errno.ENOSPC):
        dom3.start()
    nodes = 999 if strict else 1000
    for number in range(nodes - 1):
        # In directories of a hundred: a node of a domain holds 2 KiB of names.
        dom3.mkdir(f"d{number // 100}/{number}" if number % 100 else f"d{number // 100}")
    with refused(errno.ENOSPC):
        dom3.mkdir("more")
    dom3.write("d1/101", b"still writable")
