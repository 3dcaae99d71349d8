"""Who a fault befalls."""

from enum import Enum


class Victim(Enum):
    TOOLSTACK = "toolstack"
    DEVICE_MODEL = "device model"
    XENSTORE = "xenstore"
    MACHINE = "machine"
