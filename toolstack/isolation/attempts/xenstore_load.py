"""Attempts to use xenstored up, or to break it for others."""

from __future__ import annotations

from contextlib import suppress

from toolstack.isolation.attempt import Attempt, Stopped
from toolstack.isolation.position import Position
from toolstack.isolation.promises import Beyond, Promise
from toolstack.isolation.voice import HungUp, Refused
from xenstore_sim.wire.layout import HEADER, PAYLOAD_MAX, encode_packet
from xenstore_sim.wire.ops import Op
from xenstore_sim.wire.strings import terminated

_NODES = 1200
_WATCHES = 300
_TRANSACTIONS = 30
_VALUE_BYTES = 3900
_REQUESTS = 20_000
_BATCH = 20


def _below(position: Position) -> str:
    around = position.around
    return f"/local/domain/{around.stubdom}/device-model/{around.target}"


def exhaust_nodes(position: Position) -> str:
    voice, directory = position.xenstore, f"{_below(position)}/many"
    try:
        for number in range(_NODES):
            voice.ask(Op.WRITE, f"{directory}/{number}", value=b"x")
    finally:
        voice.ask(Op.RM, directory)
    return f"{_NODES} nodes"


def exhaust_node_size(position: Position) -> str:
    voice, node = position.xenstore, f"{_below(position)}/large"
    try:
        voice.ask(Op.WRITE, node, value=bytes(_VALUE_BYTES))
    finally:
        with suppress(Refused):
            voice.ask(Op.RM, node)
    return f"{_VALUE_BYTES} bytes"


def exhaust_watches(position: Position) -> str:
    voice, made = position.xenstore, 0
    try:
        for number in range(_WATCHES):
            voice.ask(Op.WATCH, _below(position), f"many-{number}")
            made += 1
    finally:
        for number in range(made):
            voice.ask(Op.UNWATCH, _below(position), f"many-{number}")
    return f"{_WATCHES} watches"


def exhaust_transactions(position: Position) -> str:
    voice = position.xenstore
    open_ones: list[int] = []
    try:
        open_ones.extend(
            int(voice.ask(Op.TRANSACTION_START, "").rstrip(b"\0")) for _ in range(_TRANSACTIONS)
        )
    finally:
        for tx in open_ones:
            voice.ask(Op.TRANSACTION_END, "F", tx=tx)
    return f"{_TRANSACTIONS} transactions"


def exhaust_permissions(position: Position) -> str:
    voice, node = position.xenstore, f"{_below(position)}/perms"
    voice.ask(Op.MKDIR, node)
    try:
        own = position.around.stubdom
        voice.ask(Op.SET_PERMS, node, f"n{own}", *(f"r{domid}" for domid in range(1, 40)))
    finally:
        voice.ask(Op.RM, node)
    return "40 entries"


def flood_with_requests(position: Position) -> str:
    """Requests without end whose answers nobody reads: they must not pile up, nor starve others."""
    request = encode_packet(Op.DIRECTORY, 1, 0, terminated("/local/domain"))
    sent = 0
    try:
        for _ in range(_REQUESTS // _BATCH):
            position.xenstore.send(request * _BATCH)
            sent += _BATCH
    except HungUp as end:
        raise Stopped(f"reads no more after {sent}, others are served") from end
    return f"{sent} requests unread"


def _hung_up_on(position: Position, data: bytes) -> str:
    try:
        position.xenstore.send(data)
        position.xenstore.ask(Op.DIRECTORY, "/local/domain")
    except HungUp as end:
        raise Stopped("connection ended, others are served") from end
    return "still served"


def announce_too_much(position: Position) -> str:
    return _hung_up_on(position, HEADER.pack(Op.READ, 1, 0, PAYLOAD_MAX + 1))


def announce_four_gigabytes(position: Position) -> str:
    return _hung_up_on(position, HEADER.pack(Op.READ, 1, 0, 0xFFFF_FFFF))


def send_garbage(position: Position) -> str:
    return _hung_up_on(position, b"\xff" * 8192)


def send_half_a_message(position: Position) -> str:
    position.xenstore.send(HEADER.pack(Op.READ, 1, 0, 100)[:10])
    if position.xenstore.event(0.2) is None:
        raise Stopped("waits for the rest, others are served")
    return "answered"


def ask_what_is_not(position: Position) -> str:
    position.xenstore.ask(Op.ERROR, "/")
    return "answered"


def name_a_bad_path(position: Position) -> str:
    voice = position.xenstore
    for path in ("//", "/../../etc", "/local/domain/\x01", "/" + "x" * 3500):
        try:
            voice.ask(Op.WRITE, path, value=b"x")
        except Refused:
            continue
        voice.ask(Op.RM, path)
        return f"wrote {path[:20]!r}"
    raise Stopped("EINVAL")


_SERVED, _BOUNDS = Promise.OTHERS_SERVED, Promise.RESOURCES
_DOM0_TOO = "a malformed message ends the connection of whoever sends it, dom0's as well"

ATTEMPTS = (
    Attempt("exhaust nodes", _BOUNDS, Beyond.QUOTAS, exhaust_nodes),
    Attempt("exhaust a node's size", _BOUNDS, Beyond.QUOTAS, exhaust_node_size),
    Attempt("exhaust watches", _BOUNDS, Beyond.QUOTAS, exhaust_watches),
    Attempt("exhaust transactions", _BOUNDS, Beyond.QUOTAS, exhaust_transactions),
    Attempt("exhaust a node's permissions", _BOUNDS, Beyond.QUOTAS, exhaust_permissions),
    Attempt("name a bad path", _BOUNDS, Beyond.WIRE, name_a_bad_path),
    Attempt(
        "ask for what is no request", _SERVED, Beyond.WIRE, ask_what_is_not, unproven=_DOM0_TOO
    ),
    Attempt(
        "flood with requests",
        _SERVED,
        Beyond.QUOTAS,
        flood_with_requests,
        alone=True,
        unproven="answers that are not read are bounded for everyone",
    ),
    Attempt(
        "announce a payload too long",
        _SERVED,
        Beyond.WIRE,
        announce_too_much,
        alone=True,
        unproven=_DOM0_TOO,
    ),
    Attempt(
        "announce 4 GiB",
        _SERVED,
        Beyond.WIRE,
        announce_four_gigabytes,
        alone=True,
        unproven=_DOM0_TOO,
    ),
    Attempt("send garbage", _SERVED, Beyond.WIRE, send_garbage, alone=True, unproven=_DOM0_TOO),
    Attempt(
        "send half a message",
        _SERVED,
        Beyond.WIRE,
        send_half_a_message,
        alone=True,
        unproven="half a message gives nobody an answer",
    ),
)
