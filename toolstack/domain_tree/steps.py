"""What a toolstack does to xenstore, as data: whoever has a connection carries the steps out."""

from __future__ import annotations

from dataclasses import dataclass

from handoff.keys import StoreWrite
from xenstore_sim.wire.names import AbsolutePath, DomId
from xenstore_sim.wire.perms import NodePerms


@dataclass(frozen=True, slots=True)
class Remove:
    """RM. That the node, or its parent, is missing is no error."""

    path: AbsolutePath


@dataclass(frozen=True, slots=True)
class MakeDirectory:
    """MKDIR, then SET_PERMS: a value the node has stays."""

    path: AbsolutePath
    perms: NodePerms


NodeAction = StoreWrite | Remove | MakeDirectory


@dataclass(frozen=True, slots=True)
class Transaction:
    """Actions that appear at once; tried again when it meets EAGAIN."""

    actions: tuple[NodeAction, ...]


@dataclass(frozen=True, slots=True)
class Introduce:
    """INTRODUCE: xenstored starts to serve the domain."""

    domid: DomId
    gfn: int
    """frame of the domain's xenstore ring"""
    port: int
    """the domain's event channel for it, at least 1"""


@dataclass(frozen=True, slots=True)
class SetTarget:
    """The hypervisor's set_target, then xenstored's SET_TARGET."""

    stubdom: DomId
    target: DomId


@dataclass(frozen=True, slots=True)
class DestroyDomain:
    """The hypervisor destroys the domain and xenstored learns that it is dead.

    A simulation says so with RELEASE; a stub domain must go before its target, or the target
    only loses a reference."""

    domid: DomId


Step = Transaction | NodeAction | Introduce | SetTarget | DestroyDomain
