"""What the comparison with the real xenstored of Xen 4.17 brought to light."""

import pytest

from tests.xenstore_sim.conversations import (
    NO_TX,
    T1,
    Stage,
    event,
    hears,
    readable,
    says,
    started,
)
from xenstore_sim.store.daemon import Settings
from xenstore_sim.store.quotas import Quotas
from xenstore_sim.wire.compat import COMPAT_4_17, COMPAT_4_20, COMPAT_4_22, Compat
from xenstore_sim.wire.layout import encode_packet
from xenstore_sim.wire.messages import (
    Control,
    Directory,
    DirectoryPart,
    Introduce,
    IsDomainIntroduced,
    Listing,
    ListingPart,
    Ok,
    Read,
    Release,
    Request,
    Resume,
    Rm,
    SetPerms,
    SetTarget,
    Text,
    TransactionEnd,
    Unwatch,
    Value,
    Watch,
    Write,
)
from xenstore_sim.wire.names import DOM0, DomId, Token
from xenstore_sim.wire.ops import Errno
from xenstore_sim.wire.payloads import encode_request

TOKEN = Token(b"t")
RELEASES = pytest.mark.parametrize("compat", [COMPAT_4_17, COMPAT_4_20, COMPAT_4_22])
ONE, TWO, THREE = DomId(1), DomId(2), DomId(3)


@pytest.fixture
def stage() -> Stage:
    return Stage()


@RELEASES
def test_a_domain_that_does_not_exist_cannot_be_introduced(compat: Compat) -> None:
    stage = Stage(Settings(compat), exists=lambda domid: False)
    stage.converse(says(stage.dom0, NO_TX, Introduce(ONE, 1, 1), Errno.EINVAL))


@RELEASES
def test_unwatch_of_no_path(compat: Compat) -> None:
    stage = Stage(Settings(compat))
    answer = Errno.EINVAL if compat.unwatch_checks_path else Errno.ENOENT
    stage.converse(says(stage.dom0, NO_TX, Unwatch("/a/", TOKEN), answer))


@RELEASES
def test_special_nodes_are_nodes_since_4_18(compat: Compat) -> None:
    stage = Stage(Settings(compat))
    dom0, dom1 = stage.dom0, stage.domain(1)
    one = ("n1", "r1")
    is_event = (event("@releaseDomain"),) if compat.special_nodes else ()
    missing = Errno.ENOENT if compat.special_nodes else Errno.EINVAL
    stage.converse(
        says(dom0, NO_TX, Watch("@releaseDomain", TOKEN), Ok(), event("@releaseDomain")),
        says(dom1, NO_TX, SetPerms("@releaseDomain", one), Errno.EACCES),
        says(dom0, NO_TX, SetPerms("@other", one), missing),
        says(dom0, NO_TX, SetPerms("@releaseDomain", one), *is_event, Ok()),
        says(dom1, NO_TX, SetPerms("@releaseDomain", one)),
        *((hears(dom0, *is_event),) if is_event else ()),
    )


def test_4_17_does_not_count_writes_of_special_nodes() -> None:
    stage = Stage(Settings(COMPAT_4_17))
    whole = ListingPart("2", b"xenstored\0", last=True)
    stage.converse(
        says(stage.dom0, NO_TX, SetPerms("@releaseDomain", ("n0", "r1"))),
        says(stage.dom0, NO_TX, DirectoryPart("/tool", 0), whole),
    )


def test_who_is_refused_a_node_has_accessed_the_one_above(stage: Stage) -> None:
    dom0, dom1 = stage.dom0, stage.domain(1)
    stage.converse(
        says(dom0, NO_TX, Write("/p/secret", b"")),
        started(dom1),
        says(dom1, T1, Read("/p/secret"), Errno.EACCES),
        says(dom0, NO_TX, Write("/p", b"changed")),
        says(dom1, T1, TransactionEnd(commit=True), Errno.EAGAIN),
    )


def test_dom0_holds_its_target_too(stage: Stage) -> None:
    dom0 = stage.dom0
    stage.domain(1)
    stage.converse(says(dom0, NO_TX, SetTarget(DOM0, ONE)))
    stage.daemon.domain_destroyed(ONE)
    stage.converse(says(dom0, NO_TX, IsDomainIntroduced(ONE), Text("T")))


def test_release_drops_the_newest_hold(stage: Stage) -> None:
    dom0 = stage.dom0
    for domid in (1, 2, 3):
        stage.domain(domid)
    # Domain 3 is younger than 2, and its hold on 1 is older.
    stage.converse(
        says(dom0, NO_TX, SetTarget(THREE, ONE)),
        says(dom0, NO_TX, SetTarget(TWO, ONE)),
        says(dom0, NO_TX, Release(ONE)),
        says(dom0, NO_TX, Release(TWO)),
    )
    stage.daemon.domain_destroyed(ONE)
    stage.converse(
        says(dom0, NO_TX, IsDomainIntroduced(ONE), Text("T")),
        says(dom0, NO_TX, Release(THREE)),
        says(dom0, NO_TX, IsDomainIntroduced(ONE), Text("F")),
    )


@pytest.mark.parametrize(
    "request_", [Release(ONE), Resume(ONE), SetTarget(ONE, TWO), SetTarget(TWO, ONE)]
)
def test_a_dead_domain_that_is_held_cannot_be_spoken_of(
    stage: Stage, request_: Release | Resume | SetTarget
) -> None:
    dom0 = stage.dom0
    stage.domain(1)
    stage.domain(2)
    stage.converse(says(dom0, NO_TX, SetTarget(TWO, ONE)))
    stage.daemon.domain_destroyed(ONE)
    stage.converse(says(dom0, NO_TX, request_, Errno.EINVAL))


def test_dead_targets_go_before_the_domain_that_held_them_and_once(stage: Stage) -> None:
    dom0 = stage.dom0
    for domid in (1, 2, 3):
        stage.domain(domid)
        stage.converse(
            says(dom0, NO_TX, Write(f"/of-{domid}", b"")),
            says(dom0, NO_TX, SetPerms(f"/of-{domid}", (f"n{domid}",))),
        )
    stage.converse(
        says(dom0, NO_TX, SetTarget(TWO, ONE)),
        says(dom0, NO_TX, SetTarget(TWO, THREE)),
        says(dom0, NO_TX, SetTarget(TWO, ONE)),
        says(dom0, NO_TX, Watch("/", TOKEN), Ok(), event("/")),
        says(dom0, NO_TX, Watch("@releaseDomain", TOKEN), Ok(), event("@releaseDomain")),
    )
    stage.daemon.domain_destroyed(ONE)
    stage.daemon.domain_destroyed(THREE)
    stage.converse(hears(dom0))
    stage.daemon.domain_destroyed(TWO)
    gone = (event(f"/of-{domid}") for domid in (3, 1, 2))
    told = [each for one in gone for each in (one, event("@releaseDomain"))]
    stage.converse(hears(dom0, *told))


def test_dom0_is_introduced_from_the_start(stage: Stage) -> None:
    dom0 = stage.dom0
    stage.converse(
        says(dom0, NO_TX, Watch("@introduceDomain", TOKEN), Ok(), event("@introduceDomain")),
        says(dom0, NO_TX, Introduce(DOM0, 1, 1)),
        says(dom0, NO_TX, IsDomainIntroduced(DOM0), Text("T")),
    )


def test_rm_in_a_transaction_of_a_directory_whose_child_others_removed(stage: Stage) -> None:
    dom0 = stage.dom0
    stage.converse(
        says(dom0, NO_TX, Write("/p/gone", b"")),
        started(dom0),
        says(dom0, T1, Directory("/p"), Listing(b"gone\0")),
        says(dom0, NO_TX, Rm("/p/gone")),
        says(dom0, T1, Rm("/p"), Errno.EIO),
        says(dom0, T1, TransactionEnd(commit=True), Errno.EAGAIN),
    )


def test_rm_of_more_nodes_than_a_transaction_may_touch() -> None:
    stage = Stage(Settings(quotas=Quotas(transaction_nodes=3)))
    dom0, dom1 = stage.dom0, stage.domain(1)
    stage.converse(
        says(dom0, NO_TX, Write("/p/a/b", b"")),
        says(dom0, NO_TX, SetPerms("/p", ("n1",))),
        started(dom1),
        says(dom1, T1, Rm("/p"), Errno.EIO),
        says(dom1, T1, TransactionEnd(commit=True), Errno.ENOMEM),
    )


def test_rm_in_a_transaction_of_a_node_whose_parent_others_removed(stage: Stage) -> None:
    dom0 = stage.dom0
    stage.converse(
        says(dom0, NO_TX, Write("/p/a", b"")),
        started(dom0),
        says(dom0, T1, Read("/p/a"), Value(b"")),
        says(dom0, NO_TX, Rm("/p")),
        says(dom0, T1, Rm("/p/a"), Errno.EINVAL),
        says(dom0, T1, TransactionEnd(commit=True), Errno.EAGAIN),
    )


def test_rm_in_a_transaction_of_a_node_that_its_copy_of_the_parent_lacks(stage: Stage) -> None:
    dom0 = stage.dom0
    stage.converse(
        says(dom0, NO_TX, Write("/p", b"")),
        started(dom0),
        says(dom0, T1, Read("/p"), Value(b"")),
        says(dom0, NO_TX, Write("/p/a", b"")),
        says(dom0, T1, Rm("/p/a"), Errno.EIO),
        says(dom0, T1, TransactionEnd(commit=True), Errno.EAGAIN),
    )


def test_the_first_event_of_a_watch_is_merged_with_an_equal_one_that_waits(stage: Stage) -> None:
    conn = stage.dom0.conn
    watches: tuple[Request, ...] = (Watch("/p", TOKEN), Write("/p/q", b""), Watch("/p/q", TOKEN))
    packets = (
        encode_packet(int(each.op), number, NO_TX, encode_request(each))
        for number, each in enumerate(watches)
    )
    stage.daemon.feed(conn, b"".join(packets))
    types = [line.split()[0] for line in readable(stage.take(stage.dom0))]
    assert types == ["WATCH", "WATCH_EVENT", "WATCH_EVENT", "WRITE", "WATCH"]


def test_the_first_event_of_a_watch_of_a_special_node_always_comes(stage: Stage) -> None:
    conn = stage.dom0.conn
    again: tuple[Request, ...] = (Watch("@x", TOKEN), Unwatch("@x", TOKEN), Watch("@x", TOKEN))
    packets = (
        encode_packet(int(each.op), number, NO_TX, encode_request(each))
        for number, each in enumerate(again)
    )
    stage.daemon.feed(conn, b"".join(packets))
    types = [line.split()[0] for line in readable(stage.take(stage.dom0))]
    assert types == ["WATCH", "WATCH_EVENT", "UNWATCH", "WATCH", "WATCH_EVENT"]


def test_a_new_bound_of_accessed_nodes_holds_for_open_transactions(stage: Stage) -> None:
    dom0, dom1 = stage.dom0, stage.domain(1)
    stage.converse(
        started(dom1),
        says(dom1, T1, Read("/"), Errno.EACCES),
        says(dom0, NO_TX, Control(("quota", "set", "transaction-nodes", "1")), Text("OK")),
        says(dom1, T1, Read("/tool"), Errno.ENOSPC),
    )
