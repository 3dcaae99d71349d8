"""A domain is whole, or it is not handed out."""

from __future__ import annotations

from typing import cast
from uuid import UUID

import pytest
import trio
import trio.testing

from handoff.addresses import MIB
from handoff.errors import HypervisorError
from tests.toolstack.fakes import Recorder
from tests.toolstack.xen.fakes import DOMID, FakeXl, fake_xen, hvm_info
from toolstack.xen.built_domain import Builder
from toolstack.xen.libxc import Libxc
from toolstack.xen.xl import CREATE_S, Xl

IDENTITY = UUID(int=0xBEEF)


class XlSlowlyKilled(FakeXl):
    """It builds half a domain, and takes its time to die when its own is over."""

    async def create_paused(self, config: str) -> None:
        await super().create_paused(config)
        with trio.move_on_after(CREATE_S):
            try:
                await trio.sleep_forever()
            finally:
                # As run_process does, which sends SIGKILL 5 s after SIGTERM.
                with trio.CancelScope(shield=True):
                    await trio.sleep(6.0)
        raise HypervisorError("`xl create` did not end")


async def test_half_a_domain_is_destroyed_and_not_handed_out(
    autojump_clock: trio.testing.MockClock,
) -> None:
    with fake_xen(hvm_info(64 * MIB)) as xen:
        xl = XlSlowlyKilled(xen.libxc)
        builder = Builder(cast(Xl, xl), Libxc(xen.libxc), Recorder())
        with pytest.raises(HypervisorError, match="did not end"):
            async with builder.domain("half", f'uuid = "{IDENTITY}"\n', IDENTITY):
                pytest.fail("it is half a domain")
        assert xl.said == ["create", f"destroy {DOMID}"]
