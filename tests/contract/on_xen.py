"""The contracts on a real Xen: `python3 -m tests.contract.on_xen DOMID`, in dom0 as root.

DOMID is an HVM domain that libxl has built, paused, with 128 MiB or more; its RAM is overwritten.
One line a rule; the exit status is 1 if any was broken.
"""

from __future__ import annotations

import inspect
import sys
import traceback
from collections.abc import Awaitable, Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import pytest
import trio

from handoff.addresses import MIB, Gpa, GpaRange
from handoff.errors import HypervisorError, RamAccessError
from handoff.foreign_memory import ForeignMemory
from handoff.foreign_ram import WINDOW_BYTES, ForeignRam
from tests.contract import guest_ram, hypervisor
from tests.xenstore_sim.client.transport_contract import HOME, TransportContract
from toolstack.xen.libxc import Libxc
from toolstack.xen.memory import domain_memory
from xenstore_sim.client import Client
from xenstore_sim.client.device_transport import DeviceTransport
from xenstore_sim.wire.names import DOM0, DomId

SCRATCH = GpaRange(Gpa(64 * MIB - WINDOW_BYTES // 2), WINDOW_BYTES)
"""In two windows."""
SOCKET = Path("/run/xenstored/socket")


class Tally:
    """What held and what did not."""

    def __init__(self) -> None:
        self.broken = 0

    @contextmanager
    def rule(self, port: str, name: str) -> Iterator[None]:
        try:
            yield
        except (AssertionError, pytest.fail.Exception, Exception):
            self.broken += 1
            print(f"contract: BROKEN {port}: {name}", flush=True)
            traceback.print_exc()
        else:
            print(f"contract: ok {port}: {name}", flush=True)


def check_guest_ram(tally: Tally, domid: DomId) -> None:
    with closing(ForeignMemory()) as memory:
        found = domain_memory(memory, domid)
        print(f"contract: RAM of domain {domid}: {', '.join(map(str, found.ranges))}", flush=True)
        whole = found.ranges[1]
        for rule in guest_ram.RULES:
            with tally.rule("GuestRam", rule.__name__):
                rule(found.ram, SCRATCH, whole)
        check_holes(tally, memory, domid)
        with tally.rule("GuestRam", "a_restricted_handle_maps_its_target_alone"):
            memory.restrict(domid)
            found.ram.write(SCRATCH.start, b"still mine")
            with pytest.raises(HypervisorError, match="domain 0 is not its target"):
                ForeignRam(memory, DOM0, (whole,)).read(SCRATCH)


def check_holes(tally: Tally, memory: ForeignMemory, domid: DomId) -> None:
    """What is no RAM, and domains that are not there, by the words they meet."""
    everything = GpaRange(Gpa(0), 1 << 40)
    for name, at in (("VGA", 0xA0000), ("PCI hole", 0xF000_0000), ("above", 1 << 32)):
        with tally.rule("GuestRam", f"a_hole_is_named_{name.replace(' ', '_')}"):
            ram = ForeignRam(memory, domid, (everything,))
            with pytest.raises(RamAccessError, match="not RAM of it now"):
                ram.read(GpaRange(Gpa(at), 16))
    with (
        tally.rule("GuestRam", "a_domain_that_is_not_there_is_told_as_gone"),
        pytest.raises(HypervisorError, match="domain 32000 is gone"),
    ):
        ForeignRam(memory, DomId(32000), (everything,)).read(SCRATCH)


def check_hypervisor(tally: Tally, domid: DomId) -> None:
    with closing(Libxc()) as libxc:
        info = libxc.domain(domid)
        assert info is not None, f"there is no domain {domid}"
        for rule in hypervisor.RULES:
            with tally.rule("hypervisor", rule.__name__):
                rule(libxc, domid, info.uuid)


async def check_transport(tally: Tally) -> None:
    """The device beside the socket, both dom0's."""
    contract = TransportContract()
    rules = inspect.getmembers(contract, inspect.ismethod)
    async with (
        Client.connect(SOCKET) as dom0,
        Client.over(DeviceTransport.open()) as device,
    ):
        for name, rule in rules:
            if name.startswith("test_"):
                with tally.rule("transport", name.removeprefix("test_")):
                    await fresh(dom0, rule, device)


async def fresh(dom0: Client, rule: Callable[..., Awaitable[None]], guest: Client) -> None:
    """The rule, in a home of its own that stays no longer than it."""
    await dom0.mkdir(HOME)
    try:
        with trio.fail_after(120):
            wants = inspect.signature(rule).parameters
            await (rule(guest, dom0) if "dom0" in wants else rule(guest))
    finally:
        await dom0.rm(HOME)


def main() -> None:
    domid, tally = DomId(int(sys.argv[1])), Tally()
    check_hypervisor(tally, domid)
    check_guest_ram(tally, domid)
    trio.run(partial(check_transport, tally))
    print(f"contract: {tally.broken} broken", flush=True)
    sys.exit(tally.broken > 0)


if __name__ == "__main__":
    main()
