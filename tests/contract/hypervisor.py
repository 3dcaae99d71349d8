"""The hypervisor port: each rule takes a handle and a domain that is paused and may be unpaused.

On a real Xen it is libxenctrl; here a fake of it.
"""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

import pytest

from handoff.errors import HypervisorError
from toolstack.xen.libxc import Libxc
from xenstore_sim.wire.names import DomId

Rule = Callable[[Libxc, DomId, UUID], None]
"""Called with the handle, and a paused HVM domain by its domid and its uuid."""

NOBODY = DomId(0x7F00)


def a_domain_is_found_by_its_uuid_and_by_its_domid(libxc: Libxc, domid: DomId, uuid: UUID) -> None:
    info = libxc.find(uuid)
    assert info is not None
    assert (info.domid, info.uuid) == (domid, uuid)
    assert libxc.domain(domid) == info


def what_does_not_exist_is_not_found(libxc: Libxc, domid: DomId, uuid: UUID) -> None:
    assert libxc.domain(NOBODY) is None
    assert libxc.find(UUID(int=uuid.int ^ 1)) is None


def a_paused_domain_is_neither_dying_nor_down(libxc: Libxc, domid: DomId, uuid: UUID) -> None:
    info = libxc.domain(domid)
    assert info is not None
    assert (info.paused, info.dying, info.shutdown) == (True, False, None)


def what_is_asked_of_nobody_is_refused_by_name(libxc: Libxc, domid: DomId, uuid: UUID) -> None:
    attempts: tuple[Callable[[], object], ...] = (
        lambda: libxc.unpause(NOBODY),
        lambda: libxc.set_target(NOBODY, domid),
    )
    for attempt in attempts:
        with pytest.raises(HypervisorError, match=f"domain {NOBODY} is gone"):
            attempt()


RULES: tuple[Rule, ...] = (
    a_domain_is_found_by_its_uuid_and_by_its_domid,
    what_does_not_exist_is_not_found,
    a_paused_domain_is_neither_dying_nor_down,
    what_is_asked_of_nobody_is_refused_by_name,
)
