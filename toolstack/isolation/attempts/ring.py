"""Attempts on xenstored through the page and the doorbells of a ring."""

from __future__ import annotations

import fcntl
import os
import struct
import time
from collections.abc import Callable
from contextlib import suppress

from toolstack.isolation.attempt import Attempt, Stopped
from toolstack.isolation.attempts.calls import call
from toolstack.isolation.position import Position
from toolstack.isolation.promises import Beyond, Promise
from toolstack.isolation.voice import HungUp
from toolstack.isolation.wire import RingWire
from xenstore_sim.ring.page import ConnectionState, Field
from xenstore_sim.wire.layout import HEADER, encode_packet
from xenstore_sim.wire.ops import Op
from xenstore_sim.wire.strings import terminated

_PAGE = 4096
_FAR = 5000
_WORRY_S = 0.3
_UNHEARD = 1000
"""Rings of its doorbell that it leaves there: a socket holds fewer."""
_FULL_COUNTER = struct.pack("=Q", 2**64 - 2)

_ftruncate = call("ftruncate", 77, 46)


def _ring(position: Position) -> RingWire:
    assert position.ring is not None
    return position.ring


def _still_served(position: Position) -> str:
    """Raises: Stopped if its own ring is at an end."""
    try:
        position.xenstore.ask(Op.DIRECTORY, "/local/domain")
    except HungUp as end:
        raise Stopped("ring ended, others are served") from end
    return "still served"


def shrink_the_page(position: Position) -> str:
    _ftruncate(_ring(position).page, 0)
    return "no page"


def grow_the_page(position: Position) -> str:
    os.pwrite(_ring(position).page, b"x", _PAGE)
    return "a byte more"


def run_ahead_with_requests(position: Position) -> str:
    ring = _ring(position)
    ring.fields[Field.REQ_PROD] = (ring.fields[Field.REQ_CONS] + _FAR) % 2**32
    ring.ring()
    return _still_served(position)


def run_ahead_with_answers(position: Position) -> str:
    ring = _ring(position)
    ring.fields[Field.RSP_CONS] = (ring.fields[Field.RSP_PROD] + _FAR) % 2**32
    ring.ring()
    return _still_served(position)


def write_the_other_ends_indexes(position: Position) -> str:
    """Again and again, while xenstored works with them."""
    ring, until = _ring(position), time.monotonic() + _WORRY_S
    number = 0
    while time.monotonic() < until:
        number += 1
        for field in (Field.REQ_CONS, Field.REQ_PROD, Field.RSP_CONS, Field.RSP_PROD):
            ring.fields[field] = number * 977 % 1024
        ring.ring()
    return _still_served(position)


def fill_the_ring_with_garbage(position: Position) -> str:
    ring = _ring(position)
    ring.requests[:] = b"\xff" * len(ring.requests)
    ring.fields[Field.REQ_PROD] = (ring.fields[Field.REQ_CONS] + len(ring.requests)) % 2**32
    ring.ring()
    return _still_served(position)


def change_a_message_under_way(position: Position) -> str:
    """A header that announces little, and much by the time its payload is read."""
    ring, until = _ring(position), time.monotonic() + _WORRY_S
    sizes = (HEADER.pack(Op.READ, 1, 0, 2), HEADER.pack(Op.READ, 1, 0, 0xFFFF_FFFF))
    while time.monotonic() < until and not ring.fields[Field.ERROR]:
        for header in sizes:
            ring.requests[: len(header)] = header
            ring.fields[Field.REQ_PROD] = (ring.fields[Field.REQ_CONS] + 18) % 2**32
            ring.ring()
    return _still_served(position)


def ring_without_end(position: Position) -> str:
    ring, until = _ring(position), time.monotonic() + _WORRY_S
    rung = 0
    while time.monotonic() < until:
        with suppress(BlockingIOError):
            ring.ring()
        rung += 1
    raise Stopped(f"rung {rung // 1000},000 times, others are served")


def block_xenstored_at_a_doorbell(position: Position) -> str:
    """Both full, and told to wait for room: whose flags are these?"""
    ring = _ring(position)
    _wait_for_room(ring.to_client)
    request = encode_packet(Op.DIRECTORY, 1, 0, terminated("/local/domain"))
    until = time.monotonic() + 2 * _WORRY_S
    for _ in range(_UNHEARD):
        rest = request
        while (rest := rest[ring.put(rest) :]) and time.monotonic() < until:
            ring.fields[Field.RSP_CONS] = ring.fields[Field.RSP_PROD]
            time.sleep(0)
    with suppress(BlockingIOError):
        os.read(ring.to_server, len(_FULL_COUNTER))
    os.write(ring.to_server, _FULL_COUNTER)
    _wait_for_room(ring.to_server)
    raise Stopped("others are served")


def _wait_for_room(fd: int) -> None:
    flags = fcntl.fcntl(fd, fcntl.F_GETFL)
    fcntl.fcntl(fd, fcntl.F_SETFL, flags & ~os.O_NONBLOCK)


def ask_for_a_new_connection(position: Position) -> str:
    ring = _ring(position)
    ring.fields[Field.CONNECTION] = ConnectionState.RECONNECT
    ring.ring()
    time.sleep(_WORRY_S)
    if ring.fields[Field.CONNECTION]:
        raise Stopped("not offered, no answer")
    return "connection made anew"


_SERVED = Promise.OTHERS_SERVED
_ITS_OWN = "what is spoiled is its own ring, whoever has one"
_SEALED = "xenstored seals the page before it hands it out"


def _attempt(name: str, make: Callable[[Position], str], barrier: Beyond = Beyond.WIRE) -> Attempt:
    reason = _SEALED if barrier is Beyond.SEALS else _ITS_OWN
    return Attempt(name, _SERVED, barrier, make, alone=True, unproven=reason)


ATTEMPTS = (
    _attempt("shrink the ring's page", shrink_the_page, Beyond.SEALS),
    _attempt("grow the ring's page", grow_the_page, Beyond.SEALS),
    _attempt("run ahead with requests", run_ahead_with_requests),
    _attempt("run ahead with answers", run_ahead_with_answers),
    _attempt("write the other end's indexes", write_the_other_ends_indexes),
    _attempt("fill the ring with garbage", fill_the_ring_with_garbage),
    _attempt("change a message under way", change_a_message_under_way),
    _attempt("ring without end", ring_without_end),
    _attempt("block xenstored at a doorbell", block_xenstored_at_a_doorbell),
    _attempt("ask for a new connection", ask_for_a_new_connection),
)
