"""Fault plans: what they aim at, how they are written, and what is refused."""

import pytest

from xenstore_sim.store.faults import Delay, FaultKind, FaultPlan, FaultPlanError, Faults
from xenstore_sim.wire.names import DomId, NodePath, absolute_path
from xenstore_sim.wire.ops import Op

DOM3 = DomId(3)


def test_a_plan_is_what_its_text_says() -> None:
    text = "seed=7, eagain=0.3, late=0.2, late_s=0.5-2 ; domain=3,op=write,path=/a,enospc=1"
    assert FaultPlan.parse(text) == FaultPlan(
        seed=7,
        faults=(
            Faults(eagain=0.3, late=0.2, late_s=Delay(0.5, 2.0)),
            Faults(enospc=1.0, domain=DOM3, op=Op.WRITE, path=absolute_path("/a")),
        ),
    )


def test_a_single_number_is_a_delay_without_spread() -> None:
    assert FaultPlan.parse("slow=1,slow_s=0.25").faults[0].slow_s == Delay(0.25, 0.25)


def test_a_seed_is_taken_by_a_plan_that_has_none() -> None:
    assert FaultPlan.parse("late=1").seeded(5).seed == 5
    assert FaultPlan.parse("late=1,seed=7").seeded(5).seed == 7
    assert FaultPlan.parse("seed=7;late=1") == FaultPlan.parse("late=1").seeded(7)


@pytest.mark.parametrize(
    ("text", "field", "told"),
    [
        ("", "", "there are seed, eagain"),
        ("cows=1", "cows", "there are seed, eagain"),
        ("late", "late", "write NAME=VALUE"),
        ("late=often", "late", "a rate is a number from 0 to 1"),
        ("late=1.5", "late", "a rate is a number from 0 to 1"),
        ("late=-0.1", "late", "a rate is a number from 0 to 1"),
        ("late=nan", "late", "a rate is a number from 0 to 1"),
        ("seed=x,late=1", "seed", "a decimal number"),
        ("seed=7", "rates", "give at least one of eagain"),
        ("domain=3", "rates", "give at least one of eagain"),
        ("late=1;domain=3", "rates", "give at least one of eagain"),
        ("late=1,late_s=2-1", "late_s", "write seconds as LEAST-MOST, from 0 to 3600"),
        ("late=1,late_s=1-9999", "late_s", "write seconds as LEAST-MOST, from 0 to 3600"),
        ("slow=1,slow_s=soon", "slow_s", "write seconds as LEAST-MOST, from 0 to 3600"),
        ("late=1,domain=40000", "domain", "a domid is 0 to 32751"),
        ("slow=1,op=WATCH_EVENT", "op", "the requests are CONTROL, DIRECTORY"),
        ("eagain=1,op=READ", "op", "eagain meets TRANSACTION_END"),
        ("late=1,op=READ", "op", "late meets events alone"),
        ("eagain=1,path=/a", "path", "the end of a transaction has no path"),
        ("slow=1,path=/a/", "path", "it must start with a slash, not end with one"),
        ("slow=1,path=@a/", "path", "it must start with @"),
    ],
)
def test_a_plan_without_sense_is_refused_by_the_name_of_its_field(
    text: str, field: str, told: str
) -> None:
    with pytest.raises(FaultPlanError) as refused:
        FaultPlan.parse(text)
    assert refused.value.field == field
    assert f"faults: {field}=" in str(refused.value)
    assert told in str(refused.value)


@pytest.mark.parametrize(
    ("aim", "domid", "op", "path", "met"),
    [
        (Faults(slow=1), 0, Op.READ, "/a", True),
        (Faults(slow=1), 0, Op.TRANSACTION_START, None, True),
        (Faults(slow=1, domain=DOM3), 3, Op.READ, "/a", True),
        (Faults(slow=1, domain=DOM3), 0, Op.READ, "/a", False),
        (Faults(slow=1, domain=DomId(0)), 3, Op.READ, "/a", False),
        (Faults(slow=1, op=Op.READ), 0, Op.READ, "/a", True),
        (Faults(slow=1, op=Op.READ), 0, Op.WRITE, "/a", False),
        (Faults(slow=1, path=absolute_path("/a")), 0, Op.READ, "/a", True),
        (Faults(slow=1, path=absolute_path("/a")), 0, Op.READ, "/a/b", True),
        (Faults(slow=1, path=absolute_path("/a")), 0, Op.READ, "/ab", False),
        (Faults(slow=1, path=absolute_path("/a")), 0, Op.READ, "/", False),
        (Faults(slow=1, path=absolute_path("/a")), 0, Op.TRANSACTION_START, None, False),
        (Faults(slow=1, path=absolute_path("/")), 0, Op.READ, "/a/b", True),
        (Faults(slow=1, path=absolute_path("/")), 0, Op.READ, "/", True),
    ],
)
def test_a_fault_meets_what_it_is_aimed_at(
    aim: Faults, domid: int, op: Op, path: NodePath | None, met: bool
) -> None:
    assert aim.request_rate(FaultKind.SLOW, DomId(domid), op, path) == met
    assert aim.request_rate(FaultKind.EACCES, DomId(domid), op, path) == 0


def test_a_refusal_meets_only_requests_that_a_daemon_refuses_so() -> None:
    everywhere = Faults(enospc=1, eacces=1, eagain=1)
    met = {
        kind: {op for op in Op if everywhere.request_rate(kind, DOM3, op, None)}
        for kind in (FaultKind.ENOSPC, FaultKind.EACCES, FaultKind.EAGAIN)
    }
    assert met[FaultKind.ENOSPC] == {Op.WRITE, Op.MKDIR, Op.SET_PERMS, Op.TRANSACTION_START}
    assert met[FaultKind.EAGAIN] == {Op.TRANSACTION_END}
    assert Op.READ in met[FaultKind.EACCES]
    assert Op.WATCH not in met[FaultKind.EACCES]
