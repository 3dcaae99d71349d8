"""What one daemon process leaves for the program that takes its place."""

from dataclasses import dataclass

from xenstore_sim.descriptors import Descriptors
from xenstore_sim.migration.handing_on import restore
from xenstore_sim.migration.records import Record
from xenstore_sim.migration.supplement import Supplement
from xenstore_sim.store.daemon import Daemon


@dataclass(frozen=True, slots=True)
class Handover:
    """A daemon's state and its descriptors."""

    records: tuple[Record, ...]
    supplement: Supplement
    descriptors: Descriptors

    def restore(self, daemon: Daemon) -> None:
        """Let a fresh daemon begin with it. Raises: StateError."""
        restore(daemon, self.records, self.supplement)
