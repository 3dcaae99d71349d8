"""Runs the `toolstack` program as a user does, and looks for what it leaves behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RUN_LIMIT_S = 120
CHILDREN = (
    *(b"devicemodel", b"device_model", b"toolstack.isolation"),
    *(b"toolstack.machine.emulator", b"qemu-system"),
)
"""What the command lines of a toolstack's children have in them."""


@dataclass(frozen=True)
class Run:
    """One finished run of the program."""

    status: int
    console: str
    """standard output: the guest's serial console"""
    errors: str
    """standard error: stages, warnings, the error line"""
    pid: int

    def events(self, kind: str) -> list[dict[str, Any]]:
        """JSON objects of `--json` whose event is `kind`."""
        objects = [json.loads(line) for line in self.errors.splitlines()]
        return [entry for entry in objects if entry["event"] == kind]


def toolstack(runtime: Path, *arguments: str, limit: float = RUN_LIMIT_S) -> Run:
    """`toolstack ARGUMENTS` with `runtime` for its run directories."""
    process = start(runtime, *arguments)
    try:
        out, err = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=20)
        raise AssertionError(f"still running after {limit} s: {out!r} {err!r}") from None
    return Run(process.returncode, text(out), text(err), process.pid)


def toolstack_until(runtime: Path, words: str, *arguments: str, limit: float = RUN_LIMIT_S) -> Run:
    """The same for a guest that never ends: stopped once its console has shown `words`.

    Raises: AssertionError if it ends, or `limit` seconds pass, before it has."""
    process = start(runtime, *arguments)
    assert process.stdout is not None
    deadline = threading.Timer(limit, process.send_signal, (signal.SIGTERM,))
    deadline.start()
    try:
        seen = b""
        while words not in text(seen) and (more := os.read(process.stdout.fileno(), 4096)):
            seen += more
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=20)
    finally:
        deadline.cancel()
    console = text(seen + out)
    assert words in console, f"{console!r} {err!r}"
    return Run(process.returncode, console, text(err), process.pid)


def start(runtime: Path, *arguments: str) -> subprocess.Popen[bytes]:
    """The same, not waited for."""
    return subprocess.Popen(
        [sys.executable, "-m", "toolstack", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "XDG_RUNTIME_DIR": str(runtime)},
    )


def text(data: bytes) -> str:
    return data.decode("utf-8", "replace").replace("\r\n", "\n")


def left_behind(runtime: Path, toolstack_pid: int) -> Sequence[str]:
    """Run directories below `runtime`, and processes that name this toolstack as parent: device
    model, emulator and QEMU's launcher each do, in their own way."""
    found = [str(path) for path in runtime.glob("*/*")]
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if not any(name in word for word in words for name in CHILDREN):
            continue  # some other program with that number among its words
        named = b"%d" % toolstack_pid
        if any(word == named or b'"parent": %s,' % named in word for word in words):
            found.append(f"process {entry.name}: {words[:4]}")
    return found


def write_config(path: Path, **settings: object) -> Path:
    """An xl.cfg with `settings` and what every guest here has."""
    base: dict[str, object] = {
        "name": "e2e",
        "type": "hvm",
        "memory": 512,
        "device_model_version": "qemu-xen",
        "device_model_stubdomain_override": 1,
    }
    lines = [f"{key} = {_value(value)}" for key, value in {**base, **settings}.items()]
    path.write_text("\n".join(lines) + "\n")
    return path


def _value(value: object) -> str:
    return str(value) if isinstance(value, int) else json.dumps(str(value))
