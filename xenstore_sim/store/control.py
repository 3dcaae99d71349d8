"""CONTROL: commands to the daemon itself, as xenstore-control sends them.

Source: docs/misc/xenstore.txt, CONTROL; C xenstored for the form of its texts.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from xenstore_sim.store.call import Call, Deferred
from xenstore_sim.store.live_update import Asker
from xenstore_sim.store.log import SWITCHES
from xenstore_sim.store.quota_control import quota, soft_quota
from xenstore_sim.store.summary import Thresholds, summary
from xenstore_sim.store.usage import report
from xenstore_sim.wire import messages as m
from xenstore_sim.wire.errors import Refusal
from xenstore_sim.wire.ops import Errno

_OK: Final = "OK"
_DIGITS_MAX: Final = 9


def control(call: Call, request: m.Control) -> m.Reply:
    """CONTROL."""
    name, *args = request.args
    command = _COMMANDS.get(name) or _OURS.get(name)
    if command is None:
        raise Refusal(Errno.EINVAL)
    return m.Text(command.run(call, args))


def _require(condition: bool) -> None:
    if not condition:
        raise Refusal(Errno.EINVAL)


def _check(call: Call, args: list[str]) -> str:
    _require(not args)
    return "\n".join(call.world.tree.inconsistencies()) or _OK


def _help(call: Call, args: list[str]) -> str:
    _require(not args)
    detailed = call.world.compat.detailed_control
    form = "{:<15} {}\n" if detailed else "{}\t{}\n"
    return "".join(
        form.format(name, command.usage if detailed else command.usage_4_17 or command.usage)
        for name, command in _COMMANDS.items()
    )


def _log(call: Call, args: list[str]) -> str:
    match args:
        case ["on"]:
            call.world.log.open(None)
        case ["off"]:
            call.world.log.close()
        case _ if not call.world.compat.detailed_control:
            raise Refusal(Errno.EINVAL)
        case []:
            states = ((name, "on" if call.world.log.is_on(name) else "off") for name in SWITCHES)
            return "Log switch settings:\n" + "".join(f"{n:<8}: {state}\n" for n, state in states)
        case [change]:
            _require(change[:1] in ("+", "-") and change[1:] in SWITCHES)
            call.world.log.switch(change[1:], on=change.startswith("+"))
        case _:
            raise Refusal(Errno.EINVAL)
    return _OK


def _logfile(call: Call, args: list[str]) -> str:
    """OK even where the file cannot be opened, as C answers; the operator is told."""
    _require(len(args) == 1)
    call.world.log.open(args[0])
    return _OK


def _memreport(call: Call, args: list[str]) -> str:
    _require(len(args) <= 1)
    _require(call.world.log.report(args[0] if args else None, report(call.world)))
    return _OK


def _print(call: Call, args: list[str]) -> str:
    _require(len(args) == 1)
    call.world.log.say(f"control: {ascii(args[0])[1:-1]}")
    return _OK


def _stats(call: Call, args: list[str]) -> str:
    """Ours alone; `help` names what xenstored has."""
    _require(len(args) <= 2 and all(text.isascii() and text.isdigit() for text in args))
    _require(all(len(text) <= _DIGITS_MAX for text in args))
    return summary(call.world, Thresholds(*map(int, args)))


def _quota(call: Call, args: list[str]) -> str:
    return quota(call.world, args)


def _quota_soft(call: Call, args: list[str]) -> str:
    return soft_quota(call.world, args)


def _live_update(call: Call, args: list[str]) -> str:
    """A sentence, as xenstored answers what it cannot do: xenstore-control shows it and fails.

    Raises: Deferred, where it is tried.
    """
    asker = Asker(call.conn.id, call.req_id, call.tx_id)
    text = call.world.live_update.control(args, asker, call.world.compat)
    if text is None:
        raise Deferred
    return text


@dataclass(frozen=True, slots=True)
class _Command:
    run: Callable[[Call, list[str]], str]
    usage: str = ""
    usage_4_17: str = ""
    """Where it differs."""


_COMMANDS: Final = {
    "check": _Command(_check),
    "log": _Command(_log, "[on|off|+<switch>|-<switch>]", "on|off"),
    "live-update": _Command(
        _live_update,
        "[-c <cmdline>] [-F] [-t <timeout>] <file>\n"
        "    Another program takes over; -F and -t change nothing, as transactions live on.",
    ),
    "logfile": _Command(_logfile, "<file>"),
    "memreport": _Command(_memreport, "[<file>]"),
    "print": _Command(_print, "<string>"),
    "quota": _Command(_quota, "[set <name> <val>|<domid>|max [-r]]", "[set <name> <val>|<domid>]"),
    "quota-soft": _Command(_quota_soft, "[set <name> <val>]"),
    "help": _Command(_help),
}
_OURS: Final = {"stats": _Command(_stats)}
