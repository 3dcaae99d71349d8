"""docs/protocol.md is the code's protocol: tables, example, names of events and bounds."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import get_args
from uuid import UUID

import msgpack
import pytest

from handoff import descriptor, descriptor_codec, report
from handoff.addresses import GPA_LIMIT, Gpa, GpaRange
from handoff.carriers import arguments, base64_chunks, memory
from handoff.conversation import devicemodel_side, toolstack_side
from handoff.descriptor import BootMethod, Descriptor, Insert, Role, StagedImage
from handoff.descriptor_codec import decode_descriptor, encode_descriptor
from handoff.e820 import E820Entry, E820Map, E820Type
from handoff.errors import ERROR_LINE_MAX_BYTES
from handoff.firmware import BiosRom, DirectEntry
from handoff.frame import FRAME_MAX_BYTES
from handoff.guest_ram import DIGEST_BYTES
from handoff.keys import HandoffKeys, key_table
from handoff.layouts.frame import FRAME_HEADER, HEADER_BYTES, MAGIC, VERSION
from handoff.platforms import ROM_WINDOW, Platform, Reservation, Until
from handoff.report import MovedRange, PlacedRange, Report, When, encode_report
from handoff.stages import Stage, may_read, may_write
from handoff.store_values import PROTOCOL_VERSION, Carrier
from tests.docs.documents import PROTOCOL, cells, fenced, marked
from xenstore_sim.wire.names import DomId

S, T = DomId(7001), DomId(7002)
UUID_T = UUID("01234567-89ab-cdef-0123-456789abcdef")

EXAMPLE = Descriptor(
    platform=Platform.XEN_HVM,
    e820=E820Map((E820Entry(GpaRange.between(0x100000, 0x4000000), E820Type.RAM),)),
    reserved=(Reservation(GpaRange.between(0x100000, 0x200000), "hvmloader", Until.BEV),),
    insert=Insert.WINDOW,
    rom_window=ROM_WINDOW,
    boot=BootMethod.AUTO,
    cmdline=b"console=ttyS0",
    images=(
        StagedImage(
            Role.KERNEL, GpaRange(Gpa(0x1FFF000), 0x1280), bytes(range(32)), b"vmlinuz", b""
        ),
    ),
)
REPORT = Report(
    method="linux 2.15, real-mode entry",
    placements=(PlacedRange("kernel", GpaRange(Gpa(0x200000), 16), When.NOW, "code32_start"),),
    moves=(MovedRange("kernel", GpaRange(Gpa(0x300000), 16), GpaRange(Gpa(0x200000), 16)),),
    rom=GpaRange(Gpa(0xC8000), 512),
    released_bytes=0,
)


def as_written(text: object) -> str:
    """A node or permission of domains 7001 and 7002 as the document writes it."""
    named = str(text).replace(str(S), "S").replace(str(T), "T").replace(str(UUID_T), "<uuid of T>")
    return re.sub(r"/001$", "/NNN", named).replace("/images/0/", "/images/N/")


def test_the_table_of_nodes_is_the_codes() -> None:
    rows = [
        "| node | writer | reader | permissions | value |",
        "|---|---|---|---|---|",
        *(
            f"| `{as_written(row.path)}` | {row.writer.value} | {row.reader.value} "
            # Outside code, Markdown takes <word> for a tag.
            f"| `{as_written(row.perms)}` | {row.value.replace('<', chr(92) + '<')} |"
            for row in key_table(HandoffKeys(S, T), UUID_T)
        ),
    ]
    assert marked("nodes") == "\n".join(rows)


def test_the_frame_has_the_layout_of_the_code() -> None:
    rows = ["| offset | bytes | field |", "|---|---|---|"]
    at = 0
    for field in FRAME_HEADER.subcons:
        rows.append(f"| {at:#04x} | {field.sizeof()} | `{field.name}` |")
        at += field.sizeof()
    assert at == HEADER_BYTES == 32
    assert marked("frame") == "\n".join(rows)
    assert MAGIC.hex(" ") in PROTOCOL
    assert VERSION == PROTOCOL_VERSION == 1


def example_bytes() -> bytes:
    (dump,) = fenced(PROTOCOL, "hexdump")
    return bytes.fromhex("".join(line[4:] for line in dump.splitlines()))


def test_the_example_is_one_descriptor_and_its_only_encoding() -> None:
    assert decode_descriptor(example_bytes()) == (1, EXAMPLE)
    assert encode_descriptor(EXAMPLE, 1) == example_bytes()


def test_the_map_beside_the_example_is_what_its_payload_says() -> None:
    (shown,) = fenced(PROTOCOL, "python")
    literal = shown.replace("bytes(range(32))", repr(bytes(range(32))))
    assert msgpack.unpackb(example_bytes()[HEADER_BYTES:]) == ast.literal_eval(literal)


def shape(value: object, path: str = "") -> Iterator[tuple[str, str]]:
    """Path and msgpack type of every field below a map, in order."""
    if isinstance(value, dict):
        for key, item in value.items():
            here = f"{path}.{key}" if path else key
            kinds = {str: "str", bytes: "bin", int: "uint", list: "array", dict: "map"}
            yield here, kinds[type(item)]
            if isinstance(item, list):
                yield from shape(item[0], f"{here}[]")


def tree(frame: bytes) -> dict[str, object]:
    """The map that is a frame's payload."""
    value: dict[str, object] = msgpack.unpackb(frame[HEADER_BYTES:])
    return value


def every_start() -> dict[str, object]:
    """A report's map with the rom, the bios and the entry, of which a report has but one."""
    whole = tree(encode_report(REPORT, 1))
    bios = replace(REPORT, rom=None, firmware=BiosRom(GpaRange(Gpa(0x200000), 0x40000)))
    tables = (GpaRange(Gpa(0x174000), 0x234), GpaRange(Gpa(0x175000), 0x12))
    started = DirectEntry(Gpa(0x100000), Gpa(0x176000), *tables)
    entry = replace(REPORT, rom=None, firmware=started)
    for key, other in (("bios", bios), ("entry", entry)):
        whole[key] = tree(encode_report(other, 1))[key]
    return whole


@pytest.mark.parametrize(
    ("label", "value"),
    [("descriptor", tree(encode_descriptor(EXAMPLE, 1))), ("report", every_start())],
)
def test_the_tables_of_fields_are_what_is_encoded(label: str, value: object) -> None:
    encoded = list(shape(value))
    assert [(row[0].strip("`"), row[1]) for row in cells(marked(label))] == encoded


def bound(label: str, field: str) -> str:
    """The bound that a table of fields names for `field`."""
    (found,) = [row[2] for row in cells(marked(label)) if row[0] == f"`{field}`"]
    return found


@pytest.mark.parametrize(
    ("label", "field", "words"),
    [
        ("descriptor", "platform", [f"`{member.value}`" for member in Platform]),
        ("descriptor", "e820", [f"at most {descriptor.E820_MAX} maps"]),
        ("descriptor", "e820[].type", [f"{int(member)} " for member in E820Type]),
        ("descriptor", "reserved", [f"at most {descriptor.RESERVATIONS_MAX} maps"]),
        ("descriptor", "reserved[].owner", [f"at most {descriptor_codec._OWNER_MAX}"]),
        ("descriptor", "reserved[].until", [f"`{member.value}`" for member in Until]),
        ("descriptor", "insert", [f"`{member.value}`" for member in Insert]),
        ("descriptor", "boot", [f"`{member.value}`" for member in BootMethod]),
        ("descriptor", "cmdline", [f"at most {descriptor.CMDLINE_MAX_BYTES} bytes"]),
        ("descriptor", "images", [f"at most {descriptor.IMAGES_MAX} maps"]),
        ("descriptor", "images[].role", [f"`{member.value}`" for member in Role]),
        ("descriptor", "images[].digest", [f"{DIGEST_BYTES} bytes, BLAKE3"]),
        ("report", "method", [f"at most {report.NAME_MAX}:"]),
        ("report", "placements", [f"at most {report.PLACEMENTS_MAX} maps"]),
        ("report", "placements[].name", [f"at most {report.NAME_MAX}"]),
        ("report", "placements[].when", [f"`{member.value}`" for member in When]),
        ("report", "placements[].reason", [f"at most {report.REASON_MAX}:"]),
        ("report", "moves", [f"at most {report.MOVES_MAX} maps"]),
        ("report", "rom[].size", [f"at most {report.ROM_MAX_BYTES} "]),
    ],
)
def test_the_bounds_of_fields_are_the_codes(label: str, field: str, words: Sequence[str]) -> None:
    assert all(word in bound(label, field) for word in words)


def test_the_bounds_in_the_text_are_the_codes() -> None:
    for sentence in (
        f"The whole frame has at most {FRAME_MAX_BYTES} bytes",
        f"at most {ERROR_LINE_MAX_BYTES} bytes",
        f"cut every {base64_chunks.CHUNK_CHARS} characters",
        f"there are 1 to {base64_chunks.CHUNKS_MAX}.",
        f"at {memory.KNOWN_LOCATION:#x} unless",
        f"`{arguments.OPTION} CHUNK`",
        f"({ROM_WINDOW.start:#x} to {ROM_WINDOW.end:#x})",
    ):
        assert sentence in PROTOCOL
    assert GPA_LIMIT == 2**52


def test_every_carrier_and_every_stage_has_a_row() -> None:
    for carrier in Carrier:
        assert f"\n| `{carrier.value}` | " in PROTOCOL
    for stage in Stage:
        assert f"\n| `{stage.value}` | " in PROTOCOL


def test_the_transitions_are_the_codes() -> None:
    def words(stages: Sequence[Stage]) -> str:
        return ", ".join(f"`{stage.value}`" for stage in stages) or "nothing"

    rows = ["| after | S may write | dom0 accepts |", "|---|---|---|"]
    for after in (None, *Stage):
        name = "nothing" if after is None else f"`{after.value}`"
        written = words([stage for stage in Stage if may_write(stage, after)])
        read = words([stage for stage in Stage if may_read(stage, after)])
        rows.append(f"| {name} | {written} | {read} |")
    assert marked("transitions") == "\n".join(rows)


@pytest.mark.parametrize(
    ("side", "module"),
    [("### S\n", devicemodel_side), ("### dom0\n", toolstack_side)],
    ids=["devicemodel", "toolstack"],
)
def test_every_event_and_command_of_a_side_is_in_its_section(side: str, module: object) -> None:
    section = PROTOCOL.partition(side)[2].partition("\n#")[0]
    for union in ("Event", "Command"):
        for member in get_args(getattr(module, union)):
            assert f"`{member.__name__}`" in section


def test_the_kinds_worth_another_try_are_the_codes() -> None:
    kinds = [f"`{error.kind}`" for error in toolstack_side.RETRIED]
    assert marked("retried") == ", ".join(kinds)
