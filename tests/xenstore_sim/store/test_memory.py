"""What a domain takes in bytes, and its bounds."""

import pytest

from tests.xenstore_sim.conversations import (
    NO_TX,
    REQ_ID,
    T1,
    Peer,
    Stage,
    readable,
    says,
    started,
)
from tests.xenstore_sim.store.kept_log import KeptLog
from tests.xenstore_sim.store.test_quota_control import named
from xenstore_sim.store.daemon import Settings
from xenstore_sim.store.quotas import Quotas
from xenstore_sim.wire.compat import COMPAT_4_17, COMPAT_4_20, Compat
from xenstore_sim.wire.layout import encode_packet
from xenstore_sim.wire.messages import (
    Control,
    Mkdir,
    Ok,
    Read,
    Rm,
    SetPerms,
    Text,
    TransactionEnd,
    Unwatch,
    Value,
    Watch,
    Write,
)
from xenstore_sim.wire.names import Token
from xenstore_sim.wire.ops import Errno, Op

TOKEN = Token(b"tok")


@pytest.fixture
def stage() -> Stage:
    return Stage(Settings(COMPAT_4_17))


def owner(stage: Stage) -> Peer:
    """Domain 3, which owns /p."""
    peer = stage.domain(3)
    stage.converse(
        says(stage.dom0, NO_TX, Mkdir("/p")), says(stage.dom0, NO_TX, SetPerms("/p", ("b3",)))
    )
    return peer


def memory(stage: Stage) -> int:
    """What the daemon says that domain 3 takes."""
    return int(named(stage, "quota", "3")["memory"])


# ---------------------------------------------------------------- the measure, as 4.17 was seen


def test_a_node_takes_its_record(stage: Stage) -> None:
    dom3 = owner(stage)
    assert memory(stage) == 34
    stage.send(dom3, NO_TX, Mkdir("/p/x"))
    assert memory(stage) == 34 + 38
    stage.send(dom3, NO_TX, Write("/p/x", b"abcde"))
    assert memory(stage) == 34 + 38 + 5
    stage.send(dom3, NO_TX, SetPerms("/p/x", ("n3", "r1")))
    assert memory(stage) == 34 + 38 + 5 + 8
    stage.send(dom3, NO_TX, Rm("/p/x"))
    assert memory(stage) == 34


def test_a_watch_takes_its_path_and_token(stage: Stage) -> None:
    dom3 = owner(stage)
    stage.send(dom3, NO_TX, Watch("/p", TOKEN))
    stage.send(dom3, NO_TX, Watch("/pq", TOKEN))
    assert memory(stage) == 34 + 5 + 6
    stage.send(dom3, NO_TX, Unwatch("/p", TOKEN))
    assert memory(stage) == 34 + 6


def test_a_transaction_takes_a_copy_of_each_node_it_touches(stage: Stage) -> None:
    dom3 = owner(stage)
    stage.converse(
        started(dom3),
        says(dom3, T1, Read("/p"), Value(b"")),
    )
    assert memory(stage) == 34 + 37
    stage.converse(says(dom3, T1, Read("/p/missing"), Errno.ENOENT))
    assert memory(stage) == 34 + 37
    stage.converse(says(dom3, T1, Write("/p/y", b"val")))
    assert memory(stage) == 34 + 37 + 2 + (24 + 4 + 8 + 3 + 3)
    stage.converse(says(dom3, T1, Rm("/p/y")))
    assert memory(stage) == 34 + 37
    stage.converse(says(dom3, T1, TransactionEnd(commit=False)))
    assert memory(stage) == 34


def test_what_waits_to_be_read_takes_its_bytes(stage: Stage) -> None:
    dom3 = owner(stage)
    stage.daemon.feed(dom3.conn, encode_packet(Op.READ, 1, 0, b"/p\0") * 3)
    assert memory(stage) == 34 + 3 * 16
    stage.take(dom3)
    assert memory(stage) == 34


# ---------------------------------------------------------------- the bounds


@pytest.mark.parametrize(("compat", "errno"), [(COMPAT_4_17, "EIO"), (COMPAT_4_20, "ENOMEM")])
def test_new_nodes_may_not_reach_their_owners_bound_whoever_makes_them(
    compat: Compat, errno: str
) -> None:
    stage = Stage(Settings(compat, Quotas(memory=80)))
    dom3 = owner(stage)
    stage.converse(
        says(dom3, NO_TX, Mkdir("/p/a")),
        says(dom3, NO_TX, Mkdir("/p/b"), Errno(errno)),
        says(stage.dom0, NO_TX, Mkdir("/p/b"), Errno(errno)),
        says(stage.dom0, NO_TX, Mkdir("/q")),
        says(dom3, NO_TX, Rm("/p/a")),
        says(dom3, NO_TX, Mkdir("/p/b")),
    )


def test_values_lists_and_watches_may_not_reach_the_bound() -> None:
    stage = Stage(Settings(COMPAT_4_17, Quotas(memory=34 + 10)))
    dom3 = owner(stage)
    stage.converse(
        says(dom3, NO_TX, Write("/p", b"0123456789"), Errno.ENOMEM),
        says(dom3, NO_TX, SetPerms("/p", ("b3", "r1", "r2")), Errno.ENOMEM),
        says(dom3, NO_TX, Watch("/p", Token(b"01234567")), Errno.ENOMEM),
        says(dom3, NO_TX, Write("/p", b"012345678")),
        says(dom3, NO_TX, Write("/p", b"")),
    )


def test_a_domain_above_its_bound_is_not_heard_until_it_is_below(stage: Stage) -> None:
    dom3 = owner(stage)
    stage.converse(says(stage.dom0, NO_TX, Control(("quota", "set", "memory", "20")), Text("OK")))
    assert stage.send(dom3, NO_TX, Read("/p")) == b""
    assert not stage.daemon.wants_input(dom3.conn)
    stage.send(stage.dom0, NO_TX, Rm("/p"))
    assert readable(stage.take(dom3)) == [f"ERROR req={REQ_ID:#x} tx=0 b'EACCES\\x00'"]
    assert stage.daemon.wants_input(dom3.conn)


def test_events_beyond_the_bound_are_lost_and_counted() -> None:
    stage = Stage(Settings(COMPAT_4_17, Quotas(memory=34 + 6)))
    dom3 = owner(stage)
    stage.converse(
        says(dom3, NO_TX, Watch("/p", TOKEN), Ok()),
        says(stage.dom0, NO_TX, SetPerms("/p", ("b3",))),
        says(dom3, NO_TX, Read("/p"), Value(b"")),
    )
    assert stage.daemon.statistics().events_lost == 2


def test_crossing_the_soft_bound_is_counted_each_time_and_told_ever_less_often() -> None:
    log = KeptLog()
    stage = Stage(Settings(COMPAT_4_17, Quotas(soft_memory=70)), log=log)
    dom3 = owner(stage)
    for _ in range(7):
        for path in ("/p/a", "/p/b"):
            stage.send(dom3, NO_TX, Mkdir(path))
        for path in ("/p/a", "/p/b"):
            stage.send(dom3, NO_TX, Rm(path))
        stage.send(dom3, NO_TX, Write("/p", b"1"))
        stage.send(dom3, NO_TX, Write("/p", b""))
    text = "domain 3 takes 72 bytes of memory, its soft quota is 70"
    assert log.said == [text, f"{text}, for the 2. time", f"{text}, for the 4. time"]
    assert stage.daemon.statistics().soft_quota_warnings == 7


def test_a_domain_that_is_not_read_from_for_its_memory_is_told_ever_less_often() -> None:
    log = KeptLog()
    stage = Stage(Settings(COMPAT_4_17, Quotas(memory=100)), log=log)
    dom3 = owner(stage)
    request = encode_packet(Op.GET_DOMAIN_PATH, 1, 0, b"3\0")
    for _ in range(4):
        # The replies alone fill its memory.
        stage.daemon.feed(dom3.conn, request * 3)
        stage.daemon.feed(dom3.conn, request)
        assert not stage.daemon.wants_input(dom3.conn)
        stage.take(dom3)
        assert stage.daemon.wants_input(dom3.conn)
    text = "takes 130 bytes of memory, its quota is 100: its requests wait until it takes"
    assert [text in said for said in log.said] == [True, True, True], log.said
    assert "for the 4. time" in log.said[-1]
