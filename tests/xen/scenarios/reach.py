"""Whom a confined device model of dom0 can touch."""

from __future__ import annotations

import json
from contextlib import closing
from typing import Any

from handoff.addresses import GpaRange
from handoff.foreign_memory import ForeignMemory
from handoff.foreign_ram import ForeignRam
from tests.xen.dom0.commands import run
from tests.xen.dom0.domains import domid_of
from tests.xen.dom0.reach import AT, WHOLE, WORDS
from tests.xen.scenarios import hvm
from xenstore_sim.wire.names import DomId


def of_a_confined_device_model() -> dict[str, Any]:
    """What each attempt met, and what lies in both domains afterwards."""
    names = "target", "bystander"
    for name in names:
        run("xl", "create", "-p", str(hvm.config(name, memory=64)))
    domids = [domid_of(name) for name in names]
    said = run("python3", "-m", "tests.xen.dom0.reach", *map(str, domids), timeout_s=300)
    where = GpaRange(AT, len(WORDS))
    with closing(ForeignMemory()) as memory:
        seen = [ForeignRam(memory, DomId(domid), (WHOLE,)).read(where) for domid in domids]
    for domid in domids:
        run("xl", "destroy", str(domid))
    written = {name: words == WORDS for name, words in zip(names, seen, strict=True)}
    return {"attempts": json.loads(said.splitlines()[-1]), "written": written}
