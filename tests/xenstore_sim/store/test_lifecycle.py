"""Domains come and go: INTRODUCE, RELEASE, death, SET_TARGET."""

import pytest

from tests.xenstore_sim.conversations import (
    NO_TX,
    T1,
    Peer,
    Says,
    Stage,
    event,
    hears,
    says,
    started,
)
from xenstore_sim.store.commands import Close, CloseDomain, OpenDomain
from xenstore_sim.store.daemon import Settings
from xenstore_sim.wire.compat import COMPAT_4_22
from xenstore_sim.wire.layout import encode_packet
from xenstore_sim.wire.messages import (
    Directory,
    GetDomainPath,
    GetPerms,
    Introduce,
    IsDomainIntroduced,
    Listing,
    Mkdir,
    Ok,
    PermsReply,
    Read,
    Release,
    Request,
    Resume,
    SetPerms,
    SetTarget,
    Text,
    TransactionEnd,
    Value,
    Watch,
    Write,
)
from xenstore_sim.wire.names import DomId, Token
from xenstore_sim.wire.ops import Errno, Op
from xenstore_sim.wire.perms import NodePerms

S, T = DomId(4), DomId(3)
TOKEN = Token(b"t")


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
def dom0(stage: Stage) -> Peer:
    return stage.dom0


def watching(who: Peer, path: str) -> Says:
    return says(who, NO_TX, Watch(path, TOKEN), Ok(), event(path))


def introduce(domid: int, port: int = 1) -> Introduce:
    return Introduce(DomId(domid), 1, port)


def owned(dom0: Peer, path: str, *entries: str) -> tuple[Says, Says]:
    return says(dom0, NO_TX, Mkdir(path)), says(dom0, NO_TX, SetPerms(path, entries))


def test_introduction_opens_a_domain(stage: Stage, dom0: Peer) -> None:
    assert stage.daemon.connect(T) is None
    stage.converse(
        says(dom0, NO_TX, IsDomainIntroduced(T), Text("F")),
        says(dom0, NO_TX, introduce(3)),
        says(dom0, NO_TX, IsDomainIntroduced(T), Text("T")),
    )
    assert OpenDomain(T) in stage.commands
    peer = stage.connect(3)
    assert stage.daemon.connect(T) is None, "one connection at a time"
    stage.daemon.disconnect(peer.conn)
    stage.connect(3)
    assert stage.daemon.statistics().refused_connections == 2


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (introduce(3, port=0), Errno.EINVAL),
        (introduce(3, port=-1), Errno.EINVAL),
        (introduce(32752), Errno.EINVAL),
        (Release(DomId(0)), Errno.EINVAL),
        (Release(DomId(9)), Errno.ENOENT),
        (Resume(DomId(0)), Errno.EINVAL),
        (Resume(DomId(9)), Errno.ENOENT),
        (IsDomainIntroduced(DomId(0)), Text("T")),
        (IsDomainIntroduced(DomId(32752)), Text("T")),
        (IsDomainIntroduced(DomId(9)), Text("F")),
        (GetDomainPath(DomId(9)), Text("/local/domain/9")),
        (SetTarget(DomId(9), DomId(0)), Errno.ENOENT),
        (SetTarget(DomId(0), DomId(9)), Errno.ENOENT),
        (SetTarget(DomId(0), DomId(0)), Ok()),
        (introduce(0), Ok()),
    ],
)
def test_answers_about_domains(
    stage: Stage, dom0: Peer, request_: Request, answer: Errno | Text | Ok
) -> None:
    stage.converse(says(dom0, NO_TX, request_, answer))


def test_a_guest_may_ask_only_for_paths(stage: Stage) -> None:
    dom3 = stage.domain(3)
    stage.converse(
        says(dom3, NO_TX, introduce(5), Errno.EACCES),
        says(dom3, NO_TX, Release(T), Errno.EACCES),
        says(dom3, NO_TX, Resume(T), Errno.EACCES),
        says(dom3, NO_TX, SetTarget(T, S), Errno.EACCES),
        says(dom3, NO_TX, IsDomainIntroduced(T), Errno.EACCES),
        says(dom3, NO_TX, GetDomainPath(T), Text("/local/domain/3")),
    )


def test_a_second_introduction_begins_anew_and_tells_nobody(stage: Stage, dom0: Peer) -> None:
    dom3 = stage.domain(3)
    stage.converse(
        watching(dom0, "@introduceDomain"),
        watching(dom3, "/"),
        started(dom3),
    )
    stage.commands += stage.daemon.feed(dom3.conn, encode_packet(Op.READ, 1, 0, b"/\0")[:-1])
    stage.converse(
        says(dom0, NO_TX, introduce(3)),
        says(dom3, T1, TransactionEnd(commit=True), Errno.ENOENT),
        watching(dom3, "/"),
    )
    assert not stage.closed


def test_a_second_introduction_ends_a_stream_in_the_middle_of_a_message(
    stage: Stage, dom0: Peer
) -> None:
    dom3 = stage.domain(3)
    stage.daemon.feed(dom3.conn, encode_packet(Op.GET_DOMAIN_PATH, 1, 0, b"3\0"))
    stage.daemon.sent(dom3.conn, 5)
    stage.converse(says(dom0, NO_TX, introduce(3)))
    assert stage.closed == [dom3.conn]
    assert stage.connect(3).conn != dom3.conn


def test_release_removes_the_domains_nodes_with_all_below(stage: Stage, dom0: Peer) -> None:
    dom3, watcher = stage.domain(3), stage.connect()
    stage.converse(
        *owned(dom0, "/local/domain/3", "n0", "r3"),
        *owned(dom0, "/local/domain/3/data", "n3"),
        *owned(dom0, "/local/domain/3/data/foreign", "n0"),
        *owned(dom0, "/vm/x", "n3"),
        *owned(dom0, "/vm/y", "n0"),
        watching(watcher, "/"),
        watching(watcher, "/local/domain/3/data/foreign"),
        watching(watcher, "@releaseDomain"),
        watching(dom3, "/"),
        started(dom3),
        says(dom0, NO_TX, Release(T)),
        hears(
            watcher,
            event("/local/domain/3/data/foreign"),
            event("/local/domain/3/data"),
            event("/vm/x"),
            event("@releaseDomain"),
        ),
        says(dom0, NO_TX, Directory("/local/domain/3"), Listing(b"")),
        says(dom0, NO_TX, Directory("/vm"), Listing(b"y\0")),
        says(dom0, NO_TX, GetPerms("/local/domain/3"), PermsReply(NodePerms.of("n0", "r3"))),
        says(dom0, NO_TX, IsDomainIntroduced(T), Text("F")),
        says(dom0, NO_TX, Release(T), Errno.ENOENT),
    )
    assert stage.closed == [dom3.conn]
    assert CloseDomain(T) in stage.commands
    assert stage.daemon.statistics().watches == 3


def test_what_was_allowed_to_an_earlier_domain_is_not_to_a_later(stage: Stage, dom0: Peer) -> None:
    stage.domain(3)
    stage.converse(
        says(dom0, NO_TX, Write("/p", b"v")),
        says(dom0, NO_TX, SetPerms("/p", ("n0", "r3"))),
        says(dom0, NO_TX, Release(T)),
        # Something is written before the next domain of this id comes.
        says(dom0, NO_TX, Write("/q", b"")),
    )
    dom3 = stage.domain(3)
    stage.converse(
        says(dom3, NO_TX, Read("/p"), Errno.EACCES),
        says(dom0, NO_TX, Write("/p", b"w")),
        says(dom3, NO_TX, Read("/p"), Errno.EACCES),
        says(dom0, NO_TX, GetPerms("/p"), PermsReply(NodePerms.of("n0", "r3"))),
        says(dom0, NO_TX, SetPerms("/p", ("n0", "r3"))),
        says(dom3, NO_TX, Read("/p"), Value(b"w")),
    )


def test_4_22_takes_a_dead_domain_out_of_all_lists() -> None:
    stage = Stage(Settings(COMPAT_4_22))
    dom0 = stage.dom0
    stage.domain(3)
    stage.converse(
        *owned(dom0, "/p", "n0", "r3", "r5"),
        watching(dom0, "/p"),
        says(dom0, NO_TX, Release(T)),
        says(dom0, NO_TX, GetPerms("/p"), PermsReply(NodePerms.of("n0", "r5"))),
    )


def test_death_is_like_release(stage: Stage, dom0: Peer) -> None:
    dom3 = stage.domain(3)
    stage.converse(*owned(dom0, "/p", "n3"), watching(dom0, "@releaseDomain"))
    stage.commands += stage.daemon.domain_destroyed(T)
    stage.converse(
        hears(dom0, event("@releaseDomain")),
        says(dom0, NO_TX, Read("/p"), Errno.ENOENT),
    )
    assert stage.closed == [dom3.conn]
    assert stage.daemon.domain_destroyed(T) == ()


def test_the_death_of_a_domain_that_was_never_introduced_is_not_told(
    stage: Stage, dom0: Peer
) -> None:
    stage.converse(*owned(dom0, "/p", "n3"), watching(dom0, "@releaseDomain"))
    assert stage.daemon.domain_destroyed(T) == ()
    stage.converse(hears(dom0), says(dom0, NO_TX, Read("/p"), Errno.ENOENT))


def test_a_shutdown_is_told_once_until_the_domain_is_resumed(stage: Stage, dom0: Peer) -> None:
    stage.domain(3)
    stage.converse(*owned(dom0, "/p", "n3"), watching(dom0, "@releaseDomain"))
    for _ in range(2):
        stage.commands += stage.daemon.domain_shut_down(T)
    stage.converse(
        hears(dom0, event("@releaseDomain")),
        says(dom0, NO_TX, Read("/p"), Value(b"")),
        says(dom0, NO_TX, Resume(T)),
    )
    stage.commands += stage.daemon.domain_shut_down(T)
    stage.converse(hears(dom0, event("@releaseDomain")))
    assert stage.daemon.domain_shut_down(DomId(77)) == ()


# ---------------------------------------------------------------- SET_TARGET


@pytest.fixture
def stub(stage: Stage, dom0: Peer) -> Peer:
    """The connection of S, whose target is T."""
    stage.converse(
        says(dom0, NO_TX, introduce(T)),
        *owned(dom0, "/t", "n3"),
        *owned(dom0, "/readable", "n0", "r3"),
    )
    peer = stage.domain(S)
    stage.converse(
        says(peer, NO_TX, Mkdir("/t/x"), Errno.EACCES),
        says(dom0, NO_TX, SetTarget(S, T)),
    )
    return peer


def test_a_stub_domain_does_what_its_target_may(stage: Stage, dom0: Peer, stub: Peer) -> None:
    dom3 = stage.connect(T)
    stage.converse(
        says(stub, NO_TX, Read("/readable"), Value(b"")),
        says(stub, NO_TX, Write("/readable", b""), Errno.EACCES),
        says(stub, NO_TX, Mkdir("/t/x")),
        says(dom0, NO_TX, GetPerms("/t/x"), PermsReply(NodePerms.of("n4"))),
        says(dom3, NO_TX, Read("/t/x"), Errno.EACCES),
        says(stub, NO_TX, SetPerms("/t", ("b3",))),
        says(stub, NO_TX, SetPerms("/t", ("b4",)), Errno.EPERM),
        says(dom3, NO_TX, Mkdir("/t/y")),
        says(stub, NO_TX, Read("/t/y"), Value(b"")),
    )


def test_a_target_outlives_its_first_release(stage: Stage, dom0: Peer, stub: Peer) -> None:
    stage.converse(
        says(dom0, NO_TX, Release(T)),
        says(dom0, NO_TX, IsDomainIntroduced(T), Text("T")),
        says(stub, NO_TX, Read("/readable"), Value(b"")),
        says(dom0, NO_TX, Release(T)),
        says(dom0, NO_TX, IsDomainIntroduced(T), Text("F")),
        says(stub, NO_TX, Read("/readable"), Errno.EACCES),
    )


def test_a_dead_target_waits_for_its_stub(stage: Stage, dom0: Peer, stub: Peer) -> None:
    stage.commands += stage.daemon.domain_destroyed(T)
    stage.converse(
        says(dom0, NO_TX, Read("/t"), Value(b"")),
        watching(dom0, "@releaseDomain"),
        says(dom0, NO_TX, Release(S), event("@releaseDomain"), event("@releaseDomain"), Ok()),
        says(dom0, NO_TX, Read("/t"), Errno.ENOENT),
        says(dom0, NO_TX, IsDomainIntroduced(T), Text("F")),
    )


def test_a_released_stub_no_longer_holds_its_target(stage: Stage, dom0: Peer, stub: Peer) -> None:
    stage.converse(
        says(dom0, NO_TX, Release(S)),
        says(dom0, NO_TX, Release(T)),
        says(dom0, NO_TX, IsDomainIntroduced(T), Text("F")),
    )


def test_a_target_is_known_to_later_connections(stage: Stage, stub: Peer) -> None:
    stage.daemon.disconnect(stub.conn)
    stage.converse(says(stage.connect(S), NO_TX, Read("/readable"), Value(b"")))


def test_the_end_of_a_connection_is_not_the_end_of_its_domain(stage: Stage, dom0: Peer) -> None:
    dom3 = stage.domain(3)
    stage.converse(
        *owned(dom0, "/p", "n3"),
        watching(dom3, "/p"),
        watching(dom0, "@releaseDomain"),
        started(dom3),
    )
    stage.daemon.disconnect(dom3.conn)
    again = stage.connect(3)
    stage.converse(
        says(dom0, NO_TX, Write("/p", b"v")),
        says(again, T1, Read("/p"), Errno.ENOENT),
        says(again, NO_TX, Read("/p"), Value(b"v")),
    )
    assert Close(dom3.conn) not in stage.commands


def test_the_root_of_a_domain_that_goes_is_dom0s(stage: Stage, dom0: Peer) -> None:
    guest = stage.domain(3)
    stage.converse(
        says(dom0, NO_TX, SetPerms("/", ("r3", "w7"))),
        says(dom0, NO_TX, Mkdir("/theirs")),
        says(dom0, NO_TX, Release(T)),
        says(dom0, NO_TX, GetPerms("/"), PermsReply(NodePerms.of("r0", "w7"))),
        says(dom0, NO_TX, Directory("/"), Listing(b"tool\0")),
    )
    assert stage.closed == [guest.conn]
    assert stage.daemon.statistics().nodes == 5


def test_a_long_chain_of_dead_targets_goes_with_the_last_stub(stage: Stage, dom0: Peer) -> None:
    """Longer than Python's stack is deep."""
    last = 1500
    for domid in range(1, last + 1):
        stage.send(dom0, NO_TX, Introduce(DomId(domid), 1, 1))
    for domid in range(1, last):
        stage.send(dom0, NO_TX, SetTarget(DomId(domid), DomId(domid + 1)))
    for domid in range(2, last + 1):
        stage.daemon.domain_destroyed(DomId(domid))
    stage.converse(
        says(dom0, NO_TX, IsDomainIntroduced(DomId(last)), Text("T")),
        says(dom0, NO_TX, Release(DomId(1))),
        says(dom0, NO_TX, IsDomainIntroduced(DomId(last)), Text("F")),
    )
