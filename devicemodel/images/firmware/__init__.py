"""Firmware that is handed over: without a kernel, it boots from what the machine has."""

from devicemodel.images.firmware.images import FirmwareImages, FirmwareSources, read_firmware
from devicemodel.images.firmware.plan import FirmwarePlan, plan_firmware

__all__ = [
    "FirmwareImages",
    "FirmwarePlan",
    "FirmwareSources",
    "plan_firmware",
    "read_firmware",
]
