"""What a daemon process leaves becomes bytes, and is read from them.

First the public migration stream, whole and by itself; then, as JSON, what that has no room for.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from xenstore_sim.descriptors import Descriptors
from xenstore_sim.handover import Handover
from xenstore_sim.migration.decoder import decode_image
from xenstore_sim.migration.encoder import encode_image
from xenstore_sim.migration.errors import StateError
from xenstore_sim.migration.records import Record
from xenstore_sim.migration.supplement import Supplement


@dataclass(frozen=True, slots=True)
class _Rest:
    """What follows the stream."""

    supplement: Supplement
    descriptors: Descriptors


def encode_handover(
    records: Iterable[Record], version: int, supplement: Supplement, descriptors: Descriptors
) -> bytes:
    """All of it. version: of the migration format."""
    rest = msgspec.json.encode(_Rest(supplement, descriptors))
    return encode_image(records, version) + rest


def decode_handover(data: bytes) -> Handover:
    """What another process left. Raises: StateError."""
    image = decode_image(data)
    try:
        rest = msgspec.json.decode(memoryview(data)[image.size :], type=_Rest)
    except msgspec.MsgspecError as error:
        raise StateError("what follows the stream", str(error)) from error
    return Handover(image.records, rest.supplement, rest.descriptors)
