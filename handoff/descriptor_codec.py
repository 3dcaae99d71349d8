"""Descriptor as the payload of a frame: one canonical msgpack map."""

from __future__ import annotations

import msgpack

from handoff.addresses import GpaRange
from handoff.descriptor import (
    CMDLINE_MAX_BYTES,
    E820_MAX,
    IMAGES_MAX,
    NAME_MAX_BYTES,
    RESERVATIONS_MAX,
    BootMethod,
    Descriptor,
    EntryMode,
    Insert,
    Role,
    StagedImage,
    Subarch,
)
from handoff.e820 import E820Entry, E820Map, E820Type
from handoff.errors import DescriptorRefused
from handoff.fields import Fields, unpack_canonical
from handoff.frame import Frame, FrameKind, decode_frame, encode_frame
from handoff.guest_ram import DIGEST_BYTES
from handoff.platforms import Platform, Reservation, Until

_OWNER_MAX = 64


def encode_descriptor(descriptor: Descriptor, generation: int) -> bytes:
    """The frame that carries `descriptor` for attempt `generation`."""
    payload = msgpack.packb(
        {
            "platform": descriptor.platform.value,
            "e820": [
                {**_pack(entry.range), "type": int(entry.type)} for entry in descriptor.e820.entries
            ],
            "reserved": [
                {**_pack(entry.range), "owner": entry.owner, "until": entry.until.value}
                for entry in descriptor.reserved
            ],
            "insert": descriptor.insert.value,
            "window_start": descriptor.rom_window.start,
            "window_size": descriptor.rom_window.size,
            "boot": descriptor.boot.value,
            "entry": descriptor.entry.value,
            "subarch": descriptor.subarch.value,
            "cmdline": descriptor.cmdline,
            "images": [
                {
                    **_pack(image.range),
                    "role": image.role.value,
                    "digest": image.digest,
                    "name": image.name,
                    "arguments": image.arguments,
                }
                for image in descriptor.images
            ],
        },
        use_bin_type=True,
    )
    return encode_frame(Frame(FrameKind.DESCRIPTOR, generation, payload))


def decode_descriptor(frame: bytes) -> tuple[int, Descriptor]:
    """Generation and descriptor of a frame. Raises: DescriptorRefused, nothing else."""
    envelope = decode_frame(frame, FrameKind.DESCRIPTOR)
    fields = unpack_canonical(envelope.payload)
    platform = fields.choice("platform", Platform)
    entries = fields.each("e820", E820_MAX, _read_e820)
    reserved = fields.each("reserved", RESERVATIONS_MAX, _read_reservation)
    insert = fields.choice("insert", Insert)
    window = fields.range("window_start", "window_size")
    boot = fields.choice("boot", BootMethod)
    entry = fields.choice("entry", EntryMode)
    subarch = fields.choice("subarch", Subarch)
    cmdline = fields.binary("cmdline", 0, CMDLINE_MAX_BYTES)
    images = fields.each("images", IMAGES_MAX, _read_image)
    fields.done()
    try:
        e820 = E820Map(entries)
    except ValueError as error:
        raise DescriptorRefused("e820", str(error)) from error
    try:
        descriptor = Descriptor(
            platform, e820, reserved, insert, window, boot, cmdline, images, entry, subarch
        )
    except ValueError as error:
        raise DescriptorRefused("payload", str(error)) from error
    return envelope.generation, descriptor


def _pack(where: GpaRange) -> dict[str, object]:
    return {"start": int(where.start), "size": where.size}


def _read_e820(fields: Fields) -> E820Entry:
    where = fields.range("start", "size")
    return E820Entry(where, fields.choice("type", E820Type))


def _read_reservation(fields: Fields) -> Reservation:
    where = fields.range("start", "size")
    return Reservation(where, fields.text("owner", _OWNER_MAX), fields.choice("until", Until))


def _read_image(fields: Fields) -> StagedImage:
    where = fields.range("start", "size")
    role = fields.choice("role", Role)
    digest = fields.binary("digest", DIGEST_BYTES, DIGEST_BYTES)
    name = fields.binary("name", 0, NAME_MAX_BYTES)
    return StagedImage(role, where, digest, name, fields.binary("arguments", 0, CMDLINE_MAX_BYTES))
