"""One run of the toolstack under observation: what it said, what its guest said, how it ended."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any

import trio

ROOT = Path(__file__).parents[2]
PROGRAM = (sys.executable, "-m", "tests.faults.impatient")
PATIENT = (sys.executable, "-m", "toolstack")
"""With its own deadlines: what hangs passes those, too, and what is only slow does not."""
LIMIT_S = 60.0
"""Far above the sum of all deadlines of a run: past it, it hangs."""
_DRAIN_S = 5.0
_PIPE_BYTES = 4096
_RAM = re.compile(r"process (\d+), guest RAM is /proc/\1/fd/(\d+)")

OnStage = Callable[[str], Awaitable[None]]


@dataclass(slots=True)
class Seen:
    """A run, finished or not."""

    pid: int = 0
    status: int | None = None
    console: bytes = b""
    events: list[dict[str, Any]] = field(default_factory=list)
    strange: list[str] = field(default_factory=list)
    """lines of standard error that are not of --json"""
    ram_fd: int | None = None
    """guest RAM, if a machine was prepared; whoever reads this closes it"""
    hung: bool = False
    held_open: bool = False
    """somebody kept its standard streams after it had ended"""

    @property
    def stages(self) -> tuple[str, ...]:
        return tuple(event["stage"] for event in self.events if event["event"] == "stage")

    @property
    def failures(self) -> tuple[dict[str, Any], ...]:
        return tuple(event for event in self.events if event["event"] == "failed")

    @property
    def placed(self) -> dict[str, Any]:
        """The last report that was shown."""
        return [event for event in self.events if event["event"] == "placed"][-1]

    @property
    def let_go(self) -> bool:
        return "unpaused" in self.stages

    def close(self) -> None:
        if self.ram_fd is not None:
            os.close(self.ram_fd)
            self.ram_fd = None


@dataclass(frozen=True, slots=True)
class Reader:
    """Who is at the other end of standard output or standard error."""

    full: bool = False
    """a pipe without room"""
    after_s: float = 0.0
    """when it begins to read; inf: never"""
    closed: bool = False
    """it hung up"""
    file: Path | None = None


ATTENTIVE = Reader()


async def run_toolstack(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    seen: Seen,
    on_stage: OnStage,
    *,
    program: Sequence[str] = PROGRAM,
    prefix: Sequence[str] = (),
    out: Reader = ATTENTIVE,
    err: Reader = ATTENTIVE,
    limit_s: float = LIMIT_S,
) -> None:
    """Runs it to its end, or to the limit; fills `seen` meanwhile."""
    argv = [*prefix, *program, *arguments]
    out_read, out_write = _open(out)
    err_read, err_write = _open(err)
    try:
        process = await trio.lowlevel.open_process(
            argv,
            stdin=None,
            stdout=out_write,
            stderr=err_write,
            cwd=ROOT,
            env={**os.environ, **environment},
        )
    finally:
        os.close(out_write)
        os.close(err_write)
    seen.pid = process.pid
    async with trio.open_nursery() as nursery:
        read = [trio.Event(), trio.Event()]
        nursery.start_soon(_read_console, out_read, out, seen, read[0])
        nursery.start_soon(_read_errors, err_read, err, seen, on_stage, read[1])
        with trio.move_on_after(limit_s) as waiting:
            await process.wait()
        if waiting.cancelled_caught:
            seen.hung = True
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
            await process.wait()
        seen.status = process.returncode
        with trio.move_on_after(_DRAIN_S) as draining:
            for reader, done in ((out, read[0]), (err, read[1])):
                if reader.after_s != inf:
                    await done.wait()
        seen.held_open = draining.cancelled_caught
        nursery.cancel_scope.cancel()


def _open(reader: Reader) -> tuple[int | None, int]:
    """The end that is read here, if any, and the program's."""
    if reader.file is not None:
        return None, os.open(reader.file, os.O_WRONLY)
    read, write = os.pipe()
    if reader.closed:
        os.close(read)
        return None, write
    if reader.full:
        fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        os.write(write, b"\n" * _PIPE_BYTES)
    return read, write


async def _portions(fd: int, reader: Reader, take: Callable[[bytes], Awaitable[None]]) -> None:
    async with trio.lowlevel.FdStream(fd) as stream:
        await trio.sleep(reader.after_s)
        skip = _PIPE_BYTES if reader.full else 0
        while data := await stream.receive_some(1 << 16):
            await take(bytes(data[skip:]))
            skip = max(0, skip - len(data))


async def _read_console(fd: int | None, reader: Reader, seen: Seen, done: trio.Event) -> None:
    async def take(data: bytes) -> None:
        seen.console += data

    if fd is not None:
        await _portions(fd, reader, take)
    done.set()


async def _read_errors(
    fd: int | None, reader: Reader, seen: Seen, on_stage: OnStage, done: trio.Event
) -> None:
    rest = b""

    async def take(data: bytes) -> None:
        nonlocal rest
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            try:
                event = json.loads(line)
                seen.events.append(event)
            except ValueError:
                seen.strange.append(line.decode("utf-8", "replace"))
                continue
            if event["event"] == "stage":
                _open_ram(event, seen)
                await on_stage(event["stage"])

    if fd is not None:
        await _portions(fd, reader, take)
    if rest:
        seen.strange.append(rest.decode("utf-8", "replace"))
    done.set()


def _open_ram(event: Mapping[str, Any], seen: Seen) -> None:
    """Keeps guest RAM readable beyond the toolstack's end."""
    if event["stage"] == "paused" and (match := _RAM.search(event["detail"])):
        seen.close()
        with suppress(OSError):  # it was killed meanwhile
            seen.ram_fd = os.open(f"/proc/{match[1]}/fd/{match[2]}", os.O_RDWR)
