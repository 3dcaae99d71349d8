"""CONTROL quota and quota-soft, and what SET_QUOTA changes."""

import pytest

from tests.xenstore_sim.conversations import NO_TX, T1, Peer, Stage, says, started
from tests.xenstore_sim.store.test_control import lines
from xenstore_sim.store.daemon import Settings
from xenstore_sim.store.quotas import QuotaError, Quotas
from xenstore_sim.wire.compat import COMPAT_4_17, COMPAT_4_20, COMPAT_4_22, Compat
from xenstore_sim.wire.messages import (
    Control,
    GetQuota,
    Introduce,
    Mkdir,
    Read,
    Release,
    SetPerms,
    SetQuota,
    Text,
    TransactionEnd,
    Value,
    Write,
)
from xenstore_sim.wire.names import DomId
from xenstore_sim.wire.ops import Errno

_HARD = (
    "nodes", "watches", "outstanding", "memory", "transactions", "transaction-nodes",
    "node-permissions", "path-max", "node-size",
)  # fmt: skip


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
def dom3(stage: Stage) -> Peer:
    """Domain 3, owner of /p."""
    peer = stage.domain(3)
    stage.converse(
        says(stage.dom0, NO_TX, Mkdir("/p")), says(stage.dom0, NO_TX, SetPerms("/p", ("n3",)))
    )
    return peer


def named(stage: Stage, *command: str) -> dict[str, str]:
    """The lines below the title, by name."""
    _, *rest = lines(stage, *command)
    return {name.strip(): value for name, _, value in (line.partition(": ") for line in rest)}


def test_quota_shows_the_bounds(stage: Stage) -> None:
    stage.converse(
        says(stage.dom0, NO_TX, Control(("quota", "set", "watches", "77")), Text("OK")),
        says(stage.dom0, NO_TX, Control(("quota-soft", "set", "memory", "78")), Text("OK")),
    )
    title, *rest = lines(stage, "quota")
    assert title == "Quota settings:"
    assert "watches          :       77 watches a domain may have" in rest
    assert tuple(named(stage, "quota")) == _HARD
    assert lines(stage, "quota-soft") == [
        "Quota settings:",
        "memory           :       78 bytes a domain may take before that is told",
    ]


def test_4_17_has_other_names_and_another_order() -> None:
    older = Stage(Settings(COMPAT_4_17))
    assert tuple(named(older, "quota")) == (
        "nodes", "watches", "transactions", "outstanding", "transaction-nodes", "memory",
        "node-size", "path-max", "permissions",
    )  # fmt: skip
    older.converse(
        says(older.dom0, NO_TX, Control(("quota", "set", "permissions", "1")), Text("OK")),
        says(older.dom0, NO_TX, Control(("quota", "set", "node-permissions", "1")), Errno.EINVAL),
    )
    assert lines(older, "quota", "0") == [
        "Domain 0:",
        "nodes           :        3",
        "watches         :        0",
        "transactions    :        0",
        "outstanding     :        0",
        "memory          :      132",
    ]
    assert lines(older, "quota", "max") == lines(older, "quota", "0"), "atoi of a text is 0"


def test_what_a_domain_uses_and_used_at_most(stage: Stage, dom3: Peer) -> None:
    stage.converse(
        says(dom3, NO_TX, Mkdir("/p/x")),
        says(dom3, NO_TX, SetPerms("/p/x", ("n3", "r1"))),
        started(dom3),
        says(dom3, T1, Read("/p"), Value(b"")),
        says(dom3, T1, TransactionEnd(commit=True)),
        says(stage.dom0, NO_TX, Write("/p/y", b"v")),
    )
    shown = named(stage, "quota", "3")
    assert tuple(shown) == _HARD
    assert shown["nodes"] == "       3 (max        3)"
    assert shown["watches"] == "       0 (max        0)"
    assert shown["outstanding"] == "       0 (max        1)"
    assert shown["transactions"] == "       0 (max        1)"
    assert shown["transaction-nodes"] == "       0 (max        1)"
    assert shown["node-permissions"] == "       0 (max        2)"
    assert shown["path-max"] == "       0 (max        4)"
    assert shown["node-size"] == f"       0 (max {16 + 8 + 8:8})"


def test_the_most_of_all_outlives_its_domain_until_it_is_reset(stage: Stage, dom3: Peer) -> None:
    stage.converse(says(dom3, NO_TX, Mkdir("/p/x")))
    stage.send(stage.dom0, NO_TX, Release(DomId(3)))
    title, *_ = lines(stage, "quota", "max")
    assert title == "Max. seen accounting values:"
    assert named(stage, "quota", "max")["nodes"] == "       2"
    stage.domain(4)
    stage.converse(says(stage.dom0, NO_TX, SetPerms("/", ("n4",))))
    assert named(stage, "quota", "max", "-r")["nodes"] == "       1"


def test_a_domain_nobody_introduced_is_unknown() -> None:
    stage = Stage(exists=lambda domid: domid < 10)
    stage.converse(
        says(stage.dom0, NO_TX, Control(("quota", "9")), Errno.ENOENT),
        says(stage.dom0, NO_TX, Introduce(DomId(9), 1, 1)),
    )
    assert named(stage, "quota", "9")["nodes"] == "       0 (max        0)"


@pytest.mark.parametrize(("compat", "refused"), [(COMPAT_4_20, True), (COMPAT_4_22, False)])
def test_quota_set_binds_known_domains_before_4_22_only(compat: Compat, refused: bool) -> None:
    stage = Stage(Settings(compat))
    early = stage.domain(3)
    stage.converse(
        says(stage.dom0, NO_TX, Mkdir("/p")),
        says(stage.dom0, NO_TX, SetPerms("/p", ("n3",))),
        says(stage.dom0, NO_TX, Control(("quota", "set", "nodes", "1")), Text("OK")),
    )
    answer = [Errno.ENOSPC] if refused else []
    stage.converse(says(early, NO_TX, Mkdir("/p/x"), *answer))


def test_set_quota_of_4_22_takes_zero_for_none() -> None:
    stage = Stage(Settings(COMPAT_4_22))
    stage.domain(3)
    stage.converse(
        says(stage.dom0, NO_TX, SetQuota(DomId(3), "watches", 0)),
        says(stage.dom0, NO_TX, GetQuota(DomId(3), "watches"), Text("0")),
        says(stage.dom0, NO_TX, Control(("quota", "set", "watches", "0")), Errno.EINVAL),
    )


@pytest.mark.parametrize(("field", "value"), [("nodes", 2**32), ("soft_memory", -1)])
def test_a_bound_that_no_stream_can_carry_is_refused_when_it_is_given(
    field: str, value: int
) -> None:
    with pytest.raises(QuotaError, match=rf"{value}: give 0 for no bound, 4294967295 at most"):
        Quotas(**{field: value})
    assert Quotas(nodes=2**32 - 1).nodes == 2**32 - 1
