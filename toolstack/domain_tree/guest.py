"""The nodes of an HVM guest whose device model will live in a stub domain."""

from __future__ import annotations

from uuid import UUID

from handoff.keys import StoreWrite, child
from toolstack.config.guest import GuestConfig
from toolstack.domain_tree.devices import console_device, disk_device
from toolstack.domain_tree.domain import DomainType, NewDomain, domain_tree, libxl_path
from toolstack.domain_tree.steps import Step
from xenstore_sim.wire.names import DomId

DEVICE_MODEL_VERSION = b"qemu_xen"
"""qemu-xen, as xenstore spells it."""


def hvm_domain(config: GuestConfig, domid: DomId, uuid: UUID, started_s: float) -> NewDomain:
    """What xenstore is told of the guest."""
    return NewDomain(
        domid=domid,
        uuid=uuid,
        name=config.name,
        type=DomainType.HVM,
        memory_kib=config.memory_mib * 1024,
        max_kib=(config.maxmem_mib or config.memory_mib) * 1024,
        started_s=started_s,
    )


def guest_tree(config: GuestConfig, guest: NewDomain) -> tuple[Step, ...]:
    """The guest from nothing to introduced, with its disks and its console."""
    version = StoreWrite(child(libxl_path(guest.domid), "dm-version"), DEVICE_MODEL_VERSION)
    made, filled, introduced = domain_tree(guest)
    return (
        made,
        version,
        filled,
        introduced,
        version,
        *(disk_device(guest.domid, disk) for disk in config.disks),
        console_device(guest.domid, 0, "xenconsoled", "pty", guest.console),
    )
