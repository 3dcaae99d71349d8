"""What a program printed, and when: one run with a deadline and a bound on its output."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import trio

OUTPUT_MAX_BYTES = 1 << 20
GRACE_S = 5.0
"""From the signal that asks a program to end to the one that does not ask."""


class RunFailed(Exception):
    """A run that gave no measurement; the text says which program, why and its last words."""


@dataclass(frozen=True, slots=True)
class Line:
    seconds: float
    """from just before the program was started to the arrival of the line's end"""
    text: str


@dataclass(slots=True)
class Stream:
    """One of the program's output streams, as it arrived."""

    first_byte_s: float | None = None
    lines: list[Line] = field(default_factory=list)

    def first(self, text: str) -> Line | None:
        """The first line that is `text`, whatever kernel or console put around it."""
        return next((line for line in self.lines if text in line.text), None)


@dataclass(frozen=True, slots=True)
class Timeline:
    """A program that ran and exited with status 0."""

    out: Stream
    errors: Stream


async def run(command: Sequence[str], environment: Mapping[str, str], limit_s: float) -> Timeline:
    """Runs `command` to its end; nothing of it runs afterwards.

    limit_s: longest run, seconds. Raises: RunFailed.
    """
    out, errors = Stream(), Stream()
    start = trio.current_time()
    process = await trio.lowlevel.open_process(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=dict(environment),
        start_new_session=True,
    )
    try:
        with trio.move_on_after(limit_s) as scope:
            async with trio.open_nursery() as nursery:
                assert process.stdout is not None
                assert process.stderr is not None
                nursery.start_soon(_collect, process.stdout, out, start)
                nursery.start_soon(_collect, process.stderr, errors, start)
            await process.wait()
    finally:
        await _end(process)
    if scope.cancelled_caught:
        raise RunFailed(f"{command[0]} still ran after {limit_s:g} s{_last_words(out, errors)}")
    if process.returncode != 0:
        raise RunFailed(
            f"{command[0]} ended with status {process.returncode}{_last_words(out, errors)}"
        )
    return Timeline(out, errors)


async def _collect(pipe: trio.abc.ReceiveStream, stream: Stream, start: float) -> None:
    """Reads to the end; what is beyond OUTPUT_MAX_BYTES is read and dropped."""
    left, rest = OUTPUT_MAX_BYTES, b""
    async with pipe:
        while data := await pipe.receive_some(65536):
            now = trio.current_time() - start
            if stream.first_byte_s is None:
                stream.first_byte_s = now
            *ended, rest = (rest + data[:left]).split(b"\n")
            left -= min(left, len(data))
            stream.lines += [Line(now, line.decode("utf-8", "replace")) for line in ended]


async def _end(process: trio.Process) -> None:
    """Asks the program's process group to end, makes it, and reaps the program."""
    with trio.CancelScope(shield=True):
        for number in (signal.SIGTERM, signal.SIGKILL):
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, number)
                with trio.move_on_after(GRACE_S):
                    await process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                await trio.aclose_forcefully(pipe)


def _last_words(out: Stream, errors: Stream) -> str:
    words = [stream.lines[-1].text.strip()[:300] for stream in (out, errors) if stream.lines]
    return "; it printed last: " + " | ".join(words) if words else ", without a word"
