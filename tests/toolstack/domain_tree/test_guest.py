"""The guest's tree as literal tables, written from libxl's sources: path, value, permissions."""

from __future__ import annotations

import pytest

from handoff.keys import StoreWrite
from tests.toolstack.domain_tree.domains import GUEST, UUID_G, VM_G, guest_steps, outline
from tests.toolstack.domain_tree.store_model import Tree, below, carried_out
from toolstack.config import GuestConfig
from toolstack.config.disk import parse_disk
from toolstack.domain_tree import Introduce, NewDomain, Remove, Transaction
from xenstore_sim.wire.names import DomId

GUEST_HOME = {
    "vm": (VM_G, "n0,r5"),
    "name": ("web", "n0,r5"),
    "cpu": ("", "n0,r5"),
    "cpu/0": ("", "n0,r5"),
    "cpu/0/availability": ("online", "n0,r5"),
    "memory": ("", "n0,r5"),
    "memory/static-max": ("262144", "n0,r5"),
    "memory/target": ("262144", "n0,r5"),
    "memory/videoram": ("0", "n0,r5"),
    "device": ("", "n0,r5"),
    "device/suspend": ("", "n0,r5"),
    "device/suspend/event-channel": ("", "n5"),
    "control": ("", "n0,r5"),
    "control/shutdown": ("", "n5"),
    "control/feature-poweroff": ("", "n5"),
    "control/feature-reboot": ("", "n5"),
    "control/feature-suspend": ("", "n5"),
    "control/feature-s3": ("", "n5"),
    "control/feature-s4": ("", "n5"),
    "control/sysrq": ("", "n5"),
    "control/platform-feature-multiprocessor-suspend": ("1", "n0,r5"),
    "control/platform-feature-xs_reset_watches": ("1", "n0,r5"),
    "hvmloader": ("", "n0,r5"),
    "data": ("", "n5"),
    "drivers": ("", "n5"),
    "feature": ("", "n5"),
    "attr": ("", "n5"),
    "error": ("", "n5"),
    "domid": ("5", "n0,r5"),
    "store": ("", "n0,r5"),
    "store/port": ("1", "n0,r5"),
    "store/ring-ref": ("1044476", "n0,r5"),
    "platform": ("", "n0,r5"),
    "platform/acpi": ("1", "n0,r5"),
    "platform/acpi_s3": ("1", "n0,r5"),
    "platform/acpi_s4": ("1", "n0,r5"),
    "platform/acpi_laptop_slate": ("0", "n0,r5"),
    "platform/device-model": ("qemu_xen", "n0,r5"),
    "device/vbd": ("", "n0,r5"),
    "device/vbd/51712": ("", "n5,r0"),
    "device/vbd/51712/backend": ("/local/domain/0/backend/qdisk/5/51712", "n5,r0"),
    "device/vbd/51712/backend-id": ("0", "n5,r0"),
    "device/vbd/51712/state": ("1", "n5,r0"),
    "device/vbd/51712/virtual-device": ("51712", "n5,r0"),
    "device/vbd/51712/device-type": ("disk", "n5,r0"),
    "device/vbd/51712/trusted": ("1", "n5,r0"),
    "device/vbd/5632": ("", "n5,r0"),
    "device/vbd/5632/backend": ("/local/domain/0/backend/qdisk/5/5632", "n5,r0"),
    "device/vbd/5632/backend-id": ("0", "n5,r0"),
    "device/vbd/5632/state": ("1", "n5,r0"),
    "device/vbd/5632/virtual-device": ("5632", "n5,r0"),
    "device/vbd/5632/device-type": ("cdrom", "n5,r0"),
    "device/vbd/5632/trusted": ("1", "n5,r0"),
    "console": ("", "n0,r5"),
    "console/backend": ("/local/domain/0/backend/console/5/0", "n0,r5"),
    "console/backend-id": ("0", "n5,r0"),
    "console/limit": ("1048576", "n0,r5"),
    "console/type": ("xenconsoled", "n0,r5"),
    "console/output": ("pty", "n0,r5"),
    "console/tty": ("", "n0,r5"),
    "console/port": ("2", "n0,r5"),
    "console/ring-ref": ("1044479", "n0,r5"),
}

GUEST_VM = {
    "name": ("web", "n0,r5"),
    "uuid": (str(UUID_G), "n0,r5"),
    "rtc": ("", "n0,r5"),
    "rtc/timeoffset": ("", "n0,r5"),
    "image": ("", "n0,r5"),
    "image/ostype": ("hvm", "n0,r5"),
    "start_time": ("1700000000.12", "n0,r5"),
}

DISK_BACKEND = {
    "frontend": ("/local/domain/5/device/vbd/51712", "n0,r5"),
    "params": ("aio:/dev/vg/root", "n0,r5"),
    "frontend-id": ("5", "n0,r5"),
    "online": ("1", "n0,r5"),
    "removable": ("0", "n0,r5"),
    "bootable": ("1", "n0,r5"),
    "state": ("1", "n0,r5"),
    "dev": ("xvda", "n0,r5"),
    "type": ("qdisk", "n0,r5"),
    "mode": ("w", "n0,r5"),
    "device-type": ("disk", "n0,r5"),
    "discard-enable": ("1", "n0,r5"),
    "specification": ("xen", "n0,r5"),
}


def test_the_guests_home_holds_what_libxl_writes() -> None:
    tree = carried_out(guest_steps())
    assert tree["/local/domain/5"] == ("", "n0,r5")
    assert below(tree, "/local/domain/5") == GUEST_HOME


def test_the_guests_vm_directory_holds_what_libxl_writes() -> None:
    tree = carried_out(guest_steps())
    assert tree[VM_G] == ("", "n0,r5")
    assert below(tree, VM_G) == GUEST_VM


def test_dom0s_own_directory_is_closed_to_every_domain() -> None:
    libxl = below(carried_out(guest_steps()), "/libxl/5")
    assert {perms for _, perms in libxl.values()} == {"n0"}
    assert (libxl["type"][0], libxl["dm-version"][0]) == ("hvm", "qemu_xen")
    assert libxl["device/vbd/51712/params"][0] == "aio:/dev/vg/root"
    assert libxl["device/vbd/51712/frontend"][0] == "/local/domain/5/device/vbd/51712"
    assert libxl["device/console/0/backend"][0] == "/local/domain/0/backend/console/5/0"


def test_a_disk_has_its_backend_in_dom0() -> None:
    tree = carried_out(guest_steps())
    assert tree["/local/domain/0/backend/qdisk/5/51712"] == ("", "n0,r5")
    assert below(tree, "/local/domain/0/backend/qdisk/5/51712") == DISK_BACKEND
    empty = below(tree, "/local/domain/0/backend/qdisk/5/5632")
    assert [empty[name][0] for name in ("params", "removable", "mode", "discard-enable")] == [
        *("aio:", "1", "r", "0")
    ]


def test_the_guest_is_made_filled_and_introduced_in_libxls_order() -> None:
    assert outline(guest_steps()) == [
        "tx /libxl/5/type",
        "StoreWrite /libxl/5/dm-version",
        f"tx {VM_G}/start_time",
        "Introduce",
        "StoreWrite /libxl/5/dm-version",
        "tx /libxl/5/device/vbd/51712/specification",
        "tx /libxl/5/device/vbd/5632/specification",
        "tx /libxl/5/device/console/0/protocol",
    ]
    assert Introduce(DomId(5), 0xFEFFC, 1) in guest_steps()


MADE = """
RM /local/domain/5|/local/domain/5|RM VM|VM|RM /libxl/5|/libxl/5|/libxl/5/device
/local/domain/5/vm|/local/domain/5/name|VM/name|/local/domain/5/cpu|/local/domain/5/memory
/local/domain/5/device|/local/domain/5/device/suspend/event-channel|/local/domain/5/control
/local/domain/5/hvmloader|/local/domain/5/control/shutdown
/local/domain/5/control/feature-poweroff|/local/domain/5/control/feature-reboot
/local/domain/5/control/feature-suspend|/local/domain/5/control/feature-s3
/local/domain/5/control/feature-s4|/local/domain/5/control/sysrq|/local/domain/5/data
/local/domain/5/drivers|/local/domain/5/feature|/local/domain/5/attr|/local/domain/5/error
VM/uuid|/local/domain/5/control/platform-feature-multiprocessor-suspend
/local/domain/5/control/platform-feature-xs_reset_watches|/libxl/5/type
"""


def test_the_first_transaction_removes_what_was_there_and_makes_the_nodes_in_order() -> None:
    first = guest_steps()[0]
    assert isinstance(first, Transaction)
    done = [
        ("RM " if isinstance(action, Remove) else "") + action.path.replace(VM_G, "VM")
        for action in first.actions
    ]
    assert done == MADE.strip().replace("\n", "|").split("|")


@pytest.mark.parametrize(
    ("maxmem_mib", "video_kib", "target"),
    [(None, 0, 262144), (256, 8192, 253952), (512, 8192, 252928)],
)
def test_the_balloon_target_is_what_libxl_computes(
    maxmem_mib: int | None, video_kib: int, target: int
) -> None:
    guest = NewDomain(
        domid=DomId(5),
        uuid=UUID_G,
        name="g",
        type=GUEST.type,
        memory_kib=262144,
        max_kib=(maxmem_mib or 256) * 1024,
        video_kib=video_kib,
        started_s=0,
    )
    assert guest.target_kib == target


def test_file_names_that_are_no_text_pass_through() -> None:
    config = GuestConfig(name="g", memory_mib=64, disks=(parse_disk("/a\udcff,,xvda"),))
    written = [
        action.value
        for step in guest_steps(config)
        if isinstance(step, Transaction)
        for action in step.actions
        if isinstance(action, StoreWrite) and action.path.endswith("params")
    ]
    assert written == [b"aio:/a\xff", b"aio:/a\xff"]


def test_the_model_store_inherits_as_xenstored_does() -> None:
    tree: Tree = carried_out(guest_steps()[:1])
    assert tree["/local"] == ("", "n0")
    assert tree["/local/domain/5/device/suspend"] == ("", "n0,r5")
