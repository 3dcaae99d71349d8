"""Injected faults, as clients meet them."""

from math import inf

from hypothesis import given
from hypothesis import strategies as st

from tests.xenstore_sim.conversations import (
    NO_TX,
    T1,
    Peer,
    Stage,
    event,
    hears,
    readable,
    says,
    started,
)
from xenstore_sim.store.commands import Close, Send
from xenstore_sim.store.daemon import Settings
from xenstore_sim.store.faults import FaultKind, FaultPlan
from xenstore_sim.store.injection import INJECTED_MAX, LATE_MAX
from xenstore_sim.wire.messages import (
    Introduce,
    Mkdir,
    Ok,
    Read,
    Request,
    ResetWatches,
    TransactionEnd,
    Unwatch,
    Value,
    Watch,
    Write,
)
from xenstore_sim.wire.names import DomId, Token
from xenstore_sim.wire.ops import Errno

WATCH = Watch("/a", Token(b"t"))
A = Write("/a", b"v")


def stage(plan: str) -> Stage:
    return Stage(Settings(faults=FaultPlan.parse(plan)))


def lines(stage: Stage) -> list[str]:
    return [str(fault) for fault in stage.daemon.injected_faults()]


# -- transactions


def test_eagain_meets_a_transaction_that_would_have_been_committed() -> None:
    world = stage("eagain=1")
    world.converse(
        started(world.dom0),
        says(world.dom0, T1, A),
        says(world.dom0, T1, TransactionEnd(True), Errno.EAGAIN),
        says(world.dom0, T1, TransactionEnd(True), Errno.ENOENT),
        says(world.dom0, NO_TX, Read("/a"), Errno.ENOENT),
    )
    assert lines(world) == [
        "1: eagain (dom0, connection 1) TRANSACTION_END of transaction 1: refused, nothing was done"
    ]
    statistics = world.daemon.statistics()
    assert (statistics.conflicts, statistics.refusals) == (1, 3)


def test_eagain_leaves_alone_what_is_dropped_or_in_conflict_anyway() -> None:
    world = stage("eagain=1")
    other = world.connect()
    world.converse(
        started(world.dom0),
        says(world.dom0, T1, A),
        says(world.dom0, T1, TransactionEnd(False)),
        started(world.dom0, 2),
        says(world.dom0, 2, A),
        says(other, NO_TX, A),
        says(world.dom0, 2, TransactionEnd(True), Errno.EAGAIN),
        says(world.dom0, NO_TX, TransactionEnd(True), Errno.ENOENT),
    )
    assert lines(world) == []


# -- refusals


def test_a_refused_request_did_nothing() -> None:
    world = stage("path=/full,enospc=1;path=/secret,eacces=1,op=READ")
    world.converse(
        says(world.dom0, NO_TX, Write("/full/x", b"v"), Errno.ENOSPC),
        says(world.dom0, NO_TX, Read("/full/x"), Errno.ENOENT),
        says(world.dom0, NO_TX, Write("/secret", b"v")),
        says(world.dom0, NO_TX, Read("/secret"), Errno.EACCES),
    )
    assert lines(world) == [
        "1: enospc (dom0, connection 1) WRITE /full/x: refused, nothing was done",
        "2: eacces (dom0, connection 1) READ /secret: refused, nothing was done",
    ]


def test_a_relative_path_is_met_by_the_node_it_means() -> None:
    world = stage("path=/local/domain/3,eacces=1")
    dom3 = world.domain(3)
    world.converse(
        says(dom3, NO_TX, Read("x"), Errno.EACCES),
        says(dom3, NO_TX, Read("no.path"), Errno.EINVAL),
    )
    assert len(lines(world)) == 1


def test_faults_aimed_at_a_domain_leave_dom0_alone() -> None:
    world = stage("domain=3,eacces=1")
    dom3 = world.domain(3)
    world.converse(
        says(world.dom0, NO_TX, A),
        says(world.dom0, NO_TX, Read("/a"), Value(b"v")),
        says(dom3, NO_TX, Read("/a"), Errno.EACCES),
    )
    assert lines(world)[0].startswith("1: eacces (domain 3, connection 1) READ /a")


# -- disconnects


def ended(seed: int) -> tuple[bytes | None, list[str]]:
    """What is in the store after the first write ended its connection, and what is told of it."""
    world = stage(f"seed={seed},disconnect=1,op=WRITE")
    assert world.send(world.dom0, NO_TX, A) == b""
    assert world.closed == [world.dom0.conn]
    assert not world.daemon.wants_input(world.dom0.conn)
    nodes = dict(world.daemon.nodes())
    return (nodes["/a"].value if "/a" in nodes else None), lines(world)


def test_a_disconnect_comes_before_or_after_the_request_was_done() -> None:
    found = [ended(seed) for seed in range(20)]
    line = "1: disconnect (dom0, connection 1) WRITE /a: connection ended"
    assert {value for value, _ in found} == {None, b"v"}
    for value, told in found:
        assert told == [f"{line} {'before' if value is None else 'after'} it was done"]


def test_a_domain_can_connect_again_after_a_disconnect() -> None:
    world = stage("domain=3,disconnect=1")
    dom3 = world.domain(3)
    assert world.send(dom3, NO_TX, Read("x")) == b""
    assert world.send(world.connect(3), NO_TX, Read("x")) == b""
    assert "(domain 3, connection 2)" in lines(world)[1]


def test_a_ring_has_no_disconnects() -> None:
    world = stage("domain=3,disconnect=1")
    world.converse(says(world.dom0, NO_TX, Introduce(DomId(3), 1, 1)))
    conn = world.daemon.connect(DomId(3), ring=True)
    assert conn is not None
    world.converse(says(Peer("ring", conn), NO_TX, Read("x"), Errno.EACCES))
    assert lines(world) == []


# -- late events


def test_a_late_event_comes_after_the_reply_and_after_its_delay() -> None:
    world = stage("late=1,late_s=2")
    world.converse(says(world.dom0, NO_TX, WATCH, Ok()))
    assert world.daemon.next_deadline() == -inf
    assert world.daemon.tick(100.0) == ()
    assert world.daemon.next_deadline() == 102.0
    assert world.daemon.tick(101.9) == ()
    assert world.daemon.tick(102.0) == (Send(world.dom0.conn),)
    world.converse(hears(world.dom0, event("/a")))
    assert world.daemon.next_deadline() is None
    assert lines(world) == ["1: late (dom0, connection 1) event of /a: 2.000 s later"]


def test_events_of_one_connection_keep_their_order() -> None:
    world = stage("late=1,late_s=2,path=/a")
    world.converse(
        says(world.dom0, NO_TX, Watch("/", Token(b"r")), Ok(), event("/", b"r")),
        says(world.dom0, NO_TX, Write("/b", b""), event("/b", b"r"), Ok()),
        says(world.dom0, NO_TX, A, Ok()),
        says(world.dom0, NO_TX, Write("/b", b""), Ok()),
    )
    world.daemon.tick(0.0)
    world.daemon.tick(2.0)
    world.converse(hears(world.dom0, event("/a", b"r"), event("/b", b"r")))


def test_no_event_comes_after_the_answer_to_unwatch() -> None:
    world = stage("late=1,path=/a")
    world.converse(
        says(world.dom0, NO_TX, WATCH, Ok()),
        says(world.dom0, NO_TX, Unwatch("/a", Token(b"t")), event("/a"), Ok()),
        says(world.dom0, NO_TX, WATCH, Ok()),
        says(world.dom0, NO_TX, ResetWatches(), event("/a"), Ok()),
    )


def test_equal_events_that_wait_together_are_one_as_ever() -> None:
    world = stage("late=1,late_s=1")
    world.converse(
        says(world.dom0, NO_TX, WATCH, Ok()),
        says(world.dom0, NO_TX, A, Ok()),
        says(world.dom0, NO_TX, A, Ok()),
    )
    world.daemon.tick(0.0)
    world.daemon.tick(1.0)
    # The first of a watch is sent in any case.
    world.converse(hears(world.dom0, event("/a")))
    assert world.daemon.statistics().events_suppressed == 2


def test_kept_back_events_are_bounded() -> None:
    world = stage("late=1,late_s=1")
    world.send(world.dom0, NO_TX, Watch("/", Token(b"r")))
    heard = b"".join(
        world.send(world.dom0, NO_TX, Mkdir(f"/{number}")) for number in range(LATE_MAX + 3)
    )
    events = [line for line in readable(heard) if line.startswith("WATCH_EVENT")]
    assert [line.split()[-1] for line in events] == [
        r"b'/\x00r\x00'",
        r"b'/0\x00r\x00'",
        r"b'/1\x00r\x00'",
        r"b'/2\x00r\x00'",
    ]


def test_late_events_go_with_their_connection() -> None:
    world = stage("late=1")
    world.converse(says(world.dom0, NO_TX, WATCH, Ok()))
    world.daemon.disconnect(world.dom0.conn)
    assert world.daemon.tick(0.0) == ()
    assert world.daemon.tick(1.0) == ()
    assert world.daemon.next_deadline() is None


# -- spurious events


def test_a_spurious_event_is_one_of_an_own_watch_as_the_client_wrote_it() -> None:
    world = stage("spurious=1,domain=3")
    dom3 = world.domain(3)
    world.converse(
        # Merged with the watch's first event, which waits.
        says(dom3, NO_TX, Watch("x", Token(b"t")), Ok(), event("x")),
        says(world.dom0, NO_TX, Read("/tool"), Value(b"")),
        says(dom3, NO_TX, Read("x"), event("x"), Errno.EACCES),
    )
    told = "spurious (domain 3, connection 1) watch on /local/domain/3/x: fired without a change"
    assert lines(world) == [f"1: {told}", f"2: {told}"]


def test_a_spurious_event_does_not_overtake_a_late_one() -> None:
    world = stage("spurious=1,path=/b;late=1,late_s=1,path=/a")
    spurious = event("/b", b"b")
    world.converse(
        # Merged with the watch's first event, which waits.
        says(world.dom0, NO_TX, Watch("/b", Token(b"b")), Ok(), event("/b", b"b")),
        says(world.dom0, NO_TX, WATCH, spurious, Ok()),
        says(world.dom0, NO_TX, Read("/tool"), Value(b"")),
    )
    world.daemon.tick(0.0)
    world.daemon.tick(1.0)
    world.converse(hears(world.dom0, event("/a"), spurious))


# -- slow answers


def test_a_slow_answer_waits_with_all_that_follows() -> None:
    world = stage("slow=1,slow_s=3,op=WRITE")
    world.converse(says(world.dom0, NO_TX, WATCH, Ok(), event("/a")))
    assert world.send(world.dom0, NO_TX, A) == b""
    assert world.send(world.dom0, NO_TX, Read("/a")) == b""
    world.daemon.tick(10.0)
    assert world.daemon.next_deadline() == 13.0
    assert world.daemon.tick(13.0) == (Send(world.dom0.conn),)
    assert [line.split()[0] for line in readable(world.take(world.dom0))] == [
        "WATCH_EVENT",
        "WRITE",
        "READ",
    ]
    assert lines(world) == ["1: slow (dom0, connection 1) WRITE /a: answered 3.000 s later"]


# -- plans at run time


def test_the_end_of_a_plan_lets_everything_go() -> None:
    world = stage("late=1,late_s=9;slow=1,slow_s=9,op=WRITE")
    other = world.connect()
    world.converse(says(world.dom0, NO_TX, WATCH, Ok()))
    assert world.send(other, NO_TX, Write("/b", b"")) == b""
    commands = world.daemon.inject(None)
    assert set(commands) == {Send(world.dom0.conn), Send(other.conn)}
    assert readable(world.take(other)) == [r"WRITE req=0x1020304 tx=0 b'OK\x00'"]
    world.converse(hears(world.dom0, event("/a")))
    assert world.daemon.next_deadline() is None
    world.converse(says(world.dom0, NO_TX, A, event("/a"), Ok()))


def test_what_earlier_plans_did_is_remembered_and_counted_on() -> None:
    world = stage("eacces=1")
    world.send(world.dom0, NO_TX, Read("/a"))
    world.daemon.inject(FaultPlan.parse("enospc=1"))
    world.send(world.dom0, NO_TX, A)
    assert [(each.number, each.kind) for each in world.daemon.injected_faults()] == [
        (1, FaultKind.EACCES),
        (2, FaultKind.ENOSPC),
    ]


def test_the_memory_of_faults_is_bounded_and_their_number_is_not() -> None:
    world = stage("eacces=1")
    for _ in range(INJECTED_MAX + 5):
        world.send(world.dom0, NO_TX, Read("/a"))
    injected = world.daemon.injected_faults()
    assert len(injected) == INJECTED_MAX
    assert injected[-1].number == INJECTED_MAX + 5


def test_no_fault_meets_a_spared_connection() -> None:
    world = stage("eacces=1,disconnect=1,late=1,spurious=1,slow=1")
    conn = world.daemon.connect(spared=True)
    assert conn is not None
    spared = Peer("spared", conn)
    world.converse(
        says(spared, NO_TX, WATCH, Ok(), event("/a")),
        says(spared, NO_TX, A, event("/a"), Ok()),
        says(spared, NO_TX, Read("/a"), Value(b"v")),
    )
    assert lines(world) == []


# -- repetition

ALL = "eagain=0.3,enospc=0.2,eacces=0.2,slow=0.2,late=0.3,spurious=0.3,disconnect=0.03"
REQUESTS = st.sampled_from([A, WATCH, Unwatch("/a", Token(b"t")), Read("/a"), Mkdir("/a/b")])
TALK = st.lists(st.tuples(st.integers(0, 1), REQUESTS), max_size=30)


def talk(seed: int, said: list[tuple[int, Request]]) -> tuple[list[bytes], list[str], list[Close]]:
    """All that is heard, injected and closed in this conversation."""
    world = Stage()
    peers = [world.dom0, world.domain(3)]
    world.daemon.inject(FaultPlan.parse(f"seed={seed},{ALL}"))
    heard = []
    for number, (who, request) in enumerate(said):
        heard.append(world.send(peers[who], NO_TX, request))
        world.commands += world.daemon.tick(number / 50)
    world.commands += world.daemon.tick(1000.0)
    heard += [world.take(peer) for peer in peers]
    closed = [command for command in world.commands if isinstance(command, Close)]
    return heard, lines(world), closed


@given(st.integers(0, 2**32), TALK)
def test_the_same_seed_and_conversation_meet_the_same_faults(
    seed: int, said: list[tuple[int, Request]]
) -> None:
    assert talk(seed, said) == talk(seed, said)


def test_another_seed_meets_other_faults() -> None:
    said: list[tuple[int, Request]] = [(0, A)] * 30
    assert len({tuple(talk(seed, said)[1]) for seed in range(5)}) == 5


def test_what_others_ask_meanwhile_does_not_move_a_connections_faults() -> None:
    def answers(noise: int) -> list[bytes]:
        world = stage("seed=1,eacces=0.5,enospc=0.5,slow=0.0")
        other = world.connect()
        found = []
        for _ in range(20):
            found.append(world.send(world.dom0, NO_TX, Read("/tool")))
            for _ in range(noise):
                world.send(other, NO_TX, Read("/tool"))
        return found

    assert answers(0) == answers(3)
