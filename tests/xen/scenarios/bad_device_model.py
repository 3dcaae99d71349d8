"""Device models that never come up, or end before they have done anything."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from tests.xen.dom0.called import create
from tests.xen.scenarios import stubdom
from tests.xen.scenarios.handoff import config
from tests.xen.scenarios.hvm import QUIET, RAMDISK

ONE_TRY: Final = ("--verbose", "--tries", "1")
LONG: Final = ("--stage-timeout", "240")
SHORT: Final = ("--stage-timeout", "15")
_INITS: Final = {
    "sleeps": """\
echo "init sleeps"
exec /bin/busybox sleep 100000
""",
    "returns": "exit 7\n",
    "loses its device model": """\
/bin/busybox sh -c 'kill -KILL $$'
echo "device model exited with $?"
/bin/busybox sleep 1
exec /bin/busybox poweroff -f
""",
}
_PROGRAMS: Final = {
    "is killed": "busybox sh -c 'kill -KILL $$'",
    "returns": "busybox sh -c 'exit 7'",
}


def stub_domain_that(what: str) -> dict[str, Any]:
    """How `toolstack create` ends with a stub domain whose /init does this."""
    keys: dict[str, object] = {
        "device_model_version": "qemu-xen",
        "device_model_stubdomain_override": 1,
        "stubdomain_kernel": str(stubdom.KERNEL),
        "stubdomain_ramdisk": str(stubdom.small_ramdisk(_INITS[what])),
        "stubdomain_memory": 96,
    }
    patience = SHORT if what == "sleeps" else LONG
    return create(_config(**keys), *ONE_TRY, *patience)


def process_that(what: str) -> dict[str, Any]:
    """The same with a process of dom0."""
    return create(_config(), *ONE_TRY, *LONG, "--device-model", _PROGRAMS[what])


def _config(**more: object) -> Path:
    return config("b1", QUIET, RAMDISK, memory=64, **more)


def all_of_them() -> dict[str, Any]:
    """By who it is and what it does."""
    return {
        **{f"stub domain {what}": stub_domain_that(what) for what in _INITS},
        **{f"process {what}": process_that(what) for what in _PROGRAMS},
    }
