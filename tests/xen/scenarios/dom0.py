"""Whether the bed itself is sound."""

from __future__ import annotations

import subprocess

import trio

from xenstore_sim.client import Client

XENSTORED_SOCKET = "/run/xenstored/socket"


def looks() -> dict[str, str]:
    """`xl info`, by its keys."""
    shown = subprocess.run(("xl", "info"), capture_output=True, text=True, timeout=60, check=True)
    pairs = (line.partition(":") for line in shown.stdout.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def reads_xenstore_with_our_client() -> dict[str, str]:
    """Nodes that xen-init-dom0 wrote, as our client reads them from the real xenstored."""

    async def read() -> dict[str, str]:
        with trio.fail_after(30):
            async with Client.connect(XENSTORED_SOCKET) as store:
                paths = ("/local/domain/0/name", "/local/domain/0/domid")
                return {path: (await store.read(path)).decode() for path in paths}

    return trio.run(read)
