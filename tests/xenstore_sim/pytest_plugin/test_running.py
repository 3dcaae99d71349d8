"""A daemon in a trio suite's own run."""

import pytest

from xenstore_sim.client import Client
from xenstore_sim.pytest_plugin.options import OptionError
from xenstore_sim.pytest_plugin.running import running_xenstored
from xenstore_sim.wire.errors import RequestRefused
from xenstore_sim.wire.ops import Errno


async def test_it_serves_while_the_block_runs() -> None:
    async with running_xenstored(compat="4.22") as xenstored:
        async with Client.connect(xenstored.socket_path) as dom0:
            await dom0.write("/a", "v")
            assert await dom0.read("/a") == b"v"
        rundir = xenstored.socket_path.parent
    assert not rundir.exists()


async def test_faults_can_be_injected() -> None:
    async with (
        running_xenstored(faults="eacces=1", seed=4) as xenstored,
        Client.connect(xenstored.socket_path) as dom0,
    ):
        with pytest.raises(RequestRefused) as refused:
            await dom0.read("/tool")
        assert refused.value.errno is Errno.EACCES
        assert len(xenstored.injected_faults()) == 1


async def test_what_the_block_raises_comes_as_it_is() -> None:
    with pytest.raises(LookupError, match="of the test"):
        async with running_xenstored():
            raise LookupError("of the test")


async def test_wrong_options_are_refused_by_their_names() -> None:
    with pytest.raises(OptionError, match="compat='9': the releases are"):
        async with running_xenstored(compat="9"):
            pass
