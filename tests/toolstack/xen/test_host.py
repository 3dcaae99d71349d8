"""A guest's domain on a Xen host is there while it is needed, and never longer."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import cast
from uuid import UUID

import pytest
import trio

from handoff.addresses import MIB
from handoff.errors import ConfigError, HypervisorError
from handoff.foreign_memory import ForeignMemory
from tests.contract.fake_libxc import FakeDomain
from tests.toolstack.fakes import Recorder, guest_config
from tests.toolstack.xen.fakes import DOMID, FakeXen, fake_xen, hvm_info
from toolstack.store import Store
from toolstack.xen.built_domain import Builder
from toolstack.xen.host import XenHost
from toolstack.xen.libxc import Libxc
from toolstack.xen.xl import Xl
from toolstack.xenstored import open_store


@pytest.fixture
async def store(autojump_clock: None) -> AsyncIterator[Store]:
    async with open_store(None) as store:
        yield store


@contextmanager
def host_on(xen: FakeXen, store: Store) -> Iterator[XenHost]:
    yield XenHost(
        replace(guest_config(Path("/kernel")), device_model_stubdomain_override=None),
        store,
        Builder(cast(Xl, xen.xl), Libxc(xen.libxc), Recorder(), xen.directory),
        lambda: ForeignMemory(xen.foreign),
    )


@pytest.fixture
def xen() -> Iterator[FakeXen]:
    with fake_xen(hvm_info(64 * MIB)) as xen:
        yield xen


async def test_a_guest_is_built_without_its_kernel_and_destroyed_in_the_end(
    xen: FakeXen, store: Store
) -> None:
    with host_on(xen, store) as host:
        async with host.guest() as guest:
            assert guest.domid == DOMID
            assert guest.memory.e820.low_ram_end() == 64 * MIB
            assert xen.foreign.only == DOMID, "our own handle reaches nobody else either"
            assert "/kernel" not in xen.xl.config
            assert xen.xl.said == ["create"]
            (home,) = xen.directory.iterdir()
            assert f"romfile={home}/" in xen.xl.config
    assert xen.xl.said == ["create", f"destroy {DOMID}"]
    assert not list(xen.directory.iterdir())


async def test_a_guest_that_fails_or_is_cancelled_is_destroyed(xen: FakeXen, store: Store) -> None:
    with host_on(xen, store) as host:
        with pytest.raises(ZeroDivisionError):
            async with host.guest():
                raise ZeroDivisionError
        with trio.CancelScope() as scope:
            async with host.guest():
                scope.cancel()
                await trio.sleep_forever()
    assert xen.xl.said == ["create", f"destroy {DOMID}"] * 2
    assert not list(xen.directory.iterdir())


async def test_a_domain_that_is_gone_by_itself_is_nobodys_to_destroy(
    xen: FakeXen, store: Store
) -> None:
    with host_on(xen, store) as host:
        async with host.guest():
            del xen.libxc.domains[DOMID]
    assert xen.xl.said == ["create"]


async def test_what_xl_says_is_told_and_nothing_is_destroyed(xen: FakeXen, store: Store) -> None:
    xen.xl.fails = "failed to free memory for the domain"
    with (
        host_on(xen, store) as host,
        pytest.raises(HypervisorError, match=r"`xl create` failed.*failed to free memory"),
    ):
        async with host.guest():
            pytest.fail("there is no guest")
    assert xen.xl.said == ["create"]
    assert not list(xen.directory.iterdir())


async def test_a_domain_that_has_the_uuid_already_is_left_alone(xen: FakeXen, store: Store) -> None:
    taken = UUID(int=0xBEEF)
    xen.libxc.domains[3] = FakeDomain(taken)
    with host_on(xen, store) as host:
        again = replace(host, config=replace(host.config, uuid=taken))
        with pytest.raises(HypervisorError, match=r'domain 3 has the uuid 0.*beef of "fake"'):
            async with again.guest():
                pytest.fail("there is one already")
    assert xen.xl.said == []
    assert 3 in xen.libxc.domains


async def test_a_stub_domain_that_cannot_be_is_refused_before_its_guest_is_built(
    xen: FakeXen, store: Store
) -> None:
    with host_on(xen, store) as host:
        config = replace(host.config, device_model_stubdomain_override=True)
        with pytest.raises(ConfigError, match="stubdomain_kernel: is missing"):
            async with replace(host, config=config).guest():
                pytest.fail("there is no guest")
    assert xen.xl.said == []


async def test_an_xl_that_built_nothing_is_not_believed(xen: FakeXen, store: Store) -> None:
    xen.xl.builds = False
    with (
        host_on(xen, store) as host,
        pytest.raises(HypervisorError, match='xl built "fake", but Xen has no domain'),
    ):
        async with host.guest():
            pytest.fail("there is no guest")


async def test_a_domain_that_cannot_be_handed_to_is_destroyed(store: Store) -> None:
    with fake_xen(bytes(64)) as xen, host_on(xen, store) as host:
        with pytest.raises(HypervisorError, match="no hvm_info_table"):
            async with host.guest():
                pytest.fail("there is no guest")
        assert xen.xl.said == ["create", f"destroy {DOMID}"]
