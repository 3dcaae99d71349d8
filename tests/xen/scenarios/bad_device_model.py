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
SHORT: Final = ("--stage-timeout", "10")
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
_PROGRAM: Final = "busybox sh -c 'kill -KILL $$'"


def stub_domain_that(what: str) -> dict[str, Any]:
    """How `toolstack create` ends with a stub domain whose /init does this."""
    keys = stubdom.keys(stubdom.small_ramdisk(_INITS[what]))
    patience = SHORT if what == "sleeps" else LONG
    return create(_config(stubdomain_memory=96, **keys), *ONE_TRY, *patience)


def process_that_is_killed() -> dict[str, Any]:
    """The same with a process of dom0."""
    return create(_config(), *ONE_TRY, *LONG, "--device-model", _PROGRAM)


def _config(**more: object) -> Path:
    return config("b1", QUIET, RAMDISK, memory=64, **more)


def all_of_them() -> dict[str, Any]:
    """By who it is and what it does."""
    return {
        **{f"stub domain {what}": stub_domain_that(what) for what in _INITS},
        "process is killed": process_that_is_killed(),
    }
