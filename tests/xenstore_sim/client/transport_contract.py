"""What a client can do, whatever carries it: each test runs on every transport and daemon."""

import pytest
import trio
import trio.testing

from xenstore_sim.client import Client, Transaction
from xenstore_sim.wire.errors import ProtocolViolation, RequestRefused
from xenstore_sim.wire.names import DomId
from xenstore_sim.wire.perms import NodePerms

DOMID = DomId(3)
HOME = "/local/domain/3"


async def introduce(dom0: Client, port: int) -> None:
    """Let the domain be served, with a home of its own."""
    await dom0.mkdir(HOME)
    await dom0.set_perms(HOME, NodePerms.of(f"n{DOMID}"))
    await dom0.introduce(DOMID, 1, port)


class TransportContract:
    """Subclasses bring the fixtures: `guest`, who may write below HOME, and `dom0`."""

    async def test_nodes(self, guest: Client) -> None:
        await guest.write(f"{HOME}/a/b", b"\0\xff")
        await guest.mkdir(f"{HOME}/a/c")
        assert await guest.read(f"{HOME}/a/b") == b"\0\xff"
        assert await guest.directory(f"{HOME}/a") == ("b", "c")
        await guest.rm(f"{HOME}/a/b")
        assert not await guest.exists(f"{HOME}/a/b")

    async def test_a_refusal_leaves_the_connection(self, guest: Client) -> None:
        for path, errno in ((f"{HOME}/missing", "ENOENT"), ("/not/a.path", "EINVAL")):
            with pytest.raises(RequestRefused, match=errno):
                await guest.read(path)
        assert await guest.get_domain_path(DOMID) == HOME

    async def test_values_of_every_size_around_that_of_a_ring(self, guest: Client) -> None:
        for size in (0, 1, 900, 990, 1000, 1007, 1008, 1009, 1024, 1025, 1500, 2000):
            value = bytes(number % 251 for number in range(size))
            await guest.write(f"{HOME}/value", value)
            assert await guest.read(f"{HOME}/value") == value

    async def test_a_listing_of_several_messages(self, guest: Client, dom0: Client) -> None:
        names = tuple(f"child-{number:04}" for number in range(900))

        async def fill(tx: Transaction) -> None:
            for name in names:
                await tx.mkdir(f"{HOME}/list/{name}")

        await dom0.mkdir(f"{HOME}/list")
        # dom0's own, so that a domain's quotas do not bind.
        await dom0.set_perms(f"{HOME}/list", NodePerms.of("r0"))
        await dom0.transaction(fill)
        assert await guest.directory(f"{HOME}/list") == names

    async def test_many_tasks_share_a_connection(self, guest: Client) -> None:
        async def own(number: int) -> None:
            await guest.write(f"{HOME}/n/{number}", bytes(700) + b"%d" % number)
            assert await guest.read(f"{HOME}/n/{number}") == bytes(700) + b"%d" % number

        async with trio.open_nursery() as nursery:
            for number in range(150):
                nursery.start_soon(own, number)
        assert len(await guest.directory(f"{HOME}/n")) == 150

    async def test_a_watch_tells_of_changes_by_others_in_order(
        self, guest: Client, dom0: Client
    ) -> None:
        async with guest.watch(f"{HOME}/w") as watch:
            assert (await watch.get()).path == f"{HOME}/w"
            for number in range(100):
                await dom0.write(f"{HOME}/w/{number}", "")
            for number in range(100):
                assert (await watch.get()).path == f"{HOME}/w/{number}"

    async def test_a_watch_that_waits_is_woken(self, guest: Client, dom0: Client) -> None:
        async with guest.watch(f"{HOME}/w") as watch, trio.open_nursery() as nursery:
            await watch.get()
            heard: list[str] = []

            async def wait() -> None:
                heard.append((await watch.get()).path)

            nursery.start_soon(wait)
            await trio.testing.wait_all_tasks_blocked()
            await dom0.write(f"{HOME}/w", "")
        assert heard == [f"{HOME}/w"]

    async def test_a_conflict_is_tried_again(self, guest: Client, dom0: Client) -> None:
        await guest.write(f"{HOME}/n", "0")
        tries = 0

        async def increment(tx: Transaction) -> None:
            nonlocal tries
            tries += 1
            value = int(await tx.read(f"{HOME}/n"))
            if tries < 3:
                await dom0.write(f"{HOME}/n", str(value + 10))
            await tx.write(f"{HOME}/n", str(value + 1))

        await guest.transaction(increment)
        assert await dom0.read(f"{HOME}/n") == b"21"

    async def test_a_request_too_large_is_refused_here(self, guest: Client) -> None:
        with pytest.raises(ProtocolViolation, match="a xenstore message holds 4096"):
            await guest.write(f"{HOME}/a", bytes(4096))
        assert await guest.get_domain_path(DOMID) == HOME

    async def test_cancelling_again_and_again_leaves_a_usable_connection(
        self, guest: Client
    ) -> None:
        async def work() -> None:
            async with guest.watch(f"{HOME}/a") as watch:
                await watch.get()
                await guest.transaction(lambda tx: tx.write(f"{HOME}/a", bytes(1500)))
                await watch.get()

        # Rounds of the scheduler, not seconds: each number cancels at another await.
        for patience in range(60):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(work)
                for _ in range(patience):
                    await trio.lowlevel.checkpoint()
                nursery.cancel_scope.cancel()
        await work()
        assert await guest.read(f"{HOME}/a") == bytes(1500)
