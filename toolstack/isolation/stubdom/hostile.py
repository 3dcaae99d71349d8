"""A device model that does its worst on a real Xen: `... --isolation ORDER`.

It is started as the real one is, with the same arguments and descriptors. What came of each attempt
it tells on standard error, which in a stub domain is the console.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import signal
import socket
import sys
from collections.abc import Iterable
from typing import Any

from handoff.confinement import ConfinementError, Identity, Mode, Profile, confine, prepare
from toolstack.isolation.attempt import Stopped
from toolstack.isolation.stubdom.attempt import Attempt, Group
from toolstack.isolation.stubdom.attempts import ATTEMPTS
from toolstack.isolation.stubdom.device_wire import DeviceWire, is_device
from toolstack.isolation.stubdom.hands import Hands
from toolstack.isolation.stubdom.modules import load_again_without_limit, load_what_is_there
from toolstack.isolation.stubdom.order import OPTION, WORD, Order, Place, Whom
from toolstack.isolation.stubdom.privcmd import Privcmd
from toolstack.isolation.voice import HungUp, Refused, Voice
from toolstack.isolation.wire import SocketWire, Wire
from xenstore_sim.wire.ops import Op

ATTEMPT_S = 20
"""On an emulated processor most take some milliseconds."""
RELOADED = "reloaded"


class _Late(Exception):
    """An attempt took longer than ATTEMPT_S seconds."""


def main() -> None:
    options = _options(sys.argv[1:])
    order = Order.decode(options.isolation)
    signal.signal(signal.SIGALRM, _late)
    match order.place:
        case Place.STUB_DOMAIN | Place.XEN_ALONE:
            _in_a_stub_domain(order)
        case Place.PROCESS:
            _confined(order, options)
        case Place.CONTROL:
            voice = Voice(_wire(options))
            _round(ATTEMPTS, Place.CONTROL, Hands(order, order.stubdom, Privcmd(), voice))
    _tell("end")


def _in_a_stub_domain(order: Order) -> None:
    load_what_is_there("xen-evtchn", "xen-gntdev")
    voice = Voice(DeviceWire.open())
    stubdom = int(voice.ask(Op.READ, "domid"))
    _await_offer(voice, stubdom)
    privcmd = Privcmd()
    _round(ATTEMPTS, Place.STUB_DOMAIN, Hands(order, stubdom, privcmd, voice))
    privcmd.close()
    try:
        load_again_without_limit()
    except OSError as error:
        _tell(RELOADED, through=False, what=_name(error))
        return
    _tell(RELOADED, through=True, what="done")
    # xenstored and Linux's other devices ask nobody whether privcmd has a limit.
    by_hypercall = [attempt for attempt in ATTEMPTS if attempt.group is not Group.XENSTORE]
    _round(by_hypercall, Place.XEN_ALONE, Hands(order, stubdom, Privcmd(), voice))


def _await_offer(voice: Voice, stubdom: int) -> None:
    """As a device model waits for images; by then all is put up that there is to reach for."""
    node = f"/local/domain/{stubdom}/direct-boot/state"
    voice.ask(Op.WATCH, node, "offer")
    while True:
        try:
            voice.ask(Op.READ, node)
        except Refused:
            voice.event(ATTEMPT_S)
        else:
            break
    voice.ask(Op.UNWATCH, node, "offer")


def _confined(order: Order, options: argparse.Namespace) -> None:
    """As the device model of dom0 confines itself."""
    fds = [int(word) for word in options.xenstore_fd.split(",")]
    privcmd = Privcmd()
    privcmd.restrict(order.target)
    prepared = prepare(
        mode=options.sandbox, keep_fds=(*fds, privcmd.fd, 2), parent_pid=options.parent
    )
    try:
        confine(prepared, Profile.XEN_DEVICE_MODEL, identity=Identity(options.uid, options.uid))
    except ConfinementError as error:
        _tell("error", what=str(error))
        sys.exit(1)
    # Its connection is dom0's, whom xenstored refuses nothing.
    elsewhere = [attempt for attempt in ATTEMPTS if attempt.group is not Group.XENSTORE]
    _round(elsewhere, Place.PROCESS, Hands(order, order.stubdom, privcmd, Voice(_wire(options))))


def _wire(options: argparse.Namespace) -> Wire:
    fd = int(options.xenstore_fd)
    return DeviceWire(fd) if is_device(fd) else SocketWire(socket.socket(fileno=fd))


def _options(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument(OPTION, required=True, dest="isolation")
    parser.add_argument("--xenstore-fd")
    parser.add_argument("--parent", type=int)
    parser.add_argument("--uid", type=int)
    parser.add_argument("--sandbox", type=Mode)
    return parser.parse_known_args(words)[0]


def _round(attempts: Iterable[Attempt], place: Place, hands: Hands) -> None:
    for attempt in attempts:
        found = {whom.value: _result(attempt, hands, whom) for whom in _made_on(attempt, place)}
        _tell("result", name=attempt.name, place=place.value, of=found)


def _made_on(attempt: Attempt, place: Place) -> tuple[Whom, ...]:
    """A trial run shows that an attempt works, on the one who is there to be attacked."""
    if place is not Place.CONTROL:
        return attempt.of
    if attempt.unproven:
        return ()
    return (Whom.BYSTANDER,) if Whom.BYSTANDER in attempt.of else attempt.of


def _result(attempt: Attempt, hands: Hands, whom: Whom) -> dict[str, Any]:
    if not attempt.alone or hands.order.place is Place.PROCESS:
        return _made(attempt, hands, whom)
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(writer, json.dumps(_made(attempt, hands, whom)).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        said = pipe.read()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if said:
        result: dict[str, Any] = json.loads(said)
        return result
    how = signal.Signals(-status).name if status < 0 else f"ended with {status}"
    return {"through": False, "what": how}


def _made(attempt: Attempt, hands: Hands, whom: Whom) -> dict[str, Any]:
    # A confined process is not left the call; who waits for it has a deadline of its own.
    timed = hands.order.place is not Place.PROCESS
    if timed:
        signal.alarm(ATTEMPT_S)
    try:
        return {"through": True, "what": attempt.make(hands, whom)}
    except OSError as error:
        return {"through": False, "what": _name(error)}
    except Refused as refused:
        return {"through": False, "what": refused.errno}
    except Stopped as stopped:
        return {"through": False, "what": str(stopped)}
    except HungUp as end:
        return {"through": False, "what": str(end), "hung": True}
    except _Late:
        return {"through": False, "what": f"hung for {ATTEMPT_S} s", "hung": True}
    finally:
        if timed:
            signal.alarm(0)


def _late(number: int, frame: object) -> None:
    raise _Late


def _name(error: OSError) -> str:
    return errno.errorcode.get(error.errno or 0, str(error))


def _tell(kind: str, **words: object) -> None:
    os.write(2, f"{WORD}{json.dumps({'kind': kind} | words)}\n".encode())


if __name__ == "__main__":
    main()
