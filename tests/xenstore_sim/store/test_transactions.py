"""Transactions: what conflicts, what is seen, and what is told at the end."""

from dataclasses import dataclass

import pytest

from tests.xenstore_sim.conversations import (
    NO_TX,
    T1,
    T2,
    Peer,
    Raw,
    Stage,
    event,
    hears,
    says,
    started,
)
from xenstore_sim.store.accounts import Accounts
from xenstore_sim.store.daemon import Settings
from xenstore_sim.store.quotas import Quotas
from xenstore_sim.store.transactions import Transaction, Transactions
from xenstore_sim.store.tree import Tree
from xenstore_sim.wire.compat import COMPAT_4_20, COMPAT_4_22, Compat
from xenstore_sim.wire.messages import (
    Directory,
    GetDomainPath,
    GetPerms,
    Listing,
    Mkdir,
    Ok,
    Read,
    Reply,
    Request,
    ResetWatches,
    Rm,
    SetPerms,
    TransactionEnd,
    TransactionStart,
    Unwatch,
    Value,
    Watch,
    WatchEvent,
    Write,
)
from xenstore_sim.wire.names import DOM0, DomId, Token, TxId
from xenstore_sim.wire.ops import Errno, Op

COMMIT, ABORT = TransactionEnd(commit=True), TransactionEnd(commit=False)
TOKEN = Token(b"t")


@pytest.fixture
def stage() -> Stage:
    """/c with the children x and d, /x with one."""
    stage = Stage()
    stage.converse(
        says(stage.dom0, NO_TX, Write("/c/x", b"old")),
        says(stage.dom0, NO_TX, Mkdir("/c/d")),
        says(stage.dom0, NO_TX, Write("/x/child", b"old")),
    )
    return stage


@dataclass(frozen=True)
class Conflict:
    """What one does in a transaction, what another does meanwhile, and whether that collides."""

    name: str
    inside: tuple[Request, ...]
    outside: tuple[Request, ...]
    collides: bool


CONFLICTS = [
    Conflict("nothing, anything", (), (Write("/c/x", b""),), False),
    Conflict("read, write", (Read("/c/x"),), (Write("/c/x", b"new"),), True),
    Conflict("read, write the same", (Read("/c/x"),), (Write("/c/x", b"old"),), True),
    Conflict("read, set perms", (Read("/c/x"),), (SetPerms("/c/x", ("n0",)),), True),
    Conflict("read, remove", (Read("/c/x"),), (Rm("/c/x"),), True),
    Conflict("read, recreate", (Read("/c/x"),), (Rm("/c/x"), Write("/c/x", b"old")), True),
    Conflict("read, create a sibling", (Read("/c/x"),), (Mkdir("/c/new"),), False),
    Conflict("read, write a sibling", (Read("/c/x"),), (Write("/c/d", b""),), False),
    Conflict("read, create a child", (Read("/c/x"),), (Mkdir("/c/x/new"),), True),
    Conflict("blind write, write", (Write("/c/x", b"a"),), (Write("/c/x", b"b"),), True),
    Conflict("write, create a sibling", (Write("/c/x", b"a"),), (Mkdir("/c/new"),), False),
    Conflict("create, create a sibling", (Mkdir("/c/n1"),), (Mkdir("/c/n2"),), True),
    Conflict("create, write the parent", (Mkdir("/c/n1"),), (Write("/c", b""),), True),
    Conflict("create, write a sibling", (Mkdir("/c/n1"),), (Write("/c/x", b""),), False),
    Conflict("create, create below a sibling", (Mkdir("/c/n1"),), (Mkdir("/c/d/n"),), False),
    Conflict("read missing, create it", (Read("/c/n"),), (Mkdir("/c/n"),), True),
    Conflict("read missing, create a sibling", (Read("/c/n"),), (Mkdir("/c/other"),), True),
    Conflict("read deep missing, create high", (Read("/q/r/s"),), (Mkdir("/other"),), True),
    Conflict("list, create a child", (Directory("/c"),), (Mkdir("/c/n"),), True),
    Conflict("list, remove a child", (Directory("/c"),), (Rm("/c/x"),), True),
    Conflict("list, write a child", (Directory("/c"),), (Write("/c/x", b""),), False),
    Conflict("list, create a grandchild", (Directory("/c"),), (Mkdir("/c/d/n"),), False),
    Conflict("remove, write", (Rm("/c/x"),), (Write("/c/x", b""),), True),
    Conflict("remove, remove", (Rm("/c/x"),), (Rm("/c/x"),), True),
    Conflict("remove, create a sibling", (Rm("/c/x"),), (Mkdir("/c/n"),), True),
    Conflict("remove, remove a sibling", (Rm("/c/x"),), (Rm("/c/d"),), True),
    Conflict("remove, write a sibling", (Rm("/c/x"),), (Write("/c/d", b""),), False),
    Conflict("remove, write a descendant", (Rm("/x"),), (Write("/x/child", b""),), True),
    Conflict("make existing, write", (Mkdir("/c/x"),), (Write("/c/x", b""),), True),
    Conflict("get perms, write", (GetPerms("/c/x"),), (Write("/c/x", b""),), True),
    Conflict("set perms, write", (SetPerms("/c/x", ("n0",)),), (Write("/c/x", b""),), True),
    Conflict("read, move a cousin", (Read("/c/x"),), (Rm("/x"),), False),
]


@pytest.mark.parametrize("case", CONFLICTS, ids=lambda case: case.name)
def test_a_node_accessed_inside_and_changed_outside_collides(stage: Stage, case: Conflict) -> None:
    dom0, other = stage.dom0, stage.connect()
    stage.converse(started(dom0))
    for request in case.inside:
        stage.send(dom0, T1, request)
    for request in case.outside:
        stage.converse(says(other, NO_TX, request))
    stage.converse(
        says(dom0, T1, COMMIT, *([Errno.EAGAIN] if case.collides else [])),
        says(dom0, T1, COMMIT, Errno.ENOENT),
    )
    assert stage.daemon.statistics().conflicts == case.collides


@pytest.mark.parametrize("case", CONFLICTS, ids=lambda case: case.name)
def test_what_happened_before_the_first_access_is_seen(stage: Stage, case: Conflict) -> None:
    dom0, other = stage.dom0, stage.connect()
    stage.converse(started(dom0), *(says(other, NO_TX, request) for request in case.outside))
    for request in case.inside:
        stage.send(dom0, T1, request)
    stage.converse(says(dom0, T1, COMMIT))


def test_a_transaction_sees_its_copies_and_its_own_changes(stage: Stage) -> None:
    dom0, other = stage.dom0, stage.connect()
    stage.converse(
        started(dom0),
        says(dom0, T1, Read("/c/x"), Value(b"old")),
        says(other, NO_TX, Write("/c/x", b"new")),
        says(other, NO_TX, Write("/c/d", b"new")),
        says(dom0, T1, Read("/c/x"), Value(b"old")),
        says(dom0, T1, Read("/c/d"), Value(b"new")),
        says(dom0, T1, Write("/c/mine/deep", b"1")),
        says(dom0, T1, Directory("/c"), Listing(b"x\0d\0mine\0")),
        says(dom0, T1, Rm("/c/d")),
        says(dom0, T1, Read("/c/d"), Errno.ENOENT),
        says(other, NO_TX, Directory("/c"), Listing(b"x\0d\0")),
        says(dom0, T1, ABORT),
        says(dom0, NO_TX, Directory("/c"), Listing(b"x\0d\0")),
    )


def test_a_commit_makes_everything_visible_at_once(stage: Stage) -> None:
    dom0, other = stage.dom0, stage.connect()
    stage.converse(
        started(dom0),
        says(dom0, T1, Write("/n/a", b"1")),
        says(dom0, T1, Rm("/c/d")),
        says(dom0, T1, SetPerms("/n/a", ("n0", "r3"))),
        says(other, NO_TX, Read("/n"), Errno.ENOENT),
        says(dom0, T1, COMMIT),
        says(other, NO_TX, Read("/n/a"), Value(b"1")),
        says(other, NO_TX, Directory("/c"), Listing(b"x\0")),
    )


def test_ids_belong_to_their_connection(stage: Stage) -> None:
    dom0, other = stage.dom0, stage.connect()
    stage.converse(
        started(dom0, T1),
        started(dom0, T2),
        says(other, T1, Read("/c/x"), Errno.ENOENT),
        started(other, T1),
        says(dom0, T1, TransactionStart(), Errno.EBUSY),
        says(dom0, 9, TransactionStart(), Errno.ENOENT),
        says(dom0, 9, GetDomainPath(DomId(0)), Errno.ENOENT),
        says(dom0, 9, Raw(Op.CONTROL, b"check\0"), Errno.ENOENT),
        says(dom0, NO_TX, COMMIT, Errno.ENOENT),
        says(dom0, NO_TX, Raw(Op.TRANSACTION_END, b"X\0"), Errno.EINVAL),
        says(dom0, T2, Raw(Op.TRANSACTION_END, b"T"), Errno.EINVAL),
        says(dom0, T2, COMMIT),
        says(dom0, T1, ABORT),
    )


def test_watches_look_at_no_transaction(stage: Stage) -> None:
    stage.converse(
        says(stage.dom0, 77, Watch("/c", TOKEN), *_ok_and(event("/c"))),
        says(stage.dom0, 77, Unwatch("/c", TOKEN)),
    )


def test_resetting_watches_drops_transactions(stage: Stage) -> None:
    stage.converse(
        started(stage.dom0),
        says(stage.dom0, NO_TX, ResetWatches()),
        says(stage.dom0, T1, COMMIT, Errno.ENOENT),
    )


def test_ids_wrap_and_skip_zero_and_what_is_open() -> None:
    open_ = Transactions()
    accounts = Accounts()
    tree = Tree(accounts, node_overhead=16, anyone_sees_release=False)
    account = accounts.of(DOM0)
    assert [open_.add(Transaction(tree, account, None)) for _ in range(2)] == [1, 2]
    open_.last = TxId(2**32 - 2)
    assert open_.add(Transaction(tree, account, None)) == 2**32 - 1
    assert open_.add(Transaction(tree, account, None)) == 3


# ---------------------------------------------------------------- events


def _ok_and(*events: WatchEvent) -> tuple[Reply | WatchEvent, ...]:
    return (Ok(), *events)


@pytest.fixture
def watcher(stage: Stage) -> Peer:
    """Watches /c, and the nodes in it one by one."""
    peer = stage.connect()
    for path in ("/c", "/c/x", "/x", "/x/child"):
        stage.converse(says(peer, NO_TX, Watch(path, TOKEN), *_ok_and(event(path))))
    return peer


def test_nothing_is_told_before_the_end_nor_of_what_was_dropped(
    stage: Stage, watcher: Peer
) -> None:
    dom0 = stage.dom0
    stage.converse(
        started(dom0),
        says(dom0, T1, Write("/c/d", b"1")),
        hears(watcher),
        says(dom0, T1, ABORT),
        hears(watcher),
        started(dom0, T2),
        says(dom0, T2, Write("/c/d", b"1")),
        says(dom0, NO_TX, Write("/c/d", b"2")),
        hears(watcher, event("/c/d")),
        says(dom0, T2, COMMIT, Errno.EAGAIN),
        hears(watcher),
    )


def test_each_changed_node_is_told_once_in_the_order_of_first_access(
    stage: Stage, watcher: Peer
) -> None:
    dom0 = stage.dom0
    stage.converse(
        started(dom0),
        says(dom0, T1, Read("/c/d"), Value(b"")),
        says(dom0, T1, Write("/c/new", b"1")),
        says(dom0, T1, Write("/c/new", b"2")),
        says(dom0, T1, SetPerms("/c/new", ("n0",))),
        says(dom0, T1, Write("/c/d", b"1")),
        says(dom0, T1, Mkdir("/c/d")),
        says(dom0, T1, COMMIT),
        hears(watcher, event("/c/d"), event("/c/new")),
    )


def test_a_node_made_and_removed_is_not_told(stage: Stage, watcher: Peer) -> None:
    dom0 = stage.dom0
    stage.converse(
        started(dom0),
        says(dom0, T1, Mkdir("/c/brief/deep")),
        says(dom0, T1, Rm("/c/brief")),
        says(dom0, T1, COMMIT),
        hears(watcher),
        says(dom0, NO_TX, Directory("/c"), Listing(b"x\0d\0")),
    )


def test_a_removed_tree_is_told_from_the_top(stage: Stage, watcher: Peer) -> None:
    dom0 = stage.dom0
    stage.converse(
        started(dom0),
        says(dom0, T1, Rm("/x")),
        says(dom0, T1, COMMIT),
        hears(watcher, event("/x"), event("/x/child")),
    )


def test_a_replaced_tree_is_told_once_and_its_lost_nodes_exactly(
    stage: Stage, watcher: Peer
) -> None:
    dom0 = stage.dom0
    above = stage.connect()
    stage.converse(
        says(above, NO_TX, Watch("/", TOKEN), *_ok_and(event("/"))),
        started(dom0),
        says(dom0, T1, Rm("/x")),
        says(dom0, T1, Write("/x", b"again")),
        says(dom0, T1, COMMIT),
        hears(watcher, event("/x"), event("/x/child")),
        hears(above, event("/x")),
    )


def test_the_events_of_a_commit_come_before_its_answer(stage: Stage) -> None:
    dom0 = stage.dom0
    stage.converse(
        says(dom0, NO_TX, Watch("/c/x", TOKEN), *_ok_and(event("/c/x"))),
        started(dom0),
        says(dom0, T1, Write("/c/x", b"1")),
        says(dom0, T1, COMMIT, event("/c/x"), Ok()),
    )


# ---------------------------------------------------------------- quotas


@pytest.fixture
def small() -> Stage:
    """Dom3 owns /p; it may own 3 nodes and touch 6 in a transaction."""
    stage = Stage(Settings(quotas=Quotas(nodes=3, transaction_nodes=6, node_size=100)))
    dom0 = stage.dom0
    stage.converse(
        says(dom0, NO_TX, Mkdir("/p")),
        says(dom0, NO_TX, SetPerms("/p", ("n3",))),
    )
    return stage


@pytest.mark.parametrize(("compat", "open_"), [(COMPAT_4_20, 11), (COMPAT_4_22, 9)])
def test_a_domain_has_so_many_transactions_open(compat: Compat, open_: int) -> None:
    stage = Stage(Settings(compat))
    dom3 = stage.domain(3)
    stage.converse(
        *(started(dom3, number) for number in range(1, open_ + 1)),
        says(dom3, NO_TX, TransactionStart(), Errno.ENOSPC),
        says(dom3, 1, ABORT),
        started(dom3, open_ + 1),
        *(started(stage.dom0, number) for number in range(1, 30)),
    )


def test_a_value_too_large_poisons(small: Stage) -> None:
    dom3 = small.domain(3)
    small.converse(
        started(dom3),
        says(dom3, T1, Write("/p", bytes(99)), Errno.ENOSPC),
        says(dom3, T1, Read("/p"), Value(b"")),
        says(dom3, T1, COMMIT, Errno.ENOMEM),
        says(dom3, T1, COMMIT, Errno.ENOENT),
        started(dom3, T2),
        says(dom3, T2, Write("/p", bytes(99)), Errno.ENOSPC),
        says(dom3, T2, ABORT),
    )


def test_touching_too_many_nodes_poisons(small: Stage) -> None:
    dom3 = small.domain(3)
    small.converse(
        started(dom3),
        # Each missing node is one access, and those above it are once.
        *(says(dom3, T1, Read(f"/p/{name}"), Errno.ENOENT) for name in "abcde"),
        says(dom3, T1, Read("/p/a"), Errno.ENOENT),
        says(dom3, T1, Read("/p/f"), Errno.ENOSPC),
        says(dom3, T1, COMMIT, Errno.ENOMEM),
    )


def test_too_many_nodes_poison_only_when_part_of_them_was_made(small: Stage) -> None:
    dom3 = small.domain(3)
    small.converse(
        started(dom3),
        says(dom3, T1, Mkdir("/p/a")),
        says(dom3, T1, Mkdir("/p/b/c"), Errno.ENOSPC),
        says(dom3, T1, COMMIT, Errno.ENOMEM),
        started(dom3, T2),
        says(dom3, T2, Mkdir("/p/a/b")),
        says(dom3, T2, Mkdir("/p/c"), Errno.ENOSPC),
        says(dom3, T2, COMMIT),
        says(dom3, NO_TX, Read("/p/a/b"), Value(b"")),
    )


def test_the_number_of_nodes_is_counted_again_at_the_end(small: Stage) -> None:
    dom0, dom3 = small.dom0, small.domain(3)
    small.converse(
        says(dom3, NO_TX, Mkdir("/p/a")),
        started(dom3),
        says(dom3, T1, Mkdir("/p/a/b")),
        says(dom0, NO_TX, Mkdir("/p/by0")),
        says(dom3, T1, COMMIT, Errno.ENOSPC),
    )


def test_dom0_commits_what_is_too_much_for_others(small: Stage) -> None:
    dom0 = small.dom0
    small.converse(
        started(dom0),
        *(says(dom0, T1, Write(f"/p/{number}", bytes(200))) for number in range(20)),
        says(dom0, T1, COMMIT),
    )


def test_a_view_whose_parent_is_older_than_its_child_stays_usable_and_conflicts(
    stage: Stage,
) -> None:
    """The root is read first, and a child of it made outside, then seen."""
    stage.converse(
        started(stage.dom0, T1),
        says(stage.dom0, T1, Directory("/"), Listing(b"tool\0c\0x\0")),
        says(stage.dom0, NO_TX, Write("/late", b"1")),
        says(stage.dom0, T1, Read("/late"), Value(b"1")),
        says(stage.dom0, T1, Rm("/late"), Errno.EIO),
        says(stage.dom0, T1, Directory("/"), Listing(b"tool\0c\0x\0")),
        says(stage.dom0, T1, COMMIT, Errno.EAGAIN),
        says(stage.dom0, NO_TX, Read("/late"), Value(b"1")),
    )


def test_a_child_that_others_removed_is_not_listed_twice_when_it_is_made_again(
    stage: Stage,
) -> None:
    stage.converse(
        started(stage.dom0, T1),
        says(stage.dom0, T1, Directory("/c"), Listing(b"x\0d\0")),
        says(stage.dom0, NO_TX, Rm("/c/x")),
        says(stage.dom0, T1, Write("/c/x", b"new")),
        says(stage.dom0, T1, Directory("/c"), Listing(b"x\0d\0")),
        says(stage.dom0, T1, COMMIT, Errno.EAGAIN),
    )
