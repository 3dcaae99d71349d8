"""An offer appears whole or not at all, and only its reader may read it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import trio

from handoff.addresses import Gpa, GpaRange
from handoff.carriers import base64_chunks
from handoff.descriptor import Role, StagedImage
from handoff.keys import HandoffKeys, key_table
from handoff.store_values import Carrier, Offer, OfferState
from tests.toolstack.domain_tree.domains import UUID_G
from toolstack.domain_tree import MakeDirectory
from toolstack.publish import offer_writes, withdrawal
from toolstack.store import Store
from xenstore_sim.client import Client
from xenstore_sim.wire.errors import RequestRefused
from xenstore_sim.wire.names import DomId, home
from xenstore_sim.wire.ops import Errno

KEYS = HandoffKeys(DomId(6), DomId(5))
FRAME = bytes(range(256)) * 20
IN_MEMORY = GpaRange(Gpa(0x1F8000), len(FRAME))
IMAGES = (
    StagedImage(Role.KERNEL, GpaRange(Gpa(0x200000), 0x1234), b"\x01" * 32),
    StagedImage(Role.RAMDISK, GpaRange(Gpa(0x300000), 0x10), b"\xab" * 32),
)
HERE = "/local/domain/6/direct-boot"


def values(carrier: Carrier) -> dict[str, bytes]:
    in_memory = IN_MEMORY if carrier is Carrier.MEMORY else None
    writes = offer_writes(KEYS, 4, carrier, FRAME, in_memory, IMAGES)
    return {str(write.path).removeprefix(f"{HERE}/"): write.value for write in writes}


def test_the_frame_travels_in_numbered_chunks_that_join_to_it() -> None:
    nodes = values(Carrier.XENSTORE)
    frame = [value for name, value in nodes.items() if name.startswith("frame/")]
    assert base64_chunks.join(frame, "frame") == FRAME
    assert [name for name in nodes if name.startswith("frame/")][:2] == ["frame/001", "frame/002"]


def test_in_memory_only_its_place_is_told() -> None:
    nodes = values(Carrier.MEMORY)
    assert nodes["frame-gpa"] == b"0x1f8000"
    assert nodes["frame-size"] == b"5120"
    assert not any(name.startswith("frame/") for name in nodes)


def test_in_the_arguments_nothing_of_it_is_told() -> None:
    assert not any(name.startswith("frame") for name in values(Carrier.CMDLINE))


@pytest.mark.parametrize("carrier", list(Carrier))
def test_version_comes_first_and_state_last(carrier: Carrier) -> None:
    nodes = values(carrier)
    names = list(nodes)
    assert names[1:3] == ["version", "carrier"]
    assert (nodes["version"], nodes["carrier"]) == (b"1", carrier.value.encode())
    assert names[-1] == "state"
    assert OfferState.decode(nodes["state"]) == OfferState(4, Offer.PUBLISHED)
    assert nodes["images/1/role"] == b"ramdisk"
    assert (nodes["images/0/gpa"], nodes["images/0/size"]) == (b"0x200000", b"4660")
    assert nodes["images/1/digest"] == b"ab" * 32


@pytest.mark.parametrize("carrier", list(Carrier))
def test_every_node_and_its_permissions_are_in_the_protocols_table(carrier: Carrier) -> None:
    table = {row.path: row.perms for row in key_table(KEYS, UUID_G)}
    in_memory = IN_MEMORY if carrier is Carrier.MEMORY else None
    writes = offer_writes(KEYS, 4, carrier, FRAME[:100], in_memory, IMAGES[:1])
    for write in (*writes, withdrawal(KEYS, 4)):
        assert str(write.perms) == "n0,r6"
        if write.path in (KEYS.offer, KEYS.frame):
            continue  # directories
        assert table[write.path] == write.perms


@pytest.fixture
async def reader(store: Store) -> AsyncIterator[Client]:
    """Domain S."""
    for domid in (5, 6):
        await store.client.introduce(DomId(domid), 1, 1)
    await store.client.set_target(KEYS.stubdom, KEYS.target)
    await store.carry_out(MakeDirectory(home(KEYS.stubdom), KEYS.offer_perms))
    async with Client.connect(store.rundir / "domain" / str(KEYS.stubdom)) as client:
        yield client


async def _seen(reader: Client) -> dict[str, bytes]:
    """All that S can read of the offer, at one moment."""
    found: dict[str, bytes] = {}

    async with reader.begin() as transaction:

        async def below(path: str) -> None:
            try:
                found[path.removeprefix(f"{HERE}/")] = await transaction.read(path)
                names = await transaction.directory(path)
            except RequestRefused as refused:
                if refused.errno is not Errno.ENOENT:
                    raise
                return
            for name in names:
                await below(f"{path}/{name}")

        await below(HERE)
    found.pop(HERE, None)
    return found


@pytest.mark.parametrize("carrier", list(Carrier))
async def test_half_an_offer_is_never_seen(carrier: Carrier, store: Store, reader: Client) -> None:
    in_memory = IN_MEMORY if carrier is Carrier.MEMORY else None
    whole = {name: value for name, value in values(carrier).items() if name != HERE}
    # One request sees one moment, so what it lists is all there was.
    names: set[tuple[str, ...] | None] = set()
    looked, published = trio.Event(), trio.Event()
    async with trio.open_nursery() as nursery:

        async def look() -> None:
            while not published.is_set():
                try:
                    names.add(await reader.directory(KEYS.offer))
                except RequestRefused as refused:
                    if refused.errno is not Errno.ENOENT:
                        raise
                    names.add(None)
                looked.set()

        nursery.start_soon(look)
        await looked.wait()
        await store.write_all(offer_writes(KEYS, 4, carrier, FRAME, in_memory, IMAGES))
        published.set()
    assert names <= {None, await reader.directory(KEYS.offer)}
    parents = {"images": b"", "images/0": b"", "images/1": b""}
    assert await _seen(reader) == whole | parents


async def test_a_watch_that_fires_shows_the_whole_offer(store: Store, reader: Client) -> None:
    async with reader.watch(KEYS.offer_state) as watch:
        await watch.get()
        assert await reader.read_or_none(KEYS.offer_state) is None
        await store.write_all(offer_writes(KEYS, 4, Carrier.XENSTORE, FRAME, None, IMAGES))
        await watch.get()
        assert await reader.read(KEYS.offer_state) == b"4 published"
        assert await reader.read(KEYS.version) == b"1"
        assert len(await reader.directory(KEYS.frame)) == len(base64_chunks.split(FRAME))


async def test_its_reader_cannot_write_it_and_others_cannot_read_it(
    store: Store, reader: Client
) -> None:
    writes = offer_writes(KEYS, 4, Carrier.XENSTORE, FRAME, None, IMAGES)
    await store.write_all(writes)
    await store.client.introduce(DomId(9), 1, 1)
    async with Client.connect(store.rundir / "domain" / str(DomId(9))) as stranger:
        for write in writes:
            assert await reader.read(write.path) == write.value
            for client in (reader, stranger):
                with pytest.raises(RequestRefused) as refused:
                    await client.write(write.path, b"x")
                assert refused.value.errno is Errno.EACCES
            with pytest.raises(RequestRefused):
                await reader.write(f"{write.path}/new", b"x")
            with pytest.raises(RequestRefused):
                await stranger.read(write.path)


async def test_withdrawing_changes_the_state_alone(store: Store, reader: Client) -> None:
    await store.write_all(offer_writes(KEYS, 4, Carrier.CMDLINE, FRAME, None, IMAGES))
    before = await _seen(reader)
    await store.write_all((withdrawal(KEYS, 4),))
    assert await _seen(reader) == before | {"state": b"4 withdrawn"}
