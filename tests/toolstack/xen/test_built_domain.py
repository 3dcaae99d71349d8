"""A domain is whole, or it is not handed out."""

from __future__ import annotations

import errno
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import cast
from uuid import UUID

import pytest
import trio
import trio.testing

from handoff.addresses import MIB
from handoff.errors import HypervisorError, RunDirectoryBusy
from tests.contract.fake_libxc import FakeDomain
from tests.toolstack.fakes import Recorder
from tests.toolstack.xen.fakes import DOMID, FakeXen, FakeXl, fake_xen, hvm_info
from toolstack.xen.built_domain import Builder
from toolstack.xen.domain_directory import DomainDirectory, Note
from toolstack.xen.libxc import Libxc
from toolstack.xen.xl import CREATE_S, Xl, XlFailed

IDENTITY = UUID(int=0xBEEF)
CONFIG = f'uuid = "{IDENTITY}"\n'


@pytest.fixture
def xen() -> Iterator[FakeXen]:
    with fake_xen(hvm_info(64 * MIB)) as xen:
        yield xen


def builder(xen: FakeXen, progress: Recorder, xl: FakeXl | None = None) -> Builder:
    return Builder(cast(Xl, xl or xen.xl), Libxc(xen.libxc), progress, xen.directory)


@asynccontextmanager
async def built(builder: Builder, name: str, *, fresh: bool = True) -> AsyncIterator[None]:
    with builder.directory(IDENTITY) as home:
        async with builder.domain(name, CONFIG, home, fresh=fresh):
            yield


class XlSlowlyKilled(FakeXl):
    """It builds half a domain, and takes its time to die when its own is over."""

    async def create_paused(self, config: str, lock: int) -> None:
        await super().create_paused(config, lock)
        with trio.move_on_after(CREATE_S):
            try:
                await trio.sleep_forever()
            finally:
                # As run_process does, which sends SIGKILL 5 s after SIGTERM.
                with trio.CancelScope(shield=True):
                    await trio.sleep(6.0)
        raise HypervisorError("`xl create` did not end")


async def test_half_a_domain_is_destroyed_and_not_handed_out(
    xen: FakeXen, autojump_clock: trio.testing.MockClock
) -> None:
    xl = XlSlowlyKilled(xen.libxc)
    with pytest.raises(HypervisorError, match="did not end"):
        async with built(builder(xen, Recorder(), xl), "half"):
            pytest.fail("it is half a domain")
    assert xl.said == ["create", f"destroy {DOMID}"]


class XlOvertaken(FakeXl):
    """While it works, another program builds a domain of the same name and uuid."""

    async def create_paused(self, config: str, lock: int) -> None:
        await super().create_paused(config, lock)
        raise XlFailed('`xl create` failed (status 3): Domain with name "taken" already exists.')


async def test_a_domain_that_another_program_built_meanwhile_is_left_alone(xen: FakeXen) -> None:
    xl, progress = XlOvertaken(xen.libxc), Recorder()
    with pytest.raises(HypervisorError, match="already exists"):
        async with built(builder(xen, progress, xl), "taken", fresh=False):
            pytest.fail("it is another's")
    assert xl.said == ["create"]
    assert DOMID in xen.libxc.domains
    assert [f"`xl destroy {DOMID}`" in warning for warning in progress.warnings] == [True]


async def test_what_xl_could_not_take_away_is_destroyed_where_nobody_else_has_the_uuid(
    xen: FakeXen,
) -> None:
    xl, progress = XlOvertaken(xen.libxc), Recorder()
    with pytest.raises(HypervisorError, match="already exists"):
        async with built(builder(xen, progress, xl), "half", fresh=True):
            pytest.fail("xl did not build it")
    assert xl.said == ["create", f"destroy {DOMID}"]
    assert progress.warnings == []


@dataclass(frozen=True, slots=True)
class FullDirectory(DomainDirectory):
    """No note can be written in it, and meanwhile another program builds a domain."""

    xen: FakeXen

    def note(self, note: Note) -> None:
        self.xen.libxc.domains[DOMID] = FakeDomain(self.uuid)
        raise HypervisorError("no space left")


async def test_a_domain_that_appears_before_xl_is_started_is_left_alone(xen: FakeXen) -> None:
    progress = Recorder()
    builds = builder(xen, progress)
    with builds.directory(IDENTITY) as home:
        full = FullDirectory(home.path, home.uuid, home.lock, xen)
        with pytest.raises(HypervisorError, match="no space left"):
            async with builds.domain("taken", CONFIG, full, fresh=False):
                pytest.fail("it is another's")
    assert xen.xl.said == []
    assert DOMID in xen.libxc.domains
    assert [f"`xl destroy {DOMID}`" in warning for warning in progress.warnings] == [True]


async def test_of_two_toolstacks_with_one_uuid_the_second_touches_nothing(xen: FakeXen) -> None:
    second = FakeXl(xen.libxc)
    async with built(builder(xen, Recorder()), "first"):
        # Between the first one's look for the uuid and its xl, the domain is not there yet.
        taken = xen.libxc.domains.pop(DOMID)
        with pytest.raises(
            RunDirectoryBusy, match=f"another toolstack .*{IDENTITY}.*write another"
        ):
            async with built(builder(xen, Recorder(), second), "second"):
                pytest.fail("it is the first one's")
        xen.libxc.domains[DOMID] = taken
    assert second.said == []
    async with built(builder(xen, Recorder(), second), "second"):
        assert second.said == ["create"]


async def test_what_went_wrong_first_is_told_also_where_xen_answers_no_more(xen: FakeXen) -> None:
    progress = Recorder()

    async def go_wrong() -> None:
        async with built(builder(xen, progress), "guest"):
            xen.libxc.refuses = errno.EPERM
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await go_wrong()
    assert [f"{IDENTITY} may be left: Xen refused" in said for said in progress.warnings] == [True]
