"""A shortcut and the long way give the same: bytes, store, counts. So does a reply at once."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.xenstore_sim.conversations import (
    NO_TX,
    REQ_ID,
    Peer,
    Raw,
    Stage,
    readable,
    started,
)
from tests.xenstore_sim.store.kept_log import KeptLog
from xenstore_sim.store import dispatch
from xenstore_sim.store.daemon import Settings
from xenstore_sim.store.faults import FaultPlan
from xenstore_sim.store.quotas import Quotas
from xenstore_sim.wire import messages as m
from xenstore_sim.wire.compat import RELEASES
from xenstore_sim.wire.layout import encode_packet
from xenstore_sim.wire.names import Token
from xenstore_sim.wire.ops import Op
from xenstore_sim.wire.payloads import encode_request
from xenstore_sim.wire.strings import terminated

TIGHT = Quotas(
    nodes=4,
    node_size=60,
    transactions=2,
    transaction_nodes=3,
    path_max=9,
    memory=900,
    soft_memory=300,
)
NODES = (
    *("/", "/a", "/a/b", "/d", "/d/a", "/d/longer-name", "/missing/x", "", "a"),
    *("@introduceDomain", "/local/domain/5/a", "/a/", "//a", "/a/b/c/d/e/f/g", "/a\xe9"),
)
PATHS = st.sampled_from(NODES)
HOME = "/local/domain/5/a"
SHORT = (Op.READ, Op.DIRECTORY, Op.GET_PERMS)
LONG = (Op.MKDIR, Op.RM)
VALUES = st.sampled_from((b"", b"v", b"\0", b"longer" * 9))
TAILS = (b"", b"\0", b"\0\0", b"\0x", b"x")
ENDS = st.sampled_from(TAILS)
PERMS = st.sampled_from((("n5",), ("n0", "r5"), ("b0",), ("w0",), ("n0", "w5"), ("r5", "n0")))

REQUESTS = st.one_of(
    st.builds(Raw, st.sampled_from(SHORT), PATHS.map(terminated)),
    st.builds(Raw, st.sampled_from(LONG), PATHS.map(terminated)),
    st.builds(lambda path, value: Raw(Op.WRITE, terminated(path) + value), PATHS, VALUES),
    st.builds(
        lambda op, path, end: Raw(op, path.encode("latin-1") + end),
        st.sampled_from((*SHORT, Op.WRITE, Op.TRANSACTION_END)),
        PATHS,
        ENDS,
    ),
    st.builds(Raw, st.just(Op.TRANSACTION_START), ENDS),
    st.builds(Raw, st.just(Op.TRANSACTION_END), st.sampled_from((b"T\0", b"F\0", b"T", b"X\0"))),
    st.builds(lambda path, perms: Raw(Op.SET_PERMS, terminated(path, *perms)), PATHS, PERMS),
    st.builds(lambda path: Raw(Op.WATCH, terminated(path, "t")), PATHS),
)


@dataclass(frozen=True)
class Step:
    """One of the clients asks."""

    who: int
    tx: int
    request: Raw
    taken: bool = True
    """All take what they were told; else it waits for the next step."""


TX_IDS = st.sampled_from((0, 0, 1, 1, 2, 9))
STEPS = st.lists(
    st.builds(Step, st.integers(0, 2), TX_IDS, REQUESTS, st.sampled_from((True, True, False))),
    max_size=25,
)


LAST = Step(0, 0, Raw(Op.READ, b"/\0"))
EVERY_FORM = [
    Step(who, tx, Raw(op, path.encode("latin-1") + tail))
    for tx in (0, 1, 2)
    for op in (*SHORT, Op.WRITE, *LONG)
    for path in NODES
    for tail in TAILS
    for who in range(3)
] + [Step(0, tx, Raw(Op.TRANSACTION_END, tail)) for tx in (0, 1) for tail in (*TAILS, b"T", b"T\0")]


@contextmanager
def the_long_way() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        rows = {number: replace(row, short=None) for number, row in dispatch._ROWS.items()}
        patch.setattr(dispatch, "_ROWS", rows)
        yield


def told(stage: Stage) -> object:
    """All that is to be seen of a daemon."""
    daemon = stage.daemon
    accounts = {
        domid: (account.nodes, account.bytes, account.most, account.warnings)
        for domid, account in daemon.world.accounts
    }
    return list(daemon.nodes()), daemon.statistics(), accounts, daemon.world.tree.generation


class FedStage(Stage):
    """Every request is fed, as if it had come in pieces."""

    def hear(self, who: Peer, packet: bytes) -> bytes:
        """What `who` hears of it before anything that waits."""
        self.commands += self.daemon.feed(who.conn, packet)
        return b""


class PromptStage(FedStage):
    """Every request is answered as a shell wants it: at once if that can be."""

    def hear(self, who: Peer, packet: bytes) -> bytes:
        """What `who` hears of it before anything that waits."""
        reply = self.daemon.reply_at_once(who.conn, packet)
        if reply is None:
            return super().hear(who, packet)
        self.commands += self.daemon.commands()
        return reply

    def take(self, who: Peer) -> bytes:
        """All bytes that wait for `who`."""
        output = self.daemon.output(who.conn)
        if output and not self.daemon.took(who.conn, len(output)):
            self.commands += self.daemon.go_on(who.conn)
        return output + super().take(who)


def played(
    release: str, quotas: Quotas, steps: list[Step], stage_class: type[FedStage] = FedStage
) -> tuple[list[list[str]], object]:
    """What each hears, and what is there in the end."""
    stage = stage_class(Settings(compat=RELEASES[release], quotas=quotas))
    peers = (stage.dom0, stage.domain(5), stage.connect())
    for path, perms in (("/a", "r0"), ("/d", "n5"), ("/d/longer-name", "n5"), (HOME, "n5")):
        stage.send(stage.dom0, NO_TX, m.Write(path, b"v"))
        stage.send(stage.dom0, NO_TX, m.SetPerms(path, (perms,)))
    for peer in peers:
        stage.converse(started(peer))
    heard = [b""] * len(peers)
    for step in (*steps, LAST):
        packet = encode_packet(step.request.type, REQ_ID, step.tx, step.request.payload)
        heard[step.who] += stage.hear(peers[step.who], packet)
        if step.taken:
            for number, peer in enumerate(peers):
                heard[number] += stage.take(peer)
    return [readable(each) for each in heard], told(stage)


@pytest.mark.parametrize("release", RELEASES)
@given(st.sampled_from((Quotas(), TIGHT)), STEPS)
@settings(max_examples=60)
def test_the_shortcut_gives_what_the_long_way_gives(
    release: str, quotas: Quotas, steps: list[Step]
) -> None:
    short = played(release, quotas, steps)
    with the_long_way():
        assert played(release, quotas, steps) == short


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("quotas", [Quotas(), TIGHT], ids=["default", "tight"])
def test_the_shortcut_judges_every_form_as_the_long_way_does(release: str, quotas: Quotas) -> None:
    short = played(release, quotas, EVERY_FORM)
    with the_long_way():
        assert played(release, quotas, EVERY_FORM) == short


@pytest.mark.parametrize("release", RELEASES)
@given(st.sampled_from((Quotas(), TIGHT)), STEPS)
@settings(max_examples=60)
def test_a_reply_at_once_is_the_one_that_would_have_waited(
    release: str, quotas: Quotas, steps: list[Step]
) -> None:
    assert played(release, quotas, steps, PromptStage) == played(release, quotas, steps)


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("quotas", [Quotas(), TIGHT], ids=["default", "tight"])
def test_a_reply_at_once_is_right_for_every_form(release: str, quotas: Quotas) -> None:
    assert played(release, quotas, EVERY_FORM, PromptStage) == played(release, quotas, EVERY_FORM)


def test_a_usual_request_of_dom0_is_answered_at_once() -> None:
    stage = PromptStage()
    # What a WRITE makes goes the long way.
    stage.send(stage.dom0, NO_TX, m.Write("/a", b"v"))
    usual: tuple[tuple[int, m.Request], ...] = (
        (NO_TX, m.Read("/a")),
        (NO_TX, m.Write("/a", b"w")),
        (NO_TX, m.Mkdir("/a/b")),
        (NO_TX, m.Rm("/a/b")),
        (NO_TX, m.Directory("/")),
        (NO_TX, m.GetPerms("/")),
        (NO_TX, m.TransactionStart()),
        (1, m.Write("/a", b"x")),
        (1, m.TransactionEnd(commit=True)),
    )
    for tx, request in usual:
        packet = encode_packet(request.op, REQ_ID, tx, encode_request(request))
        assert stage.hear(stage.dom0, packet), request


@pytest.mark.parametrize(
    "request_", [b"", b"\2\0", encode_packet(Op.READ, 1, 0, b"/\0") * 2, bytes(16)]
)
def test_no_whole_request_and_more_than_one_are_not_answered_at_once(request_: bytes) -> None:
    stage = Stage()
    assert stage.daemon.reply_at_once(stage.dom0.conn, request_) is None
    assert stage.daemon.statistics().round_trips == 0


def test_what_else_goes_on_is_not_passed_by() -> None:
    """Input that is not whole, output that waits, a request that is held, the quotas of a domain,
    the log, faults."""
    stage, read = Stage(log=KeptLog()), encode_packet(Op.READ, 1, 0, b"/\0")
    torn, waiting, domain, logged = stage.connect(), stage.connect(), stage.domain(5), stage.dom0
    stage.daemon.feed(torn.conn, read[:3])
    stage.daemon.feed(waiting.conn, read)
    held = stage.connect()
    stage.daemon.world.connections[held.conn].held = True
    for peer in (torn, waiting, held, domain):
        assert stage.daemon.reply_at_once(peer.conn, read) is None
    assert stage.daemon.reply_at_once(logged.conn, read) == encode_packet(Op.READ, 1, 0, b"")
    stage.daemon.log_to("trace")
    assert stage.daemon.reply_at_once(logged.conn, read) is None
    faulty = Stage(Settings(faults=FaultPlan.parse("slow=1,slow_s=60")))
    assert faulty.daemon.reply_at_once(faulty.dom0.conn, read) is None


def test_less_than_all_is_not_taken_as_all() -> None:
    stage, read = Stage(), encode_packet(Op.READ, 1, 0, b"/\0")
    conn = stage.dom0.conn
    stage.daemon.feed(conn, read * 2)
    output = stage.daemon.output(conn)
    assert not stage.daemon.took(conn, len(output) - 1)
    assert stage.daemon.output(conn) == output[-1:]
    assert stage.daemon.took(conn, 1)
    assert stage.daemon.output(conn) == b""


@given(st.integers(0, 19), st.booleans())
def test_the_rest_of_a_reply_is_ahead_of_what_came_meanwhile(sent: int, told: bool) -> None:
    stage = Stage()
    stage.send(stage.dom0, NO_TX, m.Write("/a", b"v"))
    stage.send(stage.dom0, NO_TX, m.Watch("/a", Token(b"t")))
    reply = stage.daemon.reply_at_once(stage.dom0.conn, encode_packet(Op.READ, REQ_ID, 0, b"/a\0"))
    assert reply is not None
    if told:
        stage.send(stage.connect(), NO_TX, m.Write("/a", b"w"))
    sent = min(sent, len(reply) - 1)
    stage.daemon.keep(stage.dom0.conn, reply, sent)
    heard = readable(reply[:sent] + stage.take(stage.dom0))
    assert (
        heard
        == ["READ req=0x1020304 tx=0 b'v'"] + ["WATCH_EVENT req=0x0 tx=0 b'/a\\x00t\\x00'"] * told
    )


def read(stage: Stage, who: Peer, path: str) -> bytes:
    return stage.ask(who, NO_TX, m.Read(path))


def test_a_usual_request_takes_the_shortcut(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage()
    domain = stage.domain(5)
    stage.send(stage.dom0, NO_TX, m.Write("/d", b"v"))
    stage.send(stage.dom0, NO_TX, m.SetPerms("/d", ("n5",)))
    # Where there is no long way, only those that need none are answered.
    monkeypatch.delattr(dispatch, "decode_request")

    for who in (stage.dom0, domain):
        assert read(stage, who, "/d") == b"v"
        assert stage.ask(who, NO_TX, m.Directory("/d")) == b""
        assert stage.ask(who, NO_TX, m.GetPerms("/d")) == b"n5\0"
        assert stage.ask(who, NO_TX, m.Write("/d", b"v")) == b"OK\0"
        assert stage.ask(who, NO_TX, m.TransactionStart()) == b"1\0"
        assert stage.ask(who, 1, m.Read("/d")) == b"v"
        assert stage.ask(who, 1, m.Write("/d", b"v")) == b"OK\0"
        assert stage.ask(who, 1, m.TransactionEnd(commit=True)) == b"OK\0"
    assert stage.ask(domain, NO_TX, m.Rm("/d")) == b"OK\0"
    with pytest.raises(NameError):
        read(stage, stage.dom0, "/missing")
