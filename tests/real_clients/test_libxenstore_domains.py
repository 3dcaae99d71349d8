"""libxenstore, unchanged, on each daemon: domains, and a client that is one."""

import errno

from tests.real_clients.conftest import Introduce, OpenAs
from tests.real_clients.daemons import RunningDaemon
from tests.real_clients.libxenstore import (
    PERM_NONE,
    PERM_READ,
    Handle,
    Library,
    refused,
)

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
