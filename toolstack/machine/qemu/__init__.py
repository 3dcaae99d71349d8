"""QEMU as the machine: real SeaBIOS, real devices, guest RAM shared through a memory file."""

from toolstack.machine.qemu.accelerator import Accelerator
from toolstack.machine.qemu.machine import QemuMachine
from toolstack.machine.qemu.running import RunningQemu

__all__ = ["Accelerator", "QemuMachine", "RunningQemu"]
