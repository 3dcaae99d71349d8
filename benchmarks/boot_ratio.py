#!/usr/bin/env python3
"""Time from command to user space: `toolstack create` beside QEMU's own -kernel -initrd.

Both boot the same files on the same machine, in turns, so that what else the host does meets
both. Either side's time ends when the line of the initrd's /init arrives at our end of the
pipe; the run itself goes on until the guest powered off.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import plain_qemu
import timeline
import trio
from command import count, run, seconds
from spread import Spread

from toolstack import images
from toolstack.images.initrd import FIRST_LINE

CMDLINE = "console=ttyS0 quiet nokaslr"
MILESTONES = ("created", "published", "discovered", "inserted", "paused", "ready", "unpaused")
"""Stages of the toolstack's --json that are shown."""


@dataclass(frozen=True, slots=True)
class Boot:
    """One run; times are seconds from just before the program was started."""

    user_space_s: float
    milestones: Mapping[str, float]
    """by name; empty for plain QEMU"""


@dataclass(frozen=True, slots=True)
class Guest:
    kernel: Path
    ramdisk: Path
    memory_mib: int

    def config(self) -> str:
        """It as an xl.cfg."""
        return (
            'name = "boot-ratio"\n'
            'type = "hvm"\n'
            f"memory = {self.memory_mib}\n"
            f"kernel = {json.dumps(os.fspath(self.kernel))}\n"
            f"ramdisk = {json.dumps(os.fspath(self.ramdisk))}\n"
            f"cmdline = {json.dumps(CMDLINE)}\n"
            'device_model_version = "qemu-xen"\n'
            "device_model_stubdomain_override = 1\n"
        )


async def boot(
    words: Sequence[str], environment: Mapping[str, str], limit_s: float, *, staged: bool
) -> Boot:
    """Boots once. staged: its standard error is the toolstack's --json."""
    ran = await timeline.run(words, environment, limit_s)
    reached = ran.out.first(FIRST_LINE)
    if reached is None:
        raise timeline.RunFailed(f"{words[0]} ended and the guest never said {FIRST_LINE!r}")
    return Boot(reached.seconds, milestones(ran, reached) if staged else {})


def milestones(ran: timeline.Timeline, reached: timeline.Line) -> dict[str, float]:
    """When each stage's line arrived, the first console byte and user space."""
    times: dict[str, float] = {}
    for line in ran.errors.lines:
        event = json.loads(line.text)
        if event["event"] == "stage" and event["stage"] in MILESTONES:
            times.setdefault(event["stage"], line.seconds)
    if ran.out.first_byte_s is not None:
        times["first console byte"] = ran.out.first_byte_s
    times["user-space line"] = reached.seconds
    return times


async def measure(guest: Guest, pairs: int, limit_s: float) -> list[tuple[Boot, Boot]]:
    """Toolstack and QEMU in turns, `pairs` times after one of each that does not count."""
    taken: list[tuple[Boot, Boot]] = []
    with tempfile.TemporaryDirectory(prefix="boot-ratio-") as directory:
        config = Path(directory) / "guest.cfg"
        config.write_text(guest.config())
        environment = {**os.environ, "XDG_RUNTIME_DIR": directory}
        # The warm-up compiles what is not compiled yet, as a user's first run does.
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        ours = (*toolstack_program(), "create", os.fspath(config), "--machine", "qemu", "--json")
        plain = plain_qemu.command(guest.kernel, guest.ramdisk, CMDLINE, guest.memory_mib)
        for number in range(pairs + 1):
            with_us = await boot(ours, environment, limit_s, staged=True)
            without_us = await boot(plain, environment, limit_s, staged=False)
            name = f"pair {number}" if number else "warm-up"
            print(
                f"{name:8}  toolstack {with_us.user_space_s:.3f} s  "
                f"QEMU {without_us.user_space_s:.3f} s",
                flush=True,
            )
            if number:
                taken.append((with_us, without_us))
    return taken


def toolstack_program() -> tuple[str, ...]:
    """The installed program, as a user starts it, else the same as a module."""
    installed = Path(sys.executable).with_name("toolstack")
    return (os.fspath(installed),) if installed.exists() else (sys.executable, "-m", "toolstack")


def summary(taken: Sequence[tuple[Boot, Boot]]) -> list[str]:
    """What the pairs say, the ratio last."""
    ours = Spread.of(boot.user_space_s for boot, _ in taken)
    plain = Spread.of(boot.user_space_s for _, boot in taken)
    ratio = Spread.of(a.user_space_s / b.user_space_s for a, b in taken)
    lines = ["", "where the toolstack's time goes (medians, seconds)"]
    before = 0.0
    for at, name in sorted((at, name) for name, at in median_milestones(taken).items()):
        lines.append(f"  {name:20}{at:7.3f}  {at - before:+7.3f}")
        before = at
    return [
        *lines,
        "",
        f"toolstack, s    {ours.text(3)}",
        f"QEMU, s         {plain.text(3)}",
        f"pair by pair    {ratio.text(2)}",
        f"boot ratio (toolstack / QEMU): {ratio.median:.2f}",
    ]


def median_milestones(taken: Sequence[tuple[Boot, Boot]]) -> dict[str, float]:
    """Of each milestone; a quick device model's stage may pass unseen in some runs."""
    seen: dict[str, list[float]] = {}
    for boot, _ in taken:
        for name, at in boot.milestones.items():
            seen.setdefault(name, []).append(at)
    return {name: Spread.of(times).median for name, times in seen.items()}


def circumstances(guest: Guest) -> list[str]:
    """What the figures depend on."""
    version = subprocess.run(
        [plain_qemu.PROGRAM, "--version"], capture_output=True, text=True, timeout=30, check=True
    ).stdout.splitlines()[0]
    load = " ".join(f"{value:.2f}" for value in os.getloadavg())
    dropped = "; ".join(plain_qemu.DROPPED.values())
    return [
        f"host       {os.cpu_count()} cores, load {load}, Python {platform.python_version()}",
        f"QEMU       {version}, {' '.join(plain_qemu.accelerator())}",
        f"guest      {guest.memory_mib} MiB, {guest.kernel.resolve().parent.name}, "
        f"initrd {guest.ramdisk.stat().st_size} bytes",
        f"plain QEMU is the toolstack's QEMU but for: {dropped}",
        "",
    ]


def installed_guest(memory_mib: int) -> Guest | None:
    """Debian's kernel and our initrd; None before `make images`."""
    kernel, ramdisk = images.locate("vmlinuz"), images.locate("initrd.img")
    return None if kernel is None or ramdisk is None else Guest(kernel, ramdisk, memory_mib)


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--pairs", type=count, default=7, metavar="N", help="default: 7")
    parser.add_argument("--memory", type=count, default=512, metavar="MIB", help="default: 512")
    parser.add_argument(
        "--deadline",
        type=seconds,
        default=120.0,
        metavar="S",
        help="of each run, default: 120",
    )
    return parser.parse_args()


def main() -> None:
    chosen = options()
    guest = installed_guest(chosen.memory)
    if guest is None:
        raise timeline.RunFailed("no kernel and initrd in the image cache: run `make images`")
    if shutil.which(plain_qemu.PROGRAM) is None:
        raise timeline.RunFailed(f"{plain_qemu.PROGRAM} is missing: apt install qemu-system-x86")
    print("\n".join(circumstances(guest)), flush=True)
    print("\n".join(summary(trio.run(measure, guest, chosen.pairs, chosen.deadline))))


if __name__ == "__main__":
    run("boot_ratio", main, timeline.RunFailed, subprocess.SubprocessError)
