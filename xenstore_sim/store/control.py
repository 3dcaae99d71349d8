"""CONTROL: commands to the daemon itself, as xenstore-control sends them.

Source: docs/misc/xenstore.txt, CONTROL; C xenstored for the form of its texts.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from xenstore_sim.store.call import Call, World
from xenstore_sim.store.quotas import QUOTA_NAMES, Quotas
from xenstore_sim.wire import messages as m
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
    "outstanding": "replies a domain may leave unread",
    "transaction-nodes": "nodes a transaction may access",
    "memory": "bytes a domain may use (not enforced here)",
    "node-permissions": "entries of a node's permission list",
    "permissions": "entries of a node's permission list",
    "path-max": "bytes of a path",
    "node-size": "bytes of a node",
}
_LOG_SWITCHES: Final = ("obj", "io", "wrl", "acc", "tdb")


def control(call: Call, request: m.Control) -> m.Reply:
    """CONTROL."""
    name, *args = request.args
    command = _COMMANDS.get(name)
    if command is None:
        raise Refusal(Errno.EINVAL)
    return m.Text(command.run(call.world, args))


def _require(condition: bool) -> None:
    if not condition:
        raise Refusal(Errno.EINVAL)


def _check(world: World, args: list[str]) -> str:
    return "\n".join(world.tree.inconsistencies()) or "OK"


def _help(world: World, args: list[str]) -> str:
    form = "{:<15} {}\n" if world.compat.detailed_control else "{}\t{}\n"
    return "".join(form.format(name, command.usage) for name, command in _COMMANDS.items())


def _log(world: World, args: list[str]) -> str:
    """There is no log here; the command is taken and does nothing."""
    if not world.compat.detailed_control:
        _require(args in (["on"], ["off"]))
    switches = {f"{sign}{switch}" for sign in "+-" for switch in _LOG_SWITCHES}
    _require(len(args) <= 1 and set(args) <= {"on", "off"} | switches)
    return "OK"


def _one_text(world: World, args: list[str]) -> str:
    _require(len(args) == 1)
    return "OK"


def _at_most_one_text(world: World, args: list[str]) -> str:
    _require(len(args) <= 1)
    return "OK"


def _quota(world: World, args: list[str]) -> str:
    match args:
        case []:
            names = _shown_names(world.compat)
            return _settings("Quota", ((name, _bound(world.quotas, name)) for name in names))
        case ["set", name, value]:
            _require(name in _shown_names(world.compat) and atoi(value) >= 1)
            world.quotas = world.quotas.with_quota(_real_name(name), atoi(value))
            return "OK"
        case ["max"] | ["max", "-r"] if world.compat.detailed_control:
            return f"Max used quotas:\n{'nodes':<17}: {world.tree.most_owned():8}\n"
        case [domid]:
            return _usage(world, DomId(atoi(domid)))
    raise Refusal(Errno.EINVAL)


def _soft_quota(world: World, args: list[str]) -> str:
    match args:
        case []:
            shown = ((name, _bound(world.quotas, real)) for name, real in _SOFT.items())
            return _settings("Soft quota", shown)
        case ["set", name, value]:
            _require(name in _SOFT and atoi(value) >= 1)
            world.quotas = world.quotas.with_quota(_SOFT[name], atoi(value))
            return "OK"
    raise Refusal(Errno.EINVAL)


def _live_update(world: World, args: list[str]) -> str:
    return "live update is not available in this daemon: stop it and start it again"


def _shown_names(compat: Compat) -> tuple[str, ...]:
    hard = tuple(name for name in QUOTA_NAMES if name not in _SOFT.values())
    if compat.detailed_control:
        return hard
    older = tuple(name for name in hard if name not in ("path-max", "node-size"))
    return tuple("permissions" if name == "node-permissions" else name for name in older)


def _real_name(shown: str) -> str:
    return "node-permissions" if shown == "permissions" else shown


def _bound(quotas: Quotas, shown: str) -> int:
    return quotas.quota(_real_name(shown))


def _settings(title: str, quotas: Iterable[tuple[str, int]]) -> str:
    lines = (f"{name:<17}: {value:8} {_DESCRIPTIONS[name]}\n" for name, value in quotas)
    return f"{title} settings:\n" + "".join(lines)


def _usage(world: World, domid: DomId) -> str:
    """What a domain uses now. Raises: Refusal, ENOENT."""
    if domid != DOM0 and world.domains.get(domid) is None:
        raise Refusal(Errno.ENOENT)
    conn = world.connections.get(world.by_domain[domid]) if domid in world.by_domain else None
    used = {
        "nodes": world.tree.owned(domid),
        "watches": world.watches.count(conn.id) if conn else 0,
        "transactions": len(conn.transactions) if conn else 0,
        "outstanding": conn.outbox.replies if conn else 0,
    }
    if not world.compat.detailed_control:
        older = ("nodes", "watches", "transactions", "outstanding", "memory")
        lines = (f"{name:<17}: {used.get(name, 0):8}\n" for name in older)
    else:
        # What a domain used at most is not kept: shown is what it uses.
        values = ((name, used.get(name, 0)) for name in _shown_names(world.compat))
        lines = (f"{name:<17}: {value:8} (max {value:8})\n" for name, value in values)
    return f"Domain {domid}:\n" + "".join(lines)


@dataclass(frozen=True, slots=True)
class _Command:
    usage: str
    run: Callable[[World, list[str]], str]


_COMMANDS: Final = {
    "check": _Command("", _check),
    "help": _Command("", _help),
    "live-update": _Command("[-c <cmdline>] [-F] [-t <timeout>] <file>|-a|-s", _live_update),
    "log": _Command("[on|off|+<switch>|-<switch>]", _log),
    "logfile": _Command("<file>", _one_text),
    "memreport": _Command("[<file>]", _at_most_one_text),
    "print": _Command("<string>", _one_text),
    "quota": _Command("[set <name> <val>|<domid>|max [-r]]", _quota),
    "quota-soft": _Command("[set <name> <val>]", _soft_quota),
}
