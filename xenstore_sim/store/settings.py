"""What a daemon is started with."""

from dataclasses import dataclass, field

from xenstore_sim.store.expiry import WATCH_TIMEOUT_S
from xenstore_sim.store.faults import FaultPlan
from xenstore_sim.store.quotas import Quotas
from xenstore_sim.wire.compat import COMPAT_4_20, Compat


@dataclass(frozen=True, slots=True)
class Settings:
    """The release to be, and bounds."""

    compat: Compat = COMPAT_4_20
    quotas: Quotas = field(default_factory=Quotas)
    watch_timeout_s: float = WATCH_TIMEOUT_S
    """Events that an unprivileged client leaves unread for longer are dropped; 0: none are."""
    faults: FaultPlan | None = None
    """What to do wrong on purpose."""
