"""One object a line, for programs."""

from __future__ import annotations

import io
import json
from typing import Any

from handoff.descriptor import Role
from handoff.errors import GuestTimeout
from tests.builders import poisoned_guest
from tests.toolstack.scripted_device_model import REPORT
from toolstack.json_lines import JsonProgress


def told(stream: io.StringIO) -> list[dict[str, Any]]:
    """The objects of `stream`, without the times, which never go back."""
    objects = [json.loads(line) for line in stream.getvalue().splitlines()]
    times = [entry.pop("seconds") for entry in objects]
    assert times == sorted(times)
    assert all(time >= 0 for time in times)
    return objects


def test_every_call_is_one_object_on_a_line_of_its_own() -> None:
    stream = io.StringIO()
    progress = JsonProgress(stream)
    progress.stage("toolstack", "created", 'guest "a"\nis domain 1')
    progress.warning("mind the \x1b[0m gap")
    progress.log("device model", "a line")
    progress.failed(GuestTimeout("it hangs"))
    assert told(stream) == [
        {
            "event": "stage",
            "who": "toolstack",
            "stage": "created",
            "detail": 'guest "a"\nis domain 1',
        },
        {"event": "warning", "text": "mind the \x1b[0m gap"},
        {"event": "log", "source": "device model", "line": "a line"},
        {"event": "failed", "kind": "guest-timeout", "exit_code": 21, "text": "it hangs"},
    ]
    assert len(stream.getvalue().splitlines()) == 4
    assert "\x1b" not in stream.getvalue()


def test_a_load_is_told_when_it_is_done() -> None:
    stream = io.StringIO()
    progress = JsonProgress(stream)
    for done in (10, 20, 30):
        progress.loading(Role.RAMDISK, done, 30)
    assert told(stream) == [{"event": "loading", "role": "ramdisk", "done": 30, "total": 30}]


def test_an_offer_names_each_image_with_numbers_for_addresses() -> None:
    stream = io.StringIO()
    with poisoned_guest() as guest:
        image = guest.stage(Role.KERNEL, b"content", 0x200000)
        JsonProgress(stream).published(guest.descriptor([image]), b"12345")
    (published,) = told(stream)
    assert published["frame_bytes"] == 5
    assert (published["platform"], published["insert"]) == ("qemu-pc", "window")
    assert published["images"] == [
        {"role": "kernel", "start": 0x200000, "size": 7, "digest": image.digest.hex()}
    ]


def test_a_report_names_each_placement_and_move() -> None:
    stream = io.StringIO()
    JsonProgress(stream).placed(REPORT, ())
    (placed,) = told(stream)
    assert placed["method"] == "linux, real mode"
    assert placed["placements"] == [
        {
            "name": "kernel",
            "start": 0x200000,
            "size": 0x1000,
            "when": "now",
            "reason": "relocatable",
        }
    ]
    assert placed["moves"] == [
        {
            "name": "kernel",
            "from": {"start": 0x300000, "size": 0x1000},
            "to": {"start": 0x200000, "size": 0x1000},
        }
    ]
    assert placed["rom"] == {"start": 0xC8000, "size": 0x200}


def test_a_reader_that_hung_up_stops_nothing() -> None:
    class HungUp(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    JsonProgress(HungUp()).stage("toolstack", "created")
