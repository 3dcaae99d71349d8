"""One guest and one stub domain for all tests of the tree, and steps in short."""

from __future__ import annotations

from uuid import UUID

from handoff.keys import StoreWrite
from toolstack.config import GuestConfig
from toolstack.config.disk import parse_disk
from toolstack.domain_tree import (
    MakeDirectory,
    Remove,
    Step,
    Transaction,
    guest_tree,
    hvm_domain,
    stub_domain,
    stubdom_tree,
)
from xenstore_sim.wire.names import DomId

UUID_G = UUID("01234567-89ab-cdef-0123-456789abcdef")
UUID_S = UUID("fedcba98-7654-3210-fedc-ba9876543210")
VM_G, VM_S = f"/vm/{UUID_G}", f"/vm/{UUID_S}"
CONFIG = GuestConfig(
    name="web",
    memory_mib=256,
    kernel="/boot/vmlinuz",
    serial=("pty",),
    disks=(parse_disk("/dev/vg/root,,xvda"), parse_disk(",,hdc:cdrom")),
)
GUEST = hvm_domain(CONFIG, DomId(5), UUID_G, 1700000000.129)
STUBDOM = stub_domain(GUEST, DomId(6), UUID_S, 1700000001.5)
ARGV = ("-xen-domid", "5")


def guest_steps(config: GuestConfig = CONFIG) -> tuple[Step, ...]:
    return guest_tree(config, hvm_domain(config, DomId(5), UUID_G, 1700000000.129))


def stubdom_steps(argv: tuple[str, ...] = ARGV) -> tuple[Step, ...]:
    return stubdom_tree(CONFIG, GUEST, STUBDOM, argv, "/var/log/xen/qemu-dm-web.log")


def outline(steps: tuple[Step, ...]) -> list[str]:
    """Steps in a word each; a transaction by its last action."""
    words: list[str] = []
    for step in steps:
        last = step.actions[-1] if isinstance(step, Transaction) else step
        if isinstance(last, StoreWrite | MakeDirectory | Remove):
            kind = "tx" if isinstance(step, Transaction) else type(step).__name__
            words.append(f"{kind} {last.path}")
        else:
            words.append(type(last).__name__)
    return words
