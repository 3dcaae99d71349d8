"""A domain that xl builds, paused, and takes away again whatever happens in between."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import trio

from handoff.errors import HandoffError, HypervisorError
from toolstack.progress import Progress
from toolstack.xen.domain_directory import (
    BASE,
    CLEANUP,
    DomainDirectory,
    Note,
    domain_directory,
)
from toolstack.xen.libxc import DomainInfo, Libxc
from toolstack.xen.xl import Xl, XlFailed
from xenstore_sim.wire.names import DomId


@dataclass(frozen=True, slots=True)
class Builder:
    """What makes domains here, and who is told if one stays. xl has a time limit of its own."""

    xl: Xl
    libxc: Libxc
    progress: Progress
    base: Path = BASE
    """where the directories of domains are"""

    def directory(self, uuid: UUID) -> AbstractContextManager[DomainDirectory]:
        """For a domain of this uuid. Raises: RunDirectoryBusy, HypervisorError."""
        return domain_directory(self.base, uuid)

    @asynccontextmanager
    async def domain(
        self, name: str, config: str, home: DomainDirectory, *, fresh: bool = True
    ) -> AsyncIterator[DomId]:
        """The domain of `config`, an xl.cfg(5) text with the uuid of `home`, while the context
        lasts. fresh: the uuid was made for it.

        Raises: HypervisorError with what xl or Xen said; nothing of the domain is left. Also if
        a domain has this uuid already, which is not ours to touch.
        """
        identity = home.uuid
        self._require_free(name, identity)
        # Nobody else has a fresh uuid. Of another one's, a domain may appear at any time.
        ours = fresh
        try:
            home.note(Note(None, fresh))
            file = home.write("domain.cfg", config.encode("utf-8", "surrogateescape"))
            # Who is interrupted already begins nothing that it cannot interrupt.
            await trio.lowlevel.checkpoint()
            try:
                ours = True
                # To its end, even if we are cancelled: half a domain is nobody's.
                with trio.CancelScope(shield=True):
                    await self.xl.create_paused(str(file), home.lock)
            except XlFailed:
                # It took away what it had built; who has a uuid of others' now, another made.
                ours = fresh
                raise
            info = self.libxc.find(identity)
            if info is None:
                raise HypervisorError(f'xl built "{name}", but Xen has no domain {identity}')
            home.note(Note(info.domid, fresh))
            yield info.domid
        finally:
            await self._clear_away(home, ours=ours)

    def _require_free(self, name: str, identity: UUID) -> None:
        taken = self.libxc.find(identity)
        if taken is not None:
            raise HypervisorError(
                f'domain {taken.domid} has the uuid {identity} of "{name}" already: destroy it '
                f"(`xl destroy {taken.domid}`), or write another uuid"
            )

    async def _clear_away(self, home: DomainDirectory, *, ours: bool) -> None:
        """Whatever goes wrong here is told, and does not take the place of an earlier error."""
        try:
            info = self.libxc.find(home.uuid)
        except HandoffError as error:
            self.progress.warning(f"a domain of the uuid {home.uuid} may be left: {error}")
            return
        if info is not None and ours:
            await self._destroy(info, home)
            return
        home.forget()
        if info is not None:
            self.progress.warning(
                f"domain {info.domid} has the uuid {home.uuid}: xl did not take it away, or "
                f"another program made it: see to it (`xl destroy {info.domid}`)"
            )

    async def _destroy(self, info: DomainInfo, home: DomainDirectory) -> None:
        """With all that libxl made for it."""
        with trio.CancelScope(shield=True):
            try:
                await self.xl.destroy(info.domid, home.lock)
            except HandoffError as error:
                self.progress.warning(
                    f"domain {info.domid} may be left: {error}: if so, {CLEANUP} destroys it"
                )
                return
        home.forget()
