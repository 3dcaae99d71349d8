"""libxenstore, unchanged, on each daemon: nodes and their permissions."""

import errno

import pytest

from tests.real_clients.daemons import RunningDaemon
from tests.real_clients.libxenstore import (
    PERM_NONE,
    PERM_READ,
    PERM_WRITE,
    Handle,
    refused,
)

PAYLOAD_MAX = 4096
BOTH = PERM_READ | PERM_WRITE


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
