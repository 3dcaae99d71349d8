"""What really changed: guests and nodes as dom0 sees them, before the attempts and after."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from handoff.addresses import Gpa, GpaRange
from handoff.errors import HypervisorError
from toolstack.isolation.stubdom import calls
from toolstack.isolation.stubdom.attempts.ram import WRITTEN_AT
from toolstack.isolation.stubdom.order import RAM_AT, WORDS
from toolstack.isolation.stubdom.privcmd import Privcmd
from toolstack.isolation.xen.scene import Guest, Scene
from toolstack.xen.libxc import DomainInfo
from xenstore_sim.client import Client
from xenstore_sim.wire.names import DOM0, AbsolutePath, home
from xenstore_sim.wire.perms import NodePerms

_PARAMETERS: Final = range(40)
"""HVM_NR_PARAMS and some more; those that there are not stay so."""
_CHANGES: Final = "beat"
"""The node that the scene itself keeps writing."""


@dataclass(frozen=True, slots=True)
class Seen:
    """The bystander with its nodes and dom0's, and whether its target is as it was left."""

    digests: tuple[bytes, ...]
    info: DomainInfo | None
    parameters: tuple[int | None, ...]
    nodes: dict[str, tuple[bytes, NodePerms]]
    target_paused: bool


async def look(stage: Scene) -> Seen:
    """Raises: HandoffError, XenstoreError."""
    other, client = stage.bystander, stage.store.client
    target = stage.libxc.domain(stage.target.domid)
    return Seen(
        tuple(other.memory.ram.digest(part) for part in other.memory.ranges),
        stage.libxc.domain(other.domid),
        _parameters(other),
        {
            node: seen
            for folder in (home(other.domid), home(DOM0), stage.offer.home)
            for node, seen in (await _below(client, _attacked(folder))).items()
        },
        target is not None and target.paused,
    )


def harm(before: Seen, after: Seen) -> tuple[str, ...]:
    """What became of the bystander and of dom0; nothing, if all is as it was."""
    found = []
    if before.digests != after.digests:
        found.append("the bystander's RAM was changed")
    if after.info is None or before.info != after.info:
        found.append(f"the bystander's domain is {_state(after.info)}")
    for index, (was, now) in enumerate(zip(before.parameters, after.parameters, strict=True)):
        if was != now:
            found.append(f"the bystander's HVM parameter {index} is {now}, was {was}")
    found += [
        f"{node} was changed"
        for node in sorted(before.nodes.keys() | after.nodes.keys())
        if before.nodes.get(node) != after.nodes.get(node)
    ]
    if before.target_paused and not after.target_paused:
        found.append("the target was let go")
    return tuple(found)


def _state(info: DomainInfo | None) -> str:
    if info is None or info.dying:
        return "gone"
    if info.shutdown is not None:
        return "shut down"
    return "paused" if info.paused else "let go"


def written_in(stage: Scene, guest: Guest) -> bool:
    """Whether the hostile program's words lie in the guest's RAM."""
    where = GpaRange(Gpa(RAM_AT + WRITTEN_AT), len(WORDS))
    with stage.memory.mapped(guest.domid, where, writable=False) as view:
        return bytes(view) == WORDS


def _attacked(folder: AbsolutePath) -> AbsolutePath:
    """Of dom0's nodes those that were put up; the others go on changing."""
    return AbsolutePath(f"{folder}/data") if folder == home(DOM0) else folder


async def _below(client: Client, folder: AbsolutePath) -> dict[str, tuple[bytes, NodePerms]]:
    found: dict[str, tuple[bytes, NodePerms]] = {}
    left = [folder]
    while left:
        node = left.pop()
        if not node.endswith(f"/{_CHANGES}"):
            found[node] = (await client.read(node), await client.get_perms(node))
        left += [AbsolutePath(f"{node}/{name}") for name in await client.directory(node)]
    return found


def _parameters(guest: Guest) -> tuple[int | None, ...]:
    try:
        privcmd = Privcmd()
    except OSError as error:
        raise HypervisorError(f"privcmd cannot be opened: {error.strerror}") from error
    try:
        return tuple(_values(privcmd, guest))
    finally:
        privcmd.close()


def _values(privcmd: Privcmd, guest: Guest) -> Iterator[int | None]:
    for index in _PARAMETERS:
        try:
            yield calls.hvm_param(privcmd, guest.domid, index)
        except OSError:
            yield None
