"""What `toolstack cleanup` does: take away what a killed toolstack could not.

Its processes went with it, and so did guest RAM; what can stay is a run directory and, in a
xenstored that lives on, domains with their nodes. Of a Xen host, toolstack/xen/cleanup.py.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import trio

from handoff.errors import XenstoreUnavailable
from handoff.store_values import shown
from toolstack.domains import CLEAN_UP_S, NOTES, remove_domain
from toolstack.run_directory import remove_abandoned
from toolstack.store import Store
from toolstack.xen.domain_directory import BASE
from toolstack.xenstored import open_store
from xenstore_sim.wire.errors import XenstoreError
from xenstore_sim.wire.names import DomId


async def cleanup(
    xenstore: Path | None, tell: Callable[[str], None], *, on_xen: bool = False
) -> None:
    """Removes what nobody holds any more. tell: hears a line for each thing, or of nothing.

    xenstore: run directory of a xenstored to clean, too; None: none. on_xen: and this very host.
    Raises: RunDirectoryBusy if a toolstack works there, XenstoreUnavailable, HypervisorError.
    """
    told: list[str] = []

    def found(line: str) -> None:
        told.append(line)
        tell(line)

    for path in remove_abandoned():
        found(f"removed run directory {path}")
    if xenstore is not None:
        try:
            async with open_store(xenstore) as store:
                with trio.fail_after(CLEAN_UP_S):
                    await _remove_domains(store, found)
        except trio.TooSlowError as error:
            raise XenstoreUnavailable(
                f"xenstored did not answer within {CLEAN_UP_S:g} s: run cleanup again"
            ) from error
        except XenstoreError as error:
            raise XenstoreUnavailable(f"xenstore: {error}") from error
    if on_xen:
        from toolstack.xen.cleanup import clean_up_host

        await clean_up_host(found)
    if not told:
        # There, toolstacks have worked on the domains of this very host.
        unseen = not on_xen and BASE.exists()
        hint = "; --machine xen also looks for domains of this Xen host" if unseen else ""
        tell(f"nothing was left behind{hint}")


async def _remove_domains(store: Store, tell: Callable[[str], None]) -> None:
    if not await store.client.exists(NOTES):
        return
    # The highest first: a stub domain is made after its target and must go before it.
    names = await store.client.directory(NOTES)
    for name in sorted(names, key=lambda name: (len(name), name), reverse=True):
        note = f"{NOTES}/{name}"
        value = await store.client.read(note)
        try:
            domid, uuid = DomId(int(name)), UUID(value.decode("ascii"))
        except ValueError as error:
            raise XenstoreUnavailable(
                f"{note} is {shown(value)}, must be <domid> = its uuid: remove it"
            ) from error
        await remove_domain(store, domid, uuid)
        tell(f"removed domain {domid} ({uuid})")
