"""Which machine runs the guest: the one that was named, or the best that is installed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from enum import Enum

from handoff.confinement import Mode
from toolstack.machine.port import Machine, OnXen


class MachineChoice(Enum):
    """The values of --machine."""

    AUTO = "auto"
    EMULATOR = "emulator"
    QEMU = "qemu"
    XEN = "xen"
    NONE = "none"


def choose_machine(
    choice: MachineChoice, sandbox: Mode, hold_s: float, log: Callable[[str], None]
) -> Machine | OnXen:
    """The machine; AUTO takes QEMU where it is installed. Imports only what is chosen.

    hold_s: how long NONE keeps the prepared guest, seconds.
    """
    if choice is MachineChoice.AUTO:
        installed = shutil.which("qemu-system-x86_64") is not None
        choice = MachineChoice.QEMU if installed else MachineChoice.EMULATOR
    match choice:
        case MachineChoice.QEMU:
            from toolstack.machine.qemu import QemuMachine

            return QemuMachine()
        case MachineChoice.EMULATOR:
            from toolstack.machine.emulator.machine import EmulatorMachine

            return EmulatorMachine(sandbox=sandbox, log=log)
        case MachineChoice.NONE:
            from toolstack.machine.none import NoMachine

            return NoMachine(hold_s)
        case MachineChoice.XEN:
            return OnXen()
        case MachineChoice.AUTO:
            raise AssertionError("decided above")
