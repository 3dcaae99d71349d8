"""A domain's own nodes: made in one transaction, filled in another, then introduced.

Order, values and permissions are libxl's. Source: libxl 4.17 to 4.22, domain_make and
build_post.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final
from uuid import UUID

from handoff.keys import StoreWrite, child, owned_by, private, read_by, vm_path
from toolstack.domain_tree.steps import (
    DestroyDomain,
    Introduce,
    NodeAction,
    Remove,
    Step,
    Transaction,
)
from xenstore_sim.wire.names import DOM0, AbsolutePath, DomId, home

_MAXMEM_SLACK_KIB: Final = 1024
"""What libxl keeps from a guest that has less than it may have."""


class DomainType(Enum):
    HVM = "hvm"
    PV = "pv"


@dataclass(frozen=True, slots=True)
class Ring:
    """A page the domain shares with dom0, and its event channel."""

    gfn: int
    port: int


HVM_STORE_RING: Final = Ring(0xFEFFC, 1)
HVM_CONSOLE_RING: Final = Ring(0xFEFFF, 2)
"""Where libxc's builder puts them: the special pages below 0xff000000."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewDomain:
    """What xenstore is told of one domain."""

    domid: DomId
    uuid: UUID
    name: str
    type: DomainType
    memory_kib: int
    max_kib: int
    video_kib: int = 0
    """video memory taken out of memory_kib; 0 as with vga="none": no machine here has a
    display"""
    vcpus: int = 1
    store: Ring = HVM_STORE_RING
    console: Ring = HVM_CONSOLE_RING
    started_s: float
    """when it was built, seconds since the epoch"""

    @property
    def target_kib(self) -> int:
        """What a balloon driver should aim at."""
        ballooned = self.type is DomainType.HVM and self.max_kib > self.memory_kib
        return self.memory_kib - self.video_kib - (_MAXMEM_SLACK_KIB if ballooned else 0)


def libxl_path(domid: DomId) -> AbsolutePath:
    """`/libxl/<domid>`: what dom0 alone knows of the domain."""
    return AbsolutePath(f"/libxl/{domid}")


def domain_tree(domain: NewDomain) -> tuple[Step, ...]:
    """Makes the domain's nodes, fills them, and introduces it."""
    return (
        _made(domain),
        Transaction(tuple(_filled(domain))),
        Introduce(domain.domid, domain.store.gfn, domain.store.port),
    )


def destroy_steps(domid: DomId, uuid: UUID) -> tuple[Step, ...]:
    """Takes the domain out of xenstore and of the hypervisor."""
    return (
        Remove(child(home(DOM0), f"device-model/{domid}")),
        *(Remove(child(home(DOM0), f"backend/{kind}/{domid}")) for kind in ("qdisk", "console")),
        Remove(vm_path(uuid)),
        Remove(home(domid)),
        Remove(libxl_path(domid)),
        Remove(child(home(domid), "hvmloader")),
        DestroyDomain(domid),
    )


_CONTROL: Final = ("shutdown", "feature-poweroff", "feature-reboot", "feature-suspend")
_CONTROL_HVM: Final = ("feature-s3", "feature-s4")
_GUESTS_OWN: Final = ("data", "drivers", "feature", "attr", "error")


def _made(domain: NewDomain) -> Transaction:
    here, vm, libxl = home(domain.domid), vm_path(domain.uuid), libxl_path(domain.domid)
    name, hvm = domain.name.encode("ascii"), domain.type is DomainType.HVM
    shown, own = read_by(domain.domid), owned_by(domain.domid)
    actions: list[NodeAction] = [
        Remove(here),
        StoreWrite(here, b"", shown),
        Remove(vm),
        StoreWrite(vm, b"", shown),
        Remove(libxl),
        StoreWrite(libxl, b"", private()),
        StoreWrite(child(libxl, "device"), b"", private()),
        StoreWrite(child(here, "vm"), vm.encode("ascii")),
        StoreWrite(child(here, "name"), name),
        StoreWrite(child(vm, "name"), name),
        StoreWrite(child(here, "cpu"), b"", shown),
        StoreWrite(child(here, "memory"), b"", shown),
        StoreWrite(child(here, "device"), b"", shown),
        StoreWrite(child(here, "device/suspend/event-channel"), b"", own),
        StoreWrite(child(here, "control"), b"", shown),
    ]
    if hvm:
        actions.append(StoreWrite(child(here, "hvmloader"), b"", shown))
    control = (*_CONTROL, *(_CONTROL_HVM if hvm else ()), "sysrq")
    writable = (*(f"control/{word}" for word in control), *_GUESTS_OWN)
    actions += [
        *(StoreWrite(child(here, name), b"", own) for name in writable),
        StoreWrite(child(vm, "uuid"), str(domain.uuid).encode("ascii")),
        *(
            StoreWrite(child(here, f"control/platform-feature-{feature}"), b"1")
            for feature in ("multiprocessor-suspend", "xs_reset_watches")
        ),
        StoreWrite(child(libxl, "type"), domain.type.value.encode("ascii")),
    ]
    return Transaction(tuple(actions))


def _filled(domain: NewDomain) -> Iterator[StoreWrite]:
    here, vm = home(domain.domid), vm_path(domain.uuid)
    for name, number in (
        ("memory/static-max", domain.max_kib),
        ("memory/target", domain.target_kib),
        ("memory/videoram", domain.video_kib),
        ("domid", domain.domid),
        ("store/port", domain.store.port),
        ("store/ring-ref", domain.store.gfn),
    ):
        yield StoreWrite(child(here, name), str(number).encode("ascii"))
    for vcpu in range(domain.vcpus):
        yield StoreWrite(child(here, f"cpu/{vcpu}/availability"), b"online")
    centiseconds = int(domain.started_s * 100)
    started = f"{centiseconds // 100}.{centiseconds % 100:02d}".encode("ascii")
    if domain.type is DomainType.PV:
        yield StoreWrite(child(vm, "image/ostype"), b"linux")
        yield StoreWrite(child(vm, "start_time"), started)
        return
    for name, value in (
        ("acpi", b"1"),
        ("acpi_s3", b"1"),
        ("acpi_s4", b"1"),
        ("acpi_laptop_slate", b"0"),
        ("device-model", b"qemu_xen"),
    ):
        yield StoreWrite(child(here, f"platform/{name}"), value)
    yield StoreWrite(child(vm, "rtc/timeoffset"), b"")
    yield StoreWrite(child(vm, "image/ostype"), b"hvm")
    yield StoreWrite(child(vm, "start_time"), started)
