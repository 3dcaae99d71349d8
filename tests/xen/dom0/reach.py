"""What a device model of dom0 reaches once it has confined itself: it tries, and prints it.

`python3 -m tests.xen.dom0.reach TARGET BYSTANDER`; one line of JSON.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import sys
from collections.abc import Callable
from typing import Final

from handoff.addresses import MIB, Gpa, GpaRange
from handoff.confinement import Identity, Mode, Profile, confine, prepare
from handoff.errors import HandoffError
from handoff.foreign_memory import DEVICES, ForeignMemory
from handoff.foreign_ram import ForeignRam
from xenstore_sim.client.device_transport import DEVICES as XENSTORE_DEVICES
from xenstore_sim.wire.names import DomId

WHOLE: Final = GpaRange.between(MIB, 64 * MIB)
AT: Final = Gpa(32 * MIB)
WORDS: Final = b"written by a confined device model"
ABSENT: Final = 32000
# Source: include/uapi/xen/privcmd.h.
_HYPERCALL, _DM_OP = 0x30_5000, 0x10_5005


def main() -> None:
    target, bystander = (int(word) for word in sys.argv[1:])
    memory = ForeignMemory()
    memory.restrict(DomId(target))
    (privcmd,) = memory.descriptors()
    prepared = prepare(mode=Mode.AUTO, keep_fds=(1, 2, privcmd))
    report = confine(prepared, Profile.XEN_DEVICE_MODEL, identity=Identity())

    def write_to(domid: int) -> None:
        ForeignRam(memory, DomId(domid), (WHOLE,)).write(AT, WORDS)

    attempts: dict[str, Callable[[], object]] = {
        "write to the target": lambda: write_to(target),
        "write to the bystander": lambda: write_to(bystander),
        "write to dom0": lambda: write_to(0),
        "write to an absent domain": lambda: write_to(ABSENT),
        "a hypercall": lambda: fcntl.ioctl(privcmd, _HYPERCALL, bytes(48)),
        "an operation of a device model": lambda: fcntl.ioctl(privcmd, _DM_OP, bytes(16)),
        "another privcmd": lambda: os.open(DEVICES[0], os.O_RDWR),
        "xenstore's device": lambda: os.open(XENSTORE_DEVICES[0], os.O_RDWR),
    }
    found = {name: _outcome(attempt) for name, attempt in attempts.items()}
    found["layers"] = json.dumps(report.lines())
    os.write(1, json.dumps(found).encode() + b"\n")


def _outcome(attempt: Callable[[], object]) -> str:
    try:
        attempt()
    except HandoffError as refused:
        return str(refused)
    except OSError as refused:
        return errno.errorcode.get(refused.errno or 0, "unknown")
    return "done"


if __name__ == "__main__":
    main()
