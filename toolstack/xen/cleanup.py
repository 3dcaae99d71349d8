"""What `toolstack cleanup --machine xen` does: take away what killed toolstacks left on this host.

That is what their directories tell of (toolstack/xen/domain_directory.py): domains, with their own
xenstore nodes, and the nodes of a handoff to a device model in dom0.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

import trio

from handoff.errors import HandoffError
from handoff.keys import HandoffKeys
from toolstack.store import ANSWER_S
from toolstack.xen.domain_directory import BASE, DomainDirectory, Note, abandoned
from toolstack.xen.libxc import DomainInfo, Libxc, require_dom0
from toolstack.xen.store import forget, host_store
from toolstack.xen.xl import Xl
from xenstore_sim.client import Client
from xenstore_sim.wire.names import DOM0, DomId


async def clean_up_host(tell: Callable[[str], None]) -> None:
    """Takes away what nobody works on any more. tell: hears a line for each thing.

    Raises: HypervisorError if this is not dom0 of a Xen host, or something cannot be taken away;
    XenstoreUnavailable.
    """
    with closing(Libxc()) as libxc:
        require_dom0()
        async with host_store() as store:
            await Leftovers(Xl.installed(), libxc, store.client, tell).take_away(BASE)


@dataclass(frozen=True, slots=True)
class Leftovers:
    """What killed toolstacks left, and who takes it away."""

    xl: Xl
    libxc: Libxc
    client: Client
    tell: Callable[[str], None]

    async def take_away(self, base: Path) -> None:
        """All that directories in `base` tell of, though some of it may stay.

        Raises: HypervisorError for the first that stays, XenstoreError.
        """
        problems = []
        with ExitStack() as stack:
            left = abandoned(base, stack)
            for path in left.busy:
                self.tell(f"left {path} alone: an xl still works there: run cleanup again")
            # The highest first: a stub domain is made after its target and goes before it.
            for home in sorted(left.free, key=self._domid_of, reverse=True):
                try:
                    await self._take(home)
                except HandoffError as error:
                    problems.append(error)
        if problems:
            raise problems[0]

    def _domid_of(self, home: DomainDirectory) -> int:
        info = self.libxc.find(home.uuid)
        return -1 if info is None else info.domid

    async def _take(self, home: DomainDirectory) -> None:
        note = home.noted()
        if note is not None:
            await self._destroy(home, note)
            if note.domid is not None:
                await self._remove_nodes(home, note.domid)
        home.remove()
        self.tell(f"removed {home.path}")

    async def _destroy(self, home: DomainDirectory, note: Note) -> None:
        info = self.libxc.find(home.uuid)
        if info is None:
            return
        if not await self._is_that(home, note, info):
            self.tell(
                f"left domain {info.domid} alone: it has the uuid {home.uuid} of one that a killed "
                "toolstack had, and was made by another program"
            )
            return
        await self.xl.destroy(info.domid, home.lock)
        self.tell(f"destroyed domain {info.domid} ({home.uuid})")

    async def _is_that(self, home: DomainDirectory, note: Note, info: DomainInfo) -> bool:
        """Whether the domain that has the uuid now is the one that was noted."""
        if note.fresh:
            return True
        if note.domid is not None:
            return note.domid == info.domid
        # The toolstack was killed before xl was done. The ROM's name is an argument of QEMU's.
        return str(home.path) in await self.xl.configuration(info.domid)

    async def _remove_nodes(self, home: DomainDirectory, domid: DomId) -> None:
        """Those of a device model in dom0, unless a later domain of this number has them."""
        keys = HandoffKeys(DOM0, domid)
        there = self.libxc.domain(domid)
        # Ours stays, dying, as long as somebody maps its RAM.
        if there is not None and there.uuid != home.uuid:
            return
        with trio.fail_after(ANSWER_S):
            if await self.client.exists(keys.home):
                await forget(self.client, keys)
                self.tell(f"removed {keys.home} in xenstore")
