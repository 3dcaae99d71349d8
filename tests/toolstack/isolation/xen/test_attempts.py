"""The attempts on a real Xen stand beside the simulation's by name."""

from __future__ import annotations

import pytest

from toolstack.isolation.attempts import ATTEMPTS as SIMULATED
from toolstack.isolation.lies import LIES
from toolstack.isolation.stubdom.attempt import DOMAINS, Claim
from toolstack.isolation.stubdom.attempts import ATTEMPTS
from toolstack.isolation.stubdom.order import Order, Place, Whom

ORDER = Order(Place.STUB_DOMAIN, 0, 7, 8, 0x7000, "secret", (0xFEFFC, 1))


def test_each_counterpart_is_an_attempt_of_the_simulation() -> None:
    there = {attempt.name for _, attempts in SIMULATED for attempt in attempts}
    there |= {lie.name for lie in LIES}
    named = {name for attempt in ATTEMPTS for name in attempt.simulated if name is not None}
    assert named - there == set()


def test_no_two_attempts_have_one_name() -> None:
    names = [attempt.name for attempt in ATTEMPTS]
    assert len(names) == len(set(names))


def test_whoever_lets_a_guest_run_or_end_is_never_its_device_model() -> None:
    """But for shutting it down, which a device model's own operation does."""
    claims = {attempt.name: attempt.target for attempt in ATTEMPTS}
    for name in ("pause it", "unpause it", "destroy it", "take it as target"):
        assert claims[name] is Claim.FORBIDDEN


def test_what_harms_a_domain_is_tried_on_all_of_them() -> None:
    some = {attempt.name for attempt in ATTEMPTS if attempt.of != DOMAINS}
    assert all(name.startswith(("read ", "list ", "watch ", "command ")) for name in some), some


def test_an_order_arrives_as_it_was_given() -> None:
    assert Order.decode(ORDER.encode()) == ORDER


@pytest.mark.parametrize("text", ["", "[]", '{"place": "nowhere"}', '{"place": "control"}'])
def test_what_is_no_order_is_refused(text: str) -> None:
    with pytest.raises((ValueError, KeyError, TypeError, AttributeError)):
        Order.decode(text)


@pytest.mark.parametrize(
    ("whom", "domid"),
    [(Whom.TARGET, 7), (Whom.BYSTANDER, 8), (Whom.ABSENT, 0x7000), (Whom.DOM0, 0)],
)
def test_an_attempt_is_made_on_the_domain_of_its_column(whom: Whom, domid: int) -> None:
    assert ORDER.domid(whom) == domid
