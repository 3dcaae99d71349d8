"""Where releases of xenstored differ: one value per release, a field per difference.

Source: C xenstored of Xen 4.17, 4.20 and 4.22; docs/xenstore.md lists them for users.
"""

from dataclasses import dataclass, replace
from typing import Final

from xenstore_sim.wire.ops import Errno, Op

_SINCE_4_17: Final = frozenset(Op) - {
    Op.WATCH_EVENT,
    Op.ERROR,
    Op.GET_FEATURE,
    Op.SET_FEATURE,
    Op.GET_QUOTA,
    Op.SET_QUOTA,
}
_SINCE_4_22: Final = frozenset(Op) - {Op.WATCH_EVENT, Op.ERROR}


@dataclass(frozen=True, slots=True)
class Compat:
    """The release whose behaviour a daemon shows."""

    name: str
    ops: frozenset[Op]
    """Operations it has; all others get ENOSYS."""
    strict_domids: bool
    """Domids are whole decimal numbers up to 65535; before, whatever atoi makes of the text."""
    strict_quotas: bool
    """Reaching a quota is refused already, not only passing it."""
    watch_quota_errno: Errno
    create_memory_errno: Errno
    """Of a request whose new nodes would reach their owner's memory quota."""
    node_overhead: int
    """Bytes that the node-size quota counts for each node before its content."""
    node_size_below: bool
    """A node's size must stay below its quota; else it may reach it."""
    path_quota_for_all: bool
    """The path quota binds privileged clients too."""
    special_nodes: bool
    """The special nodes are nodes; before, GET_PERMS and transactions did not know them, and to
    change their permissions was no event."""
    unwatch_checks_path: bool
    """UNWATCH of what is no path is EINVAL; before, a watch that there is not, ENOENT."""
    watch_depth: bool
    """WATCH takes a depth, and special events come with domids for watches that have one."""
    any_domain: bool
    """DOMID_ANY in a permission list stands for every domain; @releaseDomain grants it read."""
    strips_dead: bool
    """A dead domain's entries leave all permission lists."""
    domain_quotas: bool
    """Each domain keeps its own quotas; changing the default concerns later domains only."""
    ring_features: bool
    """INTRODUCE writes the feature bits into the domain's ring; before, they stay 0."""
    detailed_control: bool
    """CONTROL prints maxima of quotas and pads `help` with blanks; before, tabs and fewer lines."""


COMPAT_4_20: Final = Compat(
    name="4.20",
    ops=_SINCE_4_17,
    strict_domids=False,
    strict_quotas=False,
    watch_quota_errno=Errno.E2BIG,
    create_memory_errno=Errno.ENOMEM,
    node_overhead=16,
    node_size_below=False,
    path_quota_for_all=False,
    special_nodes=True,
    unwatch_checks_path=True,
    watch_depth=False,
    any_domain=False,
    strips_dead=False,
    domain_quotas=False,
    ring_features=False,
    detailed_control=True,
)
COMPAT_4_17: Final = replace(
    COMPAT_4_20,
    name="4.17",
    create_memory_errno=Errno.EIO,
    node_overhead=24,
    node_size_below=True,
    path_quota_for_all=True,
    special_nodes=False,
    unwatch_checks_path=False,
    detailed_control=False,
)
COMPAT_4_22: Final = replace(
    COMPAT_4_20,
    name="4.22",
    ops=_SINCE_4_22,
    strict_domids=True,
    strict_quotas=True,
    watch_quota_errno=Errno.ENOSPC,
    node_size_below=True,
    watch_depth=True,
    any_domain=True,
    strips_dead=True,
    domain_quotas=True,
    ring_features=True,
)
RELEASES: Final = {each.name: each for each in (COMPAT_4_17, COMPAT_4_20, COMPAT_4_22)}
