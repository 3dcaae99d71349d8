"""The checks that come before every operation, in their order; features and quotas."""

import pytest

from tests.xenstore_sim.conversations import NO_TX, Raw, Stage, says
from xenstore_sim.store.daemon import Settings
from xenstore_sim.wire.compat import COMPAT_4_17, COMPAT_4_20, COMPAT_4_22, Compat
from xenstore_sim.wire.messages import (
    GetFeature,
    GetQuota,
    Mkdir,
    Request,
    SetFeature,
    SetPerms,
    SetQuota,
    Text,
)
from xenstore_sim.wire.names import DomId
from xenstore_sim.wire.ops import Errno, Op


@pytest.mark.parametrize("type_", [15, 16, 20, 27, 65535, 2**32 - 1])
@pytest.mark.parametrize("tx", [NO_TX, 77])
def test_what_is_no_operation_is_not_implemented(type_: int, tx: int) -> None:
    stage = Stage()
    for who in (stage.dom0, stage.domain(3)):
        stage.converse(says(who, tx, Raw(type_, b"/\0"), Errno.ENOSYS))


@pytest.mark.parametrize("compat", [COMPAT_4_17, COMPAT_4_20])
@pytest.mark.parametrize("op", [Op.GET_FEATURE, Op.SET_FEATURE, Op.GET_QUOTA, Op.SET_QUOTA])
def test_older_releases_lack_later_operations(compat: Compat, op: Op) -> None:
    stage = Stage(Settings(compat))
    stage.converse(says(stage.dom0, NO_TX, Raw(op, b""), Errno.ENOSYS))


def test_privilege_comes_before_the_transaction_and_that_before_the_payload() -> None:
    stage = Stage()
    dom3 = stage.domain(3)
    stage.converse(
        says(dom3, 77, Raw(Op.CONTROL, b""), Errno.EACCES),
        says(stage.dom0, 77, Raw(Op.CONTROL, b""), Errno.ENOENT),
        says(stage.dom0, NO_TX, Raw(Op.CONTROL, b""), Errno.EINVAL),
        says(dom3, 77, Raw(Op.READ, b""), Errno.ENOENT),
        says(dom3, NO_TX, Raw(Op.READ, b""), Errno.EINVAL),
    )


PRIVILEGED = (
    Op.CONTROL, Op.INTRODUCE, Op.RELEASE, Op.IS_DOMAIN_INTRODUCED, Op.RESUME, Op.SET_TARGET,
    Op.SET_FEATURE, Op.GET_QUOTA, Op.SET_QUOTA,
)  # fmt: skip


@pytest.mark.parametrize("op", [op for op in Op if op not in (Op.WATCH_EVENT, Op.ERROR)])
def test_which_operations_are_for_dom0_alone(op: Op) -> None:
    stage = Stage(Settings(COMPAT_4_22))
    reply = stage.ask(stage.domain(3), NO_TX, Raw(op, b"@\xff"))
    assert (reply == b"EACCES\0") == (op in PRIVILEGED)


def test_features_and_quotas_of_4_22() -> None:
    stage = Stage(Settings(COMPAT_4_22), exists=lambda domid: domid < 10)
    dom0, dom3, dom5 = stage.dom0, stage.domain(3), DomId(5)
    names = (
        "nodes watches outstanding memory soft-memory transactions transaction-nodes"
        " node-permissions path-max node-size"
    )
    stage.converse(
        says(dom0, NO_TX, GetFeature(), Text("14")),
        says(dom3, NO_TX, GetFeature(), Text("14")),
        says(dom3, NO_TX, GetFeature(dom5), Errno.EACCES),
        says(dom0, NO_TX, GetFeature(DomId(99)), Errno.ENOENT),
        says(dom0, NO_TX, SetFeature(DomId(99), 2), Errno.ENOENT),
        says(dom0, NO_TX, SetFeature(dom5, 1), Errno.EINVAL),
        says(dom0, NO_TX, SetFeature(dom5, 2)),
        says(dom0, NO_TX, GetFeature(dom5), Text("2")),
        says(dom0, NO_TX, SetFeature(DomId(3), 2), Errno.EBUSY),
        says(dom0, NO_TX, GetQuota(), Text(names)),
        says(dom0, NO_TX, GetQuota(None, "nodes"), Text("1000")),
        says(dom0, NO_TX, GetQuota(None, "cows"), Errno.EINVAL),
        says(dom0, NO_TX, GetQuota(DomId(99), "nodes"), Errno.ENOENT),
        says(dom0, NO_TX, SetQuota(None, "nodes", 7)),
        says(dom0, NO_TX, SetQuota(None, "cows", 7), Errno.EINVAL),
        says(dom0, NO_TX, GetQuota(DomId(3), "nodes"), Text("1000")),
        says(dom0, NO_TX, GetQuota(DomId(6), "nodes"), Text("7")),
        says(dom0, NO_TX, SetQuota(DomId(3), "nodes", 2)),
        says(dom0, NO_TX, GetQuota(DomId(3), "nodes"), Text("2")),
        says(dom0, NO_TX, Mkdir("/p")),
        says(dom0, NO_TX, SetPerms("/p", ("n3",))),
        says(dom3, NO_TX, Mkdir("/p/x"), Errno.ENOSPC),
    )


def test_requests_are_counted_by_operation() -> None:
    stage = Stage()
    requests: tuple[Request | Raw, ...] = (
        Mkdir("/a"),
        Mkdir("/b"),
        Raw(Op.READ, b""),
        Raw(99, b""),
    )
    for request in requests:
        stage.send(stage.dom0, NO_TX, request)
    statistics = stage.daemon.statistics()
    assert statistics.requests == {Op.MKDIR: 2, Op.READ: 1}
    assert (statistics.round_trips, statistics.refusals) == (3, 2)
