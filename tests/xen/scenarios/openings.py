"""The same as `toolstack isolation --machine xen`, where the host has something wrongly open."""

from __future__ import annotations

import json
from functools import partial
from typing import Any

import trio

from handoff.keys import StoreWrite
from tests.xen.scenarios import isolation
from toolstack.config import read_config
from toolstack.isolation.xen.command import examine_xen
from toolstack.isolation.xen.scene import Scene
from toolstack.isolation.xen.table import as_json
from toolstack.isolation.xen.trial import Opening
from toolstack.terminal import TextProgress
from xenstore_sim.wire.names import AbsolutePath, DomId, home
from xenstore_sim.wire.perms import Access, NodePerms, Perm


def reaches_through_an_opening(wrong_target: bool) -> dict[str, Any]:
    """What the command says where a node of the bystander's is open to the stub domain.

    wrong_target: the bystander itself is, too.
    """
    config, _ = read_config(isolation.config(), "isolation")
    opening = Opening(wrong_target, _open_a_node)
    judgement = trio.run(partial(examine_xen, config, {}, TextProgress(), opening))
    told: dict[str, Any] = json.loads(as_json(judgement))
    return told


async def _open_a_node(stage: Scene, stubdom: DomId) -> None:
    owner = stage.bystander.domid
    node = AbsolutePath(f"{home(owner)}/data/scratch")
    perms = NodePerms((Perm(owner, Access.NONE), Perm(stubdom, Access.BOTH)))
    await stage.store.carry_out(StoreWrite(node, b"", perms))
