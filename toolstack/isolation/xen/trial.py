"""Lets the hostile program loose on a scene, from each place, and hears what came of it."""

from __future__ import annotations

import json
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import trio

from handoff.confinement import Mode
from handoff.errors import ConfigError, InternalError, printable
from handoff.keys import HandoffKeys, StoreWrite
from handoff.single_error import single_error
from toolstack.device_model import DeviceModelCommand, device_model
from toolstack.host import DeviceModelWish, RunningDeviceModel
from toolstack.isolation.listener import Listener
from toolstack.isolation.result import Result
from toolstack.isolation.stubdom.hostile import RELOADED
from toolstack.isolation.stubdom.order import OPTION, WORD, Place, Whom
from toolstack.isolation.xen.scene import Scene
from toolstack.progress import Progress
from toolstack.xen.store import connect
from toolstack.xen.stub_domain import Target, stub_domain
from toolstack.xen.stub_settings import RAMDISK
from xenstore_sim.wire.names import DomId

PROGRAM: Final = (sys.executable, "-I", "-m", "toolstack.isolation.stubdom.hostile")
ROUND_S: Final = 480.0
"""Longest for all that is tried from one place, a stub domain's start included: on an emulated
processor it takes half a minute."""
_UID: Final = 0x30000
_WORDS_MAX: Final = 200

Key = tuple[Place, str, Whom]
"""Where an attempt was made, which one, and on whom."""


@dataclass(slots=True)
class Heard:
    """What was told of the attempts, so far."""

    results: dict[Key, Result] = field(default_factory=dict)
    reloaded: Result | None = None
    """whether root could load Linux's privcmd without its limit; None: not told"""
    over: trio.Event = field(default_factory=trio.Event)
    last_words: str = ""

    def hear(self, line: str) -> None:
        """Takes a line of its log. One that is broken tells nothing, and what it would have
        told counts as not made."""
        self.last_words = line
        try:
            self._take(json.loads(line.partition(WORD)[2]))
        except (ValueError, KeyError, TypeError, AttributeError):
            return

    def _take(self, told: Mapping[str, Any]) -> None:
        match told["kind"]:
            case "result":
                place, name = Place(told["place"]), str(told["name"])
                for whom, words in told["of"].items():
                    self.results[place, name, Whom(whom)] = _result(words)
            case "end":
                self.over.set()
            case kind if kind == RELOADED:
                self.reloaded = _result(told)


def _result(words: Mapping[str, Any]) -> Result:
    return Result(bool(words["through"]), str(words["what"]), bool(words.get("hung", False)))


class _Ear(Listener):
    """Hears the log, and passes warnings on: a domain may be left."""

    def __init__(self, hear: Callable[[str], None], people: Progress) -> None:
        super().__init__(hear)
        self._people = people

    def warning(self, text: str) -> None:
        self._people.warning(text)


@dataclass(frozen=True, slots=True)
class Opening:
    """For tests: a fault of the host's, which must be found out.

    wrong_target: the stub domain is given the bystander, in the hypervisor and in xenstore. spoil:
    called with the stub domain's id before anything is tried.
    """

    wrong_target: bool
    spoil: Callable[[Scene, DomId], Awaitable[None]]


async def from_a_stub_domain(
    stage: Scene,
    after: Callable[[DomId], Awaitable[None]],
    opening: Opening | None = None,
) -> Heard:
    """What a stub domain's root tells.

    after: called with the stub domain's id while it is still there.
    Raises: HandoffError if there is no stub domain, ConfigError if nothing is told there.
    """
    heard = Heard()
    wrong = opening is not None and opening.wrong_target
    guest = stage.bystander if wrong else stage.target
    target = Target(guest.domid, guest.uuid, ())
    order = stage.order(Place.STUB_DOMAIN, 0).encode()
    wish = DeviceModelWish((OPTION, order), Mode.AUTO, ())
    builder = replace(stage.builder, progress=_Ear(heard.hear, stage.builder.progress))
    started = stub_domain(builder, stage.store, stage.stubdomain, target, wish)
    with single_error():
        async with started as (keys, running):
            if opening is not None:
                await opening.spoil(stage, keys.stubdom)
            await _offer(stage, keys.stubdom)
            how = await _end(heard, running)
            if not heard.results:
                raise ConfigError(
                    f"{RAMDISK}: the hostile program told nothing in the stub domain ({how}): its "
                    "/init starts `python3 -m devicemodel` with the environment Linux gave it"
                )
            await after(keys.stubdom)
    return heard


async def _offer(stage: Scene, stubdom: DomId) -> None:
    """What the program waits for, as a device model does."""
    own = HandoffKeys(stubdom, stage.target.domid)
    await stage.store.carry_out(StoreWrite(own.offer_state, b"1 published", own.offer_perms))


async def from_dom0(stage: Scene, place: Place, stubdom: DomId) -> Heard:
    """What a process of dom0 tells that was started as a device model of dom0 is; `place` says
    whether it confines itself.

    Raises: HandoffError if it cannot be started, InternalError if it tells nothing.
    """
    heard = Heard()
    order = stage.order(place, stubdom).encode()
    command = DeviceModelCommand(Mode.AUTO, _UID + stubdom, (), (*PROGRAM, OPTION, order))
    connection, memory = await connect(), stage.target.memory
    async with device_model(command, connection, memory, Listener(heard.hear)) as process:
        how = await _end(heard, process)
    if not heard.results:
        raise InternalError(f"the hostile program in dom0 told nothing ({how})")
    return heard


async def _end(heard: Heard, running: RunningDeviceModel) -> str:
    """Waits until all is told, or until it ended by itself; says how that was."""
    how = ""
    with trio.move_on_after(ROUND_S):
        async with trio.open_nursery() as nursery:

            async def until_told() -> None:
                await heard.over.wait()
                nursery.cancel_scope.cancel()

            nursery.start_soon(until_told)
            how = await running.wait()
            nursery.cancel_scope.cancel()
    words = printable(heard.last_words, _WORDS_MAX)
    return how or f"it did not end within {ROUND_S:g} s, its last words: {words}"
