"""Steps as xenstored gets them, and its silence as an error of ours."""

from __future__ import annotations

import os
import socket
from contextlib import closing
from pathlib import Path

import pytest
import trio
import trio.testing

from handoff.errors import XenstoreUnavailable
from handoff.keys import StoreWrite, private, read_by
from tests.toolstack.crowded_socket import crowded
from toolstack.domain_connection import StoreTransport
from toolstack.domain_tree import (
    DestroyDomain,
    Introduce,
    MakeDirectory,
    Remove,
    SetTarget,
    Transaction,
)
from toolstack.store import Store
from xenstore_sim.client import Client
from xenstore_sim.wire.errors import RequestRefused, XenstoreError
from xenstore_sim.wire.names import AbsolutePath, DomId

NODE = AbsolutePath("/a/b")
S, T = DomId(6), DomId(5)


async def test_a_write_sets_the_permissions_it_names_and_keeps_them_otherwise(
    store: Store,
) -> None:
    await store.carry_out(StoreWrite(NODE, b"one", read_by(T)))
    await store.carry_out(StoreWrite(NODE, b"two"))
    assert await store.client.read(NODE) == b"two"
    assert str(await store.client.get_perms(NODE)) == "n0,r5"


async def test_a_directory_keeps_what_is_in_it(store: Store) -> None:
    await store.client.write(f"{NODE}/c", b"kept")
    await store.carry_out(MakeDirectory(NODE, private()))
    assert await store.client.read(f"{NODE}/c") == b"kept"
    assert str(await store.client.get_perms(NODE)) == "n0"


async def test_what_is_gone_already_is_removed_without_a_word(store: Store) -> None:
    await store.carry_out(Remove(AbsolutePath("/no/parent/even")))
    await store.carry_out(DestroyDomain(DomId(77)))
    await store.carry_out(StoreWrite(NODE, b""))
    await store.carry_out(Remove(NODE))
    assert not await store.client.exists(NODE)


async def test_a_transaction_is_done_as_a_whole_or_not_at_all(store: Store) -> None:
    huge = StoreWrite(AbsolutePath("/a/c"), b"x" * 5000)
    with pytest.raises(XenstoreError, match="5005 bytes"):
        await store.carry_out(Transaction((StoreWrite(NODE, b"one"), huge)))
    assert not await store.client.exists(NODE)


async def test_a_transaction_is_tried_again_when_others_were_faster(store: Store) -> None:
    async with Client.connect(store.rundir / "socket") as other:

        async def disturb() -> None:
            for number in range(20):
                await other.write(NODE, str(number))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(disturb)
            for _ in range(10):
                await store.write_all((StoreWrite(NODE, b"ours"), StoreWrite(NODE, b"ours")))


async def test_domains_live_from_introduce_to_destroy(store: Store) -> None:
    for domid in (T, S):
        await store.carry_out(Introduce(domid, 1, 1))
    await store.carry_out(SetTarget(S, T))
    assert await store.client.is_domain_introduced(S)
    await store.carry_out(DestroyDomain(S))
    assert not await store.client.is_domain_introduced(S)


@pytest.mark.parametrize("transport", StoreTransport)
async def test_a_connection_as_a_domain_is_that_domains(
    store: Store, transport: StoreTransport
) -> None:
    await store.carry_out(Introduce(S, 1, 1))
    await store.client.write("/local/domain/6/domid", b"6")
    await store.client.set_perms("/local/domain/6/domid", read_by(S))
    with closing(await store.connect_as(S, transport)) as connection:
        fds = [os.dup(fd) for fd in connection.descriptors]
        connection.handed_over()
        if transport is StoreTransport.SOCKET:
            theirs = Client.from_socket(socket.socket(fileno=fds[0]))
        else:
            theirs = Client.from_ring(*fds)
        async with theirs as client:
            assert await client.read("domid") == b"6"
            with pytest.raises(RequestRefused):
                await client.write("/vm", b"")


async def test_a_ring_is_the_domains_until_its_connection_is_closed_here(store: Store) -> None:
    await store.carry_out(Introduce(S, 1, 1))
    connection = await store.connect_as(S, StoreTransport.RING)
    connection.handed_over()
    with pytest.raises(XenstoreUnavailable, match="domain 6 gets no xenstore ring"):
        await store.connect_as(S, StoreTransport.RING)
    connection.close()
    with closing(await store.connect_as(S, StoreTransport.RING)) as another:
        assert len(another.descriptors) == 3


@pytest.mark.parametrize("transport", StoreTransport)
async def test_a_domain_that_was_not_introduced_gets_no_connection(
    store: Store, transport: StoreTransport
) -> None:
    with pytest.raises(XenstoreUnavailable, match="domain 9 gets no xenstore connection"):
        await store.connect_as(DomId(9), transport)


async def test_a_domain_whose_socket_accepts_nobody_gets_no_connection(
    short_directory: Path, autojump_clock: trio.testing.MockClock
) -> None:
    ours, its = socket.socketpair()
    (short_directory / "domain").mkdir()
    with its, crowded(short_directory / "domain" / "6"):
        async with Client.from_socket(ours) as client:
            with pytest.raises(XenstoreUnavailable, match="did not accept domain 6 in 10 s"):
                await Store(client, short_directory).connect_as(S, StoreTransport.SOCKET)


async def test_each_step_has_a_time_limit(
    short_directory: Path, autojump_clock: trio.testing.MockClock
) -> None:
    ours, its = socket.socketpair()
    with its:
        async with Client.from_socket(ours) as client:
            store = Store(client, short_directory)
            for step in (Introduce(S, 1, 1), Transaction((Remove(NODE),)), Remove(NODE)):
                with pytest.raises(XenstoreUnavailable, match="did not answer within 30 s"):
                    await store.carry_out(step)
            with pytest.raises(XenstoreUnavailable, match="did not answer"):
                await store.domains_in_use()
