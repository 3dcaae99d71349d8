"""Stage "published": the offer as the writes of one xenstore transaction.

All nodes of one attempt appear at once and `state` is the last of them, so that the device
model never sees half an offer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from handoff.addresses import GpaRange
from handoff.carriers import base64_chunks
from handoff.descriptor import StagedImage
from handoff.firmware import DirectEntry
from handoff.keys import HandoffKeys, ImageFact, StoreWrite, TablesFact, numbered
from handoff.store_values import (
    PROTOCOL_VERSION,
    Carrier,
    Offer,
    OfferState,
    encode_gpa,
    encode_size,
)
from xenstore_sim.wire.names import AbsolutePath


def offer_writes(
    keys: HandoffKeys,
    generation: int,
    carrier: Carrier,
    frame: bytes,
    in_memory: GpaRange | None,
    images: Sequence[StagedImage],
) -> tuple[StoreWrite, ...]:
    """What dom0 writes for attempt `generation`, in order; S may read all of it.

    in_memory: where the frame lies, for the memory carrier. The facts of `images` are for
    people who look with xenstore-ls; nobody parses them.
    """
    nodes: list[tuple[AbsolutePath, bytes]] = [
        (keys.offer, b""),
        (keys.version, str(PROTOCOL_VERSION).encode("ascii")),
        (keys.carrier, carrier.value.encode("ascii")),
    ]
    if carrier is Carrier.XENSTORE:
        nodes.append((keys.frame, b""))
        for number, chunk in enumerate(base64_chunks.split(frame), 1):
            nodes.append((numbered(keys.frame, number), chunk.encode("ascii")))
    if in_memory is not None:
        nodes.append((keys.frame_gpa, encode_gpa(in_memory.start)))
        nodes.append((keys.frame_size, encode_size(in_memory.size)))
    for number, image in enumerate(images):
        nodes.extend(_facts(keys, number, image))
    nodes.append((keys.offer_state, OfferState(generation, Offer.PUBLISHED).encode()))
    return tuple(StoreWrite(path, value, keys.offer_perms) for path, value in nodes)


def withdrawal(keys: HandoffKeys, generation: int) -> StoreWrite:
    """The one write that takes the offer of attempt `generation` back."""
    state = OfferState(generation, Offer.WITHDRAWN)
    return StoreWrite(keys.offer_state, state.encode(), keys.offer_perms)


def tables_writes(keys: HandoffKeys, entry: DirectEntry) -> tuple[StoreWrite, ...]:
    """What hvmloader is told of its tables, as libxl writes it: readable as all of `hvmloader`."""
    return tuple(
        StoreWrite(keys.tables(role, fact), f"{value:#x}".encode("ascii"))
        for role, where in entry.tables
        for fact, value in ((TablesFact.ADDRESS, where.start), (TablesFact.LENGTH, where.size))
    )


def _facts(
    keys: HandoffKeys, number: int, image: StagedImage
) -> Iterator[tuple[AbsolutePath, bytes]]:
    yield keys.image(number, ImageFact.ROLE), image.role.value.encode("ascii")
    yield keys.image(number, ImageFact.GPA), encode_gpa(image.range.start)
    yield keys.image(number, ImageFact.SIZE), str(image.range.size).encode("ascii")
    yield keys.image(number, ImageFact.DIGEST), image.digest.hex().encode("ascii")
