"""The stub domain's tree as literal tables, written from libxl's sources."""

from __future__ import annotations

from handoff.keys import StoreWrite
from tests.toolstack.domain_tree.domains import (
    CONFIG,
    GUEST,
    STUBDOM,
    UUID_G,
    UUID_S,
    VM_G,
    VM_S,
    guest_steps,
    outline,
    stubdom_steps,
)
from tests.toolstack.domain_tree.store_model import below, carried_out
from toolstack.domain_tree import (
    DestroyDomain,
    SetTarget,
    Transaction,
    destroy_steps,
    stub_domain,
    stubdom_tree,
)
from xenstore_sim.wire.names import DomId, absolute_path

STUBDOM_HOME = {
    "vm": (VM_S, "n0,r6"),
    "name": ("web-dm", "n0,r6"),
    "target": ("5", "n0,r6"),
    "cpu": ("", "n0,r6"),
    "cpu/0": ("", "n0,r6"),
    "cpu/0/availability": ("online", "n0,r6"),
    "memory": ("", "n0,r6"),
    "memory/static-max": ("131072", "n0,r6"),
    "memory/target": ("131072", "n0,r6"),
    "memory/videoram": ("0", "n0,r6"),
    "device": ("", "n0,r6"),
    "device/suspend": ("", "n0,r6"),
    "device/suspend/event-channel": ("", "n6"),
    "control": ("", "n0,r6"),
    "control/shutdown": ("", "n6"),
    "control/feature-poweroff": ("", "n6"),
    "control/feature-reboot": ("", "n6"),
    "control/feature-suspend": ("", "n6"),
    "control/sysrq": ("", "n6"),
    "control/platform-feature-multiprocessor-suspend": ("1", "n0,r6"),
    "control/platform-feature-xs_reset_watches": ("1", "n0,r6"),
    "data": ("", "n6"),
    "drivers": ("", "n6"),
    "feature": ("", "n6"),
    "attr": ("", "n6"),
    "error": ("", "n6"),
    "domid": ("6", "n0,r6"),
    "store": ("", "n0,r6"),
    "store/port": ("1", "n0,r6"),
    "store/ring-ref": ("1", "n0,r6"),
    "device-model": ("", "n0,r6"),
    "device-model/5": ("", "n6,r5"),
}


def test_the_stub_domains_home_holds_what_libxl_writes() -> None:
    home = below(carried_out(stubdom_steps(), carried_out(guest_steps())), "/local/domain/6")
    devices = ("device/vbd", "device/console", "console")
    own = {at: node for at, node in home.items() if not at.startswith(devices)}
    assert own == STUBDOM_HOME


def test_the_guest_learns_of_its_stub_domain() -> None:
    before = carried_out(guest_steps())
    after = carried_out(stubdom_steps(), before)
    new = below(after, "/local/domain/5").items() - below(before, "/local/domain/5").items()
    assert dict(new) == {
        "image": ("", "n0,r5"),
        "image/device-model-domid": ("6", "n0,r5"),
        "hvmloader/bios": ("seabios", "n0,r5"),
        "hvmloader/allow-memory-relocate": ("0", "n0,r5"),
    }
    assert below(after, f"{VM_G}/image/dm-argv") == {
        "001": ("-xen-domid", "n0,r6"),
        "002": ("5", "n0,r6"),
    }
    assert after[f"{VM_G}/image/dm-argv"] == ("", "n0,r6")


def test_the_stub_domain_has_the_guests_disks_and_its_consoles() -> None:
    tree = carried_out(stubdom_steps(), carried_out(guest_steps()))
    assert tree["/local/domain/6/device/vbd/51712"] == ("", "n6,r0")
    assert tree["/local/domain/0/backend/qdisk/6/51712/params"] == ("aio:/dev/vg/root", "n0,r6")
    outputs = {
        at: value for at, (value, _) in below(tree, "/local/domain/6").items() if "output" in at
    }
    assert outputs == {
        "console/output": "file:/var/log/xen/qemu-dm-web.log",
        "device/console/1/output": "file:/var/lib/xen/qemu-save.5",
        "device/console/3/output": "pty",
    }
    assert tree["/local/domain/6/console"] == ("", "n0,r6")
    assert tree["/local/domain/6/console/type"] == ("ioemu", "n0,r6")
    assert below(tree, "/local/domain/6/device/console/3") == {
        "backend": ("/local/domain/0/backend/console/6/3", "n6,r0"),
        "backend-id": ("0", "n6,r0"),
        "state": ("1", "n6,r0"),
        "protocol": ("vt100", "n6,r0"),
        "limit": ("1048576", "n0,r6"),
        "type": ("ioemu", "n0,r6"),
        "output": ("pty", "n0,r6"),
        "tty": ("", "n0,r6"),
    }


def test_the_stub_domain_is_tied_to_its_target_in_libxls_order() -> None:
    assert outline(stubdom_steps()) == [
        "tx /libxl/6/type",
        f"tx {VM_S}/start_time",
        "Introduce",
        "StoreWrite /libxl/5/dm-version",
        f"tx {VM_G}/image/dm-argv/002",
        "StoreWrite /local/domain/5/image/device-model-domid",
        "StoreWrite /local/domain/6/target",
        "StoreWrite /local/domain/5/hvmloader/bios",
        "StoreWrite /local/domain/5/hvmloader/allow-memory-relocate",
        "SetTarget",
        "tx /local/domain/6/device-model/5",
        "tx /libxl/6/device/vbd/51712/specification",
        "tx /libxl/6/device/vbd/5632/specification",
        *(f"tx /libxl/6/device/console/{number}/protocol" for number in range(4)),
    ]
    assert SetTarget(DomId(6), DomId(5)) in stubdom_steps()


def test_a_retry_leaves_no_argument_of_the_stub_domain_before() -> None:
    tree = carried_out(stubdom_steps(("a", "b", "c")), carried_out(guest_steps()))
    second = stub_domain(GUEST, DomId(7), UUID_S, 0.0)
    tree = carried_out(stubdom_tree(CONFIG, GUEST, second, ("d",), "/l"), tree)
    assert below(tree, f"{VM_G}/image/dm-argv") == {"001": ("d", "n0,r7")}
    assert tree["/local/domain/5/image/device-model-domid"][0] == "7"


def test_after_destruction_nothing_of_either_domain_is_left() -> None:
    tree = carried_out(stubdom_steps(), carried_out(guest_steps()))
    for domain in (STUBDOM, GUEST):
        steps = destroy_steps(domain.domid, domain.uuid)
        assert steps[-1] == DestroyDomain(domain.domid)
        tree = carried_out(steps, tree)
    left = [at for at in tree if "/5" in at or "/6" in at or str(UUID_G) in at]
    assert left == []


def test_every_path_is_a_path_and_every_value_fits_a_message() -> None:
    for step in (*guest_steps(), *stubdom_steps()):
        for action in step.actions if isinstance(step, Transaction) else (step,):
            if isinstance(action, StoreWrite):
                assert absolute_path(action.path) == action.path
                assert len(action.path) + 1 + len(action.value) <= 4096
