"""CONTROL: commands to the daemon itself, as xenstore-control sends them.

Source: docs/misc/xenstore.txt, CONTROL; C xenstored for the form of its texts.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from xenstore_sim.store.call import Call, World
from xenstore_sim.store.log import SWITCHES
from xenstore_sim.store.quota_control import quota, soft_quota
from xenstore_sim.store.usage import report
from xenstore_sim.wire import messages as m
from xenstore_sim.wire.errors import Refusal
from xenstore_sim.wire.ops import Errno

_OK: Final = "OK"
_NO_LIVE_UPDATE: Final = "live update is not available in this daemon: stop it and start it again"


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
    _require(not args)
    return "\n".join(world.tree.inconsistencies()) or _OK


def _help(world: World, args: list[str]) -> str:
    _require(not args)
    detailed = world.compat.detailed_control
    form = "{:<15} {}\n" if detailed else "{}\t{}\n"
    return "".join(
        form.format(name, command.usage if detailed else command.usage_4_17 or command.usage)
        for name, command in _COMMANDS.items()
    )


def _log(world: World, args: list[str]) -> str:
    match args:
        case ["on"]:
            world.log.open(None)
        case ["off"]:
            world.log.close()
        case _ if not world.compat.detailed_control:
            raise Refusal(Errno.EINVAL)
        case []:
            states = ((name, "on" if world.log.is_on(name) else "off") for name in SWITCHES)
            return "Log switch settings:\n" + "".join(f"{n:<8}: {state}\n" for n, state in states)
        case [change]:
            _require(change[:1] in ("+", "-") and change[1:] in SWITCHES)
            world.log.switch(change[1:], on=change.startswith("+"))
        case _:
            raise Refusal(Errno.EINVAL)
    return _OK


def _logfile(world: World, args: list[str]) -> str:
    """OK even where the file cannot be opened, as C answers; the operator is told."""
    _require(len(args) == 1)
    world.log.open(args[0])
    return _OK


def _memreport(world: World, args: list[str]) -> str:
    _require(len(args) <= 1)
    _require(world.log.report(args[0] if args else None, report(world)))
    return _OK


def _print(world: World, args: list[str]) -> str:
    _require(len(args) == 1)
    world.log.say(f"control: {ascii(args[0])[1:-1]}")
    return _OK


def _live_update(world: World, args: list[str]) -> str:
    """A sentence, as xenstored answers what it cannot do: xenstore-control shows it and fails."""
    match args:
        case ["-a"] | ["-c" | "-f", _] | ["-s", *_]:
            return _NO_LIVE_UPDATE
    raise Refusal(Errno.EINVAL)


@dataclass(frozen=True, slots=True)
class _Command:
    run: Callable[[World, list[str]], str]
    usage: str = ""
    usage_4_17: str = ""
    """Where it differs."""


_COMMANDS: Final = {
    "check": _Command(_check),
    "log": _Command(_log, "[on|off|+<switch>|-<switch>]", "on|off"),
    "live-update": _Command(
        _live_update, "[-c <cmdline>] [-F] [-t <timeout>] <file>\n    Not available here."
    ),
    "logfile": _Command(_logfile, "<file>"),
    "memreport": _Command(_memreport, "[<file>]"),
    "print": _Command(_print, "<string>"),
    "quota": _Command(quota, "[set <name> <val>|<domid>|max [-r]]", "[set <name> <val>|<domid>]"),
    "quota-soft": _Command(soft_quota, "[set <name> <val>]"),
    "help": _Command(_help),
}
