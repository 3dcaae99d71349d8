"""`toolstack create` as an operator starts it: its own process, watched while it works.

Its text goes to the bed's console.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Self

LIMIT_S: Final = 540.0
CREATE: Final = (
    *("toolstack", "create", "--machine", "xen", "--verbose"),
    # A processor that is emulated takes its time.
    *("--stage-timeout", "240", "--silence", "300", "--timeout", "400"),
)
_POLL_S: Final = 0.2


class CreateProcess:
    """One that was started; a context, at whose end it has ended."""

    def __init__(self, config: Path, *options: str) -> None:
        self._told = config.with_suffix(".json")
        self._told.unlink(missing_ok=True)
        self._process = subprocess.Popen(
            (*CREATE, str(config), "--json-file", str(self._told), *options),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
        )
        self._said = bytearray()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if not self.over:
            self._process.kill()
        self._process.wait(LIMIT_S)
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        while data := os.read(self._process.stdout.fileno(), 4096):
            self._said += data

    @property
    def told(self) -> list[dict[str, Any]]:
        """What it told so far, but for a line it is writing."""
        text = self._told.read_text() if self._told.exists() else ""
        return [json.loads(line) for line in text.split("\n")[:-1]]

    @property
    def console(self) -> str:
        """What the guest said so far."""
        return self._said.decode("utf-8", "replace")

    @property
    def over(self) -> bool:
        return self._process.poll() is not None

    def wait_for_stage(self, stage: str) -> None:
        """Until it has told of this stage, or has ended."""
        self.wait_until(lambda: any(each.get("stage") == stage for each in self.told))

    def wait_until(self, happened: Callable[[], bool]) -> None:
        """Or until all is over."""
        deadline = time.monotonic() + LIMIT_S
        while not happened() and not self.over and time.monotonic() < deadline:
            time.sleep(_POLL_S)

    def kill(self) -> None:
        """By SIGKILL. Raises: RuntimeError if it had ended before."""
        self._process.kill()
        if self._process.wait(LIMIT_S) != -signal.SIGKILL:
            raise RuntimeError(f"it ended by itself: {self.told[-1:]}")

    def interrupt(self) -> None:
        """As an operator does at a terminal."""
        self._process.send_signal(signal.SIGINT)

    def ended(self) -> dict[str, Any]:
        """Its exit status, what the guest said, and what it told."""
        status = self._process.wait(LIMIT_S)
        self._reader.join()
        return {"status": status, "console": self.console.splitlines(), "told": self.told}


def create(config: Path, *options: str) -> dict[str, Any]:
    """How one ended, what the guest said, and what it told."""
    with CreateProcess(config, *options) as process:
        return process.ended()
