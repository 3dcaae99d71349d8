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
from toolstack.xen.libxc import Libxc
from toolstack.xen.xl import Xl
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
        a domain has this uuid already, which is not ours to touch.
        """
        self._require_free(name, identity)
        with tempfile.TemporaryDirectory(prefix="direct-boot-") as directory:
            file = trio.Path(directory, "domain.cfg")
            await file.write_bytes(config.encode("utf-8", "surrogateescape"))
            try:
                # To its end, even if we are cancelled: half a domain is nobody's.
                with trio.CancelScope(shield=True):
                    await self.xl.create_paused(str(file))
                info = self.libxc.find(identity)
                if info is None:
                    raise HypervisorError(f'xl built "{name}", but Xen has no domain {identity}')
                yield info.domid
            finally:
                await self._destroy(identity)

    def _require_free(self, name: str, identity: UUID) -> None:
        taken = self.libxc.find(identity)
        if taken is not None:
            raise HypervisorError(
                f'domain {taken.domid} has the uuid {identity} of "{name}" already: destroy it '
                f"(`xl destroy {taken.domid}`), or write another uuid"
            )

    async def _destroy(self, identity: UUID) -> None:
        """The domain, if there is one, with all that libxl made for it."""
        with trio.CancelScope(shield=True):
            info = self.libxc.find(identity)
            if info is None:
                return
            try:
                await self.xl.destroy(info.domid)
            except HandoffError as error:
                self.progress.warning(f"domain {info.domid} may be left: {error}")
