"""Toolstacks that are killed, what they leave, and what `toolstack cleanup` takes away."""

from __future__ import annotations

import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from tests.xen.dom0 import called
from tests.xen.dom0.commands import attempt, run
from tests.xen.dom0.create_process import CreateProcess
from tests.xen.dom0.domains import domains
from tests.xen.scenarios import hvm, stubdom
from tests.xen.scenarios.handoff import config
from toolstack.builtin_guest import initrd_path, kernel_path
from toolstack.lock_file import Held, lock_file
from toolstack.xen.domain_directory import BASE
from toolstack.xen.libxc import Libxc

HANDOFFS: Final = "/local/domain/0/direct-boot"
_BUILT_S: Final = 240.0
_POLL_S: Final = 0.2
_PAUSED: Final = 2
"""which letter of a domain's state"""
_SLEEPS: Final = "busybox sh -c 'exec busybox sleep 100000'"
_STUB_SLEEPS: Final = "exec /bin/busybox sleep 100000\n"


def leaves_its_domains_to_cleanup() -> dict[str, Any]:
    """What there is before and after cleanup, and what it said.

    `published`, `unpaused` and `building` are of toolstacks that were killed there; `alive` is of
    one that lives, `bystander` of xl.
    """
    run("xl", "create", "-p", str(hvm.config("bystander", memory=64)))
    with ExitStack() as stack, closing(Libxc()) as libxc:
        patience = ("--stage-timeout", "3600")
        alive = CreateProcess(_guest("alive"), "--device-model", _SLEEPS, *patience)
        stack.enter_context(alive).wait_for_stage("published")

        stub_domain = stubdom.keys(stubdom.small_ramdisk(_STUB_SLEEPS))
        path = _guest("published", stubdomain_memory=96, **stub_domain)
        with CreateProcess(path) as killed:
            killed.wait_for_stage("published")
            killed.kill()

        with CreateProcess(_guest("unpaused")) as killed:
            killed.wait_for_stage("unpaused")
            killed.kill()

        uuid = uuid4()
        with CreateProcess(_guest("building", uuid=str(uuid))) as killed:
            killed.wait_until(lambda: libxc.find(uuid) is not None)
            killed.kill()
        directory = BASE / str(uuid)
        xl_works_on = _is_held(directory)
        _wait_until_free(directory)

        before = _there_is()
        first, second = called.cleanup(), called.cleanup()
        after = _there_is()
        alive.interrupt()
        alive.ended()
    run("xl", "destroy", "bystander")
    return {
        "xl works on": xl_works_on,
        "before": before,
        "first": first,
        "second": second,
        "after": after,
    }


def _guest(name: str, **more: object) -> Path:
    """Of one that never ends."""
    kernel = str(kernel_path())
    return config(name, "guest=hang", initrd_path(), kernel=kernel, memory=64, **more)


def _is_held(directory: Path) -> bool:
    try:
        with lock_file(directory / "toolstack.lock"):
            return False
    except Held:
        return True


def _wait_until_free(directory: Path) -> None:
    """Raises: TimeoutError."""
    deadline = time.monotonic() + _BUILT_S
    while _is_held(directory):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{directory} is held for {_BUILT_S:g} s")
        time.sleep(_POLL_S)


def _there_is() -> dict[str, Any]:
    """Names of domains, of those that are paused, and of those with a handoff in dom0's nodes."""
    found = domains()
    handed = attempt("xenstore-list", HANDOFFS)[1].split()
    return {
        "domains": sorted(domain.name for domain in found),
        "paused": sorted(domain.name for domain in found if domain.state[_PAUSED] == "p"),
        "handoffs": sorted(domain.name for domain in found if str(domain.domid) in handed),
        "directories": len(list(BASE.iterdir())),
    }
