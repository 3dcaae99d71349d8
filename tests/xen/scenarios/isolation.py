"""From a real stub domain: what it reaches of its target, and of everybody else."""

from __future__ import annotations

import io
import json
from contextlib import closing
from typing import Any, Final

import trio

from handoff.addresses import Gpa, GpaRange
from handoff.confinement import Mode
from handoff.foreign_memory import ForeignMemory
from tests.xen.dom0.commands import run
from tests.xen.dom0.domains import domid_of
from tests.xen.scenarios import hvm, stubdom
from tests.xen.stubdom.words import OPTION, REACH, WRITTEN, WRITTEN_AT
from toolstack.config import read_config
from toolstack.host import DeviceModelWish
from toolstack.json_lines import JsonProgress
from toolstack.xen.built_domain import Builder
from toolstack.xen.libxc import Libxc
from toolstack.xen.store import host_store
from toolstack.xen.stub_domain import Target, stub_domain
from toolstack.xen.xl import Xl
from xenstore_sim.wire.names import DOM0, DomId

ABSENT: Final = DomId(0x7000)
TIMEOUT_S: Final = 240.0
PROGRAM: Final = "tests.xen.stubdom.reach"


def reaches(restricted: bool) -> dict[str, Any]:
    """What became of each attempt by domain, and in whose RAM it was written.

    restricted: Linux's privcmd, as shipped, limits its users to the target; else Xen alone does.
    """
    others = {}
    for name in ("target", "bystander"):
        run("xl", "create", "-p", str(hvm.config(name, memory=64)))
        others[name] = DomId(domid_of(name))
    try:
        doms = {**others, "dom0": DOM0, "absent": ABSENT}
        console = trio.run(
            _console_of_a_stub_domain, others["target"], tuple(doms.values()), restricted
        )
        said = [json.loads(line.partition(REACH)[2]) for line in console if REACH in line]
        verdicts = {
            name: {each["what"]: each["how"] for each in said if each["domid"] == domid}
            for name, domid in doms.items()
        }
        written = {name: _was_written(domid) for name, domid in others.items()}
        return {"verdicts": verdicts, "written": written, "console": console[:20]}
    finally:
        for name in others:
            run("xl", "destroy", name)


async def _console_of_a_stub_domain(
    target: DomId, domids: tuple[DomId, ...], restricted: bool
) -> list[str]:
    """What a stub domain of `target` wrote until it ended."""
    limit = "" if restricted else " unrestricted"
    keys = {
        "stubdomain_kernel": stubdom.KERNEL,
        "stubdomain_ramdisk": stubdom.ramdisk(),
        "stubdomain_cmdline": f"console=hvc0 quiet program={PROGRAM}{limit}",
        "device_model_version": "qemu-xen",
    }
    text = 'name = "target"\ntype = "hvm"\nmemory = 64\nkernel = "/guest/vmlinuz"\n'
    text += "device_model_stubdomain_override = 1\n"
    text += "".join(f'{key} = "{value}"\n' for key, value in keys.items())
    config, _ = read_config(text, "isolation")
    told = io.StringIO()
    progress = JsonProgress(told)
    wish = DeviceModelWish((OPTION, ",".join(map(str, domids))), Mode.AUTO, ())
    with closing(Libxc()) as libxc, trio.fail_after(TIMEOUT_S):
        info = libxc.domain(target)
        assert info is not None
        whom = Target(target, info.uuid, ())
        async with host_store() as store:
            builder = Builder(Xl.installed(), libxc, progress)
            async with stub_domain(builder, store, config, whom, wish) as (_, running):
                end = await running.wait()
    lines = [json.loads(line) for line in told.getvalue().splitlines()]
    return [str(line["line"]) for line in lines if line["event"] == "log"] + [end]


def _was_written(domid: DomId) -> bool:
    where = GpaRange(Gpa(WRITTEN_AT), len(WRITTEN))
    with closing(ForeignMemory()) as memory, memory.mapped(domid, where, writable=False) as view:
        return bytes(view) == WRITTEN
