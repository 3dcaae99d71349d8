"""An async xenstore client; `Client` is all that most programs need."""

from xenstore_sim.client.events import Event
from xenstore_sim.client.session import Client, Transaction, Watch

__all__ = ["Client", "Event", "Transaction", "Watch"]
