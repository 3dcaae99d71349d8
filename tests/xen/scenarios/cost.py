"""What a boot takes, by parts: libxl's own direct boot, and our handoff, of the same guest."""

from __future__ import annotations

import json
import os
import re
import subprocess
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Any, Final

from tests.xen.dom0.xen_console import messages
from tests.xen.guest import USER_SPACE, with_ballast
from tests.xen.scenarios import handoff, hvm, stubdom

TIMEOUT_S: Final = 900.0
_DOMAIN: Final = re.compile(r"is domain (\d+)")


def of_libxl(ballast_kib: int, memory_mib: int) -> dict[str, float]:
    """Seconds from `xl create` to each point."""
    said = hvm.boots_by_libxl("cost", ballast_kib, memory_mib)
    return {name: float(at) for name, at in said["seconds"].items()}


def of_handoff(
    ballast_kib: int, memory_mib: int, in_a_stub_domain: bool = False
) -> dict[str, float]:
    """Seconds from the start of `toolstack create` to each point."""
    image = Path("/run/cost.img")
    image.write_bytes(with_ballast(hvm.RAMDISK.read_bytes(), os.urandom(ballast_kib << 10)))
    more: dict[str, object] = {"memory": memory_mib}
    if in_a_stub_domain:
        more |= stubdom.keys()
    path = handoff.config("cost", f"{hvm.QUIET} token=cost", image, **more)
    try:
        started_s, console, told = _timed(path)
    finally:
        image.unlink()
    return _points(started_s, console, told)


Timed = list[tuple[float, str]]
"""Lines, each with the time at which it came."""


def _timed(path: Path) -> tuple[float, Timed, Timed]:
    """When the toolstack started, what the guest said, what the toolstack said."""
    started_s = time.monotonic()
    console: Timed = []
    told: Timed = []
    with subprocess.Popen(
        ("toolstack", "create", str(path), "--machine", "xen", "--json", "--tries", "1",
         "--stage-timeout", str(TIMEOUT_S), "--silence", str(TIMEOUT_S)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    ) as toolstack:  # fmt: skip
        assert toolstack.stdout is not None
        assert toolstack.stderr is not None
        reader = threading.Thread(target=_collect, args=(toolstack.stderr, told))
        reader.start()
        _collect(toolstack.stdout, console)
        reader.join()
        status = toolstack.wait(TIMEOUT_S)
    assert status == 0, told[-3:]
    return started_s, console, told


def _collect(lines: IO[str], into: Timed) -> None:
    for line in lines:
        into.append((time.monotonic(), line.rstrip()))


def _points(started_s: float, console: Timed, told: Timed) -> dict[str, float]:
    steps = [(at, json.loads(line)) for at, line in told if line.startswith("{")]
    reached = {each.get("stage"): at for at, each in steps if each["event"] == "stage"}
    (domid,) = {found for found in map(_domid, steps) if found is not None}
    firmware = [each for each in messages() if each.who == f"d{domid}" and each.at_s > started_s]
    user_space_s, uptime_s = _user_space(console)
    points = {
        "domain built": reached["created"],
        "images in RAM": reached["published"],
        "created": reached["unpaused"],
        "firmware starts": firmware[0].at_s,
        "firmware ends": firmware[-1].at_s,
        "kernel starts": user_space_s - uptime_s,
        "user space": user_space_s,
        "gone": console[-1][0],
    }
    return {name: round(at - started_s, 2) for name, at in points.items()}


def _domid(step: tuple[float, dict[str, Any]]) -> int | None:
    found = _DOMAIN.search(str(step[1].get("detail", "")))
    return int(found[1]) if found else None


def _user_space(console: Iterable[tuple[float, str]]) -> tuple[float, float]:
    """When the guest said that it is there, and its uptime then."""
    for at, line in console:
        _, found, uptime = line.partition(USER_SPACE)
        if found:
            return at, float(uptime)
    raise AssertionError("the guest did not reach its user space")
