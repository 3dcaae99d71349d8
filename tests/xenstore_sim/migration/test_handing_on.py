"""A daemon's core that another one takes over, in the middle of whatever its clients do."""

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.xenstore_sim.conversations import NO_TX, Peer, Stage, event, readable, says
from xenstore_sim.descriptors import Descriptors
from xenstore_sim.handover_codec import decode_handover, encode_handover
from xenstore_sim.migration.handing_on import restore, save_all, stream_version
from xenstore_sim.migration.saving import Answered, Sockets
from xenstore_sim.store.commands import Send
from xenstore_sim.store.daemon import Daemon, Settings
from xenstore_sim.store.faults import FaultPlan
from xenstore_sim.store.outbox import EVENT_BYTES_TOLD
from xenstore_sim.store.quotas import Quotas
from xenstore_sim.wire import messages as m
from xenstore_sim.wire.compat import COMPAT_4_22, RELEASES
from xenstore_sim.wire.layout import encode_packet
from xenstore_sim.wire.names import DomId, Token
from xenstore_sim.wire.ops import Errno, Op
from xenstore_sim.wire.payloads import encode_request

LISTENING = 3
NOTHING_OPEN = Descriptors("/run", "/run/socket", 0, LISTENING, {}, {}, {}, None)
DOMAINS = (1, 2, 3)


def hand_on(stage: Stage, answered: Answered | None = None) -> None:
    """Put a new daemon in the place of the stage's, which knows nothing but what it is left."""
    stage.commands += stage.daemon.let_go()
    sockets = Sockets(LISTENING, {conn: 100 + conn for conn in stage.daemon.connections()})
    version = stream_version(stage.daemon)
    records, supplement = save_all(stage.daemon, sockets, answered, version)
    left = decode_handover(encode_handover(records, version, supplement, NOTHING_OPEN))
    stage.daemon = Daemon(stage.settings, stage.exists, stage.log)
    restore(stage.daemon, left.records, left.supplement)
    stage.commands += stage.daemon.resume()


# -- single laws


def test_a_watch_fires_afterwards_as_its_client_wrote_it() -> None:
    stage = Stage()
    dom3 = stage.domain(3)
    stage.converse(
        says(stage.dom0, NO_TX, m.Write("/local/domain/3", b"")),
        says(stage.dom0, NO_TX, m.SetPerms("/local/domain/3", ("n3",))),
        says(dom3, NO_TX, m.Watch("device", Token(b"t"), None), m.Ok(), event("device")),
    )
    hand_on(stage)
    stage.converse(
        says(dom3, NO_TX, m.Write("device/vif", b""), event("device/vif"), m.Ok()),
        says(dom3, NO_TX, m.Watch("device", Token(b"t"), None), Errno.EEXIST),
    )


def test_half_a_request_and_half_a_reply_go_on() -> None:
    stage = Stage()
    request = encode_packet(Op.READ, 7, 0, b"/tool\0")
    stage.daemon.feed(stage.dom0.conn, request + request[:20])
    first = stage.daemon.output(stage.dom0.conn)[:5]
    stage.daemon.sent(stage.dom0.conn, len(first))
    hand_on(stage)
    stage.daemon.feed(stage.dom0.conn, request[20:])
    assert readable(first + stage.take(stage.dom0)) == ["READ req=0x7 tx=0 b''"] * 2


def test_an_event_that_waits_is_not_doubled_even_when_it_is_sent_in_part() -> None:
    stage = Stage()
    other = stage.connect()
    stage.converse(says(other, NO_TX, m.Watch("/a", Token(b"t"), None), m.Ok(), event("/a")))
    stage.ask(stage.dom0, NO_TX, m.Write("/a", b"1"))
    stage.daemon.sent(other.conn, 4)
    hand_on(stage)
    stage.ask(stage.dom0, NO_TX, m.Write("/a", b"2"))
    assert len(stage.take(other)) == len(encode_packet(Op.WATCH_EVENT, 0, 0, b"/a\0t\0")) - 4


def test_a_transaction_goes_on_and_commits_unless_others_interfered_before_or_after() -> None:
    stage = Stage()
    ids = [stage.ask(stage.dom0, NO_TX, m.TransactionStart()) for _ in range(3)]
    assert ids == [b"1\0", b"2\0", b"3\0"]
    for tx in (1, 2, 3):
        stage.converse(says(stage.dom0, tx, m.Write(f"/a{tx}/b", b"v")))
    stage.converse(says(stage.dom0, NO_TX, m.Write("/a2", b"")))
    hand_on(stage)
    stage.converse(
        says(stage.dom0, 1, m.Read("/a1/b"), m.Value(b"v")),
        says(stage.dom0, 1, m.Write("/a1/c", b"w")),
        says(stage.dom0, 1, m.Directory("/a1"), m.Listing(b"b\0c\0")),
        says(stage.dom0, NO_TX, m.Read("/a1/b"), Errno.ENOENT),
        says(stage.dom0, 2, m.TransactionEnd(True), Errno.EAGAIN),
        says(stage.dom0, NO_TX, m.TransactionStart(), m.Text("4")),
        says(stage.dom0, NO_TX, m.Write("/a1", b"")),
        says(stage.dom0, 1, m.TransactionEnd(True), Errno.EAGAIN),
    )


def test_a_transaction_that_nobody_disturbs_commits_in_the_other_daemon() -> None:
    stage = Stage()
    stage.send(stage.dom0, NO_TX, m.Watch("/a", Token(b"t"), None))
    stage.converse(
        says(stage.dom0, NO_TX, m.TransactionStart(), m.Text("1")),
        says(stage.dom0, 1, m.Write("/a/b", b"v")),
    )
    hand_on(stage)
    stage.converse(
        says(stage.dom0, 1, m.Write("/a/c", b"w")),
        says(stage.dom0, 1, m.TransactionEnd(True), event("/a/b"), event("/a/c"), m.Ok()),
        says(stage.dom0, NO_TX, m.Directory("/a"), m.Listing(b"b\0c\0")),
        says(stage.dom0, NO_TX, m.Read("/a/b"), m.Value(b"v")),
    )


def test_a_client_that_asked_for_the_change_hears_its_answer_from_the_other_one() -> None:
    stage = Stage()
    hand_on(stage, Answered(stage.dom0.conn, encode_packet(Op.CONTROL, 9, 0, b"OK\0")))
    assert Send(stage.dom0.conn) in stage.commands, "it is told without having to ask more"
    assert readable(stage.take(stage.dom0)) == ["CONTROL req=0x9 tx=0 b'OK\\x00'"]


def test_requests_that_wait_for_their_causes_to_be_read_still_wait() -> None:
    stage = Stage(Settings(quotas=Quotas(outstanding=2)))
    dom1, dom2 = stage.domain(1), stage.domain(2)
    for who in (dom1, dom2):
        home = f"/local/domain/{who.name[3:]}"
        stage.ask(stage.dom0, NO_TX, m.Write(home, b""))
        stage.ask(stage.dom0, NO_TX, m.SetPerms(home, (f"b{who.name[3:]}",)))
    stage.send(dom2, NO_TX, m.Watch("/local/domain/1", Token(b"t"), None))
    writes = [m.Write(f"x{number}", b"") for number in range(4)]
    for write in writes:
        request = encode_packet(Op.WRITE, 1, 0, encode_request(write))
        stage.daemon.feed(dom1.conn, request)
        stage.take(dom1)
    assert not stage.daemon.wants_input(dom1.conn)
    stage.commands.clear()
    hand_on(stage)
    assert not stage.daemon.wants_input(dom1.conn)
    assert Send(dom1.conn) in stage.commands, "a shell that knows nothing would read from it"
    # The other two are handled as the first are finished.
    assert len(readable(stage.take(dom2))) == 4
    stage.take(dom1)
    assert stage.daemon.wants_input(dom1.conn)


def test_stale_entries_domains_targets_and_quotas_are_the_same_afterwards() -> None:
    stage = Stage(Settings(COMPAT_4_22))
    dom1, dom2 = stage.domain(1), stage.domain(2)
    stage.converse(
        says(stage.dom0, NO_TX, m.Write("/a", b"v")),
        says(stage.dom0, NO_TX, m.SetPerms("/a", ("n0", "r2"))),
        says(stage.dom0, NO_TX, m.SetTarget(DomId(1), DomId(2))),
        says(stage.dom0, NO_TX, m.SetQuota(DomId(1), "nodes", 7)),
        says(stage.dom0, NO_TX, m.SetQuota(None, "nodes", 8)),
    )
    hand_on(stage)
    stage.converse(
        says(dom1, NO_TX, m.Read("/a"), m.Value(b"v")),
        says(dom2, NO_TX, m.Read("/a"), m.Value(b"v")),
        says(stage.dom0, NO_TX, m.GetQuota(DomId(1), "nodes"), m.Text("7")),
        says(stage.dom0, NO_TX, m.GetQuota(None, "nodes"), m.Text("8")),
        # Held by its stub domain: only the hold goes.
        says(stage.dom0, NO_TX, m.Release(DomId(2))),
        says(dom2, NO_TX, m.Read("/a"), m.Value(b"v")),
    )


def test_what_faults_kept_back_is_delivered_before() -> None:
    stage = Stage(Settings(faults=FaultPlan.parse("late=1,late_s=9")))
    stage.send(stage.dom0, NO_TX, m.Watch("/a", Token(b"t"), None))
    hand_on(stage)
    assert readable(stage.take(stage.dom0)) == ["WATCH_EVENT req=0x0 tx=0 b'/a\\x00t\\x00'"]


def test_counters_go_on() -> None:
    stage = Stage()
    stage.ask(stage.dom0, NO_TX, m.Read("/none"))
    before = stage.daemon.statistics()
    hand_on(stage)
    assert stage.daemon.statistics() == before


def test_what_was_counted_about_a_domain_is_not_told_as_if_it_were_new() -> None:
    stage = Stage(Settings(quotas=Quotas(memory=3000)))
    stage.domain(1)
    account = stage.daemon.world.accounts.of(DomId(1))
    account.stalls, account.warnings, account.most["nodes"] = 5, 3, 7
    hand_on(stage)
    after = stage.daemon.world.accounts.of(DomId(1))
    assert (after.stalls, after.warnings, after.most["nodes"]) == (5, 3, 7)


def test_much_that_waits_is_handed_on_whole() -> None:
    stage = Stage()
    other = stage.connect()
    for number in range(100):
        token = b"%d" % number + bytes(b"x" * 3900)
        stage.converse(
            says(other, NO_TX, m.Watch("/", Token(token), None), m.Ok(), event("/", token))
        )
    for number in range(4):
        stage.ask(stage.dom0, NO_TX, m.Write(f"/{number}", b""))
    waiting = stage.daemon.world.connections[other.conn].outbox.waiting
    assert waiting > EVENT_BYTES_TOLD
    hand_on(stage)
    assert len(stage.take(other)) == waiting


# -- any conversation

PATHS = st.sampled_from(["/", "/a", "/a/b", "/a/b/c", "/a/d", "/local/domain/1", "x", "x/y"])
TOKENS = st.sampled_from([Token(b"t"), Token(b"u")])
PERM_LISTS = st.lists(
    st.sampled_from(["n0", "n1", "b2", "r1", "w2", "r3"]), min_size=1, max_size=3
).map(tuple)
DOMIDS = st.sampled_from([DomId(domid) for domid in DOMAINS])
OF_NODES: st.SearchStrategy[m.Request] = st.one_of(
    *(st.builds(make, PATHS) for make in (m.Read, m.Directory, m.Mkdir, m.Rm)),
    *(st.builds(m.Write, PATHS, st.sampled_from([b"1", b"22"])) for _ in range(3)),
    st.builds(m.SetPerms, PATHS, PERM_LISTS),
)
OTHERS: st.SearchStrategy[m.Request] = st.one_of(
    st.builds(m.GetPerms, PATHS),
    st.builds(m.DirectoryPart, PATHS, st.integers(0, 3)),
    st.builds(m.Watch, st.just("@releaseDomain") | PATHS, TOKENS, st.none()),
    st.builds(m.Unwatch, PATHS, TOKENS),
    st.just(m.TransactionStart()),
    st.builds(m.Introduce, DOMIDS, st.just(1), st.just(1)),
    st.builds(m.SetTarget, DOMIDS, DOMIDS),
    st.builds(m.Release, DOMIDS),
    st.just(m.Control(("quota",))),
)


@dataclass(frozen=True)
class Ask:
    who: int
    tx: int
    request: m.Request
    cut: int = 0
    """Bytes of it that come only with the next one."""


@dataclass(frozen=True)
class Take:
    who: int
    size: int


@dataclass(frozen=True)
class HandOn:
    pass


WHO = st.integers(0, 4)
TXS = st.integers(0, 2)
CUTS = st.sampled_from([0, 0, 0, 5, 30])
STEPS = st.lists(
    st.one_of(
        st.builds(Ask, WHO, TXS, OF_NODES, CUTS),
        st.builds(Ask, WHO, TXS, OF_NODES, CUTS),
        st.builds(Ask, WHO, st.just(0), OTHERS, CUTS),
        st.builds(Ask, WHO, TXS, st.builds(m.TransactionEnd, st.booleans())),
        st.builds(Take, WHO, st.sampled_from([7, 30, 1000])),
        st.just(HandOn()),
    ),
    max_size=20,
)


class Twin:
    """A daemon with two clients of dom0 and three domains, all of whom have two transactions."""

    def __init__(self, settings: Settings) -> None:
        self.stage = Stage(settings)
        domains = [self.stage.domain(domid) for domid in DOMAINS]
        self.peers: list[Peer] = [self.stage.dom0, self.stage.connect(), *domains]
        self.rest: dict[Peer, bytes] = {}
        for path, perms in (
            ("/a/b", "b0"),
            ("/a", "b0"),
            *((f"/local/domain/{n}", f"b{n}") for n in DOMAINS),
        ):
            self.stage.ask(self.stage.dom0, NO_TX, m.Write(path, b""))
            self.stage.ask(self.stage.dom0, NO_TX, m.SetPerms(path, (perms,)))
        for peer in self.peers:
            self.stage.send(peer, NO_TX, m.Watch("/a", Token(b"t"), None))
            for _ in range(2):
                self.stage.ask(peer, NO_TX, m.TransactionStart())

    def play(self, step: Ask | Take) -> None:
        who = self.peers[step.who]
        daemon = self.stage.daemon
        if isinstance(step, Take):
            daemon.sent(who.conn, min(step.size, len(daemon.output(who.conn))))
            return
        packet = encode_packet(step.request.op, 1, step.tx, encode_request(step.request))
        data = self.rest.pop(who, b"") + packet
        end = max(len(data) - step.cut, 0)
        self.rest[who] = data[end:]
        if daemon.wants_input(who.conn):
            self.stage.commands += daemon.feed(who.conn, data[:end])

    def seen(self) -> object:
        """All that anybody can see of it."""
        daemon = self.stage.daemon
        return (
            [daemon.output(peer.conn, 1000) for peer in self.peers],
            [daemon.wants_input(peer.conn) for peer in self.peers],
            list(daemon.nodes()),
            daemon.statistics(),
        )


@pytest.mark.parametrize("release", list(RELEASES))
@given(before=STEPS, after=STEPS)
@settings(max_examples=100)
def test_nobody_can_tell_a_daemon_that_was_taken_over(
    release: str, before: list[Ask | Take | HandOn], after: list[Ask | Take | HandOn]
) -> None:
    chosen = Settings(RELEASES[release], Quotas(outstanding=3))
    one, other = Twin(chosen), Twin(chosen)
    for step in (*before, HandOn(), *after):
        if isinstance(step, HandOn):
            hand_on(other.stage)
        else:
            one.play(step)
            other.play(step)
    assert other.seen() == one.seen()
    commit = [Ask(who, tx, m.TransactionEnd(True)) for who in range(5) for tx in (1, 2)]
    for step in commit:
        one.play(step)
        other.play(step)
    assert other.seen() == one.seen()
