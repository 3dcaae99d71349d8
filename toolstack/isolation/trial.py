"""Runs hostile device models through a list of attempts and hears what came of each."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import trio

from handoff.confinement import Layer, Mode, State
from handoff.errors import InternalError
from toolstack.device_model import DeviceModelCommand, device_model
from toolstack.domain_connection import DomainConnection
from toolstack.isolation.attempt import DEADLINE_S, Attempt
from toolstack.isolation.hostile import Order
from toolstack.isolation.listener import Listener
from toolstack.isolation.result import Result
from toolstack.isolation.scene import Scene

PROGRAM = (sys.executable, "-I", "-m", "toolstack.isolation.hostile")
START_S = 15.0
UID_BASE = 0x20000
_LINES_BOUND = 1000


@dataclass(frozen=True, slots=True)
class Setting:
    """What is in the way of the attempts."""

    name: str
    sandbox: Mode = Mode.AUTO
    without: tuple[Layer, ...] = ()
    sacrificial: bool = False
    """nothing is: no layer, no seals, dom0's own connection to xenstored"""
    ring: bool = False
    """a shared ring page carries its messages to xenstored, not a socket"""


CONTROL = Setting("control", sandbox=Mode.OFF, sacrificial=True)
CONFINED = Setting("confined")
ON_A_RING = Setting("on a ring", ring=True)


@dataclass(frozen=True, slots=True)
class Trial:
    """What came of a setting's attempts, by name."""

    results: Mapping[str, Result]
    states: Mapping[Layer, State]


async def run_trial(scene: Scene, setting: Setting, attempts: Sequence[Attempt]) -> Trial:
    """Every attempt's result. A process that an attempt ends or hangs is followed by another.

    Raises: InternalError if a hostile device model cannot be started.
    """
    await scene.bystander.settle()
    results: dict[str, Result] = {}
    states: dict[Layer, State] = {}
    for batch in _batches(attempts, one=setting.sacrificial):
        remaining = [attempt.name for attempt in batch]
        while remaining:
            heard = await _run_process(scene, setting, remaining)
            results.update(heard.results)
            states.update(heard.states)
            progressed = [name for name in remaining if name not in heard.results]
            if len(progressed) == len(remaining):
                raise InternalError(f"the hostile device model did not start: {heard.last_words}")
            remaining = progressed
    return Trial(results, states)


def _batches(attempts: Sequence[Attempt], *, one: bool) -> Iterator[Sequence[Attempt]]:
    """Those that need a process of their own come last, each by itself, unless they fork."""
    if one:
        yield attempts
        return
    yield [attempt for attempt in attempts if not attempt.alone]
    for attempt in attempts:
        if attempt.alone:
            yield [attempt]


@dataclass(slots=True)
class _Heard:
    results: dict[str, Result] = field(default_factory=dict)
    states: dict[Layer, State] = field(default_factory=dict)
    making: str = ""
    """the attempt that was begun and not ended"""
    over: bool = False
    last_words: str = ""

    def hear(self, line: str) -> None:
        kind, _, words = line.partition(" ")
        self.last_words = line
        if kind not in ("begin", "result", "confined", "error", "end"):
            return
        told: dict[str, Any] = json.loads(words)
        match kind:
            case "begin":
                self.making = told["name"]
            case "result":
                self.results[told["name"]] = Result(told["through"], told["what"])
                self.making = ""
            case "confined":
                for name, state in told["states"].items():
                    self.states[Layer[name]] = State[state]
            case "end":
                self.over = True


async def _run_process(scene: Scene, setting: Setting, names: Iterable[str]) -> _Heard:
    """What one process came to: all of it, or up to the attempt that ended or hung it."""
    if setting.ring:
        async with scene.on_a_ring() as (there, connection):
            return await _run_connected(there, setting, names, connection)
    connection = await scene.connect(privileged=setting.sacrificial)
    return await _run_connected(scene, setting, names, connection)


async def _run_connected(
    scene: Scene, setting: Setting, names: Iterable[str], connection: DomainConnection
) -> _Heard:
    order = Order(tuple(names), setting.without, setting.sacrificial, scene.around)
    command = DeviceModelCommand(
        setting.sandbox,
        UID_BASE + scene.around.stubdom,
        scene.arguments,
        (*PROGRAM, order.encode()),
    )
    send, receive = trio.open_memory_channel[str](_LINES_BOUND)
    heard = _Heard()
    ram = scene.unsealed if setting.sacrificial else scene.ram
    async with device_model(command, connection, ram, Listener(send.send_nowait)) as process:
        ended: list[str] = []

        async def watch_end() -> None:
            ended.append(await process.wait())
            send.close()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch_end)
            await _listen(receive, heard)
            nursery.cancel_scope.cancel()
    if heard.making:
        how = ended[0].split(", its last words")[0] if ended else f"hung for {DEADLINE_S:g} s"
        heard.results[heard.making] = Result(False, how, hung=not ended)
    return heard


async def _listen(receive: trio.MemoryReceiveChannel[str], heard: _Heard) -> None:
    """Hears lines until the process has ended or the next one is overdue."""
    while not heard.over:
        patience = DEADLINE_S if heard.making or heard.results else START_S
        with trio.move_on_after(patience) as scope:
            try:
                heard.hear(await receive.receive())
            except trio.EndOfChannel:
                return
        if scope.cancelled_caught:
            return
