"""Domains on both sides of the toolstack: in the hypervisor and, as libxl does it, in xenstore.

Each one is noted below /tool while it exists, so that `toolstack cleanup` knows what a killed
run left.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from uuid import UUID

import trio

from handoff.errors import XenstoreUnavailable
from handoff.keys import StoreWrite, child, private
from toolstack.config.guest import GuestConfig
from toolstack.domain_tree import (
    NewDomain,
    Step,
    destroy_steps,
    dm_arguments,
    guest_tree,
    hvm_domain,
    stub_domain,
    stubdom_tree,
)
from toolstack.hypervisor import Hypervisor
from toolstack.store import Store
from xenstore_sim.wire.errors import XenstoreError
from xenstore_sim.wire.names import AbsolutePath, DomId

CLEAN_UP_S = 10.0
NOTES = AbsolutePath("/tool/stubdom-direct-boot")
"""One node a domain that a toolstack of ours made: `<domid>` = its uuid."""


@dataclass(frozen=True, slots=True)
class Domains:
    """Makes domains and takes them away again, whatever happens in between."""

    store: Store
    hypervisor: Hypervisor
    config: GuestConfig

    @classmethod
    async def over(cls, store: Store, config: GuestConfig) -> Domains:
        """For a xenstored that may know domains already: their ids are left alone."""
        return cls(store, Hypervisor(set(await store.domains_in_use())), config)

    @asynccontextmanager
    async def guest(self) -> AsyncIterator[NewDomain]:
        """The guest's domain, introduced and paused, while the context lasts."""
        made = self.hypervisor.create(self.config.uuid)
        guest = hvm_domain(self.config, made.domid, made.uuid, time.time())
        async with self._existing(guest, guest_tree(self.config, guest)):
            yield guest

    @asynccontextmanager
    async def stubdom(
        self, guest: NewDomain, arguments: Sequence[str], log: str
    ) -> AsyncIterator[tuple[NewDomain, tuple[str, ...]]]:
        """A stub domain of `guest` while the context lasts, and its device model's arguments.

        arguments: ours, beside those libxl writes. log: where its console goes, for people.
        """
        made = self.hypervisor.create()
        stubdom = stub_domain(guest, made.domid, made.uuid, time.time())
        argv = dm_arguments(self.config, guest, arguments)
        steps = stubdom_tree(self.config, guest, stubdom, argv, log)
        async with self._existing(stubdom, steps):
            yield stubdom, argv

    @asynccontextmanager
    async def _existing(self, domain: NewDomain, steps: Sequence[Step]) -> AsyncIterator[None]:
        note = child(NOTES, str(domain.domid))
        try:
            uuid = str(domain.uuid).encode("ascii")
            await self.store.carry_out(StoreWrite(note, uuid, private()))
            for step in steps:
                await self.store.carry_out(step)
            yield
        finally:
            with (
                trio.move_on_after(CLEAN_UP_S, shield=True),
                suppress(XenstoreError, XenstoreUnavailable),
            ):
                await remove_domain(self.store, domain.domid, domain.uuid)
            self.hypervisor.destroy(domain.domid)


async def remove_domain(store: Store, domid: DomId, uuid: UUID) -> None:
    """Takes everything of a domain away, its note last. Raises: XenstoreError."""
    for step in destroy_steps(domid, uuid):
        await store.carry_out(step)
    await store.client.rm(child(NOTES, str(domid)))
