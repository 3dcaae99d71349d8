"""A device model that lies: `python -m toolstack.isolation.lies NAME ...`, a name of `LIES`.

It waits for the offer as the real one does and then says what is not so. The toolstack must end
with an error of its own, and let nothing boot.
"""

from __future__ import annotations

import argparse
import itertools
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from handoff.addresses import Gpa, GpaRange
from handoff.carriers import base64_chunks
from handoff.confinement import (
    Identity,
    Mode,
    Profile,
    address_space_for,
    confine,
    prepare,
)
from handoff.keys import HandoffKeys, numbered
from handoff.report import PlacedRange, Report, When, encode_report
from handoff.store_values import OfferState
from toolstack.isolation.promises import Beyond
from toolstack.isolation.voice import HungUp, Refused, Voice
from toolstack.isolation.wire import SocketWire
from xenstore_sim.wire.layout import PAYLOAD_MAX
from xenstore_sim.wire.names import DomId
from xenstore_sim.wire.ops import Op

_OFFER_S = 10.0
_GARBAGE = bytes(range(1, 256)) * 16
_NODE_BYTES = 1900
_ROM = GpaRange(Gpa(0xC8000), 0x800)
_STAGES = ("discovered", "verified", "placed", "moved", "inserted", "ready")


@dataclass(frozen=True, slots=True)
class Liar:
    """What a lie has to work with."""

    voice: Voice
    keys: HandoffKeys
    generation: int

    def write(self, node: str, value: bytes) -> None:
        self.voice.ask(Op.WRITE, node, value=value)

    def say(self, stage: str) -> None:
        self.write(self.keys.answer_state, f"{self.generation} {stage}".encode())

    def write_garbage(self, node: str) -> None:
        """A message full of it, 4 KiB; or as much as xenstored's quota lets through."""
        try:
            self.write(node, _GARBAGE[: PAYLOAD_MAX - len(node) - 1])
        except Refused:
            self.write(node, _GARBAGE[:_NODE_BYTES])

    def report(self, frame: bytes) -> None:
        for number, chunk in enumerate(base64_chunks.split(frame), 1):
            self.write(numbered(self.keys.report, number), chunk.encode())

    def finish(self, report: Report, generation: int | None = None) -> None:
        """Every stage in order, with `report`, and libxl's word."""
        for stage in _STAGES:
            if stage == "inserted":
                self.report(encode_report(report, generation or self.generation))
            self.say(stage)
        self.write(self.keys.running, b"running")


_HONEST = Report(
    "linux, real mode",
    (PlacedRange("kernel", GpaRange(Gpa(0x200000), 0x1000), When.NOW, "relocatable"),),
    (),
    _ROM,
    0,
)


def _the_truth(liar: Liar) -> None:
    liar.finish(_HONEST)
    _stay(liar)


def _wrong_generation(liar: Liar) -> None:
    replace(liar, generation=liar.generation + 1).finish(_HONEST)


def _report_of_another(liar: Liar) -> None:
    liar.finish(_HONEST, liar.generation + 1)


def _rom_outside_ram(liar: Liar) -> None:
    liar.finish(replace(_HONEST, rom=GpaRange(Gpa(0x40_0000_0000), 0x800)))


def _image_outside_ram(liar: Liar) -> None:
    outside = PlacedRange("kernel", GpaRange(Gpa(0xFFFF_F000), 0x2000), When.NOW, "relocatable")
    liar.finish(replace(_HONEST, placements=(outside,)))


def _garbage_as_state(liar: Liar) -> None:
    liar.write_garbage(liar.keys.answer_state)
    _stay(liar)


def _garbage_as_report(liar: Liar) -> None:
    liar.write_garbage(numbered(liar.keys.report, 1))
    liar.say("inserted")
    _stay(liar)


def _garbage_as_error(liar: Liar) -> None:
    liar.write_garbage(liar.keys.error)
    liar.say("failed")
    _stay(liar)


def _endless_report(liar: Liar) -> None:
    for number in range(1, 400):
        liar.write(numbered(liar.keys.report, number), b"QUFB" * 100)
    liar.say("inserted")
    _stay(liar)


def _ready_without_a_report(liar: Liar) -> None:
    liar.say("ready")
    liar.write(liar.keys.running, b"running")
    _stay(liar)


def _running_at_once(liar: Liar) -> None:
    liar.write(liar.keys.running, b"running")
    _stay(liar)


def _backwards(liar: Liar) -> None:
    liar.say("placed")
    time.sleep(0.05)  # of two states written together, the watcher sees the last
    liar.say("discovered")
    _stay(liar)


def _flapping(liar: Liar) -> None:
    for stage in itertools.cycle(_STAGES[:4]):
        liar.say(stage)


def _flood(liar: Liar) -> None:
    for number in itertools.count():
        liar.write(f"{liar.keys.device_model}/{number % 500}", b"x")


def _silence(liar: Liar) -> None:
    _stay(liar)


def _death(liar: Liar) -> None:
    liar.say("verified")


@dataclass(frozen=True, slots=True)
class Lie:
    """One lie, and what of the toolstack is expected to end it; None: it is the truth."""

    name: str
    tell: Callable[[Liar], None]
    barrier: Beyond | None


LIES = (
    Lie("the truth", _the_truth, None),
    Lie("wrong generation", _wrong_generation, Beyond.CHECKS),
    Lie("report of another attempt", _report_of_another, Beyond.CHECKS),
    Lie("ROM outside RAM", _rom_outside_ram, Beyond.CHECKS),
    Lie("image outside RAM", _image_outside_ram, Beyond.CHECKS),
    Lie("garbage as state", _garbage_as_state, Beyond.CHECKS),
    Lie("garbage as report", _garbage_as_report, Beyond.CHECKS),
    Lie("garbage as error", _garbage_as_error, Beyond.CHECKS),
    Lie("endless report", _endless_report, Beyond.CHECKS),
    Lie("ready without a report", _ready_without_a_report, Beyond.CHECKS),
    Lie("running at once", _running_at_once, Beyond.DEADLINE),
    Lie("stages backwards", _backwards, Beyond.CHECKS),
    Lie("state flapping", _flapping, Beyond.CHECKS),
    Lie("flood of nodes", _flood, Beyond.CHECKS),
    Lie("silence", _silence, Beyond.DEADLINE),
    Lie("death in mid-way", _death, Beyond.CHECKS),
)
TRUTH = LIES[0]
"""Said in the same way, and it boots: so it is the lie that stops the others."""


def _stay(liar: Liar) -> None:
    """Until xenstored hangs up or the toolstack ends this process."""
    while liar.voice.event(60.0) is not None:
        pass


def _await_offer(voice: Voice, keys: HandoffKeys) -> int:
    voice.ask(Op.WATCH, keys.offer_state, "offer")
    while voice.event(_OFFER_S) is not None:
        try:
            return OfferState.decode(voice.ask(Op.READ, keys.offer_state)).generation
        except Refused:
            continue
    raise HungUp("no offer")


def main() -> None:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("lie", choices=[lie.name for lie in LIES])
    parser.add_argument("-xen-domid", dest="target", type=int, required=True)
    parser.add_argument("--xenstore-fd", type=int, required=True)
    parser.add_argument("--ram-fd", type=int, required=True)
    parser.add_argument("--ram-region", required=True)
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--uid", type=int, required=True)
    parser.add_argument("--sandbox", type=Mode, required=True)
    options = parser.parse_known_args()[0]
    prepared = prepare(
        mode=options.sandbox,
        keep_fds=(options.xenstore_fd, options.ram_fd, 2),
        parent_pid=options.parent,
    )
    voice = Voice(SocketWire(socket.socket(fileno=options.xenstore_fd)))
    confine(
        prepared,
        Profile.DEVICE_MODEL,
        identity=Identity(options.uid, options.uid),
        address_space_bytes=address_space_for(int(options.ram_region.split(":")[1], 0)),
    )
    try:
        stubdom = DomId(int(voice.ask(Op.READ, "domid")))
        keys = HandoffKeys(stubdom, DomId(options.target))
        lie = next(lie for lie in LIES if lie.name == options.lie)
        lie.tell(Liar(voice, keys, _await_offer(voice, keys)))
    except (Refused, HungUp) as end:
        sys.exit(f"{options.lie}: {end}")


if __name__ == "__main__":
    main()
