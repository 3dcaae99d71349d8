"""A device model that does what its script says: `scripted_device_model.py SCENARIO...`.

The first attempt plays the first scenario, the second the second, the last one all that follow.
It speaks to xenstored as the real one does, over its own connection, and never looks at an image.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress

import trio

from handoff.addresses import Gpa, GpaRange
from handoff.carriers import base64_chunks
from handoff.keys import HandoffKeys, numbered
from handoff.report import MovedRange, PlacedRange, Report, When, encode_report
from handoff.store_values import OfferState
from xenstore_sim.client import Client
from xenstore_sim.wire.errors import Disconnected
from xenstore_sim.wire.names import DomId

REPORT = Report(
    "linux, real mode",
    (PlacedRange("kernel", GpaRange(Gpa(0x200000), 0x1000), When.NOW, "relocatable"),),
    (MovedRange("kernel", GpaRange(Gpa(0x300000), 0x1000), GpaRange(Gpa(0x200000), 0x1000)),),
    GpaRange(Gpa(0xC8000), 0x200),
    0,
)
"""What an honest device model could say of a guest of 64 MiB."""
STAGES = ("discovered", "verified", "placed", "moved", "inserted", "ready")


class Script:
    """What a scenario may do."""

    def __init__(self, client: Client, keys: HandoffKeys) -> None:
        self.client = client
        self.keys = keys
        self.generation = 0

    async def await_offer(self) -> None:
        async with self.client.watch(self.keys.offer_state) as watch:
            async for _ in watch:
                value = await self.client.read_or_none(self.keys.offer_state)
                if value is not None:
                    self.generation = OfferState.decode(value).generation
                    return

    async def up_to(self, last: str) -> None:
        """Says every stage as far as `last`, the report before `inserted`."""
        for stage in STAGES[: STAGES.index(last) + 1]:
            if stage == "inserted":
                frame = encode_report(REPORT, self.generation)
                for number, chunk in enumerate(base64_chunks.split(frame), 1):
                    await self.client.write(numbered(self.keys.report, number), chunk)
            await self.client.write(self.keys.answer_state, f"{self.generation} {stage}")


async def good(script: Script) -> None:
    await script.up_to("ready")
    await script.client.write(script.keys.running, "running")
    with suppress(Disconnected):
        async with script.client.watch(script.keys.offer_state) as watch:
            async for _ in watch:
                pass


async def silent(script: Script) -> None:
    await trio.sleep_forever()


async def stays_verified(script: Script) -> None:
    # One write: of several, xenstored may merge the events.
    await script.client.write(script.keys.answer_state, f"{script.generation} verified")
    await trio.sleep_forever()


async def flapping(script: Script) -> None:
    while True:
        for stage in ("moved", "verified"):
            await script.client.write(script.keys.answer_state, f"{script.generation} {stage}")


async def refuses(script: Script) -> None:
    await script.client.write(script.keys.error, "layout: the kernel's header is broken")
    await script.client.write(script.keys.answer_state, f"{script.generation} failed")
    await trio.sleep_forever()


async def damaged(script: Script) -> None:
    await script.client.write(script.keys.error, "digest: the ramdisk was damaged")
    await script.client.write(script.keys.answer_state, f"{script.generation} failed")
    await trio.sleep_forever()


def dies_after(stage: str) -> Callable[[Script], Awaitable[None]]:
    async def scenario(script: Script) -> None:
        await script.up_to(stage)
        os.kill(os.getpid(), signal.SIGKILL)

    return scenario


async def dies_at_once(script: Script) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


SCENARIOS: dict[str, Callable[[Script], Awaitable[None]]] = {
    "good": good,
    "silent": silent,
    "stays-verified": stays_verified,
    "flapping": flapping,
    "refuses": refuses,
    "damaged": damaged,
    "dies-at-once": dies_at_once,
    **{f"dies-after-{stage}": dies_after(stage) for stage in STAGES},
}


async def _main(xenstore_fd: int, target: int, scenarios: list[str]) -> None:
    connection = socket.socket(fileno=xenstore_fd)
    async with Client.from_socket(connection) as client:
        own = DomId(int(await client.read("domid")))
        script = Script(client, HandoffKeys(own, DomId(target)))
        print(f"pid {os.getpid()} domid {own}", file=sys.stderr, flush=True)
        await script.await_offer()
        await SCENARIOS[scenarios[min(script.generation, len(scenarios)) - 1]](script)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("scenarios", nargs="+", choices=SCENARIOS)
    parser.add_argument("--xenstore-fd", type=int, required=True)
    parser.add_argument("-xen-domid", dest="target", type=int, required=True)
    options, _ = parser.parse_known_args()
    trio.run(_main, options.xenstore_fd, options.target, options.scenarios)
