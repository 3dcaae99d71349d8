"""Who a fault befalls."""

from enum import Enum


class Victim(Enum):
    TOOLSTACK = "toolstack"
    DEVICE_MODEL = "device model"
    """the process that works: where it is confined, the first of its pid namespace"""
    WAITER = "device model's waiter"
    """the child of the toolstack, outside that namespace"""
    XENSTORE = "xenstore"
    MACHINE = "machine"
    MACHINE_WAITER = "machine's waiter"
    QEMU = "QEMU"
    """from the program that becomes it on; it has no waiter"""
