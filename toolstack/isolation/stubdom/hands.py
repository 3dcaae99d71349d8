"""What a hostile device model on Xen has in its hands while it makes an attempt."""

from __future__ import annotations

from dataclasses import dataclass

from toolstack.isolation.stubdom.order import Order, Place, Whom
from toolstack.isolation.stubdom.privcmd import Privcmd
from toolstack.isolation.voice import Voice


@dataclass(frozen=True, slots=True)
class Hands:
    """Linux's devices of Xen, a connection to xenstored, and what it knows."""

    order: Order
    stubdom: int
    """its own domain's id, or that of the stub domain whose place it takes"""
    privcmd: Privcmd
    xenstore: Voice

    @property
    def control(self) -> bool:
        """A trial run: what gets through is put right again, or done to whom it harms least."""
        return self.order.place is Place.CONTROL

    def domid(self, whom: Whom) -> int:
        return self.order.domid(whom)

    def home(self, whom: Whom) -> str:
        """Its directory in xenstore."""
        return f"/local/domain/{self.domid(whom)}"
