"""What a boot imports: its start is a part of every boot, and nobody pays for what others use."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

_IMPORTED = re.compile(r"^import time: +\d+ \| +\d+ \| +(\S+)$", re.MULTILINE)

NO_BOOTS = ("asyncio", "importlib.metadata", "pytest", "rich", "setuptools", "unicorn")
OTHER_COMMANDS = (
    *("toolstack.cleanup", "toolstack.demo", "toolstack.images"),
    *("toolstack.isolation.command", "toolstack.isolation.xen"),
)
OTHER_MACHINES = ("toolstack.machine.emulator", "toolstack.machine.qemu")
XENSTORED = ("xenstore_sim.event_loop", "xenstore_sim.server", "xenstore_sim.store")
SIMULATION = ("toolstack.domains", "toolstack.simulated_host", "toolstack.xenstored", *XENSTORED)
XEN = ("handoff.foreign_memory", "toolstack.xen")


def imported(*words: str) -> set[str]:
    """The modules that `python -m` with these words imports, and the packages they are in."""
    command = (sys.executable, "-I", "-X", "importtime", "-m", *words)
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode != 0, "it was to end when all is imported"
    names = _IMPORTED.findall(run.stderr)
    return {name[: dot.start()] for name in names for dot in re.finditer(r"\.|$", name)}


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "guest.cfg"
    path.write_text('type = "hvm"\nname = "guest"\nkernel = "vmlinuz"\nmemory = 64\n')
    return str(path)


def test_a_boot_on_xen_imports_nothing_of_the_simulation(config: str) -> None:
    names = imported("toolstack", "create", config, "--machine", "xen")
    assert "toolstack.xen.host" in names
    unused = {*NO_BOOTS, *OTHER_COMMANDS, *OTHER_MACHINES, *SIMULATION, "devicemodel"}
    assert not names & unused


def test_a_boot_with_a_running_xenstored_imports_none(config: str, tmp_path: Path) -> None:
    absent = str(tmp_path / "absent")
    names = imported("toolstack", "create", config, "--machine", "none", "--xenstore", absent)
    assert "toolstack.simulated_host" in names
    assert not names & {*NO_BOOTS, *OTHER_COMMANDS, *OTHER_MACHINES, *XENSTORED, *XEN}


def test_a_device_model_imports_neither_xenstored_nor_what_only_a_person_asks_for() -> None:
    names = imported("devicemodel", "-xen-domid", "1")
    assert "devicemodel.run" in names
    commands = {"devicemodel.inspect", "devicemodel.rom_command"}
    assert not names & {*NO_BOOTS, *XENSTORED, *commands, "click", "toolstack"}
