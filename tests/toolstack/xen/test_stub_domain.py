"""A stub domain is told whose device model it is before its first instruction."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import cast
from uuid import UUID

import pytest
import trio

from handoff.confinement import Mode
from handoff.keys import dm_argv, numbered
from tests.contract.fake_libxc import FakeDomain
from tests.toolstack.fakes import Recorder
from tests.toolstack.xen.fakes import DOMID, FakeXen, fake_xen, hvm_info
from toolstack.config import GuestConfig, read_config
from toolstack.device_model import REAP_S
from toolstack.host import DeviceModelWish
from toolstack.store import Store
from toolstack.xen.built_domain import Builder
from toolstack.xen.domain_config import domain_config
from toolstack.xen.libxc import Libxc
from toolstack.xen.stub_domain import Target, stub_domain
from toolstack.xen.xl import Xl
from toolstack.xenstored import open_store
from xenstore_sim.wire.names import DomId

TARGET = DomId(3)
IDENTITY = UUID("12345678-9abc-def0-1234-56789abcdef0")
WISH = DeviceModelWish(("-direct-boot-frame", "AAAA"), Mode.STRICT, ("unused",))
TEXT = """
type = "hvm"
name = "g"
memory = 256
kernel = "/k"
device_model_version = "qemu-xen"
device_model_stubdomain_override = 1
stubdomain_kernel = "/stub/vmlinuz"
stubdomain_ramdisk = "/stub/initrd"
"""


def config(text: str = TEXT) -> GuestConfig:
    return read_config(text, "guest.cfg")[0]


def test_the_xl_that_builds_the_guest_hears_nothing_of_it() -> None:
    assert "stubdom" not in domain_config(config(), IDENTITY, Path("/rom"))


@dataclass
class Scene:
    xen: FakeXen
    store: Store
    libxc: Libxc

    @property
    def builder(self) -> Builder:
        return Builder(cast(Xl, self.xen.xl), self.libxc, Recorder(), self.xen.directory)


@pytest.fixture
def xen() -> Iterator[FakeXen]:
    with fake_xen(hvm_info(64 << 20)) as xen:
        xen.libxc.domains[TARGET] = FakeDomain(IDENTITY)
        yield xen


@pytest.fixture
async def scene(xen: FakeXen, autojump_clock: None) -> AsyncIterator[Scene]:
    async with open_store(None) as store:
        for domid in (TARGET, DOMID):
            await store.client.introduce(DomId(domid), 1, 1)
        # xenconsoled names the terminal of the console.
        await store.client.write(f"/local/domain/{DOMID}/console/tty", "/dev/ptmx")
        with closing(Libxc(xen.libxc)) as libxc:
            yield Scene(xen, store, libxc)


async def test_it_is_told_its_target_and_its_arguments_and_then_let_go(scene: Scene) -> None:
    target = Target(TARGET, IDENTITY, ("--foreign-ram", "0x0:0xa0000"))
    client = scene.store.client
    async with stub_domain(scene.builder, scene.store, config(), target, WISH) as (keys, _):
        stub = scene.xen.libxc.domains[DOMID]
        assert (keys.stubdom, keys.target) == (DOMID, TARGET)
        assert (stub.target, stub.pauses) == (TARGET, 0)
        assert await client.read(keys.target_node) == b"3"
        assert str(await client.get_perms(keys.device_model)) == f"n{DOMID},r{TARGET}"
        # By this node libxl would take it for its own, and destroy it in our place.
        assert not await client.exists("/local/domain/3/image/device-model-domid")
        words = dm_argv(IDENTITY)
        argv = [await client.read(numbered(words, n + 1)) for n in range(8 + 2)]
        assert b" ".join(argv) == (
            b"--foreign-ram 0x0:0xa0000 -xen-domid 3 --sandbox strict --offer-timeout 3600 "
            b"-direct-boot-frame AAAA"
        )
        assert str(await client.get_perms(numbered(words, 1))) == f"n0,r{DOMID}"
    assert scene.xen.xl.said == ["create", f"destroy {DOMID}"]


@pytest.mark.parametrize(
    ("said", "last"),
    [
        (("verified", "[    3.8] reboot: System halted"), "verified"),
        (
            (
                "[    8.5] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000000",
                "[    8.5] CPU: 0 PID: 1 Comm: init Not tainted 6.1.0-56-amd64",
                "[    8.6] Kernel Offset: disabled",
            ),
            "[    8.5] Kernel panic - not syncing: Attempted to kill init! exitcode=0x00000000",
        ),
        ((), ""),
    ],
    ids=["power off", "panic", "nothing"],
)
async def test_its_last_words_are_those_that_say_why(
    scene: Scene, said: tuple[str, ...], last: str
) -> None:
    target = Target(TARGET, IDENTITY, ())
    async with stub_domain(scene.builder, scene.store, config(), target, WISH) as (_, running):
        for line in said:
            running.heard(line)
        assert running.last_words == last


async def test_its_end_is_the_device_models(scene: Scene) -> None:
    target = Target(TARGET, IDENTITY, ())
    async with stub_domain(scene.builder, scene.store, config(), target, WISH) as (_, running):
        heard: list[str] = []

        async def wait() -> None:
            heard.append(await running.wait())

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait)
            running.heard("the device model exited with 15")
            scene.xen.libxc.domains[DOMID].flags = 1 << 2
            await scene.store.client.release(DomId(TARGET))
            begun = trio.current_time()
        # Its console is open still: it lasts as long as its domain.
        assert not running.log_ended.is_set()
        assert trio.current_time() - begun < REAP_S / 2
    assert heard == [
        "its stub domain powered off: domain 5, shutdown reason poweroff, "
        "its last words: the device model exited with 15"
    ]
