"""The xenstore tree libxl writes for an HVM guest and its Linux stub domain, as data.

Not written, since nothing here serves them: vkbd, the QMP proxy's and dom0's own QEMU's nodes.
"""

from toolstack.domain_tree.dm_arguments import dm_arguments
from toolstack.domain_tree.domain import DomainType, NewDomain, Ring, destroy_steps
from toolstack.domain_tree.guest import guest_tree, hvm_domain
from toolstack.domain_tree.steps import (
    DestroyDomain,
    Introduce,
    MakeDirectory,
    NodeAction,
    Remove,
    SetTarget,
    Step,
    Transaction,
)
from toolstack.domain_tree.stubdomain import stub_domain, stubdom_tree

__all__ = [
    "DestroyDomain",
    "DomainType",
    "Introduce",
    "MakeDirectory",
    "NewDomain",
    "NodeAction",
    "Remove",
    "Ring",
    "SetTarget",
    "Step",
    "Transaction",
    "destroy_steps",
    "dm_arguments",
    "guest_tree",
    "hvm_domain",
    "stub_domain",
    "stubdom_tree",
]
