"""The guest's serial console: every byte to standard output or a file, and what it last said."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

import trio

from handoff.errors import ConfigError, printable

_CHUNK = 16 * 1024
_TAIL_BYTES = 400


@dataclass(slots=True)
class Console:
    """Where the guest's words go. A reader that hangs up loses them, the guest does not."""

    fd: int
    empty_first: bool = False
    """what the file held is thrown away when a guest runs, and not before"""
    spoke: trio.Event = field(default_factory=trio.Event)
    """set with the first byte"""
    passed_on: int = 0
    """bytes written so far"""
    tail: bytes = b""
    """the last bytes, for the message when the guest does not end"""
    broken: bool = False

    async def relay(self, stream: trio.abc.ReceiveStream) -> None:
        """Passes `stream` on until it ends."""
        if self.empty_first and stat.S_ISREG(os.fstat(self.fd).st_mode):
            os.ftruncate(self.fd, 0)
        try:
            while data := await stream.receive_some(_CHUNK):
                self.spoke.set()
                self.tail = (self.tail + bytes(data))[-_TAIL_BYTES:]
                await self._write(data)
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            return

    async def _write(self, data: bytes | bytearray) -> None:
        # In a thread: standard output may be a pipe whose reader sleeps, and making it
        # non-blocking would change it for everybody else who has it open.
        while data and not self.broken:
            try:
                count = await trio.to_thread.run_sync(
                    os.write, self.fd, data, abandon_on_cancel=True
                )
            except BlockingIOError:
                # Somebody who has it open, too, made it non-blocking.
                await trio.lowlevel.wait_writable(self.fd)
                continue
            except OSError:
                self.broken = True
                return
            self.passed_on += count
            data = data[count:]

    def last_line(self) -> str:
        """The guest's last line with text, printable; empty if it never spoke."""
        lines = [line.strip() for line in self.tail.decode("utf-8", "replace").splitlines()]
        return printable(next((line for line in reversed(lines) if line), ""), 120)


def open_serial_file(path: Path) -> int:
    """The file that `serial="file:PATH"` names, open for writing. Raises: ConfigError, also
    for a pipe that nobody reads."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o644)
    except OSError as error:
        raise ConfigError(
            f"serial: file {path} cannot be written ({error.strerror}): name another"
        ) from error
