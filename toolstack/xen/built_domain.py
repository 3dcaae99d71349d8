"""A domain that xl builds, paused, and takes away again whatever happens in between."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

import trio

from handoff.errors import HandoffError, HypervisorError
from toolstack.progress import Progress
from toolstack.xen.identity_lock import identity_lock
from toolstack.xen.libxc import DomainInfo, Libxc
from toolstack.xen.xl import Xl, XlFailed
from xenstore_sim.wire.names import DomId


@dataclass(frozen=True, slots=True)
class Builder:
    """What makes domains here, and who is told if one stays. xl has a time limit of its own."""

    xl: Xl
    libxc: Libxc
    progress: Progress

    @asynccontextmanager
    async def domain(self, name: str, config: str, identity: UUID) -> AsyncIterator[DomId]:
        """The domain of `config`, an xl.cfg(5) text with this uuid, while the context lasts.

        Raises: HypervisorError with what xl or Xen said; nothing of the domain is left. Also if
        a domain has this uuid already, or another toolstack builds one, which is not ours to
        touch.
        """
        with identity_lock(identity):
            self._require_free(name, identity)
            ours = True
            try:
                try:
                    await self._build(config)
                except XlFailed:
                    # It took away what it had built; who has the uuid now, another one made.
                    ours = False
                    raise
                info = self.libxc.find(identity)
                if info is None:
                    raise HypervisorError(f'xl built "{name}", but Xen has no domain {identity}')
                yield info.domid
            finally:
                await self._clear_away(identity, ours=ours)

    def _require_free(self, name: str, identity: UUID) -> None:
        taken = self.libxc.find(identity)
        if taken is not None:
            raise HypervisorError(
                f'domain {taken.domid} has the uuid {identity} of "{name}" already: destroy it '
                f"(`xl destroy {taken.domid}`), or write another uuid"
            )

    async def _build(self, config: str) -> None:
        with tempfile.TemporaryDirectory(prefix="direct-boot-") as directory:
            file = trio.Path(directory, "domain.cfg")
            await file.write_bytes(config.encode("utf-8", "surrogateescape"))
            # To its end, even if we are cancelled: half a domain is nobody's.
            with trio.CancelScope(shield=True):
                await self.xl.create_paused(str(file))

    async def _clear_away(self, identity: UUID, *, ours: bool) -> None:
        """Whatever goes wrong here is told, and does not take the place of an earlier error."""
        try:
            info = self.libxc.find(identity)
        except HandoffError as error:
            self.progress.warning(f"a domain of the uuid {identity} may be left: {error}")
            return
        if info is None:
            return
        if ours:
            await self._destroy(info)
        else:
            self.progress.warning(
                f"domain {info.domid} has the uuid {identity}: xl did not take it away, or "
                f"another program made it: see to it (`xl destroy {info.domid}`)"
            )

    async def _destroy(self, info: DomainInfo) -> None:
        """With all that libxl made for it."""
        with trio.CancelScope(shield=True):
            try:
                await self.xl.destroy(info.domid)
            except HandoffError as error:
                self.progress.warning(f"domain {info.domid} may be left: {error}")
