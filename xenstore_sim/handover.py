"""What one daemon process leaves for the program that takes its place."""

from dataclasses import dataclass

from xenstore_sim.descriptors import Descriptors
from xenstore_sim.migration.records import Record
from xenstore_sim.migration.supplement import Supplement


@dataclass(frozen=True, slots=True)
class Handover:
    """A daemon's state and its descriptors."""

    records: tuple[Record, ...]
    supplement: Supplement
    descriptors: Descriptors
