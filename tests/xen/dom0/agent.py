"""Answers the host: runs one scenario after the other, each in a process of its own.

The channel is the second serial port; a request and its answer are one line of JSON each.
"""

from __future__ import annotations

import importlib
import json
import os
import select
import signal
import time
import traceback
import tty
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, Final

from tests.xen.dom0.leaks import Residue, clean_up, residue, settled
from tests.xen.protocol import Answer, Outcome, Request, decode_request, encode_answer, hello

CHANNEL: Final = "/dev/ttyS1"
_LOG_BYTES: Final = 3000


def main() -> None:
    channel = open(CHANNEL, "r+b", buffering=0)  # noqa: SIM115  open for the agent's whole life
    tty.setraw(channel)
    before = residue()
    _send(channel, hello())
    while request := _request(channel):
        answer = _answer(request, before)
        _send(channel, encode_answer(answer))


def _request(channel: BinaryIO) -> Request | None:
    """The next one, None where the host wants no more."""
    line = bytearray()
    while not line.endswith(b"\n"):
        line += channel.read(1)
    return decode_request(bytes(line)) if line.strip() else None


def _send(channel: BinaryIO, line: bytes) -> None:
    sent = 0
    while sent < len(line):
        sent += channel.write(line[sent:]) or 0


def _answer(request: Request, before: Residue) -> Answer:
    print(f"bed: {time.monotonic():.2f} scenario {request.scenario} {dict(request.arguments)}")
    started = time.monotonic()
    outcome, facts, reason = _in_a_child(request)
    took_s = time.monotonic() - started
    left = settled(before).beyond(before)
    if outcome is not Outcome.DONE:
        _show_logs()
    if left:
        clean_up(before)
    print(f"bed: {time.monotonic():.2f} scenario {request.scenario}: {outcome} {reason} {left}")
    return Answer(request.number, outcome, facts, reason, left, took_s)


def _show_logs() -> None:
    """On the console: ends of what guests, their QEMUs and xl wrote."""
    for path in (*Path("/run").glob("*.serial"), *Path("/var/log/xen").iterdir()):
        print(f"bed: {path} ends with")
        print(path.read_text("latin-1")[-_LOG_BYTES:].strip())


def _in_a_child(request: Request) -> tuple[Outcome, Any, str]:
    """What the scenario returned, or why it did not."""
    reader, writer = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(reader)
        # Whatever it started can be ended with it.
        os.setsid()
        _play(request.scenario, request.arguments, writer)
    os.close(writer)
    try:
        said = _read_until(reader, time.monotonic() + request.deadline_s)
    finally:
        os.close(reader)
        _end(pid)
    if said is None:
        return Outcome.LATE, None, f"not done within {request.deadline_s:g} s"
    if not said:
        return Outcome.FAILED, None, "the scenario's process died: see the console"
    kind, content = json.loads(said)
    if kind == Outcome.DONE:
        return Outcome.DONE, content, ""
    return Outcome.FAILED, None, content


def _play(scenario: str, arguments: Mapping[str, Any], writer: int) -> None:
    try:
        try:
            module, _, function = scenario.rpartition(".")
            play = getattr(importlib.import_module(module), function)
            said = json.dumps([Outcome.DONE, play(**arguments)])
        except BaseException:
            said = json.dumps([Outcome.FAILED, traceback.format_exc()])
        with os.fdopen(writer, "w") as result:
            result.write(said)
    finally:
        os._exit(0)


def _read_until(reader: int, deadline: float) -> bytes | None:
    """All that is written, None at the deadline. What else holds the pipe is not waited for."""
    said = bytearray()
    while True:
        ready, _, _ = select.select([reader], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            return None
        chunk = os.read(reader, 1 << 16)
        if not chunk:
            return bytes(said)
        said += chunk


def _end(pid: int) -> None:
    """Ends the scenario's process and all of its group that is left."""
    for who in (os.kill, os.killpg):
        try:
            who(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    os.waitpid(pid, 0)


if __name__ == "__main__":
    main()
