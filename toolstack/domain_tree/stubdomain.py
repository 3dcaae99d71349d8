"""The nodes of a Linux stub domain, and what ties it to its target.

libxl starts one stub domain for a guest. Here a retry starts another, so the arguments of the
one before are removed first: libxl would leave their old permissions in place.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from uuid import UUID

from handoff.keys import (
    HandoffKeys,
    StoreWrite,
    child,
    dm_argv,
    numbered,
    read_by,
)
from toolstack.config.guest import GuestConfig
from toolstack.domain_tree.devices import console_device, disk_device
from toolstack.domain_tree.domain import (
    DomainType,
    NewDomain,
    Ring,
    domain_tree,
    libxl_path,
)
from toolstack.domain_tree.guest import DEVICE_MODEL_VERSION
from toolstack.domain_tree.steps import MakeDirectory, Remove, SetTarget, Step, Transaction
from xenstore_sim.wire.names import DomId, home

STUBDOM_MEMORY_KIB = 128 * 1024
"""libxl's default for a Linux stub domain."""
SERIAL_CONSOLE = 3
"""Console of the guest's first serial port: 0 is the log, 1 and 2 are for save and restore."""


def stub_domain(guest: NewDomain, domid: DomId, uuid: UUID, started_s: float) -> NewDomain:
    """What xenstore is told of a stub domain for `guest`."""
    return NewDomain(
        domid=domid,
        uuid=uuid,
        name=f"{guest.name}-dm",
        type=DomainType.PV,
        memory_kib=STUBDOM_MEMORY_KIB + guest.video_kib,
        max_kib=STUBDOM_MEMORY_KIB + guest.video_kib,
        store=Ring(1, 1),
        console=Ring(2, 2),
        started_s=started_s,
    )


def stubdom_tree(
    config: GuestConfig, guest: NewDomain, stubdom: NewDomain, argv: Sequence[str], log: str
) -> tuple[Step, ...]:
    """The stub domain from nothing to where it may start, `guest` being introduced.

    argv: arguments of the device model without its name. log: file of its console, as text
    for whoever reads xenstore.
    """
    keys = HandoffKeys(stubdom.domid, guest.domid)
    arguments = dm_argv(guest.uuid)
    return (
        *domain_tree(stubdom),
        StoreWrite(child(libxl_path(guest.domid), "dm-version"), DEVICE_MODEL_VERSION),
        Transaction(
            (
                Remove(arguments),
                StoreWrite(arguments, b"", read_by(stubdom.domid)),
                *(
                    StoreWrite(numbered(arguments, number), os.fsencode(argument))
                    for number, argument in enumerate(argv, 1)
                ),
            )
        ),
        StoreWrite(
            child(home(guest.domid), "image/device-model-domid"),
            str(stubdom.domid).encode("ascii"),
        ),
        StoreWrite(keys.target_node, str(guest.domid).encode("ascii")),
        StoreWrite(keys.bios, config.bios.value.encode("ascii")),
        StoreWrite(child(home(guest.domid), "hvmloader/allow-memory-relocate"), b"0"),
        SetTarget(stubdom.domid, guest.domid),
        Transaction((MakeDirectory(keys.device_model, keys.device_model_perms),)),
        *(disk_device(stubdom.domid, disk) for disk in config.disks),
        *_consoles(config, guest, stubdom, log),
    )


def _consoles(
    config: GuestConfig, guest: NewDomain, stubdom: NewDomain, log: str
) -> tuple[Transaction, ...]:
    outputs = (f"file:{log}", f"file:/var/lib/xen/qemu-save.{guest.domid}", None, *config.serial)
    return tuple(
        console_device(
            stubdom.domid, number, "ioemu", output, stubdom.console if number == 0 else None
        )
        for number, output in enumerate(outputs)
    )
