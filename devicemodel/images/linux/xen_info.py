"""What hardware_subarch_data points at for subarchitecture Xen.

The threads of 2007 on the boot protocol gave a kernel two words: which platform it is on, and a
pointer to what that platform has to tell. On Xen that is hvm_start_info, as for a PVH guest.
Source: boot.rst in Linux, hardware_subarch and hardware_subarch_data.
"""

from __future__ import annotations

from dataclasses import dataclass

from devicemodel.guest_map import Space
from devicemodel.images.setup_header import FIELDS, SetupHeader
from devicemodel.images.start_info import Module, start_info, start_info_bytes
from devicemodel.plan import Placement
from handoff.addresses import Gpa, GpaRange
from handoff.errors import ConfigError
from handoff.report import When

SUBARCH_XEN = 2


@dataclass(frozen=True, slots=True)
class XenInfo:
    """A hvm_start_info in guest RAM, its ramdisk as the one module."""

    placement: Placement
    modules: int

    @property
    def at(self) -> Gpa:
        return self.placement.range.start


def place_xen_info(
    header: SetupHeader, cmdline: bytes, ramdisk: GpaRange | None, space: Space
) -> XenInfo:
    """Raises: ConfigError for a kernel that has no field to tell it in, DoesNotFit."""
    if header.version < FIELDS["hardware_subarch"].since:
        raise ConfigError(
            "subarch xen: setup_header.hardware_subarch came with protocol 2.07, this kernel's is "
            f"{header.version_text}: remove --subarch"
        )
    modules = () if ramdisk is None else (Module(ramdisk, b""),)
    size = start_info_bytes(cmdline, [module.cmdline for module in modules])
    where = space.small(size, "Xen start info")
    content = start_info(where.start, cmdline, modules)
    placement = Placement("Xen start info", where, content, When.NOW, "hardware_subarch_data")
    return XenInfo(placement, len(modules))
