"""How a domain's end is told."""

from __future__ import annotations

from uuid import UUID

import pytest

from toolstack.machine.port import EndReason
from toolstack.xen.libxc import DomainInfo, Shutdown
from toolstack.xen.machine import ended
from xenstore_sim.wire.names import DomId

DOMID = DomId(5)


def info(shutdown: Shutdown | int | None, dying: bool = False) -> DomainInfo:
    return DomainInfo(DOMID, UUID(int=1), False, dying, shutdown)


@pytest.mark.parametrize(
    ("shutdown", "reason", "word"),
    [
        (Shutdown.POWEROFF, EndReason.POWERED_OFF, "poweroff"),
        (Shutdown.REBOOT, EndReason.RESET, "reboot"),
        (Shutdown.CRASH, EndReason.CRASHED, "crash"),
        (Shutdown.WATCHDOG, EndReason.CRASHED, "watchdog"),
        (Shutdown.SUSPEND, EndReason.CRASHED, "suspend"),
        (77, EndReason.CRASHED, "77"),
    ],
)
def test_a_domain_that_shut_down_ended_by_its_reason(
    shutdown: Shutdown | int, reason: EndReason, word: str
) -> None:
    end = ended(DOMID, info(shutdown))
    assert end is not None
    assert (end.reason, end.detail) == (reason, f"domain 5, shutdown reason {word}")


def test_a_domain_that_runs_has_not_ended() -> None:
    assert ended(DOMID, info(None)) is None


@pytest.mark.parametrize("gone", [None, info(None, dying=True), info(Shutdown.POWEROFF, True)])
def test_a_domain_that_is_gone_or_dies_was_destroyed_by_somebody(gone: DomainInfo | None) -> None:
    end = ended(DOMID, gone)
    assert end is not None
    assert end.reason is EndReason.KILLED
    assert "domain 5 was destroyed by something else" in end.detail
