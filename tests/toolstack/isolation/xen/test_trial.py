"""What is told in a stub domain is heard on its console; silence there is not taken for safety."""

from __future__ import annotations

import json
import os
import termios
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import cast
from uuid import UUID

import pytest
import trio

from handoff.errors import ConfigError
from handoff.foreign_memory import ForeignMemory
from handoff.keys import HandoffKeys
from tests.contract.fake_libxc import FakeDomain
from tests.toolstack.fakes import Recorder
from tests.toolstack.xen.fakes import DOMID, FakeXen, fake_xen, hvm_info
from toolstack.config import read_config
from toolstack.isolation.result import Result
from toolstack.isolation.stubdom.order import WORD, Place, Whom
from toolstack.isolation.xen.scene import Guest, Scene
from toolstack.isolation.xen.trial import Opening, from_a_stub_domain
from toolstack.xen.built_domain import Builder
from toolstack.xen.libxc import Libxc
from toolstack.xen.memory import XenMemory
from toolstack.xen.xl import Xl
from toolstack.xenstored import open_store
from xenstore_sim.wire.names import DomId

TARGET, BYSTANDER, STUBDOM = DomId(3), DomId(4), DomId(DOMID)
IDENTITIES = {TARGET: UUID(int=3), BYSTANDER: UUID(int=4)}
CONFIG = """
type = "hvm"
name = "g"
memory = 64
device_model_version = "qemu-xen"
device_model_stubdomain_override = 1
stubdomain_kernel = "/stub/vmlinuz"
stubdomain_ramdisk = "/stub/initrd"
"""
NOWHERE = cast(XenMemory, None)
"""Nothing here looks into RAM."""


@dataclass
class Stub:
    """A stub domain whose program is the test."""

    xen: FakeXen
    stage: Scene
    console: int

    def says(self, **words: object) -> None:
        os.write(self.console, f"[ 1.0] {WORD}{json.dumps(words)}\r\n".encode())

    async def ends(self) -> None:
        self.xen.libxc.domains[DOMID].flags = 1 << 2
        # One that nobody has for a target: xenstored tells of its end at once.
        await self.stage.store.client.release(BYSTANDER)

    @property
    def is_heard(self) -> bool:
        """Whether it was let go, and its console is read: what was written before is lost."""
        domain = self.xen.libxc.domains.get(DOMID)
        raw = not termios.tcgetattr(self.console)[3] & termios.ICANON
        return domain is not None and domain.pauses == 0 and raw


@contextmanager
def console() -> Iterator[tuple[int, str]]:
    """Our end of a terminal, and the name of the other one."""
    ours, theirs = os.openpty()
    try:
        yield ours, os.ttyname(theirs)
    finally:
        os.close(ours)
        os.close(theirs)


@pytest.fixture
async def stub() -> AsyncIterator[Stub]:
    with fake_xen(hvm_info(64 << 20)) as xen, console() as (ours, name):
        async with open_store(None) as store:
            for domid in (TARGET, BYSTANDER, STUBDOM):
                await store.client.introduce(domid, 1, 1)
            for domid, identity in IDENTITIES.items():
                xen.libxc.domains[domid] = FakeDomain(identity)
            await store.client.write(f"/local/domain/{DOMID}/console/tty", name)
            with closing(Libxc(xen.libxc)) as libxc:
                target, bystander = (
                    Guest(domid, identity, NOWHERE) for domid, identity in IDENTITIES.items()
                )
                stage = Scene(
                    store=store,
                    libxc=libxc,
                    builder=Builder(cast(Xl, xen.xl), libxc, Recorder(), xen.directory),
                    memory=cast(ForeignMemory, None),
                    stubdomain=read_config(CONFIG, "guest.cfg")[0],
                    target=target,
                    bystander=bystander,
                    secret="secret",
                    ring=(1, 1),
                )
                yield Stub(xen, stage, ours)


async def until_heard(stub: Stub) -> None:
    while not stub.is_heard:
        await trio.lowlevel.checkpoint()


async def test_what_it_says_is_heard_until_it_has_said_all(stub: Stub) -> None:
    there: list[bool] = []

    async def after(domid: DomId) -> None:
        assert domid == STUBDOM
        offer = HandoffKeys(STUBDOM, TARGET).offer_state
        there.append(stub.is_heard and await stub.stage.store.client.exists(offer))

    async def say() -> None:
        await until_heard(stub)
        of = {"target": {"through": True, "what": "read"}}
        stub.says(kind="result", name="read RAM", place="stub domain", of=of)
        stub.says(kind="reloaded", through=False, what="EPERM")
        stub.says(kind="end")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(say)
        heard = await from_a_stub_domain(stub.stage, after)
    assert heard.results == {
        (Place.STUB_DOMAIN, "read RAM", Whom.TARGET): Result(True, "read"),
    }
    assert heard.reloaded == Result(False, "EPERM")
    assert there == [True]
    assert DOMID not in stub.xen.libxc.domains


async def test_one_that_tells_nothing_is_no_proof_and_the_initramfs_is_named(stub: Stub) -> None:
    async def after(domid: DomId) -> None:
        raise AssertionError("nothing was told")

    async def fall_silent() -> None:
        await until_heard(stub)
        os.write(stub.console, b"stub domain: devicemodel exited with 2\r\n")
        await stub.ends()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(fall_silent)
        with pytest.raises(ConfigError, match=r"stubdomain_ramdisk: .*nothing.*exited with 2"):
            await from_a_stub_domain(stub.stage, after)
    assert DOMID not in stub.xen.libxc.domains


async def test_an_opening_is_there_before_anything_is_tried(stub: Stub) -> None:
    spoiled: list[DomId] = []

    async def spoil(stage: Scene, domid: DomId) -> None:
        offer = HandoffKeys(STUBDOM, TARGET).offer_state
        assert not await stage.store.client.exists(offer)
        spoiled.append(domid)

    async def after(domid: DomId) -> None:
        assert stub.xen.libxc.domains[DOMID].target == BYSTANDER

    async def say() -> None:
        await until_heard(stub)
        stub.says(kind="result", name="read RAM", place="stub domain", of={"target": None})
        of = {"bystander": {"through": True, "what": "read"}}
        stub.says(kind="result", name="read RAM", place="stub domain", of=of)
        stub.says(kind="end")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(say)
        heard = await from_a_stub_domain(stub.stage, after, Opening(True, spoil))
    assert spoiled == [STUBDOM]
    assert list(heard.results) == [(Place.STUB_DOMAIN, "read RAM", Whom.BYSTANDER)]
