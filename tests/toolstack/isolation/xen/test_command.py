"""What keeps the scene from being set is told before anything is made."""

from __future__ import annotations

from pathlib import Path

import pytest

from handoff.errors import ConfigError, HypervisorError
from tests.toolstack.fakes import Recorder
from toolstack.config import read_config
from toolstack.isolation.xen.command import isolation_on_xen

GUEST = 'type = "hvm"\nname = "g"\nmemory = 64\n'
STUBDOM = 'stubdomain_kernel = "/stub/vmlinuz"\nstubdomain_ramdisk = "/stub/initrd"\n'
NOT_THERE = Path("/nonexistent/simulated.json")
"""Would be told of next, in the place of the simulation."""


async def test_a_configuration_without_a_stub_domain_is_refused_first() -> None:
    config, _ = read_config(GUEST, "guest.cfg")
    with pytest.raises(ConfigError, match="stubdomain_kernel: is missing"):
        await isolation_on_xen(config, NOT_THERE, Recorder(), json=False)


async def test_a_host_without_xen_is_told_before_the_simulation_is_made() -> None:
    config, _ = read_config(GUEST + STUBDOM, "guest.cfg")
    with pytest.raises(HypervisorError, match="no Xen host"):
        await isolation_on_xen(config, NOT_THERE, Recorder(), json=False)
