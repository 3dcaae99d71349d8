"""Domains come as libxl makes them, go without a trace, and never take another's id."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID

import pytest
import trio

from handoff.errors import XenstoreUnavailable
from handoff.keys import HandoffKeys
from tests.toolstack.domain_tree.domains import CONFIG
from tests.toolstack.domain_tree.store_model import carried_out
from toolstack.cleanup import cleanup
from toolstack.domain_tree import NewDomain, Step, guest_tree, stubdom_tree
from toolstack.domains import NOTES, Domains
from toolstack.hypervisor import Hypervisor
from toolstack.store import Store
from xenstore_sim.client import Client
from xenstore_sim.wire.errors import Disconnected, RequestRefused
from xenstore_sim.wire.names import DomId
from xenstore_sim.wire.ops import Errno

Tree = dict[str, tuple[str, str]]


async def tree(client: Client, top: str = "") -> Tree:
    """Path to value and permissions, of all that dom0 sees below `top`."""
    found: Tree = {}
    for name in await client.directory(top or "/"):
        path = f"{top}/{name}"
        value = (await client.read(path)).decode()
        found[path] = (value, str(await client.get_perms(path)))
        found |= await tree(client, path)
    return found


@asynccontextmanager
async def pair(store: Store) -> AsyncIterator[tuple[NewDomain, NewDomain, tuple[str, ...]]]:
    """A guest, its stub domain, and the arguments of the device model."""
    made = await Domains.over(store, CONFIG)
    async with made.guest() as guest, made.stubdom(guest, ("-extra",), "a.log") as (dm, argv):
        yield guest, dm, argv


async def test_the_tree_is_the_one_that_libxl_would_write(store: Store) -> None:
    before = await tree(store.client)
    async with pair(store) as (guest, stubdom, argv):
        steps: list[Step] = [*guest_tree(CONFIG, guest)]
        steps += stubdom_tree(CONFIG, guest, stubdom, argv, "a.log")
        expected = carried_out(steps)
        found = await tree(store.client)
        ours = {at: node for at, node in found.items() if not at.startswith("/tool")}
        del expected[""]
        assert {at: node for at, node in ours.items() if at not in before} == {
            at: node for at, node in expected.items() if at not in before
        }
        for domain in (guest, stubdom):
            assert found[f"{NOTES}/{domain.domid}"] == (str(domain.uuid), "n0")
            assert await store.client.is_domain_introduced(domain.domid)


async def test_afterwards_only_parents_that_domains_share_are_left(store: Store) -> None:
    before = await tree(store.client)
    async with pair(store) as (guest, stubdom, _):
        pass
    left = {at: node for at, node in (await tree(store.client)).items() if at not in before}
    for path, (value, _) in left.items():
        assert value == ""
        words = path.split("/")
        assert not {str(guest.domid), str(stubdom.domid)} & set(words), path
        assert str(guest.uuid) not in words
    for domain in (guest, stubdom):
        assert not await store.client.is_domain_introduced(domain.domid)


async def test_the_stub_domain_writes_below_its_directory_and_nowhere_else_of_dom0s(
    store: Store,
) -> None:
    async with pair(store) as (guest, stubdom, _):
        keys = HandoffKeys(stubdom.domid, guest.domid)
        nodes = await tree(store.client)
        own = {f"n{stubdom.domid}", f"n{guest.domid}"}
        async with Client.connect(store.rundir / "domain" / str(stubdom.domid)) as client:
            for path, (_, perms) in nodes.items():
                # As S or, by SET_TARGET, as its target it may touch what they own.
                theirs = perms.split(",")[0] in own or path.startswith(keys.device_model)
                for at in (path, f"{path}/new"):
                    assert await _writable(client, at) == theirs, (at, perms)
            assert await client.read(keys.target_node) == b"%d" % guest.domid


async def _writable(client: Client, path: str) -> bool:
    try:
        await client.write(path, b"x")
    except RequestRefused as refused:
        if refused.errno is not Errno.EACCES:
            raise
        return False
    return True


async def test_ids_that_are_in_use_are_left_alone(store: Store) -> None:
    for domid in (1, 2, 4):
        await store.client.write(f"/local/domain/{domid}/name", "another's")
    await store.client.write("/local/domain/notanumber", "odd")
    async with pair(store) as (guest, stubdom, _):
        assert (guest.domid, stubdom.domid) == (3, 5)
    for domid in (1, 2, 4):
        assert await store.client.read(f"/local/domain/{domid}/name") == b"another's"


async def test_a_second_stub_domain_has_a_new_id_and_the_arguments_are_its_own(
    store: Store,
) -> None:
    made = await Domains.over(store, CONFIG)
    ids = []
    async with made.guest() as guest:
        for _ in range(3):
            async with made.stubdom(guest, (), "a.log") as (stubdom, argv):
                ids.append(stubdom.domid)
                arguments = f"/vm/{guest.uuid}/image/dm-argv"
                assert len(await store.client.directory(arguments)) == len(argv)
                assert str(await store.client.get_perms(arguments)) == f"n0,r{stubdom.domid}"
    assert ids == [2, 3, 4]


async def test_a_domain_goes_when_the_work_with_it_fails_or_is_cancelled(store: Store) -> None:
    with pytest.raises(ZeroDivisionError):
        async with pair(store):
            raise ZeroDivisionError
    with trio.CancelScope() as scope:
        async with pair(store):
            scope.cancel()
            await trio.lowlevel.checkpoint()
    assert scope.cancelled_caught
    assert await store.domains_in_use() - {0} == set()
    assert await store.client.directory(NOTES) == ()


@pytest.mark.parametrize("requests", range(0, 120, 7))
async def test_cancelled_at_any_request_nothing_is_left(requests: int, store: Store) -> None:
    async with trio.open_nursery() as nursery:
        start = store.client.round_trips

        async def cancel_after() -> None:
            while store.client.round_trips - start < requests:
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()

        nursery.start_soon(cancel_after)
        async with pair(store):
            await trio.sleep_forever()
    assert await store.domains_in_use() - {0} == set()
    assert not await store.client.exists(NOTES) or await store.client.directory(NOTES) == ()
    for domid in (1, 2):
        assert not await store.client.is_domain_introduced(DomId(domid))


async def test_a_uuid_of_the_configuration_is_the_domains(store: Store) -> None:
    async with pair(store) as (guest, stubdom, _):
        assert guest.uuid != stubdom.uuid
    wanted = UUID(int=7)
    made = Hypervisor().create(wanted)
    assert made.uuid == wanted


async def test_clean_up_without_xenstored_is_no_error_of_its_own(store: Store) -> None:
    async with pair(store):
        store.client.close()
    with pytest.raises(Disconnected):
        await store.domains_in_use()


async def test_cleanup_takes_what_is_noted_and_nothing_else(
    store: Store, rundir: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    await store.client.write("/local/domain/1/name", "another's")
    context = pair(store)
    guest, stubdom, _ = await context.__aenter__()

    lines: list[str] = []
    await cleanup(rundir, lines.append)
    # The stub domain first: its target is still there when it goes.
    assert lines == [
        f"removed domain {stubdom.domid} ({stubdom.uuid})",
        f"removed domain {guest.domid} ({guest.uuid})",
    ]
    assert await store.domains_in_use() - {0} == {1}
    lines.clear()
    await cleanup(rundir, lines.append)
    assert lines == ["nothing was left behind"]
    await context.__aexit__(None, None, None)


async def test_cleanup_that_was_not_asked_about_this_xen_host_says_that_it_can_be(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setattr("toolstack.cleanup.BASE", tmp_path)
    lines: list[str] = []
    await cleanup(None, lines.append)
    assert lines == [
        "nothing was left behind; --machine xen also looks for domains of this Xen host"
    ]


async def test_cleanup_of_a_note_that_is_none_says_what_is_there(
    store: Store, rundir: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    await store.client.write(f"{NOTES}/7", "no uuid")
    with pytest.raises(XenstoreUnavailable, match="/tool/stubdom-direct-boot/7"):
        await cleanup(rundir, print)
