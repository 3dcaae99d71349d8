"""The device model's shell over a real xenstore server, as an unprivileged domain."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import trio
import trio.testing

from devicemodel.run import Setup, serve
from handoff.carriers import arguments, base64_chunks, memory
from handoff.errors import DescriptorRefused, StageTimeout, Withdrawn, XenstoreUnavailable
from handoff.keys import HandoffKeys, numbered, read_by
from handoff.report import check_report, decode_report
from handoff.store_values import Carrier, Offer, OfferState
from tests.builders import RAMDISK, RELOCATABLE, Guest, poisoned_guest
from tests.deadline import missed_after
from tests.devicemodel.handover import GENERATION, Staged, offer
from xenstore_sim.client import Client
from xenstore_sim.server import serve as serve_xenstore
from xenstore_sim.wire.names import DomId, home

STUBDOM, TARGET = DomId(4), DomId(3)
KEYS = HandoffKeys(STUBDOM, TARGET)
STAGED = Staged(RELOCATABLE.build(), 0x400000, RAMDISK, 0x600000)
LIMIT_S = 20


@dataclass(frozen=True)
class Stubdom:
    """A stub domain that exists in xenstore, before its device model starts."""

    dom0: Client
    socket: Path

    async def publish(self, carrier: Carrier, frame: bytes, state: OfferState) -> None:
        """What a toolstack writes, `state` last."""
        nodes = {KEYS.version: b"1", KEYS.carrier: carrier.value.encode()}
        if carrier is Carrier.XENSTORE:
            for number, chunk in enumerate(base64_chunks.split(frame), 1):
                nodes[numbered(KEYS.frame, number)] = chunk.encode()
        if carrier is Carrier.MEMORY:
            nodes[KEYS.frame_gpa] = f"{memory.KNOWN_LOCATION:#x}".encode()
            nodes[KEYS.frame_size] = str(len(frame)).encode()
        nodes[KEYS.offer_state] = state.encode()
        async with self.dom0.begin() as transaction:
            for path, value in nodes.items():
                await transaction.write(path, value)

    async def stages(self, device_model: Setup) -> list[bytes]:
        """Runs the device model to its end or to `running`; the states it wrote, in order."""
        seen: list[bytes] = []
        async with self.dom0.watch(KEYS.device_model) as watch, trio.open_nursery() as nursery:
            nursery.start_soon(self.run, device_model)
            while not await self.dom0.exists(KEYS.running):
                await watch.get()
                value = await self.dom0.read_or_none(KEYS.answer_state)
                if value is not None and value not in seen:
                    seen.append(value)
            nursery.cancel_scope.cancel()
        return seen

    async def run(self, device_model: Setup) -> None:
        async with Client.connect(self.socket) as client:
            await serve(client, device_model, lambda line: None)


@pytest.fixture
def guest() -> Iterator[Guest]:
    with poisoned_guest() as guest:
        yield guest


@pytest.fixture
async def stubdom(tmp_path: Path, nursery: trio.Nursery) -> AsyncIterator[Stubdom]:
    nursery.start_soon(missed_after, LIMIT_S)
    async with _stubdom(tmp_path, nursery) as made:
        yield made


@asynccontextmanager
async def _stubdom(rundir: Path, nursery: trio.Nursery) -> AsyncIterator[Stubdom]:
    handle = await nursery.start(serve_xenstore, rundir / "x")
    async with Client.connect(handle.socket_path) as dom0:
        for domid in (TARGET, STUBDOM):
            await dom0.introduce(domid, 1, 1)
        await dom0.write(home(STUBDOM), b"")
        await dom0.set_perms(home(STUBDOM), read_by(STUBDOM))
        await dom0.write(f"{home(STUBDOM)}/domid", str(STUBDOM))
        await dom0.write(KEYS.target_node, str(TARGET))
        await dom0.mkdir(KEYS.device_model)
        await dom0.set_perms(KEYS.device_model, KEYS.device_model_perms)
        yield Stubdom(dom0, handle.domain_socket_path(STUBDOM))


def setup(guest: Guest, frame_arguments: Sequence[str] = (), timeout: float = 10.0) -> Setup:
    return Setup(TARGET, guest.ram, frame_arguments, None, timeout)


PUBLISHED = OfferState(GENERATION, Offer.PUBLISHED)
WITHDRAWN = OfferState(GENERATION, Offer.WITHDRAWN)


@pytest.mark.parametrize("carrier", Carrier, ids=lambda carrier: carrier.value)
async def test_each_carrier_brings_the_frame_and_every_stage_is_told(
    carrier: Carrier, guest: Guest, stubdom: Stubdom
) -> None:
    frame = offer(guest, STAGED)
    words = arguments.to_arguments(frame)[1::2] if carrier is Carrier.CMDLINE else ()
    if carrier is Carrier.MEMORY:
        memory.store(frame, guest.ram)
    await stubdom.publish(carrier, frame, PUBLISHED)

    seen = await stubdom.stages(setup(guest, words))

    assert seen[-1] == f"{GENERATION} ready".encode()
    names = await stubdom.dom0.directory(KEYS.report)
    chunks = [await stubdom.dom0.read(f"{KEYS.report}/{name}") for name in names]
    generation, report = decode_report(base64_chunks.join(chunks, "report"))
    assert generation == GENERATION
    check_report(report, [region.range for region in guest.regions])


async def test_an_offer_made_after_the_start_is_seen(guest: Guest, stubdom: Stubdom) -> None:
    frame = offer(guest, STAGED)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stubdom.run, setup(guest))
        await trio.testing.wait_all_tasks_blocked()
        await stubdom.publish(Carrier.XENSTORE, frame, PUBLISHED)
        async with stubdom.dom0.watch(KEYS.running) as watch:
            while not await stubdom.dom0.exists(KEYS.running):
                await watch.get()
        nursery.cancel_scope.cancel()
    assert await stubdom.dom0.read(KEYS.answer_state) == f"{GENERATION} ready".encode()


async def test_a_frame_that_does_not_decode_is_answered_with_the_reason(
    guest: Guest, stubdom: Stubdom
) -> None:
    frame = bytearray(offer(guest, STAGED))
    frame[-1] ^= 1
    await stubdom.publish(Carrier.XENSTORE, bytes(frame), PUBLISHED)

    with pytest.raises(DescriptorRefused, match="crc32c"):
        await stubdom.run(setup(guest))

    assert await stubdom.dom0.read(KEYS.answer_state) == f"{GENERATION} failed".encode()
    assert (await stubdom.dom0.read(KEYS.error)).startswith(b"descriptor: frame.crc32c: is ")


async def test_a_hole_in_the_chunks_is_answered_with_the_node(
    guest: Guest, stubdom: Stubdom
) -> None:
    frame = offer(guest, STAGED)
    await stubdom.publish(Carrier.XENSTORE, frame, PUBLISHED)
    await stubdom.dom0.rm(f"{KEYS.frame}/001")
    await stubdom.dom0.write(f"{KEYS.frame}/002", b"AAAA")

    with pytest.raises(DescriptorRefused, match="001 must be"):
        await stubdom.run(setup(guest))

    assert b"001 must be" in await stubdom.dom0.read(KEYS.error)


async def test_what_was_withdrawn_before_it_was_ready_never_becomes_ready(
    guest: Guest, stubdom: Stubdom
) -> None:
    await stubdom.publish(Carrier.XENSTORE, offer(guest, STAGED), PUBLISHED)
    async with stubdom.dom0.watch(KEYS.answer_state) as watch, trio.open_nursery() as nursery:

        async def withdraw_on_the_way() -> None:
            while True:
                await watch.get()
                value = await stubdom.dom0.read_or_none(KEYS.answer_state) or b""
                if value.endswith((b" placed", b" moved", b" inserted")):
                    await stubdom.dom0.write(KEYS.offer_state, WITHDRAWN.encode())
                    return

        nursery.start_soon(withdraw_on_the_way)
        with pytest.raises(Withdrawn):
            await stubdom.run(setup(guest))

    assert not (await stubdom.dom0.read(KEYS.answer_state)).endswith(b" ready")
    assert not await stubdom.dom0.exists(KEYS.running)


async def test_a_withdrawal_ends_the_service_of_a_ready_guest_without_an_error(
    guest: Guest, stubdom: Stubdom
) -> None:
    await stubdom.publish(Carrier.XENSTORE, offer(guest, STAGED), PUBLISHED)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(stubdom.run, setup(guest))
        async with stubdom.dom0.watch(KEYS.running) as watch:
            while not await stubdom.dom0.exists(KEYS.running):
                await watch.get()
        await stubdom.dom0.write(KEYS.offer_state, WITHDRAWN.encode())
    # The nursery ended, so the device model did, by itself.


async def test_without_an_offer_it_says_which_node_it_waited_for(
    guest: Guest, stubdom: Stubdom
) -> None:
    with pytest.raises(StageTimeout, match="/local/domain/4/direct-boot/state"):
        await stubdom.run(setup(guest, timeout=0.05))


async def test_a_domain_that_is_no_stub_domain_of_the_target_is_refused(
    guest: Guest, stubdom: Stubdom
) -> None:
    await stubdom.dom0.write(KEYS.target_node, b"9")
    with pytest.raises(XenstoreUnavailable, match="stub domain of domain 3"):
        await stubdom.run(setup(guest))


async def test_when_its_domain_goes_the_device_model_ends(guest: Guest, stubdom: Stubdom) -> None:
    async with trio.open_nursery() as nursery:

        async def lose_the_domain() -> None:
            await trio.testing.wait_all_tasks_blocked()
            await stubdom.dom0.release(STUBDOM)

        nursery.start_soon(lose_the_domain)
        with pytest.raises(XenstoreUnavailable, match="connection lost"):
            await stubdom.run(setup(guest))
