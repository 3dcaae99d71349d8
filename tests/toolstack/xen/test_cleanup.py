"""What a killed toolstack left on a Xen host goes, all of it, and nothing else does."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import cast
from uuid import UUID

import pytest

from handoff.addresses import MIB
from handoff.errors import HypervisorError
from handoff.keys import HandoffKeys
from tests.contract.fake_libxc import FakeDomain
from tests.toolstack.fakes import Recorder
from tests.toolstack.xen.fakes import DOMID, FakeXen, FakeXl, fake_xen, hvm_info
from toolstack.store import Store
from toolstack.xen.built_domain import Builder
from toolstack.xen.cleanup import Leftovers
from toolstack.xen.domain_directory import Note, domain_directory
from toolstack.xen.libxc import Libxc
from toolstack.xen.xl import Xl
from toolstack.xenstored import open_store
from xenstore_sim.wire.names import DOM0, DomId

GUEST, STUBDOM, BYSTANDER = DomId(3), DomId(4), DomId(9)


def uuid(domid: int) -> UUID:
    return UUID(int=0xBEEF0000 + domid)


@dataclass
class Scene:
    xen: FakeXen
    store: Store
    told: list[str] = field(default_factory=list)

    def left_behind(self, domid: int, note: Note) -> None:
        """Directory and domain, as by a toolstack that was killed."""
        with domain_directory(self.xen.directory, uuid(domid)) as home:
            home.note(note)
        self.xen.libxc.domains[domid] = FakeDomain(uuid(domid))

    async def cleanup(self) -> None:
        libxc = Libxc(self.xen.libxc)
        leftovers = Leftovers(cast(Xl, self.xen.xl), libxc, self.store.client, self.told.append)
        await leftovers.take_away(self.xen.directory)

    @property
    def domains(self) -> set[int]:
        return set(self.xen.libxc.domains)


@pytest.fixture
def xen() -> Iterator[FakeXen]:
    with fake_xen(hvm_info(64 * MIB)) as xen:
        xen.libxc.domains[BYSTANDER] = FakeDomain(uuid(BYSTANDER))
        yield xen


@pytest.fixture
async def scene(xen: FakeXen) -> AsyncIterator[Scene]:
    async with open_store(None) as store:
        yield Scene(xen, store)


async def test_domains_go_the_stub_domain_first_and_so_do_their_directories(scene: Scene) -> None:
    for domid in (GUEST, STUBDOM):
        scene.left_behind(domid, Note(domid, fresh=True))
    await scene.cleanup()
    assert scene.xen.xl.said == [f"destroy {STUBDOM}", f"destroy {GUEST}"]
    assert scene.domains == {0, BYSTANDER}
    assert [line.split()[0] for line in scene.told] == ["destroyed", "removed"] * 2
    scene.told.clear()
    await scene.cleanup()
    assert scene.told == []


async def test_a_domain_whose_toolstack_lives_stays(scene: Scene) -> None:
    builder = Builder(
        cast(Xl, scene.xen.xl), Libxc(scene.xen.libxc), Recorder(), scene.xen.directory
    )
    scene.left_behind(GUEST, Note(GUEST, fresh=True))
    with builder.directory(uuid(DOMID)) as home:
        config = f'uuid = "{home.uuid}"\n'
        async with builder.domain("alive", config, home):
            await scene.cleanup()
            assert scene.domains == {0, BYSTANDER, DOMID}


async def test_a_domain_that_was_being_built_goes(scene: Scene) -> None:
    scene.left_behind(STUBDOM, Note(None, fresh=True))
    scene.left_behind(GUEST, Note(None, fresh=False))
    rom = f"{scene.xen.directory}/{uuid(GUEST)}/direct-boot.rom"
    scene.xen.xl.config = f'{{"extra_hvm": ["-global", "xen-platform.romfile={rom}"]}}'
    await scene.cleanup()
    assert scene.domains == {0, BYSTANDER}


async def test_a_domain_that_an_xl_still_builds_stays_and_is_named(scene: Scene) -> None:
    with domain_directory(scene.xen.directory, uuid(GUEST)) as home:
        os.truncate(home.lock, 0)
        os.pwrite(home.lock, b"none", 0)
        await scene.cleanup()
    assert scene.told == [f"left {home.path} alone: an xl still works there: run cleanup again"]


@pytest.mark.parametrize("domid", [None, DomId(2)], ids=["being built", "built"])
async def test_a_domain_that_another_program_made_with_the_same_uuid_stays(
    scene: Scene, domid: DomId | None
) -> None:
    scene.left_behind(GUEST, Note(domid, fresh=False))
    await scene.cleanup()
    assert scene.domains == {0, BYSTANDER, GUEST}
    assert "left domain 3 alone" in scene.told[0]
    assert not list(scene.xen.directory.iterdir())


async def test_the_nodes_of_a_device_model_in_dom0_go_also_without_the_domain(scene: Scene) -> None:
    keys, others = HandoffKeys(DOM0, GUEST), HandoffKeys(DOM0, BYSTANDER)
    for node in (keys.offer_state, others.offer_state):
        await scene.store.client.write(node, "1 published")
    scene.left_behind(GUEST, Note(GUEST, fresh=True))
    del scene.xen.libxc.domains[GUEST]
    await scene.cleanup()
    assert scene.xen.xl.said == []
    assert not await scene.store.client.exists(keys.home)
    assert await scene.store.client.exists(others.offer_state)
    assert f"removed {keys.home} in xenstore" in scene.told


class XlThatLeavesItDying(FakeXl):
    """Somebody maps the domain's RAM, so Xen still knows it."""

    async def destroy(self, domid: int, lock: int) -> None:
        self.libxc.domains[domid].flags = 1 << 0


async def test_its_nodes_go_while_the_domain_is_dying(scene: Scene) -> None:
    keys = HandoffKeys(DOM0, GUEST)
    await scene.store.client.write(keys.offer_state, "1 published")
    scene.left_behind(GUEST, Note(GUEST, fresh=True))
    scene.xen.xl = XlThatLeavesItDying(scene.xen.libxc)
    await scene.cleanup()
    assert not await scene.store.client.exists(keys.home)


async def test_nodes_of_a_later_domain_of_the_same_number_stay(scene: Scene) -> None:
    keys = HandoffKeys(DOM0, BYSTANDER)
    await scene.store.client.write(keys.offer_state, "1 published")
    scene.left_behind(GUEST, Note(BYSTANDER, fresh=True))
    await scene.cleanup()
    assert await scene.store.client.exists(keys.offer_state)
    assert BYSTANDER in scene.domains


async def test_what_cannot_be_destroyed_is_told_after_the_rest_is_done(scene: Scene) -> None:
    scene.left_behind(STUBDOM, Note(STUBDOM, fresh=True))
    scene.left_behind(GUEST, Note(GUEST, fresh=True))
    del scene.xen.libxc.domains[GUEST]
    scene.xen.xl.stays = "libxl: error: it hangs"
    with pytest.raises(HypervisorError, match="it hangs"):
        await scene.cleanup()
    assert [path.name for path in scene.xen.directory.iterdir()] == [str(uuid(STUBDOM))]
    scene.xen.xl.stays = None
    await scene.cleanup()
    assert scene.domains == {0, BYSTANDER}


async def test_a_domain_that_its_own_toolstack_could_not_destroy_is_left_to_cleanup(
    scene: Scene,
) -> None:
    progress = Recorder()
    builder = Builder(cast(Xl, scene.xen.xl), Libxc(scene.xen.libxc), progress, scene.xen.directory)
    scene.xen.xl.stays = "it hangs"
    with builder.directory(uuid(DOMID)) as home:
        async with builder.domain("stays", f'uuid = "{home.uuid}"\n', home):
            pass
    assert "it hangs: if so, `toolstack cleanup --machine xen`" in progress.warnings[0]
    scene.xen.xl.stays = None
    await scene.cleanup()
    assert scene.domains == {0, BYSTANDER}
