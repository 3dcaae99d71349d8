"""Watches: who is told what, in which order, and who is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.xenstore_sim.conversations import (
    NO_TX,
    T1,
    Peer,
    Raw,
    Says,
    Stage,
    event,
    hears,
    says,
    started,
)
from tests.xenstore_sim.strategies import NAMES
from xenstore_sim.store.daemon import Settings
from xenstore_sim.store.watches import ConnId, Watches
from xenstore_sim.wire.compat import COMPAT_4_17, COMPAT_4_20, COMPAT_4_22, Compat
from xenstore_sim.wire.messages import (
    Mkdir,
    Ok,
    Release,
    ResetWatches,
    Rm,
    SetPerms,
    TransactionEnd,
    Unwatch,
    Watch,
    Write,
)
from xenstore_sim.wire.names import DomId, Token, absolute_path
from xenstore_sim.wire.ops import Errno, Op

T = Token(b"t")


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
def dom0(stage: Stage) -> Peer:
    return stage.dom0


def watching(who: Peer, path: str, token: bytes = b"t", depth: int | None = None) -> Says:
    """WATCH, its OK, and then its first event with the path as it was written."""
    return says(who, NO_TX, Watch(path, Token(token), depth), Ok(), event(path, token))


@pytest.mark.parametrize("path", ["/a", "/missing/x", "rel", "@releaseDomain", "@any", "/"])
def test_a_watch_speaks_at_once_whatever_it_is_on(stage: Stage, path: str) -> None:
    stage.converse(watching(stage.domain(3), path))


def test_a_watch_is_its_path_and_token(stage: Stage, dom0: Peer) -> None:
    stage.converse(
        watching(dom0, "x", b"1"),
        watching(dom0, "x", b"2"),
        watching(dom0, "x", b""),
        says(dom0, NO_TX, Watch("/local/domain/0/x", Token(b"1")), Errno.EEXIST),
        watching(stage.connect(), "x", b"1"),
        says(dom0, NO_TX, Unwatch("/local/domain/0/x", Token(b"3")), Errno.ENOENT),
        says(dom0, NO_TX, Unwatch("/local/domain/0/x", Token(b"1"))),
        says(dom0, NO_TX, Unwatch("x", Token(b"1")), Errno.ENOENT),
    )


@pytest.mark.parametrize("path", ["", "/a/", "/a.b", "@a/"])
def test_a_watch_needs_a_path(stage: Stage, dom0: Peer, path: str) -> None:
    stage.converse(
        says(dom0, NO_TX, Watch(path, T), Errno.EINVAL),
        says(dom0, NO_TX, Unwatch(path, T), Errno.EINVAL),
    )


def test_what_fires_and_what_does_not(stage: Stage, dom0: Peer) -> None:
    watcher = stage.connect()
    stage.converse(
        says(dom0, NO_TX, Write("/a/x", b"v")),
        watching(watcher, "/a"),
        says(dom0, NO_TX, Write("/a/x", b"v")),
        hears(watcher, event("/a/x")),
        says(dom0, NO_TX, Write("/a/new/deep", b"")),
        hears(watcher, event("/a/new/deep")),
        says(dom0, NO_TX, Mkdir("/a/new")),
        hears(watcher),
        says(dom0, NO_TX, Mkdir("/a/made")),
        hears(watcher, event("/a/made")),
        says(dom0, NO_TX, SetPerms("/a", ("n0",))),
        hears(watcher, event("/a")),
        says(dom0, NO_TX, Rm("/a/missing")),
        hears(watcher),
        says(dom0, NO_TX, Write("/ab", b"")),
        says(dom0, NO_TX, Write("/", b"")),
        hears(watcher),
    )


def test_ones_own_events_come_before_the_answer(stage: Stage, dom0: Peer) -> None:
    stage.converse(
        watching(dom0, "/"),
        says(dom0, NO_TX, Write("/a", b""), event("/a"), Ok()),
        says(dom0, NO_TX, Mkdir("/b"), event("/b"), Ok()),
        says(dom0, NO_TX, SetPerms("/b", ("n0",)), event("/b"), Ok()),
        says(dom0, NO_TX, Rm("/b"), event("/b"), Ok()),
    )


def test_removal_tells_those_above_once_and_each_watched_descendant(
    stage: Stage, dom0: Peer
) -> None:
    watcher = stage.connect()
    stage.converse(
        *(says(dom0, NO_TX, Mkdir(path)) for path in ("/a/p/1/x", "/a/p/1/y", "/a/p/2")),
        *(watching(watcher, path) for path in ("/", "/a/p", "/a/p/1", "/a/p/1/y", "/a/p/2")),
        watching(watcher, "/a/p/missing"),
        says(dom0, NO_TX, Rm("/a/p")),
        hears(
            watcher,
            event("/a/p/1/y"),
            event("/a/p/1"),
            event("/a/p/2"),
            # For / and for /a/p the same event: it waits already, so it is told once.
            event("/a/p"),
        ),
    )


def test_each_connection_in_turn_each_watch_in_turn(stage: Stage, dom0: Peer) -> None:
    told = (b"1", b"2", b"3", b"4")
    stage.converse(
        watching(dom0, "/a/b", b"1"),
        watching(dom0, "/", b"2"),
        watching(dom0, "/a", b"3"),
        watching(dom0, "/a/b", b"4"),
        says(dom0, NO_TX, Write("/a/b", b""), *(event("/a/b", n) for n in told), Ok()),
    )


def test_relative_watches_hear_relative_paths(stage: Stage, dom0: Peer) -> None:
    dom3 = stage.domain(3)
    stage.converse(
        says(dom0, NO_TX, Mkdir("/local/domain/3")),
        says(dom0, NO_TX, SetPerms("/local/domain/3", ("n3",))),
        watching(dom3, "d", b"rel"),
        watching(dom3, "/local/domain/3/d", b"abs"),
        says(
            dom3,
            NO_TX,
            Write("d/x", b""),
            event("d/x", b"rel"),
            event("/local/domain/3/d/x", b"abs"),
            Ok(),
        ),
    )


def test_an_event_that_waits_is_not_queued_again(stage: Stage, dom0: Peer) -> None:
    watcher = stage.connect()
    stage.converse(
        watching(watcher, "/a"),
        says(dom0, NO_TX, Write("/a", b"1")),
        says(dom0, NO_TX, Write("/a/b", b"1")),
        says(dom0, NO_TX, Write("/a", b"2")),
        hears(watcher, event("/a"), event("/a/b")),
        says(dom0, NO_TX, Write("/a", b"3")),
        hears(watcher, event("/a")),
    )
    assert stage.daemon.statistics().events_suppressed == 1


def test_an_event_longer_than_a_message_is_dropped(stage: Stage, dom0: Peer) -> None:
    fits = 4096 - len("/a\0" + "\0")
    stage.converse(
        watching(dom0, "/a", b"x" * fits),
        says(dom0, NO_TX, Write("/a/b", b"")),
        says(dom0, NO_TX, Write("/a", b""), event("/a", b"x" * fits), Ok()),
    )


# ---------------------------------------------------------------- who may know


@pytest.fixture
def dom3(stage: Stage, dom0: Peer) -> Peer:
    peer = stage.domain(3)
    stage.converse(
        says(dom0, NO_TX, Mkdir("/open")),
        says(dom0, NO_TX, SetPerms("/open", ("r0",))),
        says(dom0, NO_TX, Mkdir("/open/closed")),
        says(dom0, NO_TX, SetPerms("/open/closed", ("n0",))),
        says(dom0, NO_TX, Mkdir("/shut")),
    )
    return peer


def test_a_watcher_learns_of_what_it_may_read_and_of_its_children(
    stage: Stage, dom0: Peer, dom3: Peer
) -> None:
    stage.converse(
        watching(dom3, "/"),
        says(dom0, NO_TX, Write("/open", b"")),
        hears(dom3, event("/open")),
        says(dom0, NO_TX, Write("/open/closed", b"")),
        hears(dom3, event("/open/closed")),
        says(dom0, NO_TX, Write("/open/closed/below", b"")),
        says(dom0, NO_TX, Write("/shut", b"")),
        says(dom0, NO_TX, Write("/new", b"")),
        hears(dom3),
    )


def test_old_or_new_permissions_are_enough(stage: Stage, dom0: Peer, dom3: Peer) -> None:
    stage.converse(
        says(dom0, NO_TX, Mkdir("/shut/x")),
        watching(dom3, "/shut/x"),
        says(dom0, NO_TX, SetPerms("/shut/x", ("r0",))),
        hears(dom3, event("/shut/x")),
        says(dom0, NO_TX, SetPerms("/shut/x", ("n0",))),
        hears(dom3, event("/shut/x")),
        says(dom0, NO_TX, SetPerms("/shut/x", ("w0",))),
        hears(dom3),
        says(dom0, NO_TX, SetPerms("/shut/x", ("r0",))),
        hears(dom3, event("/shut/x")),
        says(dom0, NO_TX, Rm("/shut/x")),
        hears(dom3, event("/shut/x")),
    )


def test_what_a_commit_removed_is_told_to_who_could_read_it(
    stage: Stage, dom0: Peer, dom3: Peer
) -> None:
    stage.converse(
        says(dom0, NO_TX, Write("/open/1", b"")),
        says(dom0, NO_TX, Write("/shut/2", b"")),
        watching(dom3, "/"),
        started(dom0),
        says(dom0, T1, Rm("/open/1")),
        says(dom0, T1, Rm("/shut/2")),
        says(dom0, T1, TransactionEnd(commit=True)),
        hears(dom3, event("/open/1")),
    )


# ---------------------------------------------------------------- special nodes


def test_introduction_and_release_are_told_to_who_may_read_them(stage: Stage, dom0: Peer) -> None:
    dom3 = stage.domain(3)
    dom4 = stage.domain(4)
    stage.converse(
        *(watching(who, "@releaseDomain") for who in (dom0, dom3, dom4)),
        *(watching(who, "@introduceDomain") for who in (dom0, dom3)),
        says(dom0, NO_TX, SetPerms("@releaseDomain", ("n0", "r4")), event("@releaseDomain"), Ok()),
        hears(dom4, event("@releaseDomain")),
        says(dom0, NO_TX, Raw(Op.INTRODUCE, b"7\x001\x001\0"), event("@introduceDomain"), Ok()),
        says(dom0, NO_TX, Raw(Op.INTRODUCE, b"7\x001\x001\0")),
        says(dom0, NO_TX, Release(DomId(7)), event("@releaseDomain"), Ok()),
        hears(dom3),
        hears(dom4, event("@releaseDomain")),
    )


def test_special_events_are_never_merged(stage: Stage, dom0: Peer) -> None:
    watcher = stage.connect()
    stage.converse(
        watching(watcher, "@releaseDomain"),
        *(says(dom0, NO_TX, Raw(Op.INTRODUCE, b"%d\x001\x001\0" % n)) for n in (5, 6)),
        *(says(dom0, NO_TX, Release(DomId(n))) for n in (5, 6)),
        hears(watcher, event("@releaseDomain"), event("@releaseDomain")),
    )


def test_4_22_tells_which_domain_to_watches_that_ask() -> None:
    stage = Stage(Settings(COMPAT_4_22))
    dom0, dom3 = stage.dom0, stage.domain(3)
    stage.converse(
        watching(dom0, "@releaseDomain", b"plain"),
        watching(dom0, "@releaseDomain", b"deep", 1),
        watching(dom0, "@releaseDomain", b"flat", 0),
        watching(dom0, "@releaseDomain/7", b"one"),
        watching(dom0, "@releaseDomain/8", b"other"),
        watching(dom3, "@releaseDomain", b"3"),
        says(dom0, NO_TX, Raw(Op.INTRODUCE, b"7\x001\x001\0")),
        says(
            dom0,
            NO_TX,
            Release(DomId(7)),
            event("@releaseDomain", b"plain"),
            event("@releaseDomain/7", b"deep"),
            event("@releaseDomain/7", b"one"),
            Ok(),
        ),
        hears(dom3, event("@releaseDomain", b"3")),
    )


def test_4_22_has_depths() -> None:
    stage = Stage(Settings(COMPAT_4_22))
    dom0, watcher = stage.dom0, stage.connect()
    stage.converse(
        watching(watcher, "/a", b"0", 0),
        watching(watcher, "/a", b"1", 1),
        watching(watcher, "/", b"root", 1),
        says(watcher, NO_TX, Watch("/a", Token(b"1"), 7), Errno.EEXIST),
        says(dom0, NO_TX, Write("/a", b"")),
        hears(watcher, event("/a", b"0"), event("/a", b"1"), event("/a", b"root")),
        says(dom0, NO_TX, Write("/a/b", b"")),
        hears(watcher, event("/a/b", b"1")),
        says(dom0, NO_TX, Write("/a/b/c", b"")),
        hears(watcher),
    )


# ---------------------------------------------------------------- ends and quotas


def test_resetting_drops_the_watches_and_not_the_events(stage: Stage, dom0: Peer) -> None:
    watcher = stage.connect()
    stage.converse(
        watching(watcher, "/a"),
        says(dom0, NO_TX, Write("/a", b"")),
        says(watcher, NO_TX, ResetWatches(), event("/a"), Ok()),
        says(dom0, NO_TX, Write("/a", b"")),
        hears(watcher),
    )


@pytest.mark.parametrize(
    ("compat", "most", "errno"),
    [
        (COMPAT_4_17, 129, Errno.E2BIG),
        (COMPAT_4_20, 129, Errno.E2BIG),
        (COMPAT_4_22, 127, Errno.ENOSPC),
    ],
)
def test_a_domain_has_so_many_watches(compat: Compat, most: int, errno: Errno) -> None:
    stage = Stage(Settings(compat))
    dom3 = stage.domain(3)
    stage.converse(
        *(watching(dom3, "/a", b"%d" % number) for number in range(most)),
        says(dom3, NO_TX, Watch("/a", Token(b"0")), Errno.EEXIST),
        says(dom3, NO_TX, Watch("/a", T), errno),
        says(dom3, NO_TX, Unwatch("/a", Token(b"0"))),
        watching(dom3, "/a"),
        *(watching(stage.dom0, "/a", b"%d" % number) for number in range(200)),
    )


PATHS = st.lists(NAMES.filter(lambda name: name[0] != "@"), max_size=4).map(
    lambda names: absolute_path("/" + "/".join(names))
)


@given(st.lists(PATHS, max_size=12), PATHS)
def test_a_change_concerns_exactly_the_watches_at_and_above_it(
    watched: list[str], changed: str
) -> None:
    watches = Watches()
    for number, path in enumerate(watched):
        watches.add(ConnId(number % 3), absolute_path(path), Token(b"%d" % number), 0, None)
    prefix = changed if changed == "/" else changed + "/"
    expected = [
        number
        for number, path in enumerate(watched)
        if path in (changed, "/") or prefix.startswith(path + "/")
    ]
    expected.sort(key=lambda number: (number % 3, number))
    found = watches.concerned(absolute_path(changed), exact=False)
    assert [int(watch.token) for watch in found] == expected
    for conn in range(3):
        watches.drop_connection(ConnId(conn))
    assert len(watches) == 0
    assert watches.concerned(absolute_path(changed), exact=False) == []
