"""CONTROL quota and quota-soft: bounds and their use, as text.

Source: docs/misc/xenstore.txt, CONTROL; C xenstored for names, order and form of the lines.
"""

from collections.abc import Mapping
from typing import Final

from xenstore_sim.store.call import World
from xenstore_sim.store.quotas import QUOTA_NAMES, Quotas
from xenstore_sim.store.usage import forget_most, most_of, most_of_all, usage_of
from xenstore_sim.wire.c_numbers import atoi
from xenstore_sim.wire.compat import Compat
from xenstore_sim.wire.errors import Refusal
from xenstore_sim.wire.names import DOM0, DomId
from xenstore_sim.wire.ops import Errno

_SOFT: Final = {"memory": "soft-memory"}
_DESCRIPTIONS: Final = {
    "nodes": "nodes a domain may own",
    "watches": "watches a domain may have",
    "transactions": "transactions a domain may have open",
    "outstanding": "requests a domain may leave unfinished",
    "transaction-nodes": "nodes a transaction may access",
    "memory": "bytes a domain may take",
    "soft-memory": "bytes a domain may take before that is told",
    "node-permissions": "entries of a node's permission list",
    "path-max": "bytes of a path",
    "node-size": "bytes of a node",
}


def quota(world: World, args: list[str]) -> str:
    """quota. Raises: Refusal."""
    names = _names(world.compat)
    match args:
        case []:
            return _settings(world.quotas, names)
        case ["set", *change]:
            return _set(world, change, names)
        case ["max", *reset] if world.compat.detailed_control:
            return _most(world, reset)
        case [domid]:
            return _usage(world, DomId(atoi(domid)))
    raise Refusal(Errno.EINVAL)


def soft_quota(world: World, args: list[str]) -> str:
    """quota-soft. Raises: Refusal."""
    match args:
        case []:
            return _settings(world.quotas, _SOFT)
        case ["set", *change]:
            return _set(world, change, _SOFT)
    raise Refusal(Errno.EINVAL)


def _names(compat: Compat) -> dict[str, str]:
    """What the release calls each hard quota, in its order, and what we call it."""
    if compat.detailed_control:
        return {name: name for name in QUOTA_NAMES if name not in _SOFT.values()}
    return {
        **{name: name for name in ("nodes", "watches", "transactions", "outstanding")},
        **{name: name for name in ("transaction-nodes", "memory", "node-size", "path-max")},
        "permissions": "node-permissions",
    }


def _settings(quotas: Quotas, names: Mapping[str, str]) -> str:
    lines = (
        f"{name:<17}: {quotas.quota(real):8} {_DESCRIPTIONS[real]}\n"
        for name, real in names.items()
    )
    return "Quota settings:\n" + "".join(lines)


def _set(world: World, change: list[str], names: Mapping[str, str]) -> str:
    match change:
        case [name, value] if name in names and atoi(value) >= 1:
            world.quotas = world.quotas.with_quota(names[name], atoi(value))
            return "OK"
    raise Refusal(Errno.EINVAL)


def _most(world: World, options: list[str]) -> str:
    if options not in ([], ["-r"]):
        raise Refusal(Errno.EINVAL)
    if options:
        forget_most(world)
    most = most_of_all(world)
    lines = (f"{name:<17}: {most.get(name, 0):8}\n" for name in _names(world.compat))
    return "Max. seen accounting values:\n" + "".join(lines)


def _usage(world: World, domid: DomId) -> str:
    """What a domain uses. Raises: Refusal, ENOENT."""
    if domid != DOM0 and world.domains.get(domid) is None:
        raise Refusal(Errno.ENOENT)
    used, most = usage_of(world, domid), most_of(world, domid)
    if world.compat.detailed_control:
        lines = (
            f"{name:<17}: {used.get(name, 0):8} (max {most.get(name, 0):8})\n"
            for name in _names(world.compat)
        )
    else:
        counted = ("nodes", "watches", "transactions", "outstanding", "memory")
        lines = (f"{name:<16}: {used.get(name, 0):8}\n" for name in counted)
    return f"Domain {domid}:\n" + "".join(lines)
